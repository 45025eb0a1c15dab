/* Which keys the entries changed that watches lately read: whoever comes after
 * them passes over what it is not about without reading it again. When ten
 * thousand agents come back at once they all read the same stretch.
 *
 * The record does not change, so what is known stays true; it is bounded (16
 * MiB at the very most, 3 usually), and the oldest goes first.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_PAST_H
#define CHOIR_BROKER_PAST_H

#include "changes.h"

struct past;

/* NULL when out of memory. */
struct past *past_new(void);
void past_destroy(struct past **self_p);

/* The entry's changes, all of them; n: 0 if it changed no key. Kept if there is
 * room. */
void past_learn(struct past *p, uint64_t index, const char *space,
                const struct change *changes, size_t n);
/* The first entry from `from` on, below `to`, that may be about that prefix of
 * that space; `to` if none is. */
uint64_t past_skip(const struct past *p, uint64_t from, uint64_t to,
                   struct bytes space, struct bytes prefix);

#endif
