/* The field of Ed25519: integers modulo p = 2^255 - 19 in five limbs of 51
 * bits, as the reference's own "radix 2^51". Not constant in time: for public
 * values alone.
 *
 * Bounds. A limb is "tight" below 2^51 + 2^13: what field_mul, field_square and
 * field_get give. A sum of two tight ones is below 2^52.1, a difference of
 * such below 2^53.8. field_mul and field_square take limbs below 2^54:
 * nineteen times one is below 2^58.3, a product of both below 2^112.3, five of
 * them below 2^114.7, and what is carried from each into the next is below 2^64.
 * Source: Bernstein and others, "High-speed high-security signatures", 2011. */
#ifndef CHOIR_PROTO_FIELD25519_H
#define CHOIR_PROTO_FIELD25519_H

#include <stdbool.h>
#include <stdint.h>

enum { FIELD_LIMBS = 5, FIELD_LIMB_BITS = 51, FIELD_BYTES = 32 };

struct field {
    uint64_t limb[FIELD_LIMBS];
};

/* Little-endian; the highest bit is left out, and a number of p and more is
 * taken for what it is modulo p. */
struct field field_get(const uint8_t in[FIELD_BYTES]);
/* Limbs below 2^54; what is written is below p. */
void field_put(uint8_t out[FIELD_BYTES], const struct field *a);
/* The same modulo p? Limbs as field_put. */
bool field_equal(const struct field *a, const struct field *b);
/* 1/a, and 0 for 0. */
struct field field_invert(const struct field *a);
/* a^((p - 5) / 8): what square roots are made from. */
struct field field_root_power(const struct field *a);

#ifdef __SIZEOF_INT128__

#define FIELD_INLINE static inline __attribute__((always_inline))

__extension__ typedef unsigned __int128 field_wide;

/* The sum must stay below 2^54. */
FIELD_INLINE struct field field_add(const struct field *a,
                                    const struct field *b)
{
    struct field r;

    for (unsigned i = 0; i < FIELD_LIMBS; i++)
        r.limb[i] = a->limb[i] + b->limb[i];
    return r;
}

/* Each tight, or a sum of two: 4 p more, so that no limb falls below 0. */
FIELD_INLINE struct field field_sub(const struct field *a,
                                    const struct field *b)
{
    const uint64_t low = ((uint64_t)1 << 53) - 76, others = low + 72;
    struct field r;

    for (unsigned i = 0; i < FIELD_LIMBS; i++)
        r.limb[i] = a->limb[i] + (i ? others : low) - b->limb[i];
    return r;
}

FIELD_INLINE struct field field_carried(field_wide r0, field_wide r1,
                                        field_wide r2, field_wide r3,
                                        field_wide r4)
{
    const uint64_t mask = ((uint64_t)1 << FIELD_LIMB_BITS) - 1;
    struct field r;

    r1 += (uint64_t)(r0 >> FIELD_LIMB_BITS);
    r2 += (uint64_t)(r1 >> FIELD_LIMB_BITS);
    r3 += (uint64_t)(r2 >> FIELD_LIMB_BITS);
    r4 += (uint64_t)(r3 >> FIELD_LIMB_BITS);
    r.limb[0] = ((uint64_t)r0 & mask) + 19 * (uint64_t)(r4 >> FIELD_LIMB_BITS);
    r.limb[1] = ((uint64_t)r1 & mask) + (r.limb[0] >> FIELD_LIMB_BITS);
    r.limb[0] &= mask;
    r.limb[2] = (uint64_t)r2 & mask;
    r.limb[3] = (uint64_t)r3 & mask;
    r.limb[4] = (uint64_t)r4 & mask;
    return r;
}

FIELD_INLINE struct field field_mul(const struct field *x,
                                    const struct field *y)
{
    const uint64_t *a = x->limb, *b = y->limb;
    uint64_t c1 = 19 * b[1], c2 = 19 * b[2], c3 = 19 * b[3], c4 = 19 * b[4];

    return field_carried((field_wide)a[0] * b[0] + (field_wide)a[1] * c4 +
                             (field_wide)a[2] * c3 + (field_wide)a[3] * c2 +
                             (field_wide)a[4] * c1,
                         (field_wide)a[0] * b[1] + (field_wide)a[1] * b[0] +
                             (field_wide)a[2] * c4 + (field_wide)a[3] * c3 +
                             (field_wide)a[4] * c2,
                         (field_wide)a[0] * b[2] + (field_wide)a[1] * b[1] +
                             (field_wide)a[2] * b[0] + (field_wide)a[3] * c4 +
                             (field_wide)a[4] * c3,
                         (field_wide)a[0] * b[3] + (field_wide)a[1] * b[2] +
                             (field_wide)a[2] * b[1] + (field_wide)a[3] * b[0] +
                             (field_wide)a[4] * c4,
                         (field_wide)a[0] * b[4] + (field_wide)a[1] * b[3] +
                             (field_wide)a[2] * b[2] + (field_wide)a[3] * b[1] +
                             (field_wide)a[4] * b[0]);
}

FIELD_INLINE struct field field_square(const struct field *x)
{
    const uint64_t *a = x->limb;
    uint64_t d0 = 2 * a[0], d1 = 2 * a[1], d2 = 2 * a[2], d3 = 2 * a[3];
    uint64_t n3 = 19 * a[3], n4 = 19 * a[4];

    return field_carried(
        (field_wide)a[0] * a[0] + (field_wide)d1 * n4 + (field_wide)d2 * n3,
        (field_wide)d0 * a[1] + (field_wide)d2 * n4 + (field_wide)a[3] * n3,
        (field_wide)d0 * a[2] + (field_wide)a[1] * a[1] + (field_wide)d3 * n4,
        (field_wide)d0 * a[3] + (field_wide)d1 * a[2] + (field_wide)a[4] * n4,
        (field_wide)d0 * a[4] + (field_wide)d1 * a[3] +
            (field_wide)a[2] * a[2]);
}

#endif

#endif
