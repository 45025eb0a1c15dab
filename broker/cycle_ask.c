/* Bundles that ask: checked as they arrive, answered after the commit, in the
 * order of their arrival, as far as their peers read. */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "cycle_private.h"
#include "proto/refusal.h"

enum {
    OUTBOX_MAX = 32 << 20, /* further answers wait for the next cycle */
    ASKS_PER_PEER = 256,   /* bundles of them that may wait */
    ASK_BYTES_PER_PEER = 4 << 20,
    ASK_SLICE_US = 5000, /* of a turn, for one connection's asks */
    JOBS_SPARE = 32,     /* as many as commonly wait for one commit; */
    JOB_BYTES = 65536,   /* each with a frame of so much */
    JOB_OPS = 256,       /* and so many operations at most: 5 MiB in all */
};

static void job_free(struct job *j)
{
    buf_free(&j->frame);
    bundle_free(&j->bundle);
    free(j);
}

static void job_done(struct cycle *c, struct job *j)
{
    struct connection *from = connection_find(c->router, j->connection);

    DL_DELETE(c->jobs, j);
    if (from) {
        from->asks--;
        from->ask_bytes -= j->frame.n;
    }
    if (c->spares == JOBS_SPARE || j->frame.cap > JOB_BYTES ||
        j->bundle.cap > JOB_OPS) {
        job_free(j);
        return;
    }
    LL_PREPEND(c->spare, j);
    c->spares++;
}

static struct bytes moved(struct bytes b, const uint8_t *from,
                          const uint8_t *to)
{
    return bytes_of(b.p ? to + (b.p - from) : NULL, b.n);
}

/* The bundle borrows from another copy of the same frame now. */
static void bundle_move(struct bundle *b, const uint8_t *from,
                        const uint8_t *to)
{
    b->header = moved(b->header, from, to);
    b->signature = to + (b->signature - from);
    b->rest = moved(b->rest, from, to);
    for (uint32_t i = 0; i < b->count; i++) {
        b->ops[i].head = moved(b->ops[i].head, from, to);
        b->ops[i].rows = moved(b->ops[i].rows, from, to);
        b->ops[i].payload = moved(b->ops[i].payload, from, to);
        b->ops[i].space = moved(b->ops[i].space, from, to);
        b->ops[i].key = moved(b->ops[i].key, from, to);
    }
}

static struct job *job_blank(struct cycle *c)
{
    struct job *j = c->spare;

    if (!j)
        return calloc(1, sizeof *j);
    LL_DELETE(c->spare, j);
    c->spares--;
    j->next = NULL;
    return j;
}

/* The frame is the socket's and goes; the job needs its own. It takes over the
 * checked bundle, and leaves its own memory for the next one. */
static struct job *job_new(struct cycle *c, struct bundle *b,
                           struct bytes frame)
{
    struct job *j = job_blank(c);
    struct bundle memory;

    if (!j)
        return NULL;
    j->at = 0;
    buf_clear(&j->frame);
    buf_put(&j->frame, frame.p, frame.n);
    if (j->frame.failed) {
        job_free(j);
        return NULL;
    }
    memory = j->bundle;
    j->bundle = *b;
    *b = memory;
    bundle_move(&j->bundle, frame.p, j->frame.p);
    return j;
}

/* What this turn has spent on the connection's asks. */
static uint64_t *spent_us(const struct cycle *c, struct connection *from)
{
    if (from->asks_turn != c->turn)
        from->asks_us = 0;
    from->asks_turn = c->turn;
    return &from->asks_us;
}

/* As many of its asks as may be answered now; a thousand long lists must not
 * keep everybody else waiting. 0 or negative errno. */
static int job_go(struct cycle *c, struct job *j, struct presence *p)
{
    uint64_t *spent = spent_us(c, p->connection);
    uint64_t began = env_steady_us(c->env), now = began;
    struct bundle *b = &j->bundle;
    size_t ahead = j->at;
    int r = 0;

    while (!r && j->at < b->count && p->connection &&
           *spent + (now - began) < ASK_SLICE_US &&
           outbox_bytes(c->outbox) < OUTBOX_MAX &&
           connection_has_room(c->router, p->connection)) {
        if (j->at == ahead)
            ahead += ask_ahead(c->asks, p, b->ops + j->at, b->count - j->at);
        r = ask_answer(c->asks, p, b->first_seq + j->at, &b->ops[j->at]);
        j->at++;
        c->jobs_ready = true;
        now = env_steady_us(c->env);
    }
    *spent += now - began;
    return r;
}

static bool job_is_volatile(const struct job *j)
{
    for (uint32_t i = 0; i < j->bundle.count; i++) {
        if (!ask_is_volatile(head_verb(j->bundle.ops[i].head)))
            return false;
    }
    return true;
}

/* Asks wait in memory while their peer does not read. */
static bool asks_fit(const struct connection *from, struct bytes frame,
                     struct accepted *why)
{
    *why = (struct accepted){.turnaway = CHOIR_BUSY};
    if (from->asks >= ASKS_PER_PEER) {
        why->field = "asks_waiting";
        why->limit = ASKS_PER_PEER;
        why->size = from->asks;
        return false;
    }
    if (frame.n + from->ask_bytes <= ASK_BYTES_PER_PEER)
        return true;
    if (frame.n > ASK_BYTES_PER_PEER)
        why->turnaway = CHOIR_TOO_LARGE;
    why->field = "ask_bytes_waiting";
    why->limit = ASK_BYTES_PER_PEER;
    why->size = frame.n + from->ask_bytes;
    return false;
}

/* Opening a tap that shows values is an entry, before it shows anything. */
static int tell_of_taps(struct cycle *c, const struct bundle *b,
                        const struct session *session)
{
    const struct agent *a =
        agent_by_number(cycle_state(c)->agents, session->agent);
    struct msg op, m;
    uint64_t index;
    unsigned field;
    int r = 0;

    for (uint32_t i = 0; i < b->count && !r; i++) {
        if (head_verb(b->ops[i].head) != MSG_TAP ||
            msg_decode(b->ops[i].head, CLASS_ASK, &op, &field) ||
            msg_u(&op, FIELD_KIND) != 1 || !agent_may_somewhere(a, RIGHT_TAP))
            continue;
        msg_init(&m, MSG_TAPPED);
        msg_set_hash(&m, FIELD_AGENT, &a->id);
        msg_set_u(&m, FIELD_REVISION, msg_u(&op, FIELD_REVISION));
        msg_set_u(&m, FIELD_SESSION, session->id);
        r = core_say(c->core, &m, &index);
    }
    return r;
}

/* May it be asked? The session, or a code as cycle_take gives it. */
static int ask_check(struct cycle *c, struct connection *from, struct opened *o,
                     struct session **session)
{
    struct sender sender = cycle_sender(from, &o->proof);
    struct accepted why = {0};
    int r = core_check_ask(c->core, &o->bundle, &sender, session);

    if (!r)
        r = tell_of_taps(c, &o->bundle, *session);
    if (r <= 0)
        return r;
    why.turnaway = r;
    *session = NULL;
    return r == CHOIR_ANSWERED ? 0 /* a replay: nobody waits for it */
                               : turn_away(c, &o->bundle, from, &why);
}

int take_ask(struct cycle *c, struct connection *from, struct opened *o,
             struct bytes frame)
{
    struct session *session = NULL;
    struct accepted why;
    struct presence *p;
    struct job *j;
    int r;

    if (!asks_fit(from, frame, &why))
        return turn_away(c, &o->bundle, from, &why);
    r = ask_check(c, from, o, &session);
    if (r || !session)
        return r;
    p = session_bind(c, session->id, &o->bundle, from);
    j = job_new(c, &o->bundle, frame);
    if (!p || !j)
        return -ENOMEM;
    j->connection = from->id;
    j->session = session->id;
    DL_APPEND(c->jobs, j);
    from->asks++;
    from->ask_bytes += j->frame.n;
    r = job_is_volatile(j) ? job_go(c, j, p) : 0;
    if (!r && j->at == j->bundle.count)
        job_done(c, j);
    return r;
}

/* Those of one connection stay in order: all that are older than one which
 * waits for room wait before it. */
static void job_stall(struct cycle *c, struct job *j, struct connection *from)
{
    DL_DELETE(c->jobs, j);
    DL_APPEND(from->stalled, j);
}

void asks_wake(struct cycle *c, struct connection *connection)
{
    DL_CONCAT(connection->stalled, c->jobs);
    if (connection->stalled)
        c->jobs = connection->stalled;
    connection->stalled = NULL;
}

int answer_asks(struct cycle *c)
{
    struct job *j, *next;
    int r = 0;

    c->jobs_ready = false;
    DL_FOREACH_SAFE (c->jobs, j, next) {
        struct presence *p = presence_find(c->router, j->session);

        if (!p || !p->connection || p->connection->id != j->connection) {
            job_done(c, j); /* whoever asked is gone, and asks again */
            continue;
        }
        r = job_go(c, j, p);
        if (r)
            return r;
        if (j->at == j->bundle.count)
            job_done(c, j);
        else if (p->connection->full)
            job_stall(c, j, p->connection);
    }
    return 0;
}

void jobs_free(struct cycle *c)
{
    struct job *j, *next;

    DL_FOREACH_SAFE (c->jobs, j, next)
        job_free(j);
    LL_FOREACH_SAFE (c->spare, j, next)
        job_free(j);
}
