/* Agents that are connected and do nothing else: a handle of the SDK each, a
 * few processes for all of them, which end with this one. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/choir/works.h"
#include "tests/bench/load_process.h"

#define QUEUE "crowd"
enum { PROCESSES = 8, WAIT_MS = 60000, DAY_MS = 86400000 };

struct crowd {
    pid_t pids[PROCESSES];
    struct crowd_plan plan;
};

/* Of `all`, the part of agent i. */
static unsigned part(const struct crowd *w, unsigned all, unsigned i)
{
    uint64_t n = w->plan.agents;

    return (unsigned)(all * (i + UINT64_C(1)) / n - (uint64_t)all * i / n);
}

static void watch_some(struct choir *c, unsigned agent, unsigned watches)
{
    char prefix[48];
    uint64_t id;

    for (unsigned i = 0; i < watches; i++) {
        snprintf(prefix, sizeof prefix, "idle/%u/%u/", agent, i);
        must(choir_watch(c, prefix, 0, &id), "watch");
    }
}

/* Kept for good: freeing the event does not end the lease. */
static void work_on_some(struct choir *c, unsigned leases)
{
    struct choir_event *task;

    for (unsigned i = 0; i < leases; i++) {
        must(choir_work(c, QUEUE, WAIT_MS, &task), "work");
        choir_event_free(&task);
    }
}

/* Their leases need no renewal while this lasts. */
static void submit_some(unsigned tasks)
{
    struct choir *c = broker_client("crowd-submit");
    uint64_t id;

    for (unsigned i = 0; i < tasks; i++) {
        struct choir_request *r = choir_request_new(c, "submit");

        choir_request_text(r, "queue", QUEUE);
        choir_request_uint(r, "lease_ms", DAY_MS);
        choir_request_slot(r, "task", 4, NULL);
        must(choir_send(c, &r, -1, &id), "submit");
    }
    for (unsigned i = 0; i < tasks; i++) {
        struct choir_event *e = event_next(c);

        choir_event_free(&e);
    }
    choir_close(&c);
}

static void member_process(const struct crowd *w, unsigned process, int told)
{
    char name[32];

    for (unsigned i = process; i < w->plan.agents; i += PROCESSES) {
        struct choir *c;

        snprintf(name, sizeof name, "crowd-%u", i);
        c = broker_client(name);
        watch_some(c, i, part(w, w->plan.watches, i));
        work_on_some(c, part(w, w->plan.leases, i));
    }
    if (write(told, "r", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

struct crowd *crowd_new(const struct crowd_plan *plan)
{
    struct crowd *w = calloc(1, sizeof *w);
    char ready;
    int told[2];

    if (!w || pipe(told))
        load_die("a pipe: %s", strerror(errno));
    w->plan = *plan;
    submit_some(plan->leases);
    for (unsigned i = 0; i < PROCESSES; i++) {
        w->pids[i] = process_fork();
        if (w->pids[i])
            continue;
        close(told[0]);
        member_process(w, i, told[1]);
    }
    close(told[1]);
    for (unsigned i = 0; i < PROCESSES; i++)
        if (read(told[0], &ready, 1) != 1)
            load_die("an agent of the crowd has ended");
    close(told[0]);
    return w;
}

void crowd_free(struct crowd **self_p)
{
    struct crowd *w = *self_p;

    for (unsigned i = 0; w && i < PROCESSES; i++) {
        kill(w->pids[i], SIGKILL);
        waitpid(w->pids[i], NULL, 0);
    }
    free(w);
    *self_p = NULL;
}
