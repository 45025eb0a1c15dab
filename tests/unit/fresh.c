#include "broker/fresh.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/check.h"

static struct fresh *f;

static struct bytes value_of(uint64_t entry, size_t n)
{
    static uint8_t b[FRESH_VALUE_MAX + 1];

    memset(b, (int)(entry % 251), n);
    return bytes_of(b, n);
}

static bool has(uint64_t entry, size_t n)
{
    struct bytes value, type;

    return fresh_get(f, entry, &value, &type) &&
           bytes_equal(value, value_of(entry, n)) &&
           bytes_equal(type, bytes_text("text/plain"));
}

static bool has_any(uint64_t entry)
{
    struct bytes value, type;

    return fresh_get(f, entry, &value, &type);
}

static void put(uint64_t entry, size_t n)
{
    fresh_put(f, entry, value_of(entry, n), bytes_text("text/plain"));
}

TEST(fresh_has_what_was_put_with_its_type)
{
    struct bytes value, type;

    f = fresh_new();
    CHECK(!has_any(7));
    put(7, 100);
    put(9, 0);
    fresh_put(f, 12, bytes_text("x"), (struct bytes){0});
    CHECK(has(7, 100));
    CHECK(has(9, 0));
    CHECK(fresh_get(f, 12, &value, &type));
    CHECK_EQ(type.n, 0);
    CHECK(!has_any(0));
    CHECK(!has_any(8));
    CHECK(!has_any(13));
    fresh_destroy(&f);
}

TEST(fresh_keeps_the_newest_bytes_whole)
{
    enum { BYTES = 60001, N = 1000, KEPT = FRESH_BYTES / (BYTES + 10) - 2 };

    f = fresh_new();
    for (uint64_t i = 1; i <= N; i++) {
        put(i, BYTES);
        for (uint64_t k = i > 3 ? i - 3 : 1; k <= i; k++)
            CHECK(has(k, BYTES));
    }
    for (uint64_t i = N - KEPT + 1; i <= N; i++)
        CHECK(has(i, BYTES));
    CHECK(!has_any(N - KEPT - 4));
    fresh_destroy(&f);
}

TEST(fresh_keeps_as_many_as_it_has_rows_for)
{
    f = fresh_new();
    for (uint64_t i = 1; i <= 3 * FRESH_ROWS; i++)
        put(i, i % 3);
    CHECK(!has_any(2 * FRESH_ROWS));
    for (uint64_t i = 2 * FRESH_ROWS + 1; i <= 3 * FRESH_ROWS; i++)
        CHECK(has(i, i % 3));
    fresh_destroy(&f);
}

TEST(fresh_leaves_out_what_is_large_or_comes_out_of_order)
{
    f = fresh_new();
    put(5, FRESH_VALUE_MAX + 1);
    CHECK(!has_any(5));
    put(5, FRESH_VALUE_MAX);
    CHECK(has(5, FRESH_VALUE_MAX));
    put(5, 1);
    put(4, 1);
    CHECK(has(5, FRESH_VALUE_MAX));
    CHECK(!has_any(4));
    fresh_destroy(&f);
}

CHECK_MAIN
