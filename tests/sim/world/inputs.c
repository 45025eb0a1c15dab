/* Signatures, randomness and a number; see inputs.h. A real signature costs more
 * than all the rest of a step. These are hashes of key and message: who changes
 * a byte of either is found out as ever, only a forger would not be. */
#include "tests/sim/world/inputs.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t chance = 1;

static uint64_t more(void)
{
    uint64_t z = chance += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static const char *random_name(void)
{
    return "simulated";
}

static uint32_t random_u32(void)
{
    return (uint32_t)more();
}

static void random_buf(void *bytes, size_t n)
{
    uint8_t *p = bytes;

    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)more();
}

void inputs_reset(uint64_t seed)
{
    static randombytes_implementation simulated = {
        .implementation_name = random_name,
        .random = random_u32,
        .buf = random_buf,
    };

    if (randombytes_set_implementation(&simulated) || sodium_init() < 0)
        abort();
    chance = seed;
}

/* The lock says whose it is: a shorter number leaves more room on the disk. */
pid_t getpid(void)
{
    return 12345;
}

static void sign(unsigned char sig[64], const unsigned char *m,
                 unsigned long long n, const unsigned char *public_key)
{
    crypto_generichash(sig, 64, m, n, public_key, 32);
}

int crypto_sign_detached(unsigned char *sig, unsigned long long *sig_bytes,
                         const unsigned char *m, unsigned long long n,
                         const unsigned char *secret_key)
{
    sign(sig, m, n, secret_key + 32);
    if (sig_bytes)
        *sig_bytes = 64;
    return 0;
}

int crypto_sign_verify_detached(const unsigned char *sig,
                                const unsigned char *m, unsigned long long n,
                                const unsigned char *public_key)
{
    unsigned char wanted[64];

    sign(wanted, m, n, public_key);
    return memcmp(sig, wanted, sizeof wanted) ? -1 : 0;
}
