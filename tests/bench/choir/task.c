/* task [depth=256] [value=256]
 *
 * Task cycles: submit, claim, complete, each durable before it counts.
 * depth=1: one process does one after the other, and a cycle is timed. More:
 * one process submits, another works. What they may have under way is what
 * peers/nats.c lets its own have: the submitter half a backlog unanswered, so
 * that the queue stays filled, but bounded, because one side or the other is to
 * be measured and not a queue; the worker twice `depth` tasks that it asked for
 * or was given, and `depth` more are asked for once so many were finished with,
 * whether or not that is confirmed. A cycle counts when it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/choir/works.h"

#define QUEUE "bench"
enum { BACKLOG = 8192, PULLS = 2, WAIT_MS = 20000, POLL_MS = 50 };
enum { PAUSE_US = 1000 };
enum { TAKEN }; /* a shared word */

struct tasks {
    unsigned depth, value;
};

static void one_at_a_time(struct load_client *l, int number, void *argument)
{
    const struct tasks *w = argument;
    struct choir *c = broker_client("bench-task");
    char *payload = calloc(1, w->value);

    (void)number;
    load_client_ready(l);
    while (load_client_runs(l)) {
        uint64_t start = load_now_us(), id;
        struct choir_event *task;

        must(choir_submit(c, QUEUE, payload, w->value, &id), "submit");
        must(choir_work(c, QUEUE, WAIT_MS, &task), "work");
        must(choir_complete(c, task, "ok", 2), "complete");
        choir_event_free(&task);
        load_client_done(l, start);
    }
    choir_close(&c);
}

static void submit_send(struct choir *c, const char *payload, size_t bytes)
{
    struct choir_request *r = choir_request_new(c, "submit");
    uint64_t id;

    choir_request_text(r, "queue", QUEUE);
    choir_request_slot(r, payload, bytes, NULL);
    must(choir_send(c, &r, -1, &id), "submit");
}

static void submitter(struct load_client *l, int number, void *argument)
{
    const struct tasks *w = argument;
    struct choir *c = broker_client("bench-submit");
    char *payload = calloc(1, w->value);
    uint64_t sent = 0, answered = 0;
    struct choir_event *e;

    (void)number;
    load_client_ready(l);
    while (load_client_runs(l)) {
        uint64_t taken = *load_client_word(l, TAKEN);

        for (; sent - answered < BACKLOG / 2 && sent - taken < BACKLOG; sent++)
            submit_send(c, payload, w->value);
        if (sent == answered) {
            usleep(PAUSE_US);
            continue;
        }
        e = event_next(c);
        choir_event_free(&e);
        answered++;
    }
    choir_close(&c);
}

static void complete_send(struct choir *c, const struct choir_event *task)
{
    struct choir_request *r = choir_request_new(c, "complete");
    uint64_t id;

    choir_request_uint(r, "task", choir_event_uint(task, "task"));
    choir_request_uint(r, "token", choir_event_uint(task, "token"));
    choir_request_slot(r, "ok", 2, NULL);
    must(choir_send(c, &r, -1, &id), "complete");
}

static void worker(struct load_client *l, int number, void *argument)
{
    const struct tasks *w = argument;
    struct choir *c = broker_client("bench-work");
    struct choir_request *r = choir_request_new(c, "work");
    struct choir_event *e;
    unsigned sent = 0;
    uint64_t work;

    (void)number;
    choir_request_text(r, "queue", QUEUE);
    choir_request_uint(r, "credit", PULLS * w->depth);
    must(choir_send(c, &r, -1, &work), "work");
    load_client_ready(l);
    while (load_client_runs(l)) {
        if (choir_next(c, POLL_MS, &e))
            continue;
        if (choir_event_code(e))
            load_die("%s: %s", choir_event_verb(e), choir_event_explain(e));
        if (strcmp(choir_event_name(e), "task") == 0) {
            complete_send(c, e);
            ++*load_client_word(l, TAKEN);
            if (++sent % w->depth == 0)
                must(choir_credit(c, work, w->depth), "credit");
        } else if (strcmp(choir_event_verb(e), "complete") == 0) {
            load_client_count(l, 1);
        }
        choir_event_free(&e);
    }
    choir_close(&c);
}

void work_task(void)
{
    struct tasks w = {
        .depth = load_number("depth", 256),
        .value = load_number("value", 256),
    };
    struct load_options options = load_timing();
    struct load *l;
    char what[80];

    broker_prepare();
    load_arguments_end();
    if (!w.depth)
        load_die("depth must not be 0");
    broker_start();
    l = load_new(&options);
    if (w.depth == 1) {
        load_spawn(l, one_at_a_time, &w);
    } else {
        load_spawn(l, submitter, &w);
        load_spawn(l, worker, &w);
    }
    snprintf(what, sizeof what, "\"depth\":%u,\"value\":%u", w.depth, w.value);
    broker_run(l, true, what);
    load_free(&l);
}
