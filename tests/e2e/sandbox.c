/* choird where it may not say when and where its threads run: under the unit
 * that comes with it, which allows what it is for, and where all is refused. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>

#include "proto/threads.h"
#include "tests/check.h"
#include "tests/support/daemon.h"
#include "tests/support/handles.h"
#include "tests/support/sandbox.h"

enum { HANDLES = 16, WAIT_MS = 10000, LONES = 200 };

static const char unit[] = "broker/choird.service";
static struct choir *handles[HANDLES];
static struct daemon d;

static void as_unit(void)
{
    sandbox_enter(unit, NULL);
}

static void zeromq_alone(void)
{
    sandbox_enter(NULL, "sched_setscheduler AF_UNIX AF_INET AF_NETLINK");
}

static void no_scheduling(void)
{
    sandbox_enter(NULL, "AF_UNIX AF_INET AF_NETLINK");
}

static void no_interfaces(void)
{
    sandbox_enter(NULL, "sched_setscheduler AF_UNIX AF_INET");
}

static void begin(const char *name, void (*prepare)(void))
{
    daemon_init(&d, name);
    d.prepare = prepare;
    CHECK_OK(daemon_start(&d, NULL));
    handles_open(handles, HANDLES);
}

static void end(void)
{
    handles_close(handles, HANDLES);
    CHECK_EQ(daemon_stop(&d), 0);
}

static pid_t sockets(void)
{
    pid_t thread = threads_find(d.pid, "ZMQbg/IO/*");

    CHECK(thread != 0);
    return thread;
}

static int cores(pid_t thread)
{
    cpu_set_t set;

    CHECK_OK(sched_getaffinity(thread, sizeof set, &set));
    return CPU_COUNT(&set);
}

TEST(the_unit_lets_choird_schedule_its_threads)
{
    begin("unit", as_unit);
    while (sched_getscheduler(sockets()) != SCHED_BATCH)
        handles_put(handles, HANDLES);
    while (cores(0) > 1 && cores(sockets()) > 1)
        handles_put(handles, 1);
    end();
}

TEST(choird_serves_where_it_may_not_say_where_its_threads_run)
{
    begin("nowhere", zeromq_alone);
    for (unsigned i = 0; i < LONES; i++) {
        handles_put(handles, 1);
        CHECK_EQ(cores(sockets()), cores(0));
    }
    end();
}

static void refused(const char *name, void (*prepare)(void), const char *what)
{
    int status;

    daemon_init(&d, name);
    d.prepare = prepare;
    status = daemon_start(&d, NULL);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    CHECK(daemon_said(&d, what));
}

TEST(choird_says_what_zeromq_is_refused)
{
    refused("unscheduled", no_scheduling, "refuses sched_setscheduler");
    refused("blind", no_interfaces, "refuses AF_NETLINK");
}

static int open_refused(void *arg)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c = NULL;

    no_scheduling();
    o.name = arg;
    o.timeout_ms = WAIT_MS;
    if (choir_open(&o, &c) != -EPERM)
        return 1;
    return !strstr(choir_error_text(), "refuses sched_setscheduler");
}

TEST(a_handle_says_what_zeromq_is_refused)
{
    char name[] = "inside";

    daemon_init(&d, "outside");
    CHECK_OK(daemon_start(&d, NULL));
    CHECK_EQ(child_wait(child_start(open_refused, name), WAIT_MS), 0);
    CHECK_EQ(daemon_stop(&d), 0);
}

CHECK_MAIN
