/* What was read under a lease, from the reading to what follows when it has
 * moved. */
#include "broker/lease.h"
#include "broker/verify.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/reader.h"

static struct hall hall;
static struct guest ada, bob;
static struct msg effect;
static struct buf rows;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", 127);
}

/* Whatever was decided, a second reader of the record decides it again. */
static void over(void)
{
    uint64_t digest_size = core_size(hall.rig.core);

    hall_restart(&hall, false);
    CHECK(core_size(hall.rig.core) >= digest_size);
    hall_close(&hall);
    buf_free(&rows);
}

static uint64_t put(struct guest *g, const char *key, const char *value)
{
    CHECK_OK(guest_put(g, key, value));
    hall_settle(&hall);
    return core_size(hall.rig.core) - 1;
}

static uint64_t revision_of(const struct msg *reply)
{
    return msg_u(reply, FIELD_REVISION);
}

static struct msg first_item(const struct msg *m)
{
    struct list items = msg_list(m, FIELD_ITEMS);
    struct msg item;

    CHECK(list_next(&items, &item));
    return item;
}

TEST(completion_stands_while_nothing_read_has_changed)
{
    struct lease_held l;
    uint64_t plan;

    begin();
    plan = put(&ada, "plan", "one");
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    CHECK_EQ(revision_of(reader_get(&bob, &l, "plan")), plan);
    row_key(&rows, "plan", plan);
    put(&ada, "other", "two");
    CHECK_EQ(reader_complete(&bob, &l, &rows, 1, &effect), CHOIR_OK);
    CHECK_EQ(guest_items(&bob, MSG_MOVED), 0);
    over();
}

TEST(write_skew_is_refused_as_stale_with_key_revisions_and_writer)
{
    struct lease_held l;
    uint64_t plan, newer;
    struct msg item;

    begin();
    plan = put(&ada, "plan", "one");
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    row_key(&rows, "plan", plan);
    newer = put(&ada, "plan", "two");
    CHECK_EQ(reader_complete(&bob, &l, &rows, 1, &effect), CHOIR_STALE);
    CHECK_EQ(msg_u(&effect, FIELD_COUNT), 1);
    item = first_item(&effect);
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("plan")));
    CHECK_EQ(msg_u(&item, FIELD_PREV), plan);
    CHECK_EQ(msg_u(&item, FIELD_REVISION), newer);
    CHECK(bytes_equal(msg_b(&item, FIELD_AGENT), hash_bytes(&ada.actor.id)));
    /* It is still his, and may be completed once it is read again. */
    buf_clear(&rows);
    row_key(&rows, "plan", newer);
    CHECK_EQ(reader_complete(&bob, &l, &rows, 1, &effect), CHOIR_OK);
    over();
}

TEST(what_the_broker_saw_read_counts_though_the_completion_is_silent)
{
    struct lease_held l;
    uint64_t plan;
    struct msg row;
    struct list at;

    begin();
    plan = put(&ada, "plan", "one");
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    reader_get(&bob, &l, "plan");
    put(&ada, "plan", "two");
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_STALE);
    at = msg_list(&effect, FIELD_COMPARES);
    CHECK(list_next(&at, &row));
    CHECK_EQ(msg_u(&row, FIELD_REVISION), plan);
    over();
}

TEST(phantom_under_a_listing_is_stale)
{
    struct lease_held l;
    struct msg item;

    begin();
    put(&ada, "docs/a", "1");
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    reader_list(&bob, &l, "docs/");
    put(&ada, "docs/b", "2");
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_STALE);
    item = first_item(&effect);
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("docs/b")));
    CHECK(bytes_equal(msg_b(&item, FIELD_PREFIX), bytes_text("docs/")));
    over();
}

TEST(miss_that_is_filled_is_stale)
{
    struct lease_held l;

    begin();
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    CHECK_EQ(msg_u(reader_get(&bob, &l, "plan"), FIELD_OUTCOME),
             CHOIR_NOT_FOUND);
    put(&ada, "plan", "one");
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_STALE);
    over();
}

/* One hall_turn is one commit cycle: what leaves in it leaves in one answer. */
TEST(moved_reaches_the_holder_within_the_cycle_of_the_write)
{
    struct lease_held l;
    const struct msg *moved;
    uint64_t plan, newer;
    struct msg item;

    begin();
    plan = put(&ada, "plan", "one");
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    reader_get(&bob, &l, "plan");
    guest_forget(&ada);
    guest_forget(&bob);
    CHECK_OK(guest_put(&ada, "plan", "two"));
    hall_turn(&hall);
    newer = core_size(hall.rig.core) - 1;
    CHECK_EQ(guest_items(&ada, MSG_DONE_ALL), 1);
    moved = guest_item(&bob, MSG_MOVED);
    assert_non_null(moved);
    CHECK_EQ(msg_u(moved, FIELD_TASK), l.task);
    CHECK_EQ(msg_u(moved, FIELD_TOKEN), l.token);
    CHECK_EQ(msg_u(moved, FIELD_REVISION), newer);
    item = first_item(moved);
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("plan")));
    CHECK_EQ(msg_u(&item, FIELD_PREV), plan);
    CHECK_EQ(msg_u(&item, FIELD_REVISION), newer);
    CHECK(bytes_equal(msg_b(&item, FIELD_AGENT), hash_bytes(&ada.actor.id)));
    over();
}

CHECK_MAIN
