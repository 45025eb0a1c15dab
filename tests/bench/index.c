/* What broker/state/index costs: ns an insert, a find, a step; bytes a key.
 *
 *   build/tests/bench/index [KEYS]      so many instead of three sizes */
#include "broker/state/index.h"
#include "tests/bench/stopwatch.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 24

struct item {
    uint32_t len;
    unsigned char bytes[KEY_BYTES];
};

static double now_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Keys as people have them: a path with a random or a rising end. */
static void item_set(struct item *item, uint64_t i, int ordered)
{
    char text[KEY_BYTES + 1];

    snprintf(text, sizeof(text), "docs/key/%015" PRIx64,
             (ordered ? i : mix(i + 1)) & UINT64_C(0xfffffffffffffff));
    item->len = KEY_BYTES;
    memcpy(item->bytes, text, KEY_BYTES);
}

/* The same look-ups with each batch fetched ahead, as for a bundle. */
static double finds_fetched(struct index *index, const struct item *items,
                            size_t n, size_t finds)
{
    double start = now_ns();
    size_t found = 0;

    for (size_t i = 0; i < finds; i += INDEX_FETCH_MAX) {
        struct index_text texts[INDEX_FETCH_MAX];

        for (size_t j = 0; j < INDEX_FETCH_MAX; j++)
            texts[j] =
                (struct index_text){items[mix(i + j) % n].bytes, KEY_BYTES};
        index_fetch(index, texts, INDEX_FETCH_MAX);
        for (size_t j = 0; j < INDEX_FETCH_MAX; j++)
            found += index_find(index, texts[j].bytes, KEY_BYTES) != NULL;
    }
    if (found < finds)
        abort();
    return now_ns() - start;
}

static void measure(size_t n, int ordered)
{
    struct item *items = malloc(n * sizeof(*items));
    struct index *index = index_new();
    struct index_cursor cursor;
    size_t finds = n < 1000000 ? 1000000 : n;
    size_t heap, found = 0, seen = 0;
    double start, inserted, looked, fetched, walked, removed;

    if (!items || !index)
        abort();
    for (size_t i = 0; i < n; i++)
        item_set(&items[i], i, ordered);
    heap = mallinfo2().uordblks;
    start = now_ns();
    for (size_t i = 0; i < n; i++)
        if (index_insert(index, (struct index_key *)&items[i]))
            abort();
    inserted = now_ns() - start;
    heap = mallinfo2().uordblks - heap;

    start = now_ns();
    for (size_t i = 0; i < finds; i++) {
        struct item *item = &items[mix(i) % n];

        found += index_find(index, item->bytes, item->len) != NULL;
    }
    looked = now_ns() - start;
    fetched = finds_fetched(index, items, n, finds);

    start = now_ns();
    index_seek(index, &cursor, "", 0);
    while (index_next(&cursor))
        seen++;
    walked = now_ns() - start;
    if (found != finds || seen != n || index_check(index))
        abort();

    start = now_ns();
    for (size_t i = 0; i < n; i++)
        if (!index_remove(index, items[i].bytes, items[i].len))
            abort();
    removed = now_ns() - start;

    printf(
        "index keys=%zu order=%s insert_ns=%.0f find_ns=%.0f "
        "fetched_find_ns=%.0f next_ns=%.1f remove_ns=%.0f bytes_per_key=%.1f\n",
        n, ordered ? "rising" : "random", inserted / (double)n,
        looked / (double)finds, fetched / (double)finds, walked / (double)n,
        removed / (double)n, (double)heap / (double)n);
    fflush(stdout);
    index_destroy(&index);
    free(items);
}

int main(int argc, char **argv)
{
    size_t sizes[] = {10000, 1000000, 10000000}, n = 3;

    if (argc > 1 && atoi(argv[1]) > 0) {
        sizes[0] = (size_t)atoi(argv[1]);
        n = 1;
    }
    for (int ordered = 0; ordered < 2; ordered++)
        for (size_t i = 0; i < n; i++)
            measure(sizes[i], ordered);
    return 0;
}
