/* Sums of a table's entries: side by side, where the processor can, they are
 * what they are in turn, and both are what multiplications are elsewhere. */
#include "tests/check.h"

#include <sodium.h>

#include "proto/edwards25519.h"

#ifdef __SIZEOF_INT128__

static uint64_t dice = 25519;

static uint64_t throw(void)
{
    dice = dice * 6364136223846793005 + 1442695040888963407;
    return dice >> 7; /* 57 bits */
}

static struct entry a_entries[ENTRIES], b_entries[ENTRIES];

/* Of two keys. */
static void entries_make(void)
{
    struct entry *entries[] = {a_entries, b_entries};

    assert_int_not_equal(sodium_init(), -1);
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t key[32], secret[64], seed[32] = {i, 77};
        struct point p;

        crypto_sign_seed_keypair(key, secret, seed);
        CHECK(point_get(&p, key));
        entries_fill(entries[i], &p);
    }
}

static struct scalar scalar_thrown(bool with_nothing)
{
    struct scalar s = {{0}};

    for (unsigned i = 0; i < DIGITS; i++)
        do
            s.digit[i] = (int8_t)((int)(throw() % 32) - 15);
        while (!with_nothing && !s.digit[i]);
    return s;
}

static bool is_same_point(const struct point *p, const struct point *q)
{
    uint8_t x[32], y[32];

    point_put(x, p);
    point_put(y, q);
    return memcmp(x, y, sizeof x) == 0;
}

static void both_check(const struct scalar *a, const struct scalar *b)
{
    passes_sum at_once = passes_sum_at_once();
    struct point in_turn[SCALAR_PASSES], wide[SCALAR_PASSES];

    if (!at_once)
        return;
    passes_sum_in_turn(in_turn, a_entries, a, b_entries, b);
    at_once(wide, a_entries, a, b_entries, b);
    for (unsigned i = 0; i < SCALAR_PASSES; i++) {
        struct fe xy = fe_mul(&wide[i].x, &wide[i].y);
        struct fe tz = fe_mul(&wide[i].t, &wide[i].z);

        CHECK(is_same_point(&in_turn[i], &wide[i]));
        CHECK(fe_equal(&xy, &tz)); /* x y Z² */
    }
}

TEST(edwards_passes_are_the_same_at_once_and_in_turn)
{
    entries_make();
    for (int i = 0; i < 2000; i++) {
        struct scalar a = scalar_thrown(i % 2), b = scalar_thrown(i % 3);

        both_check(&a, &b);
    }
}

/* Every digit at every place, in one pass, in the other, in both; and nothing
 * beside it. */
TEST(edwards_passes_know_every_digit_at_every_place)
{
    const struct scalar none = {{0}};

    entries_make();
    both_check(&none, &none);
    for (unsigned at = 0; at < SCALAR_ROWS * SCALAR_PASSES; at++)
        for (int digit = -15; digit <= 16; digit++) {
            struct scalar s = none, beside = none;

            s.digit[at] = (int8_t)digit;
            beside.digit[at ^ 1] = (int8_t) - (digit % 16);
            both_check(&s, &none);
            both_check(&none, &s);
            both_check(&s, &s);
            both_check(&s, &beside);
        }
}

/* a times the first key less b times the second, by libsodium. */
TEST(edwards_passes_in_turn_make_what_multiplications_make)
{
    entries_make();
    for (uint8_t i = 0; i < 40; i++) {
        uint8_t wide[64] = {i, 3}, a[32], b[32], pa[32], pb[32], wanted[32];
        uint8_t keys[2][32], secret[64], got[32];
        struct point sum[SCALAR_PASSES], p;
        struct scalar as, bs;

        for (uint8_t k = 0; k < 2; k++) {
            uint8_t seed[32] = {k, 77};

            crypto_sign_seed_keypair(keys[k], secret, seed);
        }
        crypto_hash_sha512(wide, wide, sizeof wide);
        crypto_core_ed25519_scalar_reduce(a, wide);
        crypto_hash_sha512(wide, wide, sizeof wide);
        crypto_core_ed25519_scalar_reduce(b, wide);
        CHECK_OK(crypto_scalarmult_ed25519_noclamp(pa, a, keys[0]));
        CHECK_OK(crypto_scalarmult_ed25519_noclamp(pb, b, keys[1]));
        CHECK_OK(crypto_core_ed25519_sub(wanted, pa, pb));
        scalar_get(&as, a);
        scalar_get(&bs, b);
        passes_sum_in_turn(sum, a_entries, &as, b_entries, &bs);
        p = point_doubled(&sum[1], DIGIT_BITS);
        p = point_sum(&p, &sum[0]);
        point_put(got, &p);
        assert_memory_equal(got, wanted, sizeof got);
    }
}

/* Limbs as high as they may be: no points, but the same polynomials of them,
 * as long as no digit is 0. */
TEST(edwards_passes_bear_the_widest_limbs)
{
    const uint64_t tight = (1ULL << 51) + (1ULL << 17);
    passes_sum at_once = passes_sum_at_once();

    for (int i = 0; at_once && i < 200; i++) {
        struct scalar a = scalar_thrown(false), b = scalar_thrown(false);
        struct point in_turn[SCALAR_PASSES], wide[SCALAR_PASSES];

        a.digit[DIGITS] = b.digit[DIGITS] = 1; /* the last row's other place */
        for (unsigned e = 0; e < ENTRIES; e++)
            for (unsigned k = 0; k < FE_LIMBS * ENTRY_PARTS; k++) {
                uint64_t t = throw();

                a_entries[e].limb[k / 3][k % 3] =
                    i == 0 || t % 4 == 0 ? tight - 1
                    : t % 4 == 1         ? t >> 2 & 1
                                         : (t >> 2) % tight;
                b_entries[e].limb[k / 3][k % 3] = tight - 1 - t % 2;
            }
        passes_sum_in_turn(in_turn, a_entries, &a, b_entries, &b);
        at_once(wide, a_entries, &a, b_entries, &b);
        for (unsigned k = 0; k < SCALAR_PASSES; k++) {
            CHECK(fe_equal(&in_turn[k].x, &wide[k].x));
            CHECK(fe_equal(&in_turn[k].y, &wide[k].y));
            CHECK(fe_equal(&in_turn[k].z, &wide[k].z));
            CHECK(fe_equal(&in_turn[k].t, &wide[k].t));
        }
    }
}

#else

#include "proto/ed25519.h"

TEST(edwards_needs_integers_of_128_bits)
{
    const uint8_t key[ED25519_KEY_BYTES] = {1};

    CHECK_NULL(ed25519_table_new(key));
}

#endif

CHECK_MAIN
