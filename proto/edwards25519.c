#include "edwards25519.h"

#ifdef __SIZEOF_INT128__

#include <string.h>

#include "bytes.h"

static const struct fe zero, one = {{1}};

const struct point point_none = {.y = {{1}}, .z = {{1}}};

/* d = -121665/121666, twice that, and a square root of -1. */
static const struct fe d = {{
    929955233495203,
    466365720129213,
    1662059464998953,
    2033849074728123,
    1442794654840575,
}};
static const struct fe d2 = {{
    1859910466990425,
    932731440258426,
    1072319116312658,
    1815898335770999,
    633789495995903,
}};
static const struct fe root = {{
    1718705420411056,
    234908883556509,
    2233514472574048,
    2117202627021982,
    765476049583133,
}};

/* --- Points -------------------------------------------------------------- */

FE_INLINE struct point point_of(const struct fe *e, const struct fe *f,
                                const struct fe *g, const struct fe *h)
{
    return (struct point){fe_mul(e, f), fe_mul(g, h), fe_mul(f, g),
                          fe_mul(e, h)};
}

static struct point doubled(const struct point *p)
{
    struct fe a = fe_square(&p->x), b = fe_square(&p->y);
    struct fe z = fe_square(&p->z), s = fe_add(&p->x, &p->y);
    struct fe h = fe_add(&a, &b), g = fe_sub(&a, &b), c, e, f;

    s = fe_square(&s);
    c = fe_add(&z, &z);
    e = fe_sub(&h, &s);
    f = fe_add(&c, &g); /* below 2^52.1 + 2^53.2 */
    return point_of(&e, &f, &g, &h);
}

struct point point_doubled(const struct point *p, unsigned times)
{
    struct point r = *p;

    while (times--)
        r = doubled(&r);
    return r;
}

struct point point_sum(const struct point *p, const struct point *q)
{
    struct fe p_minus = fe_sub(&p->y, &p->x);
    struct fe q_minus = fe_sub(&q->y, &q->x);
    struct fe p_plus = fe_add(&p->y, &p->x);
    struct fe q_plus = fe_add(&q->y, &q->x);
    struct fe a = fe_mul(&p_minus, &q_minus);
    struct fe b = fe_mul(&p_plus, &q_plus);
    struct fe t = fe_mul(&p->t, &q->t), z = fe_mul(&p->z, &q->z);
    struct fe c = fe_mul(&t, &d2), zz = fe_add(&z, &z);
    struct fe e = fe_sub(&b, &a), f = fe_sub(&zz, &c);
    struct fe g = fe_add(&zz, &c), h = fe_add(&b, &a);

    return point_of(&e, &f, &g, &h);
}

/* A square root of (y² - 1) / (dy² + 1). */
bool point_get(struct point *p, const uint8_t in[FE_BYTES])
{
    struct fe y = fe_get(in), yy = fe_square(&y);
    struct fe u = fe_sub(&yy, &one), v = fe_mul(&yy, &d);
    struct fe v3, v7, x, check, minus_u;
    uint8_t written[FE_BYTES];

    u = fe_mul(&u, &one); /* tight */
    v = fe_add(&v, &one);
    v3 = fe_square(&v);
    v3 = fe_mul(&v3, &v);
    v7 = fe_square(&v3);
    v7 = fe_mul(&v7, &v);
    x = fe_mul(&u, &v7);
    x = fe_root_power(&x);
    x = fe_mul(&x, &v3);
    x = fe_mul(&x, &u);
    check = fe_square(&x);
    check = fe_mul(&check, &v);
    minus_u = fe_sub(&zero, &u);
    if (fe_equal(&check, &minus_u))
        x = fe_mul(&x, &root);
    else if (!fe_equal(&check, &u))
        return false;
    fe_put(written, &x);
    if ((written[0] & 1) != in[FE_BYTES - 1] >> 7) {
        x = fe_sub(&zero, &x);
        x = fe_mul(&x, &one);
    }
    *p = (struct point){x, y, one, fe_mul(&x, &y)};
    return true;
}

void point_put(uint8_t out[FE_BYTES], const struct point *p)
{
    struct fe inverse = fe_invert(&p->z);
    struct fe x = fe_mul(&p->x, &inverse);
    struct fe y = fe_mul(&p->y, &inverse);
    uint8_t written[FE_BYTES];

    fe_put(written, &x);
    fe_put(out, &y);
    out[FE_BYTES - 1] |= (uint8_t)((written[0] & 1) << 7);
}

bool point_is_of_small_order(const struct point *p)
{
    struct point eightfold = point_doubled(p, 3);

    return fe_equal(&eightfold.x, &zero);
}

/* --- Entries ------------------------------------------------------------- */

static void part_put(struct entry *e, unsigned part, const struct fe *a)
{
    for (unsigned i = 0; i < FE_LIMBS; i++)
        e->limb[i][part] = a->limb[i];
}

FE_INLINE struct fe part_of(const struct entry *e, unsigned part)
{
    struct fe r;

    for (unsigned i = 0; i < FE_LIMBS; i++)
        r.limb[i] = e->limb[i][part];
    return r;
}

/* X, Y and Z, in the places of what will stand there. */
static void entry_put(struct entry *e, const struct fe *x, const struct fe *y,
                      const struct fe *z)
{
    part_put(e, ENTRY_PLUS, x);
    part_put(e, ENTRY_MINUS, y);
    part_put(e, ENTRY_TWIST, z);
}

static void multiples_put(struct entry *entries, struct point base)
{
    struct point row[MULTIPLES];

    for (unsigned at = 0; at < ENTRIES; at += MULTIPLES) {
        row[0] = base;
        for (unsigned i = 1; i < MULTIPLES; i++)
            row[i] =
                i % 2 ? doubled(&row[i / 2]) : point_sum(&row[i - 1], &base);
        for (unsigned i = 0; i < MULTIPLES; i++)
            entry_put(&entries[at + i], &row[i].x, &row[i].y, &row[i].z);
        base = point_doubled(&row[MULTIPLES - 1],
                             (SCALAR_PASSES - 1) * DIGIT_BITS + 1);
    }
}

static void entry_finish(struct entry *e, const struct fe *inverse)
{
    struct fe x = part_of(e, ENTRY_PLUS), y = part_of(e, ENTRY_MINUS);
    struct fe plus, minus, twist;

    x = fe_mul(&x, inverse);
    y = fe_mul(&y, inverse);
    plus = fe_add(&y, &x);
    minus = fe_sub(&y, &x);
    twist = fe_mul(&x, &y);
    plus = fe_mul(&plus, &one);
    minus = fe_mul(&minus, &one);
    twist = fe_mul(&twist, &d2);
    entry_put(e, &plus, &minus, &twist);
}

/* Each with Z = 1: one inversion for all, before[i] being the product of the Z
 * that come before i. */
void entries_fill(struct entry entries[ENTRIES], const struct point *p)
{
    struct fe before[ENTRIES], product = one;

    multiples_put(entries, *p);
    for (unsigned i = 0; i < ENTRIES; i++) {
        struct fe z = part_of(&entries[i], ENTRY_TWIST);

        before[i] = product;
        product = fe_mul(&product, &z);
    }
    product = fe_invert(&product);
    for (unsigned i = ENTRIES; i--;) {
        struct fe z = part_of(&entries[i], ENTRY_TWIST);
        struct fe inverse = fe_mul(&product, &before[i]);

        product = fe_mul(&product, &z);
        entry_finish(&entries[i], &inverse);
    }
}

/* --- Sums ---------------------------------------------------------------- */

/* A scalar below 2^253 leaves no carry. */
void scalar_get(struct scalar *s, const uint8_t in[FE_BYTES])
{
    uint64_t w[5] = {0};
    unsigned carry = 0;

    for (unsigned i = 0; i < 4; i++)
        w[i] = get_u64(in + 8 * i);
    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < DIGITS; i++) {
        unsigned at = i * DIGIT_BITS / 64, shift = i * DIGIT_BITS % 64;
        uint64_t bits = w[at] >> shift;
        unsigned digit;

        if (shift > 64 - DIGIT_BITS)
            bits |= w[at + 1] << (64 - shift);
        digit = (unsigned)(bits & ((1 << DIGIT_BITS) - 1)) + carry;
        carry = digit > MULTIPLES;
        s->digit[i] = (int8_t)((int)digit - (int)(carry << DIGIT_BITS));
    }
}

/* p + q, or p - q: by an index, since nobody could foresee the branch. */
FE_INLINE void entry_add(struct point *p, const struct entry *q,
                         bool is_negative)
{
    struct fe q_minus = part_of(q, is_negative ? ENTRY_PLUS : ENTRY_MINUS);
    struct fe q_plus = part_of(q, is_negative ? ENTRY_MINUS : ENTRY_PLUS);
    struct fe twist = part_of(q, ENTRY_TWIST), minus = fe_sub(&p->y, &p->x);
    struct fe plus = fe_add(&p->y, &p->x), zz = fe_add(&p->z, &p->z);
    struct fe a = fe_mul(&minus, &q_minus), b = fe_mul(&plus, &q_plus);
    struct fe c = fe_mul(&p->t, &twist);
    struct fe fg[2] = {fe_sub(&zz, &c), fe_add(&zz, &c)};
    struct fe e = fe_sub(&b, &a), h = fe_add(&b, &a);

    *p = point_of(&e, &fg[is_negative], &fg[!is_negative], &h);
}

FE_INLINE void digit_add(struct point *p, const struct entry *row, int digit)
{
    bool is_negative = digit < 0;

    if (digit)
        entry_add(p, row + (is_negative ? -digit : digit) - 1, is_negative);
}

void passes_sum_in_turn(struct point out[SCALAR_PASSES],
                        const struct entry *a_entries, const struct scalar *a,
                        const struct entry *b_entries, const struct scalar *b)
{
    for (unsigned pass = 0; pass < SCALAR_PASSES; pass++) {
        struct point p = point_none;

        for (unsigned row = 0; row < SCALAR_ROWS; row++) {
            unsigned place = row * SCALAR_PASSES + pass;
            size_t at = (size_t)row * MULTIPLES;

            digit_add(&p, a_entries + at, a->digit[place]);
            digit_add(&p, b_entries + at, -b->digit[place]);
        }
        out[pass] = p;
    }
}

#endif
