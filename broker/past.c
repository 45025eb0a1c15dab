/* Blocks of entries, each known from some entry on without a gap. A change is
 * two lengths, its space and its key. */
#include "past.h"

#include <stdlib.h>

enum {
    BLOCK_ENTRIES = 512,
    BLOCKS = 128,
    BLOCK_BYTES_MAX = 65536, /* one that says more is not known on from there */
};

struct block {
    uint64_t first; /* entry that is known */
    uint32_t count; /* from there on */
    uint32_t ends[BLOCK_ENTRIES];
    struct buf changes;
};

struct past {
    struct block *blocks[BLOCKS]; /* owned; by number, the latest there */
};

struct past *past_new(void)
{
    return calloc(1, sizeof(struct past));
}

void past_destroy(struct past **self_p)
{
    struct past *p = *self_p;

    if (!p)
        return;
    for (size_t i = 0; i < BLOCKS; i++) {
        if (p->blocks[i])
            buf_free(&p->blocks[i]->changes);
        free(p->blocks[i]);
    }
    free(p);
    *self_p = NULL;
}

/* --- Learning ------------------------------------------------------------ */

static void block_restart(struct block *b, uint64_t index)
{
    b->first = index;
    b->count = 0;
    buf_clear(&b->changes);
}

/* The block that the entry is to be added to, or NULL. */
static struct block *block_for(struct past *p, uint64_t index)
{
    struct block **at = &p->blocks[index / BLOCK_ENTRIES % BLOCKS];
    struct block *b = *at;

    if (!b) {
        b = *at = calloc(1, sizeof *b);
        if (b)
            block_restart(b, index);
        return b;
    }
    if (index / BLOCK_ENTRIES != b->first / BLOCK_ENTRIES || index < b->first)
        block_restart(b, index);
    return index == b->first + b->count ? b : NULL;
}

void past_learn(struct past *p, uint64_t index, const char *space,
                const struct change *changes, size_t n)
{
    struct bytes in = bytes_text(space);
    struct block *b = block_for(p, index);
    size_t before = b ? b->changes.n : 0;

    if (!b || before > BLOCK_BYTES_MAX)
        return;
    for (size_t i = 0; i < n; i++) {
        buf_put_u32(&b->changes, (uint32_t)in.n);
        buf_put_u32(&b->changes, (uint32_t)changes[i].key.n);
        buf_put(&b->changes, in.p, in.n);
        buf_put(&b->changes, changes[i].key.p, changes[i].key.n);
    }
    if (b->changes.failed) {
        block_restart(b, index);
        return;
    }
    b->ends[b->count++] = (uint32_t)b->changes.n;
}

/* --- Passing over -------------------------------------------------------- */

static bool about(const struct block *b, uint32_t i, struct bytes space,
                  struct bytes prefix)
{
    uint32_t at = i ? b->ends[i - 1] : 0;
    struct cursor c = cursor_of(bytes_of(b->changes.p + at, b->ends[i] - at));

    while (cursor_left(&c)) {
        uint32_t space_bytes = cursor_u32(&c), key_bytes = cursor_u32(&c);
        struct bytes in = cursor_take(&c, space_bytes);

        if (bytes_start_with(cursor_take(&c, key_bytes), prefix) &&
            bytes_equal(in, space))
            return true;
    }
    return false;
}

static const struct block *block_with(const struct past *p, uint64_t index)
{
    const struct block *b = p->blocks[index / BLOCK_ENTRIES % BLOCKS];

    return b && index >= b->first && index - b->first < b->count ? b : NULL;
}

uint64_t past_skip(const struct past *p, uint64_t from, uint64_t to,
                   struct bytes space, struct bytes prefix)
{
    const struct block *b;

    while (from < to && (b = block_with(p, from)) != NULL) {
        uint32_t i = (uint32_t)(from - b->first);

        for (; from < to && i < b->count; i++, from++) {
            if (about(b, i, space, prefix))
                return from;
        }
    }
    return from < to ? from : to;
}
