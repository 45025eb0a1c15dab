/* uthash for our tables, whose keys are counters of 8 bytes, ours or the
 * broker's: one multiplication spreads them. */
#ifndef CHOIR_SDK_TABLE_H
#define CHOIR_SDK_TABLE_H

#include <stdint.h>
#include <string.h>
#include <uthash.h>

static inline unsigned table_hash(const void *key)
{
    uint64_t k;

    memcpy(&k, key, sizeof k);
    return (unsigned)(k * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

#undef HASH_FUNCTION
#define HASH_FUNCTION(key, bytes, hash) ((hash) = table_hash(key))

#endif
