/* How choird's own thread for the sockets is scheduled: as any other, until
 * frames come together, and again when they come alone. */
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-sdk/choir.h"
#include "tests/check.h"
#include "tests/support/daemon.h"

enum { HANDLES = 16, WAIT_MS = 10000 };

static struct choir *handles[HANDLES];

static bool passes_on(pid_t process, const char *thread)
{
    char path[300], name[32] = "";
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%s/comm", (int)process, thread);
    f = fopen(path, "re");
    if (!f)
        return false;
    if (!fgets(name, sizeof name, f))
        name[0] = 0;
    fclose(f);
    return strncmp(name, "ZMQbg/IO/", 9) == 0;
}

static int policy_of(pid_t process)
{
    char path[64];
    struct dirent *at;
    int policy = -1;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    tasks = opendir(path);
    CHECK(tasks != NULL);
    while ((at = readdir(tasks)) != NULL)
        if (passes_on(process, at->d_name))
            policy = sched_getscheduler((pid_t)atoi(at->d_name));
    closedir(tasks);
    return policy;
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
