/* Agents that are connected and do nothing else: a handle of the SDK each, a
 * few processes for all of them, which end with this one. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/choir/works.h"
#include "tests/bench/load_process.h"

enum { PROCESSES = 8, WAIT_MS = 60000 };

struct crowd {
    pid_t pids[PROCESSES];
    unsigned agents, watches; /* watches: of each agent */
    bool works;
};

/* A handle takes a dozen descriptors. */
static void raise_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r))
        return;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

/* Prefixes under which nobody writes. */
static void watch_some(struct choir *c, unsigned agent, unsigned watches)
{
    char prefix[48];
    uint64_t id;

    for (unsigned i = 0; i < watches; i++) {
        snprintf(prefix, sizeof prefix, "idle/%u/%u/", agent, i);
        must(choir_watch(c, prefix, 0, &id), "watch");
    }
}

/* Until the task is there: then a lease is held. */
static void work_on_one(struct choir *c)
{
    struct choir_event *task;

    must(choir_work(c, CROWD_QUEUE, WAIT_MS, &task), "work");
    /* kept for good: freeing the event does not end the lease */
    choir_event_free(&task);
}

static void member_process(const struct crowd *w, unsigned process, int told)
{
    char name[32];

    raise_limit();
    for (unsigned i = process; i < w->agents; i += PROCESSES) {
        struct choir *c;

        snprintf(name, sizeof name, "crowd-%u", i);
        c = broker_client(name);
        watch_some(c, i, w->watches);
        if (w->works)
            work_on_one(c);
    }
    if (write(told, "r", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

struct crowd *crowd_new(unsigned agents, unsigned watches, bool works)
{
    struct crowd *w = calloc(1, sizeof *w);
    char ready;
    int told[2];

    if (!w || pipe(told))
        load_die("a pipe: %s", strerror(errno));
    w->agents = agents;
    w->watches = watches;
    w->works = works;
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
