#include "tests/check.h"

#include "proto/refusal.h"
#include "tools/verify.h"

static struct pool *pool;
static struct signatures *s;
static struct key_pair key;
static struct hash ledger;

static void begin(void)
{
    CHECK_OK(crypto_start());
    key_pair_new(&key);
    pool = pool_for_all_cores();
    CHECK(pool);
    s = signatures_new(pool);
    CHECK(s);
}

static void end(void)
{
    signatures_destroy(&s);
    pool_destroy(&pool);
}

/* Entry `index`, signed or not; what adding says, and of which entry. */
static int add(uint64_t index, bool right, uint64_t *of)
{
    struct verify_place at = {.index = index};
    struct bytes header = bytes_of(&index, sizeof index);
    uint8_t signature[KEY_SIGNATURE_BYTES];
    int r;

    key_sign(&key, KEY_FOR_BUNDLE, &ledger, header, signature);
    signature[40] ^= !right;
    r = signatures_add(s, key.public_key, &ledger, header, signature, &at);
    *of = at.index;
    return r;
}

/* n entries, of which these two are forged (n: none). */
static int run(uint64_t n, uint64_t a, uint64_t b, uint64_t *of)
{
    struct verify_place at = {0};
    int r = 0;

    for (uint64_t i = 0; !r && i < n; i++)
        r = add(i, i != a && i != b, of);
    if (r)
        return r;
    r = signatures_settle(s, &at);
    *of = at.index;
    return r;
}

TEST(signatures_that_are_right_pass_over_many_batches)
{
    uint64_t of;

    begin();
    CHECK_OK(run(3000, 3000, 3000, &of));
    CHECK_OK(run(0, 0, 0, &of));
    CHECK_OK(run(5, 5, 5, &of));
    end();
}

TEST(signatures_name_the_first_that_is_forged)
{
    static const uint64_t forged[][2] = {
        {0, 3}, {3, 9}, {1023, 1024}, {700, 2100}, {1500, 2999}, {2999, 2999}};
    uint64_t of;

    begin();
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        CHECK_EQ(run(3000, forged[i][0], forged[i][1], &of), CHOIR_BROKEN);
        CHECK_EQ(of, forged[i][0]);
        /* whoever is told settles what is under way: that is nothing now */
        CHECK_OK(run(0, 0, 0, &of));
    }
    end();
}

TEST(signatures_end_while_a_batch_is_being_checked)
{
    uint64_t of;

    begin();
    for (uint64_t i = 0; i < 1030; i++)
        CHECK_OK(add(i, true, &of));
    end();
}

CHECK_MAIN
