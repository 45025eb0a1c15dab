#include "cursor_spots.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BITS_FIRST = 6 };

/* Hashes of prefixes that differ in their last byte alone lie side by side. */
static uint64_t spread(uint64_t hash)
{
    return hash * UINT64_C(0x9e3779b97f4a7c15);
}

static size_t place_of(const struct spots *s, uint64_t hash)
{
    return (size_t)(spread(hash) >> (64 - s->bits));
}

/* Bits that places are not made of, unless there are 2^33 of them. */
static uint16_t tag_of(uint64_t hash)
{
    uint16_t tag = (uint16_t)(spread(hash) >> 15);

    return tag ? tag : 1;
}

static size_t place_next(const struct spots *s, size_t at)
{
    return (at + 1) & (((size_t)1 << s->bits) - 1);
}

struct spot *spots_find(const struct spots *s, const char *key, size_t n,
                        uint64_t hash)
{
    uint16_t tag = tag_of(hash);

    if (!s->count)
        return NULL;
    for (size_t i = place_of(s, hash); s->tags[i]; i = place_next(s, i)) {
        struct spot *spot = s->tags[i] == tag ? s->all[i] : NULL;

        if (spot && spot->hash == hash && spot->key_bytes == n &&
            memcmp(spot->key, key, n) == 0)
            return spot;
    }
    return NULL;
}

static void enter(struct spots *s, struct spot *spot)
{
    size_t i = place_of(s, spot->hash);

    while (s->tags[i])
        i = place_next(s, i);
    s->tags[i] = tag_of(spot->hash);
    s->all[i] = spot;
    s->count++;
}

static int spots_grow(struct spots *s)
{
    unsigned bits = s->bits ? s->bits + 1 : BITS_FIRST;
    size_t places = s->bits ? (size_t)1 << s->bits : 0;
    struct spots more = {
        .tags = calloc((size_t)1 << bits, sizeof *more.tags),
        .all = malloc(((size_t)1 << bits) * sizeof(struct spot *)),
        .bits = bits,
    };

    if (!more.tags || !more.all) {
        spots_free(&more);
        return -ENOMEM;
    }
    for (size_t i = 0; i < places; i++) {
        if (s->tags[i])
            enter(&more, s->all[i]);
    }
    spots_free(s);
    *s = more;
    return 0;
}

int spots_add(struct spots *s, struct spot *spot)
{
    bool fits = s->bits && s->count < (size_t)1 << (s->bits - 1);

    if (!fits && spots_grow(s))
        return -ENOMEM;
    enter(s, spot);
    return 0;
}

/* What follows without a gap may have been pushed on by what was here: it
 * moves up, unless its own place lies behind the gap. */
static void close_gap(struct spots *s, size_t gap)
{
    size_t mask = ((size_t)1 << s->bits) - 1;

    for (size_t i = place_next(s, gap); s->tags[i]; i = place_next(s, i)) {
        size_t own = place_of(s, s->all[i]->hash);

        if (((i - own) & mask) < ((i - gap) & mask))
            continue;
        s->tags[gap] = s->tags[i];
        s->all[gap] = s->all[i];
        gap = i;
    }
    s->tags[gap] = 0;
}

void spots_remove(struct spots *s, const struct spot *spot)
{
    size_t i = place_of(s, spot->hash);

    while (s->tags[i] && s->all[i] != spot)
        i = place_next(s, i);
    close_gap(s, i);
    if (--s->count == 0)
        spots_free(s);
}

void spots_free(struct spots *s)
{
    free(s->tags);
    free(s->all);
    *s = (struct spots){0};
}
