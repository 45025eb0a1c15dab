/* One function per verb, each a few lines: everything hard was decided before
 * and stands in the effect. */
#include "evolve_private.h"

#include <errno.h>

#include "proto/refusal.h"

/* -ENOMEM stays; whatever else a change reports cannot follow. */
int evolve_must(int r)
{
    return r == 0 || r == -ENOMEM ? r : -EUCLEAN;
}

struct agent *evolve_author(struct state *s, const struct evolve_op *o)
{
    return agent_by_number(s->agents, o->agent);
}

/* A choice of the author, or the default that was recorded in its stead. */
uint64_t evolve_chosen(const struct evolve_op *o, enum field f)
{
    return msg_u(msg_has(o->op, f) ? o->op : o->effect, f);
}

static int on_genesis(struct state *s, const struct evolve_op *o)
{
    if (o->index != 0)
        return -EUCLEAN;
    s->ledger = hash_of(HASH_LEDGER, o->head);
    s->epoch = 1;
    return evolve_must(agent_enrol(s->agents, 0, bytes_text("broker"),
                                   msg_b(o->op, FIELD_PUBLIC_KEY).p,
                                   msg_b(o->op, FIELD_CURVE_KEY).p));
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
    case FORGET_TOPICS: return evolve_forget_topics(s, upto);
    default: return -EUCLEAN;
    }
}

typedef int (*evolve_verb)(struct state *s, const struct evolve_op *o);

static const evolve_verb verbs[256] = {
    [MSG_SESSION_OPEN] = evolve_session_open,
    [MSG_SESSION_CLOSE] = evolve_session_close,
    [MSG_ENROL] = evolve_enrol,
    [MSG_INVITE] = evolve_invite,
    [MSG_GRANT] = evolve_grant,
    [MSG_REVOKE] = evolve_revoke,
    [MSG_ROTATE] = evolve_rotate,
    [MSG_SUSPECT] = evolve_suspect,
    [MSG_RECOVER] = evolve_recover,
    [MSG_PUT] = evolve_put,
    [MSG_DELETE] = evolve_delete,
    [MSG_TXN] = evolve_txn,
    [MSG_SUBMIT] = evolve_submit,
    [MSG_PROGRESS] = evolve_progress,
    [MSG_COMPLETE] = evolve_complete,
    [MSG_FAIL] = evolve_fail,
    [MSG_NAK] = evolve_release,
    [MSG_CANCEL] = evolve_cancel,
    [MSG_REQUEUE] = evolve_requeue,
    [MSG_POLICY] = evolve_policy,
    [MSG_APPEND] = evolve_put,
    [MSG_INCR] = evolve_put,
    [MSG_SEND] = evolve_send,
    [MSG_MARK] = evolve_mark,
    [MSG_PARTIAL] = evolve_partial,
    [MSG_ASK_INPUT] = evolve_ask_input,
    [MSG_INPUT] = evolve_input,
    [MSG_QUEUE_SET] = evolve_queue_set,
    [MSG_COMPACT] = evolve_compact,
    [MSG_ERASE] = evolve_erase,
    [MSG_HEED] = evolve_heed,
    [MSG_GENESIS] = on_genesis,
    [MSG_ADMIT] = evolve_admit,
    [MSG_CLAIM] = evolve_claim,
    [MSG_EXPIRE] = evolve_release,
    [MSG_SESSION_END] = evolve_session_end,
    [MSG_CHECKPOINT] = on_checkpoint,
    [MSG_NEW_EPOCH] = on_new_epoch,
    [MSG_CUT] = on_remark,
    [MSG_TAPPED] = on_remark,
    [MSG_RULES] = on_rules,
    [MSG_FORGET] = on_forget,
    [MSG_EQUIVOCATE] = evolve_session_end,
    [MSG_GIVE_UP] = evolve_give_up,
    [MSG_LAPSE] = evolve_lapse,
    [MSG_ERASED] = evolve_erased,
};

/* The first outcome under an id stays. It may be there already although this
 * is no REPEATED: whoever has no session (it was closed by the operation
 * before, say) is refused before anyone looks at ids. */
static int keep_id(struct state *s, const struct evolve_op *o)
{
    struct bytes id = o->op ? msg_b(o->op, FIELD_ID) : (struct bytes){0};

    if (id.n == 0 || operation_id_find(s->agents, o->agent, id, NULL))
        return 0;
    return evolve_must(
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
    } else if (o->outcome == CHOIR_STALE) {
        r = evolve_stale(s, o);
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
    return evolve_must(session_accept(s->sessions, session, b->first_seq,
                                      b->count, b->answered, &b->hash,
                                      b->index));
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
