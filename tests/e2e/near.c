/* A lone agent and the broker on one core: both of its threads are kept there
 * while it waits, and are as free as they were afterwards.
 * test-timeout: 120 */
#include <sched.h>
#include <unistd.h>

#include "agent-sdk/choir.h"
#include "proto/threads.h"
#include "tests/check.h"
#include "tests/support/daemon.h"

enum { WAIT_MS = 10000, PUTS_MAX = 100000, LONG_US = 60 * 1000000 };

static struct choir *open_as(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c = NULL;

    o.name = name;
    o.timeout_ms = WAIT_MS;
    CHECK_OK(choir_open(&o, &c));
    return c;
}

static void put(struct choir *c)
{
    CHECK_OK(choir_put(c, "key", "value", 5, NULL));
}

static int cores(pid_t thread)
{
    cpu_set_t set;

    CHECK_OK(sched_getaffinity(thread, sizeof set, &set));
    return CPU_COUNT(&set);
}

/* Others that want the core have it left alone for a while. */
static bool becomes_kept(struct choir *c, pid_t thread)
{
    uint64_t until = test_now_us() + LONG_US;
    int all = cores(0);

    for (unsigned i = 0; i < PUTS_MAX && test_now_us() < until; i++) {
        put(c);
        CHECK_EQ(cores(0), all); /* it is the program's */
        if (cores(thread) == 1)
            return true;
    }
    return false;
}

TEST(a_lone_agent_waits_on_the_broker_s_core)
{
    struct daemon d;
    struct choir *one, *other;
    int all = cores(0);
    pid_t thread;

    daemon_init(&d, "near");
    CHECK_OK(daemon_start(&d, NULL));
    one = open_as("one");
    thread = threads_find(getpid(), "*ZMQbg/IO*");
    CHECK(thread != 0);
    CHECK(all == 1 || becomes_kept(one, thread));
    other = open_as("other"); /* what encrypts for two is nobody's alone */
    put(one);
    CHECK_EQ(cores(thread), all);
    choir_close(&other);
    CHECK(all == 1 || becomes_kept(one, thread));
    choir_close(&one);
    CHECK_EQ(cores(0), all);
    CHECK_EQ(daemon_stop(&d), 0);
}

CHECK_MAIN
