/* Has anything with this hash been put in? "No" is certain and costs one line
 * of memory; "yes" has to be looked up. Things can be taken out again.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_FILTER_H
#define CHOIR_BROKER_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeros: empty. */
struct filter {
    uint8_t *counts; /* owned; two for each thing, in one line */
    size_t cap;      /* counts; a power of two */
    size_t things;
};

void filter_free(struct filter *f);
void filter_add(struct filter *f, uint64_t hash);
/* It must have been added. */
void filter_remove(struct filter *f, uint64_t hash);
/* Is it too small for what is in it? Then whoever knows all hashes makes it
 * anew: filter_reset, and filter_add of each. */
bool filter_is_full(const struct filter *f);
/* Empty, with room for so many. Without memory it stays small, and then it
 * says yes more often. */
void filter_reset(struct filter *f, size_t things);

static inline bool filter_may_have(const struct filter *f, uint64_t hash)
{
    size_t a = hash & (f->cap - 1), b = (a & ~(size_t)63) | hash >> 58;

    return f->things && (!f->cap || (f->counts[a] && f->counts[b]));
}

/* A hash that grows with its text, so that one walk over a key gives those of
 * all its prefixes; stir it before use. */
static inline uint64_t text_hash(uint64_t hash, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static inline uint64_t text_hash_stir(uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

#endif
