/* One function per verb, each a few lines: everything hard was decided before
 * and stands in the effect. */
#include "evolve.h"

#include <errno.h>

#include "proto/refusal.h"

/* -ENOMEM stays; whatever else a change reports cannot follow. */
static int must(int r)
{
    return r == 0 || r == -ENOMEM ? r : -EUCLEAN;
}

static struct agent *author(struct state *s, const struct evolve_op *o)
{
    return agent_by_number(s->agents, o->agent);
}

static int end_session(struct state *s, struct session *session)
{
    struct agent *a;

    if (!session)
        return -EUCLEAN;
    a = agent_by_number(s->agents, session->agent);
    if (!a)
        return -EUCLEAN;
    a->sessions--;
    session_end(s->sessions, session);
    return 0;
}

static int on_session_open(struct state *s, const struct evolve_op *o)
{
    struct hash id = agent_id(o->public_key);
    struct agent *a = agent_by_id(s->agents, &id);

    if (!a)
        return -EUCLEAN;
    a->sessions++;
    return must(session_start(s->sessions, o->index, a->number, o->bundle));
}

static int on_session_close(struct state *s, const struct evolve_op *o)
{
    return end_session(s, session_by_id(s->sessions, o->session));
}

static int on_enrol(struct state *s, const struct evolve_op *o)
{
    const struct msg *m = o->op;
    struct invite *invite =
        invite_by_index(s->agents, msg_u(o->effect, FIELD_REVISION));
    struct hash id = agent_id(msg_b(m, FIELD_PUBLIC_KEY).p);
    struct msg grants;
    int r;

    if (!invite)
        return -EUCLEAN;
    r = agent_enrol(s->agents, o->index, msg_b(m, FIELD_NAME),
                    msg_b(m, FIELD_PUBLIC_KEY).p, msg_b(m, FIELD_CURVE_KEY).p);
    if (r)
        return must(r);
    msg_init(&grants, MSG_INVITE);
    msg_set_list(&grants, FIELD_GRANTS, invite->grant_count,
                 buf_bytes(&invite->grants));
    r = agent_grant(s->agents, agent_by_id(s->agents, &id),
                    msg_list(&grants, FIELD_GRANTS));
    if (!r)
        invite_use(s->agents, invite);
    return must(r);
}

/* A choice of the author, or the default that was recorded in its stead. */
static uint64_t chosen(const struct evolve_op *o, enum field f)
{
    return msg_u(msg_has(o->op, f) ? o->op : o->effect, f);
}

static int on_invite(struct state *s, const struct evolve_op *o)
{
    const struct msg *m = o->op;
    uint64_t uses = msg_has(m, FIELD_USES) ? msg_u(m, FIELD_USES) : 1;
    uint64_t expires = chosen(o, FIELD_EXPIRES);

    return must(invite_add(s->agents, o->index, msg_b(m, FIELD_CURVE_KEY).p,
                           uses, expires, msg_u(m, FIELD_GRANTS),
                           msg_b(m, FIELD_GRANTS)));
}

static int on_grant(struct state *s, const struct evolve_op *o)
{
    struct hash id = msg_hash(o->op, FIELD_AGENT);
    struct agent *a = agent_by_id(s->agents, &id);

    if (!a)
        return -EUCLEAN;
    return must(agent_grant(s->agents, a, msg_list(o->op, FIELD_GRANTS)));
}

static int on_revoke(struct state *s, const struct evolve_op *o)
{
    struct hash id = msg_hash(o->op, FIELD_AGENT);
    struct agent *a = agent_by_id(s->agents, &id);
    struct session *at, *next;

    if (!a)
        return -EUCLEAN;
    agent_revoke(s->agents, a, o->index);
    for (at = sessions_next(s->sessions, NULL); at; at = next) {
        next = sessions_next(s->sessions, at);
        if (at->agent == a->number && end_session(s, at))
            return -EUCLEAN;
    }
    return 0;
}

static int write_key(struct state *s, const struct evolve_op *o,
                     struct bytes space, struct bytes key, int slot)
{
    if (slot < 0)
        return must(context_delete(s->context, space, key, o->index, o->agent));
    if ((size_t)slot >= msg_slots(o->op))
        return -EUCLEAN;
    return must(context_put(s->context, space, key, o->index, o->agent,
                            (uint8_t)slot,
                            msg_slot_bytes(o->op, (size_t)slot)));
}

static int on_put(struct state *s, const struct evolve_op *o)
{
    return write_key(s, o, msg_b(o->op, FIELD_SPACE), msg_b(o->op, FIELD_KEY),
                     0);
}

static int on_delete(struct state *s, const struct evolve_op *o)
{
    return write_key(s, o, msg_b(o->op, FIELD_SPACE), msg_b(o->op, FIELD_KEY),
                     -1);
}

static int write_all(struct state *s, const struct evolve_op *o,
                     struct bytes space)
{
    struct list writes = msg_list(o->op, FIELD_WRITES);
    struct msg w;

    while (list_next(&writes, &w)) {
        bool put = msg_has(&w, FIELD_SLOT);
        const struct key *k =
            context_find(s->context, space, msg_b(&w, FIELD_KEY));
        int r;

        if (!put && (!k || k->deleted))
            continue; /* deleting what is absent changes nothing */
        r = write_key(s, o, space, msg_b(&w, FIELD_KEY),
                      put ? (int)msg_u(&w, FIELD_SLOT) : -1);
        if (r)
            return r;
    }
    return 0;
}

static int on_txn(struct state *s, const struct evolve_op *o)
{
    return write_all(s, o, msg_b(o->op, FIELD_SPACE));
}

static int on_submit(struct state *s, const struct evolve_op *o)
{
    struct task t = {
        .id = o->index,
        .payload = o->index,
        .changed = o->index,
        .lease_ms = chosen(o, FIELD_LEASE_MS),
        .backoff_ms = chosen(o, FIELD_BACKOFF_MS),
        .max_attempts = (uint32_t)chosen(o, FIELD_MAX_ATTEMPTS),
        .submitter = o->agent,
        .priority = (uint8_t)msg_u(o->op, FIELD_PRIORITY),
        .state = TASK_QUEUED,
    };

    if (!author(s, o))
        return -EUCLEAN;
    author(s, o)->open_tasks++;
    return must(task_add(s->tasks, msg_b(o->op, FIELD_SPACE),
                         msg_b(o->op, FIELD_QUEUE), &t));
}

static int on_requeue(struct state *s, const struct evolve_op *o)
{
    struct task *old = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    struct task t;

    if (!old || !author(s, o))
        return -EUCLEAN;
    t = (struct task){
        .id = o->index,
        .payload = old->payload,
        .changed = o->index,
        .lease_ms = old->lease_ms,
        .backoff_ms = old->backoff_ms,
        .max_attempts = old->max_attempts,
        .submitter = o->agent,
        .priority = old->priority,
        .state = TASK_QUEUED,
    };
    author(s, o)->open_tasks++;
    return must(task_add(s->tasks, bytes_text(old->queue->space),
                         bytes_text(old->queue->name), &t));
}

static int on_claim(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    struct hash id = msg_hash(o->op, FIELD_AGENT);
    struct agent *a = agent_by_id(s->agents, &id);

    if (!t || !a || t->state != TASK_QUEUED)
        return -EUCLEAN;
    a->leases++;
    task_claim(s->tasks, t, o->index, a->number, msg_u(o->op, FIELD_SESSION),
               (uint32_t)msg_u(o->op, FIELD_ATTEMPT));
    return 0;
}

/* The lease of a working task ends, whatever comes then. */
static int end_lease(struct state *s, struct task *t)
{
    struct agent *holder;

    if (!t || t->state != TASK_WORKING)
        return -EUCLEAN;
    holder = agent_by_number(s->agents, t->holder);
    if (!holder)
        return -EUCLEAN;
    holder->leases--;
    return 0;
}

static int finish(struct state *s, const struct evolve_op *o, struct task *t,
                  enum task_state state)
{
    struct agent *a = agent_by_number(s->agents, t->submitter);

    if (!a)
        return -EUCLEAN;
    a->open_tasks--;
    task_finish(s->tasks, t, o->index, state);
    return 0;
}

static int on_progress(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));

    if (!t)
        return -EUCLEAN;
    task_progress(s->tasks, t, o->index);
    return 0;
}

static int on_complete(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    int r = end_lease(s, t);

    if (!r)
        r = write_all(s, o, bytes_text(t->queue->space));
    return r ? r : finish(s, o, t, TASK_COMPLETED);
}

static int on_fail(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    int r = end_lease(s, t);

    return r ? r : finish(s, o, t, TASK_FAILED);
}

/* nak and expire: what follows stands in the effect. */
static int on_release(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    int r = end_lease(s, t);

    if (r)
        return r;
    if (msg_u(o->effect, FIELD_STATE) == TASK_DEAD)
        return finish(s, o, t, TASK_DEAD);
    task_release(s->tasks, t, o->index, msg_u(o->effect, FIELD_NOT_BEFORE));
    return 0;
}

static int on_cancel(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));

    if (!t || task_state_final(t->state))
        return -EUCLEAN;
    if (t->state == TASK_WORKING && end_lease(s, t))
        return -EUCLEAN;
    return finish(s, o, t, TASK_CANCELLED);
}

static int on_genesis(struct state *s, const struct evolve_op *o)
{
    if (o->index != 0)
        return -EUCLEAN;
    s->ledger = hash_of(HASH_LEDGER, o->head);
    s->epoch = 1;
    return must(agent_enrol(s->agents, 0, bytes_text("broker"),
                            msg_b(o->op, FIELD_PUBLIC_KEY).p,
                            msg_b(o->op, FIELD_CURVE_KEY).p));
}

static int on_admit(struct state *s, const struct evolve_op *o)
{
    const struct msg *m = o->op;
    struct hash id = msg_hash(m, FIELD_AGENT);
    int r =
        agent_enrol(s->agents, o->index, msg_b(m, FIELD_NAME),
                    msg_b(m, FIELD_PUBLIC_KEY).p, msg_b(m, FIELD_CURVE_KEY).p);

    if (r)
        return must(r);
    return must(agent_grant(s->agents, agent_by_id(s->agents, &id),
                            msg_list(m, FIELD_GRANTS)));
}

static int on_session_end(struct state *s, const struct evolve_op *o)
{
    return end_session(s,
                       session_by_id(s->sessions, msg_u(o->op, FIELD_SESSION)));
}

static int on_checkpoint(struct state *s, const struct evolve_op *o)
{
    s->checkpoint = o->index;
    return 0;
}

static int on_new_epoch(struct state *s, const struct evolve_op *o)
{
    s->epoch = msg_u(o->op, FIELD_EPOCH);
    s->epoch_began = msg_u(o->op, FIELD_SIZE);
    return 0;
}

/* What was cut was never part of the state, and who looks changes nothing:
 * these are there to be read. */
static int on_remark(struct state *s, const struct evolve_op *o)
{
    (void)s;
    (void)o;
    return 0;
}

static int on_rules(struct state *s, const struct evolve_op *o)
{
    struct list items = msg_list(o->op, FIELD_ITEMS);
    struct msg item;

    while (list_next(&items, &item)) {
        struct bytes name = msg_b(&item, FIELD_NAME);

#define X(rule, value, unit)                  \
    if (bytes_equal(name, bytes_text(#rule))) \
        s->rules.rule = msg_u(&item, FIELD_LIMIT);
        RULES(X)
#undef X
    }
    return 0;
}

static int on_forget(struct state *s, const struct evolve_op *o)
{
    uint64_t upto = msg_u(o->op, FIELD_REVISION);

    switch (msg_u(o->op, FIELD_KIND)) {
    case FORGET_TASKS: tasks_forget(s->tasks, upto); return 0;
    case FORGET_IDS: operation_ids_forget(s->agents, upto); return 0;
    case FORGET_INVITES: invites_forget(s->agents, o->time); return 0;
    default: return -EUCLEAN;
    }
}

typedef int (*evolve_verb)(struct state *s, const struct evolve_op *o);

static const evolve_verb verbs[256] = {
    [MSG_SESSION_OPEN] = on_session_open,
    [MSG_SESSION_CLOSE] = on_session_close,
    [MSG_ENROL] = on_enrol,
    [MSG_INVITE] = on_invite,
    [MSG_GRANT] = on_grant,
    [MSG_REVOKE] = on_revoke,
    [MSG_PUT] = on_put,
    [MSG_DELETE] = on_delete,
    [MSG_TXN] = on_txn,
    [MSG_SUBMIT] = on_submit,
    [MSG_PROGRESS] = on_progress,
    [MSG_COMPLETE] = on_complete,
    [MSG_FAIL] = on_fail,
    [MSG_NAK] = on_release,
    [MSG_CANCEL] = on_cancel,
    [MSG_REQUEUE] = on_requeue,
    [MSG_GENESIS] = on_genesis,
    [MSG_ADMIT] = on_admit,
    [MSG_CLAIM] = on_claim,
    [MSG_EXPIRE] = on_release,
    [MSG_SESSION_END] = on_session_end,
    [MSG_CHECKPOINT] = on_checkpoint,
    [MSG_NEW_EPOCH] = on_new_epoch,
    [MSG_CUT] = on_remark,
    [MSG_TAPPED] = on_remark,
    [MSG_RULES] = on_rules,
    [MSG_FORGET] = on_forget,
    [MSG_EQUIVOCATE] = on_session_end,
};

/* The first outcome under an id stays. It may be there already although this
 * is no REPEATED: whoever has no session (it was closed by the operation
 * before, say) is refused before anyone looks at ids. */
static int keep_id(struct state *s, const struct evolve_op *o)
{
    struct bytes id = o->op ? msg_b(o->op, FIELD_ID) : (struct bytes){0};

    if (id.n == 0 || operation_id_find(s->agents, o->agent, id, NULL))
        return 0;
    return must(
        operation_id_add(s->agents, o->agent, id, o->index, o->outcome));
}

int evolve_op(struct state *s, const struct evolve_op *o)
{
    int r = 0;

    if (o->index != s->size || o->time < s->time)
        return -EUCLEAN;
    if (o->outcome == CHOIR_OK) {
        if (!o->op || !verbs[o->op->verb])
            return -EUCLEAN;
        r = verbs[o->op->verb](s, o);
    }
    if (!r)
        r = keep_id(s, o);
    s->size = o->index + 1;
    s->time = o->time;
    return r;
}

int evolve_bundle(struct state *s, const struct evolve_bundle *b)
{
    struct session *session;

    if (b->broker) {
        if (b->first_seq != s->broker_seq)
            return -EUCLEAN;
        s->broker_seq += b->count;
        s->broker_prev = b->hash;
        return 0;
    }
    if (b->session == 0)
        return 0;
    session = session_by_id(s->sessions, b->session);
    if (!session || b->first_seq != session->next_seq)
        return -EUCLEAN;
    return must(session_accept(s->sessions, session, b->first_seq, b->count,
                               b->answered, &b->hash, b->index));
}

struct hash evolve_leaf(uint64_t index, uint64_t time, const struct hash *agent,
                        uint64_t session, uint64_t seq,
                        const struct hash *bundle, uint32_t position,
                        const struct hash *operation, int outcome,
                        struct bytes effect)
{
    struct entry e;

    msg_init(&e.bundle, MSG_BUNDLE_HEADER);
    msg_set_hash(&e.bundle, FIELD_AGENT, agent);
    e.index = index;
    e.time = time;
    e.bundle_hash = *bundle;
    e.position = position;
    e.session = session;
    e.seq = seq;
    e.outcome = outcome;
    e.effect = effect;
    return entry_leaf_of(&e, operation);
}

/* Does the record's own statement fit what we have? */
static int checkpoint_fits(const struct state *s, const struct msg *m)
{
    struct hash digest = state_digest(s), root = frontier_root(&s->tree);
    struct hash said_digest = msg_hash(m, FIELD_DIGEST);
    struct hash said_root = msg_hash(m, FIELD_ROOT);

    return msg_u(m, FIELD_SIZE) == s->size &&
                   hash_equal(&digest, &said_digest) &&
                   hash_equal(&root, &said_root)
               ? 0
               : -EUCLEAN;
}

static int replay_op(struct state *s, const struct entry *e, uint32_t agent,
                     const uint8_t *public_key)
{
    struct msg op, effect;
    struct evolve_op o = {
        .index = e->index,
        .time = e->time,
        .agent = agent,
        .session = e->session,
        .head = e->head,
        .outcome = e->outcome,
        .effect = &effect,
        .bundle = &e->bundle_hash,
        .public_key = public_key,
    };
    unsigned field;

    msg_init(&effect, MSG_EFFECT);
    if (e->effect.n && part_decode(MSG_EFFECT, e->effect, &effect, &field))
        return -EUCLEAN;
    if (e->outcome != CHOIR_UNSUPPORTED) {
        if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field))
            return -EUCLEAN;
        o.op = &op;
        if (op.verb == MSG_CHECKPOINT && checkpoint_fits(s, &op))
            return -EUCLEAN;
    }
    return evolve_op(s, &o);
}

int evolve(struct state *s, const struct entry *e)
{
    struct hash leaf = entry_leaf(e);

    return evolve_with(s, e, &leaf);
}

int evolve_with(struct state *s, const struct entry *e, const struct hash *leaf)
{
    struct hash id = msg_hash(&e->bundle, FIELD_AGENT);
    const struct agent *a = agent_by_id(s->agents, &id);
    struct evolve_bundle b = {
        .session = e->session,
        .first_seq = msg_u(&e->bundle, FIELD_FIRST_SEQ),
        .answered = msg_u(&e->bundle, FIELD_ANSWERED),
        .index = e->index - e->position,
        .count = e->count,
        .broker = e->index == 0 || (a && a->number == 1),
        .hash = e->bundle_hash,
    };
    int r = 0;

    if (!b.broker && e->position == 0)
        r = evolve_bundle(s, &b);
    if (!r)
        r = replay_op(s, e,
                      a               ? a->number
                      : e->index == 0 ? 1
                                      : AGENT_NONE,
                      msg_b(&e->bundle, FIELD_PUBLIC_KEY).p);
    if (!r && b.broker && e->position == e->count - 1)
        r = evolve_bundle(s, &b);
    frontier_add(&s->tree, *leaf);
    return r;
}
