/* Agents that are connected and do nothing but be there, in a few processes
 * that end with this one. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/bench/choir/member.h"
#include "tests/bench/choir/works.h"
#include "tests/bench/load_process.h"

#define QUEUE "crowd"
enum { PROCESSES = 8, DAY_MS = 86400000, TICK_MS = 100 };
enum { SOCKETS_MAX = 20000, PING_US = 20 * 1000000, AHEAD = 10000 };

struct crowd {
    pid_t pids[PROCESSES];
    const struct broker *broker;
    const struct meeting *meeting;
    struct crowd_plan plan;
};

/* Of `all`, the part of agent i. */
static unsigned part(const struct crowd *w, unsigned all, unsigned i)
{
    uint64_t n = w->plan.agents;

    return (unsigned)(all * (i + UINT64_C(1)) / n - (uint64_t)all * i / n);
}

static void outcome_take(struct choir *c)
{
    struct choir_event *e = event_next(c);

    choir_event_free(&e);
}

/* Their leases need no renewal while this lasts. */
static void submit_some(unsigned tasks)
{
    struct choir *c = broker_client("crowd-submit");
    unsigned taken = 0;
    uint64_t id;

    for (unsigned i = 0; i < tasks; i++) {
        struct choir_request *r = choir_request_new(c, "submit");

        choir_request_text(r, "queue", QUEUE);
        choir_request_uint(r, "lease_ms", DAY_MS);
        choir_request_slot(r, "task", 4, NULL);
        must(choir_send(c, &r, -1, &id), "submit");
        for (; i - taken > AHEAD; taken++)
            outcome_take(c);
    }
    for (; taken < tasks; taken++)
        outcome_take(c);
    choir_close(&c);
}

/* Each in its turn, all of them in as long as the SDK would wait. */
static void stay(struct member *all, unsigned n)
{
    for (unsigned i = 0;; i = (i + 1) % n) {
        member_ping(&all[i]);
        process_pause(PING_US / n);
    }
}

static void member_process(const struct crowd *w, unsigned process, int told)
{
    struct member *all = calloc(w->plan.agents / PROCESSES + 1, sizeof *all);
    void *context = zmq_ctx_new();
    unsigned n = 0;

    if (!all || !context || zmq_ctx_set(context, ZMQ_MAX_SOCKETS, SOCKETS_MAX))
        load_die("the crowd: %s", zmq_strerror(errno));
    for (unsigned i = process; i < w->plan.agents; i += PROCESSES, n++) {
        member_open(&all[n], context, w->broker->url, w->meeting, i);
        member_watch(&all[n], i, part(w, w->plan.watches, i));
        member_work(&all[n], QUEUE, part(w, w->plan.leases, i));
    }
    if (write(told, "r", 1) != 1)
        _exit(1);
    if (n)
        stay(all, n);
    for (;;)
        pause();
}

/* One of them that ends has said why. */
static void wait_ready(struct crowd *w, int told)
{
    struct pollfd p = {.fd = told, .events = POLLIN};
    unsigned ready = 0;
    char byte;

    while (ready < PROCESSES) {
        if (poll(&p, 1, TICK_MS) == 1 && read(told, &byte, 1) == 1)
            ready++;
        for (unsigned i = 0; i < PROCESSES; i++) {
            if (waitpid(w->pids[i], NULL, WNOHANG) == w->pids[i])
                load_die("an agent of the crowd has ended");
        }
    }
}

struct crowd *crowd_new(const struct broker *b, const struct record *r,
                        const struct crowd_plan *plan)
{
    struct crowd *w = calloc(1, sizeof *w);
    int told[2];

    if (!w || pipe(told))
        load_die("a pipe: %s", strerror(errno));
    w->broker = b;
    w->meeting = record_meeting(r);
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
    wait_ready(w, told[0]);
    close(told[0]);
    return w;
}

void crowd_signal(const struct crowd *w, int signal)
{
    for (unsigned i = 0; i < PROCESSES; i++)
        kill(w->pids[i], signal);
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
