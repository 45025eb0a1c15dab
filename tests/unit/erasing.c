/* broker/state/erasing: erasures under way, and the last that ended. */
#include "broker/state/erasing.h"

#include <errno.h>

#include "proto/key.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/records.h"

static struct digest digest;

static struct erasings *fresh(void)
{
    struct erasings *e;

    CHECK_OK(crypto_start());
    digest = (struct digest){0};
    e = erasings_new(&digest);
    assert_non_null(e);
    return e;
}

static void digest_follows(const struct erasings *e)
{
    struct records saved = {0};
    struct hash wanted;

    CHECK_OK(erasings_save(e, records_put, &saved));
    wanted = records_digest(&saved);
    CHECK(digest_is(&digest, &wanted));
    records_free(&saved);
}

TEST(oldest_goes_first_until_it_ended)
{
    struct erasings *e = fresh();

    CHECK(erasings_first(e) == NULL);
    CHECK_OK(erasing_begin(e, 10));
    CHECK_OK(erasing_begin(e, 20));
    CHECK_EQ(erasings_first(e)->index, 10);
    CHECK_OK(erasing_slice(e, 10, 21, 5, false));
    CHECK_OK(erasing_slice(e, 10, 22, 2, true));
    CHECK_EQ(erasings_first(e)->index, 20);
    CHECK_EQ(erasings_count(e), 1);
    CHECK_EQ(erasing_find(e, 10)->slots, 7);
    CHECK_EQ(erasing_find(e, 10)->last, 22);
    CHECK_EQ(erasing_slice(e, 10, 23, 1, true), -ENOENT);
    CHECK_EQ(erasing_slice(e, 11, 23, 1, true), -ENOENT);
    CHECK_EQ(erasing_begin(e, 20), -EINVAL);
    digest_follows(e);
    erasings_destroy(&e);
}

TEST(so_many_may_be_under_way_and_so_many_are_remembered)
{
    struct erasings *e = fresh();
    uint64_t at = 1;

    for (; at <= ERASINGS_MAX; at++)
        CHECK_OK(erasing_begin(e, at));
    CHECK_EQ(erasing_begin(e, at), -EINVAL);
    for (uint64_t i = 1; i <= ERASINGS_MAX; i++)
        CHECK_OK(erasing_slice(e, i, 1000 + i, 1, true));
    for (; at <= ERASINGS_MAX + 3; at++) {
        CHECK_OK(erasing_begin(e, at));
        CHECK_OK(erasing_slice(e, at, 2000 + at, 1, true));
    }
    CHECK(erasing_find(e, 3) == NULL);
    CHECK(erasing_find(e, 4) != NULL);
    digest_follows(e);
    erasings_destroy(&e);
}

TEST(they_come_back_from_their_records)
{
    struct erasings *e = fresh(), *again;
    struct records saved = {0};
    struct digest wanted;

    CHECK_OK(erasing_begin(e, 10));
    CHECK_OK(erasing_slice(e, 10, 11, 3, true));
    CHECK_OK(erasing_begin(e, 12));
    CHECK_OK(erasings_save(e, records_put, &saved));
    wanted = digest;
    again = fresh();
    for (size_t i = 0; i < saved.count; i++)
        CHECK_OK(erasings_load(again, buf_bytes(&saved.v[i])));
    CHECK(digest_same(&wanted, &digest));
    CHECK_EQ(erasings_first(again)->index, 12);
    CHECK_REFUSED(erasings_load(again, buf_bytes(&saved.v[0])),
                  CHOIR_MALFORMED);
    for (size_t n = 0; n < saved.v[1].n; n++)
        CHECK_REFUSED(erasings_load(e, bytes_of(saved.v[1].p, n)),
                      CHOIR_MALFORMED);
    records_free(&saved);
    erasings_destroy(&e);
    erasings_destroy(&again);
}

CHECK_MAIN
