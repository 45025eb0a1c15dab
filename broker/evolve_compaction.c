/* Where the past that is kept begins. */
#include "evolve_private.h"

int evolve_compact(struct state *s, const struct evolve_op *o)
{
    struct bytes space = msg_b(o->op, FIELD_SPACE);

    if (bytes_equal(space, bytes_text("*")))
        space.n = 0;
    return evolve_must(
        compaction_raise(s->compaction, space, msg_u(o->op, FIELD_REVISION)));
}
