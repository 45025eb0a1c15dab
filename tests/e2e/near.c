/* A lone agent and the broker on one core: both of its threads are kept there
 * while it waits, and are as free as they were afterwards.
 * test-timeout: 120 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-sdk/choir.h"
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

static bool encrypts(const char *thread)
{
    char path[300], name[32] = {0};
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%s/comm", thread);
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    if (read(fd, name, sizeof name - 1) < 0)
        name[0] = 0;
    close(fd);
    return strstr(name, "ZMQbg/IO") != NULL;
}

/* The one thread of this process that encrypts. */
static pid_t thread_of_zmq(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *at;
    pid_t found = 0;

    while ((at = readdir(tasks)) != NULL)
        if (encrypts(at->d_name))
            found = (pid_t)atoi(at->d_name);
    closedir(tasks);
    CHECK(found != 0);
    return found;
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
    thread = thread_of_zmq();
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
