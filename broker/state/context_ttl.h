/* Keys that end by themselves: when. Only those that do have a row here; a
 * key without one costs nothing. The context has them, and is alone to change
 * them.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_CONTEXT_TTL_H
#define CHOIR_BROKER_STATE_CONTEXT_TTL_H

#include "digest.h"
#include "heap.h"
#include "index.h"

struct ttl {
    uint64_t due; /* record time, us; above 0 */
    uint32_t row; /* in the heap */
    struct index_key key;
};

static inline struct bytes ttl_space(const struct ttl *t)
{
    return bytes_of(t->key.bytes + 1, t->key.bytes[0]);
}

static inline struct bytes ttl_name(const struct ttl *t)
{
    size_t at = 1 + (size_t)t->key.bytes[0];

    return bytes_of(t->key.bytes + at, t->key.len - at);
}

struct ttls;

struct ttls *ttls_new(struct digest *digest);
void ttls_destroy(struct ttls **self_p);

/* When the key ends, or 0. Names within proto/limits.h. */
uint64_t ttl_due(const struct ttls *t, struct bytes space, struct bytes name);
/* The one that ends first, or NULL. Borrowed until a change. O(1). */
const struct ttl *ttls_first(const struct ttls *t);
size_t ttls_count(const struct ttls *t);

/* Set, or set anew. 0 or -ENOMEM. O(log n). */
int ttl_set(struct ttls *t, struct bytes space, struct bytes name,
            uint64_t due);
/* Harmless when there is none. */
void ttl_clear(struct ttls *t, struct bytes space, struct bytes name);

/* One record each, spaces of the shortest names first; and back, where *of is
 * borrowed from t: 0, -ENOMEM, or CHOIR_MALFORMED for a record that save cannot
 * have written or that was there before. put returns 0 or a negative errno,
 * which save passes on. */
typedef int (*ttl_sink)(void *to, struct bytes record);
int ttls_save(const struct ttls *t, ttl_sink put, void *to);
int ttls_load(struct ttls *t, struct bytes record, const struct ttl **of);

#endif
