/* Signed tree heads: what is written is what is read, and nothing else. */
#include "tests/check.h"

#include "proto/limits.h"
#include "proto/note.h"
#include "proto/refusal.h"
#include "tests/support/wire.h"

static void make(struct buf *text, const struct key_pair *key)
{
    struct note n = {.ledger = wire_hash(0xab),
                     .root = wire_hash(4),
                     .size = 1000,
                     .epoch = 2};

    buf_clear(text);
    CHECK_OK(note_put(text, &n, key));
}

/* The note with one piece of its text replaced, signed as it then stands. */
static int resigned(const char *from, const char *to)
{
    struct key_pair key = wire_key(9);
    struct buf text = {0}, bent = {0}, blob = {0}, line = {0};
    uint8_t *at, *empty, *sign;
    struct note got;
    int r;

    make(&text, &key);
    at = memmem(text.p, text.n, from, strlen(from));
    CHECK(at != NULL);
    buf_put(&bent, text.p, (size_t)(at - text.p));
    buf_put(&bent, to, strlen(to));
    at += strlen(from);
    buf_put(&bent, at, text.n - (size_t)(at - text.p));
    empty = memmem(bent.p, bent.n, "\n\n", 2);
    sign = memrchr(bent.p, ' ', bent.n);
    CHECK(empty && sign);
    CHECK_OK(base64_get(
        &blob, bytes_of(sign + 1, bent.n - (size_t)(sign + 1 - bent.p) - 1),
        false));
    key_sign_note(&key, bytes_of(bent.p, (size_t)(empty - bent.p) + 1),
                  blob.p + 4);
    bent.n = (size_t)(sign + 1 - bent.p);
    CHECK_OK(base64_put(&bent, buf_bytes(&blob), false));
    buf_put(&bent, "\n", 1);
    r = note_get(&got, buf_bytes(&bent), key.public_key);
    buf_free(&text);
    buf_free(&bent);
    buf_free(&blob);
    buf_free(&line);
    return r;
}

TEST(note_says_what_was_put_in)
{
    struct key_pair key = wire_key(9);
    struct hash ledger = wire_hash(0xab), root = wire_hash(4);
    struct buf text = {0};
    struct note got;

    make(&text, &key);
    CHECK_OK(note_get(&got, buf_bytes(&text), key.public_key));
    CHECK(hash_equal(&got.ledger, &ledger));
    CHECK(hash_equal(&got.root, &root));
    CHECK_EQ(got.size, 1000);
    CHECK_EQ(got.epoch, 2);
    buf_free(&text);
}

TEST(note_rejects_truncation_and_any_changed_byte)
{
    struct key_pair key = wire_key(9);
    struct buf text = {0};
    struct note got;

    make(&text, &key);
    for (size_t n = 0; n < text.n; n++) {
        uint8_t *cut = malloc(n ? n : 1);

        memcpy(cut, text.p, n);
        CHECK_NE(note_get(&got, bytes_of(cut, n), key.public_key), 0);
        free(cut);
    }
    for (size_t i = 0; i < 8 * text.n; i++) {
        text.p[i / 8] ^= (uint8_t)(1u << i % 8);
        CHECK_NE(note_get(&got, buf_bytes(&text), key.public_key), 0);
        text.p[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    buf_free(&text);
}

TEST(note_has_one_form_only_even_when_truly_signed)
{
    CHECK_OK(resigned("1000", "1000"));
    CHECK_OK(resigned("1000", "0"));
    CHECK_REFUSED(resigned("1000", "01000"), CHOIR_MALFORMED);
    CHECK_REFUSED(resigned("1000", "+1000"), CHOIR_MALFORMED);
    CHECK_REFUSED(resigned("1000", "9007199254740992"), CHOIR_MALFORMED);
    CHECK_OK(resigned("1000", "9007199254740991"));
    CHECK_REFUSED(resigned("epoch 2", "epoch 02"), CHOIR_MALFORMED);
    CHECK_REFUSED(resigned("epoch 2", "epoch"), CHOIR_MALFORMED);
    CHECK_REFUSED(resigned("epoch 2", "epoch 2\nmore"), CHOIR_MALFORMED);
    CHECK_REFUSED(resigned("choir.ledger/ab", "choir.ledger/AB"),
                  CHOIR_MALFORMED);
}

CHECK_MAIN
