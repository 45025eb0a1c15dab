/* What a task's life does to it, and to those it is charged to. */
#include <errno.h>

#include "evolve_private.h"

int evolve_submit(struct state *s, const struct evolve_op *o)
{
    struct task t = {
        .id = o->index,
        .payload = o->index,
        .changed = o->index,
        .lease_ms = evolve_chosen(o, FIELD_LEASE_MS),
        .backoff_ms = evolve_chosen(o, FIELD_BACKOFF_MS),
        .max_attempts = (uint32_t)evolve_chosen(o, FIELD_MAX_ATTEMPTS),
        .submitter = o->agent,
        .priority = (uint8_t)msg_u(o->op, FIELD_PRIORITY),
        .not_before = msg_u(o->op, FIELD_NOT_BEFORE),
        .stale = (uint8_t)msg_u(o->op, FIELD_STALE),
        .state = TASK_QUEUED,
    };
    int r;

    if (!evolve_author(s, o))
        return -EUCLEAN;
    evolve_author(s, o)->open_tasks++;
    r = evolve_must(task_add(s->tasks, msg_b(o->op, FIELD_SPACE),
                             msg_b(o->op, FIELD_QUEUE), &t));
    return r ? r : evolve_terms(s, o, task_by_id(s->tasks, t.id));
}

int evolve_requeue(struct state *s, const struct evolve_op *o)
{
    struct task *old = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    struct task t;
    int r;

    if (!old || !evolve_author(s, o))
        return -EUCLEAN;
    t = (struct task){
        .id = o->index,
        .payload = old->payload,
        .changed = o->index,
        .lease_ms = old->lease_ms,
        .backoff_ms = old->backoff_ms,
        .max_attempts = old->max_attempts,
        .submitter = o->agent,
        .priority = old->priority,
        .stale = old->stale,
        .state = TASK_QUEUED,
    };
    evolve_author(s, o)->open_tasks++;
    r = evolve_must(task_add(s->tasks, bytes_text(old->queue->space),
                             bytes_text(old->queue->name), &t));
    return r ? r : evolve_terms_again(s, old, task_by_id(s->tasks, t.id));
}

int evolve_claim(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    struct hash id = msg_hash(o->op, FIELD_AGENT);
    struct agent *a = agent_by_id(s->agents, &id);

    if (!t || !a || t->state != TASK_QUEUED)
        return -EUCLEAN;
    a->leases++;
    task_claim(s->tasks, t, o->index, a->number, msg_u(o->op, FIELD_SESSION),
               (uint32_t)msg_u(o->op, FIELD_ATTEMPT));
    return 0;
}

/* The lease of a task ends, whatever comes then. */
static int end_lease(struct state *s, struct task *t)
{
    struct agent *holder;

    if (!t || !t->token)
        return -EUCLEAN;
    holder = agent_by_number(s->agents, t->holder);
    if (!holder)
        return -EUCLEAN;
    holder->leases--;
    return 0;
}

static int finish(struct state *s, const struct evolve_op *o, struct task *t,
                  enum task_state state)
{
    struct agent *a = agent_by_number(s->agents, t->submitter);

    if (!a)
        return -EUCLEAN;
    a->open_tasks--;
    task_finish(s->tasks, t, o->index, state);
    return 0;
}

int evolve_progress(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));

    if (!t)
        return -EUCLEAN;
    task_progress(s->tasks, t, o->index);
    return 0;
}

int evolve_complete(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    int r = end_lease(s, t);

    if (!r)
        r = evolve_writes(s, o, bytes_text(t->queue->space));
    if (!r)
        r = evolve_sends(s, o, bytes_text(t->queue->space));
    return r ? r : finish(s, o, t, TASK_COMPLETED);
}

int evolve_fail(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    int r = end_lease(s, t);

    return r ? r : finish(s, o, t, TASK_FAILED);
}

/* nak and expire: what follows stands in the effect. */
int evolve_release(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    int r = end_lease(s, t);

    if (r)
        return r;
    switch (msg_u(o->effect, FIELD_STATE)) {
    case TASK_DEAD: return finish(s, o, t, TASK_DEAD);
    case TASK_INPUT_REQUIRED: task_rest_alone(s->tasks, t); return 0;
    default: break;
    }
    task_release(s->tasks, t, o->index, msg_u(o->effect, FIELD_NOT_BEFORE));
    return 0;
}

int evolve_heed(struct state *s, const struct evolve_op *o)
{
    return msg_u(o->op, FIELD_KIND) == HEED_ABANDON ? evolve_release(s, o) : 0;
}

int evolve_stale(struct state *s, const struct evolve_op *o)
{
    return o->op && msg_has(o->effect, FIELD_STATE) ? evolve_release(s, o) : 0;
}

int evolve_cancel(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));

    if (!t || task_state_final(t->state))
        return -EUCLEAN;
    if (t->token && end_lease(s, t))
        return -EUCLEAN;
    return finish(s, o, t, TASK_CANCELLED);
}

int evolve_give_up(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));
    uint64_t state = msg_u(o->effect, FIELD_STATE);

    if (!t || task_state_final(t->state) || !task_state_final((unsigned)state))
        return -EUCLEAN;
    if (t->token && end_lease(s, t))
        return -EUCLEAN;
    return finish(s, o, t, (enum task_state)state);
}
