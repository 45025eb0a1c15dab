/* Ends of tasks that are the broker's to say: a deadline that has passed, and
 * what follows from tasks that have ended. By entries, a bounded number a
 * turn: a parent of a hundred thousand children is cancelled in one, and they
 * follow in a hundred. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "decide.h"
#include "lease_private.h"
#include "proto/refusal.h"

enum { READ_ONLY_RETRY_US = 1000000, REASON_BYTES = 96 };

/* 0, CHOIR_READ_ONLY or negative errno. */
static int give_up(struct leases *l, uint64_t id, unsigned kind,
                   const char *reason)
{
    struct lease *lease = lease_find(l, id);
    uint64_t index;
    struct msg m;
    int r;

    msg_init(&m, MSG_GIVE_UP);
    msg_set_u(&m, FIELD_TASK, id);
    msg_set_u(&m, FIELD_KIND, kind);
    msg_set_text(&m, FIELD_REASON, reason);
    r = core_say(l->core, &m, &index);
    if (r)
        return r == CHOIR_READ_ONLY || r < 0 ? r : -EUCLEAN;
    l->counters.given_up++;
    if (lease)
        lease_take(l, lease, reason);
    await_touch(l->awaits, id);
    return 0;
}

static int settled(struct leases *l, enum settle what,
                   const struct settled *step)
{
    char reason[REASON_BYTES];

    if (what == SETTLE_FREED) {
        queue_touch(l, step->task->queue);
        return 0;
    }
    if (what == SETTLE_NEED)
        snprintf(reason, sizeof reason,
                 "it needs task %" PRIu64 ", which is %s", step->cause->id,
                 task_state_name(step->cause->state));
    else
        snprintf(reason, sizeof reason,
                 "its parent, task %" PRIu64 ", was cancelled",
                 step->cause->id);
    return give_up(l, step->task->id,
                   what == SETTLE_NEED ? GIVE_UP_NEED : GIVE_UP_PARENT, reason);
}

static bool is_overdue(const struct leases *l, const struct task *t)
{
    return t && t->links->deadline <= core_time(l->core);
}

/* The wall decides what is over, the steady clock when to look again. */
static uint64_t settle_next(const struct leases *l, bool read_only)
{
    const struct task *t = tasks_first_deadline(leases_state(l)->tasks);
    uint64_t now = env_steady_us(l->env);

    if (read_only)
        return now + READ_ONLY_RETRY_US;
    if (tasks_unsettled(leases_state(l)->tasks) || is_overdue(l, t))
        return 0;
    return t ? now + (t->links->deadline - core_time(l->core)) : UINT64_MAX;
}

int leases_settle(struct leases *l)
{
    struct tasks *tasks = leases_state(l)->tasks;
    unsigned left = LEASE_SETTLED_MAX;
    const struct task *t;
    struct settled step;
    enum settle what;
    int r = 0;

    while (!r && left && is_overdue(l, t = tasks_first_deadline(tasks))) {
        r = give_up(l, t->id, GIVE_UP_DEADLINE, "the deadline has passed");
        left--;
    }
    for (; !r && left && (what = tasks_settle(tasks, &step)); left--)
        r = settled(l, what, &step);
    if (r < 0)
        return r;
    l->settle_at = settle_next(l, r == CHOIR_READ_ONLY);
    return 0;
}
