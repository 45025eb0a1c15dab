/* The field's arithmetic beside slow arithmetic, with limbs at the bounds that
 * its header states. */
#include "tests/check.h"

#include "proto/bytes.h"
#include "proto/field25519.h"

/* A number below p, in words of 64 bits. */
struct slow {
    uint64_t w[4];
};

static const struct slow p = {{
    0xffffffffffffffed,
    0xffffffffffffffff,
    0xffffffffffffffff,
    0x7fffffffffffffff,
}};

static bool is_below(const struct slow *a, const struct slow *b)
{
    for (int i = 3; i >= 0; i--)
        if (a->w[i] != b->w[i])
            return a->w[i] < b->w[i];
    return false;
}

static struct slow less(struct slow a, const struct slow *b)
{
    uint64_t borrow = 0;

    for (int i = 0; i < 4; i++) {
        uint64_t x = a.w[i], y = b->w[i];

        a.w[i] = x - y - borrow;
        borrow = x < y || (x == y && borrow);
    }
    return a;
}

static struct slow plus(struct slow a, const struct slow *b)
{
    uint64_t carry = 0;

    for (int i = 0; i < 4; i++) {
        uint64_t sum = a.w[i] + b->w[i];
        uint64_t out = sum < b->w[i];

        a.w[i] = sum + carry;
        carry = out + (a.w[i] < carry);
    }
    return is_below(&a, &p) ? a : less(a, &p);
}

static struct slow times(const struct slow *a, const struct slow *b)
{
    struct slow r = {{0}};

    for (int bit = 255; bit >= 0; bit--) {
        r = plus(r, &r);
        if (b->w[bit / 64] >> bit % 64 & 1)
            r = plus(r, a);
    }
    return r;
}

static struct slow power(const struct slow *a, const struct slow *e)
{
    struct slow r = {{1}};

    for (int bit = 255; bit >= 0; bit--) {
        r = times(&r, &r);
        if (e->w[bit / 64] >> bit % 64 & 1)
            r = times(&r, a);
    }
    return r;
}

static struct slow slow_of(const struct fe *a)
{
    struct slow r = {{0}};

    for (int i = FE_LIMBS - 1; i >= 0; i--) {
        struct slow limb = {{a->limb[i]}};

        for (int k = 0; k < FE_LIMB_BITS; k++)
            r = plus(r, &r);
        r = plus(r, &limb);
    }
    return r;
}

static bool is(const struct fe *a, struct slow wanted)
{
    uint8_t bytes[FE_BYTES];
    bool same = true;

    fe_put(bytes, a);
    for (int i = 0; i < 4; i++)
        same &= get_u64(bytes + 8 * i) == wanted.w[i];
    return same;
}

static bool is_tight(const struct fe *a)
{
    for (int i = 0; i < FE_LIMBS; i++)
        if (a->limb[i] >= (1ULL << 51) + (1ULL << 17))
            return false;
    return true;
}

static uint64_t dice = 1;

static uint64_t throw(void)
{
    dice = dice * 6364136223846793005 + 1442695040888963407;
    return dice >> 7; /* 57 bits */
}

/* Below 2^bits, or 2^51 and 2^17 more; often at either end. */
static struct fe fe_thrown(uint64_t below)
{
    struct fe r;

    for (int i = 0; i < FE_LIMBS; i++) {
        uint64_t t = throw();

        r.limb[i] = t % 4 == 0   ? below - 1
                    : t % 4 == 1 ? (t >> 2) % 3
                                 : (t >> 2) % below;
    }
    return r;
}

static const uint64_t widest = 1ULL << 54, tight = (1ULL << 51) + (1ULL << 17);

TEST(field_products_are_right_up_to_the_widest_limbs)
{
    for (int i = 0; i < 4000; i++) {
        struct fe a = fe_thrown(i % 2 ? widest : tight);
        struct fe b = fe_thrown(i % 3 ? widest : tight);
        struct slow x = slow_of(&a), y = slow_of(&b);
        struct fe ab = fe_mul(&a, &b), aa = fe_square(&a);

        CHECK(is_tight(&ab) && is_tight(&aa));
        CHECK(is(&ab, times(&x, &y)));
        CHECK(is(&aa, times(&x, &x)));
    }
}

TEST(field_sums_and_differences_of_sums_are_right_and_may_be_multiplied)
{
    for (int i = 0; i < 4000; i++) {
        struct fe a = fe_thrown(tight), b = fe_thrown(tight);
        struct fe c = fe_thrown(tight), d = fe_thrown(tight);
        struct fe ab = fe_add(&a, &b), cd = fe_add(&c, &d);
        struct fe r = fe_sub(&ab, &cd), f = fe_sub(&a, &b);
        struct slow x = slow_of(&a), y = slow_of(&b), z = slow_of(&c);
        struct slow w = slow_of(&d), minus;

        f = fe_add(&f, &cd); /* as a point that is doubled needs it */
        for (int k = 0; k < FE_LIMBS; k++)
            CHECK(r.limb[k] < widest && f.limb[k] < widest);
        CHECK(is(&ab, plus(x, &y)));
        minus = less(p, &z);
        x = plus(plus(x, &y), &minus);
        minus = less(p, &w);
        CHECK(is(&r, plus(x, &minus)));
    }
}

TEST(field_is_written_below_p_and_read_as_it_was_written)
{
    struct slow near[] = {p,     p,     p,
                          {{0}}, {{1}}, {{~0ULL, ~0ULL, ~0ULL, ~0ULL}}};
    uint8_t bytes[FE_BYTES];

    near[1].w[0]++;
    near[2].w[0]--;
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        struct fe a;
        struct slow wanted = near[i];

        wanted.w[3] &= ~(1ULL << 63);
        for (int k = 0; k < 4; k++)
            put_u64(bytes + 8 * k, near[i].w[k]);
        a = fe_get(bytes);
        CHECK(is(&a, is_below(&wanted, &p) ? wanted : less(wanted, &p)));
    }
    for (int i = 0; i < 4000; i++) {
        struct fe a = fe_thrown(widest), b;

        CHECK(is(&a, slow_of(&a)));
        fe_put(bytes, &a);
        b = fe_get(bytes);
        CHECK(fe_equal(&a, &b));
        b.limb[i % FE_LIMBS] ^= 1ULL << i % FE_LIMB_BITS;
        CHECK_NOT(fe_equal(&a, &b));
    }
}

TEST(field_powers_are_what_they_are_called)
{
    struct slow inverse = p, root = p;

    inverse.w[0] -= 2;
    root.w[0] -= 5;
    for (int i = 0; i < 4; i++)
        root.w[i] = root.w[i] >> 3 | (i < 3 ? root.w[i + 1] << 61 : 0);
    for (int i = 0; i < 20; i++) {
        struct fe a = fe_thrown(i ? widest : 1);
        struct fe b = fe_invert(&a), c = fe_root_power(&a);
        struct slow x = slow_of(&a);

        CHECK(is(&b, power(&x, &inverse)));
        CHECK(is(&c, power(&x, &root)));
    }
}

CHECK_MAIN
