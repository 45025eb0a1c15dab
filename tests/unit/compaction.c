/* broker/state/compaction: lines by space. */
#include "broker/state/compaction.h"

#include "proto/key.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/records.h"

static struct digest digest;

static struct compaction *fresh(void)
{
    struct compaction *c;

    CHECK_OK(crypto_start());
    digest = (struct digest){0};
    c = compaction_new(&digest);
    assert_non_null(c);
    return c;
}

static struct bytes all(void)
{
    return (struct bytes){0};
}

TEST(line_of_a_space_is_the_higher_of_its_own_and_that_of_all)
{
    struct compaction *c = fresh();

    CHECK_EQ(compaction_line(c, text("lab")), 0);
    CHECK_OK(compaction_raise(c, text("lab"), 10));
    CHECK_EQ(compaction_line(c, text("lab")), 10);
    CHECK_EQ(compaction_line(c, text("other")), 0);
    CHECK_EQ(compaction_line(c, all()), 0);
    CHECK_OK(compaction_raise(c, all(), 7));
    CHECK_EQ(compaction_line(c, text("lab")), 10);
    CHECK_EQ(compaction_line(c, text("other")), 7);
    CHECK_OK(compaction_raise(c, all(), 12));
    CHECK_EQ(compaction_line(c, text("lab")), 12);
    compaction_destroy(&c);
}

TEST(line_never_falls)
{
    struct compaction *c = fresh();
    struct digest before;

    CHECK_OK(compaction_raise(c, text("lab"), 10));
    before = digest;
    CHECK_OK(compaction_raise(c, text("lab"), 9));
    CHECK_OK(compaction_raise(c, text("lab"), 10));
    CHECK_EQ(compaction_line(c, text("lab")), 10);
    CHECK(digest_same(&before, &digest));
    compaction_destroy(&c);
}

TEST(lines_come_back_from_their_records)
{
    struct compaction *c = fresh(), *again;
    struct records saved = {0};
    struct digest wanted;

    CHECK_OK(compaction_raise(c, text("lab"), 10));
    CHECK_OK(compaction_raise(c, all(), 4));
    CHECK_OK(compaction_raise(c, text("a"), 3));
    CHECK_OK(compaction_save(c, records_put, &saved));
    CHECK_EQ(saved.count, 3);
    wanted = digest;
    again = fresh();
    for (size_t i = 0; i < saved.count; i++)
        CHECK_OK(compaction_load(again, buf_bytes(&saved.v[i])));
    CHECK(digest_same(&wanted, &digest));
    CHECK_EQ(compaction_line(again, text("lab")), 10);
    CHECK_REFUSED(compaction_load(again, buf_bytes(&saved.v[0])),
                  CHOIR_MALFORMED);
    records_free(&saved);
    compaction_destroy(&c);
    compaction_destroy(&again);
}

CHECK_MAIN
