/* How choird's own thread for the sockets is scheduled: as any other, until
 * frames come together, and again when they come alone. */
#include <sched.h>

#include "proto/threads.h"
#include "tests/check.h"
#include "tests/support/daemon.h"
#include "tests/support/handles.h"

enum { HANDLES = 16 };

static struct choir *handles[HANDLES];

static int policy_of(pid_t process)
{
    pid_t thread = threads_find(process, "ZMQbg/IO/*");

    CHECK(thread != 0);
    return sched_getscheduler(thread);
}

TEST(sockets_give_way_while_frames_come_together)
{
    struct daemon d;

    daemon_init(&d, "crowd");
    CHECK_OK(daemon_start(&d, NULL));
    handles_open(handles, HANDLES);
    CHECK_EQ(policy_of(d.pid), SCHED_OTHER);
    while (policy_of(d.pid) != SCHED_BATCH)
        handles_put(handles, HANDLES);
    while (policy_of(d.pid) != SCHED_OTHER)
        handles_put(handles, 1);
    handles_close(handles, HANDLES);
    CHECK_EQ(daemon_stop(&d), 0);
}

CHECK_MAIN
