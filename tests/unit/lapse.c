/* Keys with ttl_ms, from the put to the entry that ends them. */
#include "broker/verify.h"
#include "proto/limits.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/reader.h"

static struct hall hall;
static struct guest ada, bob;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", 127);
}

static void put_begin(struct msg *m, const char *key, uint64_t ttl_ms)
{
    msg_init(m, MSG_PUT);
    msg_set_text(m, FIELD_SPACE, "main");
    msg_set_text(m, FIELD_KEY, key);
    msg_set_u(m, FIELD_TTL_MS, ttl_ms);
}

static uint64_t put(struct guest *g, const char *key, uint64_t ttl_ms)
{
    struct msg m;

    put_begin(&m, key, ttl_ms);
    CHECK_OK(guest_do(g, &m, "x"));
    hall_settle(&hall);
    return core_size(hall.rig.core) - 1;
}

static bool is_there(const char *key)
{
    const struct key *k = hall_key(&hall, key);

    return k && !k->deleted;
}

static size_t lapsing(void)
{
    return ttls_count(context_ttls(rig_state(&hall.rig)->context));
}

static int outcome(uint64_t ttl_ms, struct msg *effect)
{
    const struct msg *done;
    unsigned field;

    put(&ada, "refused", ttl_ms);
    done = guest_item(&ada, MSG_DONE);
    assert_non_null(done);
    if (msg_has(done, FIELD_EFFECT))
        CHECK_OK(
            part_decode(MSG_EFFECT, msg_b(done, FIELD_EFFECT), effect, &field));
    return (int)msg_u(done, FIELD_OUTCOME);
}

TEST(life_of_nothing_and_of_too_long_are_refused)
{
    struct msg effect;

    begin();
    CHECK_EQ(outcome(0, &effect), CHOIR_INVALID);
    CHECK_EQ(outcome((uint64_t)LIMIT_TTL_MS + 1, &effect), CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&effect, FIELD_FIELD), bytes_text("ttl_ms")));
    CHECK_EQ(msg_u(&effect, FIELD_LIMIT), (uint64_t)LIMIT_TTL_MS);
    CHECK_EQ(msg_u(&effect, FIELD_SIZE), (uint64_t)LIMIT_TTL_MS + 1);
    CHECK(!is_there("refused"));
    put(&ada, "longest", (uint64_t)LIMIT_TTL_MS);
    CHECK(is_there("longest"));
    hall_close_read(&hall);
}

TEST(key_is_deleted_when_its_time_is_up_and_not_before)
{
    uint64_t revision;

    begin();
    revision = put(&ada, "a", 1000);
    hall_pass(&hall, 990);
    CHECK(is_there("a"));
    CHECK_EQ(hall_key(&hall, "a")->revision, revision);
    hall_pass(&hall, 20);
    CHECK(!is_there("a"));
    CHECK_EQ(hall_key(&hall, "a")->agent, 1); /* the broker's doing */
    CHECK_EQ(lapsing(), 0);
    CHECK(cycle_next(hall.cycle) > 0);
    hall_close_read(&hall);
}

TEST(the_turn_knows_when_the_next_one_ends)
{
    uint64_t next;

    begin();
    put(&ada, "later", 60000);
    put(&ada, "a", 5000);
    next = cycle_next(hall.cycle);
    CHECK(next <= env_steady_us(hall.rig.env) + 5000000);
    CHECK(next > env_steady_us(hall.rig.env) + 4000000);
    hall_close_read(&hall);
}

TEST(another_version_without_it_stays)
{
    begin();
    put(&ada, "a", 1000);
    CHECK_OK(guest_put(&ada, "a", "2"));
    put(&ada, "b", 1000);
    put(&ada, "b", 5000);
    hall_pass(&hall, 2000);
    CHECK(is_there("a"));
    CHECK(is_there("b"));
    hall_pass(&hall, 4000);
    CHECK(is_there("a"));
    CHECK(!is_there("b"));
    hall_close_read(&hall);
}

TEST(deadline_is_of_the_record_so_neither_crash_nor_snapshot_move_it)
{
    for (int clean = 0; clean < 2; clean++) {
        begin();
        put(&ada, "a", 10000);
        hall_pass(&hall, 6000);
        hall_restart(&hall, clean);
        CHECK_EQ(lapsing(), 1);
        hall_settle(&hall);
        CHECK(is_there("a"));
        hall_pass(&hall, 4100);
        CHECK(!is_there("a"));
        hall_close_read(&hall);
    }
}

static void watch(struct guest *g)
{
    struct msg m;

    msg_init(&m, MSG_WATCH);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, "");
    msg_set_u(&m, FIELD_REVISION, core_size(hall.rig.core));
    msg_set_u(&m, FIELD_CREDIT, 100);
    guest_ask(g, &m);
    hall_settle(&hall);
}

static void deletion_fits(const struct msg *change, uint64_t prev)
{
    const struct agent *broker =
        agent_by_number(rig_state(&hall.rig)->agents, 1);
    struct list items;
    struct msg item;

    assert_non_null(change);
    items = msg_list(change, FIELD_ITEMS);
    CHECK(list_next(&items, &item));
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("a")));
    CHECK_EQ(msg_u(&item, FIELD_KIND), 1);
    CHECK_EQ(msg_u(&item, FIELD_PREV), prev);
    CHECK(bytes_equal(msg_b(change, FIELD_AGENT), hash_bytes(&broker->id)));
}

TEST(watch_log_and_since_see_the_deletion)
{
    uint64_t revision;
    const struct msg *reply;
    struct list items;
    struct msg m, item;

    begin();
    revision = put(&ada, "a", 1000);
    watch(&bob);
    hall_pass(&hall, 1001);
    deletion_fits(guest_item(&bob, MSG_CHANGE), revision);
    msg_init(&m, MSG_LOG);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "a");
    reply = guest_reply(&bob, &m);
    items = msg_list(reply, FIELD_ITEMS);
    CHECK(list_next(&items, &item));
    CHECK_EQ(msg_u(&item, FIELD_KIND), 1);
    CHECK_EQ(msg_u(&item, FIELD_PREV), revision);
    CHECK(list_next(&items, &item));
    CHECK_EQ(msg_u(&item, FIELD_REVISION), revision);
    msg_init(&m, MSG_SINCE);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, "");
    msg_set_u(&m, FIELD_REVISION, revision);
    reply = guest_reply(&bob, &m);
    items = msg_list(reply, FIELD_ITEMS);
    CHECK(list_next(&items, &item));
    CHECK_EQ(msg_u(&item, FIELD_KIND), 1);
    hall_close_read(&hall);
}

TEST(as_of_its_end_the_key_is_absent_though_it_came_back)
{
    uint64_t ended;
    struct msg m;

    begin();
    put(&ada, "a", 1000);
    hall_pass(&hall, 1001);
    ended = hall_key(&hall, "a")->revision;
    put(&ada, "a", 1000);
    msg_init(&m, MSG_GET);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "a");
    msg_set_u(&m, FIELD_REVISION, ended);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_OUTCOME), CHOIR_NOT_FOUND);
    hall_close_read(&hall);
}

TEST(watch_that_reads_the_record_sees_it_too)
{
    struct msg m;
    uint64_t revision;

    begin();
    revision = put(&ada, "a", 1000);
    hall_pass(&hall, 1001);
    msg_init(&m, MSG_WATCH);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, "");
    msg_set_u(&m, FIELD_REVISION, revision + 1);
    msg_set_u(&m, FIELD_CREDIT, 100);
    guest_ask(&bob, &m);
    hall_settle(&hall);
    deletion_fits(guest_item(&bob, MSG_CHANGE), revision);
    hall_close_read(&hall);
}

TEST(whoever_read_it_under_a_lease_hears_that_it_moved)
{
    struct lease_held l;
    const struct msg *moved;
    uint64_t revision;
    struct msg item, effect;
    struct list items;

    begin();
    revision = put(&ada, "a", 1000);
    reader_submit(&ada, 0);
    l = reader_work(&bob);
    reader_get(&bob, &l, "a");
    hall_pass(&hall, 1001);
    moved = guest_item(&bob, MSG_MOVED);
    assert_non_null(moved);
    items = msg_list(moved, FIELD_ITEMS);
    CHECK(list_next(&items, &item));
    CHECK_EQ(msg_u(&item, FIELD_PREV), revision);
    CHECK_EQ(msg_u(&item, FIELD_KIND), 1);
    CHECK_EQ(reader_complete(&bob, &l, NULL, 0, &effect), CHOIR_STALE);
    hall_close_read(&hall);
}

TEST(an_agent_cannot_say_it_and_the_broker_not_too_early)
{
    uint64_t revision, index;
    struct msg m;

    begin();
    revision = put(&ada, "a", 1000);
    CHECK_OK(guest_put(&ada, "b", "1"));
    hall_settle(&hall);
    guest_forget(&ada);
    msg_init(&m, MSG_LAPSE);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "a");
    msg_set_u(&m, FIELD_REVISION, revision);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
    CHECK_EQ(msg_u(guest_item(&ada, MSG_DONE), FIELD_OUTCOME),
             CHOIR_UNSUPPORTED);
    core_begin(hall.rig.core);
    CHECK_REFUSED(core_say(hall.rig.core, &m, &index), CHOIR_INVALID);
    msg_set_u(&m, FIELD_REVISION, revision - 1);
    CHECK_REFUSED(core_say(hall.rig.core, &m, &index), CHOIR_INVALID);
    msg_set_text(&m, FIELD_KEY, "b");
    msg_set_u(&m, FIELD_REVISION, hall_key(&hall, "b")->revision);
    CHECK_REFUSED(core_say(hall.rig.core, &m, &index), CHOIR_INVALID);
    CHECK(is_there("a"));
    hall_close_read(&hall);
}

TEST(many_that_end_at_once_end_a_few_at_a_time)
{
    enum { MANY = 5000 };
    char key[16];
    struct msg m;

    begin();
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "k%u", i);
        put_begin(&m, key, 60000);
        CHECK_OK(guest_do(&ada, &m, "x"));
        if (i % 100 != 99)
            continue;
        hall_settle(&hall);
        ada.actor.answered = ada.actor.next_seq - 1;
    }
    hall_settle(&hall);
    CHECK_EQ(lapsing(), MANY);
    hall.turn_entries_max = 0;
    hall_pass(&hall, 61000);
    CHECK_EQ(lapsing(), 0);
    CHECK(hall.turn_entries_max <= 600);
    hall_close_read(&hall);
}

CHECK_MAIN
