/* Rows about queues, which an administrator stops, empties and opens again. */
#include "tests/sim/world/verbs.h"

#include "broker/state/task.h"

static const char *const names[MODEL_QUEUES] = {"q", "r"};

const char *queue_name(int queue)
{
    return names[queue];
}

int queue_of(struct bytes name)
{
    return bytes_equal(name, bytes_text(names[1]));
}

/* Mostly to open it, so that work goes on. */
static bool draft_queue(struct draft *d, const struct knowledge *k)
{
    if (!model_may(k->m, k->agent, RIGHT_ADMIN) && k->any(20))
        return false;
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&d->m, FIELD_QUEUE, names[k->any(MODEL_QUEUES)]);
    if (k->any(5))
        msg_set_u(&d->m, FIELD_KIND,
                  k->any(2)    ? QUEUE_OPEN
                  : k->any(20) ? QUEUE_OPEN + k->any(QUEUE_DRAINING)
                               : QUEUE_DRAINING + 1);
    if (k->any(3) == 0)
        msg_set_u(&d->m, FIELD_LIMIT, k->any(30));
    return true;
}

static uint64_t kind_of(const struct model *m, int queue)
{
    return m->queues[queue].kind ? m->queues[queue].kind : QUEUE_OPEN;
}

int queue_room(const struct model *m, int queue)
{
    uint64_t open = 0, most = m->limits.queue_tasks;
    const struct m_queue *q = &m->queues[queue];

    for (size_t i = 0; i < m->task_count; i++)
        open += m->tasks[i].state && !task_is_over(&m->tasks[i]) &&
                m->tasks[i].queue == queue;
    if (q->kind == QUEUE_DRAINING)
        return CHOIR_DRAINING;
    return open < (q->limit && q->limit < most ? q->limit : most)
               ? 0
               : CHOIR_OVER_LIMIT;
}

/* What it does not say stays as it was; the effect has to say so. */
static int expect_set(struct model *m, const struct seen *s)
{
    int queue = queue_of(msg_b(s->op, FIELD_QUEUE));
    bool kind = msg_has(s->op, FIELD_KIND), limit = msg_has(s->op, FIELD_LIMIT);

    if (!model_may(m, s->agent, RIGHT_ADMIN))
        return CHOIR_DENIED;
    if ((!kind && !limit) ||
        (kind && (msg_u(s->op, FIELD_KIND) < QUEUE_OPEN ||
                  msg_u(s->op, FIELD_KIND) > QUEUE_DRAINING)))
        return CHOIR_INVALID;
    if ((!kind && msg_u(s->effect, FIELD_KIND) != kind_of(m, queue)) ||
        (!limit && msg_u(s->effect, FIELD_LIMIT) != m->queues[queue].limit))
        model_says(m, "queue %s does not stay as it was", names[queue]);
    return CHOIR_OK;
}

static void queue_is_set(struct model *m, const struct seen *s)
{
    struct m_queue *q = &m->queues[queue_of(msg_b(s->op, FIELD_QUEUE))];

    q->kind = msg_u(msg_has(s->op, FIELD_KIND) ? s->op : s->effect, FIELD_KIND);
    q->limit =
        msg_u(msg_has(s->op, FIELD_LIMIT) ? s->op : s->effect, FIELD_LIMIT);
}

const struct verb verbs_queue[] = {
    {MSG_QUEUE_SET, 2, draft_queue, expect_set, queue_is_set},
    {0, 0, NULL, NULL, NULL},
};
