/* Keys, and signatures that hold for one purpose in one ledger. */
#include "tests/check.h"

#include <errno.h>

#include "proto/limits.h"
#include "proto/refusal.h"
#include "tests/support/wire.h"

TEST(key_signature_holds_for_its_purpose_ledger_and_body_alone)
{
    struct key_pair k = wire_key(2), other = wire_key(3);
    struct hash ledger = wire_hash(1), elsewhere = wire_hash(2);
    struct bytes body = bytes_text("body");
    uint8_t s[KEY_SIGNATURE_BYTES];

    key_sign(&k, KEY_FOR_BUNDLE, &ledger, body, s);
    CHECK_OK(key_verify(k.public_key, KEY_FOR_BUNDLE, &ledger, body, s));
    CHECK_REFUSED(key_verify(k.public_key, KEY_FOR_ANSWER, &ledger, body, s),
                  CHOIR_BAD_SIGNATURE);
    CHECK_REFUSED(key_verify(k.public_key, KEY_FOR_BUNDLE, &elsewhere, body, s),
                  CHOIR_BAD_SIGNATURE);
    CHECK_REFUSED(
        key_verify(other.public_key, KEY_FOR_BUNDLE, &ledger, body, s),
        CHOIR_BAD_SIGNATURE);
    CHECK_REFUSED(key_verify(k.public_key, KEY_FOR_BUNDLE, &ledger,
                             bytes_text("bode"), s),
                  CHOIR_BAD_SIGNATURE);
    CHECK_REFUSED(key_verify_note(k.public_key, body, s), CHOIR_BAD_SIGNATURE);
}

TEST(key_refuses_a_body_longer_than_any_header)
{
    static uint8_t body[LIMIT_HEADER_BYTES + 1];
    struct key_pair k = wire_key(2);
    struct hash ledger = wire_hash(1);
    uint8_t s[KEY_SIGNATURE_BYTES] = {0};

    CHECK_REFUSED(key_verify(k.public_key, KEY_FOR_BUNDLE, &ledger,
                             bytes_of(body, sizeof body), s),
                  CHOIR_BAD_SIGNATURE);
}

TEST(key_of_small_order_signs_nothing_and_is_no_key)
{
    uint8_t identity[32] = {1}, zero[32] = {0}, s[64] = {1};
    struct hash ledger = wire_hash(1);
    struct key_pair k = wire_key(2);

    /* R and A the identity, S zero: a lenient verifier accepts anything */
    CHECK_REFUSED(key_verify(identity, KEY_FOR_BUNDLE, &ledger,
                             bytes_text("anything"), s),
                  CHOIR_BAD_SIGNATURE);
    CHECK_REFUSED(key_check(identity), CHOIR_INVALID);
    CHECK_REFUSED(key_check(zero), CHOIR_INVALID);
    CHECK_OK(key_check(k.public_key));
}

TEST(key_pairs_are_new_each_time)
{
    struct key_pair a, b;
    struct curve_pair c, d;

    key_pair_new(&a);
    key_pair_new(&b);
    CHECK(memcmp(a.public_key, b.public_key, 32) != 0);
    curve_pair_new(&c);
    curve_pair_new(&d);
    CHECK(memcmp(c.public_key, d.public_key, 32) != 0);
}

TEST(stretched_bytes_are_new_each_time)
{
    uint8_t bytes[3][4096] = {0};

    random_stretch(bytes[0], sizeof bytes[0]);
    random_stretch(bytes[1], sizeof bytes[1]);
    for (size_t i = 0; i < 4096; i += 64) {
        CHECK(memcmp(bytes[0] + i, bytes[1] + i, 64) != 0);
        CHECK(memcmp(bytes[0] + i, bytes[2] + i, 64) != 0);
    }
}

TEST(secret_is_gone_after_wiping)
{
    uint8_t secret[32], zeros[32] = {0};

    memset(secret, 7, sizeof secret);
    secret_wipe(secret, sizeof secret);
    CHECK_MEM(secret, zeros, sizeof secret);
}

TEST(base64_gives_back_every_length)
{
    uint8_t data[70];
    struct buf text = {0}, back = {0};

    memset(data, 0xfb, sizeof data);
    for (size_t n = 0; n < sizeof data; n++) {
        for (int url = 0; url < 2; url++) {
            buf_clear(&text);
            buf_clear(&back);
            CHECK_OK(base64_put(&text, bytes_of(data, n), url));
            CHECK_OK(base64_get(&back, buf_bytes(&text), url));
            CHECK(bytes_equal(buf_bytes(&back), bytes_of(data, n)));
        }
    }
    buf_free(&text);
    buf_free(&back);
}

TEST(base64_refuses_other_alphabets_padding_and_bits_left_over)
{
    static const char *const bad_url[] = {"+/", "-_==", "gB",
                                          "a",  "a b",  "AA\n"};
    static const char *const bad_std[] = {"-_==", "gA", "gB==", "gA=", "gA==="};
    struct buf b = {0};

    for (unsigned i = 0; i < sizeof bad_url / sizeof *bad_url; i++)
        CHECK_EQ(base64_get(&b, bytes_text(bad_url[i]), true), -EINVAL);
    for (unsigned i = 0; i < sizeof bad_std / sizeof *bad_std; i++)
        CHECK_EQ(base64_get(&b, bytes_text(bad_std[i]), false), -EINVAL);
    CHECK_EQ(base64_get(&b, bytes_of("gA\0A", 4), true), -EINVAL);
    for (int c = 0x80; c < 0x100; c++) { /* 0xef once passed for 'o' */
        char text[] = {'A', 'A', 'A', (char)c};

        CHECK_EQ(base64_get(&b, bytes_of(text, 4), false), -EINVAL);
        CHECK_EQ(base64_get(&b, bytes_of(text, 4), true), -EINVAL);
    }
    CHECK_EQ(b.n, 0);
    buf_free(&b);
}

CHECK_MAIN
