#include "field25519.h"

#ifdef __SIZEOF_INT128__

#include <string.h>

#include "bytes.h"

static const uint64_t limb_mask = ((uint64_t)1 << FE_LIMB_BITS) - 1;

struct fe fe_get(const uint8_t in[FE_BYTES])
{
    uint64_t w[4];

    for (unsigned i = 0; i < 4; i++)
        w[i] = get_u64(in + 8 * i);
    return (struct fe){{
        w[0] & limb_mask,
        (w[0] >> 51 | w[1] << 13) & limb_mask,
        (w[1] >> 38 | w[2] << 26) & limb_mask,
        (w[2] >> 25 | w[3] << 39) & limb_mask,
        w[3] >> 12 & limb_mask,
    }};
}

/* What is carried out of the highest limb comes in again times 19. */
static void carry_round(struct fe *a)
{
    uint64_t carry = 0;

    for (unsigned i = 0; i < FE_LIMBS; i++) {
        a->limb[i] += carry;
        carry = a->limb[i] >> FE_LIMB_BITS;
        a->limb[i] &= limb_mask;
    }
    a->limb[0] += 19 * carry;
}

void fe_put(uint8_t out[FE_BYTES], const struct fe *a)
{
    struct fe r = *a;
    uint64_t above = 19;

    carry_round(&r); /* below 2p: p is to be taken away once, or not */
    for (unsigned i = 0; i < FE_LIMBS; i++)
        above = (r.limb[i] + above) >> FE_LIMB_BITS;
    r.limb[0] += 19 * above;
    for (unsigned i = 0; i + 1 < FE_LIMBS; i++) {
        r.limb[i + 1] += r.limb[i] >> FE_LIMB_BITS;
        r.limb[i] &= limb_mask;
    }
    r.limb[4] &= limb_mask;
    put_u64(out, r.limb[0] | r.limb[1] << 51);
    put_u64(out + 8, r.limb[1] >> 13 | r.limb[2] << 38);
    put_u64(out + 16, r.limb[2] >> 26 | r.limb[3] << 25);
    put_u64(out + 24, r.limb[3] >> 39 | r.limb[4] << 12);
}

bool fe_equal(const struct fe *a, const struct fe *b)
{
    uint8_t x[FE_BYTES], y[FE_BYTES];

    fe_put(x, a);
    fe_put(y, b);
    return memcmp(x, y, sizeof x) == 0;
}

/* a^(2^n) */
static struct fe squared(const struct fe *a, unsigned n)
{
    struct fe r = *a;

    while (n--)
        r = fe_square(&r);
    return r;
}

/* a^(2^n) b */
static struct fe joined(const struct fe *a, unsigned n, const struct fe *b)
{
    struct fe r = squared(a, n);

    return fe_mul(&r, b);
}

/* a^(2^250 - 1), and a^11 on the way: rN is a^(2^N - 1). */
static struct fe power_250(const struct fe *a, struct fe *a11)
{
    struct fe a2 = fe_square(a), a9 = joined(&a2, 2, a);
    struct fe r5, r10, r20, r40, r50, r100, r200;

    *a11 = fe_mul(&a9, &a2);
    r5 = joined(a11, 1, &a9);
    r10 = joined(&r5, 5, &r5);
    r20 = joined(&r10, 10, &r10);
    r40 = joined(&r20, 20, &r20);
    r50 = joined(&r40, 10, &r10);
    r100 = joined(&r50, 50, &r50);
    r200 = joined(&r100, 100, &r100);
    return joined(&r200, 50, &r50);
}

struct fe fe_invert(const struct fe *a)
{
    struct fe a11, r = power_250(a, &a11);

    return joined(&r, 5, &a11); /* p - 2 = 2^255 - 2^5 + 11 */
}

struct fe fe_root_power(const struct fe *a)
{
    struct fe a11, r = power_250(a, &a11);

    return joined(&r, 2, a); /* (p - 5) / 8 = 2^252 - 3 */
}

#endif
