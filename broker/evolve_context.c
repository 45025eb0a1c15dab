/* What writing does to the shared context. */
#include <errno.h>

#include "evolve_private.h"

static int write_key(struct state *s, const struct evolve_op *o,
                     struct bytes space, struct bytes key, int slot)
{
    if (slot < 0)
        return evolve_must(
            context_delete(s->context, space, key, o->index, o->agent));
    if ((size_t)slot >= msg_slots(o->op))
        return -EUCLEAN;
    return evolve_must(context_put(s->context, space, key, o->index, o->agent,
                                   (uint8_t)slot,
                                   msg_slot_bytes(o->op, (size_t)slot)));
}

int evolve_put(struct state *s, const struct evolve_op *o)
{
    return write_key(s, o, msg_b(o->op, FIELD_SPACE), msg_b(o->op, FIELD_KEY),
                     0);
}

int evolve_delete(struct state *s, const struct evolve_op *o)
{
    return write_key(s, o, msg_b(o->op, FIELD_SPACE), msg_b(o->op, FIELD_KEY),
                     -1);
}

int evolve_writes(struct state *s, const struct evolve_op *o,
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

int evolve_txn(struct state *s, const struct evolve_op *o)
{
    return evolve_writes(s, o, msg_b(o->op, FIELD_SPACE));
}
