/* Ask numbers only grow, over sessions and reconnects, so an answer can never
 * be taken for that of another question. */
#include "asks.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "error.h"
#include "proto/refusal.h"

/* Asks that went out under one signature, numbered from `first`. */
struct batch {
    struct batch *prev, *next;
    uint64_t first;
    uint32_t count, left;
    int64_t sent_ms;
    struct op *ops[]; /* NULL: answered */
};

struct asks {
    struct op *queue;      /* not sent yet */
    struct batch *batches; /* sent, by number */
    unsigned under_way;    /* batches */
    size_t queued, waiting;
    uint64_t next;    /* number of the next ask */
    int64_t later_ms; /* nothing is sent before; 0: now */
    int64_t backoff_ms;
    int64_t beat_ms; /* when the last heartbeat or ping left */
    struct standings standing;
    struct buf due;   /* ids of those whose credit is to be told */
    struct buf rows;  /* scratch of reads_tell */
    int64_t reads_ms; /* nothing of read sets is told before */
};

enum {
    BEAT_TOKENS = 256,    /* of one heartbeat: they must fit into a head */
    IDLE_PING_MS = 20000, /* a session without any frame would expire */
    READS_MS = 20,        /* what is read meanwhile goes along */
    BACKOFF_FIRST_MS = 10,
    BACKOFF_MAX_MS = 1000,
};

struct asks *asks_new(void)
{
    struct asks *a = calloc(1, sizeof *a);

    if (a)
        a->next = 1;
    return a;
}

static void batch_free(struct asks *a, struct batch *b)
{
    DL_DELETE(a->batches, b);
    a->under_way--;
    a->waiting -= b->left;
    free(b);
}

/* Everything that waits goes back in front of the queue, in order. */
static void unask(struct asks *a)
{
    struct op *list = NULL;
    struct batch *b, *next;

    DL_FOREACH_SAFE (a->batches, b, next) {
        for (uint32_t i = 0; i < b->count; i++) {
            if (b->ops[i])
                DL_APPEND(list, b->ops[i]);
        }
        a->queued += b->left;
        batch_free(a, b);
    }
    DL_CONCAT(list, a->queue);
    a->queue = list;
}

void asks_destroy(struct asks **self_p)
{
    struct asks *a = *self_p;
    struct op *op, *next;

    if (!a)
        return;
    unask(a);
    DL_FOREACH_SAFE (a->queue, op, next)
        op_free(op);
    standings_free(&a->standing);
    buf_free(&a->due);
    buf_free(&a->rows);
    free(a);
    *self_p = NULL;
}

static void enqueue(struct asks *a, struct op *op)
{
    if (!op)
        return;
    DL_APPEND(a->queue, op);
    a->queued++;
}

void asks_add(struct asks *a, struct wire *w, struct op *op)
{
    struct standing *s;

    if (!standing_verb(op->verb)) {
        enqueue(a, op);
        return;
    }
    s = standing_new(&a->standing, op);
    if (!s) {
        wire_outcome(w, op, MSG_REPLY, CHOIR_INVALID, 0, NULL,
                     "INVALID verb=work: this handle works that queue "
                     "already; use choir_credit for more tasks");
        return;
    }
    op_free(op);
    enqueue(a, standing_op(s, w));
}

static struct op *simple_op(enum message verb, uint64_t watch, bool credits,
                            uint64_t credit)
{
    struct msg m;

    msg_init(&m, verb);
    msg_set_u(&m, FIELD_WATCH, watch);
    if (credits)
        msg_set_u(&m, FIELD_CREDIT, credit);
    return op_new(0, &m);
}

/* What would open it need not be sent any more. */
static void unqueue(struct asks *a, uint64_t id)
{
    struct op *op, *next;

    DL_FOREACH_SAFE (a->queue, op, next) {
        if (op->standing != id)
            continue;
        DL_DELETE(a->queue, op);
        a->queued--;
        op_free(op);
    }
}

void asks_cancel(struct asks *a, struct wire *w, uint64_t id)
{
    struct standing *s = standing_find(&a->standing, id);

    if (!s)
        return;
    unqueue(a, id);
    s->credit = 0;
    if (s->verb == MSG_WORK)
        enqueue(a, standing_op(s, w));
    else if (s->verb != MSG_AWAIT)
        enqueue(a, simple_op(MSG_UNWATCH, id, false, 0));
    standing_remove(&a->standing, s);
}

void asks_credit(struct asks *a, uint64_t id, int64_t more)
{
    struct standing *s = standing_find(&a->standing, id);

    if (!s)
        return;
    s->credit = more < 0 ? 0 : s->credit + (uint64_t)more;
    s->withdrawn |= more < 0;
    s->marks = s->marks || more == 0;
    s->more += more < 0 ? 0 : (uint64_t)more;
    if (!s->is_due)
        buf_put(&a->due, &id, sizeof id);
    s->is_due = !a->due.failed;
}

static void credit_told(struct standing *s)
{
    s->is_due = s->withdrawn = false;
    s->more = 0;
}

static struct standing *due_at(struct asks *a, size_t at)
{
    struct standing *s;
    uint64_t id;

    memcpy(&id, a->due.p + at, sizeof id);
    s = standing_find(&a->standing, id);
    return s && s->is_due ? s : NULL;
}

/* Told once, however often it was given since. */
static void credit_tell(struct asks *a, struct wire *w)
{
    for (size_t at = 0; at < a->due.n; at += sizeof(uint64_t)) {
        struct standing *s = due_at(a, at);

        if (!s)
            continue;
        if (s->verb == MSG_WORK)
            enqueue(a, standing_credit_op(s, w));
        else
            enqueue(a, simple_op(MSG_CREDIT, s->id, true, s->more));
        credit_told(s);
    }
    buf_clear(&a->due);
}

/* Has the broker, of what some worker wants, only the smaller part to give? It
 * would have given that before it answers what is under way. */
static bool credit_is_low(struct asks *a)
{
    for (size_t at = 0; at < a->due.n; at += sizeof(uint64_t)) {
        const struct standing *s = due_at(a, at);

        if (s && s->verb == MSG_WORK && 2 * s->more >= s->credit)
            return true;
    }
    return false;
}

/* What the library asked for itself is made anew from what is known now. */
static void drop_own(struct asks *a)
{
    struct op *op, *next;

    DL_FOREACH_SAFE (a->queue, op, next) {
        if (op->id)
            continue;
        DL_DELETE(a->queue, op);
        a->queued--;
        op_free(op);
    }
}

void asks_again(struct asks *a, struct wire *w)
{
    struct standing *s;

    unask(a);
    drop_own(a);
    enqueue(a, growth_ask(&w->growth, &w->verifier, w->now_ms));
    for (s = a->standing.all; s; s = s->hh.next) {
        enqueue(a, standing_op(s, w));
        credit_told(s);
    }
    reads_again(w->reads);
    a->later_ms = a->reads_ms = 0;
    a->beat_ms = leases_interval_ms(w->leases) < 0 ? w->now_ms : 0;
}

/* --- Answers -------------------------------------------------------------- */

static struct batch *batch_with(struct asks *a, uint64_t number)
{
    struct batch *b;

    DL_FOREACH (a->batches, b)
        if (number >= b->first && number - b->first < b->count)
            return b;
    return NULL;
}

static struct op *answered_op(struct asks *a, struct wire *w, uint64_t number)
{
    struct batch *b = batch_with(a, number);
    struct op *op = b ? b->ops[number - b->first] : NULL;

    if (!op)
        return NULL;
    ops_fetch(b->ops, b->count, number - b->first);
    b->ops[number - b->first] = NULL;
    b->left--;
    a->waiting--;
    if (b->left == 0) {
        wire_round(w, b->sent_ms);
        batch_free(a, b);
    }
    return op;
}

static void opened(struct asks *a, struct wire *w, uint64_t id, int code,
                   const struct msg *item)
{
    struct standing *s = standing_find(&a->standing, id);

    if (!s)
        return;
    if (code && s->opened) {
        standing_end(&a->standing, s, w, code, NULL);
        return;
    }
    if (!s->opened)
        wire_event(w, s->id, s->verb, item, code, code != 0);
    s->opened = true;
    if (code)
        standing_remove(&a->standing, s);
}

/* A heartbeat's reply names the leases that are gone. */
static void beat_reply(struct asks *a, struct wire *w, const struct msg *item)
{
    struct list at = msg_list(item, FIELD_ITEMS);
    struct msg e, lost;

    while (list_next(&at, &e)) {
        msg_init(&lost, MSG_LEASE_LOST);
        msg_set_u(&lost, FIELD_TASK, msg_u(&e, FIELD_TASK));
        msg_set_u(&lost, FIELD_TOKEN, msg_u(&e, FIELD_TOKEN));
        if (msg_has(&e, FIELD_REASON))
            msg_set_b(&lost, FIELD_REASON, msg_b(&e, FIELD_REASON));
        standing_lease_lost(&a->standing, w, &lost);
    }
}

static int grown(struct asks *a, struct wire *w, int code,
                 const struct msg *item)
{
    int r = growth_reply(&w->growth, &w->verifier, code, item, w->now_ms);

    if (!r && w->growth.wants_other)
        enqueue(a, growth_ask(&w->growth, &w->verifier, w->now_ms));
    return r;
}

static int reply(struct asks *a, struct wire *w, const struct msg *item)
{
    struct op *op = answered_op(a, w, msg_u(item, FIELD_ASK));
    int code = (int)msg_u(item, FIELD_OUTCOME), r = 0;

    if (!op)
        return 0;
    a->backoff_ms = 0;
    if (op->standing)
        opened(a, w, op->standing, code, item);
    else if (op->id == 0 && op->verb == MSG_HEARTBEAT)
        beat_reply(a, w, item);
    else if (op->id == 0 && op->verb == MSG_CREDIT && !code)
        standing_mark(&a->standing, w, op, item);
    else if (op->id == 0 && op->verb == MSG_CONSISTENCY)
        r = grown(a, w, code, item);
    wire_outcome(w, op, MSG_REPLY, code, msg_u(item, FIELD_REVISION), item,
                 NULL);
    return r;
}

static void refuse(struct asks *a, struct wire *w, struct batch *b,
                   const struct msg *item)
{
    int code = (int)msg_u(item, FIELD_OUTCOME);
    struct standing *s;

    for (uint32_t i = 0; i < b->count; i++) {
        struct op *op = b->ops[i];

        if (!op)
            continue;
        s = op->standing ? standing_find(&a->standing, op->standing) : NULL;
        if (s)
            standing_end(&a->standing, s, w, code, NULL);
        wire_outcome(w, op, MSG_REPLY, code, 0, item, NULL);
    }
    batch_free(a, b);
}

static int turned_away(struct asks *a, struct wire *w, const struct msg *item)
{
    uint64_t first = msg_u(item, FIELD_FIRST_SEQ);
    struct batch *b = batch_with(a, first);
    int code = (int)msg_u(item, FIELD_OUTCOME);

    if (!b || b->first != first)
        return 0;
    switch (code) {
    case CHOIR_BUSY:
    case CHOIR_RATE:
        a->backoff_ms = a->backoff_ms ? 2 * a->backoff_ms : BACKOFF_FIRST_MS;
        if (a->backoff_ms > BACKOFF_MAX_MS)
            a->backoff_ms = BACKOFF_MAX_MS;
        asks_again(a, w);
        a->later_ms = w->now_ms + a->backoff_ms;
        return 0;
    case CHOIR_SESSION_ENDED:
    case CHOIR_EPOCH_CHANGED: return CHOIR_SESSION_ENDED;
    case CHOIR_UNKNOWN_AGENT:
    case CHOIR_BAD_SIGNATURE:
    case CHOIR_WRONG_LEDGER:
        return error_set(code, 0, "what=ask: %s", refusal_sentence(code));
    default: refuse(a, w, b, item); return 0;
    }
}

int asks_item(struct asks *a, struct wire *w, const struct msg *item)
{
    switch (item->verb) {
    case MSG_REPLY: return reply(a, w, item);
    case MSG_TURNED_AWAY: return turned_away(a, w, item);
    default: standing_item(&a->standing, w, item); return 0;
    }
}

/* --- Sending -------------------------------------------------------------- */

static struct op *beat_op(const struct lease *held, size_t n)
{
    struct buf items = {0};
    struct msg m, item;
    struct op *op;

    for (size_t i = 0; i < n; i++) {
        msg_init(&item, MSG_ITEM);
        msg_set_u(&item, FIELD_TASK, held[i].task);
        msg_set_u(&item, FIELD_TOKEN, held[i].token);
        msg_encode(&item, &items);
    }
    msg_init(&m, MSG_HEARTBEAT);
    msg_set_list(&m, FIELD_ITEMS, n, buf_bytes(&items));
    op = items.failed ? NULL : op_new(0, &m);
    buf_free(&items);
    return op;
}

static int64_t beat_due(const struct asks *a, const struct wire *w)
{
    int64_t interval = leases_interval_ms(w->leases);

    return a->beat_ms + (interval < 0 ? IDLE_PING_MS : interval);
}

static void beat(struct asks *a, struct wire *w)
{
    struct lease held[BEAT_TOKENS];
    size_t n, from = 0;
    struct msg ping;

    if (w->now_ms < beat_due(a, w))
        return;
    a->beat_ms = w->now_ms;
    while ((n = leases_copy(w->leases, from, held, BEAT_TOKENS)) > 0) {
        enqueue(a, beat_op(held, n));
        from += n;
    }
    if (from)
        return;
    msg_init(&ping, MSG_PING);
    enqueue(a, op_new(0, &ping));
}

static int send_batch(struct asks *a, struct wire *w, uint64_t session,
                      uint64_t answered)
{
    size_t count = wire_share(w, a->queue);
    struct batch *b = malloc(sizeof *b + count * sizeof *b->ops);
    struct bundle_facts facts = {.kind = BUNDLE_ASK,
                                 .session = session,
                                 .first_seq = a->next,
                                 .answered = answered};
    struct buf frame = {0};
    struct hash hash;

    if (!b || wire_sign(w, &facts, a->queue, count, &frame, &hash)) {
        free(b);
        buf_free(&frame);
        return -ENOMEM;
    }
    b->first = a->next;
    b->count = b->left = (uint32_t)count;
    b->sent_ms = w->now_ms;
    for (size_t i = 0; i < count; i++) {
        b->ops[i] = a->queue;
        DL_DELETE(a->queue, b->ops[i]);
    }
    a->next += count;
    a->queued -= count;
    a->waiting += count;
    DL_APPEND(a->batches, b);
    a->under_way++;
    connection_send(w->connection, buf_bytes(&frame));
    buf_free(&frame);
    return 0;
}

/* What the broker did not see read, so that it can tell when it moves. The
 * outcome is of no concern: a lease that is lost is told by the heartbeat. */
static void reads_tell(struct asks *a, struct wire *w)
{
    struct msg m;

    if (!reads_unseen(w->reads) || w->now_ms < a->reads_ms)
        return;
    while (reads_next(w->reads, &m, &a->rows)) {
        struct op *op = op_new(0, &m);

        if (op)
            op->token = 0;
        enqueue(a, op);
    }
    a->reads_ms = w->now_ms + READS_MS;
}

static bool worth_sending(const struct asks *a)
{
    return a->queue && a->under_way < BUNDLES_UNDER_WAY &&
           wire_worth(a->queued, 0, a->waiting);
}

int asks_pump(struct asks *a, struct wire *w, uint64_t session,
              uint64_t answered)
{
    bool is_low;
    int e = 0;

    if (!session)
        return 0;
    if (a->batches && w->now_ms - a->batches->sent_ms >= SILENCE_MS)
        w->reconnect = true;
    if (w->now_ms < a->later_ms)
        return 0;
    beat(a, w);
    if (w->growth.again_ms && w->now_ms >= w->growth.again_ms)
        enqueue(a, growth_ask(&w->growth, &w->verifier, w->now_ms));
    reads_tell(a, w);
    is_low = credit_is_low(a);
    if (is_low || a->queue || !a->waiting)
        credit_tell(a, w);
    if (is_low && a->queue && a->under_way < BUNDLES_UNDER_WAY)
        e = send_batch(a, w, session, answered);
    while (!e && worth_sending(a))
        e = send_batch(a, w, session, answered);
    return e;
}

bool asks_owed(const struct asks *a)
{
    return a->batches || a->standing.all;
}

int64_t asks_deadline_ms(const struct asks *a, const struct wire *w)
{
    int64_t due = beat_due(a, w);

    if (a->later_ms > w->now_ms)
        return a->later_ms;
    if (w->growth.again_ms && w->growth.again_ms < due)
        due = w->growth.again_ms;
    if (a->batches && a->batches->sent_ms + SILENCE_MS < due)
        due = a->batches->sent_ms + SILENCE_MS;
    if (reads_unseen(w->reads) && a->reads_ms < due)
        due = a->reads_ms;
    return due;
}

void asks_fail(struct asks *a, struct wire *w, int code, const char *line)
{
    struct standing *s, *after;
    struct op *op, *next;

    unask(a);
    drop_own(a);
    DL_FOREACH_SAFE (a->queue, op, next) {
        DL_DELETE(a->queue, op);
        wire_outcome(w, op, MSG_REPLY, code, 0, NULL, line);
    }
    a->queued = 0;
    HASH_ITER (hh, a->standing.all, s, after)
        standing_end(&a->standing, s, w, code, line);
}
