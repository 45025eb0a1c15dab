/* What writing does to the shared context. */
#include <errno.h>

#include "evolve_private.h"

static int put_key(struct state *s, const struct evolve_op *o,
                   struct bytes space, struct bytes key, uint64_t slot)
{
    bool of_effect = slot >= SLOT_EFFECT;
    const struct msg *m = of_effect ? o->effect : o->op;
    size_t at = (size_t)(of_effect ? slot - SLOT_EFFECT : slot);

    if (at >= msg_slots(m))
        return -EUCLEAN;
    return evolve_must(context_put(s->context, space, key, o->index, o->agent,
                                   (uint8_t)slot, msg_slot_bytes(m, at)));
}

static int delete_key(struct state *s, const struct evolve_op *o,
                      struct bytes space, struct bytes key)
{
    return evolve_must(
        context_delete(s->context, space, key, o->index, o->agent));
}

/* put, append, incr: what was merged is in the effect. */
int evolve_put(struct state *s, const struct evolve_op *o)
{
    struct bytes space = msg_b(o->op, FIELD_SPACE);
    struct bytes key = msg_b(o->op, FIELD_KEY);
    int r = put_key(s, o, space, key,
                    msg_has(o->effect, FIELD_SLOTS) ? SLOT_EFFECT : 0);

    if (r || !msg_has(o->op, FIELD_TTL_MS))
        return r;
    return evolve_must(context_lapse_at(
        s->context, space, key, o->time + msg_u(o->op, FIELD_TTL_MS) * 1000));
}

int evolve_lapse(struct state *s, const struct evolve_op *o)
{
    struct bytes space = msg_b(o->op, FIELD_SPACE);
    struct bytes key = msg_b(o->op, FIELD_KEY);
    const struct key *k = context_find(s->context, space, key);

    if (!k || !k->lapses || k->revision != msg_u(o->op, FIELD_REVISION))
        return -EUCLEAN;
    return delete_key(s, o, space, key);
}

int evolve_delete(struct state *s, const struct evolve_op *o)
{
    return delete_key(s, o, msg_b(o->op, FIELD_SPACE), msg_b(o->op, FIELD_KEY));
}

static int evolve_write(struct state *s, const struct evolve_op *o,
                        struct bytes space, const struct msg *w,
                        const struct msg *item)
{
    struct bytes key = msg_b(w, FIELD_KEY);
    const struct key *k;

    if (msg_has(w, FIELD_SLOT))
        return put_key(s, o, space, key,
                       msg_u(msg_has(item, FIELD_SLOT) ? item : w, FIELD_SLOT));
    k = context_find(s->context, space, key);
    return k && !k->deleted ? delete_key(s, o, space, key)
                            : 0; /* deleting what is absent changes nothing */
}

int evolve_writes(struct state *s, const struct evolve_op *o,
                  struct bytes space)
{
    bool merged = msg_has(o->effect, FIELD_SLOTS);
    struct list writes = msg_list(o->op, FIELD_WRITES);
    struct list items = msg_list(o->effect, FIELD_ITEMS);
    struct msg w, item;
    int r = 0;

    msg_init(&item, MSG_ITEM);
    while (!r && list_next(&writes, &w)) {
        if (merged && !list_next(&items, &item))
            return -EUCLEAN;
        r = evolve_write(s, o, space, &w, &item);
    }
    return r;
}

int evolve_txn(struct state *s, const struct evolve_op *o)
{
    return evolve_writes(s, o, msg_b(o->op, FIELD_SPACE));
}

int evolve_policy(struct state *s, const struct evolve_op *o)
{
    return evolve_must(policy_set(s->policies, msg_b(o->op, FIELD_SPACE),
                                  msg_b(o->op, FIELD_PREFIX),
                                  (enum merge_rule)msg_u(o->op, FIELD_RULE)));
}
