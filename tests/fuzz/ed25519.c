/* Signatures under a key that has a table. The first byte chooses: 0: two
 * scalars, of which the difference is compared with libsodium's; 1: signature
 * and message as they are; else a true signature of the rest, of which one byte
 * is changed. Verdicts must be libsodium's. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>
#include <stdlib.h>

#include "proto/ed25519.h"

enum { SCALARS = 64, EDIT = 2 };

static uint8_t key[32], secret[64];
static struct ed25519_table *table;

static void must(bool claim)
{
    if (!claim)
        abort();
}

static void start(void)
{
    uint8_t seed[32] = {25, 51, 9};

    if (table)
        return;
    must(sodium_init() >= 0);
    crypto_sign_seed_keypair(key, secret, seed);
    table = ed25519_table_new(key);
    must(table != NULL);
}

static void scalar_of(uint8_t out[32], const uint8_t *in)
{
    uint8_t wide[64] = {0};

    memcpy(wide, in, 32);
    crypto_core_ed25519_scalar_reduce(out, wide);
}

static void difference(const uint8_t *in)
{
    uint8_t s[32], h[32], sb[32], hk[32], wanted[32], got[32];

    scalar_of(s, in);
    scalar_of(h, in + 32);
    if (sodium_is_zero(s, 32) || sodium_is_zero(h, 32))
        return; /* libsodium has no such products */
    must(crypto_scalarmult_ed25519_base_noclamp(sb, s) == 0);
    must(crypto_scalarmult_ed25519_noclamp(hk, h, key) == 0);
    must(crypto_core_ed25519_sub(wanted, sb, hk) == 0);
    ed25519_difference(table, s, h, got);
    must(memcmp(wanted, got, sizeof got) == 0);
}

static void verdict(const uint8_t signature[64], struct bytes m)
{
    must(ed25519_proves(table, m, signature) ==
         (crypto_sign_verify_detached(signature, m.p, m.n, key) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct bytes in = bytes_of(bytes + 1, size ? size - 1 : 0);
    uint8_t signature[64];

    start();
    if (size == 0 || (bytes[0] < 2 && in.n < SCALARS) || in.n < EDIT)
        return 0;
    if (bytes[0] == 0) {
        difference(in.p);
    } else if (bytes[0] == 1) {
        verdict(in.p, bytes_of(in.p + SCALARS, in.n - SCALARS));
    } else {
        struct bytes m = bytes_of(in.p + EDIT, in.n - EDIT);

        crypto_sign_detached(signature, NULL, m.p, m.n, secret);
        verdict(signature, m);
        signature[in.p[0] % sizeof signature] ^= in.p[1];
        verdict(signature, m);
    }
    return 0;
}
