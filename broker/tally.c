#include "tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/refusal.h"

static int tally_reserve(struct tally *t, uint32_t agent)
{
    size_t cap = (size_t)agent + 64;
    uint32_t *counts;

    if (agent < t->cap)
        return 0;
    counts = reallocarray(t->counts, cap, sizeof *counts);
    if (!counts)
        return -ENOMEM;
    memset(counts + t->cap, 0, (cap - t->cap) * sizeof *counts);
    t->counts = counts;
    t->cap = cap;
    return 0;
}

int tally_add(struct tally *t, uint32_t agent, uint64_t most)
{
    int r = tally_reserve(t, agent);

    if (r)
        return r;
    if (t->counts[agent] >= most)
        return CHOIR_OVER_LIMIT;
    t->counts[agent]++;
    return 0;
}

void tally_sub(struct tally *t, uint32_t agent)
{
    t->counts[agent]--;
}

void tally_free(struct tally *t)
{
    free(t->counts);
    *t = (struct tally){0};
}
