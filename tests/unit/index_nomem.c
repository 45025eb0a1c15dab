/* broker/state/index when memory runs out at any single allocation. */
#include "tests/check.h"

#include <stdbool.h>

static long allocations_left = -1;

static void *scarce_malloc(size_t bytes)
{
    if (allocations_left == 0)
        return NULL;
    if (allocations_left > 0)
        allocations_left--;
    return malloc(bytes);
}

#define malloc(bytes) scarce_malloc(bytes)
#include "broker/state/index.c"
#undef malloc

#define KEYS 6000

struct item {
    uint32_t len;
    unsigned char bytes[8];
};

static struct item items[KEYS];

static void items_set(void)
{
    char text[9];

    for (uint32_t i = 0; i < KEYS; i++) {
        sprintf(text, "%08x", i * 2654435761u);
        items[i].len = 8;
        memcpy(items[i].bytes, text, 8);
    }
}

static struct index_key *key_of(size_t i)
{
    return (struct index_key *)(void *)&items[i];
}

TEST(index_is_whole_after_every_failed_insert)
{
    struct index *index = index_new();
    size_t failures = 0;

    items_set();
    for (size_t i = 0; i < KEYS; i++) {
        for (long scarce = 0;; scarce++) {
            int rc;

            allocations_left = scarce;
            rc = index_insert(index, key_of(i));
            allocations_left = -1;
            if (!rc)
                break;
            CHECK_EQ(rc, -ENOMEM);
            CHECK_EQ(index_count(index), i);
            CHECK_OK(index_check(index));
            failures++;
        }
    }
    CHECK(failures > KEYS / 64);
    CHECK_OK(index_check(index));
    index_destroy(&index);
}

TEST(index_removes_without_any_memory)
{
    struct index *index = index_new();

    items_set();
    for (size_t i = 0; i < KEYS; i++)
        CHECK_OK(index_insert(index, key_of(i)));
    allocations_left = 0;
    for (size_t i = 0; i < KEYS; i++) {
        assert_ptr_equal(index_remove(index, items[i].bytes, 8), key_of(i));
        if (i % 50 == 0)
            CHECK_OK(index_check(index));
    }
    allocations_left = -1;
    CHECK_EQ(index_count(index), 0);
    index_destroy(&index);
}

CHECK_MAIN
