/* What a key's table proves is what libsodium accepts, at the edges, too. */
#include "tests/check.h"

#include <sodium.h>

#include "proto/ed25519.h"

/* 2^252 + 27742317777372353535851937790883648493, the group's order. */
static const uint8_t order[32] = {
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,        0xd6,
    0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10,
};

/* A point of order 8. */
static const uint8_t eighth[32] = {
    0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
    0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
    0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
};

struct signer {
    uint8_t key[32], secret[64], scalar[32];
    struct ed25519_table *table;
};

static struct signer signer_new(uint8_t number)
{
    uint8_t seed[32] = {number}, hash[64];
    struct signer s;

    assert_int_not_equal(sodium_init(), -1);
    crypto_sign_seed_keypair(s.key, s.secret, seed);
    crypto_hash_sha512(hash, seed, sizeof seed);
    memcpy(s.scalar, hash, 32);
    s.scalar[0] &= 248;
    s.scalar[31] = (uint8_t)((s.scalar[31] & 127) | 64);
    s.table = ed25519_table_new(s.key);
    CHECK(s.table != NULL);
    return s;
}

/* The verdict of both, which must be one. */
static bool verdict(const struct signer *s, struct bytes m,
                    const uint8_t signature[64])
{
    bool ours = ed25519_proves(s->table, m, signature);

    CHECK_EQ(crypto_sign_verify_detached(signature, m.p, m.n, s->key) == 0,
             ours);
    return ours;
}

TEST(ed25519_table_proves_what_was_signed_and_nothing_beside_it)
{
    uint8_t message[300], signature[64];

    for (uint8_t i = 0; i < 20; i++) {
        struct signer s = signer_new(i), other = signer_new(i + 100);

        for (size_t n = 0; n < sizeof message; n += 1 + n / 3) {
            struct bytes m = bytes_of(message, n);

            randombytes_buf(message, sizeof message);
            crypto_sign_detached(signature, NULL, m.p, m.n, s.secret);
            CHECK(verdict(&s, m, signature));
            CHECK_NOT(verdict(&other, m, signature));
            CHECK_NOT(verdict(&s, bytes_of(message, n + 1), signature));
        }
        ed25519_table_free(s.table);
        ed25519_table_free(other.table);
    }
}

TEST(ed25519_table_notices_every_bit)
{
    struct signer s = signer_new(1);
    uint8_t message[40] = "one bundle", signature[64];
    struct bytes m = bytes_of(message, sizeof message);

    crypto_sign_detached(signature, NULL, m.p, m.n, s.secret);
    for (size_t bit = 0; bit < 8 * sizeof signature; bit++) {
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_NOT(verdict(&s, m, signature));
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof message; bit++) {
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_NOT(verdict(&s, m, signature));
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(verdict(&s, m, signature));
    ed25519_table_free(s.table);
}

static void add(uint8_t to[32], const uint8_t what[32])
{
    unsigned carry = 0;

    for (int i = 0; i < 32; i++) {
        carry += to[i] + what[i];
        to[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

/* The same number modulo the order, written in another way. */
TEST(ed25519_table_takes_a_scalar_in_one_form_alone)
{
    struct signer s = signer_new(2);
    struct bytes m = bytes_text("message");
    uint8_t signature[64];

    crypto_sign_detached(signature, NULL, m.p, m.n, s.secret);
    CHECK(verdict(&s, m, signature));
    for (int i = 0; i < 7; i++) {
        add(signature + 32, order);
        CHECK_NOT(verdict(&s, m, signature));
    }
    ed25519_table_free(s.table);
}

/* h = H(R, A, M) */
static void challenge(const struct signer *s, const uint8_t r[32],
                      struct bytes m, uint8_t h[32])
{
    crypto_hash_sha512_state hash;
    uint8_t wide[64];

    crypto_hash_sha512_init(&hash);
    crypto_hash_sha512_update(&hash, r, 32);
    crypto_hash_sha512_update(&hash, s->key, 32);
    crypto_hash_sha512_update(&hash, m.p, m.n);
    crypto_hash_sha512_final(&hash, wide);
    crypto_core_ed25519_scalar_reduce(h, wide);
}

/* s = h a: the equation holds with nothing for R, for any message. */
TEST(ed25519_table_takes_no_point_of_small_order_for_r)
{
    struct signer s = signer_new(3);
    struct bytes m = bytes_text("anything");
    uint8_t signature[64] = {1}, h[32], r[32];

    challenge(&s, signature, m, h);
    crypto_core_ed25519_scalar_mul(signature + 32, h, s.scalar);
    CHECK_NOT(ed25519_difference(s.table, signature + 32, h, r));
    assert_memory_equal(r, signature, 32); /* or it would prove nothing */
    CHECK_NOT(verdict(&s, m, signature));
    ed25519_table_free(s.table);
}

/* A key with a part of order 8: its holder can make signatures that hold for
 * one verifier and not for another. These two must be one. */
TEST(ed25519_table_of_a_key_with_a_part_of_small_order_agrees_with_libsodium)
{
    struct signer s = signer_new(4);
    unsigned held = 0, fell = 0;

    crypto_core_ed25519_add(s.key, s.key, eighth);
    ed25519_table_free(s.table);
    s.table = ed25519_table_new(s.key);
    CHECK(s.table != NULL);
    for (uint8_t i = 1; i < 100; i++) {
        struct bytes m = bytes_of(&i, 1);
        uint8_t signature[64], wide[64] = {i, 77}, r[32], h[32];

        crypto_core_ed25519_scalar_reduce(r, wide);
        crypto_scalarmult_ed25519_base_noclamp(signature, r);
        for (uint8_t k = 0; k < i % 8; k++)
            crypto_core_ed25519_add(signature, signature, eighth);
        challenge(&s, signature, m, h);
        crypto_core_ed25519_scalar_mul(h, h, s.scalar);
        crypto_core_ed25519_scalar_add(signature + 32, r, h);
        if (verdict(&s, m, signature))
            held++;
        else
            fell++;
    }
    CHECK(held > 2 && fell > 50);
    ed25519_table_free(s.table);
}

/* By multiplications of libsodium's; it has none by 0. */
static void difference_check(const struct signer *s, const uint8_t a[32],
                             const uint8_t b[32])
{
    uint8_t sb[32], hk[32], wanted[32], got[32];
    bool none_s = sodium_is_zero(a, 32), none_h = sodium_is_zero(b, 32);

    if (!none_s)
        CHECK_OK(crypto_scalarmult_ed25519_base_noclamp(sb, a));
    if (!none_h)
        CHECK_OK(crypto_scalarmult_ed25519_noclamp(hk, b, s->key));
    memset(wanted, 0, sizeof wanted);
    wanted[0] = 1;
    if (!none_s)
        memcpy(wanted, sb, sizeof wanted);
    if (!none_h)
        CHECK_OK(crypto_core_ed25519_sub(wanted, wanted, hk));
    CHECK_EQ(ed25519_difference(s->table, a, b, got), !none_s || !none_h);
    assert_memory_equal(got, wanted, 32);
}

/* Digits at either end, with carries that run through all of them. */
TEST(ed25519_difference_is_libsodium_s_at_the_ends_of_digits)
{
    struct signer s = signer_new(5);
    uint8_t edges[80][32] = {{0}};
    unsigned n = 1;

    edges[n++][0] = 1;
    edges[n++][0] = 2;
    memcpy(edges[n], order, 32); /* the highest */
    edges[n++][0]--;
    memcpy(edges[n], order, 32);
    edges[n++][0] -= 2;
    edges[n++][31] = 0x10; /* 2^252, and one less */
    memset(edges[n], 0xff, 31);
    edges[n++][31] = 0x0f;
    for (unsigned digit = 15; digit <= 17; digit++) { /* repeated */
        for (unsigned bit = 0; bit < 250; bit++)
            if (digit >> bit % 5 & 1)
                edges[n][bit / 8] |= (uint8_t)(1 << bit % 8);
        n++;
    }
    for (unsigned bit = 4; bit < 253; bit += 5) /* digits of 16 and carries */
        edges[n++][bit / 8] |= (uint8_t)(1 << bit % 8);
    CHECK(n <= sizeof edges / sizeof *edges);
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = i % 3; j < n; j += 3)
            difference_check(&s, edges[i], edges[j]);
    ed25519_table_free(s.table);
}

/* One that libsodium would take another form of, or none at all. */
TEST(ed25519_table_is_of_keys_alone_that_libsodium_takes)
{
    uint8_t identity[32] = {1}, nothing[32] = {0}, beyond[32], sum[32];

    memset(beyond, 0xff, sizeof beyond); /* p + y, for a y that has an x */
    beyond[31] = 0x7f;
    beyond[0] = 0xed + 3;
    CHECK_OK(crypto_core_ed25519_add(sum, beyond, beyond));
    CHECK(ed25519_table_new(beyond) == NULL);
    CHECK(ed25519_table_new(identity) == NULL);
    CHECK(ed25519_table_new(nothing) == NULL);
    CHECK(ed25519_table_new(eighth) == NULL);
}

TEST(ed25519_table_is_made_of_points_alone)
{
    unsigned points = 0;
    uint8_t key[32] = {0};

    for (unsigned y = 2; y < 100; y++) {
        struct ed25519_table *t;
        uint8_t sum[32];

        key[0] = (uint8_t)y;
        t = ed25519_table_new(key);
        CHECK_EQ(t != NULL, crypto_core_ed25519_add(sum, key, key) == 0);
        points += t != NULL;
        ed25519_table_free(t);
    }
    CHECK(points > 30 && points < 70);
}

CHECK_MAIN
