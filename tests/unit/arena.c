/* broker/state/arena: things of any size, taken and given back. */
#include "tests/check.h"

#include "broker/state/arena.h"

enum { THINGS = 20000 };

static size_t bytes_of_thing(size_t i)
{
    return i * 37 % ARENA_THING_MAX + 1;
}

TEST(arena_keeps_things_apart_and_aligned)
{
    struct arena *a = arena_new();
    static unsigned char *things[THINGS];

    for (size_t i = 0; i < THINGS; i++) {
        things[i] = arena_take(a, bytes_of_thing(i));
        assert_non_null(things[i]);
        CHECK_EQ((uintptr_t)things[i] % 8, 0);
        memset(things[i], (int)(i % 251), bytes_of_thing(i));
    }
    for (size_t i = 0; i < THINGS; i++)
        for (size_t k = 0; k < bytes_of_thing(i); k++)
            if (things[i][k] != i % 251)
                fail_msg("thing %zu was written over at %zu", i, k);
    arena_destroy(&a);
    CHECK_NULL(a);
    arena_destroy(&a);
    arena_destroy(NULL);
}

TEST(arena_uses_again_what_was_given_back_for_the_same_size_alone)
{
    struct arena *a = arena_new();
    void *one = arena_take(a, 41), *two = arena_take(a, 41), *other;

    arena_give(a, one, 41);
    arena_give(a, two, 41);
    other = arena_take(a, 49);
    CHECK(other != one && other != two);
    assert_ptr_equal(arena_take(a, 48), two);
    assert_ptr_equal(arena_take(a, 41), one);
    arena_destroy(&a);
}

CHECK_MAIN
