/* What was read under a lease, from the reading to what follows when it has
 * moved. */
#include "broker/lease.h"
#include "broker/readset.h"
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

static void over(void)
{
    hall_close_read(&hall);
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

TEST(what_was_erased_is_read_all_the_same)
{
    struct lease_held l;
    struct msg m;

    begin();
    put(&ada, "plan", "one");
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    msg_init(&m, MSG_ERASE);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "plan");
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
    CHECK_EQ(msg_u(reader_get(&bob, &l, "plan"), FIELD_OUTCOME), CHOIR_ERASED);
    put(&ada, "plan", "two");
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

static struct lease_held stale_task(unsigned policy)
{
    struct lease_held l;

    begin();
    put(&ada, "plan", "one");
    reader_submit(&ada, policy);
    l = reader_work(&bob);
    reader_get(&bob, &l, "plan");
    put(&ada, "plan", "two");
    return l;
}

TEST(flag_accepts_and_says_so_to_both)
{
    struct lease_held l = stale_task(STALE_FLAG);
    struct msg m, item;
    struct list items;

    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_OK);
    CHECK_EQ(msg_u(&effect, FIELD_STALE), STALE_FLAG);
    item = first_item(&effect);
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("plan")));
    msg_init(&m, MSG_TASK_GET);
    msg_set_u(&m, FIELD_TASK, l.task);
    items = msg_list(guest_reply(&ada, &m), FIELD_ITEMS);
    CHECK(list_next(&items, &item));
    CHECK_EQ(msg_u(&item, FIELD_STATE), TASK_COMPLETED);
    CHECK_EQ(msg_u(&item, FIELD_STALE), STALE_FLAG); /* the policy */
    CHECK(list_next(&items, &item));
    CHECK_EQ(msg_u(&item, FIELD_STALE), STALE_FLAG); /* the result */
    CHECK_EQ(msg_u(&item, FIELD_COUNT), 1);
    over();
}

TEST(requeue_gives_the_next_attempt_the_difference)
{
    struct lease_held l = stale_task(STALE_REQUEUE), again;
    struct msg item;

    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_STALE);
    CHECK_EQ(msg_u(&effect, FIELD_STATE), TASK_QUEUED);
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_FENCED);
    hall_pass(&hall, 1500);
    again = reader_work(&ada);
    CHECK_EQ(again.task, l.task);
    CHECK_EQ(again.attempt, 2);
    CHECK_EQ(msg_u(again.item, FIELD_COUNT), 1);
    item = first_item(again.item);
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("plan")));
    CHECK(msg_u(&item, FIELD_REVISION) > msg_u(&item, FIELD_PREV));
    /* It was the last attempt. */
    reader_get(&ada, &again, "plan");
    put(&bob, "plan", "three");
    CHECK_EQ(reader_complete(&ada, &again, NULL, 0, &effect), CHOIR_STALE);
    CHECK_EQ(msg_u(&effect, FIELD_STATE), TASK_DEAD);
    over();
}

static void heartbeat(struct guest *g, const struct lease_held *l)
{
    struct buf items = {0};
    struct msg m, item;

    msg_init(&item, MSG_ITEM);
    msg_set_u(&item, FIELD_TASK, l->task);
    msg_set_u(&item, FIELD_TOKEN, l->token);
    msg_encode(&item, &items);
    msg_init(&m, MSG_HEARTBEAT);
    msg_set_list(&m, FIELD_ITEMS, 1, buf_bytes(&items));
    CHECK_EQ(msg_u(guest_reply(g, &m), FIELD_ITEMS), 0);
    hall_settle(&hall);
    buf_free(&items);
}

TEST(moved_is_told_with_each_heartbeat_until_it_is_answered)
{
    struct lease_held l = stale_task(0);

    CHECK_EQ(guest_items(&bob, MSG_MOVED), 1);
    heartbeat(&bob, &l);
    heartbeat(&bob, &l);
    CHECK_EQ(guest_items(&bob, MSG_MOVED), 3);
    CHECK_EQ(reader_heed(&bob, &l, HEED_REFRESH, 0), CHOIR_OK);
    heartbeat(&bob, &l);
    CHECK_EQ(guest_items(&bob, MSG_MOVED), 3);
    /* refresh alone makes nothing fresh */
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_STALE);
    reader_get(&bob, &l, "plan");
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_OK);
    over();
}

TEST(reading_again_settles_what_moved)
{
    struct lease_held l = stale_task(0);

    reader_get(&bob, &l, "plan");
    heartbeat(&bob, &l);
    CHECK_EQ(guest_items(&bob, MSG_MOVED), 1);
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_OK);
    over();
}

TEST(heed_of_what_was_told_does_not_answer_what_came_later)
{
    struct lease_held l = stale_task(0);
    uint64_t told = core_size(hall.rig.core) - 1;

    put(&ada, "plan", "three");
    CHECK_EQ(reader_heed(&bob, &l, HEED_IGNORE, told), CHOIR_OK);
    guest_forget(&bob);
    heartbeat(&bob, &l);
    CHECK_EQ(guest_items(&bob, MSG_MOVED), 1);
    over();
}

TEST(ignore_lets_it_complete_and_a_later_change_does_not)
{
    struct lease_held l = stale_task(0);

    CHECK_EQ(reader_heed(&bob, &l, HEED_IGNORE, 0), CHOIR_OK);
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_OK);
    over();
    l = stale_task(0);
    CHECK_EQ(reader_heed(&bob, &l, HEED_IGNORE, 0), CHOIR_OK);
    put(&ada, "plan", "three");
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_STALE);
    over();
}

TEST(abandon_gives_the_task_back)
{
    struct lease_held l = stale_task(0);

    CHECK_EQ(reader_heed(&bob, &l, HEED_ABANDON, 0), CHOIR_OK);
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_FENCED);
    hall_pass(&hall, 1500);
    CHECK_EQ(reader_work(&ada).task, l.task);
    over();
}

TEST(heed_is_refused_without_the_lease_of_an_unknown_kind_and_ahead_of_time)
{
    struct lease_held l = stale_task(0), other = l;

    CHECK_EQ(reader_heed(&bob, &l, 4, 0), CHOIR_INVALID);
    CHECK_EQ(reader_heed(&bob, &l, HEED_REFRESH, 1 << 20), CHOIR_INVALID);
    other.token++;
    CHECK_EQ(reader_heed(&bob, &other, HEED_REFRESH, 0), CHOIR_FENCED);
    CHECK_EQ(reader_heed(&ada, &l, HEED_REFRESH, 0), CHOIR_FENCED);
    over();
}

TEST(own_writes_under_the_lease_move_nothing)
{
    struct lease_held l;
    struct msg m;

    begin();
    put(&ada, "docs/a", "1");
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    reader_list(&bob, &l, "docs/");
    reader_get(&bob, &l, "docs/a");
    for (int i = 0; i < 2; i++) {
        msg_init(&m, MSG_PUT);
        msg_set_text(&m, FIELD_SPACE, "main");
        msg_set_text(&m, FIELD_KEY, i ? "docs/a" : "docs/new");
        msg_set_u(&m, FIELD_TASK, l.task);
        msg_set_u(&m, FIELD_TOKEN, l.token);
        CHECK_OK(guest_do(&bob, &m, "2"));
        hall_settle(&hall);
    }
    CHECK_EQ(guest_items(&bob, MSG_MOVED), 0);
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_OK);
    over();
}

TEST(own_write_over_somebody_elses_stays_stale)
{
    struct lease_held l = stale_task(0);
    struct msg m;

    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "plan");
    msg_set_u(&m, FIELD_TASK, l.task);
    msg_set_u(&m, FIELD_TOKEN, l.token);
    CHECK_OK(guest_do(&bob, &m, "mine"));
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_STALE);
    over();
}

static int ask_under(struct guest *g, uint64_t task, uint64_t token)
{
    struct msg m;

    msg_init(&m, MSG_GET);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "plan");
    if (task)
        msg_set_u(&m, FIELD_TASK, task);
    if (token)
        msg_set_u(&m, FIELD_TOKEN, token);
    return (int)msg_u(guest_reply(g, &m), FIELD_OUTCOME);
}

TEST(reading_under_a_lease_that_is_not_ones_own_is_fenced)
{
    struct lease_held l = stale_task(0);

    CHECK_EQ(ask_under(&bob, l.task, l.token), CHOIR_OK);
    CHECK_EQ(ask_under(&ada, l.task, l.token), CHOIR_FENCED);
    CHECK_EQ(ask_under(&bob, l.task, l.token + 1), CHOIR_FENCED);
    CHECK_EQ(ask_under(&bob, l.task, 0), CHOIR_INVALID);
    over();
}

static int tell(struct guest *g, const struct lease_held *l, uint64_t n)
{
    struct msg m;

    msg_init(&m, MSG_READS);
    msg_set_u(&m, FIELD_TASK, l->task);
    msg_set_u(&m, FIELD_TOKEN, l->token);
    msg_set_list(&m, FIELD_COMPARES, n, buf_bytes(&rows));
    return (int)msg_u(guest_reply(g, &m), FIELD_OUTCOME);
}

TEST(set_told_after_a_restart_moves_at_once_and_goes_on)
{
    struct lease_held l;
    uint64_t plan, cut;

    begin();
    plan = put(&ada, "plan", "one");
    cut = put(&ada, "docs/a", "1");
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    reader_get(&bob, &l, "plan");
    hall_restart(&hall, false);
    guest_connect(&ada);
    guest_connect(&bob);
    put(&ada, "plan", "two");
    put(&ada, "docs/b", "2");
    guest_forget(&bob);
    row_key(&rows, "plan", plan);
    row_prefix(&rows, "docs/", cut);
    row_key(&rows, "still", 0);
    CHECK_EQ(tell(&bob, &l, 3), CHOIR_OK);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_MOVED), 1);
    CHECK_EQ(msg_u(guest_item(&bob, MSG_MOVED), FIELD_ITEMS), 2);
    put(&ada, "still", "3");
    CHECK_EQ(guest_items(&bob, MSG_MOVED), 2);
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_STALE);
    CHECK_EQ(msg_u(&effect, FIELD_COUNT), 3);
    over();
}

TEST(set_that_is_no_set_is_invalid)
{
    struct lease_held l = stale_task(0);

    row_put(&rows, NULL, "", false, 3, 0);
    CHECK_EQ(reader_complete(&bob, &l, &rows, 1, &effect), CHOIR_INVALID);
    buf_clear(&rows);
    row_key(&rows, "plan", 3);
    row_key(&rows, "plan", 4);
    CHECK_EQ(reader_complete(&bob, &l, &rows, 2, &effect), CHOIR_INVALID);
    over();
}

TEST(too_much_beyond_what_is_carried_is_over_a_limit)
{
    struct lease_held l;
    char key[256];

    begin();
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%0200d", i);
        reader_get(&bob, &l, key);
    }
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&effect, FIELD_FIELD),
                      bytes_text("reads_beyond_bytes")));
    row_prefix(&rows, "k", core_size(hall.rig.core) - 1); /* it covers them */
    CHECK_EQ(reader_complete(&bob, &l, &rows, 1, &effect), CHOIR_OK);
    over();
}

TEST(carried_prefixes_within_each_other_speak_for_what_lies_under_them)
{
    struct lease_held l;
    uint64_t now;
    struct list at;
    struct msg row;

    begin();
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    reader_get(&bob, &l, "a/b/c");
    reader_get(&bob, &l, "a/z");
    reader_get(&bob, &l, "b");
    reader_list(&bob, &l, "a/b/");
    now = core_size(hall.rig.core) - 1;
    row_prefix(&rows, "a/", now);
    row_prefix(&rows, "a/b", now);
    row_prefix(&rows, "a/c", now);
    row_prefix(&rows, "a0", now);
    row_put(&rows, "another", "a/", true, now, 0);
    row_put(&rows, "another", "b", true, now, 0);
    put(&ada, "b", "1");
    CHECK_EQ(reader_complete(&bob, &l, &rows, 6, &effect), CHOIR_STALE);
    CHECK_EQ(msg_u(&effect, FIELD_COUNT), 1);
    at = msg_list(&effect, FIELD_COMPARES);
    CHECK_EQ(at.left, 1);
    CHECK(list_next(&at, &row));
    CHECK(bytes_equal(msg_b(&row, FIELD_KEY), bytes_text("b")));
    over();
}

TEST(readings_beyond_the_agents_memory_are_answered_and_not_noted)
{
    struct lease_held l;
    const struct msg *reply;

    begin();
    hall.rig.config->reads_bytes_per_agent_max = 1000;
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    for (int i = 0; i < 10; i++) {
        char key[16];

        snprintf(key, sizeof key, "key%d", i);
        reply = reader_get(&bob, &l, key);
        CHECK_EQ(msg_u(reply, FIELD_OUTCOME), CHOIR_NOT_FOUND);
    }
    CHECK(bytes_equal(msg_b(reply, FIELD_FIELD),
                      bytes_text("reads_bytes_per_agent_max")));
    CHECK_EQ(msg_u(reply, FIELD_LIMIT), 1000);
    row_key(&rows, "another", 0);
    CHECK_EQ(tell(&bob, &l, 1), CHOIR_OVER_LIMIT);
    over();
}

TEST(what_may_not_be_read_is_absent_and_moves_nothing)
{
    struct lease_held l;
    struct guest eve;
    uint64_t plan;

    begin();
    guest_join(&hall, &eve, "eve", RIGHT_WORK);
    plan = put(&ada, "plan", "one");
    reader_submit(&ada, 0);
    l = reader_work(&eve);
    reader_get(&eve, &l, "plan");
    reader_list(&eve, &l, "");
    put(&ada, "plan", "two");
    CHECK_EQ(guest_items(&eve, MSG_MOVED), 0);
    row_key(&rows, "plan", plan);
    CHECK_EQ(reader_complete(&eve, &l, &rows, 1, &effect), CHOIR_STALE);
    buf_clear(&rows);
    row_key(&rows, "plan", 0);
    CHECK_EQ(reader_complete(&eve, &l, &rows, 1, &effect), CHOIR_OK);
    over();
}

/* Only these rights, on that queue or under that prefix. */
static void narrow(const struct guest *g, unsigned rights, const char *queue,
                   const char *prefix)
{
    struct buf grants = {0};
    struct msg row, grant;

    msg_init(&row, MSG_GRANT_ROW);
    msg_set_text(&row, FIELD_SPACE, "*");
    msg_set_u(&row, FIELD_RIGHTS, 0);
    msg_encode(&row, &grants);
    msg_set_text(&row, FIELD_SPACE, "main");
    msg_set_text(&row, queue ? FIELD_QUEUE : FIELD_PREFIX,
                 queue ? queue : prefix);
    msg_set_u(&row, FIELD_RIGHTS, rights);
    msg_encode(&row, &grants);
    msg_init(&grant, MSG_GRANT);
    msg_set_hash(&grant, FIELD_AGENT, &g->actor.id);
    msg_set_list(&grant, FIELD_GRANTS, 2, buf_bytes(&grants));
    CHECK_OK(guest_do(&ada, &grant, NULL));
    hall_settle(&hall);
    buf_free(&grants);
}

/* Entries from that one on that a tap with values shows, besides the one that
 * its opening is. */
static size_t tapped(struct guest *g, uint64_t from, size_t *with_values)
{
    const struct msg *m;
    struct msg tap;
    size_t n = 0;

    guest_forget(g);
    msg_init(&tap, MSG_TAP);
    msg_set_u(&tap, FIELD_WATCH, 1);
    msg_set_u(&tap, FIELD_REVISION, from);
    msg_set_u(&tap, FIELD_CREDIT, 100);
    msg_set_u(&tap, FIELD_KIND, 1);
    CHECK_EQ(msg_u(guest_reply(g, &tap), FIELD_OUTCOME), 0);
    hall_settle(&hall);
    for (*with_values = 0; (m = guest_item(g, MSG_ENTRY)) != NULL; n++)
        *with_values += msg_has(m, FIELD_PAYLOAD);
    return n - 1;
}

TEST(tap_of_a_queue_does_not_name_what_was_read)
{
    struct lease_held l;
    struct guest eve;
    uint64_t plan, from;
    size_t with_values;

    begin();
    guest_join(&hall, &eve, "eve", 127);
    put(&ada, "plan", "one");
    narrow(&eve, RIGHT_TAP | RIGHT_READ, "jobs", NULL);
    from = core_size(hall.rig.core);
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    CHECK_EQ(tapped(&eve, from, &with_values), 2); /* submit and claim */
    reader_get(&bob, &l, "plan");
    plan = put(&ada, "plan", "two");
    from = core_size(hall.rig.core);
    /* Its effect names it. */
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_STALE);
    CHECK_EQ(tapped(&eve, from, &with_values), 0);
    row_key(&rows, "plan", plan);
    from = core_size(hall.rig.core);
    /* Its set does, which is a value. */
    CHECK_EQ(reader_complete(&bob, &l, &rows, 1, &effect), CHOIR_OK);
    CHECK_EQ(tapped(&eve, from, &with_values), 1);
    CHECK_EQ(with_values, 0);
    over();
}

TEST(what_may_not_be_read_is_not_even_counted_among_what_moved)
{
    struct lease_held l;
    struct guest eve;
    const struct msg *m;
    char key[32];

    begin();
    guest_join(&hall, &eve, "eve", RIGHT_WORK);
    reader_submit(&ada, 0);
    l = reader_work(&eve);
    narrow(&eve, RIGHT_READ, NULL, "pub/");
    reader_list(&eve, &l, "");
    for (int i = 0; i < READSET_MOVES_MAX + 2; i++) {
        snprintf(key, sizeof key, "hidden/%d", i);
        put(&ada, key, "1");
    }
    CHECK_EQ(guest_items(&eve, MSG_MOVED), 0);
    put(&ada, "pub/a", "1");
    m = guest_item(&eve, MSG_MOVED);
    assert_non_null(m);
    CHECK_EQ(msg_u(m, FIELD_ITEMS), 1);
    CHECK_NOT(msg_has(m, FIELD_COUNT));
    over();
}

TEST(seen_lets_stand_what_moved_up_to_there)
{
    struct lease_held l = stale_task(0);
    uint64_t now = core_size(hall.rig.core) - 1;

    row_put(&rows, NULL, "plan", false, 1, now - 1);
    CHECK_EQ(reader_complete(&bob, &l, &rows, 1, &effect), CHOIR_STALE);
    buf_clear(&rows);
    row_put(&rows, "main", "plan", false, 1, now);
    CHECK_EQ(reader_complete(&bob, &l, &rows, 1, &effect), CHOIR_OK);
    over();
}

TEST(policy_survives_a_snapshot)
{
    struct lease_held l;
    uint64_t plan;

    begin();
    plan = put(&ada, "plan", "one");
    reader_submit(&ada, STALE_FLAG);
    put(&ada, "plan", "two");
    hall_restart(&hall, true);
    guest_connect(&ada);
    guest_connect(&bob);
    l = reader_work(&bob);
    row_key(&rows, "plan", plan);
    CHECK_EQ(reader_complete(&bob, &l, &rows, 1, &effect), CHOIR_OK);
    CHECK_EQ(msg_u(&effect, FIELD_STALE), STALE_FLAG);
    over();
}

TEST(submission_with_an_unknown_policy_is_invalid)
{
    struct msg m;

    begin();
    msg_init(&m, MSG_SUBMIT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_STALE, 4);
    CHECK_OK(guest_do(&ada, &m, "payload"));
    CHECK_EQ(reader_outcome(&ada, &effect), CHOIR_INVALID);
    over();
}

CHECK_MAIN
