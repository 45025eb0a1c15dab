/* Tasks and the replicas of the handle that they come to. */
#include "agent-sdk/choir.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/support/home.h"
#include "tests/support/standin.h"

static struct standin *broker;
static struct choir *c;
static struct choir_event *task;
static char dir[HOME_BYTES];

static void handle_begin(void)
{
    struct choir_options options = CHOIR_OPTIONS_INIT;

    options.data_dir = dir;
    options.name = "ada";
    options.timeout_ms = 5000;
    if (choir_open(&options, &c))
        fail_msg("%s", choir_error_text());
}

static void begin(void)
{
    home_make(dir);
    broker = standin_start(dir);
    handle_begin();
}

static void end(void)
{
    choir_event_free(&task);
    choir_close(&c);
    CHECK_EQ(standin_counts(broker).bad, 0);
    standin_stop(&broker);
    home_remove(dir);
}

/* At most ten seconds. */
#define UNTIL(condition)                                  \
    do {                                                  \
        for (int i_ = 0; !(condition) && i_ < 5000; i_++) \
            usleep(2000);                                 \
        CHECK(condition);                                 \
    } while (0)

TEST(a_task_waits_for_the_replicas_to_know_what_it_was_written_from)
{
    struct choir_replica *replica;
    unsigned beats;

    begin();
    CHECK_OK(choir_replica_open(c, "docs/", NULL, &replica));
    CHECK_OK(choir_replica_wait(replica, 0, 5000));
    standin_hold_marks(broker, 50);
    standin_task(broker, "q");
    CHECK_REFUSED(choir_work(c, "q", 300, &task), CHOIR_TIMEOUT);
    beats = standin_counts(broker).heartbeats;
    UNTIL(standin_counts(broker).heartbeats > beats); /* held all the while */
    CHECK_EQ(standin_counts(broker).naks, 0);
    standin_hold_marks(broker, 100000000);
    CHECK_OK(choir_work(c, "q", 5000, &task));
    CHECK(choir_task_held(c, task));
    CHECK_OK(choir_replica_wait(replica, choir_event_uint(task, "token"), 0));
    choir_replica_close(&replica);
    end();
}

TEST(a_task_does_not_wait_for_a_replica_that_is_closed)
{
    struct choir_replica *replica;

    begin();
    CHECK_OK(choir_replica_open(c, "docs/", NULL, &replica));
    CHECK_OK(choir_replica_wait(replica, 0, 5000));
    standin_hold_marks(broker, 50);
    standin_task(broker, "q");
    CHECK_REFUSED(choir_work(c, "q", 100, &task), CHOIR_TIMEOUT);
    choir_replica_close(&replica);
    CHECK_OK(choir_work(c, "q", 5000, &task));
    end();
}

TEST(a_task_that_still_waits_goes_back_when_the_handle_closes)
{
    struct choir_replica *replica;

    begin();
    CHECK_OK(choir_replica_open(c, "docs/", NULL, &replica));
    CHECK_OK(choir_replica_wait(replica, 0, 5000));
    standin_hold_marks(broker, 50);
    standin_task(broker, "q");
    CHECK_REFUSED(choir_work(c, "q", 100, &task), CHOIR_TIMEOUT);
    choir_replica_close(&replica);
    choir_close(&c);
    UNTIL(standin_counts(broker).naks == 1);
    end();
}

CHECK_MAIN
