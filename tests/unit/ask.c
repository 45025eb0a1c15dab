#include <unistd.h>

#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", RIGHT_READ);
}

static uint64_t head(void)
{
    return rig_state(&hall.rig)->size - 1;
}

static uint64_t put(const char *key, const char *value)
{
    CHECK_OK(guest_put(&ada, key, value));
    hall_settle(&hall);
    return head();
}

static struct msg about(enum message verb, const char *key)
{
    struct msg m;

    msg_init(&m, verb);
    msg_set_text(&m, FIELD_SPACE, "main");
    if (key)
        msg_set_text(&m, FIELD_KEY, key);
    return m;
}

static const struct msg *get_at(struct guest *g, const char *key, uint64_t at)
{
    struct msg m = about(MSG_GET, key);

    if (at)
        msg_set_u(&m, FIELD_REVISION, at);
    return guest_reply(g, &m);
}

static void check_value(const struct msg *r, const char *value)
{
    CHECK_EQ(msg_u(r, FIELD_OUTCOME), 0);
    CHECK(bytes_equal(msg_b(r, FIELD_VALUE), bytes_text(value)));
}

static int outcome(const struct msg *r)
{
    return (int)msg_u(r, FIELD_OUTCOME);
}

TEST(get_gives_the_newest_and_every_older_version)
{
    uint64_t revisions[20];
    char value[20];

    begin();
    for (int i = 0; i < 20; i++) {
        snprintf(value, sizeof value, "v%d", i);
        revisions[i] = put("plan", value);
        put("other", "x");
    }
    check_value(get_at(&bob, "plan", 0), "v19");
    for (int i = 0; i < 20; i++) {
        snprintf(value, sizeof value, "v%d", i);
        check_value(get_at(&bob, "plan", revisions[i]), value);
        check_value(get_at(&bob, "plan", revisions[i] + 1), value);
    }
    CHECK_EQ(outcome(get_at(&bob, "plan", revisions[0] - 1)), CHOIR_NOT_FOUND);
    CHECK_EQ(outcome(get_at(&bob, "plan", head() + 1)), CHOIR_FUTURE);
    CHECK_EQ(outcome(get_at(&bob, "nothing", 0)), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

TEST(get_tells_who_wrote_it_and_when)
{
    uint64_t first, second;
    const struct msg *r;

    begin();
    first = put("plan", "1");
    second = put("plan", "2");
    r = get_at(&bob, "plan", 0);
    CHECK_EQ(msg_u(r, FIELD_REVISION), second);
    CHECK_EQ(msg_u(r, FIELD_PREV), first);
    CHECK_EQ(msg_u(r, FIELD_CREATED), first);
    CHECK_EQ(msg_u(r, FIELD_SEEN), head());
    CHECK(msg_u(r, FIELD_TIME) > 0);
    CHECK(bytes_equal(msg_b(r, FIELD_AGENT), hash_bytes(&ada.actor.id)));
    hall_close(&hall);
}

TEST(deleted_key_is_absent_now_and_was_there_before)
{
    struct msg m = about(MSG_DELETE, "plan");
    uint64_t was;

    begin();
    was = put("plan", "1");
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
    CHECK_EQ(outcome(get_at(&bob, "plan", 0)), CHOIR_NOT_FOUND);
    check_value(get_at(&bob, "plan", was), "1");
    hall_close(&hall);
}

TEST(forbidden_looks_like_absent)
{
    struct guest eve;
    struct msg m = about(MSG_LIST, NULL);

    begin();
    guest_join(&hall, &eve, "eve", RIGHT_WRITE);
    put("plan", "1");
    CHECK_EQ(outcome(get_at(&eve, "plan", 0)), CHOIR_NOT_FOUND);
    CHECK_EQ(outcome(get_at(&eve, "none", 0)), CHOIR_NOT_FOUND);
    msg_set_text(&m, FIELD_PREFIX, "");
    CHECK_EQ(msg_u(guest_reply(&eve, &m), FIELD_ITEMS), 0);
    m = about(MSG_LOG, "plan");
    CHECK_EQ(outcome(guest_reply(&eve, &m)), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

TEST(list_pages_through_all_keys_in_order)
{
    struct msg m = about(MSG_LIST, NULL), item;
    const struct msg *r;
    char key[20], last[20] = "";
    unsigned n = 0;

    begin();
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k/%02d", i);
        put(key, key);
    }
    put("z", "z");
    msg_set_text(&m, FIELD_PREFIX, "k/");
    msg_set_u(&m, FIELD_COUNT, 7);
    do {
        struct list items;

        r = guest_reply(&bob, &m);
        items = msg_list(r, FIELD_ITEMS);
        while (list_next(&items, &item)) {
            struct bytes name = msg_b(&item, FIELD_KEY);

            snprintf(key, sizeof key, "%.*s", (int)name.n, (char *)name.p);
            CHECK(strcmp(key, last) > 0);
            strcpy(last, key);
            CHECK_EQ(msg_u(&item, FIELD_SIZE), 4);
            n++;
        }
        msg_set_b(&m, FIELD_AFTER, msg_b(r, FIELD_AFTER));
    } while (msg_has(r, FIELD_AFTER));
    CHECK_EQ(n, 50);
    hall_close(&hall);
}

TEST(list_tells_nothing_of_keys_that_may_not_be_read)
{
    struct msg m = about(MSG_LIST, NULL), g, grant;
    struct buf grants = {0};
    const struct msg *r;

    begin();
    put("open/a", "1");
    put("secret/b", "2");
    msg_init(&g, MSG_GRANT_ROW);
    msg_set_text(&g, FIELD_SPACE, "*");
    msg_set_u(&g, FIELD_RIGHTS, 0);
    msg_encode(&g, &grants);
    msg_set_text(&g, FIELD_SPACE, "main");
    msg_set_text(&g, FIELD_PREFIX, "open/");
    msg_set_u(&g, FIELD_RIGHTS, RIGHT_READ);
    msg_encode(&g, &grants);
    msg_init(&grant, MSG_GRANT);
    msg_set_hash(&grant, FIELD_AGENT, &bob.actor.id);
    msg_set_list(&grant, FIELD_GRANTS, 2, buf_bytes(&grants));
    CHECK_OK(guest_do(&ada, &grant, NULL));
    hall_settle(&hall);
    msg_set_text(&m, FIELD_PREFIX, "");
    msg_set_u(&m, FIELD_COUNT, 1);
    r = guest_reply(&bob, &m);
    CHECK_EQ(msg_u(r, FIELD_ITEMS), 1);
    CHECK_NOT(msg_has(r, FIELD_AFTER));
    buf_free(&grants);
    hall_close(&hall);
}

TEST(a_version_too_far_back_to_look_for_is_refused_with_the_limit)
{
    struct told told = {0};
    struct bytes value = bytes_text("v");
    struct msg op = about(MSG_PUT, "plan");
    uint64_t first, between;
    const struct msg *r;

    begin();
    first = put("plan", "1");
    between = put("other", "x");
    for (int i = 0; i < 21; i++) {
        actor_begin(&ada.actor);
        for (int k = 0; k < 1000; k++)
            actor_add(&ada.actor, &op, &value, 1);
        CHECK_OK(actor_finish(&hall.rig, &ada.actor, &told));
        CHECK_EQ(told.outcome, CHOIR_OK);
    }
    check_value(get_at(&bob, "plan", first), "1"); /* named: no walk */
    r = get_at(&bob, "plan", between);
    CHECK_EQ(outcome(r), CHOIR_OVER_LIMIT);
    CHECK_EQ(msg_u(r, FIELD_LIMIT), 20000);
    CHECK(bytes_equal(msg_b(r, FIELD_FIELD), bytes_text("versions_walked")));
    buf_free(&told.effect_bytes);
    hall_close(&hall);
}

TEST(list_of_the_past_shows_what_was_there_then)
{
    struct msg m = about(MSG_LIST, NULL), gone = about(MSG_DELETE, "a");
    uint64_t then;

    begin();
    put("a", "1");
    then = put("b", "1");
    put("c", "1");
    CHECK_OK(guest_do(&ada, &gone, NULL));
    hall_settle(&hall);
    msg_set_text(&m, FIELD_PREFIX, "");
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_ITEMS), 2); /* b c */
    msg_set_u(&m, FIELD_REVISION, then);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_ITEMS), 2); /* a b */
    hall_close(&hall);
}

TEST(log_goes_back_page_by_page)
{
    struct msg m = about(MSG_LOG, "plan");
    const struct msg *r;
    unsigned n = 0;

    begin();
    for (int i = 0; i < 10; i++)
        put("plan", "x");
    msg_set_u(&m, FIELD_COUNT, 3);
    do {
        r = guest_reply(&bob, &m);
        CHECK_EQ(outcome(r), 0);
        n += (unsigned)msg_u(r, FIELD_ITEMS);
        msg_set_u(&m, FIELD_REVISION, msg_u(r, FIELD_PREV));
    } while (msg_has(r, FIELD_PREV));
    CHECK_EQ(n, 10);
    hall_close(&hall);
}

TEST(task_can_be_looked_at_by_those_it_concerns)
{
    struct msg m = about(MSG_SUBMIT, NULL), item;
    struct list items;
    uint64_t task;

    begin();
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    CHECK_OK(guest_do(&ada, &m, "payload"));
    hall_settle(&hall);
    task = head();
    msg_init(&m, MSG_TASK_GET);
    msg_set_u(&m, FIELD_TASK, task);
    items = msg_list(guest_reply(&ada, &m), FIELD_ITEMS);
    CHECK(list_next(&items, &item));
    CHECK_EQ(msg_u(&item, FIELD_STATE), TASK_QUEUED);
    CHECK(bytes_equal(msg_b(&item, FIELD_VALUE), bytes_text("payload")));
    CHECK_EQ(outcome(guest_reply(&bob, &m)), CHOIR_NOT_FOUND);
    m = about(MSG_TASK_LIST, NULL);
    CHECK_EQ(msg_u(guest_reply(&ada, &m), FIELD_ITEMS), 1);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_ITEMS), 0);
    msg_set_u(&m, FIELD_STATE, TASK_DEAD);
    CHECK_EQ(msg_u(guest_reply(&ada, &m), FIELD_ITEMS), 0);
    msg_init(&m, MSG_AWAIT);
    msg_set_u(&m, FIELD_TASK, task);
    CHECK_EQ(outcome(guest_reply(&bob, &m)), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

TEST(status_counts_and_agents_are_listed)
{
    struct msg m, item;
    struct list items;
    bool found = false;

    begin();
    msg_init(&m, MSG_STATUS);
    items = msg_list(guest_reply(&bob, &m), FIELD_ITEMS);
    while (list_next(&items, &item)) {
        if (bytes_equal(msg_b(&item, FIELD_NAME), bytes_text("size")))
            found = msg_u(&item, FIELD_SIZE) == head() + 1;
    }
    CHECK(found);
    msg_init(&m, MSG_AGENT_LIST);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_ITEMS), 4);
    msg_set_u(&m, FIELD_COUNT, 3);
    msg_set_b(&m, FIELD_AFTER, msg_b(guest_reply(&bob, &m), FIELD_AFTER));
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_ITEMS), 1);
    msg_set_text(&m, FIELD_NAME, "nobody");
    CHECK_EQ(outcome(guest_reply(&bob, &m)), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

TEST(backup_is_for_administrators_and_says_why_it_failed)
{
    struct msg m;
    uint64_t number;
    char to[300];

    begin();
    msg_init(&m, MSG_BACKUP);
    msg_set_text(&m, FIELD_TEXT, "/nowhere");
    CHECK_EQ(outcome(guest_reply(&bob, &m)), CHOIR_DENIED);
    msg_set_text(&m, FIELD_TEXT, "relative");
    CHECK_EQ(outcome(guest_reply(&ada, &m)), CHOIR_INVALID);
    snprintf(to, sizeof to, "%s/copy", hall.rig.dir);
    msg_set_text(&m, FIELD_TEXT, to);
    number = guest_ask(&ada, &m);
    guest_forget(&ada);
    for (int i = 0; i < 500 && guest_items(&ada, MSG_REPLY) == 0; i++) {
        hall_turn(&hall);
        usleep(10000);
    }
    CHECK_EQ(msg_u(ada.items[0], FIELD_ASK), number);
    CHECK_EQ(outcome(ada.items[0]), 0);
    guest_ask(&ada, &m); /* it is not empty any more */
    guest_forget(&ada);
    for (int i = 0; i < 500 && guest_items(&ada, MSG_REPLY) == 0; i++) {
        hall_turn(&hall);
        usleep(10000);
    }
    CHECK_EQ(outcome(ada.items[0]), CHOIR_INVALID);
    CHECK(msg_b(ada.items[0], FIELD_TEXT).n > 0);
    hall_close(&hall);
}

TEST(asks_of_a_full_peer_wait_and_are_bounded)
{
    struct msg m = about(MSG_GET, "plan");
    size_t before;

    begin();
    put("plan", "1");
    bob.backlog = 1ULL << 30;
    before = guest_items(&bob, MSG_REPLY);
    for (int i = 0; i < 300; i++)
        guest_ask(&bob, &m);
    hall_turn(&hall);
    CHECK_EQ(guest_items(&bob, MSG_REPLY), before);
    CHECK(bob.cut); /* it is told BUSY, and does not read that either */
    bob.backlog = 0;
    hall_settle(&hall);
    hall_turn(&hall);
    CHECK_EQ(guest_items(&bob, MSG_REPLY), before + 256);
    hall_close(&hall);
}

TEST(bundle_of_asks_that_is_too_large_is_turned_away_with_the_limit)
{
    struct buf items = {0};
    const struct msg *r;
    struct msg m, item;

    begin();
    msg_init(&item, MSG_ITEM);
    msg_set_u(&item, FIELD_TASK, 1);
    msg_set_u(&item, FIELD_TOKEN, 2);
    for (unsigned i = 0; i < 2000; i++)
        msg_encode(&item, &items);
    msg_init(&m, MSG_HEARTBEAT);
    msg_set_list(&m, FIELD_ITEMS, 2000, buf_bytes(&items));
    guest_ask_times(&ada, &m, 900);
    hall_settle(&hall);
    r = guest_item(&ada, MSG_TURNED_AWAY);
    assert_non_null(r);
    CHECK_EQ(outcome(r), CHOIR_TOO_LARGE);
    CHECK_EQ(msg_u(r, FIELD_KIND), BUNDLE_ASK);
    CHECK(msg_u(r, FIELD_SIZE) > msg_u(r, FIELD_LIMIT));
    buf_free(&items);
    hall_close(&hall);
}

CHECK_MAIN
