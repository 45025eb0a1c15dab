/* Bundles that change the record: what core makes of them goes to everybody it
 * concerns, and back to their author. */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "cycle_private.h"
#include "proto/refusal.h"

/* --- What was applied ---------------------------------------------------- */

/* Its sessions have ended with it; its connections are cut. */
static void agent_revoked(struct cycle *c, const struct agent *a)
{
    struct presence *p;
    struct connection *x;

    while ((p = agent_presences(c->router, a->number)) != NULL)
        session_over(c, p->session, "the agent was revoked");
    for (x = agent_connections(c->router, a->number); x; x = x->agent_next)
        connection_cut(c->router, x, "the agent was revoked");
}

/* The sessions it had opened are over; the one in which that was said hears its
 * answer first. cut: whoever holds the key is not let near any more; the agent's
 * others connect again by themselves. */
static void key_ended(struct cycle *c, const struct agent *a, uint64_t said_in,
                      bool cut)
{
    struct presence *p, *next;
    struct connection *x;

    for (p = agent_presences(c->router, a->number); p; p = next) {
        next = p->agent_next;
        if (p->session != said_in &&
            !session_by_id(cycle_state(c)->sessions, p->session))
            session_over(c, p->session, "its key has ended");
    }
    for (x = agent_connections(c->router, a->number); cut && x;
         x = x->agent_next)
        connection_cut(c->router, x, "a key of the agent was revoked");
}

static void grants_changed(struct cycle *c, const struct agent *a)
{
    struct presence *p;

    for (p = agent_presences(c->router, a->number); p; p = p->agent_next) {
        watches_recheck(c->cursors, p);
        inboxes_recheck(c->inboxes, p);
    }
}

static void rights_applied(struct cycle *c, const struct bundle *b,
                           const struct msg *op)
{
    struct hash id = msg_hash(op, FIELD_AGENT);
    const struct agent *a = agent_by_id(cycle_state(c)->agents, &id);

    if (!a)
        return;
    if (op->verb == MSG_REVOKE && !msg_has(op, FIELD_PUBLIC_KEY))
        agent_revoked(c, a);
    else if (op->verb == MSG_REVOKE)
        key_ended(c, a, b->session, true);
    else
        grants_changed(c, a);
}

int change_applied(struct cycle *c, const struct bundle_op *op,
                   const struct hash *agent, uint64_t index,
                   struct bytes effect)
{
    bool concerned = leases_concerned(c->leases, op);
    struct entry e;
    int r = 0;

    if (!concerned && !cursors_concerned(c->cursors, op->space, op->key))
        return 0; /* mostly; an entry is 2 KiB to clear */
    e = (struct entry){
        .index = index,
        .time = core_time(c->core),
        .outcome = CHOIR_OK,
        .head = op->head,
        .effect = effect,
        .payload = op->payload,
    };
    if (head_slots(e.head, &e.rows) ||
        (effect.n && head_slots(effect, &e.effect_rows)))
        return -EUCLEAN;
    if (e.effect_rows.n)
        e.effect_payload = core_merged(c->core);
    if (concerned)
        r = leases_changed(c->leases, &e, agent);
    return r ? r : cursors_live(c->cursors, &e, agent);
}

static int task_applied(struct cycle *c, const struct msg *op, uint64_t index)
{
    int r = lease_applied(c->leases, op, index);

    await_touch(c->awaits, msg_u(op, FIELD_TASK));
    inboxes_touch(c->inboxes, op);
    return r;
}

static int applied(struct cycle *c, const struct bundle *b, uint32_t position,
                   uint64_t index, struct bytes effect)
{
    const struct bundle_op *as_sent = &b->ops[position];
    const struct msg *op = core_told_op(c->core);
    int r = 0;

    switch (op->verb) {
    case MSG_PUT:
    case MSG_DELETE:
    case MSG_APPEND:
    case MSG_INCR:
    case MSG_TXN: return change_applied(c, as_sent, &b->agent, index, effect);
    case MSG_COMPLETE:
        if (msg_has(op, FIELD_WRITES))
            r = change_applied(c, as_sent, &b->agent, index, effect);
        return r ? r : task_applied(c, op, index);
    case MSG_SUBMIT:
        lease_submitted(c->leases, op, as_sent->payload, index);
        return task_applied(c, op, index);
    case MSG_PROGRESS:
    case MSG_FAIL:
    case MSG_NAK:
    case MSG_HEED:
    case MSG_CANCEL:
    case MSG_REQUEUE:
    case MSG_PARTIAL:
    case MSG_ASK_INPUT:
    case MSG_INPUT:
    case MSG_QUEUE_SET: return task_applied(c, op, index);
    case MSG_SEND: inboxes_touch(c->inboxes, op); return 0;
    case MSG_ROTATE:
    case MSG_RECOVER:
        key_ended(c, agent_by_id(cycle_state(c)->agents, &b->agent), b->session,
                  false);
        return 0;
    case MSG_GRANT:
    case MSG_REVOKE: rights_applied(c, b, op); return 0;
    default: return 0;
    }
}

/* Policy requeue: another attempt is owed although nothing was done. */
static int stale_applied(struct cycle *c, struct bytes effect_bytes)
{
    const struct msg *op = core_told_op(c->core);
    struct msg effect;
    unsigned field;
    int r;

    if (part_decode(MSG_EFFECT, effect_bytes, &effect, &field))
        return -EUCLEAN;
    r = lease_stale(c->leases, op, &effect);
    if (msg_has(&effect, FIELD_STATE))
        await_touch(c->awaits, msg_u(op, FIELD_TASK));
    return r;
}

/* A completion that was accepted although it is stale says so. */
static bool is_flagged(struct bytes effect_bytes)
{
    struct msg effect;
    unsigned field;

    return effect_bytes.n &&
           part_decode(MSG_EFFECT, effect_bytes, &effect, &field) == 0 &&
           msg_has(&effect, FIELD_STALE);
}

/* What is there now is not what was written: it was merged. */
static bool is_merged(struct bytes effect)
{
    struct bytes rows;

    return effect.n > SLOT_ROW_BYTES && !head_slots(effect, &rows) && rows.n;
}

/* Does the author learn from the effect what the outcome does not say? */
static bool worth_telling(unsigned verb, int outcome, struct bytes effect)
{
    if (outcome != CHOIR_OK)
        return true;
    switch (verb) {
    case MSG_PUT:
    case MSG_TXN: return is_merged(effect);
    case MSG_COMPLETE: return is_merged(effect) || is_flagged(effect);
    case MSG_DELETE:
    case MSG_APPEND:
    case MSG_INCR:
    case MSG_SUBMIT:
    case MSG_PARTIAL:
    case MSG_QUEUE_SET:
    case MSG_SEND: return false;
    default: return true;
    }
}

/* As its author is told it: without hashes of what he may not be allowed to
 * read. A merged value's salt follows from his own, so a hash of few possible
 * values would give the value away. */
static int effect_tell(struct buf *out, struct bytes effect)
{
    struct msg m;
    unsigned field;

    if (!is_merged(effect) || part_decode(MSG_EFFECT, effect, &m, &field)) {
        buf_put(out, effect.p, effect.n);
    } else {
        m.has &= ~FIELD_BIT(SLOTS);
        msg_encode(&m, out);
    }
    return out->failed ? -ENOMEM : 0;
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
    if (effect.n && worth_telling(verb, outcome, effect)) {
        if (effect_tell(&t->effects, effect))
            c->error = -ENOMEM;
        told->bytes = t->effects.n - told->at;
    }
    if (outcome != CHOIR_OK || told->bytes)
        t->plain = false;
    if (!again && outcome == CHOIR_OK && !c->error)
        c->error = applied(c, b, position, index, effect);
    if (!again && outcome == CHOIR_STALE && !c->error)
        c->error = stale_applied(c, effect);
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
        msg_set_u(&m, FIELD_EPOCH, cycle_state(c)->epoch);
    router_say(c->router, to, b->session, &b->agent, &m);
}

/* A forged signature is nobody's statement: it is dropped and shown to taps.
 * All else is answered to the peer that the wire has proven. */
int turn_away(struct cycle *c, const struct bundle *b, struct connection *to,
              const struct accepted *why)
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

/* What core has made of it, to its author and whom else it concerns. */
static int answer_record(struct cycle *c, const struct bundle *b,
                         struct connection *from, const struct accepted *a)
{
    int r = 0;

    if (a->turnaway)
        r = turn_away(c, b, from, a);
    else if (b->session)
        session_bind(c, b->session, b, from);
    if (a->session)
        session_bind(c, a->session, b, from->agent ? from : NULL);
    if (a->duplicate && c->telling.count < b->count)
        return repeat_later(c, b, from, a->index);
    say_outcomes(c, b, from);
    if (a->ends_session)
        session_over(c, b->session,
                     a->turnaway ? refusal_name(a->turnaway) : NULL);
    return r;
}

int take_record(struct cycle *c, struct arrival *a, struct opened *o)
{
    struct sender sender = cycle_sender(a->from, &o->proof);
    struct accepted *accepted = &c->accepted;
    int r;

    *accepted = (struct accepted){.turnaway = CHOIR_BUSY};
    if (c->draining)
        return turn_away(c, &o->bundle, a->from, accepted);
    buf_clear(&c->telling.effects);
    c->telling.count = 0;
    c->telling.plain = true;
    c->telling.accepted = accepted;
    r = core_accept(c->core, &o->bundle, &sender, on_told, &c->telling,
                    accepted);
    if (r || c->error)
        return r ? r : c->error;
    if (accepted->is_ahead) {
        lone_leave(c, a, o);
        return 0;
    }
    return answer_record(c, &o->bundle, a->from, accepted);
}

int record_follows(struct cycle *c, struct connection *from,
                   const struct bundle *b)
{
    int r = core_follow(c->core, on_told, &c->telling);

    if (r || c->error)
        return r ? r : c->error;
    return answer_record(c, b, from, &c->accepted);
}

/* --- Repeating ----------------------------------------------------------- */

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
        buf_clear(&c->telling.effects);
        if (e->effect.n && effect_tell(&c->telling.effects, e->effect))
            return -ENOMEM;
        if (e->effect.n)
            msg_set_b(&m, FIELD_EFFECT, buf_bytes(&c->telling.effects));
        router_say(c->router, to, x->session, &x->agent, &m);
    }
    return 0;
}

int answer_repeats(struct cycle *c)
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
