/* When operations go out, and which together. Nothing is really sent. */
#include "agent-sdk/records_private.h"

#include <errno.h>

#include "tests/check.h"

static struct identity id;
static struct connection *connection;
static struct wire w;
static struct records *r;

static void hear(enum message verb, uint64_t first, uint64_t count)
{
    struct msg item;

    msg_init(&item, verb);
    if (verb == MSG_DONE) {
        msg_set_u(&item, FIELD_SEQ, first);
        msg_set_u(&item, FIELD_OUTCOME, 0);
    } else {
        msg_set_u(&item, FIELD_FIRST_SEQ, first);
        msg_set_u(&item, FIELD_COUNT, count);
    }
    msg_set_u(&item, FIELD_REVISION, 7);
    CHECK_OK(records_item(r, &w, &item));
}

static void begin(void)
{
    struct connection_keys keys = {.broker_curve = {0}};

    key_pair_new(&id.key);
    CHECK_OK(connection_new(&connection, "tcp://127.0.0.1:1", &keys));
    w = (struct wire){.id = &id, .connection = connection, .now_ms = 1};
    r = records_new();
    CHECK(r != NULL);
    records_welcome(r, &w);
    hear(MSG_DONE, 0, 0);
}

static void end(void)
{
    records_destroy(&r);
    wire_free(&w);
    connection_destroy(&connection, 0);
}

static void add(unsigned n)
{
    struct msg m;

    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "s");
    msg_set_text(&m, FIELD_KEY, "k");
    while (n--)
        records_add(r, op_new(1, &m));
    CHECK_OK(records_pump(r, &w));
}

TEST(fewer_than_are_told_wait_for_what_those_say)
{
    begin();
    add(63);
    add(1);
    CHECK_EQ(r->under_way, 1);
    hear(MSG_DONE_ALL, 1, 63);
    CHECK_OK(records_pump(r, &w));
    CHECK(records_keep(r));
    CHECK_EQ(r->queued, 1);
    add(63);
    CHECK_NOT(records_keep(r));
    CHECK_EQ(r->under_way, 1);
    CHECK_EQ(r->unanswered, 64);
    end();
}

TEST(they_go_by_themselves_if_those_say_nothing)
{
    begin();
    add(10);
    add(1);
    hear(MSG_DONE_ALL, 1, 10);
    CHECK_OK(records_pump(r, &w));
    CHECK(records_keep(r));
    CHECK_OK(records_pump(r, &w));
    CHECK_NOT(records_keep(r));
    CHECK_EQ(r->unanswered, 1);
    end();
}

TEST(more_than_are_told_wait_for_nobody)
{
    begin();
    add(5);
    add(20);
    CHECK_EQ(r->queued, 20);
    hear(MSG_DONE_ALL, 1, 5);
    CHECK_OK(records_pump(r, &w));
    CHECK_NOT(records_keep(r));
    CHECK_EQ(r->unanswered, 20);
    end();
}

TEST(at_the_end_nothing_waits)
{
    begin();
    add(63);
    add(1); /* not worth while beside the others */
    CHECK_EQ(r->queued, 1);
    CHECK_OK(records_rest(r, &w));
    CHECK_EQ(r->queued, 0);
    CHECK_EQ(r->unanswered, 64);
    end();
}

TEST(at_the_end_nobody_is_expected_to_say_more)
{
    begin();
    add(10);
    add(1);
    hear(MSG_DONE_ALL, 1, 10);
    CHECK_OK(records_rest(r, &w));
    CHECK_EQ(r->queued, 0);
    CHECK_EQ(r->unanswered, 1);
    end();
}

TEST(what_has_failed_is_not_kept)
{
    begin();
    add(10);
    add(1);
    hear(MSG_DONE_ALL, 1, 10);
    CHECK_OK(records_pump(r, &w));
    CHECK(records_keep(r));
    records_fail(r, &w, -ENOMEM, NULL);
    CHECK_NOT(records_keep(r));
    end();
}

CHECK_MAIN
