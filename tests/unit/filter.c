#include "broker/filter.h"

#include "tests/check.h"

static uint64_t hash_of(uint64_t n)
{
    return text_hash_stir(text_hash(1, (const uint8_t *)&n, sizeof n));
}

TEST(filter_says_yes_to_all_that_is_in_it_and_no_to_most_that_is_not)
{
    struct filter f = {0};
    unsigned wrong = 0;

    CHECK(!filter_may_have(&f, hash_of(1)));
    filter_reset(&f, 10000);
    for (uint64_t i = 0; i < 10000; i++)
        filter_add(&f, hash_of(i));
    for (uint64_t i = 0; i < 10000; i++)
        CHECK(filter_may_have(&f, hash_of(i)));
    for (uint64_t i = 10000; i < 20000; i++)
        wrong += filter_may_have(&f, hash_of(i));
    CHECK(wrong < 500);
    filter_free(&f);
}

TEST(filter_forgets_what_is_taken_out_and_nothing_else)
{
    struct filter f = {0};

    filter_reset(&f, 100);
    for (uint64_t i = 0; i < 1000; i++) /* beyond its size, too */
        filter_add(&f, hash_of(i));
    CHECK(filter_is_full(&f));
    for (uint64_t i = 0; i < 500; i++)
        filter_remove(&f, hash_of(i));
    for (uint64_t i = 500; i < 1000; i++)
        CHECK(filter_may_have(&f, hash_of(i)));
    for (uint64_t i = 500; i < 1000; i++)
        filter_remove(&f, hash_of(i));
    CHECK(!filter_may_have(&f, hash_of(700)));
    filter_free(&f);
}

TEST(filter_without_memory_says_yes)
{
    struct filter f = {.things = 1};

    CHECK(filter_may_have(&f, hash_of(1)));
}

CHECK_MAIN
