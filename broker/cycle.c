/* The straight path of a frame: take -> core -> commit -> answers -> release.
 * Everything else here is who is told about it. */
#include "cycle.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "proto/refusal.h"

enum {
    CYCLE_FRAMES = 2048,
    CYCLE_BYTES = 8 << 20,
    OUTBOX_MAX = 32 << 20, /* further answers wait for the next cycle */
    ASKS_PER_PEER = 256,   /* bundles of them that may wait */
    ASK_BYTES_PER_PEER = 4 << 20,
    BLOCKED_RETRY_US = 20000 /* look again whether a full peer has read */
};

static const uint8_t hello_magic[4] = {'C', 'H', 'H', '1'};
static const uint64_t second_us = 1000000;

/* Outcomes of the bundle that is being applied. */
struct telling {
    struct cycle *c;
    const struct accepted *accepted;
    bool plain; /* all done, and nothing worth telling besides */
    uint32_t count;
    struct told {
        int outcome;
        uint64_t index;
        size_t at, bytes; /* of the effect, in effects */
    } list[LIMIT_BUNDLE_OPS];
    struct buf effects;
};

/* A bundle of asks on its way; it keeps its frame. */
struct job {
    uint64_t connection, session;
    struct buf frame;
    struct bundle bundle;
    uint32_t at; /* the next to be answered */
    struct job *prev, *next;
};

/* Outcomes that are repeated but were not in the record yet. */
struct repeat {
    uint64_t connection, session, first_seq, index;
    uint32_t count;
    struct hash agent;
    struct repeat *prev, *next;
};

struct cycle {
    struct core *core;
    struct env *env;
    const struct config *config;
    struct outbox *outbox;
    struct router *router;
    struct cursors *cursors;
    struct leases *leases;
    struct awaits *awaits;
    struct asks *asks;
    struct job *jobs, *spare;
    struct repeat *repeats;
    struct bundle bundle;
    struct telling telling;
    size_t frames, bytes;
    bool draining, jobs_ready;
    uint64_t end_retry; /* steady time; sessions cannot be ended before */
    int error;          /* from inside a callback */
};

static const struct state *state_of(const struct cycle *c)
{
    return core_state(c->core);
}

/* --- Coming and going ---------------------------------------------------- */

static void presence_quiet(struct cycle *c, struct presence *p)
{
    watches_drop(c->cursors, p);
    leases_drop(c->leases, p);
    awaits_drop(c->awaits, p);
}

static void presence_leave(struct cycle *c, struct presence *p)
{
    presence_quiet(c, p);
    presence_unbind(c->router, p, env_steady_us(c->env));
}

/* The session is no more. reason: told to the peer, unless NULL. */
static void session_over(struct cycle *c, uint64_t session, const char *reason)
{
    struct presence *p = presence_find(c->router, session);
    struct msg m;

    if (!p)
        return;
    if (reason) {
        msg_init(&m, MSG_SESSION_OVER);
        msg_set_u(&m, FIELD_SESSION, session);
        msg_set_text(&m, FIELD_REASON, reason);
        presence_say(c->router, p, &m);
    }
    presence_quiet(c, p);
    leases_orphan(c->leases, p);
    presence_free(c->router, p);
}

static struct presence *session_bind(struct cycle *c, uint64_t id,
                                     const struct hash *agent,
                                     struct connection *connection)
{
    const struct session *s = session_by_id(state_of(c)->sessions, id);
    struct presence *p =
        s ? presence_of(c->router, s, agent, env_steady_us(c->env)) : NULL;

    if (!p)
        return NULL;
    if (connection && p->connection != connection) {
        if (p->connection)
            presence_leave(c, p);
        presence_bind(c->router, p, connection);
    }
    return p;
}

struct connection *cycle_connect(struct cycle *c, uint32_t agent,
                                 uint64_t invite, const struct hash *challenge)
{
    const struct agent *a = agent_by_number(state_of(c)->agents, agent);

    cycle_notice(c, "joined", a ? &a->id : NULL, 0, 0);
    return connection_new(c->router, agent, invite, challenge);
}

void cycle_disconnect(struct cycle *c, struct connection *connection)
{
    const struct agent *a =
        agent_by_number(state_of(c)->agents, connection->agent);

    while (connection->presences)
        presence_leave(c, connection->presences);
    connection_free(c->router, connection);
    cycle_notice(c, "left", a ? &a->id : NULL, 0, 0);
}

void cycle_notice(struct cycle *c, const char *text, const struct hash *agent,
                  uint64_t count, int outcome)
{
    cursors_notice(c->cursors, env_wall_us(c->env), text, agent, count,
                   outcome);
}

/* --- What was applied ---------------------------------------------------- */

/* Its sessions have ended with it; its connections are cut. */
static void agent_revoked(struct cycle *c, const struct agent *a)
{
    struct presence *p, *next;
    struct connection *x;

    for (p = presences_next(c->router, NULL); p; p = next) {
        next = presences_next(c->router, p);
        if (p->agent == a->number)
            session_over(c, p->session, "the agent was revoked");
    }
    for (x = connections_next(c->router, NULL); x;
         x = connections_next(c->router, x)) {
        if (x->agent == a->number)
            connection_cut(c->router, x, "the agent was revoked");
    }
}

static void grants_changed(struct cycle *c, const struct agent *a)
{
    struct presence *p;

    for (p = presences_next(c->router, NULL); p;
         p = presences_next(c->router, p)) {
        if (p->agent == a->number)
            watches_recheck(c->cursors, p);
    }
}

static void rights_applied(struct cycle *c, const struct msg *op)
{
    struct hash id = msg_hash(op, FIELD_AGENT);
    const struct agent *a = agent_by_id(state_of(c)->agents, &id);

    if (!a)
        return;
    if (op->verb == MSG_REVOKE)
        agent_revoked(c, a);
    else
        grants_changed(c, a);
}

static int change_applied(struct cycle *c, const struct bundle *b,
                          uint32_t position, uint64_t index,
                          struct bytes effect)
{
    struct entry e = {
        .index = index,
        .time = core_time(c->core),
        .outcome = CHOIR_OK,
        .head = b->ops[position].head,
        .effect = effect,
        .payload = b->ops[position].payload,
    };

    if (head_slots(e.head, &e.rows))
        return -EUCLEAN;
    return cursors_live(c->cursors, &e, &b->agent);
}

static int task_applied(struct cycle *c, struct bytes head, uint64_t index)
{
    unsigned field;
    struct msg op;
    int r;

    if (msg_decode(head, CLASS_OPERATION, &op, &field))
        return -EUCLEAN;
    r = lease_applied(c->leases, &op, index);
    await_touch(c->awaits, msg_u(&op, FIELD_TASK));
    return r;
}

static int applied(struct cycle *c, const struct bundle *b, uint32_t position,
                   uint64_t index, struct bytes effect)
{
    struct bytes head = b->ops[position].head;
    unsigned field;
    struct msg op;
    int r;

    switch (head_verb(head)) {
    case MSG_PUT:
    case MSG_DELETE:
    case MSG_TXN: return change_applied(c, b, position, index, effect);
    case MSG_COMPLETE:
        r = change_applied(c, b, position, index, effect);
        return r ? r : task_applied(c, head, index);
    case MSG_SUBMIT:
    case MSG_PROGRESS:
    case MSG_FAIL:
    case MSG_NAK:
    case MSG_CANCEL:
    case MSG_REQUEUE: return task_applied(c, head, index);
    case MSG_GRANT:
    case MSG_REVOKE:
        if (msg_decode(head, CLASS_OPERATION, &op, &field))
            return -EUCLEAN;
        rights_applied(c, &op);
        return 0;
    default: return 0;
    }
}

/* Does the author learn from the effect what the outcome does not say? */
static bool worth_telling(unsigned verb, int outcome)
{
    if (outcome != CHOIR_OK)
        return true;
    switch (verb) {
    case MSG_PUT:
    case MSG_DELETE:
    case MSG_TXN:
    case MSG_SUBMIT:
    case MSG_COMPLETE: return false;
    default: return true;
    }
}

static void on_told(void *arg, const struct bundle *b, uint32_t position,
                    int outcome, uint64_t index, struct bytes effect)
{
    struct telling *t = arg;
    struct cycle *c = t->c;
    bool again = t->accepted->duplicate;
    unsigned verb = again ? 0 : head_verb(b->ops[position].head);
    struct told *told = &t->list[t->count++];

    *told = (struct told){outcome, index, t->effects.n, 0};
    if (effect.n && worth_telling(verb, outcome)) {
        buf_put(&t->effects, effect.p, effect.n);
        told->bytes = effect.n;
    }
    if (outcome != CHOIR_OK || told->bytes)
        t->plain = false;
    if (!again && outcome == CHOIR_OK && !c->error)
        c->error = applied(c, b, position, index, effect);
}

/* --- Answering a bundle -------------------------------------------------- */

static void say_done(struct cycle *c, const struct bundle *b,
                     struct connection *to, const struct told *t, uint32_t i)
{
    struct msg m;

    msg_init(&m, MSG_DONE);
    msg_set_u(&m, FIELD_SEQ, b->first_seq + i);
    msg_set_u(&m, FIELD_OUTCOME, (uint64_t)t->outcome);
    msg_set_u(&m, FIELD_REVISION, t->index);
    if (t->bytes)
        msg_set_b(&m, FIELD_EFFECT,
                  bytes_of(c->telling.effects.p + t->at, t->bytes));
    router_say(c->router, to, b->session, &b->agent, &m);
}

static void say_outcomes(struct cycle *c, const struct bundle *b,
                         struct connection *to)
{
    struct telling *t = &c->telling;
    struct msg m;

    if (t->count == 0)
        return;
    if (!t->plain) {
        for (uint32_t i = 0; i < t->count; i++)
            say_done(c, b, to, &t->list[i], i);
        return;
    }
    msg_init(&m, MSG_DONE_ALL);
    msg_set_u(&m, FIELD_FIRST_SEQ, b->first_seq);
    msg_set_u(&m, FIELD_COUNT, t->count);
    msg_set_u(&m, FIELD_REVISION, t->list[0].index);
    router_say(c->router, to, b->session, &b->agent, &m);
}

static void say_turnaway(struct cycle *c, const struct bundle *b,
                         struct connection *to, const struct accepted *why)
{
    struct msg m;

    msg_init(&m, MSG_TURNED_AWAY);
    msg_set_u(&m, FIELD_SESSION, b->session);
    msg_set_u(&m, FIELD_FIRST_SEQ, b->first_seq);
    msg_set_u(&m, FIELD_OUTCOME, (uint64_t)why->turnaway);
    msg_set_u(&m, FIELD_KIND, b->kind);
    if (why->field) {
        msg_set_text(&m, FIELD_FIELD, why->field);
        msg_set_u(&m, FIELD_LIMIT, why->limit);
        msg_set_u(&m, FIELD_SIZE, why->size);
    }
    if (why->turnaway == CHOIR_EPOCH_CHANGED)
        msg_set_u(&m, FIELD_EPOCH, state_of(c)->epoch);
    router_say(c->router, to, b->session, &b->agent, &m);
}

/* A forged signature is nobody's statement: it is dropped and shown to taps.
 * All else is answered to the peer that the wire has proven. */
static int turn_away(struct cycle *c, const struct bundle *b,
                     struct connection *to, const struct accepted *why)
{
    cycle_notice(c, refusal_sentence(why->turnaway), &b->agent, 0,
                 why->turnaway);
    if (why->turnaway == CHOIR_BAD_SIGNATURE)
        return CHOIR_BAD_SIGNATURE;
    say_turnaway(c, b, to, why);
    return why->turnaway == CHOIR_WRONG_LEDGER ||
                   why->turnaway == CHOIR_UNKNOWN_AGENT
               ? why->turnaway
               : 0;
}

static struct sender sender_of(const struct connection *from)
{
    return (struct sender){from->agent, from->invite, &from->challenge};
}

static int repeat_later(struct cycle *c, const struct bundle *b,
                        const struct connection *from, uint64_t index)
{
    struct repeat *x = calloc(1, sizeof *x);

    if (!x)
        return -ENOMEM;
    x->connection = from->id;
    x->session = b->session;
    x->first_seq = b->first_seq;
    x->index = index;
    x->count = b->count;
    x->agent = b->agent;
    DL_APPEND(c->repeats, x);
    return 0;
}

static int take_record(struct cycle *c, struct connection *from)
{
    struct bundle *b = &c->bundle;
    struct sender sender = sender_of(from);
    struct accepted accepted = {.turnaway = CHOIR_BUSY};
    int r;

    if (c->draining)
        return turn_away(c, b, from, &accepted);
    buf_clear(&c->telling.effects);
    c->telling.count = 0;
    c->telling.plain = true;
    c->telling.accepted = &accepted;
    r = core_accept(c->core, b, &sender, on_told, &c->telling, &accepted);
    if (r || c->error)
        return r ? r : c->error;
    if (accepted.turnaway)
        r = turn_away(c, b, from, &accepted);
    else if (b->session)
        session_bind(c, b->session, &b->agent, from);
    if (accepted.session)
        session_bind(c, accepted.session, &b->agent, from->agent ? from : NULL);
    if (accepted.duplicate && c->telling.count < b->count)
        return repeat_later(c, b, from, accepted.index);
    say_outcomes(c, b, from);
    if (accepted.ends_session)
        session_over(c, b->session,
                     accepted.turnaway ? refusal_name(accepted.turnaway)
                                       : NULL);
    return r;
}

/* --- Asks ---------------------------------------------------------------- */

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
    if (c->spare || j->frame.cap > 65536) {
        job_free(j);
        return;
    }
    c->spare = j;
}

/* The frame is the socket's and goes; the job needs its own. */
static struct job *job_new(struct cycle *c, struct bytes frame)
{
    struct job *j = c->spare ? c->spare : calloc(1, sizeof *j);

    c->spare = NULL;
    if (!j)
        return NULL;
    j->at = 0;
    buf_clear(&j->frame);
    buf_put(&j->frame, frame.p, frame.n);
    if (j->frame.failed || bundle_open(&j->bundle, buf_bytes(&j->frame))) {
        job_free(j);
        return NULL;
    }
    return j;
}

/* As many of its asks as may be answered now. 0 or negative errno. */
static int job_go(struct cycle *c, struct job *j, struct presence *p)
{
    struct bundle *b = &j->bundle;
    int r = 0;

    while (!r && j->at < b->count && p->connection &&
           outbox_bytes(c->outbox) < OUTBOX_MAX &&
           connection_has_room(c->router, p->connection)) {
        r = ask_answer(c->asks, p, b->first_seq + j->at, &b->ops[j->at]);
        j->at++;
        c->jobs_ready = true;
    }
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

static int take_ask(struct cycle *c, struct connection *from,
                    struct bytes frame)
{
    struct sender sender = sender_of(from);
    struct accepted why;
    struct session *session;
    struct presence *p;
    struct job *j;
    int r;

    if (!asks_fit(from, frame, &why))
        return turn_away(c, &c->bundle, from, &why);
    j = job_new(c, frame);
    if (!j)
        return -ENOMEM;
    r = core_check_ask(c->core, &j->bundle, &sender, &session);
    if (r) {
        job_free(j);
        why = (struct accepted){.turnaway = r};
        return r < 0                 ? r
               : r == CHOIR_ANSWERED ? 0 /* a replay: nobody waits for it */
                                     : turn_away(c, &c->bundle, from, &why);
    }
    p = session_bind(c, session->id, &j->bundle.agent, from);
    j->connection = from->id;
    j->session = session->id;
    DL_APPEND(c->jobs, j);
    from->asks++;
    from->ask_bytes += j->frame.n;
    if (!p)
        return -ENOMEM;
    r = job_is_volatile(j) ? job_go(c, j, p) : 0;
    if (!r && j->at == j->bundle.count)
        job_done(c, j);
    return r;
}

static int answer_asks(struct cycle *c)
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
    }
    return 0;
}

static int answer_repeat(struct cycle *c, const struct repeat *x)
{
    struct connection *to = connection_find(c->router, x->connection);

    for (uint32_t i = 0; to && i < x->count; i++) {
        const struct entry *e;
        struct msg m;
        int r = ledger_entry(core_ledger(c->core), x->index + i, &e);

        if (r)
            return r < 0 ? r : -EUCLEAN;
        msg_init(&m, MSG_DONE);
        msg_set_u(&m, FIELD_SEQ, x->first_seq + i);
        msg_set_u(&m, FIELD_OUTCOME, (uint64_t)e->outcome);
        msg_set_u(&m, FIELD_REVISION, e->index);
        if (e->effect.n)
            msg_set_b(&m, FIELD_EFFECT, e->effect);
        router_say(c->router, to, x->session, &x->agent, &m);
    }
    return 0;
}

static int answer_repeats(struct cycle *c)
{
    struct repeat *x, *next;
    int r = 0;

    DL_FOREACH_SAFE (c->repeats, x, next) {
        if (!r)
            r = answer_repeat(c, x);
        DL_DELETE(c->repeats, x);
        free(x);
    }
    return r;
}

/* --- Frames -------------------------------------------------------------- */

static void limit_put(struct buf *items, uint64_t *n, const char *name,
                      uint64_t limit)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_NAME, name);
    msg_set_u(&item, FIELD_LIMIT, limit);
    msg_encode(&item, items);
    ++*n;
}

static int say_welcome(struct cycle *c, struct connection *to)
{
    struct hash nobody = {{0}};
    struct buf items = {0};
    struct msg m, head;
    uint64_t n = 0;

    limit_put(&items, &n, "value_bytes_max",
              state_of(c)->rules.value_bytes_max);
    limit_put(&items, &n, "bundle_bytes_max", c->config->bundle_bytes_max);
    limit_put(&items, &n, "bundle_ops_max", c->config->bundle_ops_max);
    limit_put(&items, &n, "lease_ms_default",
              state_of(c)->rules.lease_ms_default);
    limit_put(&items, &n, "session_idle_s", c->config->session_idle_s);
    limit_put(&items, &n, "epoch_began", state_of(c)->epoch_began);
    msg_init(&head, MSG_ITEM);
    msg_set_text(&head, FIELD_NAME, "head");
    msg_set_u(&head, FIELD_REVISION, core_size(c->core) - 1);
    msg_encode(&head, &items);
    msg_init(&m, MSG_WELCOME);
    msg_set_hash(&m, FIELD_CHALLENGE, &to->challenge);
    msg_set_u(&m, FIELD_FORMAT, 1);
    msg_set_list(&m, FIELD_ITEMS, n + 1, buf_bytes(&items));
    if (!items.failed)
        router_say(c->router, to, 0, &nobody, &m);
    buf_free(&items);
    return 0;
}

static int take_hello(struct cycle *c, struct connection *from,
                      struct bytes body)
{
    unsigned field;
    struct msg m;
    int r = part_decode(MSG_HELLO, body, &m, &field);

    if (r)
        return r;
    if (msg_u(&m, FIELD_FORMAT) != 1)
        log_warn_limited("hello", "format=%llu error=%s",
                         (unsigned long long)msg_u(&m, FIELD_FORMAT),
                         "answered with format 1");
    return say_welcome(c, from);
}

int cycle_take(struct cycle *c, struct connection *from, struct bytes frame)
{
    int r;

    c->frames++;
    c->bytes += frame.n;
    if (frame.n >= sizeof hello_magic &&
        memcmp(frame.p, hello_magic, sizeof hello_magic) == 0)
        return take_hello(c, from,
                          bytes_of(frame.p + sizeof hello_magic,
                                   frame.n - sizeof hello_magic));
    r = bundle_open(&c->bundle, frame);
    if (r)
        return r;
    return c->bundle.kind == BUNDLE_ASK ? take_ask(c, from, frame)
                                        : take_record(c, from);
}

bool cycle_full(const struct cycle *c)
{
    return c->frames >= CYCLE_FRAMES || c->bytes >= CYCLE_BYTES;
}

/* --- The turn ------------------------------------------------------------ */

void cycle_begin(struct cycle *c)
{
    c->frames = c->bytes = 0;
    core_begin(c->core);
}

static uint64_t idle_us(const struct cycle *c)
{
    return c->config->session_idle_s * second_us;
}

static int end_idle(struct cycle *c)
{
    uint64_t now = env_steady_us(c->env), index;
    struct presence *p;
    struct msg m;

    while (now >= c->end_retry &&
           (p = presence_longest_away(c->router)) != NULL &&
           now - p->away_since >= idle_us(c)) {
        int r;

        msg_init(&m, MSG_SESSION_END);
        msg_set_u(&m, FIELD_SESSION, p->session);
        msg_set_text(&m, FIELD_REASON, "idle");
        r = core_say(c->core, &m, &index);
        if (r < 0)
            return r;
        if (r == CHOIR_READ_ONLY)
            c->end_retry = now + second_us;
        else
            session_over(c, p->session, NULL);
    }
    return 0;
}

int cycle_end(struct cycle *c)
{
    struct answer_facts facts;
    int r = end_idle(c);

    if (!r)
        r = leases_match(c->leases, c->draining);
    if (!r)
        r = core_commit(c->core);
    core_tend(c->core);
    if (!r)
        r = answer_repeats(c);
    if (!r)
        r = answer_asks(c);
    if (!r)
        r = leases_deliver(c->leases);
    if (!r)
        r = awaits_tell(c->awaits);
    if (!r)
        r = cursors_pump(c->cursors);
    if (r)
        return r;
    asks_tend(c->asks);
    outbox_rests_on(c->outbox, core_size(c->core));
    core_answer_facts(c->core, &facts);
    r = router_release(c->router, &facts, core_key(c->core));
    return r < 0 ? r : 0;
}

uint64_t cycle_next(const struct cycle *c)
{
    uint64_t next = leases_next(c->leases), idle;
    uint64_t retry = env_steady_us(c->env) + BLOCKED_RETRY_US;
    const struct presence *p = presence_longest_away(c->router);

    if (next == 0 && c->draining)
        next = UINT64_MAX;
    if (cursors_ready(c->cursors) || (c->jobs && c->jobs_ready))
        return 0;
    if ((cursors_wait(c->cursors) || c->jobs) && retry < next)
        next = retry;
    if (!p)
        return next;
    idle = p->away_since + idle_us(c);
    if (idle < c->end_retry)
        idle = c->end_retry;
    return idle < next ? idle : next;
}

void cycle_drain(struct cycle *c)
{
    c->draining = true;
}

/* --- Beginning and end --------------------------------------------------- */

/* Whoever has a session has been away since just now. */
static int presences_make(struct cycle *c)
{
    const struct sessions *sessions = state_of(c)->sessions;
    const struct session *s;

    for (s = sessions_next(sessions, NULL); s; s = sessions_next(sessions, s)) {
        const struct agent *a = agent_by_number(state_of(c)->agents, s->agent);

        if (!a || !presence_of(c->router, s, &a->id, env_steady_us(c->env)))
            return -ENOMEM;
    }
    return 0;
}

static int parts_make(struct cycle *c, const struct cycle_options *o)
{
    struct ask_parts parts;

    c->outbox = outbox_new();
    c->router = c->outbox ? router_new(c->outbox, &o->transport) : NULL;
    if (!c->router || presences_make(c))
        return -ENOMEM;
    c->cursors = cursors_new(state_of(c), core_ledger(c->core), c->router);
    c->awaits = awaits_new(state_of(c), core_ledger(c->core), c->router);
    if (!c->cursors || !c->awaits)
        return -ENOMEM;
    c->leases = leases_new(c->core, c->env, c->router, c->awaits);
    if (!c->leases)
        return -ENOMEM;
    parts = (struct ask_parts){
        .core = c->core,
        .env = c->env,
        .config = c->config,
        .router = c->router,
        .cursors = c->cursors,
        .leases = c->leases,
        .awaits = c->awaits,
        .more = o->more,
        .more_arg = o->more_arg,
    };
    c->asks = asks_new(&parts);
    return c->asks ? 0 : -ENOMEM;
}

struct cycle *cycle_new(const struct cycle_options *o)
{
    struct cycle *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->core = o->core;
    c->env = o->env;
    c->config = o->config;
    c->telling.c = c;
    if (parts_make(c, o))
        cycle_destroy(&c);
    return c;
}

void cycle_destroy(struct cycle **self_p)
{
    struct cycle *c = *self_p;
    struct connection *x;
    struct job *j, *next;
    struct repeat *y, *next_y;

    if (!c)
        return;
    while (c->router && c->cursors &&
           (x = connections_next(c->router, NULL)) != NULL)
        cycle_disconnect(c, x);
    DL_FOREACH_SAFE (c->jobs, j, next)
        job_free(j);
    DL_FOREACH_SAFE (c->repeats, y, next_y)
        free(y);
    if (c->spare)
        job_free(c->spare);
    asks_destroy(&c->asks);
    leases_destroy(&c->leases);
    awaits_destroy(&c->awaits);
    cursors_destroy(&c->cursors);
    router_destroy(&c->router);
    outbox_destroy(&c->outbox);
    bundle_free(&c->bundle);
    buf_free(&c->telling.effects);
    free(c);
    *self_p = NULL;
}
