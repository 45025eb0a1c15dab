/* What is delivered is decided by revision: an item that was seen before a
 * reconnect is dropped when it comes again. */
#include "standing.h"

#include <stdlib.h>
#include <utlist.h>

#include "proto/refusal.h"

bool standing_verb(enum message verb)
{
    return verb == MSG_WATCH || verb == MSG_TAP || verb == MSG_WORK ||
           verb == MSG_AWAIT || verb == MSG_INBOX;
}

/* TASK items name space and queue, not the request. */
static char *work_line(const struct msg *m)
{
    struct bytes space = msg_b(m, FIELD_SPACE), queue = msg_b(m, FIELD_QUEUE);
    char *line = malloc(space.n + queue.n + 2);

    if (!line)
        return NULL;
    memcpy(line, space.p, space.n);
    line[space.n] = '\n';
    memcpy(line + space.n + 1, queue.p, queue.n);
    line[space.n + 1 + queue.n] = '\0';
    return line;
}

static struct standing *worker(struct standings *all, const struct msg *m)
{
    char *line = work_line(m);
    struct standing *s;

    for (s = all->all; line && s; s = s->hh.next)
        if (s->line && strcmp(s->line, line) == 0)
            break;
    free(line);
    return s;
}

struct standing *standing_new(struct standings *all, const struct op *op)
{
    struct standing *s = calloc(1, sizeof *s);
    struct msg m;

    op_decode(op, &m);
    if (!s || (op->verb == MSG_WORK && worker(all, &m))) {
        free(s);
        return NULL;
    }
    s->id = op->id;
    s->verb = op->verb;
    s->next = msg_u(&m, FIELD_REVISION);
    s->task = msg_u(&m, FIELD_TASK);
    s->credit = msg_u(&m, FIELD_CREDIT);
    s->partials = op->verb == MSG_AWAIT && msg_has(&m, FIELD_COUNT);
    s->had = s->partials ? msg_u(&m, FIELD_COUNT) : 0;
    s->line = op->verb == MSG_WORK ? work_line(&m) : NULL;
    buf_put(&s->head, op->head.p, op->head.n);
    if (s->head.failed || (op->verb == MSG_WORK && !s->line)) {
        buf_free(&s->head);
        free(s->line);
        free(s);
        return NULL;
    }
    HASH_ADD(hh, all->all, id, sizeof s->id, s);
    all->awaits += s->verb == MSG_AWAIT;
    return s;
}

struct standing *standing_find(struct standings *all, uint64_t id)
{
    struct standing *s;

    HASH_FIND(hh, all->all, &id, sizeof id, s);
    return s;
}

void standing_remove(struct standings *all, struct standing *s)
{
    HASH_DEL(all->all, s);
    all->awaits -= s->verb == MSG_AWAIT;
    buf_free(&s->head);
    free(s->line);
    free(s);
}

void standings_free(struct standings *all)
{
    struct standing *s, *next;

    HASH_ITER (hh, all->all, s, next)
        standing_remove(all, s);
}

/* --- Opening, and opening again ------------------------------------------- */

/* The broker sends what is not told once more, at the cost of credit: so what
 * crosses with this on its way is counted once, here and there. As many are
 * told as fit into a head; the others are known when they come again. */
enum { HELD_TOLD_MAX = 512 };

static void put_held(const struct standing *s, struct wire *w, struct msg *m,
                     struct buf *items)
{
    struct lease held[HELD_TOLD_MAX];
    size_t n = leases_copy(w->leases, 0, held, HELD_TOLD_MAX), told = 0;

    for (size_t i = 0; i < n; i++) {
        struct msg item;

        if (held[i].work != s->id)
            continue;
        msg_init(&item, MSG_ITEM);
        msg_set_u(&item, FIELD_TASK, held[i].task);
        msg_set_u(&item, FIELD_TOKEN, held[i].token);
        msg_encode(&item, items);
        told++;
    }
    msg_set_list(m, FIELD_ITEMS, told, buf_bytes(items));
}

/* As its caller wrote it. */
static void as_written(const struct standing *s, struct msg *m)
{
    struct op original = {.verb = s->verb, .head = s->head};

    op_decode(&original, m);
}

static struct op *op_of(const struct standing *s, const struct msg *m)
{
    struct op *op = op_new(0, m);

    if (op)
        op->standing = s->id;
    return op;
}

struct op *standing_op(struct standing *s, struct wire *w)
{
    struct buf items = {0};
    struct op *op;
    struct msg m;

    as_written(s, &m);
    if (s->verb == MSG_WATCH || s->verb == MSG_TAP) {
        if (s->next == revision_now(s->verb))
            s->next = w->verifier.seen.size;
        msg_set_u(&m, FIELD_WATCH, s->id);
        msg_set_u(&m, FIELD_REVISION, s->next);
        if (s->verb == MSG_WATCH) /* what was compacted is made up for */
            msg_set_u(&m, FIELD_KIND, 1);
    }
    if (s->verb == MSG_INBOX) {
        msg_set_u(&m, FIELD_WATCH, s->id);
        if (s->next) /* else the broker knows where */
            msg_set_u(&m, FIELD_REVISION, s->next);
    }
    if (s->verb != MSG_AWAIT)
        msg_set_u(&m, FIELD_CREDIT, s->credit);
    if (s->partials)
        msg_set_u(&m, FIELD_COUNT, s->had);
    if (s->verb == MSG_WORK)
        put_held(s, w, &m, &items);
    op = op_of(s, &m);
    buf_free(&items);
    return op;
}

/* What is held is told only where it matters what crosses with this. */
struct op *standing_credit_op(struct standing *s, struct wire *w)
{
    struct msg m;

    if (s->withdrawn)
        return standing_op(s, w);
    as_written(s, &m);
    msg_set_u(&m, FIELD_CREDIT, s->more);
    msg_set_u(&m, FIELD_KIND, WORK_MORE);
    return op_of(s, &m);
}

/* --- Items ---------------------------------------------------------------- */

/* The reply may come behind the first items; to the caller it comes first. */
static void told(struct standing *s, struct wire *w)
{
    struct msg reply;

    if (s->opened)
        return;
    s->opened = true;
    msg_init(&reply, MSG_REPLY);
    msg_set_u(&reply, FIELD_ASK, 0);
    msg_set_u(&reply, FIELD_OUTCOME, CHOIR_OK);
    wire_event(w, s->id, s->verb, &reply, 0, false);
}

static void credit_use(struct standing *s)
{
    if (s->credit)
        s->credit--;
}

/* A change, an entry or a message: each revision once, in order. */
static void revision_item(struct standing *s, struct wire *w,
                          const struct msg *item)
{
    uint64_t revision = msg_u(item, FIELD_REVISION);

    if (revision < s->next)
        return;
    s->next = revision + 1;
    credit_use(s);
    wire_event(w, s->id, s->verb, item, 0, false);
}

/* Everything up to there was told before: so this is where it goes on after a
 * reconnect, and the broker need not read all that did not concern it. */
static void told_up_to(struct standing *s, struct wire *w,
                       const struct msg *item)
{
    uint64_t revision = msg_u(item, FIELD_REVISION);

    if (revision >= s->next)
        s->next = revision + 1;
    if (!s->caught_up || s->marks)
        wire_event(w, s->id, s->verb, item, 0, false);
    s->caught_up = true;
}

static void watch_item(struct standings *all, struct wire *w,
                       const struct msg *item)
{
    struct standing *s = standing_find(all, msg_u(item, FIELD_WATCH));

    if (!s)
        return;
    told(s, w);
    switch (item->verb) {
    case MSG_CHANGE:
    case MSG_MESSAGE:
    case MSG_ENTRY: revision_item(s, w, item); return;
    case MSG_CAUGHT_UP: told_up_to(s, w, item); return;
    case MSG_NOTICE: wire_event(w, s->id, s->verb, item, 0, false); return;
    default: /* WATCH_OVER */
        wire_event(w, s->id, s->verb, item, (int)msg_u(item, FIELD_OUTCOME),
                   true);
        standing_remove(all, s);
    }
}

static void task_item(struct standings *all, struct wire *w,
                      const struct msg *item)
{
    struct standing *s = worker(all, item);
    struct lease lease = {.token = msg_u(item, FIELD_TOKEN),
                          .task = msg_u(item, FIELD_TASK),
                          .lease_ms = msg_u(item, FIELD_LEASE_MS)};

    if (!s) {
        wire_nak(w, lease.task, lease.token);
        return;
    }
    lease.work = s->id;
    if (!leases_add(w->leases, &lease))
        return;
    reads_begin(w->reads, lease.task, lease.token, msg_b(item, FIELD_SPACE));
    credit_use(s);
    told(s, w);
    wire_event(w, s->id, s->verb, item, 0, false);
}

static void state_item(struct standings *all, struct wire *w,
                       const struct msg *item)
{
    bool final = task_state_final((unsigned)msg_u(item, FIELD_STATE));
    uint64_t revision = msg_u(item, FIELD_REVISION);
    struct standing *s, *next;

    HASH_ITER (hh, all->all, s, next) {
        if (s->verb != MSG_AWAIT || s->task != msg_u(item, FIELD_TASK) ||
            (revision < s->next && !final))
            continue;
        s->next = revision + 1;
        told(s, w);
        wire_event(w, s->id, s->verb, item, 0, final);
        if (final)
            standing_remove(all, s);
    }
}

/* Each once, in order, to everyone who wants them. */
static void partial_item(struct standings *all, struct wire *w,
                         const struct msg *item)
{
    uint64_t count = msg_u(item, FIELD_COUNT);
    struct standing *s, *next;

    HASH_ITER (hh, all->all, s, next) {
        if (s->verb != MSG_AWAIT || s->task != msg_u(item, FIELD_TASK) ||
            !s->partials || count <= s->had)
            continue;
        s->had = count;
        told(s, w);
        wire_event(w, s->id, s->verb, item, 0, false);
    }
}

/* What a question was answered with; it comes again after a reconnect. */
static void input_item(struct standings *all, struct wire *w,
                       const struct msg *item)
{
    struct lease lease;
    struct standing *s;

    if (!leases_input(w->leases, msg_u(item, FIELD_TOKEN),
                      msg_u(item, FIELD_REVISION), &lease))
        return;
    s = standing_find(all, lease.work);
    if (s)
        wire_event(w, s->id, s->verb, item, 0, false);
}

void standing_lease_lost(struct standings *all, struct wire *w,
                         const struct msg *item)
{
    struct lease lease;
    struct standing *s;

    if (!leases_drop(w->leases, msg_u(item, FIELD_TOKEN), &lease))
        return;
    reads_end(w->reads, lease.token);
    s = standing_find(all, lease.work);
    if (s)
        wire_event(w, s->id, s->verb, item, 0, false);
}

/* The broker says it again until it is answered; the caller is told once. */
static void moved_item(struct standings *all, struct wire *w,
                       const struct msg *item)
{
    struct lease lease;
    struct standing *s;

    if (!leases_get(w->leases, msg_u(item, FIELD_TOKEN), &lease) ||
        !reads_moved(w->reads, lease.token, msg_u(item, FIELD_REVISION),
                     msg_list(item, FIELD_ITEMS)))
        return;
    s = standing_find(all, lease.work);
    if (s)
        wire_event(w, s->id, s->verb, item, 0, false);
}

void standing_item(struct standings *all, struct wire *w,
                   const struct msg *item)
{
    switch (item->verb) {
    case MSG_TASK: task_item(all, w, item); return;
    case MSG_TASK_STATE: state_item(all, w, item); return;
    case MSG_PARTIAL_TOLD: partial_item(all, w, item); return;
    case MSG_INPUT_TOLD: input_item(all, w, item); return;
    case MSG_LEASE_LOST: standing_lease_lost(all, w, item); return;
    case MSG_MOVED: moved_item(all, w, item); return;
    default: watch_item(all, w, item);
    }
}

void standing_mark(struct standings *all, struct wire *w, const struct op *op,
                   const struct msg *reply)
{
    struct standing *s;
    struct msg credit, mark;

    op_decode(op, &credit);
    s = standing_find(all, msg_u(&credit, FIELD_WATCH));
    if (!s || s->verb != MSG_WATCH || !s->caught_up ||
        !msg_has(reply, FIELD_REVISION))
        return;
    msg_init(&mark, MSG_CAUGHT_UP);
    msg_set_u(&mark, FIELD_WATCH, s->id);
    msg_set_u(&mark, FIELD_REVISION, msg_u(reply, FIELD_REVISION));
    told_up_to(s, w, &mark);
}

void standing_end(struct standings *all, struct standing *s, struct wire *w,
                  int code, const char *line)
{
    struct choir_event *e =
        event_new(s->id, s->verb, s->opened ? MSG_WATCH_OVER : MSG_REPLY, code);

    if (e) {
        e->last = true;
        if (line)
            event_line(e, line);
        buf_put(&e->subject, s->head.p, s->head.n);
        DL_APPEND(w->events, e);
    }
    standing_remove(all, s);
}
