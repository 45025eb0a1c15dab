/* A bundle that was accepted: each of its operations is decided, joins the group,
 * and takes effect. */
#include <errno.h>

#include "core_private.h"
#include "proto/refusal.h"

struct application {
    struct core *c;
    const struct bundle *b;
    const struct sender *sender;
    uint32_t position;
    struct msg op, effect;
};

/* What its author read under the lease that it completes. */
static void observed_add(struct core *c, const struct msg *op,
                         struct decide_facts *facts)
{
    if (op->verb != MSG_COMPLETE || !c->observed)
        return;
    buf_clear(&c->observed_rows);
    facts->observed_count =
        c->observed(c->observed_arg, msg_u(op, FIELD_TASK),
                    msg_u(op, FIELD_TOKEN), &c->observed_rows);
    facts->observed = buf_bytes(&c->observed_rows);
}

static int decide_one(struct application *a, struct decide_facts *facts)
{
    const struct bundle_op *op = &a->b->ops[a->position];
    const struct field_row *row = field_row(op->field);
    unsigned field;

    if (op->refusal == 0 &&
        (brief_read(&op->brief, &a->op) ||
         msg_decode(op->head, CLASS_OPERATION, &a->op, &field) == 0)) {
        observed_add(a->c, &a->op, facts);
        return decide(a->c->state, &a->op, facts, &a->effect, &a->c->scratch);
    }
    buf_clear(&a->c->values.payload);
    msg_init(&a->effect, MSG_EFFECT);
    msg_set_text(&a->effect, FIELD_FIELD, row ? row->name : "unknown");
    return CHOIR_UNSUPPORTED;
}

/* Joining makes its author known half-way through the bundle. */
static uint32_t author_of(const struct application *a)
{
    const struct agent *agent = agent_by_id(a->c->state->agents, &a->b->agent);

    return agent ? agent->number : AGENT_NONE;
}

/* What merging adds to the ledger is the author's, too; it was not known before
 * and is paid for afterwards. */
static void merged_charge(const struct application *a)
{
    uint64_t bytes = core_merged(a->c).n;
    uint32_t agent = a->sender->agent;

    a->c->merged += bytes;
    if (agent < a->c->allowance_count)
        a->c->allowances[agent].bytes -= (double)bytes;
}

static bool ends_sessions(enum message verb)
{
    return verb == MSG_SESSION_CLOSE || verb == MSG_ROTATE ||
           verb == MSG_REVOKE;
}

int core_step(struct core *c, const struct bundle *b, uint32_t position,
              const struct evolve_op *step, struct bytes effect, core_told told,
              void *arg)
{
    int r;

    if (step->outcome < 64)
        c->counters.outcomes[step->outcome]++;
    r = evolve_op(c->state, step);
    if (r)
        return r;
    core_links_note(c, step, b->ops[position].payload);
    c->told_op = step->op;
    told(arg, b, position, step->outcome, step->index, effect);
    c->told_op = NULL;
    return 0;
}

static int apply_one(struct application *a, core_told told, void *arg,
                     struct accepted *out)
{
    struct core *c = a->c;
    const struct bundle_op *op = &a->b->ops[a->position];
    struct decide_facts facts = {
        .index = c->state->size,
        .time = c->time,
        .agent = author_of(a),
        .session = a->b->session,
        .invite = a->sender->invite,
        .public_key = a->b->has_key ? a->b->public_key : NULL,
        .payload = op->payload,
        .values = &c->values,
    };
    struct evolve_op step = {
        .index = facts.index,
        .time = c->time,
        .agent = facts.agent,
        .session = facts.session,
        .head = op->head,
        .effect = &a->effect,
        .bundle = &a->b->hash,
        .public_key = facts.public_key,
    };
    struct bytes effect;
    int r = decide_one(a, &facts);

    if (r < 0)
        return r;
    step.outcome = r;
    step.op = r == CHOIR_UNSUPPORTED ? NULL : &a->op;
    buf_clear(&c->effect);
    if (a->effect.has)
        msg_encode(&a->effect, &c->effect);
    effect = buf_bytes(&c->effect);
    group_add(&c->group, op->head, op->payload, r, effect, core_merged(c));
    merged_charge(a);
    if (step.outcome == CHOIR_OK && a->op.verb == MSG_SESSION_OPEN)
        out->session = step.index;
    r = core_step(c, a->b, a->position, &step, effect, told, arg);
    if (!r && step.outcome == CHOIR_OK && a->b->session &&
        ends_sessions(a->op.verb) &&
        !session_by_id(c->state->sessions, a->b->session))
        out->ends_session = true;
    return r;
}

struct evolve_bundle core_turn_of(const struct bundle *b, uint64_t index)
{
    return (struct evolve_bundle){
        .session = b->session,
        .first_seq = b->first_seq,
        .answered = b->answered,
        .index = index,
        .count = b->count,
        .hash = b->hash,
    };
}

struct leaves core_leaves_of(const struct bundle *b, uint64_t index)
{
    return (struct leaves){
        .first = index,
        .session = b->session,
        .first_seq = b->first_seq,
        .agent = b->agent,
        .bundle = b->hash,
        .count = b->count,
    };
}

int core_apply(struct core *c, const struct bundle *b,
               const struct sender *sender, core_told told, void *arg,
               struct accepted *out)
{
    struct application a = {.c = c, .b = b, .sender = sender};
    struct evolve_bundle turn;
    struct leaves leaves;
    int r = core_flush(c); /* what the broker said before stands before */

    if (r)
        return r;
    out->index = c->state->size;
    turn = core_turn_of(b, out->index);
    leaves = core_leaves_of(b, out->index);
    r = evolve_bundle(c->state, &turn);
    if (r)
        return r;
    group_add_bundle(&c->group, b->header, b->signature);
    leaves.at = c->group.heads.n;
    c->counters.bundles++;
    decide_fetch(c->state, b);
    c->values.merged = c->values.looked = 0;
    for (; !r && a.position < b->count; a.position++)
        r = apply_one(&a, told, arg, out);
    return r ? r : core_leaves(c, &leaves, &b->ops->hash, sizeof *b->ops);
}
