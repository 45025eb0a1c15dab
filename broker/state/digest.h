/* One number for the whole state, kept up to date by every change: the sum of
 * the hashes of all live items, lane by lane, modulo 2^64.
 *
 * It finds drift and damage; that nobody forged the record is the Merkle
 * tree's to prove. */
#ifndef CHOIR_BROKER_STATE_DIGEST_H
#define CHOIR_BROKER_STATE_DIGEST_H

#include "proto/hash.h"

/* Items of up to DIGEST_SHORT bytes (one block with their tag) wait until they
 * can be hashed side by side: a sum does not mind the order. */
enum { DIGEST_WAITING = 128, DIGEST_SHORT = 120 };

struct digest {
    uint64_t lane[4];
    unsigned count; /* that wait */
    struct digest_waiting {
        uint8_t bytes;
        bool leaves;
        uint8_t b[DIGEST_SHORT];
    } waiting[DIGEST_WAITING];
};

/* An item's hash, over its kind and its encoding. */
static inline struct hash digest_item(uint8_t kind, struct bytes encoding)
{
    return hash_parts(HASH_STATE, bytes_of(&kind, 1), encoding,
                      (struct bytes){0});
}

static inline void digest_add(struct digest *d, const struct hash *item)
{
    for (unsigned i = 0; i < 4; i++)
        d->lane[i] += get_u64(item->b + 8 * i);
}

static inline void digest_sub(struct digest *d, const struct hash *item)
{
    for (unsigned i = 0; i < 4; i++)
        d->lane[i] -= get_u64(item->b + 8 * i);
}

/* An item that comes or leaves, its kind first; its hash is nobody else's. */
void digest_change(struct digest *d, struct bytes item, bool leaves);

/* Hash what waits now, because there is time. */
void digest_settle(struct digest *d);

/* With all that waits. */
struct hash digest_value(const struct digest *d);

#endif
