/* What becomes of an agent's keys, and of the sessions that they opened. */
#include <errno.h>

#include "evolve_private.h"

static const uint8_t *key_of(const struct evolve_op *o, enum field f)
{
    return msg_b(o->op, f).p;
}

static int key_end(struct state *s, struct agent *a, unsigned slot,
                   uint64_t index)
{
    int r = agent_key_end(s->agents, a, slot, index);

    return r ? r : sessions_over(s, a, (int)slot);
}

static int recovery_keep(struct state *s, const struct evolve_op *o,
                         struct agent *a)
{
    return msg_has(o->op, FIELD_RECOVERY_KEY)
               ? agent_recovery_set(s->agents, a, key_of(o, FIELD_RECOVERY_KEY))
               : 0;
}

int evolve_rotate(struct state *s, const struct evolve_op *o)
{
    struct agent *a = evolve_author(s, o);
    const struct session *session = session_by_id(s->sessions, o->session);
    unsigned slot;
    int r;

    if (!a || !session)
        return -EUCLEAN;
    slot = session->key; /* it may not live any longer than this */
    r = recovery_keep(s, o, a);
    if (!r && msg_has(o->op, FIELD_PUBLIC_KEY))
        r = agent_key_add(s->agents, a, o->index, key_of(o, FIELD_PUBLIC_KEY),
                          key_of(o, FIELD_CURVE_KEY));
    else if (!r && msg_has(o->op, FIELD_CURVE_KEY))
        r = agent_curve_set(s->agents, a, slot, key_of(o, FIELD_CURVE_KEY));
    if (!r && msg_has(o->op, FIELD_PUBLIC_KEY) &&
        msg_u(o->op, FIELD_KIND) != ROTATE_ADD)
        r = key_end(s, a, slot, o->index);
    return evolve_must(r);
}

int evolve_key_end(struct state *s, const struct evolve_op *o, struct agent *a)
{
    int slot = agent_key_slot(a, key_of(o, FIELD_PUBLIC_KEY));

    return slot < 0 ? -EUCLEAN
                    : evolve_must(key_end(s, a, (unsigned)slot, o->index));
}

int evolve_suspect(struct state *s, const struct evolve_op *o)
{
    struct hash id = msg_hash(o->op, FIELD_AGENT);
    struct agent *a = agent_by_id(s->agents, &id);
    uint64_t since = msg_u(o->op, FIELD_REVISION);
    int slot = -1, r = 0;

    if (a && msg_has(o->op, FIELD_PUBLIC_KEY))
        slot = agent_key_slot(a, key_of(o, FIELD_PUBLIC_KEY));
    if (!a || (slot < 0 && msg_has(o->op, FIELD_PUBLIC_KEY)))
        return -EUCLEAN;
    if (slot >= 0)
        return evolve_must(
            agent_key_suspect(s->agents, a, (unsigned)slot, since));
    for (unsigned i = 0; !r && (i == 0 || i < a->key_count); i++)
        r = agent_key_suspect(s->agents, a, i, since);
    return evolve_must(r);
}

int evolve_recover(struct state *s, const struct evolve_op *o)
{
    struct agent *a = evolve_author(s, o);
    struct invite *invite =
        invite_by_index(s->agents, msg_u(o->effect, FIELD_REVISION));
    int r = 0;

    if (!a)
        return -EUCLEAN;
    if (invite)
        invite_use(s->agents, invite);
    for (unsigned i = 0; !r && (i == 0 || i < a->key_count); i++)
        if (agent_key_valid(a, i))
            r = key_end(s, a, i, o->index);
    if (!r)
        r = agent_key_add(s->agents, a, o->index, key_of(o, FIELD_PUBLIC_KEY),
                          key_of(o, FIELD_CURVE_KEY));
    return evolve_must(r ? r : recovery_keep(s, o, a));
}
