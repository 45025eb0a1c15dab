/* How choird's own thread for the sockets is scheduled: as any other, until
 * frames come together, and again when they come alone. */
#include <sched.h>
#include <stdio.h>

#include "agent-sdk/choir.h"
#include "proto/threads.h"
#include "tests/check.h"
#include "tests/support/daemon.h"

enum { HANDLES = 16, WAIT_MS = 10000 };

static struct choir *handles[HANDLES];

static int policy_of(pid_t process)
{
    pid_t thread = threads_find(process, "ZMQbg/IO/*");

    CHECK(thread != 0);
    return sched_getscheduler(thread);
}

static void handles_open(void)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        struct choir_options o = CHOIR_OPTIONS_INIT;
        char name[16];

        snprintf(name, sizeof name, "one-%u", i);
        o.name = name;
        o.timeout_ms = WAIT_MS;
        CHECK_OK(choir_open(&o, &handles[i]));
    }
}

static void all_put(unsigned n)
{
    uint64_t requests[HANDLES];

    for (unsigned i = 0; i < n; i++) {
        struct choir_request *r = choir_request_new(handles[i], "put");

        choir_request_text(r, "key", "k");
        choir_request_slot(r, "v", 1, NULL);
        CHECK_OK(choir_send(handles[i], &r, WAIT_MS, &requests[i]));
    }
    for (unsigned i = 0; i < n; i++) {
        struct choir_event *e = NULL;

        CHECK_OK(choir_wait(handles[i], requests[i], WAIT_MS, &e));
        choir_event_free(&e);
    }
}

TEST(sockets_give_way_while_frames_come_together)
{
    struct daemon d;

    daemon_init(&d, "crowd");
    CHECK_OK(daemon_start(&d, NULL));
    handles_open();
    CHECK_EQ(policy_of(d.pid), SCHED_OTHER);
    while (policy_of(d.pid) != SCHED_BATCH)
        all_put(HANDLES);
    while (policy_of(d.pid) != SCHED_OTHER)
        all_put(1);
    for (unsigned i = 0; i < HANDLES; i++)
        choir_close(&handles[i]);
    CHECK_EQ(daemon_stop(&d), 0);
}

CHECK_MAIN
