/* libsodium behind BLAKE2b (its only other user is key.c), nettle behind
 * SHA-256, because it uses the processor's own instructions: docs/adr/0007.
 * Neither keeps anything between calls, so any thread may hash. */
#include "hash.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <nettle/version.h>
#include <sodium.h>

static const char tags[HASH_TAG_COUNT][HASH_TAG_BYTES + 1] = {
#define X(name, text) [HASH_##name] = text,
    HASH_TAGS(X)
#undef X
};

struct bytes hash_tag_bytes(enum hash_tag tag)
{
    return bytes_of(tags[tag], HASH_TAG_BYTES);
}

struct hash hash_parts(enum hash_tag tag, struct bytes a, struct bytes b,
                       struct bytes c)
{
    crypto_generichash_blake2b_state s;
    uint8_t full[64];
    struct hash out;

    crypto_generichash_blake2b_init(&s, NULL, 0, sizeof full);
    crypto_generichash_blake2b_update(&s, (const uint8_t *)tags[tag],
                                      HASH_TAG_BYTES);
    if (a.n)
        crypto_generichash_blake2b_update(&s, a.p, a.n);
    if (b.n)
        crypto_generichash_blake2b_update(&s, b.p, b.n);
    if (c.n)
        crypto_generichash_blake2b_update(&s, c.p, c.n);
    crypto_generichash_blake2b_final(&s, full, sizeof full);
    memcpy(out.b, full, HASH_BYTES);
    return out;
}

/* libsodium wants its state aligned to 64 bytes; ours lies anywhere. */
void hash_run_begin(struct hash_run *h, enum hash_tag tag)
{
    crypto_generichash_blake2b_state s;

    _Static_assert(sizeof s == sizeof h->state, "BLAKE2b's state");
    crypto_generichash_blake2b_init(&s, NULL, 0, 64);
    crypto_generichash_blake2b_update(&s, (const uint8_t *)tags[tag],
                                      HASH_TAG_BYTES);
    memcpy(h->state, &s, sizeof s);
}

void hash_run_add(struct hash_run *h, struct bytes piece)
{
    crypto_generichash_blake2b_state s;

    if (piece.n == 0)
        return;
    memcpy(&s, h->state, sizeof s);
    crypto_generichash_blake2b_update(&s, piece.p, piece.n);
    memcpy(h->state, &s, sizeof s);
}

struct hash hash_run_now(const struct hash_run *h)
{
    crypto_generichash_blake2b_state s;
    uint8_t full[64];
    struct hash out;

    memcpy(&s, h->state, sizeof s);
    crypto_generichash_blake2b_final(&s, full, sizeof full);
    memcpy(out.b, full, HASH_BYTES);
    return out;
}

static struct hash sha256_end(struct sha256_ctx *s)
{
    struct hash out;

#if NETTLE_VERSION_MAJOR >= 4
    sha256_digest(s, out.b);
#else
    sha256_digest(s, HASH_BYTES, out.b);
#endif
    return out;
}

static struct hash sha256(uint8_t prefix, struct bytes a, struct bytes b)
{
    struct sha256_ctx s;

    sha256_init(&s);
    sha256_update(&s, 1, &prefix);
    if (a.n)
        sha256_update(&s, a.n, a.p);
    if (b.n)
        sha256_update(&s, b.n, b.p);
    return sha256_end(&s);
}

struct hash tree_leaf(struct bytes leaf)
{
    return sha256(0, leaf, (struct bytes){0});
}

struct hash tree_node(const struct hash *left, const struct hash *right)
{
    return sha256(1, hash_bytes(left), hash_bytes(right));
}

struct hash sha256_of(struct bytes b)
{
    struct sha256_ctx s;

    sha256_init(&s);
    if (b.n)
        sha256_update(&s, b.n, b.p);
    return sha256_end(&s);
}

struct hash tree_empty(void)
{
    return sha256_of((struct bytes){0});
}

uint64_t hash_seeded(const struct hash_seed *seed, struct bytes b)
{
    uint64_t out;

    crypto_shorthash((uint8_t *)&out, b.p, b.n, seed->b);
    return out;
}

void hash_hex(const struct hash *h, char out[HASH_HEX])
{
    sodium_bin2hex(out, HASH_HEX, h->b, HASH_BYTES);
}

int hash_parse_hex(struct hash *h, struct bytes text)
{
    size_t n = 0;

    if (text.n != HASH_HEX - 1 ||
        sodium_hex2bin(h->b, HASH_BYTES, (const char *)text.p, text.n, NULL, &n,
                       NULL) != 0 ||
        n != HASH_BYTES)
        return -EINVAL;
    return 0;
}
