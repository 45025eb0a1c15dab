/* Payloads that must no longer be shown. */
#include <errno.h>

#include "evolve_private.h"

int evolve_erase(struct state *s, const struct evolve_op *o)
{
    struct list items = msg_list(o->effect, FIELD_ITEMS);
    struct msg item;
    int r = 0;

    while (!r && list_next(&items, &item)) {
        uint64_t revision = msg_u(&item, FIELD_REVISION);

        r = revision < o->index ? erasure_add(s->erasure, revision,
                                              (size_t)msg_u(&item, FIELD_SLOT))
                                : -EUCLEAN;
    }
    return evolve_must(r);
}
