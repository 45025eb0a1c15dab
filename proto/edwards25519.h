/* The curve of Ed25519, -x² + y² = 1 + dx²y², and sums of many of its points:
 * what a signature's proof takes longest for. Not constant in time: for public
 * values alone. Any thread.
 * Source: RFC 8032; Hisil and others, "Twisted Edwards curves revisited". */
#ifndef CHOIR_PROTO_EDWARDS25519_H
#define CHOIR_PROTO_EDWARDS25519_H

#include "field25519.h"

#ifdef __SIZEOF_INT128__

/* x = X/Z, y = Y/Z, xy = T/Z; all limbs tight. */
struct point {
    struct fe x, y, z, t;
};

/* Of a point that is added often: y - x, y + x and 2dxy, limb by limb; each
 * tight. */
enum { ENTRY_MINUS, ENTRY_PLUS, ENTRY_TWIST, ENTRY_PARTS };

struct entry {
    uint64_t limb[FE_LIMBS][ENTRY_PARTS];
};

/* A scalar below 2^253 in signed digits, -15 to 16, the lowest first. Digit i is
 * of the pass i % SCALAR_PASSES. */
enum {
    DIGIT_BITS = 5,
    DIGITS = 255 / DIGIT_BITS,
    SCALAR_PASSES = 2,
    SCALAR_ROWS = (DIGITS + SCALAR_PASSES - 1) / SCALAR_PASSES,
    MULTIPLES = 1 << (DIGIT_BITS - 1),
    ENTRIES = SCALAR_ROWS * MULTIPLES,
};

struct scalar {
    int8_t digit[SCALAR_ROWS * SCALAR_PASSES];
};

extern const struct point point_none;

/* The x that belongs to a y: false if there is none. */
bool point_get(struct point *p, const uint8_t in[FE_BYTES]);
void point_put(uint8_t out[FE_BYTES], const struct point *p);
struct point point_sum(const struct point *p, const struct point *q);
struct point point_doubled(const struct point *p, unsigned times);
/* Is it nothing, eight times? */
bool point_is_of_small_order(const struct point *p);

/* Of each row, the multiples 1 to 16 of p times 2^(10 row). */
void entries_fill(struct entry entries[ENTRIES], const struct point *p);

void scalar_get(struct scalar *s, const uint8_t in[FE_BYTES]);

/* For each pass: a times the point of A's entries less b times that of B's, of
 * that pass's digits. */
typedef void (*passes_sum)(struct point out[SCALAR_PASSES],
                           const struct entry *a_entries,
                           const struct scalar *a,
                           const struct entry *b_entries,
                           const struct scalar *b);

void passes_sum_in_turn(struct point out[SCALAR_PASSES],
                        const struct entry *a_entries, const struct scalar *a,
                        const struct entry *b_entries, const struct scalar *b);

/* Both passes at a time, by AVX-512 IFMA, a third of the time; NULL where the
 * processor has none. */
passes_sum passes_sum_at_once(void);

#endif

#endif
