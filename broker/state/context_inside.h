/* What the files of the context share. For them alone. */
#ifndef CHOIR_BROKER_STATE_CONTEXT_INSIDE_H
#define CHOIR_BROKER_STATE_CONTEXT_INSIDE_H

#include "context.h"
#include "item.h"
#include "proto/limits.h"

struct space {
    struct index *keys; /* stamped with their revisions */
    struct index_key name;
};

/* A walk over all keys that changes may come between. */
struct saving {
    context_sink put; /* NULL: none is under way */
    void *to;
    uint64_t size;      /* what has this revision or a higher one came later */
    size_t left;        /* keys that have yet to be given */
    int failed;         /* of put, or 0 */
    uint32_t space_len; /* where it stands; 0: before the first */
    uint32_t name_len;
    uint8_t space[LIMIT_NAME_BYTES];
    uint8_t name[LIMIT_KEY_BYTES];
};

struct context {
    struct digest *digest; /* borrowed */
    struct index *spaces;
    struct ttls *ttls;
    size_t count;
    struct saving saving;
};

static inline struct bytes space_name(const struct space *s)
{
    return bytes_of(s->name.bytes, s->name.len);
}

static inline void key_item(struct item *it, const struct key *k,
                            struct bytes space)
{
    item_begin(it, ITEM_KEY);
    item_u64(it, k->revision);
    item_u64(it, k->created);
    item_u32(it, k->agent);
    item_u32(it, k->bytes);
    item_u8(it, k->slot);
    item_u8(it, k->deleted);
    item_name(it, space);
    item_put(it, key_name(k));
}

/* The key is about to change; record: what it is as yet. */
void saving_keep(struct saving *s, struct bytes space, const struct key *k,
                 struct bytes record);

#endif
