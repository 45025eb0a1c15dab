/* Marks, from the operation to what their owner reads. */
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

/* The outcome; what came with it is in *done. */
static int outcome_of(struct guest *g, struct msg *op, const char *value,
                      const struct msg **done)
{
    const struct msg *m;

    guest_forget(g);
    CHECK_OK(guest_do(g, op, value));
    hall_settle(&hall);
    m = guest_item(g, MSG_DONE);
    if (done)
        *done = m;
    if (m)
        return (int)msg_u(m, FIELD_OUTCOME);
    CHECK(guest_item(g, MSG_DONE_ALL) != NULL);
    return CHOIR_OK;
}

static struct msg mark_op(enum field f, const char *name, uint64_t revision)
{
    struct msg m;

    msg_init(&m, MSG_MARK);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, f, name);
    msg_set_u(&m, FIELD_REVISION, revision);
    return m;
}

static int mark(struct guest *g, const char *name, uint64_t revision)
{
    struct msg m = mark_op(FIELD_NAME, name, revision);

    return outcome_of(g, &m, NULL, NULL);
}

static const struct msg *marked(struct guest *g, const char *name)
{
    struct msg m;

    msg_init(&m, MSG_MARK_LIST);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_NAME, name);
    return guest_reply(g, &m);
}

TEST(mark_is_there_for_another_process_and_after_a_restart)
{
    uint64_t at;

    begin();
    at = head();
    CHECK_EQ(mark(&bob, "seen", at), CHOIR_OK);
    CHECK_EQ(msg_u(marked(&bob, "seen"), FIELD_REVISION), at);
    for (int clean = 0; clean < 2; clean++) {
        hall_restart(&hall, clean);
        guest_connect(&bob);
        CHECK_EQ(msg_u(marked(&bob, "seen"), FIELD_REVISION), at);
        CHECK_EQ(agent_by_number(rig_state(&hall.rig)->agents, bob.actor.number)
                     ->marks,
                 1);
    }
    hall_close(&hall);
}

TEST(lower_mark_says_where_it_stays)
{
    struct msg m = mark_op(FIELD_NAME, "seen", 1), effect;
    const struct msg *done;
    unsigned field;
    uint64_t at;

    begin();
    at = head();
    CHECK_EQ(mark(&bob, "seen", at), CHOIR_OK);
    CHECK_EQ(outcome_of(&bob, &m, NULL, &done), CHOIR_OK);
    CHECK(done != NULL);
    CHECK_OK(
        part_decode(MSG_EFFECT, msg_b(done, FIELD_EFFECT), &effect, &field));
    CHECK_EQ(msg_u(&effect, FIELD_REVISION), at);
    CHECK_EQ(msg_u(marked(&bob, "seen"), FIELD_REVISION), at);
    hall_close(&hall);
}

TEST(mark_is_removed_once)
{
    begin();
    CHECK_EQ(mark(&bob, "seen", head()), CHOIR_OK);
    CHECK_EQ(mark(&bob, "seen", 0), CHOIR_OK);
    CHECK_EQ(msg_u(marked(&bob, "seen"), FIELD_OUTCOME), CHOIR_NOT_FOUND);
    CHECK_EQ(mark(&bob, "seen", 0), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

TEST(marks_are_nobody_elses)
{
    begin();
    CHECK_EQ(mark(&bob, "seen", head()), CHOIR_OK);
    CHECK_EQ(msg_u(marked(&ada, "seen"), FIELD_OUTCOME), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

TEST(mark_beyond_the_last_entry_is_refused)
{
    begin();
    CHECK_EQ(mark(&bob, "seen", head() + 2), CHOIR_INVALID);
    CHECK_EQ(mark(&bob, "seen", head()), CHOIR_OK);
    hall_close(&hall);
}

TEST(mark_without_one_name_is_refused)
{
    struct msg m = mark_op(FIELD_NAME, "a", 1);

    begin();
    msg_set_text(&m, FIELD_TOPIC, "t");
    CHECK_EQ(outcome_of(&ada, &m, NULL, NULL), CHOIR_INVALID);
    m = mark_op(FIELD_NAME, "", 1);
    CHECK_EQ(outcome_of(&ada, &m, NULL, NULL), CHOIR_INVALID);
    m = mark_op(FIELD_NAME, "a", 1);
    msg_set_u(&m, FIELD_KIND, 1); /* of a mailbox alone */
    CHECK_EQ(outcome_of(&ada, &m, NULL, NULL), CHOIR_INVALID);
    m = mark_op(FIELD_NAME, "a", 1);
    msg_set_text(&m, FIELD_SPACE, "*");
    CHECK_EQ(outcome_of(&ada, &m, NULL, NULL), CHOIR_INVALID);
    hall_close(&hall);
}

TEST(mark_needs_a_right_in_the_space_and_a_topics_the_right_to_read_it)
{
    struct guest eve = {0};
    struct msg topic = mark_op(FIELD_TOPIC, "news", 1);

    begin();
    guest_join(&hall, &eve, "eve", RIGHT_WRITE);
    CHECK_EQ(mark(&eve, "seen", 1), CHOIR_OK);
    CHECK_EQ(outcome_of(&eve, &topic, NULL, NULL), CHOIR_DENIED);
    CHECK_EQ(outcome_of(&bob, &topic, NULL, NULL), CHOIR_OK);
    guest_free(&eve);
    guest_join(&hall, &eve, "mallory", 0);
    CHECK_EQ(mark(&eve, "seen", 1), CHOIR_DENIED);
    hall_close(&hall);
}

TEST(marks_over_their_limit_are_refused_with_value_and_limit)
{
    struct msg m = mark_op(FIELD_NAME, "c", 1), effect;
    const struct msg *done;
    unsigned field;

    begin();
    hall.rig.config->marks_per_agent_max = 2;
    core_begin(hall.rig.core);
    CHECK_OK(core_rules(hall.rig.core, hall.rig.config));
    CHECK_OK(core_commit(hall.rig.core));
    CHECK_EQ(mark(&bob, "a", 1), CHOIR_OK);
    CHECK_EQ(mark(&bob, "b", 1), CHOIR_OK);
    CHECK_EQ(outcome_of(&bob, &m, NULL, &done), CHOIR_OVER_LIMIT);
    CHECK_OK(
        part_decode(MSG_EFFECT, msg_b(done, FIELD_EFFECT), &effect, &field));
    CHECK(bytes_equal(msg_b(&effect, FIELD_FIELD),
                      bytes_text("marks_per_agent_max")));
    CHECK_EQ(msg_u(&effect, FIELD_LIMIT), 2);
    CHECK_EQ(mark(&bob, "a", 2), CHOIR_OK);
    CHECK_EQ(mark(&bob, "b", 0), CHOIR_OK);
    CHECK_EQ(mark(&bob, "c", 1), CHOIR_OK);
    hall_close(&hall);
}

TEST(list_gives_ones_own_marks_page_by_page)
{
    struct msg topic = mark_op(FIELD_TOPIC, "b", 1), ask, item;
    const struct msg *r;
    struct list items;

    begin();
    CHECK_EQ(mark(&bob, "b", 1), CHOIR_OK);
    CHECK_EQ(mark(&bob, "a", 2), CHOIR_OK);
    CHECK_EQ(mark(&ada, "z", 2), CHOIR_OK);
    CHECK_EQ(outcome_of(&bob, &topic, NULL, NULL), CHOIR_OK);
    msg_init(&ask, MSG_MARK_LIST);
    msg_set_text(&ask, FIELD_SPACE, "main");
    msg_set_u(&ask, FIELD_COUNT, 2);
    r = guest_reply(&bob, &ask);
    items = msg_list(r, FIELD_ITEMS);
    CHECK_EQ(items.left, 2);
    CHECK(list_next(&items, &item));
    CHECK(bytes_equal(msg_b(&item, FIELD_NAME), bytes_text("a")));
    CHECK_EQ(msg_u(&item, FIELD_REVISION), 2);
    CHECK(list_next(&items, &item));
    CHECK(bytes_equal(msg_b(r, FIELD_AFTER), bytes_text("b")));
    msg_set_text(&ask, FIELD_AFTER, "b");
    msg_set_u(&ask, FIELD_KIND, msg_u(&item, FIELD_KIND));
    r = guest_reply(&bob, &ask);
    items = msg_list(r, FIELD_ITEMS);
    CHECK_EQ(items.left, 1);
    CHECK(list_next(&items, &item));
    CHECK_EQ(msg_u(&item, FIELD_KIND), 1);
    CHECK_NOT(msg_has(r, FIELD_AFTER));
    msg_set_text(&ask, FIELD_TOPIC, "b");
    CHECK_EQ(msg_u(guest_reply(&bob, &ask), FIELD_REVISION), 1);
    msg_set_text(&ask, FIELD_NAME, "b");
    CHECK_EQ(msg_u(guest_reply(&bob, &ask), FIELD_OUTCOME), CHOIR_INVALID);
    hall_close(&hall);
}

CHECK_MAIN
