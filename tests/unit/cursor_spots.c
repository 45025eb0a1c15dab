#include "broker/cursor_spots.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check.h"

enum { MANY = 3000 };

static struct spot *spot_new(unsigned i, uint64_t hash)
{
    char key[16];
    size_t n = (size_t)snprintf(key, sizeof key, "s%cp/%u/", 0, i);
    struct spot *s = calloc(1, sizeof *s + n);

    CHECK(s != NULL);
    memcpy(s->key, key, n);
    s->key_bytes = n;
    s->hash = hash;
    return s;
}

static struct spot *find(const struct spots *all, const struct spot *s)
{
    return spots_find(all, s->key, s->key_bytes, s->hash);
}

/* Added and removed as a generator says; what is in and what is not is looked
 * for now and then, and at the end. */
static void churn(uint64_t (*hash_of)(unsigned i))
{
    static struct spot *list[MANY];
    bool in[MANY] = {false};
    struct spots all = {0};
    uint32_t x = 1;
    size_t count = 0;

    for (unsigned i = 0; i < MANY; i++)
        list[i] = spot_new(i, hash_of(i));
    for (unsigned n = 0; n < 12 * MANY; n++) {
        unsigned i;

        x = x * 1664525u + 1013904223u;
        i = (x >> 8) % MANY;
        if (!in[i])
            CHECK_OK(spots_add(&all, list[i]));
        else
            spots_remove(&all, list[i]);
        in[i] = !in[i];
        count = in[i] ? count + 1 : count - 1;
        CHECK_EQ(all.count, count);
        CHECK(find(&all, list[i]) == (in[i] ? list[i] : NULL));
        for (unsigned k = 0; n % MANY == 0 && k < MANY; k++)
            CHECK(find(&all, list[k]) == (in[k] ? list[k] : NULL));
    }
    for (unsigned i = 0; i < MANY; i++) {
        CHECK(find(&all, list[i]) == (in[i] ? list[i] : NULL));
        if (in[i])
            spots_remove(&all, list[i]);
        free(list[i]);
    }
    CHECK_EQ(all.count, 0);
    CHECK_NULL(all.tags); /* nothing is kept for nobody */
}

static uint64_t own_hash(unsigned i)
{
    return (i + 1) * UINT64_C(0x2545f4914f6cdd1d) >> 3;
}

/* As prefixes have that differ in their last byte. */
static uint64_t hash_in_a_row(unsigned i)
{
    return UINT64_C(1) << 60 | i;
}

/* Only their keys tell them apart. */
static uint64_t hash_of_few(unsigned i)
{
    return i % 40;
}

TEST(spots_are_found_while_others_come_and_go)
{
    churn(own_hash);
    churn(hash_in_a_row);
    churn(hash_of_few);
}

TEST(spots_of_one_hash_are_told_apart_by_their_keys)
{
    struct spots all = {0};
    struct spot *a = spot_new(1, 7), *b = spot_new(12, 7), *c = spot_new(3, 7);

    CHECK_NULL(find(&all, a));
    CHECK_OK(spots_add(&all, a));
    CHECK_OK(spots_add(&all, b));
    CHECK(find(&all, a) == a);
    CHECK(find(&all, b) == b);
    CHECK_NULL(find(&all, c));
    CHECK_NULL(spots_find(&all, a->key, a->key_bytes - 1, 7));
    spots_remove(&all, a);
    CHECK(find(&all, b) == b);
    spots_free(&all);
    free(a);
    free(b);
    free(c);
}

CHECK_MAIN
