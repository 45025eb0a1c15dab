#include "broker/state/digest.h"
#include "tests/check.h"

/* Some longer than what waits to be hashed with others, in no order. */
static struct bytes item(unsigned i)
{
    static uint8_t b[2 * DIGEST_SHORT];
    size_t n = 1 + i * 37 % sizeof b;

    memset(b, (int)i, sizeof b);
    return bytes_of(b, n);
}

static void sum_change(struct digest *sum, unsigned i, bool leaves)
{
    struct bytes b = item(i);
    struct hash h = digest_item(b.p[0], bytes_of(b.p + 1, b.n - 1));

    if (leaves)
        digest_sub(sum, &h);
    else
        digest_add(sum, &h);
}

TEST(digest_is_the_sum_of_its_items_hashes_at_every_moment)
{
    struct digest d = {0}, sum = {0};
    struct hash wanted, got;

    for (unsigned i = 0; i < 300; i++) {
        bool leaves = i % 5 == 3;

        digest_change(&d, item(i), leaves);
        if (i == 140) /* some wait */
            digest_settle(&d);
        sum_change(&sum, i, leaves);
        wanted = digest_value(&sum);
        got = digest_value(&d);
        CHECK_MEM(got.b, wanted.b, HASH_BYTES);
    }
}

TEST(digest_of_what_came_and_left_is_that_of_nothing)
{
    struct digest d = {0}, empty = {0};
    struct hash wanted = digest_value(&empty), got;

    for (unsigned i = 0; i < 50; i++)
        digest_change(&d, item(i), false);
    got = digest_value(&d);
    CHECK(memcmp(got.b, wanted.b, HASH_BYTES) != 0);
    for (unsigned i = 50; i-- > 0;)
        digest_change(&d, item(i), true);
    got = digest_value(&d);
    CHECK_MEM(got.b, wanted.b, HASH_BYTES);
}

CHECK_MAIN
