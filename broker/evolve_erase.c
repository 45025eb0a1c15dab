/* Payloads that must no longer be shown. */
#include <errno.h>

#include "evolve_private.h"

/* Items name slots of entries before this one, which is `end`. */
static int slots_hide(struct state *s, const struct msg *m, uint64_t end)
{
    struct list items = msg_list(m, FIELD_ITEMS);
    struct msg item;
    int r = 0;

    while (!r && list_next(&items, &item)) {
        uint64_t revision = msg_u(&item, FIELD_REVISION);

        r = revision < end ? erasure_add(s->erasure, revision,
                                         (size_t)msg_u(&item, FIELD_SLOT))
                           : -EUCLEAN;
    }
    return evolve_must(r);
}

int evolve_erase(struct state *s, const struct evolve_op *o)
{
    if (msg_u(o->op, FIELD_KIND) != ERASE_VALUES)
        return evolve_must(erasing_begin(s->erasings, o->index));
    return slots_hide(s, o->effect, o->index);
}

int evolve_erased(struct state *s, const struct evolve_op *o)
{
    uint64_t order = msg_u(o->op, FIELD_REVISION);
    int r = slots_hide(s, o->op, o->index);

    if (r)
        return r;
    return evolve_must(erasing_slice(s->erasings, order, o->index,
                                     msg_u(o->op, FIELD_ITEMS),
                                     msg_u(o->op, FIELD_KIND) == ERASED_ALL));
}
