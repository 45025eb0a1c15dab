/* Snapshot records kept in memory, dice, and a digest made the slow way. */
#ifndef CHOIR_TESTS_SUPPORT_RECORDS_H
#define CHOIR_TESTS_SUPPORT_RECORDS_H

#include "broker/state/digest.h"

struct records {
    struct buf *v; /* owned */
    size_t count;
};

/* A sink for x_save; `to` is a struct records. */
int records_put(void *to, struct bytes record);
void records_free(struct records *r);

/* The sum over what was saved, which is what the running digest must be. */
struct hash records_digest(const struct records *r);

/* 0 <= roll(sides) < sides, the same in every run. */
uint64_t roll(uint64_t sides);
void roll_start(uint64_t seed);

static inline struct bytes text(const char *s)
{
    return bytes_text(s);
}

static inline bool digest_is(const struct digest *d, const struct hash *wanted)
{
    struct hash got = digest_value(d);

    return hash_equal(&got, wanted);
}

static inline bool digest_same(const struct digest *a, const struct digest *b)
{
    struct hash wanted = digest_value(b);

    return digest_is(a, &wanted);
}

#endif
