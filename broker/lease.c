/* Leases from their claim to their end: heartbeats, operations and time. */
#include "lease.h"

#include <stdlib.h>
#include <utlist.h>

#include "lease_private.h"
#include "proto/refusal.h"

/* --- Leases -------------------------------------------------------------- */

struct lease *lease_find(const struct leases *l, uint64_t task)
{
    struct lease *lease;

    HASH_FIND(hh, l->leases, &task, sizeof task, lease);
    return lease;
}

static int lease_extend(struct leases *l, struct lease *lease)
{
    if (lease->rests)
        return 0;
    return timer_set(&l->ends, &lease->end,
                     env_steady_us(l->env) + lease->lease_ms * 1000);
}

static void lease_give(struct leases *l, struct lease *lease,
                       struct presence *p)
{
    if (lease->p == p)
        return;
    delivery_unstall(l, lease);
    lease->input_told = 0;
    if (lease->p) {
        DL_DELETE2(lease->p->leases, lease, p_prev, p_next);
        if (lease->undelivered)
            untold_less(l, lease->p);
    }
    lease->p = p;
    if (p) {
        DL_APPEND2(p->leases, lease, p_prev, p_next);
        p->untold += lease->undelivered;
    }
}

struct lease *lease_new(struct leases *l, const struct task *t)
{
    struct lease *lease = calloc(1, sizeof *lease);

    if (!lease)
        return NULL;
    lease->task = t->id;
    lease->token = t->token;
    lease->queue = t->queue;
    lease->agent = t->holder;
    lease->lease_ms = t->lease_ms;
    lease->rests = t->state == TASK_INPUT_REQUIRED;
    if (t->links && t->links->input > t->token)
        lease->input = t->links->input;
    if (lease_extend(l, lease)) {
        free(lease);
        return NULL;
    }
    lease_give(l, lease, presence_find(l->router, t->session));
    HASH_ADD(hh, l->leases, task, sizeof lease->task, lease);
    l->counters.live++;
    return lease;
}

static void lease_free(struct leases *l, struct lease *lease)
{
    delivery_clear(l, lease);
    lease_reads_free(l, lease);
    lease_give(l, lease, NULL);
    timer_clear(&l->ends, &lease->end);
    HASH_DEL(l->leases, lease);
    l->counters.live--;
    free(lease);
}

static void say_lost(struct leases *l, const struct lease *lease,
                     const char *reason)
{
    struct msg m;

    if (!lease->p)
        return;
    msg_init(&m, MSG_LEASE_LOST);
    msg_set_u(&m, FIELD_TASK, lease->task);
    msg_set_u(&m, FIELD_TOKEN, lease->token);
    msg_set_text(&m, FIELD_REASON, reason);
    presence_say(l->router, lease->p, &m);
}

/* Its holder's agent may have been at its limit of leases. */
static void lease_over(struct leases *l, struct lease *lease)
{
    offers_wake_full(l, lease->agent);
    lease_free(l, lease);
}

void lease_take(struct leases *l, struct lease *lease, const char *reason)
{
    say_lost(l, lease, reason);
    lease_over(l, lease);
}

void leases_orphan(struct leases *l, struct presence *p)
{
    leases_drop(l, p);
    while (p->leases)
        lease_give(l, p->leases, NULL);
}

static const char *lost_reason(const struct state *s, uint64_t task)
{
    const struct task *t = task_by_id(s->tasks, task);

    if (!t)
        return "the task is no longer known";
    switch (t->state) {
    case TASK_CANCELLED: return "cancelled";
    case TASK_QUEUED: return "the lease expired";
    case TASK_WORKING: return "another attempt has it";
    case TASK_INPUT_REQUIRED: return "given back while it waits for input";
    case TASK_DEAD: return "the lease expired and no attempt is left";
    default: return "the task is final";
    }
}

void lease_heartbeat(struct leases *l, struct presence *p,
                     const struct msg *heartbeat, struct buf *lost,
                     uint64_t *lost_count)
{
    struct list items = msg_list(heartbeat, FIELD_ITEMS);
    struct msg item;

    while (list_next(&items, &item)) {
        uint64_t task = msg_u(&item, FIELD_TASK);
        uint64_t token = msg_u(&item, FIELD_TOKEN);
        struct lease *lease = lease_find(l, task);
        struct msg out;

        if (lease && lease->token == token && lease->agent == p->agent) {
            lease_give(l, lease, p); /* it may have come back as another */
            if (lease->input != lease->input_told)
                delivery_due_input(l, lease);
            lease_moved_due(l, lease);
            if (lease_extend(l, lease) == 0)
                continue;
        }
        msg_init(&out, MSG_ITEM);
        msg_set_u(&out, FIELD_TASK, task);
        msg_set_u(&out, FIELD_TOKEN, token);
        msg_set_text(&out, FIELD_REASON, lost_reason(leases_state(l), task));
        msg_set_u(&out, FIELD_OUTCOME, CHOIR_FENCED);
        msg_encode(&out, lost);
        ++*lost_count;
    }
}

/* --- Following the record ------------------------------------------------ */

static void touch_queue_of(struct leases *l, uint64_t task)
{
    const struct task *t = task_by_id(leases_state(l)->tasks, task);

    if (t)
        queue_touch(l, t->queue);
}

/* An administrator may have opened it again. */
static void touch_queue_named(struct leases *l, const struct msg *op)
{
    const struct queue *q = queue_find(
        leases_state(l)->tasks, msg_b(op, FIELD_SPACE), msg_b(op, FIELD_QUEUE));

    if (q)
        queue_touch(l, q);
}

/* A question stops the clock of its lease, whoever takes however long to
 * answer it; the answer starts it anew. lease: NULL if nobody has the task. */
static int waits_for_input(struct leases *l, struct lease *lease,
                           const struct msg *op, uint64_t index)
{
    if (!lease) {
        touch_queue_of(l, msg_u(op, FIELD_TASK));
        return 0;
    }
    lease->rests = op->verb == MSG_ASK_INPUT;
    if (lease->rests) {
        timer_clear(&l->ends, &lease->end);
        return 0;
    }
    lease->input = index;
    delivery_due_input(l, lease);
    return lease_extend(l, lease);
}

int lease_applied(struct leases *l, const struct msg *op, uint64_t index)
{
    uint64_t task = msg_u(op, FIELD_TASK);
    struct lease *lease;

    switch (op->verb) {
    case MSG_SUBMIT:
    case MSG_REQUEUE: touch_queue_of(l, index); return 0;
    case MSG_CANCEL:
    case MSG_COMPLETE:
    case MSG_FAIL:
    case MSG_HEED:
    case MSG_NAK:
    case MSG_ASK_INPUT:
    case MSG_INPUT: break;
    case MSG_QUEUE_SET: touch_queue_named(l, op); return 0;
    default: return 0;
    }
    lease = lease_find(l, task);
    if (op->verb == MSG_ASK_INPUT || op->verb == MSG_INPUT)
        return waits_for_input(l, lease, op, index);
    if (!lease)
        return 0;
    if (op->verb == MSG_HEED && msg_u(op, FIELD_KIND) != HEED_ABANDON)
        return lease_heeded(l, lease, op);
    if (op->verb == MSG_CANCEL)
        say_lost(l, lease, "cancelled");
    lease_over(l, lease);
    if (op->verb == MSG_NAK || op->verb == MSG_HEED)
        touch_queue_of(l, task);
    return 0;
}

int lease_stale(struct leases *l, const struct msg *op,
                const struct msg *effect)
{
    struct lease *lease = lease_find(l, msg_u(op, FIELD_TASK));

    if (!lease || !msg_has(effect, FIELD_STATE))
        return 0;
    lease_over(l, lease);
    touch_queue_of(l, msg_u(op, FIELD_TASK));
    return 0;
}

/* --- Ending -------------------------------------------------------------- */

static int expire(struct leases *l, struct lease *lease)
{
    uint64_t task = lease->task, index;
    struct msg m;
    int r;

    msg_init(&m, MSG_EXPIRE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, lease->token);
    msg_set_text(&m, FIELD_REASON, "the lease expired");
    r = core_say(l->core, &m, &index);
    if (r < 0)
        return r;
    if (r == CHOIR_READ_ONLY) /* it could not have completed either */
        return lease_extend(l, lease);
    if (r == 0) {
        l->counters.expired++;
        say_lost(l, lease, "the lease expired");
    }
    lease_over(l, lease);
    touch_queue_of(l, task);
    await_touch(l->awaits, task);
    return 0;
}

int leases_match(struct leases *l, bool draining)
{
    uint64_t now = env_steady_us(l->env);
    struct timer *t;
    int r = 0;

    for (unsigned n = LEASE_ENDS_MAX;
         !r && n && (t = timers_take(&l->ends, now)); n--)
        r = expire(l, TIMER_OWNER(t, struct lease, end));
    if (!r)
        r = leases_settle(l);
    lines_wake(l, now);
    return r || draining ? r : lines_match(l);
}

uint64_t leases_next(const struct leases *l)
{
    uint64_t ends = timers_next(&l->ends), wakes = timers_next(&l->wakes);

    if (l->touched || l->undelivered || l->moved)
        return 0;
    if (wakes < ends)
        ends = wakes;
    return l->settle_at < ends ? l->settle_at : ends;
}

/* --- Beginning and end --------------------------------------------------- */

struct leases *leases_new(struct core *core, struct env *env,
                          const struct config *config, struct router *router,
                          struct awaits *awaits)
{
    struct leases *l = calloc(1, sizeof *l);
    const struct task *t;

    if (!l)
        return NULL;
    l->core = core;
    l->env = env;
    l->config = config;
    l->router = router;
    l->awaits = awaits;
    l->settle_at = tasks_unsettled(core_state(core)->tasks) ||
                           tasks_first_deadline(core_state(core)->tasks)
                       ? 0
                       : UINT64_MAX;
    l->reads = readsets_new(lease_may_read, l);
    l->fresh = fresh_new();
    if (!l->reads || !l->fresh) {
        leases_destroy(&l);
        return NULL;
    }
    core_observe(core, leases_observed, l);
    for (t = tasks_next(core_state(core)->tasks, 0); t;
         t = tasks_next(core_state(core)->tasks, t->id)) {
        if (!t->token || lease_new(l, t))
            continue;
        leases_destroy(&l);
        return NULL;
    }
    return l;
}

void leases_destroy(struct leases **self_p)
{
    struct leases *l = *self_p;
    struct lease *lease, *next_lease;

    if (!l)
        return;
    HASH_ITER (hh, l->leases, lease, next_lease)
        lease_free(l, lease);
    core_observe(l->core, NULL, NULL);
    readsets_destroy(&l->reads);
    fresh_destroy(&l->fresh);
    buf_free(&l->moves);
    free(l->full);
    buf_free(&l->payload);
    buf_free(&l->type);
    buf_free(&l->progress);
    buf_free(&l->input);
    timers_free(&l->ends);
    timers_free(&l->wakes);
    free(l);
    *self_p = NULL;
}

const struct lease *lease_next(const struct presence *p,
                               const struct lease *after)
{
    return after ? after->p_next : p->leases;
}

uint64_t lease_task(const struct lease *lease)
{
    return lease->task;
}

uint64_t lease_stale_reads(const struct lease *lease)
{
    uint64_t count = 0;

    if (lease->reads)
        readset_pending(lease->reads, &count);
    return count;
}

const struct lease_counters *lease_counters(const struct leases *l)
{
    return &l->counters;
}
