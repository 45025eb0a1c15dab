/* The life of a task: who may bring about which step, and what it leads to. */
#include "decide_private.h"
#include "proto/refusal.h"

static const uint64_t backoff_max_ms = 3600ULL * 1000;

bool task_visible(const struct agent *a, const struct task *t)
{
    struct bytes space = bytes_text(t->queue->space), none = {0};
    struct bytes queue = bytes_text(t->queue->name);

    if (a->revoked)
        return false;
    return a->number == t->submitter || a->number == t->holder ||
           agent_may(a, RIGHT_WORK, space, none, queue) ||
           agent_may(a, RIGHT_ADMIN, space, none, queue);
}

static int queue_has_room(struct decision *d, struct bytes space,
                          struct bytes name)
{
    const struct rules *rules = &d->s->rules;
    const struct queue *q = queue_find(d->s->tasks, space, name);
    uint64_t limit = rules->queue_tasks_max;

    if (q && q->limit && q->limit < limit)
        limit = q->limit;
    if (q && q->kind == QUEUE_DRAINING)
        return CHOIR_DRAINING;
    if (q && q->open >= limit)
        return over_limit(d, "queue_tasks_max", limit, q->open);
    if (d->author->open_tasks >= rules->tasks_per_agent_max)
        return over_limit(d, "tasks_per_agent_max", rules->tasks_per_agent_max,
                          d->author->open_tasks);
    return 0;
}

int decide_submit(struct decision *d)
{
    const struct rules *rules = &d->s->rules;
    const struct msg *op = d->op;
    struct bytes space = msg_b(op, FIELD_SPACE), queue = msg_b(op, FIELD_QUEUE);
    int r = names_fit(space, queue);

    if (r)
        return r;
    if (!author_may(d, RIGHT_SUBMIT, space, (struct bytes){0}, queue))
        return CHOIR_DENIED;
    r = slots_fit(d, 1, 1);
    if (r)
        return r;
    if (msg_has(op, FIELD_LEASE_MS) && msg_u(op, FIELD_LEASE_MS) == 0)
        return CHOIR_INVALID;
    if (msg_has(op, FIELD_MAX_ATTEMPTS) && msg_u(op, FIELD_MAX_ATTEMPTS) == 0)
        return CHOIR_INVALID;
    if (msg_u(op, FIELD_STALE) > STALE_REQUEUE ||
        (msg_has(op, FIELD_STALE) && msg_u(op, FIELD_STALE) == 0))
        return CHOIR_INVALID;
    if (msg_u(op, FIELD_LEASE_MS) > rules->lease_ms_max)
        return over_limit(d, "lease_ms_max", rules->lease_ms_max,
                          msg_u(op, FIELD_LEASE_MS));
    r = terms_fit(d);
    if (!r)
        r = queue_has_room(d, space, queue);
    if (r)
        return r;
    if (!msg_has(op, FIELD_MAX_ATTEMPTS))
        msg_set_u(d->effect, FIELD_MAX_ATTEMPTS, rules->max_attempts_default);
    if (!msg_has(op, FIELD_LEASE_MS))
        msg_set_u(d->effect, FIELD_LEASE_MS, rules->lease_ms_default);
    if (!msg_has(op, FIELD_BACKOFF_MS))
        msg_set_u(d->effect, FIELD_BACKOFF_MS, rules->backoff_ms_default);
    return CHOIR_OK;
}

/* Whether it is known to be so already or not. */
static bool needs_are_met(const struct task *t)
{
    for (uint32_t i = 0; t->links && i < t->links->need_count; i++) {
        const struct task_links *on = t->links->needs[i].on;

        if (on && on->task->state != TASK_COMPLETED)
            return false;
    }
    return true;
}

int decide_claim(struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));
    struct hash id = msg_hash(d->op, FIELD_AGENT);
    const struct agent *a = agent_by_id(d->s->agents, &id);
    uint64_t most = d->s->rules.leases_per_agent_max;

    if (!t || !a)
        return CHOIR_NOT_FOUND;
    if (t->state != TASK_QUEUED || t->queue->kind == QUEUE_PAUSED ||
        msg_u(d->op, FIELD_ATTEMPT) != t->attempt + 1 || !needs_are_met(t))
        return CHOIR_INVALID;
    if (!agent_may(a, RIGHT_WORK, bytes_text(t->queue->space),
                   (struct bytes){0}, bytes_text(t->queue->name)))
        return CHOIR_DENIED;
    if (a->leases >= most)
        return over_limit(d, "leases_per_agent_max", most, a->leases);
    return CHOIR_OK;
}

int decide_progress(struct decision *d)
{
    return held_task(d) ? slots_fit(d, 1, 1) : CHOIR_FENCED;
}

int results_combine(struct decision *d, struct bytes space)
{
    int r = writes_combine(d, space);

    if (!r)
        sends_note(d, space);
    return r;
}

int decide_complete(struct decision *d)
{
    struct task *t = held_task(d);
    struct bytes space;
    int r;

    if (!t)
        return CHOIR_FENCED;
    space = bytes_text(t->queue->space);
    r = slots_fit(d, 1, LIMIT_SLOTS);
    if (!r)
        r = writes_fit(d, space);
    if (!r)
        r = compares_fit(d, space);
    if (!r)
        r = sends_fit(d, space);
    if (r)
        return r;
    return msg_has(d->op, FIELD_READS) || d->f->observed_count
               ? decide_reads(d, t)
               : results_combine(d, space);
}

int decide_fail(struct decision *d)
{
    return held_task(d) ? CHOIR_OK : CHOIR_FENCED;
}

/* The lease ends and the task is tried again, later each time, or is dead. */
static int retry(struct decision *d, const struct task *t)
{
    uint64_t wait_ms = t->backoff_ms;

    if (t->attempt >= t->max_attempts) {
        msg_set_u(d->effect, FIELD_STATE, TASK_DEAD);
        return CHOIR_OK;
    }
    for (uint32_t i = 1; i < t->attempt && wait_ms < backoff_max_ms; i++)
        wait_ms *= 2;
    if (wait_ms > backoff_max_ms)
        wait_ms = backoff_max_ms;
    if (msg_has(d->op, FIELD_BACKOFF_MS))
        wait_ms = msg_u(d->op, FIELD_BACKOFF_MS);
    if (wait_ms > d->s->rules.lease_ms_max)
        wait_ms = d->s->rules.lease_ms_max;
    msg_set_u(d->effect, FIELD_STATE, TASK_QUEUED);
    msg_set_u(d->effect, FIELD_NOT_BEFORE, d->f->time + wait_ms * 1000);
    return CHOIR_OK;
}

/* While it waits for input, nothing was tried in vain: it waits on, without a
 * holder. */
int give_back(struct decision *d, const struct task *t)
{
    if (t->state != TASK_INPUT_REQUIRED)
        return retry(d, t);
    msg_set_u(d->effect, FIELD_STATE, TASK_INPUT_REQUIRED);
    return CHOIR_OK;
}

int decide_nak(struct decision *d)
{
    struct task *t = held_task(d);

    if (!t)
        return CHOIR_FENCED;
    return msg_u(d->op, FIELD_REVISION) < d->f->index ? give_back(d, t)
                                                      : CHOIR_INVALID;
}

int decide_expire(struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));

    if (!t || t->state != TASK_WORKING || t->token != msg_u(d->op, FIELD_TOKEN))
        return CHOIR_FENCED;
    return retry(d, t);
}

bool answers_for(const struct decision *d, const struct task *t)
{
    return d->f->agent == t->submitter ||
           author_may(d, RIGHT_ADMIN, bytes_text(t->queue->space),
                      (struct bytes){0}, bytes_text(t->queue->name));
}

int decide_cancel(struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));

    if (!t || !answers_for(d, t))
        return CHOIR_NOT_FOUND;
    return task_state_final(t->state) ? CHOIR_TERMINAL : CHOIR_OK;
}

int decide_requeue(struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));
    struct bytes space, queue;

    if (!t || !answers_for(d, t))
        return CHOIR_NOT_FOUND;
    space = bytes_text(t->queue->space);
    queue = bytes_text(t->queue->name);
    if (!author_may(d, RIGHT_SUBMIT, space, (struct bytes){0}, queue))
        return CHOIR_DENIED;
    if (!task_state_final(t->state) || t->state == TASK_COMPLETED)
        return CHOIR_INVALID;
    return queue_has_room(d, space, queue);
}

static bool need_failed(const struct task_links *l)
{
    for (uint32_t i = 0; i < l->need_count; i++) {
        const struct task_links *on = l->needs[i].on;

        if (on && task_state_final(on->task->state) &&
            on->task->state != TASK_COMPLETED)
            return true;
    }
    return false;
}

static bool may_give_up(const struct decision *d, const struct task_links *l)
{
    switch (msg_u(d->op, FIELD_KIND)) {
    case GIVE_UP_DEADLINE: return l->deadline && l->deadline <= d->f->time;
    case GIVE_UP_NEED: return need_failed(l);
    case GIVE_UP_PARENT: return l->of && l->of->task->state == TASK_CANCELLED;
    default: return false;
    }
}

int decide_give_up(struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));
    bool cancelled = msg_u(d->op, FIELD_KIND) == GIVE_UP_PARENT;

    if (!t)
        return CHOIR_NOT_FOUND;
    if (task_state_final(t->state))
        return CHOIR_TERMINAL;
    if (!t->links || !may_give_up(d, t->links))
        return CHOIR_INVALID;
    msg_set_u(d->effect, FIELD_STATE, cancelled ? TASK_CANCELLED : TASK_DEAD);
    return CHOIR_OK;
}
