/* A run of keys and their revisions as one hash, by which two sides find out
 * whether they hold the same. */
#ifndef CHOIR_PROTO_KEYSET_H
#define CHOIR_PROTO_KEYSET_H

#include "hash.h"

/* Append one; ascending. */
static inline void keyset_add(struct buf *run, struct bytes key,
                              uint64_t revision)
{
    buf_put_u32(run, (uint32_t)key.n);
    buf_put(run, key.p, key.n);
    buf_put_u64(run, revision);
}

static inline struct hash keyset_digest(const struct buf *run)
{
    return hash_of(HASH_KEYS, buf_bytes(run));
}

#endif
