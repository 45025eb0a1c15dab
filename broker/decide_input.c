/* What goes to and fro while a task is worked on: partial results, and a
 * question to its submitter. And how an administrator sets its queue. */
#include "decide_private.h"
#include "proto/refusal.h"

int decide_partial(struct decision *d)
{
    const struct task *t = held_task(d);
    uint64_t most = d->s->rules.partials_per_task_max, n;
    int r;

    if (!t)
        return CHOIR_FENCED;
    r = slots_fit(d, 1, 1);
    if (r)
        return r;
    n = t->links ? t->links->partials : 0;
    if (n >= most)
        return over_limit(d, "partials_per_task_max", most, n);
    msg_set_u(d->effect, FIELD_COUNT, n + 1);
    if (n)
        msg_set_u(d->effect, FIELD_PREV, t->links->partial);
    return CHOIR_OK;
}

int decide_ask_input(struct decision *d)
{
    const struct task *t = held_task(d);

    if (!t)
        return CHOIR_FENCED;
    return t->state == TASK_WORKING ? slots_fit(d, 1, 1) : CHOIR_INVALID;
}

int decide_input(struct decision *d)
{
    const struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));

    if (!t || !answers_for(d, t))
        return CHOIR_NOT_FOUND;
    if (task_state_final(t->state))
        return CHOIR_TERMINAL;
    if (t->state != TASK_INPUT_REQUIRED)
        return CHOIR_INVALID;
    if (msg_has(d->op, FIELD_REVISION) &&
        msg_u(d->op, FIELD_REVISION) != t->links->question) {
        msg_set_u(d->effect, FIELD_REVISION, t->links->question);
        return CHOIR_CONFLICT;
    }
    msg_set_u(d->effect, FIELD_STATE, t->token ? TASK_WORKING : TASK_QUEUED);
    return slots_fit(d, 1, 1);
}

int decide_queue_set(struct decision *d)
{
    struct bytes space = msg_b(d->op, FIELD_SPACE);
    struct bytes queue = msg_b(d->op, FIELD_QUEUE);
    uint64_t kind = msg_u(d->op, FIELD_KIND);
    const struct queue *q;
    int r = names_fit(space, queue);

    if (r)
        return r;
    if (!author_may(d, RIGHT_ADMIN, space, (struct bytes){0}, queue))
        return CHOIR_DENIED;
    q = queue_find(d->s->tasks, space, queue);
    if (!msg_has(d->op, FIELD_KIND) && !msg_has(d->op, FIELD_LIMIT))
        return CHOIR_INVALID;
    if (!msg_has(d->op, FIELD_KIND)) {
        kind = q ? q->kind : QUEUE_OPEN;
        msg_set_u(d->effect, FIELD_KIND, kind); /* stays */
    }
    if (!msg_has(d->op, FIELD_LIMIT) && q && q->limit)
        msg_set_u(d->effect, FIELD_LIMIT, q->limit);
    return kind < QUEUE_OPEN || kind > QUEUE_DRAINING ? CHOIR_INVALID
                                                      : CHOIR_OK;
}
