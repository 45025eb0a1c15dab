/* The field of Ed25519: integers modulo p = 2^255 - 19 in five limbs of 51
 * bits, as the reference's own "radix 2^51". Not constant in time: for public
 * values alone.
 *
 * Bounds. A limb is "tight" below 2^51 + 2^17: what fe_mul, fe_square and
 * fe_get give. A sum of two tight ones is below 2^52.1, a difference of
 * such below 2^53.8. fe_mul and fe_square take limbs below 2^54:
 * nineteen times one is below 2^58.3, a product of both below 2^112.3, five of
 * them below 2^114.7, and what is carried from each into the next is below
 * 2^63.7. The highest limb has no factor of nineteen in it, and is below 2^110.4
 * before nineteen times its carry, below 2^63.7, goes into the lowest. All are
 * carried at once, twice: one carry after the other would be waited for.
 * Source: Bernstein and others, "High-speed high-security signatures", 2011. */
#ifndef CHOIR_PROTO_FIELD25519_H
#define CHOIR_PROTO_FIELD25519_H

#include <stdbool.h>
#include <stdint.h>

enum { FE_LIMBS = 5, FE_LIMB_BITS = 51, FE_BYTES = 32 };

/* An element, under its usual name. */
struct fe {
    uint64_t limb[FE_LIMBS];
};

/* Little-endian; the highest bit is left out, and a number of p and more is
 * taken for what it is modulo p. */
struct fe fe_get(const uint8_t in[FE_BYTES]);
/* Limbs below 2^54; what is written is below p. */
void fe_put(uint8_t out[FE_BYTES], const struct fe *a);
/* The same modulo p? Limbs as fe_put. */
bool fe_equal(const struct fe *a, const struct fe *b);
/* 1/a, and 0 for 0. */
struct fe fe_invert(const struct fe *a);
/* a^((p - 5) / 8): what square roots are made from. */
struct fe fe_root_power(const struct fe *a);

#ifdef __SIZEOF_INT128__

#define FE_INLINE static inline __attribute__((always_inline))

__extension__ typedef unsigned __int128 fe_wide;

/* The sum must stay below 2^54. */
FE_INLINE struct fe fe_add(const struct fe *a, const struct fe *b)
{
    struct fe r;

    for (unsigned i = 0; i < FE_LIMBS; i++)
        r.limb[i] = a->limb[i] + b->limb[i];
    return r;
}

/* Each tight, or a sum of two: 4 p more, so that no limb falls below 0. */
FE_INLINE struct fe fe_sub(const struct fe *a, const struct fe *b)
{
    const uint64_t low = ((uint64_t)1 << 53) - 76, others = low + 72;
    struct fe r;

    for (unsigned i = 0; i < FE_LIMBS; i++)
        r.limb[i] = a->limb[i] + (i ? others : low) - b->limb[i];
    return r;
}

FE_INLINE struct fe fe_carried(fe_wide r0, fe_wide r1, fe_wide r2, fe_wide r3,
                               fe_wide r4)
{
    const uint64_t mask = ((uint64_t)1 << FE_LIMB_BITS) - 1;
    uint64_t a0 = ((uint64_t)r0 & mask) + 19 * (uint64_t)(r4 >> FE_LIMB_BITS);
    uint64_t a1 = ((uint64_t)r1 & mask) + (uint64_t)(r0 >> FE_LIMB_BITS);
    uint64_t a2 = ((uint64_t)r2 & mask) + (uint64_t)(r1 >> FE_LIMB_BITS);
    uint64_t a3 = ((uint64_t)r3 & mask) + (uint64_t)(r2 >> FE_LIMB_BITS);
    uint64_t a4 = ((uint64_t)r4 & mask) + (uint64_t)(r3 >> FE_LIMB_BITS);

    return (struct fe){{
        (a0 & mask) + 19 * (a4 >> FE_LIMB_BITS),
        (a1 & mask) + (a0 >> FE_LIMB_BITS),
        (a2 & mask) + (a1 >> FE_LIMB_BITS),
        (a3 & mask) + (a2 >> FE_LIMB_BITS),
        (a4 & mask) + (a3 >> FE_LIMB_BITS),
    }};
}

FE_INLINE struct fe fe_mul(const struct fe *x, const struct fe *y)
{
    const uint64_t *a = x->limb, *b = y->limb;
    uint64_t c1 = 19 * b[1], c2 = 19 * b[2], c3 = 19 * b[3], c4 = 19 * b[4];

    return fe_carried(
        (fe_wide)a[0] * b[0] + (fe_wide)a[1] * c4 + (fe_wide)a[2] * c3 +
            (fe_wide)a[3] * c2 + (fe_wide)a[4] * c1,
        (fe_wide)a[0] * b[1] + (fe_wide)a[1] * b[0] + (fe_wide)a[2] * c4 +
            (fe_wide)a[3] * c3 + (fe_wide)a[4] * c2,
        (fe_wide)a[0] * b[2] + (fe_wide)a[1] * b[1] + (fe_wide)a[2] * b[0] +
            (fe_wide)a[3] * c4 + (fe_wide)a[4] * c3,
        (fe_wide)a[0] * b[3] + (fe_wide)a[1] * b[2] + (fe_wide)a[2] * b[1] +
            (fe_wide)a[3] * b[0] + (fe_wide)a[4] * c4,
        (fe_wide)a[0] * b[4] + (fe_wide)a[1] * b[3] + (fe_wide)a[2] * b[2] +
            (fe_wide)a[3] * b[1] + (fe_wide)a[4] * b[0]);
}

FE_INLINE struct fe fe_square(const struct fe *x)
{
    const uint64_t *a = x->limb;
    uint64_t d0 = 2 * a[0], d1 = 2 * a[1], d2 = 2 * a[2], d3 = 2 * a[3];
    uint64_t n3 = 19 * a[3], n4 = 19 * a[4];

    return fe_carried(
        (fe_wide)a[0] * a[0] + (fe_wide)d1 * n4 + (fe_wide)d2 * n3,
        (fe_wide)d0 * a[1] + (fe_wide)d2 * n4 + (fe_wide)a[3] * n3,
        (fe_wide)d0 * a[2] + (fe_wide)a[1] * a[1] + (fe_wide)d3 * n4,
        (fe_wide)d0 * a[3] + (fe_wide)d1 * a[2] + (fe_wide)a[4] * n4,
        (fe_wide)d0 * a[4] + (fe_wide)d1 * a[3] + (fe_wide)a[2] * a[2]);
}

#endif

#endif
