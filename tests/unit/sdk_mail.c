/* Messages, against the stand-in: said once however the connection fares, and
 * to nobody who is not there. */
#include "agent-sdk/choir.h"

#include <errno.h>
#include <stdio.h>

#include "tests/check.h"
#include "tests/support/home.h"
#include "tests/support/standin.h"

static struct standin *broker;
static struct choir *c;
static char dir[HOME_BYTES];

static void begin(void)
{
    struct choir_options options = CHOIR_OPTIONS_INIT;

    home_make(dir);
    broker = standin_start(dir);
    options.data_dir = dir;
    options.name = "ada";
    options.timeout_ms = 5000;
    if (choir_open(&options, &c))
        fail_msg("%s", choir_error_text());
}

static void end(void)
{
    choir_close(&c);
    CHECK_EQ(standin_counts(broker).bad, 0);
    standin_stop(&broker);
    home_remove(dir);
}

TEST(message_is_said_once_though_the_broker_was_busy)
{
    unsigned before;
    uint64_t revision = 0;

    begin();
    before = standin_counts(broker).operations;
    standin_turn_away(broker, CHOIR_BUSY, 2);
    CHECK_OK(choir_message(c, "topic:news", "x", 1, CHOIR_MESSAGE, &revision));
    CHECK(revision > 0);
    CHECK_EQ(standin_counts(broker).operations, before + 1);
    end();
}

TEST(name_that_the_broker_does_not_know_is_no_receiver)
{
    struct choir_request *r = NULL;
    unsigned before;

    begin();
    before = standin_counts(broker).operations;
    CHECK_REFUSED(choir_message(c, "bob", "x", 1, CHOIR_MESSAGE, NULL),
                  CHOIR_NOT_FOUND);
    CHECK(strstr(choir_error_text(), "agent=bob") != NULL);
    CHECK_REFUSED(choir_complete_message(c, r, "topic:news", "x", 1), -ENOMEM);
    CHECK_EQ(standin_counts(broker).operations, before);
    end();
}

TEST(only_a_message_can_be_answered_and_acknowledged)
{
    struct choir_event *e;

    begin();
    CHECK_OK(choir_put(c, "plan", "x", 1, NULL));
    CHECK_OK(choir_get(c, "plan", 0, &e));
    CHECK_REFUSED(choir_reply(c, e, "x", 1, CHOIR_FINAL, NULL), CHOIR_INVALID);
    CHECK_REFUSED(choir_ack(c, e), CHOIR_INVALID);
    choir_event_free(&e);
    end();
}

CHECK_MAIN
