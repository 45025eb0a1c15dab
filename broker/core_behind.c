/* What lags behind the record, after an upgrade or a crash, reads it back slice
 * by slice: as fast as it can while nobody wants anything, else in a part of
 * the time. The tree and the index of links share it. */
#include "core_private.h"

enum {
    OTHERS_US = 10000, /* so long after somebody wanted something */
    REST = 3,          /* times as long as a slice took is left to them */
};

bool core_others(const struct core *c, uint64_t now)
{
    return now < c->behind.others + OTHERS_US;
}

int core_slice(struct core *c, int (*read)(struct core *c))
{
    uint64_t begun = env_steady_us(c->env), now;
    int r;

    if (core_others(c, begun) && begun < c->behind.again)
        return 0;
    r = read(c);
    now = env_steady_us(c->env);
    c->behind.again = now + REST * (now - begun);
    return r;
}

void core_heard(struct core *c)
{
    c->behind.others = env_steady_us(c->env);
}

uint64_t core_behind(const struct core *c)
{
    uint64_t size = c->state->size;
    uint64_t tree = c->tree_is_whole ? 0 : size - c->tree_past.size;
    uint64_t links = c->links.links ? size - links_size(c->links.links) : 0;

    return tree > links ? tree : links;
}

uint64_t core_behind_next(const struct core *c)
{
    uint64_t next = UINT64_MAX, walk = core_walk_next(c);

    if (core_tree_lags(c) || core_links_lag(c))
        next = core_others(c, env_steady_us(c->env)) ? c->behind.again : 0;
    return walk < next ? walk : next;
}
