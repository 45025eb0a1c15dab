#include "broker/past.h"

#include "tests/check.h"

static struct change change_of(const char *key)
{
    return (struct change){.key = bytes_text(key)};
}

static void learn(struct past *p, uint64_t index, const char *space,
                  const char *key)
{
    struct change c = change_of(key);

    past_learn(p, index, space, &c, 1);
}

static uint64_t next_of(const struct past *p, uint64_t from, uint64_t to,
                        const char *space, const char *prefix)
{
    return past_skip(p, from, to, bytes_text(space), bytes_text(prefix));
}

TEST(past_passes_over_other_keys_and_spaces_and_stops_at_its_own)
{
    struct past *p = past_new();

    learn(p, 100, "main", "a/1");
    learn(p, 101, "main", "b/1");
    past_learn(p, 102, "", NULL, 0);
    learn(p, 103, "mai", "na/1"); /* together the same bytes */
    learn(p, 104, "main", "a");
    CHECK_EQ(next_of(p, 100, 200, "main", "a/"), 100);
    CHECK_EQ(next_of(p, 101, 200, "main", "a/"), 105); /* the first unknown */
    CHECK_EQ(next_of(p, 100, 200, "main", "b/"), 101);
    CHECK_EQ(next_of(p, 102, 200, "main", ""), 104);
    CHECK_EQ(next_of(p, 102, 104, "main", ""), 104);
    CHECK_EQ(next_of(p, 100, 200, "mai", ""), 103);
    CHECK_EQ(next_of(p, 99, 200, "main", "c"), 99);
    past_destroy(&p);
}

TEST(past_looks_at_each_key_of_an_entry)
{
    struct past *p = past_new();
    struct change both[] = {change_of("a"), change_of("b")};

    past_learn(p, 7, "main", both, 2);
    CHECK_EQ(next_of(p, 7, 8, "main", "b"), 7);
    CHECK_EQ(next_of(p, 7, 8, "main", "c"), 8);
    past_destroy(&p);
}

TEST(past_knows_nothing_across_a_gap)
{
    struct past *p = past_new();

    learn(p, 10, "main", "a");
    learn(p, 12, "main", "a");
    CHECK_EQ(next_of(p, 10, 20, "main", "x"), 11);
    CHECK_EQ(next_of(p, 12, 20, "main", "x"), 12);
    learn(p, 5, "main", "a"); /* read again from further back */
    learn(p, 6, "main", "a");
    CHECK_EQ(next_of(p, 5, 20, "main", "x"), 7);
    past_destroy(&p);
}

TEST(past_goes_on_over_blocks_and_is_bounded)
{
    enum { MANY = 200000 };
    struct past *p = past_new();

    for (uint64_t i = 0; i < MANY; i++)
        learn(p, i, "main", "a");
    CHECK_EQ(next_of(p, MANY - 5000, MANY, "main", "x"), MANY);
    CHECK_EQ(next_of(p, 0, MANY, "main", "x"), 0); /* forgotten since */
    past_destroy(&p);
}

TEST(past_keeps_no_more_of_a_block_than_its_bound)
{
    static char key[LIMIT_KEY_BYTES + 1];
    struct past *p = past_new();
    uint64_t known;

    memset(key, 'k', LIMIT_KEY_BYTES);
    for (uint64_t i = 0; i < 512; i++)
        learn(p, i, "main", key);
    known = next_of(p, 0, 512, "main", "x");
    CHECK(known > 0 && known < 512);
    CHECK_EQ(next_of(p, 511, 512, "main", "x"), 511);
    past_destroy(&p);
}

CHECK_MAIN
