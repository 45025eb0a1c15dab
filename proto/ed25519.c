/* A scalar is written in signed digits of five bits; of each place there are
 * the sixteen multiples that a digit can choose. Two places share a row, which
 * is why there are two passes, and five doublings of one's sum: half the memory.
 * What is left is a hundred additions for both scalars together, where a key
 * without a table takes 250 doublings and some eighty additions. */
#include "ed25519.h"

#ifdef __SIZEOF_INT128__

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "edwards25519.h"

struct ed25519_table {
    uint8_t key[ED25519_KEY_BYTES];
    struct entry entries[ENTRIES];
};

/* Of the base point, and how sums are made on this machine. */
static struct ed25519_table base;
static passes_sum passes;

/* --- Tables -------------------------------------------------------------- */

/* No key is read that libsodium would refuse: each has one form. */
static bool table_fill(struct ed25519_table *t,
                       const uint8_t key[ED25519_KEY_BYTES])
{
    uint8_t written[ED25519_KEY_BYTES];
    struct point p;

    if (!point_get(&p, key) || point_is_of_small_order(&p))
        return false;
    point_put(written, &p);
    if (memcmp(written, key, sizeof written) != 0)
        return false;
    entries_fill(t->entries, &p);
    memcpy(t->key, key, sizeof t->key);
    return true;
}

/* The base point's y is 4/5. */
static void start(void)
{
    uint8_t key[ED25519_KEY_BYTES];

    memset(key, 0x66, sizeof key);
    key[0] = 0x58;
    table_fill(&base, key);
    passes = passes_sum_at_once();
    if (!passes)
        passes = passes_sum_in_turn;
}

struct ed25519_table *ed25519_table_new(const uint8_t key[ED25519_KEY_BYTES])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct ed25519_table *t;

    pthread_once(&once, start);
    t = malloc(sizeof *t);
    if (t && !table_fill(t, key)) {
        free(t);
        t = NULL;
    }
    return t;
}

void ed25519_table_free(struct ed25519_table *t)
{
    free(t);
}

/* --- Proofs -------------------------------------------------------------- */

bool ed25519_difference(const struct ed25519_table *t, const uint8_t s[32],
                        const uint8_t h[32], uint8_t out[32])
{
    struct scalar a, b;
    struct point sum[SCALAR_PASSES], p;

    scalar_get(&a, s);
    scalar_get(&b, h);
    passes(sum, base.entries, &a, t->entries, &b);
    p = sum[SCALAR_PASSES - 1];
    for (unsigned pass = SCALAR_PASSES - 1; pass--;) {
        p = point_doubled(&p, DIGIT_BITS);
        p = point_sum(&p, &sum[pass]);
    }
    point_put(out, &p);
    return !point_is_of_small_order(&p);
}

bool ed25519_proves(const struct ed25519_table *t, struct bytes message,
                    const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
    const uint8_t *r = signature, *s = signature + 32;
    uint8_t wide[64] = {0}, below[32], h[32], wanted[32];
    crypto_hash_sha512_state hash;

    memcpy(wide, s, 32);
    crypto_core_ed25519_scalar_reduce(below, wide);
    if (memcmp(below, s, 32) != 0)
        return false; /* not below the order: another form of one that is */
    crypto_hash_sha512_init(&hash);
    crypto_hash_sha512_update(&hash, r, 32);
    crypto_hash_sha512_update(&hash, t->key, sizeof t->key);
    crypto_hash_sha512_update(&hash, message.p, message.n);
    crypto_hash_sha512_final(&hash, wide);
    crypto_core_ed25519_scalar_reduce(h, wide);
    return ed25519_difference(t, s, h, wanted) && memcmp(wanted, r, 32) == 0;
}

#else

struct ed25519_table *ed25519_table_new(const uint8_t key[ED25519_KEY_BYTES])
{
    (void)key;
    return NULL;
}

void ed25519_table_free(struct ed25519_table *t)
{
    (void)t;
}

bool ed25519_proves(const struct ed25519_table *t, struct bytes message,
                    const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
    (void)t;
    (void)message;
    (void)signature;
    return false;
}

bool ed25519_difference(const struct ed25519_table *t, const uint8_t s[32],
                        const uint8_t h[32], uint8_t out[32])
{
    (void)t;
    (void)s;
    (void)h;
    (void)out;
    return false;
}

#endif
