/* Both passes of a sum side by side: of a vector of eight integers of 64 bits,
 * four are one pass's point, X, Y, T and Z, and four the other's. An addition is
 * two multiplications of vectors, where entry_add has seven of its own for each.
 *
 * Limbs are of 51 bits as in field25519.h, but what is multiplied must be below
 * 2^52: the instruction takes no more, and gives a product's lower and upper 52
 * bits. The upper ones weigh 2^52, which is twice the next limb's weight. */
#include "edwards25519.h"

#ifdef __SIZEOF_INT128__

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

#define AT_ONCE   \
    static inline \
        __attribute__((always_inline, target("avx512f,avx512vl,avx512ifma")))

enum { LANES = 8, PASS_LANES = LANES / SCALAR_PASSES };

typedef __m512i lanes;

struct wide {
    lanes limb[FE_LIMBS];
};

/* The place in a vector that each of a pass's four is taken from. */
#define TAKEN(lane0, lane1, lane2, lane3) \
    ((lane3) << 6 | (lane2) << 4 | (lane1) << 2 | (lane0))
/* Those of both passes. */
#define BOTH(lane) (0x11 << (lane))

/* Any limb below 2^61: then below 2^51 + 2^14. */
AT_ONCE struct wide carried(struct wide a)
{
    const lanes mask = _mm512_set1_epi64(((int64_t)1 << FE_LIMB_BITS) - 1);
    lanes carry[FE_LIMBS], c;

#pragma GCC unroll 5
    for (unsigned i = 0; i < FE_LIMBS; i++) {
        carry[i] = _mm512_srli_epi64(a.limb[i], FE_LIMB_BITS);
        a.limb[i] = _mm512_and_si512(a.limb[i], mask);
    }
#pragma GCC unroll 4
    for (unsigned i = 1; i < FE_LIMBS; i++)
        a.limb[i] = _mm512_add_epi64(a.limb[i], carry[i - 1]);
    c = carry[FE_LIMBS - 1];
    a.limb[0] = _mm512_madd52lo_epu64(a.limb[0], c, _mm512_set1_epi64(19));
    return a;
}

/* Limbs below 2^52: five lower parts and twice as many upper ones are below
 * 2^56, and twenty times that below 2^61. */
AT_ONCE struct wide wide_mul(const struct wide *a, const struct wide *b)
{
    lanes low[2 * FE_LIMBS], high[2 * FE_LIMBS];
    struct wide r;

#pragma GCC unroll 10
    for (unsigned i = 0; i < 2 * FE_LIMBS; i++)
        low[i] = high[i] = _mm512_setzero_si512();
#pragma GCC unroll 5
    for (unsigned i = 0; i < FE_LIMBS; i++) {
#pragma GCC unroll 5
        for (unsigned j = 0; j < FE_LIMBS; j++) {
            low[i + j] =
                _mm512_madd52lo_epu64(low[i + j], a->limb[i], b->limb[j]);
            high[i + j + 1] =
                _mm512_madd52hi_epu64(high[i + j + 1], a->limb[i], b->limb[j]);
        }
    }
#pragma GCC unroll 10
    for (unsigned i = 0; i < 2 * FE_LIMBS; i++)
        low[i] = _mm512_add_epi64(low[i], _mm512_slli_epi64(high[i], 1));
#pragma GCC unroll 5
    for (unsigned i = 0; i < FE_LIMBS; i++) {
        lanes over = low[i + FE_LIMBS]; /* 19 = 16 + 2 + 1 */

        over = _mm512_add_epi64(over,
                                _mm512_add_epi64(_mm512_slli_epi64(over, 4),
                                                 _mm512_slli_epi64(over, 1)));
        r.limb[i] = _mm512_add_epi64(low[i], over);
    }
    return carried(r);
}

/* 2p, so that no limb falls below 0 when a smaller one than 2^52 - 38 is taken
 * away. */
AT_ONCE lanes twice_p(unsigned limb)
{
    const int64_t low = ((int64_t)1 << 52) - 38, others = low + 36;

    return _mm512_set1_epi64(limb ? others : low);
}

/* p + q: q is y - x, y + x, 2dxy and 2. */
AT_ONCE struct wide wide_add(const struct wide *p, const struct wide *q)
{
    struct wide a, b, r;

#pragma GCC unroll 5
    for (unsigned i = 0; i < FE_LIMBS; i++) { /* Y - X, Y + X, T, Z */
        lanes x = p->limb[i];
        lanes y = _mm512_permutex_epi64(x, TAKEN(1, 0, 2, 3));
        lanes above = _mm512_add_epi64(y, twice_p(i));

        a.limb[i] = _mm512_mask_add_epi64(x, BOTH(1), x, y);
        a.limb[i] = _mm512_mask_sub_epi64(a.limb[i], BOTH(0), above, x);
    }
    a = carried(a);
    r = wide_mul(&a, q);
#pragma GCC unroll 5
    for (unsigned i = 0; i < FE_LIMBS; i++) { /* E, H, F, G */
        lanes x = r.limb[i];
        lanes y = _mm512_permutex_epi64(x, TAKEN(1, 0, 3, 2));
        lanes above = _mm512_add_epi64(y, twice_p(i));

        r.limb[i] = _mm512_mask_sub_epi64(_mm512_add_epi64(x, y),
                                          BOTH(0) | BOTH(2), above, x);
    }
    r = carried(r);
#pragma GCC unroll 5
    for (unsigned i = 0; i < FE_LIMBS; i++) { /* E F, G H, E H, F G */
        a.limb[i] = _mm512_permutex_epi64(r.limb[i], TAKEN(0, 3, 0, 2));
        b.limb[i] = _mm512_permutex_epi64(r.limb[i], TAKEN(2, 1, 1, 3));
    }
    return wide_mul(&a, &b);
}

/* Nothing, for a digit of 0. */
static const struct entry none = {{{1, 1, 0}}};

AT_ONCE const struct entry *chosen(const struct entry *row, int digit)
{
    return digit ? row + (digit < 0 ? -digit : digit) - 1 : &none;
}

/* What is to be added to both: less a point is y + x, y - x and -2dxy. */
AT_ONCE struct wide chosen_of(const struct entry *row, int digit0, int digit1)
{
    const struct entry *e0 = chosen(row, digit0), *e1 = chosen(row, digit1);
    unsigned negative = (digit0 < 0 ? 1U : 0) | (digit1 < 0 ? 1U << 4 : 0);
    __mmask8 sides = (__mmask8)(negative * 3);
    __mmask8 twist = (__mmask8)(negative << ENTRY_TWIST);
    const __mmask8 all = (1 << ENTRY_PARTS) - 1;
    struct wide r;

#pragma GCC unroll 5
    for (unsigned i = 0; i < FE_LIMBS; i++) {
        lanes x = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_maskz_loadu_epi64(all, e0->limb[i])),
            _mm256_maskz_loadu_epi64(all, e1->limb[i]), 1);

        x = _mm512_mask_permutex_epi64(x, sides, x, TAKEN(1, 0, 2, 3));
        r.limb[i] = _mm512_mask_sub_epi64(x, twist, twice_p(i), x);
    }
    r.limb[0] = _mm512_mask_set1_epi64(r.limb[0], BOTH(ENTRY_PARTS), 2);
    return r;
}

AT_ONCE struct wide wide_none(void)
{
    struct wide r;

    r.limb[0] = _mm512_maskz_set1_epi64(BOTH(1) | BOTH(3), 1);
#pragma GCC unroll 4
    for (unsigned i = 1; i < FE_LIMBS; i++)
        r.limb[i] = _mm512_setzero_si512();
    return r;
}

AT_ONCE void wide_put(struct point out[SCALAR_PASSES], const struct wide *p)
{
    for (unsigned i = 0; i < FE_LIMBS; i++) {
        uint64_t limb[LANES];

        _mm512_storeu_si512(limb, p->limb[i]);
        for (unsigned pass = 0; pass < SCALAR_PASSES; pass++) {
            const uint64_t *of = limb + (size_t)PASS_LANES * pass;

            out[pass].x.limb[i] = of[0];
            out[pass].y.limb[i] = of[1];
            out[pass].t.limb[i] = of[2];
            out[pass].z.limb[i] = of[3];
        }
    }
}

__attribute__((target("avx512f,avx512vl,avx512ifma"))) static void sum_at_once(
    struct point out[SCALAR_PASSES], const struct entry *a_entries,
    const struct scalar *a, const struct entry *b_entries,
    const struct scalar *b)
{
    struct wide p = wide_none();

    for (size_t row = 0; row < SCALAR_ROWS; row++) {
        const int8_t *ad = a->digit + row * SCALAR_PASSES;
        const int8_t *bd = b->digit + row * SCALAR_PASSES;
        struct wide q = chosen_of(a_entries + row * MULTIPLES, ad[0], ad[1]);

        p = wide_add(&p, &q);
        q = chosen_of(b_entries + row * MULTIPLES, -bd[0], -bd[1]);
        p = wide_add(&p, &q);
    }
    wide_put(out, &p);
}

passes_sum passes_sum_at_once(void)
{
    return __builtin_cpu_supports("avx512ifma") &&
                   __builtin_cpu_supports("avx512vl")
               ? sum_at_once
               : NULL;
}

#else

#include <stddef.h>

passes_sum passes_sum_at_once(void)
{
    return NULL;
}

#endif

#endif
