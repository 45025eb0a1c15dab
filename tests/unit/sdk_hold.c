/* When a hold ends that nobody has ended, and which of them share a timer. */
#include "agent-sdk/hold.h"

#include <poll.h>

#include "tests/check.h"

enum { LONG_US = 1000000, SHORT_US = 500, STEP_US = 100, WAIT_MS = 5000 };

static struct hold hold;
static int64_t due_us; /* of the next one: evenly, however busy the machine */

static void begin(void)
{
    CHECK_OK(hold_open(&hold));
    due_us = hold_clock_us() + SHORT_US;
}

static bool fires(void)
{
    struct pollfd p = {.fd = hold.fd, .events = POLLIN};

    return poll(&p, 1, WAIT_MS) == 1;
}

static void one_in_time(void)
{
    hold_begin(&hold, due_us += STEP_US);
    hold_end(&hold);
}

static void become_trusted(void)
{
    for (int i = 0; i <= HOLD_TRUSTED; i++)
        one_in_time();
}

TEST(a_hold_is_over_when_it_is_due_and_not_before)
{
    begin();
    hold_begin(&hold, due_us + LONG_US);
    CHECK_NOT(hold_look(&hold));
    hold_begin(&hold, due_us);
    CHECK_EQ(hold.timed_us, due_us);
    CHECK(fires());
    CHECK(hold_clock_us() >= due_us);
    CHECK(hold_look(&hold));
    CHECK_NOT(hold_look(&hold));
    hold_close(&hold);
}

TEST(a_hold_that_ends_in_time_takes_its_timer_back)
{
    begin();
    hold_begin(&hold, due_us);
    CHECK(hold.timed_us != 0);
    hold_end(&hold);
    CHECK_EQ(hold.timed_us, 0);
    hold_end(&hold); /* there is none */
    CHECK_EQ(hold.kept, 1);
    hold_close(&hold);
}

TEST(the_last_time_that_was_said_counts)
{
    begin();
    hold_begin(&hold, due_us);
    hold_begin(&hold, due_us + LONG_US);
    CHECK(fires()); /* for the first one */
    CHECK_NOT(hold_look(&hold));
    CHECK_EQ(hold.timed_us, hold.due_us);
    hold_close(&hold);
}

TEST(holds_that_end_in_time_one_upon_another_share_a_timer)
{
    int64_t timed_us;

    begin();
    for (int i = 0; i < HOLD_TRUSTED; i++) {
        CHECK_EQ(hold.timed_us, 0);
        one_in_time();
    }
    one_in_time();
    timed_us = hold.timed_us;
    CHECK(timed_us != 0);
    one_in_time();
    CHECK_EQ(hold.timed_us, timed_us);
    hold_close(&hold);
}

TEST(holds_that_come_seldom_have_one_each)
{
    begin();
    for (int i = 0; i <= HOLD_TRUSTED; i++) {
        hold.before_us -= 2 * HOLD_CLOSE_US; /* so much longer ago */
        one_in_time();
        CHECK_EQ(hold.timed_us, 0); /* taken back */
    }
    hold_close(&hold);
}

TEST(a_shared_timer_ends_nothing_that_is_not_due)
{
    begin();
    become_trusted();
    CHECK(fires());
    CHECK_NOT(hold_look(&hold)); /* nothing is held */
    CHECK_EQ(hold.timed_us, 0);
    CHECK_EQ(hold.kept, HOLD_TRUSTED + 1);
    hold_begin(&hold, due_us += STEP_US);
    CHECK_EQ(hold.timed_us, due_us + HOLD_LATE_US); /* for those to come, too */
    hold_close(&hold);
}

TEST(who_is_late_is_waited_for_longer_only_once)
{
    bool is_over = false;

    begin();
    become_trusted();
    hold_begin(&hold, due_us += STEP_US);
    while (!is_over) {
        CHECK(fires());
        is_over = hold_look(&hold);
    }
    CHECK_EQ(hold.kept, 0);
    hold_begin(&hold, due_us += STEP_US);
    CHECK_EQ(hold.timed_us, hold.due_us); /* exactly again */
    hold_close(&hold);
}

CHECK_MAIN
