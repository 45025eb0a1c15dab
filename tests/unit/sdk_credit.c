/* What a worker may still get is told to the broker when it matters. */
#include "agent-sdk/choir.h"

#include <unistd.h>

#include "tests/check.h"
#include "tests/support/home.h"
#include "tests/support/standin.h"

static struct standin *broker;
static struct choir *c;
static uint64_t work;
static char dir[HOME_BYTES];

static void begin(uint64_t credit)
{
    struct choir_options options = CHOIR_OPTIONS_INIT;
    struct choir_request *r;
    struct choir_event *e;

    home_make(dir);
    broker = standin_start(dir);
    options.data_dir = dir;
    options.name = "ada";
    if (choir_open(&options, &c))
        fail_msg("%s", choir_error_text());
    r = choir_request_new(c, "work");
    choir_request_text(r, "queue", "q");
    choir_request_uint(r, "credit", credit);
    CHECK_OK(choir_send(c, &r, 1000, &work));
    CHECK_OK(choir_wait(c, work, 5000, &e));
    choir_event_free(&e); /* the reply */
}

static void end(void)
{
    choir_close(&c);
    standin_stop(&broker);
    home_remove(dir);
}

/* An ask that is under way for ever. */
static void ask_in_vain(void)
{
    struct choir_request *r = choir_request_new(c, "list");
    unsigned before = standin_counts(broker).asks;
    uint64_t id;

    standin_hold_lists(broker, true);
    choir_request_text(r, "prefix", "");
    CHECK_OK(choir_send(c, &r, 1000, &id));
    for (int i = 0; i < 5000 && standin_counts(broker).asks == before; i++)
        usleep(1000);
    CHECK(standin_counts(broker).asks > before);
}

static void task_take(void)
{
    struct choir_event *e;

    standin_task(broker, "q");
    if (choir_wait(c, work, 5000, &e))
        fail_msg("%s", choir_error_text());
    CHECK_STR(choir_event_name(e), "task");
    choir_event_free(&e);
}

/* The library beats every 20 ms, as leases are short here, and 32 asks are sent
 * whatever is under way: so many have not gathered. */
static void credit_is_told_at_once(void)
{
    unsigned beats = standin_counts(broker).heartbeats;

    CHECK_OK(choir_credit(c, work, 1));
    task_take();
    CHECK(standin_counts(broker).heartbeats - beats < 24);
}

TEST(credit_goes_at_once_when_the_broker_has_no_more_of_it)
{
    begin(2);
    task_take();
    task_take();
    ask_in_vain();
    credit_is_told_at_once();
    end();
}

TEST(credit_is_added_up_and_goes_at_once_when_most_of_it_is_used)
{
    begin(4);
    ask_in_vain();
    for (int i = 0; i < 3; i++)
        task_take();
    CHECK_OK(choir_credit(c, work, 1)); /* of two then, half */
    task_take();
    credit_is_told_at_once();
    end();
}

TEST(credit_that_was_taken_back_and_given_again_is_what_was_given)
{
    struct choir_event *e;

    begin(8);
    CHECK_OK(choir_credit(c, work, -1));
    CHECK_OK(choir_credit(c, work, 2));
    CHECK_OK(choir_list(c, "", NULL, 0, &e)); /* then the broker knows */
    choir_event_free(&e);
    task_take();
    task_take();
    standin_task(broker, "q");
    CHECK_REFUSED(choir_wait(c, work, 50, &e), CHOIR_TIMEOUT);
    end();
}

CHECK_MAIN
