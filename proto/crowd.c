/* They are counted for a while before anything changes, so that the threads are
 * looked for seldom. */
#include "proto/crowd.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "proto/threads.h"

enum { LOOK_MS = 50, MANY = 32 /* in such a time, not one at a time */ };

struct change {
    int from, to;
};

static void policy_change(void *change, pid_t thread)
{
    const struct sched_param none = {0};
    const struct change *c = change;

    if (sched_getscheduler(thread) == c->from)
        sched_setscheduler(thread, c->to, &none);
}

static void policies_change(const struct crowd *c, int from, int to)
{
    struct change change = {from, to};

    threads_each(getpid(), c->threads, policy_change, &change);
    if (c->caller_too)
        policy_change(&change, 0);
}

/* Whoever schedules the program in another way has his reasons. */
static void gather(struct crowd *c)
{
    c->is_there = true;
    c->is_changed = sched_getscheduler(0) == SCHED_OTHER;
    if (c->is_changed)
        policies_change(c, SCHED_OTHER, SCHED_BATCH);
}

static void scatter(struct crowd *c)
{
    c->is_there = false;
    if (c->is_changed)
        policies_change(c, SCHED_BATCH, SCHED_OTHER);
}

void crowd_note(struct crowd *c, unsigned things, int64_t now_ms)
{
    int64_t took = now_ms - c->since_ms;
    int saved = errno;
    bool many;

    if (things > 1)
        c->together += things;
    if (took < LOOK_MS)
        return;
    many = c->together >= MANY && took < 2 * LOOK_MS;
    c->since_ms = now_ms;
    c->together = 0;
    if (many && !c->is_there)
        gather(c);
    if (!many && c->is_there)
        scatter(c);
    errno = saved;
}

int crowd_sleep_ms(const struct crowd *c)
{
    return c->is_there ? 2 * LOOK_MS : -1;
}
