/* Keys whose time is up: by entries, a bounded number a turn, so that a
 * hundred thousand that end at once hold nobody up. */
#include <errno.h>

#include "cycle_private.h"
#include "proto/refusal.h"

enum { BROKER = 1, LAPSES_MAX = 512, READ_ONLY_RETRY_US = 1000000 };

static const struct ttl *overdue(const struct cycle *c)
{
    const struct ttl *t = ttls_first(context_ttls(cycle_state(c)->context));

    return t && t->due <= core_time(c->core) ? t : NULL;
}

static int lapse_tell(struct cycle *c, uint64_t index)
{
    const struct agent *broker =
        agent_by_number(cycle_state(c)->agents, BROKER);
    struct bundle_op op = {0};
    struct bytes effect;
    struct msg m;
    unsigned field;

    core_said(c->core, &op.head, &effect);
    if (msg_decode(op.head, CLASS_BROKER, &m, &field))
        return -EUCLEAN;
    op.space = msg_b(&m, FIELD_SPACE);
    op.key = msg_b(&m, FIELD_KEY);
    return change_applied(c, &op, &broker->id, index, effect);
}

/* 0, CHOIR_READ_ONLY or negative errno. */
static int lapse(struct cycle *c, const struct ttl *t)
{
    const struct key *k =
        context_find(cycle_state(c)->context, ttl_space(t), ttl_name(t));
    uint64_t index;
    struct msg m;
    int r;

    msg_init(&m, MSG_LAPSE);
    msg_set_b(&m, FIELD_SPACE, ttl_space(t));
    msg_set_b(&m, FIELD_KEY, ttl_name(t));
    msg_set_u(&m, FIELD_REVISION, k->revision);
    r = core_say(c->core, &m, &index);
    if (r)
        return r == CHOIR_READ_ONLY || r < 0 ? r : -EUCLEAN;
    return lapse_tell(c, index);
}

int cycle_lapse(struct cycle *c)
{
    uint64_t now = env_steady_us(c->env);
    unsigned left = LAPSES_MAX;
    const struct ttl *t;
    int r = 0;

    if (c->draining || now < c->lapse_retry)
        return 0;
    while (!r && left-- && (t = overdue(c)) != NULL)
        r = lapse(c, t);
    if (r == CHOIR_READ_ONLY)
        c->lapse_retry = now + READ_ONLY_RETRY_US;
    return r < 0 ? r : 0;
}

/* The wall decides what is over, the steady clock when to look again. */
uint64_t cycle_lapse_next(const struct cycle *c)
{
    const struct ttl *t = ttls_first(context_ttls(cycle_state(c)->context));
    uint64_t now = env_steady_us(c->env), wait, next;

    if (!t || c->draining)
        return UINT64_MAX;
    wait = t->due > core_time(c->core) ? t->due - core_time(c->core) : 0;
    next = now + wait < c->lapse_retry ? c->lapse_retry : now + wait;
    return next == now ? 0 : next;
}
