/* A counting Bloom filter with two counts a thing, sixteen bytes each: about
 * one "yes" in sixty is wrong. */
#include "filter.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_EACH = 16, CAP_MIN = 1024, STUCK = 255 };

static size_t second(uint64_t hash, size_t first)
{
    return (first & ~(size_t)63) | hash >> 58;
}

/* A count that has reached its end stays there: yes for ever. */
static void count(uint8_t *n, int by)
{
    if (*n != STUCK)
        *n = (uint8_t)(*n + by);
}

static void count_both(struct filter *f, uint64_t hash, int by)
{
    size_t a = hash & (f->cap - 1), b = second(hash, a);

    if (!f->cap)
        return;
    count(&f->counts[a], by);
    if (a != b)
        count(&f->counts[b], by);
}

void filter_free(struct filter *f)
{
    free(f->counts);
    *f = (struct filter){0};
}

void filter_add(struct filter *f, uint64_t hash)
{
    f->things++;
    count_both(f, hash, 1);
}

void filter_remove(struct filter *f, uint64_t hash)
{
    f->things--;
    count_both(f, hash, -1);
}

bool filter_is_full(const struct filter *f)
{
    return f->things * BYTES_EACH > f->cap;
}

void filter_reset(struct filter *f, size_t things)
{
    size_t cap = CAP_MIN;
    uint8_t *counts;

    while (cap < things * BYTES_EACH)
        cap *= 2;
    counts = aligned_alloc(64, cap);
    if (counts) {
        free(f->counts);
        f->counts = counts;
        f->cap = cap;
    }
    if (f->cap)
        memset(f->counts, 0, f->cap);
    f->things = 0;
}
