/* broker/state/erasure: slots by entry. */
#include "broker/state/erasure.h"

#include <errno.h>

#include "proto/key.h"
#include "proto/limits.h"
#include "proto/refusal.h"
#include "proto/schema.h"
#include "tests/check.h"
#include "tests/support/records.h"

static struct digest digest;

static struct erasure *fresh(void)
{
    struct erasure *e;

    CHECK_OK(crypto_start());
    digest = (struct digest){0};
    e = erasure_new(&digest);
    assert_non_null(e);
    return e;
}

static void digest_follows(const struct erasure *e)
{
    struct records saved = {0};
    struct hash wanted;

    CHECK_OK(erasure_save(e, records_put, &saved));
    wanted = records_digest(&saved);
    CHECK(digest_is(&digest, &wanted));
    records_free(&saved);
}

TEST(slot_is_erased_alone)
{
    struct erasure *e = fresh();

    CHECK(!erasure_has(e, 300, 0));
    CHECK_OK(erasure_add(e, 300, 0));
    CHECK_OK(erasure_add(e, 301, SLOT_EFFECT));
    CHECK(erasure_has(e, 300, 0));
    CHECK(!erasure_has(e, 300, 1));
    CHECK(!erasure_has(e, 300, SLOT_EFFECT));
    CHECK(!erasure_has(e, 301, 0));
    CHECK(erasure_has(e, 301, SLOT_EFFECT));
    CHECK(!erasure_has(e, 300 - 256, 0));
    CHECK(!erasure_has(e, 300 + 256, 0));
    CHECK_EQ(erasure_count(e), 2);
    digest_follows(e);
    erasure_destroy(&e);
}

TEST(erasing_again_changes_nothing)
{
    struct erasure *e = fresh();
    struct digest before;

    CHECK_OK(erasure_add(e, 7, 3));
    before = digest;
    CHECK_OK(erasure_add(e, 7, 3));
    CHECK_EQ(erasure_count(e), 1);
    CHECK(digest_same(&before, &digest));
    erasure_destroy(&e);
}

TEST(slot_that_no_entry_has_is_refused)
{
    struct erasure *e = fresh();

    CHECK_EQ(erasure_add(e, 7, SLOT_EFFECT + LIMIT_SLOTS), -EINVAL);
    CHECK_OK(erasure_add(e, 7, LIMIT_SLOTS - 1));
    CHECK_OK(erasure_add(e, 7, SLOT_EFFECT + LIMIT_SLOTS - 1));
    CHECK_EQ(erasure_count(e), 2);
    erasure_destroy(&e);
}

TEST(slots_of_a_range_are_counted_exactly)
{
    struct erasure *e = fresh();

    for (uint64_t i = 1; i < 1000; i++) {
        CHECK_OK(erasure_add(e, i, 0));
        CHECK_OK(erasure_add(e, i, SLOT_EFFECT));
    }
    CHECK_EQ(erasure_between(e, 0, UINT64_MAX), 1998);
    CHECK_EQ(erasure_between(e, 600, 601), 2);
    CHECK_EQ(erasure_between(e, 1, 600), 2 * 599);
    CHECK_EQ(erasure_between(e, 256, 512), 512);
    CHECK_EQ(erasure_between(e, 255, 513), 2 * 258);
    CHECK_EQ(erasure_between(e, 1000, UINT64_MAX), 0);
    CHECK_EQ(erasure_between(e, 7, 7), 0);
    erasure_destroy(&e);
}

/* Numbers of pages that differ in more than the lowest byte. */
TEST(counting_goes_by_number_over_many_pages)
{
    struct erasure *e = fresh();

    for (uint64_t page = 0; page < 1000; page++)
        CHECK_OK(erasure_add(e, page << 8, page % 3));
    CHECK_EQ(erasure_between(e, 0, 300 << 8), 300);
    CHECK_EQ(erasure_between(e, 300 << 8, 1000 << 8), 700);
    digest_follows(e);
    erasure_destroy(&e);
}

TEST(pages_come_back_from_their_records)
{
    struct erasure *e = fresh(), *again;
    struct records saved = {0};
    struct digest wanted;
    uint64_t count;

    roll_start(28);
    for (int i = 0; i < 2000; i++)
        CHECK_OK(erasure_add(e, roll(5000), roll(3)));
    CHECK_OK(erasure_save(e, records_put, &saved));
    wanted = digest;
    count = erasure_count(e);
    again = fresh();
    for (size_t i = 0; i < saved.count; i++)
        CHECK_OK(erasure_load(again, buf_bytes(&saved.v[i])));
    CHECK(digest_same(&wanted, &digest));
    CHECK_EQ(erasure_count(again), count);
    for (uint64_t i = 0; i < 5000; i++)
        CHECK_EQ(erasure_has(e, i, i % 3), erasure_has(again, i, i % 3));
    records_free(&saved);
    erasure_destroy(&e);
    erasure_destroy(&again);
}

TEST(records_that_cannot_be_are_refused)
{
    struct erasure *e = fresh(), *again;
    struct records saved = {0};
    struct bytes good;

    CHECK_OK(erasure_add(e, 300, 0));
    CHECK_OK(erasure_save(e, records_put, &saved));
    good = buf_bytes(&saved.v[0]);
    again = fresh();
    for (size_t n = 0; n < good.n; n++)
        CHECK_REFUSED(erasure_load(again, bytes_of(good.p, n)),
                      CHOIR_MALFORMED);
    CHECK_OK(erasure_load(again, good));
    CHECK_REFUSED(erasure_load(again, good), CHOIR_MALFORMED);
    memset(saved.v[0].p + 1, 0xff, 8); /* a page beyond all entries */
    CHECK_REFUSED(erasure_load(again, good), CHOIR_MALFORMED);
    memset(saved.v[0].p + 1, 0, 8);
    memset(saved.v[0].p + 13, 0, 32); /* nothing erased */
    CHECK_REFUSED(erasure_load(again, good), CHOIR_MALFORMED);
    saved.v[0].p[13] = 1;
    memset(saved.v[0].p + 9, 0xff, 4); /* no such slot */
    CHECK_REFUSED(erasure_load(again, good), CHOIR_MALFORMED);
    records_free(&saved);
    erasure_destroy(&e);
    erasure_destroy(&again);
}

CHECK_MAIN
