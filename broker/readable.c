/* From a key that may not be read it goes on where the next grant begins. */
#include "readable.h"

static const struct key *next(const struct context *c, struct bytes space,
                              struct bytes prefix, struct bytes from,
                              bool exclusive, uint64_t revision)
{
    return revision
               ? context_next_newer(c, space, prefix, from, exclusive, revision)
               : context_next(c, space, prefix, from, exclusive);
}

const struct key *readable_next(const struct state *s, const struct agent *a,
                                struct bytes space, struct bytes prefix,
                                struct bytes from, bool exclusive,
                                uint64_t revision)
{
    const struct key *k =
        next(s->context, space, prefix, from, exclusive, revision);
    struct bytes scope;

    while (k &&
           !agent_may(a, RIGHT_READ, space, key_name(k), (struct bytes){0})) {
        if (!agent_may_behind(a, RIGHT_READ, space, key_name(k), &scope))
            return NULL;
        k = next(s->context, space, prefix, scope, false, revision);
    }
    return k;
}
