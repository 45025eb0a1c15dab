/* What is answered below, at and above a compaction line. */
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

static int done(struct guest *g)
{
    const struct msg *m;

    hall_settle(&hall);
    m = guest_item(g, MSG_DONE);
    return m ? (int)msg_u(m, FIELD_OUTCOME) : 0;
}

static int compact(struct guest *g, const char *space, uint64_t at)
{
    struct msg m;

    guest_forget(g);
    msg_init(&m, MSG_COMPACT);
    if (space)
        msg_set_text(&m, FIELD_SPACE, space);
    msg_set_u(&m, FIELD_REVISION, at);
    CHECK_OK(guest_do(g, &m, NULL));
    return done(g);
}

static struct msg about(enum message verb, enum field name, const char *text)
{
    struct msg m;

    msg_init(&m, verb);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, name, text);
    return m;
}

static const struct msg *asked(enum message verb, enum field name,
                               const char *text, uint64_t at)
{
    struct msg m = about(verb, name, text);

    msg_set_u(&m, FIELD_REVISION, at);
    return guest_reply(&bob, &m);
}

static void check_compacted(const struct msg *reply, uint64_t line)
{
    CHECK_EQ(msg_u(reply, FIELD_OUTCOME), CHOIR_COMPACTED);
    CHECK_EQ(msg_u(reply, FIELD_REVISION), line);
}

static void check_value(uint64_t at, const char *value)
{
    const struct msg *r = asked(MSG_GET, FIELD_KEY, "plan", at);

    CHECK_EQ(msg_u(r, FIELD_OUTCOME), 0);
    CHECK(bytes_equal(msg_b(r, FIELD_VALUE), bytes_text(value)));
}

TEST(reads_at_the_line_are_exact_and_below_it_compacted)
{
    uint64_t first, second, line;

    begin();
    first = put("plan", "one");
    second = put("plan", "two");
    line = put("other", "x");
    put("plan", "three");
    CHECK_EQ(compact(&ada, "main", line), 0);
    check_value(line, "two");
    check_value(head(), "three");
    check_compacted(asked(MSG_GET, FIELD_KEY, "plan", line - 1), line);
    check_compacted(asked(MSG_GET, FIELD_KEY, "plan", first), line);
    check_compacted(asked(MSG_LIST, FIELD_PREFIX, "", second), line);
    CHECK_EQ(msg_u(asked(MSG_LIST, FIELD_PREFIX, "", line), FIELD_ITEMS), 2);
    check_compacted(asked(MSG_LOG, FIELD_KEY, "plan", second), line);
    hall_close(&hall);
}

TEST(log_ends_with_the_newest_version_below_the_line)
{
    struct msg m = about(MSG_LOG, FIELD_KEY, "plan");
    uint64_t first, line;
    const struct msg *r;

    begin();
    first = put("plan", "one");
    put("plan", "two");
    line = put("other", "x");
    put("plan", "three");
    CHECK_EQ(compact(&ada, "main", line), 0);
    r = guest_reply(&bob, &m);
    CHECK_EQ(msg_u(r, FIELD_ITEMS), 2);
    CHECK_EQ(msg_u(r, FIELD_PREV), first); /* there was more, and asking
                                              for it says what became of it */
    check_compacted(asked(MSG_LOG, FIELD_KEY, "plan", first), line);
    hall_close(&hall);
}

TEST(compaction_survives_a_crash_and_holds_for_its_space_alone)
{
    uint64_t line;

    begin();
    put("plan", "one");
    line = put("plan", "two");
    CHECK_EQ(compact(&ada, "lab", line), 0);
    check_value(line, "two");
    CHECK_EQ(msg_u(asked(MSG_GET, FIELD_KEY, "plan", line - 1), FIELD_OUTCOME),
             0);
    CHECK_EQ(compact(&ada, "*", line), 0);
    hall_restart(&hall, false);
    guest_connect(&bob);
    check_compacted(asked(MSG_GET, FIELD_KEY, "plan", line - 1), line);
    hall_close(&hall);
}

TEST(compact_without_a_space_is_for_all_of_them)
{
    uint64_t line;

    begin();
    put("plan", "one");
    line = put("plan", "two");
    CHECK_EQ(compact(&ada, NULL, line), 0);
    check_compacted(asked(MSG_GET, FIELD_KEY, "plan", line - 1), line);
    hall_close(&hall);
}

/* A segment holds 4 MiB: some 128 of them. */
static void fill(unsigned n)
{
    static char value[(32 << 10) + 1];

    memset(value, 'x', sizeof value - 1);
    while (n--)
        put("plan", value);
}

static void check_configured(void)
{
    uint64_t line;

    fill(400);
    line = compaction_line(rig_state(&hall.rig)->compaction, bytes_text("any"));
    CHECK(line > 100);
    CHECK(line <= head() - 100);
    check_compacted(asked(MSG_GET, FIELD_KEY, "plan", line - 1), line);
}

TEST(past_is_compacted_by_count_as_configured)
{
    begin();
    hall.rig.config->compact_entries = 100;
    check_configured();
    hall_close(&hall);
}

TEST(past_is_compacted_by_size_as_configured)
{
    begin();
    hall.rig.config->compact_bytes = 5 << 20;
    check_configured();
    hall_close(&hall);
}

TEST(past_is_compacted_by_age_as_configured)
{
    const struct compaction *lines;

    begin();
    lines = rig_state(&hall.rig)->compaction;
    hall.rig.config->compact_age_s = 3600;
    fill(200);
    CHECK_EQ(compaction_line(lines, bytes_text("main")), 0);
    hall_pass(&hall, 3600 * 1000);
    fill(1);
    CHECK(compaction_line(lines, bytes_text("main")) > 100);
    hall_close(&hall);
}

TEST(compact_is_for_administrators_and_not_of_the_future)
{
    uint64_t line;

    begin();
    line = put("plan", "one");
    CHECK_EQ(compact(&bob, "main", line), CHOIR_DENIED);
    CHECK_EQ(compact(&bob, NULL, line), CHOIR_DENIED);
    CHECK_EQ(compact(&ada, "main", head() + 1), CHOIR_INVALID);
    CHECK_EQ(compact(&ada, "", line), CHOIR_INVALID);
    CHECK_EQ(compact(&bob, "*", line), CHOIR_DENIED);
    CHECK_EQ(msg_u(asked(MSG_GET, FIELD_KEY, "plan", line), FIELD_OUTCOME), 0);
    hall_close(&hall);
}

TEST(what_may_not_be_seen_is_absent_and_not_compacted)
{
    struct guest eve;
    struct msg m = about(MSG_GET, FIELD_KEY, "plan");
    uint64_t line;

    begin();
    guest_join(&hall, &eve, "eve", RIGHT_SEND);
    put("plan", "one");
    line = put("plan", "two");
    CHECK_EQ(compact(&ada, "main", line), 0);
    msg_set_u(&m, FIELD_REVISION, line - 1);
    CHECK_EQ(msg_u(guest_reply(&eve, &m), FIELD_OUTCOME), CHOIR_NOT_FOUND);
    m = about(MSG_LIST, FIELD_PREFIX, "");
    msg_set_u(&m, FIELD_REVISION, line - 1);
    CHECK_EQ(msg_u(guest_reply(&eve, &m), FIELD_OUTCOME), 0);
    hall_close(&hall);
}

static const struct msg *watch(uint64_t from, uint64_t kind, uint64_t credit)
{
    struct msg m = about(MSG_WATCH, FIELD_PREFIX, "");

    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_REVISION, from);
    msg_set_u(&m, FIELD_CREDIT, credit);
    if (kind)
        msg_set_u(&m, FIELD_KIND, kind);
    return guest_reply(&bob, &m);
}

TEST(watch_from_below_the_line_is_refused_unless_gaps_will_do)
{
    uint64_t first, line;

    begin();
    first = put("plan", "one");
    put("plan", "two");
    line = put("other", "x");
    CHECK_EQ(compact(&ada, "main", line), 0);
    check_compacted(watch(first, 0, 9), line);
    CHECK_EQ(msg_u(watch(line, 0, 9), FIELD_OUTCOME), 0);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_CHANGE), 1);
    guest_forget(&bob);
    CHECK_EQ(msg_u(watch(first, 1, 9), FIELD_OUTCOME), 0);
    hall_settle(&hall);
    CHECK(guest_items(&bob, MSG_CHANGE) >= 2);
    CHECK(guest_item(&bob, MSG_CAUGHT_UP) != NULL);
    hall_close(&hall);
}

TEST(watch_that_is_behind_the_line_ends_and_says_where_it_lies)
{
    struct msg credit;
    const struct msg *over;
    uint64_t first, line;

    begin();
    first = put("plan", "one");
    put("plan", "two");
    line = put("plan", "three");
    CHECK_EQ(msg_u(watch(first, 0, 1), FIELD_OUTCOME), 0);
    CHECK_EQ(compact(&ada, "main", line), 0);
    msg_init(&credit, MSG_CREDIT);
    msg_set_u(&credit, FIELD_WATCH, 1);
    msg_set_u(&credit, FIELD_CREDIT, 5);
    guest_forget(&bob);
    guest_reply(&bob, &credit);
    hall_settle(&hall);
    over = guest_item(&bob, MSG_WATCH_OVER);
    assert_non_null(over);
    check_compacted(over, line);
    CHECK_EQ(guest_items(&bob, MSG_CHANGE), 0);
    hall_close(&hall);
}

CHECK_MAIN
