/* One live thing of the state as bytes. They are both what the state's digest
 * is taken over and the thing's record in a snapshot, so that the two cannot
 * disagree about what matters.
 *
 * The kind comes first. Numbers and layouts are part of the digest, which
 * checkpoint entries state: they never change. */
#ifndef CHOIR_BROKER_STATE_ITEM_H
#define CHOIR_BROKER_STATE_ITEM_H

#include <assert.h>

#include "digest.h"

/* A snapshot has what is referred to before what refers to it, and the facts
 * last. */
enum item_kind {
    ITEM_AGENT = 1,
    ITEM_GRANT = 2,
    ITEM_INVITE = 3,
    ITEM_OPERATION_ID = 4,
    ITEM_SESSION = 5,
    ITEM_BUNDLE = 6,
    ITEM_KEY = 7,
    ITEM_TASK = 8,
    ITEM_FACTS = 9, /* always the last */
    ITEM_POLICY = 10,
    ITEM_MARK = 11,
    ITEM_MESSAGE = 12,
    ITEM_TTL = 13,
    ITEM_QUEUE = 14,
    ITEM_TASK_LINKS = 15,
    ITEM_COMPACTION = 16,
    ITEM_AGENT_KEY = 17,
    ITEM_ERASURE = 18,
    ITEM_ERASING = 19,
    ITEM_END /* no kind */
};

/* Every kind has a bound, from proto/limits.h, well below this. */
enum { ITEM_MAX = 2048 };

struct item {
    size_t n;
    uint8_t b[ITEM_MAX];
};

static inline void item_put(struct item *it, struct bytes v)
{
    assert(v.n <= ITEM_MAX - it->n);
    if (v.n)
        memcpy(it->b + it->n, v.p, v.n);
    it->n += v.n;
}

static inline void item_u8(struct item *it, uint8_t v)
{
    item_put(it, bytes_of(&v, 1));
}

static inline void item_u32(struct item *it, uint32_t v)
{
    uint8_t b[4];

    put_u32(b, v);
    item_put(it, bytes_of(b, sizeof(b)));
}

static inline void item_u64(struct item *it, uint64_t v)
{
    uint8_t b[8];

    put_u64(b, v);
    item_put(it, bytes_of(b, sizeof(b)));
}

static inline void item_hash(struct item *it, const struct hash *v)
{
    item_put(it, hash_bytes(v));
}

/* A name of up to 255 bytes, its length in front. */
static inline void item_name(struct item *it, struct bytes v)
{
    item_u8(it, (uint8_t)v.n);
    item_put(it, v);
}

static inline void item_begin(struct item *it, enum item_kind kind)
{
    it->n = 0;
    item_u8(it, (uint8_t)kind);
}

/* Borrowed from the item. */
static inline struct bytes item_record(const struct item *it)
{
    return bytes_of(it->b, it->n);
}

static inline struct hash item_digest(const struct item *it)
{
    return digest_item(it->b[0], bytes_of(it->b + 1, it->n - 1));
}

static inline void item_add(struct digest *d, const struct item *it)
{
    digest_change(d, item_record(it), false);
}

static inline void item_sub(struct digest *d, const struct item *it)
{
    digest_change(d, item_record(it), true);
}

/* A thing that changes often keeps the hash it entered with: to take it out
 * again then costs nothing. The value of the digest is the same. */
static inline void item_enter(struct digest *d, const struct item *it,
                              struct hash *kept)
{
    *kept = item_digest(it);
    digest_add(d, kept);
}

/* --- Reading one back ---------------------------------------------------- */

/* Text of exactly n bytes, at least one, of which no more than max. */
static inline struct bytes load_text(struct cursor *c, size_t n, size_t max)
{
    struct bytes v = cursor_take(c, n);

    if (n == 0 || n > max || !bytes_utf8(v))
        c->failed = true;
    return v;
}

static inline struct bytes load_name(struct cursor *c, size_t max)
{
    return load_text(c, cursor_u8(c), max);
}

static inline void load_hash(struct cursor *c, struct hash *h)
{
    struct bytes v = cursor_take(c, HASH_BYTES);

    if (v.n)
        memcpy(h->b, v.p, HASH_BYTES);
}

static inline bool load_bool(struct cursor *c)
{
    uint8_t v = cursor_u8(c);

    if (v > 1)
        c->failed = true;
    return v;
}

/* Everything read, and nothing left over? */
static inline bool load_ended(const struct cursor *c)
{
    return !c->failed && cursor_left(c) == 0;
}

#endif
