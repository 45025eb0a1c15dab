/* Pieces double until they are large; from the size of a huge page on they
 * begin and end at one. Only what is written to takes memory. */
#include "arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

enum {
    STEP = 8, /* sizes are multiples of it */
    SIZES = ARENA_THING_MAX / STEP + 1,
    HUGE_PAGE = 2 << 20,
    PIECE_FIRST = 64 << 10,
    PIECE_MAX = 32 << 20,
};

struct piece {
    struct piece *next;
    size_t bytes;
};

struct unused {
    struct unused *next;
};

static_assert(sizeof(struct unused) <= STEP, "what is unused must fit");

struct arena {
    struct piece *pieces; /* owned, the newest first */
    uint8_t *at;          /* what is left of that */
    size_t left;
    size_t next_bytes;           /* of the next piece */
    struct unused *given[SIZES]; /* by size in steps */
};

struct arena *arena_new(void)
{
    struct arena *a = calloc(1, sizeof *a);

    if (a)
        a->next_bytes = PIECE_FIRST;
    return a;
}

void arena_destroy(struct arena **self_p)
{
    struct arena *a = self_p ? *self_p : NULL;
    struct piece *next;

    if (!a)
        return;
    for (struct piece *i = a->pieces; i; i = next) {
        next = i->next;
        ASAN_UNPOISON_MEMORY_REGION(i, i->bytes);
        munmap(i, i->bytes);
    }
    free(a);
    *self_p = NULL;
}

static void *pages_take(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

/* One huge page more than needed, less what hangs over at both ends. */
static void *huge_pages_take(size_t bytes)
{
    uint8_t *all = pages_take(bytes + HUGE_PAGE);
    size_t before;

    if (!all)
        return NULL;
    before = -(uintptr_t)all & (HUGE_PAGE - 1);
    if (before)
        munmap(all, before);
    if (before < HUGE_PAGE)
        munmap(all + before + bytes, HUGE_PAGE - before);
    madvise(all + before, bytes, MADV_HUGEPAGE); /* else small ones do */
    return all + before;
}

static struct piece *piece_new(size_t bytes)
{
    struct piece *piece =
        bytes < HUGE_PAGE ? pages_take(bytes) : huge_pages_take(bytes);

    if (!piece)
        return NULL;
    piece->bytes = bytes;
    ASAN_POISON_MEMORY_REGION(piece + 1, bytes - sizeof *piece);
    return piece;
}

static int arena_grow(struct arena *a)
{
    struct piece *piece = piece_new(a->next_bytes);

    if (!piece)
        return -1;
    piece->next = a->pieces;
    a->pieces = piece;
    a->at = (uint8_t *)(piece + 1);
    a->left = piece->bytes - sizeof *piece;
    if (a->next_bytes < PIECE_MAX)
        a->next_bytes *= 2;
    return 0;
}

static size_t rounded(size_t bytes)
{
    return bytes ? (bytes + STEP - 1) / STEP * STEP : STEP;
}

void *arena_take(struct arena *a, size_t bytes)
{
    size_t room = rounded(bytes);
    struct unused **given = &a->given[room / STEP];
    void *thing = *given;

    assert(bytes <= ARENA_THING_MAX);
    if (thing) {
        ASAN_UNPOISON_MEMORY_REGION(thing, room);
        *given = (*given)->next;
    } else {
        if (a->left < room && arena_grow(a))
            return NULL;
        thing = a->at;
        a->at += room;
        a->left -= room;
    }
    ASAN_POISON_MEMORY_REGION(thing, room);
    ASAN_UNPOISON_MEMORY_REGION(thing, bytes);
    return thing;
}

void arena_give(struct arena *a, void *thing, size_t bytes)
{
    size_t room = rounded(bytes);
    struct unused *unused = thing;

    ASAN_UNPOISON_MEMORY_REGION(thing, room);
    unused->next = a->given[room / STEP];
    a->given[room / STEP] = unused;
    ASAN_POISON_MEMORY_REGION(thing, room);
}
