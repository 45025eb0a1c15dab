/* Look-ups by more than one key: a handle is a small item of an index that
 * points to the thing it stands for. */
#ifndef CHOIR_BROKER_STATE_HANDLE_H
#define CHOIR_BROKER_STATE_HANDLE_H

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "index.h"
#include "proto/bytes.h"

struct handle {
    void *thing; /* borrowed */
    struct index_key key;
};

/* A number as a key: big-endian, so that the order is that of numbers. */
struct number_key {
    uint64_t be;
};

static inline struct number_key number_key(uint64_t number)
{
    return (struct number_key){htobe64(number)};
}

static inline struct bytes number_bytes(const struct number_key *k)
{
    return bytes_of(&k->be, sizeof(k->be));
}

/* 0, -EEXIST or -ENOMEM. */
static inline int handle_add(struct index *index, struct bytes key, void *thing)
{
    struct handle *h = malloc(sizeof(*h) + key.n);
    int r;

    if (!h)
        return -ENOMEM;
    h->thing = thing;
    h->key.len = (uint32_t)key.n;
    if (key.n)
        memcpy(h->key.bytes, key.p, key.n);
    r = index_insert(index, &h->key);
    if (r)
        free(h);
    return r;
}

static inline void *handle_find(struct index *index, struct bytes key)
{
    struct index_key *k = index_find(index, key.p, key.n);

    return k ? index_item(k, struct handle, key)->thing : NULL;
}

static inline void handle_remove(struct index *index, struct bytes key)
{
    struct index_key *k = index_remove(index, key.p, key.n);

    free(index_item(k, struct handle, key));
}

/* The index and its handles; the things stay. Accepts NULL. */
static inline void handles_destroy(struct index **index_p)
{
    struct index_cursor at;
    struct index_key *k;

    if (!*index_p)
        return;
    index_seek(*index_p, &at, NULL, 0);
    while ((k = index_next(&at)))
        free(index_item(k, struct handle, key));
    index_destroy(index_p);
}

#endif
