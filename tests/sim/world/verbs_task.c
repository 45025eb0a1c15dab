/* Rows of the verbs that make up a task's life, those of the broker too. */
#include "tests/sim/world/verbs.h"

#include "broker/evolve.h"

enum { BACKOFF_MAX_MS = 3600 * 1000 };

/* --- Drafting ------------------------------------------------------------ */

static bool draft_submit(struct draft *d, const struct knowledge *k)
{
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&d->m, FIELD_QUEUE, any_queue(k));
    draft_value(d, k);
    if (k->any(3) == 0)
        msg_set_u(&d->m, FIELD_PRIORITY, k->any(10));
    if (k->any(3) == 0)
        msg_set_u(&d->m, FIELD_MAX_ATTEMPTS, k->any(4));
    if (k->any(2))
        msg_set_u(&d->m, FIELD_LEASE_MS, 100 + k->any(3000));
    if (k->any(2))
        msg_set_u(&d->m, FIELD_BACKOFF_MS, k->any(200));
    if (k->any(2))
        msg_set_u(&d->m, FIELD_STALE, 1 + k->any(STALE_REQUEUE));
    draft_terms(d, k);
    draft_id(d, k);
    return true;
}

static bool draft_progress(struct draft *d, const struct knowledge *k)
{
    draft_value(d, k);
    return draft_lease(d, k);
}

static bool draft_complete(struct draft *d, const struct knowledge *k)
{
    draft_value(d, k);
    if (k->any(2)) {
        draft_writes(d, k);
        draft_compares(d, k);
    }
    if (k->any(2))
        draft_reads(d, k);
    if (k->any(3) == 0)
        draft_sends(d, k);
    return draft_lease(d, k);
}

static bool draft_fail(struct draft *d, const struct knowledge *k)
{
    msg_set_text(&d->m, FIELD_REASON, "simulated");
    return draft_lease(d, k);
}

static bool draft_nak(struct draft *d, const struct knowledge *k)
{
    if (k->any(2))
        msg_set_u(&d->m, FIELD_BACKOFF_MS, k->any(100));
    return draft_lease(d, k);
}

static bool draft_any_task(struct draft *d, const struct knowledge *k)
{
    if (!k->m->task_count)
        return false;
    msg_set_u(&d->m, FIELD_TASK, k->m->tasks[k->any(k->m->task_count)].id);
    return true;
}

/* --- Submitting ---------------------------------------------------------- */

static int expect_submit(struct model *m, const struct seen *s)
{
    int r;

    if (!model_may(m, s->agent, RIGHT_SUBMIT))
        return CHOIR_DENIED;
    r = seen_values(m, s);
    if (r)
        return r;
    if (msg_has(s->op, FIELD_MAX_ATTEMPTS) &&
        msg_u(s->op, FIELD_MAX_ATTEMPTS) == 0)
        return CHOIR_INVALID;
    r = seen_terms(m, s);
    return r ? r : queue_room(m, queue_of(msg_b(s->op, FIELD_QUEUE)));
}

/* Its own wish, or the default, which the effect names. */
static uint64_t chosen(const struct seen *s, enum field f)
{
    return msg_has(s->op, f) ? msg_u(s->op, f) : msg_u(s->effect, f);
}

static void submitted(struct model *m, const struct seen *s)
{
    struct m_task *t = task_new(m);

    t->id = t->changed = s->index;
    t->state = TASK_QUEUED;
    t->submitter = s->agent;
    t->queue = queue_of(msg_b(s->op, FIELD_QUEUE));
    t->max_attempts = chosen(s, FIELD_MAX_ATTEMPTS);
    t->lease_ms = chosen(s, FIELD_LEASE_MS);
    t->backoff_ms = chosen(s, FIELD_BACKOFF_MS);
    t->stale = (unsigned)msg_u(s->op, FIELD_STALE);
    terms_keep(s, t);
}

static int expect_requeue(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));

    if (!t ||
        (t->submitter != s->agent && !model_may(m, s->agent, RIGHT_ADMIN)))
        return CHOIR_NOT_FOUND;
    if (!model_may(m, s->agent, RIGHT_SUBMIT))
        return CHOIR_DENIED;
    if (!task_is_over(t) || t->state == TASK_COMPLETED)
        return CHOIR_INVALID;
    return queue_room(m, t->queue);
}

static void requeued(struct model *m, const struct seen *s)
{
    struct m_task old = *model_task(m, msg_u(s->op, FIELD_TASK));
    struct m_task *t = task_new(m);

    *t = (struct m_task){
        .id = s->index,
        .changed = s->index,
        .state = TASK_QUEUED,
        .submitter = s->agent,
        .holder = MODEL_BROKER,
        .worker = MODEL_BROKER,
        .queue = old.queue,
        .max_attempts = old.max_attempts,
        .lease_ms = old.lease_ms,
        .backoff_ms = old.backoff_ms,
        .stale = old.stale,
    };
    terms_keep_again(m, &old, t);
}

/* --- Leases -------------------------------------------------------------- */

static int holder_of(const struct model *m, const struct seen *s)
{
    struct hash id = msg_hash(s->op, FIELD_AGENT);

    for (int i = 0; i < m->agent_count; i++)
        if (hash_equal(&m->agents[i], &id))
            return i;
    return MODEL_BROKER;
}

static uint64_t leases_of(const struct model *m, int agent)
{
    uint64_t n = 0;

    for (size_t i = 0; i < m->task_count; i++)
        n += task_is_held(&m->tasks[i]) && m->tasks[i].holder == agent;
    return n;
}

/* It is the broker's own: anything but OK should not have been said. */
static int expect_claim(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));
    int holder = holder_of(m, s);

    if (!t || t->state != TASK_QUEUED)
        model_says(m, "it claims task %lu, which is not waiting",
                   msg_u(s->op, FIELD_TASK));
    else if (msg_u(s->op, FIELD_ATTEMPT) != t->attempt + 1)
        model_says(m, "it claims attempt %lu of task %lu, after %lu",
                   msg_u(s->op, FIELD_ATTEMPT), t->id, t->attempt);
    else if (t->not_before > s->time)
        model_says(m, "it claims task %lu before its time", t->id);
    else if (holder == MODEL_BROKER || !model_may(m, holder, RIGHT_WORK))
        model_says(m, "task %lu goes to whom it must not", t->id);
    else if (leases_of(m, holder) >= m->limits.leases_per_agent)
        model_says(m, "agent %d gets more leases than it may", holder);
    else if (terms_forbid(m, t, holder))
        model_says(m, "it claims task %lu for agent %d: %s", t->id, holder,
                   terms_forbid(m, t, holder));
    return m->why[0] ? CHOIR_INVALID : CHOIR_OK;
}

static void claimed(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));

    t->state = TASK_WORKING;
    t->holder = t->worker = holder_of(m, s);
    t->token = t->changed = s->index;
    t->attempt = msg_u(s->op, FIELD_ATTEMPT);
    t->renewed = s->time;
    t->not_before = 0;
}

void task_ended(struct m_task *t, const struct seen *s, unsigned state)
{
    t->state = state;
    t->end = task_is_over(t) ? state : 0;
    t->token = 0;
    t->holder = MODEL_BROKER;
    t->changed = s->index;
}

/* It waits for input without a holder, as if nothing had been tried. */
static void rests_alone(struct model *m, const struct seen *s, struct m_task *t)
{
    t->token = 0;
    t->holder = MODEL_BROKER;
    if (msg_u(s->effect, FIELD_STATE) != TASK_INPUT_REQUIRED)
        model_says(m, "task %lu becomes %lu, it waits for input", t->id,
                   msg_u(s->effect, FIELD_STATE));
}

/* Queued again, later each time, or dead: the effect has to say the same. */
void task_released(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));
    uint64_t wait_ms = t->backoff_ms;

    if (t->state == TASK_INPUT_REQUIRED) {
        rests_alone(m, s, t);
        return;
    }

    for (uint64_t i = 1; i < t->attempt && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    if (wait_ms > BACKOFF_MAX_MS)
        wait_ms = BACKOFF_MAX_MS;
    if (msg_has(s->op, FIELD_BACKOFF_MS))
        wait_ms = msg_u(s->op, FIELD_BACKOFF_MS);
    task_ended(t, s, t->attempt >= t->max_attempts ? TASK_DEAD : TASK_QUEUED);
    if (msg_u(s->effect, FIELD_STATE) != t->state)
        model_says(m, "task %lu becomes %lu, it should be %u", t->id,
                   msg_u(s->effect, FIELD_STATE), t->state);
    if (t->state == TASK_DEAD)
        return;
    t->not_before = s->time + wait_ms * 1000;
    if (msg_u(s->effect, FIELD_NOT_BEFORE) != t->not_before)
        model_says(m, "task %lu waits until %lu, it should be %lu", t->id,
                   msg_u(s->effect, FIELD_NOT_BEFORE), t->not_before);
}

static int expect_expire(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));

    if (!t || t->state != TASK_WORKING ||
        t->token != msg_u(s->op, FIELD_TOKEN)) {
        model_says(m, "it ends a lease of task %lu that there is not",
                   msg_u(s->op, FIELD_TASK));
        return CHOIR_FENCED;
    }
    if (s->time < t->renewed + t->lease_ms * 1000)
        model_says(m, "the lease of task %lu ends %lu us early", t->id,
                   t->renewed + t->lease_ms * 1000 - s->time);
    return CHOIR_OK;
}

static int expect_held(struct model *m, const struct seen *s)
{
    return seen_held(m, s) ? CHOIR_OK : CHOIR_FENCED;
}

static int expect_progress(struct model *m, const struct seen *s)
{
    return seen_held(m, s) ? seen_values(m, s) : CHOIR_FENCED;
}

static int expect_complete(struct model *m, const struct seen *s)
{
    int r = expect_progress(m, s);

    if (!r)
        r = seen_writes(m, s);
    if (!r)
        r = seen_compares(m, s);
    if (!r)
        r = seen_sends(m, s);
    return r ? r : seen_reads(m, s);
}

static void completed(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));

    if (s->e->outcome == CHOIR_OK) {
        write_all(m, s);
        send_all(m, s);
        task_ended(t, s, TASK_COMPLETED);
    } else if (t->stale == STALE_REQUEUE)
        task_released(m, s);
}

static void failed(struct model *m, const struct seen *s)
{
    task_ended(model_task(m, msg_u(s->op, FIELD_TASK)), s, TASK_FAILED);
}

/* --- Others -------------------------------------------------------------- */

static int expect_cancel(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));

    if (!t ||
        (t->submitter != s->agent && !model_may(m, s->agent, RIGHT_ADMIN)))
        return CHOIR_NOT_FOUND;
    return task_is_over(t) ? CHOIR_TERMINAL : CHOIR_OK;
}

static void cancelled(struct model *m, const struct seen *s)
{
    task_ended(model_task(m, msg_u(s->op, FIELD_TASK)), s, TASK_CANCELLED);
}

static void forgotten(struct model *m, const struct seen *s)
{
    uint64_t upto = msg_u(s->op, FIELD_REVISION);
    size_t left = 0;

    if (msg_u(s->op, FIELD_KIND) == FORGET_TASKS)
        for (size_t i = 0; i < m->task_count; i++)
            if (task_is_over(&m->tasks[i]) && m->tasks[i].changed <= upto)
                m->tasks[i].state = 0;
    if (msg_u(s->op, FIELD_KIND) == FORGET_TOPICS)
        model_topics_forget(m, upto, s->index);
    if (msg_u(s->op, FIELD_KIND) != FORGET_IDS)
        return;
    for (size_t i = 0; i < m->id_count; i++)
        if (m->ids[i].index > upto)
            m->ids[left++] = m->ids[i];
    m->id_count = left;
}

const struct verb verbs_task[] = {
    {MSG_SUBMIT, 12, draft_submit, expect_submit, submitted},
    {MSG_PROGRESS, 6, draft_progress, expect_progress, NULL},
    {MSG_COMPLETE, 14, draft_complete, expect_complete, completed},
    {MSG_FAIL, 2, draft_fail, expect_held, failed},
    {MSG_NAK, 4, draft_nak, expect_held, task_released},
    {MSG_CANCEL, 3, draft_any_task, expect_cancel, cancelled},
    {MSG_REQUEUE, 3, draft_any_task, expect_requeue, requeued},
    {MSG_CLAIM, 0, NULL, expect_claim, claimed},
    {MSG_EXPIRE, 0, NULL, expect_expire, task_released},
    {MSG_FORGET, 0, NULL, NULL, forgotten},
    {0, 0, NULL, NULL, NULL},
};
