#include "proto/pack.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/reader.h"

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

/* What is told of whom, of that kind; verb 0: nothing. A copy, whose bytes are
 * borrowed from the guest. */
static struct msg told(struct guest *asker, const char *name, unsigned kind)
{
    struct msg m, item;
    struct list items;

    msg_init(&m, MSG_AGENT_LIST);
    msg_set_text(&m, FIELD_NAME, name);
    msg_set_u(&m, FIELD_KIND, 1);
    items = msg_list(guest_reply(asker, &m), FIELD_ITEMS);
    while (list_next(&items, &item)) {
        if (msg_u(&item, FIELD_KIND) == kind)
            return item;
    }
    msg_init(&item, 0);
    return item;
}

static void say_model(struct guest *g, const char *model)
{
    static struct buf labels;

    buf_clear(&labels);
    pack_text(&labels, bytes_text("model"));
    pack_text(&labels, bytes_text(model));
    g->actor.labels = buf_bytes(&labels);
    g->actor.label_count = 1;
    CHECK_OK(guest_put(g, "plan", "x"));
    hall_settle(&hall);
}

static void check_model(const struct msg *item, const char *model)
{
    struct list at = msg_list(item, FIELD_LABELS);
    struct bytes name, text;

    CHECK(labels_next(&at, &name, &text));
    CHECK(bytes_equal(name, bytes_text("model")));
    CHECK(bytes_equal(text, bytes_text(model)));
    CHECK_NOT(labels_next(&at, &name, &text));
}

TEST(agents_says_on_which_model_as_the_last_bundle_reported)
{
    struct msg item;

    begin();
    say_model(&ada, "one");
    item = told(&bob, "ada", 0);
    check_model(&item, "one");
    say_model(&ada, "another");
    item = told(&bob, "ada", 0);
    check_model(&item, "another");
    ada.actor.label_count = 0;
    ada.actor.labels = (struct bytes){0};
    CHECK_OK(guest_put(&ada, "plan", "y"));
    hall_settle(&hall);
    item = told(&bob, "ada", 0);
    CHECK_NOT(msg_has(&item, FIELD_LABELS));
    hall_close(&hall);
}

TEST(agents_is_here_until_it_is_silent_for_presence_ms)
{
    struct msg item;
    uint64_t heard;

    begin();
    CHECK_OK(guest_put(&ada, "plan", "x"));
    hall_settle(&hall);
    item = told(&bob, "ada", 0);
    CHECK_EQ(msg_u(&item, FIELD_STATE), PRESENCE_HERE);
    heard = msg_u(&item, FIELD_TIME);
    hall_pass(&hall, 59999);
    item = told(&bob, "ada", 0);
    CHECK_EQ(msg_u(&item, FIELD_STATE), PRESENCE_HERE);
    CHECK_EQ(msg_u(&item, FIELD_TIME), heard);
    hall_pass(&hall, 1);
    item = told(&bob, "ada", 0);
    CHECK_EQ(msg_u(&item, FIELD_STATE), PRESENCE_AWAY);
    CHECK_EQ(msg_u(&item, FIELD_TIME), heard);
    item = told(&bob, "bob", 0); /* it asks */
    CHECK_EQ(msg_u(&item, FIELD_STATE), PRESENCE_HERE);
    hall_close(&hall);
}

TEST(agents_is_away_at_once_when_its_connection_goes)
{
    struct msg item;

    begin();
    CHECK_OK(guest_put(&ada, "plan", "x"));
    hall_settle(&hall);
    guest_disconnect(&ada);
    item = told(&bob, "ada", 0);
    CHECK_EQ(msg_u(&item, FIELD_STATE), PRESENCE_AWAY);
    CHECK(msg_u(&item, FIELD_TIME) > 0);
    hall_close(&hall);
}

TEST(agents_that_left_are_remembered_with_what_they_said)
{
    struct msg m, item;

    begin();
    say_model(&ada, "one");
    hall_pass(&hall, 1000);
    msg_init(&m, MSG_SESSION_CLOSE);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
    guest_disconnect(&ada);
    hall_pass(&hall, 5000);
    item = told(&bob, "ada", 0);
    CHECK_EQ(msg_u(&item, FIELD_STATE), PRESENCE_AWAY);
    CHECK_EQ(msg_u(&item, FIELD_COUNT), 0);
    CHECK_EQ(msg_u(&item, FIELD_TIME),
             env_wall_us(hall.rig.env) - UINT64_C(5000000));
    check_model(&item, "one");
    item = told(&bob, "ada", 1);
    CHECK_EQ(item.verb, 0);
    hall_close(&hall);
}

TEST(agents_that_were_not_heard_of_have_no_state)
{
    struct msg item;

    begin();
    hall_restart(&hall, true);
    guest_connect(&bob);
    item = told(&bob, "ada", 0);
    CHECK_NOT(msg_has(&item, FIELD_STATE));
    CHECK_NOT(msg_has(&item, FIELD_TIME));
    CHECK_EQ(msg_u(&item, FIELD_COUNT), 1); /* its session is open still */
    item = told(&bob, "ada", 1);
    CHECK_EQ(item.verb, 0);
    hall_close(&hall);
}

TEST(agents_says_how_far_behind_each_is)
{
    struct msg item;
    uint64_t seen;

    begin();
    seen = ada.actor.seen = head();
    CHECK_OK(guest_put(&ada, "plan", "1"));
    hall_settle(&hall);
    hall_pass(&hall, 1500);
    item = told(&bob, "ada", 0);
    CHECK_EQ(msg_u(&item, FIELD_SEEN), seen);
    CHECK_EQ(msg_u(&item, FIELD_LAG_MS), 1500);
    ada.actor.seen = seen - 1; /* sent again later: it does not go back */
    CHECK_OK(guest_put(&ada, "plan", "2"));
    hall_settle(&hall);
    item = told(&bob, "ada", 0);
    CHECK_EQ(msg_u(&item, FIELD_SEEN), seen);
    ada.actor.seen = head() + 1; /* what it will be */
    CHECK_OK(guest_put(&ada, "plan", "3"));
    hall_settle(&hall);
    item = told(&bob, "ada", 0);
    CHECK_EQ(msg_u(&item, FIELD_LAG_MS), 0);
    hall_close(&hall);
}

static uint64_t take_task(struct guest *g)
{
    struct msg m;
    uint64_t task;

    msg_init(&m, MSG_SUBMIT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    CHECK_OK(guest_do(g, &m, "payload"));
    hall_settle(&hall);
    task = head();
    msg_init(&m, MSG_WORK);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_CREDIT, 1);
    guest_reply(g, &m);
    hall_settle(&hall);
    return task;
}

TEST(agents_sessions_and_tasks_in_hand_are_told_when_asked_for)
{
    struct guest cy;
    struct msg item, m;
    uint64_t task;

    begin();
    guest_join(&hall, &cy, "cy", RIGHT_READ | RIGHT_SUBMIT | RIGHT_WORK);
    task = take_task(&ada);
    item = told(&cy, "ada", 1);
    CHECK_EQ(msg_u(&item, FIELD_SESSION), ada.actor.session);
    CHECK_EQ(msg_u(&item, FIELD_STATE), PRESENCE_HERE);
    item = told(&cy, "ada", 2);
    CHECK_EQ(msg_u(&item, FIELD_TASK), task);
    CHECK_EQ(msg_u(&item, FIELD_SESSION), ada.actor.session);
    CHECK(msg_u(&item, FIELD_TOKEN) > task);
    CHECK_EQ(msg_u(&item, FIELD_ATTEMPT), 1);
    CHECK(bytes_equal(msg_b(&item, FIELD_QUEUE), bytes_text("jobs")));
    item = told(&bob, "ada", 2); /* may not look at it */
    CHECK_EQ(item.verb, 0);
    msg_init(&m, MSG_AGENT_LIST);
    CHECK_EQ(msg_u(guest_reply(&cy, &m), FIELD_ITEMS), 5); /* agents alone */
    hall_close(&hall);
}

TEST(agents_tasks_come_with_the_number_of_reads_that_are_stale)
{
    struct lease_held l;
    struct guest cy;
    struct msg item;

    begin();
    guest_join(&hall, &cy, "cy", 127);
    CHECK_OK(guest_put(&ada, "plan", "one"));
    CHECK_OK(guest_put(&ada, "other", "one"));
    hall_settle(&hall);
    reader_submit(&ada, 0);
    l = reader_work(&cy);
    reader_get(&cy, &l, "plan");
    reader_get(&cy, &l, "other");
    item = told(&ada, "cy", 2);
    CHECK_EQ(msg_u(&item, FIELD_TASK), l.task);
    CHECK_EQ(msg_u(&item, FIELD_COUNT), 0);
    CHECK_OK(guest_put(&ada, "plan", "two"));
    hall_settle(&hall);
    item = told(&ada, "cy", 2);
    CHECK_EQ(msg_u(&item, FIELD_COUNT), 1);
    CHECK_EQ(reader_heed(&cy, &l, HEED_REFRESH, 0), CHOIR_OK);
    item = told(&ada, "cy", 2);
    CHECK_EQ(msg_u(&item, FIELD_COUNT), 0);
    hall_close(&hall);
}

TEST(agents_of_many_sessions_fit_into_pages)
{
    struct msg m, item;
    const struct msg *r;
    struct list items;
    unsigned agents = 0, sessions = 0;

    begin();
    for (int i = 0; i < 80; i++) {
        actor_session(&hall.rig, &ada.actor);
        CHECK_OK(guest_put(&ada, "plan", "x"));
        hall_settle(&hall);
    }
    msg_init(&m, MSG_AGENT_LIST);
    msg_set_u(&m, FIELD_KIND, 1);
    msg_set_u(&m, FIELD_COUNT, 2);
    do {
        r = guest_reply(&bob, &m);
        items = msg_list(r, FIELD_ITEMS);
        while (list_next(&items, &item)) {
            agents += msg_u(&item, FIELD_KIND) == 0;
            sessions += msg_u(&item, FIELD_KIND) == 1;
        }
        msg_set_b(&m, FIELD_AFTER, msg_b(r, FIELD_AFTER));
    } while (msg_has(r, FIELD_AFTER));
    CHECK_EQ(agents, 4);
    CHECK_EQ(sessions, 64 + 1);
    hall_close(&hall);
}

CHECK_MAIN
