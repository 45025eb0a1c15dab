/* A scalar is written in signed digits of five bits; of each place there are
 * the sixteen multiples that a digit can choose. Two places share a row, which
 * is why there are two passes with five doublings between them: half the
 * memory. What is left is a hundred additions for both scalars together, where
 * a key without a table takes 250 doublings and some eighty additions. */
#include "ed25519.h"

#ifdef __SIZEOF_INT128__

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "field25519.h"

enum {
    DIGIT_BITS = 5,
    DIGITS = 255 / DIGIT_BITS,
    MULTIPLES = 1 << (DIGIT_BITS - 1),
    PASSES = 2,
    ROWS = (DIGITS + PASSES - 1) / PASSES,
    ENTRIES = ROWS * MULTIPLES,
};

/* x = X/Z, y = Y/Z, xy = T/Z; all limbs tight. */
struct point {
    struct fe x, y, z, t;
};

/* y + x, y - x, 2dxy of a point with Z = 1; only the last is tight. */
struct entry {
    struct fe plus, minus, twist;
};

struct ed25519_table {
    uint8_t key[ED25519_KEY_BYTES];
    struct entry entries[ENTRIES];
};

static const struct fe zero, one = {{1}};

/* Of the curve -x² + y² = 1 + dx²y²; made once. */
static struct curve {
    struct fe d, d2, root; /* d, 2d, a square root of -1 */
    struct ed25519_table base;
} curve;

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

static struct point times_2_to(const struct point *p, unsigned n)
{
    struct point r = *p;

    while (n--)
        r = doubled(&r);
    return r;
}

static struct point sum(const struct point *p, const struct point *q)
{
    struct fe p_minus = fe_sub(&p->y, &p->x);
    struct fe q_minus = fe_sub(&q->y, &q->x);
    struct fe p_plus = fe_add(&p->y, &p->x);
    struct fe q_plus = fe_add(&q->y, &q->x);
    struct fe a = fe_mul(&p_minus, &q_minus);
    struct fe b = fe_mul(&p_plus, &q_plus);
    struct fe t = fe_mul(&p->t, &q->t), z = fe_mul(&p->z, &q->z);
    struct fe c = fe_mul(&t, &curve.d2), d = fe_add(&z, &z);
    struct fe e = fe_sub(&b, &a), f = fe_sub(&d, &c);
    struct fe g = fe_add(&d, &c), h = fe_add(&b, &a);

    return point_of(&e, &f, &g, &h);
}

/* p + q, or p - q: by an index, since nobody could foresee the branch. */
FE_INLINE void add_entry(struct point *p, const struct entry *q,
                         bool is_negative)
{
    const struct fe *sides[2] = {&q->minus, &q->plus};
    struct fe minus = fe_sub(&p->y, &p->x);
    struct fe plus = fe_add(&p->y, &p->x), d = fe_add(&p->z, &p->z);
    struct fe a = fe_mul(&minus, sides[is_negative]);
    struct fe b = fe_mul(&plus, sides[!is_negative]);
    struct fe c = fe_mul(&p->t, &q->twist);
    struct fe fg[2] = {fe_sub(&d, &c), fe_add(&d, &c)};
    struct fe e = fe_sub(&b, &a), h = fe_add(&b, &a);

    *p = point_of(&e, &fg[is_negative], &fg[!is_negative], &h);
}

/* The x that belongs to a y: a square root of (y² - 1) / (dy² + 1). */
static bool point_get(struct point *p, const uint8_t in[ED25519_KEY_BYTES])
{
    struct fe y = fe_get(in), yy = fe_square(&y);
    struct fe u = fe_sub(&yy, &one), v = fe_mul(&yy, &curve.d);
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
        x = fe_mul(&x, &curve.root);
    else if (!fe_equal(&check, &u))
        return false;
    fe_put(written, &x);
    if ((written[0] & 1) != in[ED25519_KEY_BYTES - 1] >> 7) {
        x = fe_sub(&zero, &x);
        x = fe_mul(&x, &one);
    }
    *p = (struct point){x, y, one, fe_mul(&x, &y)};
    return true;
}

static void point_put(uint8_t out[ED25519_KEY_BYTES], const struct point *p)
{
    struct fe inverse = fe_invert(&p->z);
    struct fe x = fe_mul(&p->x, &inverse);
    struct fe y = fe_mul(&p->y, &inverse);
    uint8_t written[FE_BYTES];

    fe_put(written, &x);
    fe_put(out, &y);
    out[ED25519_KEY_BYTES - 1] |= (uint8_t)((written[0] & 1) << 7);
}

/* --- Tables -------------------------------------------------------------- */

/* 1, 2, ... 16 times what is 2^10 times as much in each next row: X, Y and Z, in
 * the places of what will stand there. */
static void multiples_put(struct entry *entries, struct point base)
{
    struct point row[MULTIPLES];

    for (unsigned at = 0; at < ENTRIES; at += MULTIPLES) {
        row[0] = base;
        for (unsigned i = 1; i < MULTIPLES; i++)
            row[i] = i % 2 ? doubled(&row[i / 2]) : sum(&row[i - 1], &base);
        for (unsigned i = 0; i < MULTIPLES; i++)
            entries[at + i] = (struct entry){row[i].x, row[i].y, row[i].z};
        base = times_2_to(&row[MULTIPLES - 1], (PASSES - 1) * DIGIT_BITS + 1);
    }
}

/* Each with Z = 1: one inversion for all, before[i] being the product of the Z
 * that come before i. */
static void entries_finish(struct entry *entries)
{
    struct fe before[ENTRIES], product = one;

    for (unsigned i = 0; i < ENTRIES; i++) {
        before[i] = product;
        product = fe_mul(&product, &entries[i].twist);
    }
    product = fe_invert(&product);
    for (unsigned i = ENTRIES; i--;) {
        struct entry *e = &entries[i];
        struct fe inverse = fe_mul(&product, &before[i]);
        struct fe x = fe_mul(&e->plus, &inverse);
        struct fe y = fe_mul(&e->minus, &inverse);
        struct fe xy = fe_mul(&x, &y);

        product = fe_mul(&product, &e->twist);
        *e = (struct entry){fe_add(&y, &x), fe_sub(&y, &x),
                            fe_mul(&xy, &curve.d2)};
    }
}

static bool is_of_small_order(const struct point *p)
{
    struct point eightfold = times_2_to(p, 3);

    return fe_equal(&eightfold.x, &zero);
}

/* No key is read that libsodium would refuse: each has one form. */
static bool table_fill(struct ed25519_table *t,
                       const uint8_t key[ED25519_KEY_BYTES])
{
    uint8_t written[ED25519_KEY_BYTES];
    struct point p;

    if (!point_get(&p, key) || is_of_small_order(&p))
        return false;
    point_put(written, &p);
    if (memcmp(written, key, sizeof written) != 0)
        return false;
    multiples_put(t->entries, p);
    entries_finish(t->entries);
    memcpy(t->key, key, sizeof t->key);
    return true;
}

/* d = -121665/121666; 2 is no square, so 2^((p - 1) / 4) is a root of -1; the
 * base point's y is 4/5. */
static void curve_make(void)
{
    struct fe a = {{121665}}, b = {{121666}}, two = {{2}};
    uint8_t base[ED25519_KEY_BYTES];

    a = fe_sub(&zero, &a);
    b = fe_invert(&b);
    curve.d = fe_mul(&a, &b);
    a = fe_add(&curve.d, &curve.d);
    curve.d2 = fe_mul(&a, &one);
    a = fe_root_power(&two);
    a = fe_square(&a);
    curve.root = fe_mul(&a, &two);
    memset(base, 0x66, sizeof base);
    base[0] = 0x58;
    table_fill(&curve.base, base);
}

struct ed25519_table *ed25519_table_new(const uint8_t key[ED25519_KEY_BYTES])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct ed25519_table *t;

    pthread_once(&once, curve_make);
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

/* Digits from -15 to 16; the lowest first. A scalar below 2^253 leaves no
 * carry. */
static void digits_of(int8_t digits[ROWS * PASSES], const uint8_t scalar[32])
{
    uint64_t w[5] = {0};
    unsigned carry = 0;

    for (unsigned i = 0; i < 4; i++)
        w[i] = get_u64(scalar + 8 * i);
    digits[ROWS * PASSES - 1] = 0;
    for (unsigned i = 0; i < DIGITS; i++) {
        unsigned at = i * DIGIT_BITS / 64, shift = i * DIGIT_BITS % 64;
        uint64_t bits = w[at] >> shift;
        unsigned digit;

        if (shift > 64 - DIGIT_BITS)
            bits |= w[at + 1] << (64 - shift);
        digit = (unsigned)(bits & ((1 << DIGIT_BITS) - 1)) + carry;
        carry = digit > MULTIPLES;
        digits[i] = (int8_t)((int)digit - (int)(carry << DIGIT_BITS));
    }
}

FE_INLINE void add_digit(struct point *p, const struct entry *row, int digit)
{
    bool is_negative = digit < 0;

    if (digit)
        add_entry(p, row + (is_negative ? -digit : digit) - 1, is_negative);
}

bool ed25519_difference(const struct ed25519_table *t, const uint8_t s[32],
                        const uint8_t h[32], uint8_t out[32])
{
    int8_t s_digits[ROWS * PASSES], h_digits[ROWS * PASSES];
    struct point p = {zero, one, one, zero};

    digits_of(s_digits, s);
    digits_of(h_digits, h);
    for (unsigned pass = PASSES; pass--;) {
        for (unsigned row = 0; row < ROWS; row++) {
            unsigned place = row * PASSES + pass;
            size_t at = (size_t)row * MULTIPLES;

            add_digit(&p, curve.base.entries + at, s_digits[place]);
            add_digit(&p, t->entries + at, -h_digits[place]);
        }
        if (pass)
            p = times_2_to(&p, DIGIT_BITS);
    }
    point_put(out, &p);
    return !is_of_small_order(&p);
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
