/* choir_work: as many tasks asked for as callers wait, and no more. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "error.h"
#include "proto/refusal.h"
#include "tasks.h"
#include "using.h"

static struct worker *worker_find(struct choir *c, const char *queue)
{
    struct worker *w;

    DL_FOREACH (c->workers, w)
        if (strcmp(w->queue, queue) == 0)
            return w;
    return NULL;
}

static int work_send(struct choir *c, const char *queue, uint64_t *id)
{
    struct choir_request *r = choir_request_new(c, "work");
    int code;

    if (!r)
        return choir_error_code();
    choir_request_text(r, "queue", queue);
    choir_request_uint(r, "credit", 0);
    names_add(r, (const char *const *)c->capabilities, c->capability_count);
    code = handle_send(c, &r, c->timeout_ms, true, id);
    choir_request_free(&r);
    return code;
}

/* The queue's worker, made or made anew if it has ended. */
static int worker_get(struct choir *c, const char *queue, struct worker **out)
{
    struct worker *w;
    uint64_t id;
    bool stands;
    int r;

    pthread_mutex_lock(&c->lock);
    w = worker_find(c, queue);
    stands = w && handle_entry(c, w->request);
    pthread_mutex_unlock(&c->lock);
    *out = w;
    if (stands)
        return 0;
    r = work_send(c, queue, &id);
    if (r)
        return r;
    pthread_mutex_lock(&c->lock);
    if (!w) {
        w = calloc(1, sizeof *w);
        if (w) {
            snprintf(w->queue, sizeof w->queue, "%s", queue);
            DL_APPEND(c->workers, w);
        }
    }
    if (w)
        w->request = id;
    pthread_mutex_unlock(&c->lock);
    *out = w;
    return w ? 0 : error_set(-ENOMEM, 0, NULL);
}

static unsigned tasks_in(const struct entry *e)
{
    const struct choir_event *event;
    unsigned n = 0;

    DL_FOREACH (e->events, event)
        n += event->kind == MSG_TASK;
    return n;
}

/* Let as many come as are waited for. True: the engine is to be told. */
static bool credit_fit(struct choir *c, const struct worker *w)
{
    struct entry *e = handle_entry(c, w->request);
    bool fits = true;
    uint64_t there;

    if (!e)
        return false;
    if (e->outstanding > w->waiting) {
        intake_credit(&c->intake, e->id, -1, CREDIT_WAITS);
        e->outstanding = 0;
        fits = false;
    }
    there = e->outstanding + tasks_in(e);
    if (there >= w->waiting)
        return !fits;
    intake_credit(&c->intake, e->id, (int64_t)(w->waiting - there),
                  CREDIT_WAITS);
    e->outstanding += w->waiting - there;
    return true;
}

/* The next task, past replies and lost leases. 0: none yet. */
static int task_take(struct choir *c, struct worker *w,
                     struct choir_event **task)
{
    struct entry *e;

    while ((e = handle_entry(c, w->request)) && e->events) {
        struct choir_event *event = handle_take(c, e);
        int code = event->code;

        if (event->kind == MSG_TASK) {
            *task = event;
            return 0;
        }
        if (code)
            error_line(code, 0, choir_event_explain(event));
        choir_event_free(&event);
        if (code)
            return code;
    }
    return e ? 0
             : error_set(CHOIR_CLOSED, 0, "queue=%s: no more tasks come",
                         w->queue);
}

static int task_wait(struct choir *c, struct worker *w, int timeout_ms,
                     struct choir_event **task)
{
    struct sleep s;
    bool is_untold;
    int r;

    pthread_mutex_lock(&c->lock);
    s = handle_sleep_begin(c, timeout_ms);
    w->waiting++;
    is_untold = credit_fit(c, w);
    while ((r = task_take(c, w, task)) == 0 && !*task) {
        is_untold = false; /* whoever sleeps says it, or has it said */
        r = handle_sleep(c, &s);
        if (r)
            break;
    }
    w->waiting--;
    if (r)
        is_untold |= credit_fit(c, w);
    if (is_untold)
        intake_wake(&c->intake);
    pthread_mutex_unlock(&c->lock);
    if (!r)
        using_begin(c, choir_event_uint(*task, "task"),
                    choir_event_uint(*task, "token"));
    return r;
}

int choir_work(struct choir *c, const char *queue, int timeout_ms,
               struct choir_event **task)
{
    struct worker *w;
    int r = handle_check(c);

    *task = NULL;
    if (r)
        return r;
    pthread_mutex_lock(&c->work_lock);
    r = worker_get(c, queue, &w);
    pthread_mutex_unlock(&c->work_lock);
    return r ? r : task_wait(c, w, timeout_ms, task);
}
