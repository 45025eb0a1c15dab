/* One function per verb: what an operation may do, and what the record has to
 * keep about it. Grants first, so that a refusal tells nothing that the asker
 * may not see. */
#include "decide.h"

#include <errno.h>

#include "proto/refusal.h"

enum { BROKER = 1 };
static const uint64_t invite_default_us = 600ULL * 1000 * 1000;
static const uint64_t backoff_max_ms = 3600ULL * 1000;

struct decision {
    const struct state *s;
    const struct msg *op;
    const struct decide_facts *f;
    const struct agent *author; /* NULL while joining */
    struct msg *effect;
    struct buf *scratch;
};

static bool broker(const struct decision *d)
{
    return d->f->agent == BROKER;
}

static bool may(const struct decision *d, enum right right, struct bytes space,
                struct bytes key, struct bytes queue)
{
    return d->author &&
           (broker(d) || agent_may(d->author, right, space, key, queue));
}

static int over(struct decision *d, const char *field, uint64_t limit,
                uint64_t size)
{
    msg_set_u(d->effect, FIELD_SIZE, size);
    msg_set_u(d->effect, FIELD_LIMIT, limit);
    msg_set_text(d->effect, FIELD_FIELD, field);
    return CHOIR_OVER_LIMIT;
}

static int slots_fit(struct decision *d, size_t least, size_t most)
{
    size_t n = msg_slots(d->op);

    if (n < least || n > most)
        return CHOIR_INVALID;
    for (size_t i = 0; i < n; i++) {
        uint32_t bytes = msg_slot_bytes(d->op, i);

        if (bytes > d->s->rules.value_bytes_max)
            return over(d, "value_bytes_max", d->s->rules.value_bytes_max,
                        bytes);
    }
    return 0;
}

/* --- Leases -------------------------------------------------------------- */

/* The task, if its live lease is the author's and the token is right. */
static struct task *held(const struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));

    if (!t || t->state != TASK_WORKING || t->holder != d->f->agent ||
        t->token != msg_u(d->op, FIELD_TOKEN))
        return NULL;
    return t;
}

/* Writes may name the lease they were made under. */
static int lease_fits(const struct decision *d)
{
    bool task = msg_has(d->op, FIELD_TASK);

    if (task != msg_has(d->op, FIELD_TOKEN))
        return CHOIR_INVALID;
    return task && !held(d) ? CHOIR_FENCED : 0;
}

/* --- Context ------------------------------------------------------------- */

static uint64_t current(const struct key *k)
{
    return k && !k->deleted ? k->revision : 0;
}

static int conflict(struct decision *d, struct bytes name, uint64_t revision,
                    const struct key *k)
{
    const struct agent *writer =
        k ? agent_by_number(d->s->agents, k->agent) : NULL;

    msg_set_b(d->effect, FIELD_KEY, name);
    msg_set_u(d->effect, FIELD_REVISION, revision);
    if (writer)
        msg_set_hash(d->effect, FIELD_AGENT, &writer->id);
    return CHOIR_CONFLICT;
}

static int names_fit(struct bytes space, struct bytes key)
{
    return space.n == 0 || key.n == 0 || bytes_equal(space, bytes_text("*"))
               ? CHOIR_INVALID
               : 0;
}

/* What put and delete share: names, grants, lease, condition. */
static int write_fits(struct decision *d, const struct key **k)
{
    struct bytes space = msg_b(d->op, FIELD_SPACE);
    struct bytes key = msg_b(d->op, FIELD_KEY), none = {0};
    int r = names_fit(space, key);

    if (r)
        return r;
    if (!may(d, RIGHT_WRITE, space, key, none) ||
        (msg_has(d->op, FIELD_IF_REVISION) &&
         !may(d, RIGHT_READ, space, key, none)))
        return CHOIR_DENIED;
    r = lease_fits(d);
    if (r)
        return r;
    *k = context_find(d->s->context, space, key);
    if (msg_has(d->op, FIELD_IF_REVISION) &&
        msg_u(d->op, FIELD_IF_REVISION) != current(*k))
        return conflict(d, key, current(*k), *k);
    return 0;
}

static int decide_put(struct decision *d)
{
    const struct key *k;
    int r = slots_fit(d, 1, 1);

    if (!r)
        r = write_fits(d, &k);
    if (!r && k)
        msg_set_u(d->effect, FIELD_PREV, k->revision);
    return r;
}

static int decide_delete(struct decision *d)
{
    const struct key *k;
    int r = write_fits(d, &k);

    if (r)
        return r;
    if (!current(k))
        return CHOIR_NOT_FOUND;
    msg_set_u(d->effect, FIELD_PREV, k->revision);
    return CHOIR_OK;
}

static int compare_fits(struct decision *d, struct bytes space,
                        const struct msg *c)
{
    bool prefix = msg_has(c, FIELD_PREFIX);
    struct bytes name = msg_b(c, prefix ? FIELD_PREFIX : FIELD_KEY);
    uint64_t named = msg_u(c, FIELD_REVISION), now;
    const struct key *k = NULL;

    if (prefix == msg_has(c, FIELD_KEY))
        return CHOIR_INVALID;
    if (!may(d, RIGHT_READ, space, name, (struct bytes){0}))
        return CHOIR_DENIED;
    if (prefix) {
        now = context_prefix_revision(d->s->context, space, name);
        return now > named ? conflict(d, name, now, NULL) : 0;
    }
    k = context_find(d->s->context, space, name);
    return current(k) != named ? conflict(d, name, current(k), k) : 0;
}

static int compares_fit(struct decision *d, struct bytes space)
{
    struct list compares = msg_list(d->op, FIELD_COMPARES);
    struct msg c;
    int r = 0;

    if (compares.left > LIMIT_TXN_COMPARES)
        return over(d, "txn_compares", LIMIT_TXN_COMPARES, compares.left);
    while (!r && list_next(&compares, &c))
        r = compare_fits(d, space, &c);
    return r;
}

/* Is the key written once only, up to this write? */
static bool first_of_its_key(const struct msg *op, uint64_t n, struct bytes key)
{
    struct list writes = msg_list(op, FIELD_WRITES);
    struct msg w;

    while (n-- && list_next(&writes, &w)) {
        if (bytes_equal(msg_b(&w, FIELD_KEY), key))
            return false;
    }
    return true;
}

static int writes_fit(struct decision *d, struct bytes space)
{
    struct list writes = msg_list(d->op, FIELD_WRITES);
    struct msg w;

    if (writes.left > LIMIT_TXN_WRITES)
        return over(d, "txn_writes", LIMIT_TXN_WRITES, writes.left);
    for (uint64_t i = 0; list_next(&writes, &w); i++) {
        struct bytes key = msg_b(&w, FIELD_KEY);

        if (names_fit(space, key) ||
            (msg_has(&w, FIELD_SLOT) &&
             msg_u(&w, FIELD_SLOT) >= msg_slots(d->op)) ||
            !first_of_its_key(d->op, i, key))
            return CHOIR_INVALID;
        if (!may(d, RIGHT_WRITE, space, key, (struct bytes){0}))
            return CHOIR_DENIED;
    }
    return 0;
}

/* One element per write, in order: where its key's story goes on. A delete
 * without one found nothing and changes nothing. */
static void note_prevs(struct decision *d, struct bytes space)
{
    struct list writes = msg_list(d->op, FIELD_WRITES);
    uint64_t n = writes.left;
    struct msg w, item;

    while (list_next(&writes, &w)) {
        const struct key *k =
            context_find(d->s->context, space, msg_b(&w, FIELD_KEY));

        msg_init(&item, MSG_ITEM);
        if (k && (msg_has(&w, FIELD_SLOT) || !k->deleted))
            msg_set_u(&item, FIELD_PREV, k->revision);
        msg_encode(&item, d->scratch);
    }
    if (n)
        msg_set_list(d->effect, FIELD_ITEMS, n, buf_bytes(d->scratch));
}

static int decide_txn(struct decision *d)
{
    struct bytes space = msg_b(d->op, FIELD_SPACE);
    int r = msg_u(d->op, FIELD_WRITES) ? 0 : CHOIR_INVALID;

    if (!r)
        r = slots_fit(d, 0, LIMIT_SLOTS);
    if (!r)
        r = writes_fit(d, space);
    if (!r)
        r = lease_fits(d);
    if (!r)
        r = compares_fit(d, space);
    if (!r)
        note_prevs(d, space);
    return r;
}

/* --- Tasks --------------------------------------------------------------- */

static int queue_has_room(struct decision *d, struct bytes space,
                          struct bytes name)
{
    const struct rules *rules = &d->s->rules;
    const struct queue *q = queue_find(d->s->tasks, space, name);

    if (q && q->open >= rules->queue_tasks_max)
        return over(d, "queue_tasks_max", rules->queue_tasks_max, q->open);
    if (d->author->open_tasks >= rules->tasks_per_agent_max)
        return over(d, "tasks_per_agent_max", rules->tasks_per_agent_max,
                    d->author->open_tasks);
    return 0;
}

static int decide_submit(struct decision *d)
{
    const struct rules *rules = &d->s->rules;
    const struct msg *op = d->op;
    struct bytes space = msg_b(op, FIELD_SPACE), queue = msg_b(op, FIELD_QUEUE);
    int r = names_fit(space, queue);

    if (r)
        return r;
    if (!may(d, RIGHT_SUBMIT, space, (struct bytes){0}, queue))
        return CHOIR_DENIED;
    r = slots_fit(d, 1, 1);
    if (r)
        return r;
    if (msg_has(op, FIELD_LEASE_MS) && msg_u(op, FIELD_LEASE_MS) == 0)
        return CHOIR_INVALID;
    if (msg_has(op, FIELD_MAX_ATTEMPTS) && msg_u(op, FIELD_MAX_ATTEMPTS) == 0)
        return CHOIR_INVALID;
    if (msg_u(op, FIELD_LEASE_MS) > rules->lease_ms_max)
        return over(d, "lease_ms_max", rules->lease_ms_max,
                    msg_u(op, FIELD_LEASE_MS));
    r = queue_has_room(d, space, queue);
    if (r)
        return r;
    if (!msg_has(op, FIELD_MAX_ATTEMPTS))
        msg_set_u(d->effect, FIELD_MAX_ATTEMPTS, rules->max_attempts_default);
    if (!msg_has(op, FIELD_LEASE_MS))
        msg_set_u(d->effect, FIELD_LEASE_MS, rules->lease_ms_default);
    if (!msg_has(op, FIELD_BACKOFF_MS))
        msg_set_u(d->effect, FIELD_BACKOFF_MS, rules->backoff_ms_default);
    return CHOIR_OK;
}

static int decide_claim(struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));
    struct hash id = msg_hash(d->op, FIELD_AGENT);
    const struct agent *a = agent_by_id(d->s->agents, &id);
    uint64_t most = d->s->rules.leases_per_agent_max;

    if (!t || !a)
        return CHOIR_NOT_FOUND;
    if (t->state != TASK_QUEUED ||
        msg_u(d->op, FIELD_ATTEMPT) != t->attempt + 1)
        return CHOIR_INVALID;
    if (!agent_may(a, RIGHT_WORK, bytes_text(t->queue->space),
                   (struct bytes){0}, bytes_text(t->queue->name)))
        return CHOIR_DENIED;
    if (a->leases >= most)
        return over(d, "leases_per_agent_max", most, a->leases);
    return CHOIR_OK;
}

static int decide_progress(struct decision *d)
{
    return held(d) ? slots_fit(d, 1, 1) : CHOIR_FENCED;
}

static int decide_complete(struct decision *d)
{
    struct task *t = held(d);
    struct bytes space;
    int r;

    if (!t)
        return CHOIR_FENCED;
    space = bytes_text(t->queue->space);
    r = slots_fit(d, 1, LIMIT_SLOTS);
    if (!r)
        r = writes_fit(d, space);
    if (!r)
        r = compares_fit(d, space);
    if (!r)
        note_prevs(d, space);
    return r;
}

static int decide_fail(struct decision *d)
{
    return held(d) ? CHOIR_OK : CHOIR_FENCED;
}

/* The lease ends and the task is tried again, later each time, or is dead. */
static int retry(struct decision *d, const struct task *t)
{
    uint64_t wait_ms = t->backoff_ms;

    if (t->attempt >= t->max_attempts) {
        msg_set_u(d->effect, FIELD_STATE, TASK_DEAD);
        return CHOIR_OK;
    }
    for (uint32_t i = 1; i < t->attempt && wait_ms < backoff_max_ms; i++)
        wait_ms *= 2;
    if (wait_ms > backoff_max_ms)
        wait_ms = backoff_max_ms;
    if (msg_has(d->op, FIELD_BACKOFF_MS))
        wait_ms = msg_u(d->op, FIELD_BACKOFF_MS);
    if (wait_ms > d->s->rules.lease_ms_max)
        wait_ms = d->s->rules.lease_ms_max;
    msg_set_u(d->effect, FIELD_STATE, TASK_QUEUED);
    msg_set_u(d->effect, FIELD_NOT_BEFORE, d->f->time + wait_ms * 1000);
    return CHOIR_OK;
}

static int decide_nak(struct decision *d)
{
    struct task *t = held(d);

    return t ? retry(d, t) : CHOIR_FENCED;
}

static int decide_expire(struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));

    if (!t || t->state != TASK_WORKING || t->token != msg_u(d->op, FIELD_TOKEN))
        return CHOIR_FENCED;
    return retry(d, t);
}

/* Its submitter's business, or an administrator's. */
static bool answers_for(const struct decision *d, const struct task *t)
{
    return d->f->agent == t->submitter ||
           may(d, RIGHT_ADMIN, bytes_text(t->queue->space), (struct bytes){0},
               bytes_text(t->queue->name));
}

static int decide_cancel(struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));

    if (!t || !answers_for(d, t))
        return CHOIR_NOT_FOUND;
    return task_state_final(t->state) ? CHOIR_TERMINAL : CHOIR_OK;
}

static int decide_requeue(struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));
    struct bytes space, queue;

    if (!t || !answers_for(d, t))
        return CHOIR_NOT_FOUND;
    space = bytes_text(t->queue->space);
    queue = bytes_text(t->queue->name);
    if (!may(d, RIGHT_SUBMIT, space, (struct bytes){0}, queue))
        return CHOIR_DENIED;
    if (!task_state_final(t->state) || t->state == TASK_COMPLETED)
        return CHOIR_INVALID;
    return queue_has_room(d, space, queue);
}

/* --- Agents and sessions ------------------------------------------------- */

static int decide_enrol(struct decision *d)
{
    const struct msg *op = d->op;
    const uint8_t *key = msg_b(op, FIELD_PUBLIC_KEY).p;
    struct hash id = agent_id(key);
    const struct agent *a = agent_by_id(d->s->agents, &id);
    const struct invite *invite;

    if (!d->f->public_key ||
        memcmp(key, d->f->public_key, KEY_PUBLIC_BYTES) != 0 || key_check(key))
        return CHOIR_INVALID;
    if (a) { /* the answer to its enrolment was lost */
        msg_set_u(d->effect, FIELD_REVISION, a->enrolled);
        return CHOIR_REPEATED;
    }
    invite = invite_by_index(d->s->agents, d->f->invite);
    if (!d->f->invite || !invite || invite->expires <= d->f->time)
        return CHOIR_EXPIRED;
    msg_set_u(d->effect, FIELD_REVISION, invite->index);
    if (msg_b(op, FIELD_NAME).n == 0 ||
        agent_by_curve(d->s->agents, msg_b(op, FIELD_CURVE_KEY).p) ||
        invite_by_curve(d->s->agents, msg_b(op, FIELD_CURVE_KEY).p))
        return CHOIR_INVALID;
    if (agent_by_name(d->s->agents, msg_b(op, FIELD_NAME)))
        return CHOIR_NAME_TAKEN;
    return CHOIR_OK;
}

static int decide_session_open(struct decision *d)
{
    struct hash id;
    const struct agent *a;

    if (!d->f->public_key)
        return CHOIR_INVALID;
    id = agent_id(d->f->public_key);
    a = agent_by_id(d->s->agents, &id);
    if (!a || a->revoked || a->number == BROKER)
        return CHOIR_DENIED;
    if (a->sessions >= d->s->rules.sessions_per_agent_max)
        return over(d, "sessions_per_agent_max",
                    d->s->rules.sessions_per_agent_max, a->sessions);
    return CHOIR_OK;
}

static int decide_session_close(struct decision *d)
{
    return d->f->session ? CHOIR_OK : CHOIR_INVALID;
}

/* Whoever gives rights in a space must be its administrator. */
static int grants_fit(struct decision *d)
{
    struct list grants = msg_list(d->op, FIELD_GRANTS);
    struct bytes none = {0};
    struct msg g;

    if (grants.left > LIMIT_GRANTS)
        return over(d, "grants", LIMIT_GRANTS, grants.left);
    while (list_next(&grants, &g)) {
        if (msg_b(&g, FIELD_SPACE).n == 0 ||
            (msg_has(&g, FIELD_PREFIX) && msg_has(&g, FIELD_QUEUE)))
            return CHOIR_INVALID;
        if (!may(d, RIGHT_ADMIN, msg_b(&g, FIELD_SPACE), none, none))
            return CHOIR_DENIED;
    }
    return 0;
}

static int decide_invite(struct decision *d)
{
    const uint8_t *curve = msg_b(d->op, FIELD_CURVE_KEY).p;
    int r;

    if (msg_u(d->op, FIELD_GRANTS) == 0 ||
        (msg_has(d->op, FIELD_USES) && msg_u(d->op, FIELD_USES) == 0))
        return CHOIR_INVALID;
    r = grants_fit(d);
    if (r)
        return r;
    if (agent_by_curve(d->s->agents, curve) ||
        invite_by_curve(d->s->agents, curve))
        return CHOIR_INVALID;
    if (!msg_has(d->op, FIELD_EXPIRES))
        msg_set_u(d->effect, FIELD_EXPIRES, d->f->time + invite_default_us);
    return CHOIR_OK;
}

static int decide_grant(struct decision *d)
{
    struct hash id = msg_hash(d->op, FIELD_AGENT);
    const struct agent *a = agent_by_id(d->s->agents, &id);
    int r = grants_fit(d);

    if (r)
        return r;
    return a && !a->revoked && a->number != BROKER ? CHOIR_OK : CHOIR_NOT_FOUND;
}

static int decide_revoke(struct decision *d)
{
    struct hash id = msg_hash(d->op, FIELD_AGENT);
    const struct agent *a = agent_by_id(d->s->agents, &id);
    struct bytes none = {0};

    if (!may(d, RIGHT_ADMIN, bytes_text("*"), none, none))
        return CHOIR_DENIED;
    return a && !a->revoked && a->number != BROKER ? CHOIR_OK : CHOIR_NOT_FOUND;
}

static int decide_session_end(struct decision *d)
{
    return session_by_id(d->s->sessions, msg_u(d->op, FIELD_SESSION))
               ? CHOIR_OK
               : CHOIR_NOT_FOUND;
}

static int decide_ok(struct decision *d)
{
    (void)d; /* the broker says what it did, and core saw to it that it is so */
    return CHOIR_OK;
}

typedef int (*decide_verb)(struct decision *d);

static const decide_verb verbs[256] = {
    [MSG_SESSION_OPEN] = decide_session_open,
    [MSG_SESSION_CLOSE] = decide_session_close,
    [MSG_ENROL] = decide_enrol,
    [MSG_INVITE] = decide_invite,
    [MSG_GRANT] = decide_grant,
    [MSG_REVOKE] = decide_revoke,
    [MSG_PUT] = decide_put,
    [MSG_DELETE] = decide_delete,
    [MSG_TXN] = decide_txn,
    [MSG_SUBMIT] = decide_submit,
    [MSG_PROGRESS] = decide_progress,
    [MSG_COMPLETE] = decide_complete,
    [MSG_FAIL] = decide_fail,
    [MSG_NAK] = decide_nak,
    [MSG_CANCEL] = decide_cancel,
    [MSG_REQUEUE] = decide_requeue,
    [MSG_GENESIS] = decide_ok,
    [MSG_ADMIT] = decide_ok,
    [MSG_CLAIM] = decide_claim,
    [MSG_EXPIRE] = decide_expire,
    [MSG_SESSION_END] = decide_session_end,
    [MSG_CHECKPOINT] = decide_ok,
    [MSG_NEW_EPOCH] = decide_ok,
    [MSG_CUT] = decide_ok,
    [MSG_TAPPED] = decide_ok,
    [MSG_RULES] = decide_ok,
    [MSG_FORGET] = decide_ok,
    [MSG_EQUIVOCATE] = decide_session_end,
};

/* Joining stands in session 0; everything else needs a session that lives and
 * an author whose key is valid now, at the moment it is applied. */
static int place_fits(const struct decision *d)
{
    bool joins = d->op->verb == MSG_ENROL || d->op->verb == MSG_SESSION_OPEN;

    if (broker(d))
        return 0;
    if (joins != (d->f->session == 0))
        return CHOIR_INVALID;
    if (joins)
        return 0;
    if (!d->author || d->author->revoked)
        return CHOIR_DENIED;
    return session_by_id(d->s->sessions, d->f->session) ? 0 : CHOIR_INVALID;
}

/* One operation for one id, whichever process says it again. */
static int id_fits(struct decision *d)
{
    int outcome;
    uint64_t first;

    if (!msg_has(d->op, FIELD_ID))
        return 0;
    if (msg_b(d->op, FIELD_ID).n == 0)
        return CHOIR_INVALID;
    first = operation_id_find(d->s->agents, d->f->agent, msg_b(d->op, FIELD_ID),
                              &outcome);
    if (!first)
        return 0;
    msg_set_u(d->effect, FIELD_REVISION, first);
    msg_set_u(d->effect, FIELD_OUTCOME, (uint64_t)outcome);
    return CHOIR_REPEATED;
}

void decide_fetch(const struct state *s, const struct bundle *b)
{
    struct context_name names[INDEX_FETCH_MAX];
    size_t n = 0;

    for (uint32_t i = 0; i < b->count; i++) {
        const struct bundle_op *op = &b->ops[i];

        if (op->key.n)
            names[n++] = (struct context_name){op->space, op->key};
        if (n == INDEX_FETCH_MAX || i + 1 == b->count) {
            context_fetch(s->context, names, n);
            n = 0;
        }
    }
}

int decide(const struct state *s, const struct msg *op,
           const struct decide_facts *facts, struct msg *effect,
           struct buf *scratch)
{
    struct decision d = {
        .s = s,
        .op = op,
        .f = facts,
        .author = agent_by_number(s->agents, facts->agent),
        .effect = effect,
        .scratch = scratch,
    };
    int r;

    msg_init(effect, MSG_EFFECT);
    buf_clear(scratch);
    if (!verbs[op->verb])
        return CHOIR_UNSUPPORTED;
    r = place_fits(&d);
    if (!r)
        r = id_fits(&d);
    if (!r)
        r = verbs[op->verb](&d);
    return scratch->failed ? -ENOMEM : r;
}
