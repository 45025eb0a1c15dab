/* What a task is submitted with besides its payload. What it names must be
 * there, and for the author to see: what is forbidden looks as if it were
 * absent. */
#include "decide_private.h"
#include "proto/refusal.h"

static int misfit(struct decision *d, const char *field)
{
    msg_set_text(d->effect, FIELD_FIELD, field);
    return CHOIR_INVALID;
}

static int times_fit(struct decision *d)
{
    uint64_t deadline = msg_u(d->op, FIELD_DEADLINE);

    if (!msg_has(d->op, FIELD_DEADLINE))
        return 0;
    return deadline <= d->f->time || deadline <= msg_u(d->op, FIELD_NOT_BEFORE)
               ? misfit(d, "deadline")
               : 0;
}

static bool is_among(const uint64_t *ids, size_t n, uint64_t id)
{
    while (n--)
        if (ids[n] == id)
            return true;
    return false;
}

static int needs_fit(struct decision *d)
{
    struct list at = msg_list(d->op, FIELD_NEEDS);
    uint64_t ids[LIMIT_NEEDS];
    struct msg item;

    if (at.left > LIMIT_NEEDS)
        return over_limit(d, "needs", LIMIT_NEEDS, at.left);
    for (size_t n = 0; list_next(&at, &item); n++) {
        uint64_t id = ids[n] = msg_u(&item, FIELD_TASK);
        const struct task *t = task_by_id(d->s->tasks, id);

        if (item.has != FIELD_BIT(TASK) || is_among(ids, n, id))
            return misfit(d, "needs");
        if (t && task_visible(d->author, t))
            continue;
        msg_set_u(d->effect, FIELD_TASK, id);
        return CHOIR_NOT_FOUND;
    }
    return 0;
}

static int capabilities_fit(struct decision *d)
{
    uint64_t most = d->s->rules.queue_capability_sets_max;
    const struct queue *q = queue_find(d->s->tasks, msg_b(d->op, FIELD_SPACE),
                                       msg_b(d->op, FIELD_QUEUE));
    struct capabilities set;
    int r = capabilities_read(d->op, &set);

    if (r == CHOIR_OVER_LIMIT)
        return over_limit(d, "capabilities", LIMIT_CAPABILITIES,
                          msg_list(d->op, FIELD_CAPABILITIES).left);
    if (r)
        return misfit(d, "capabilities");
    if (!set.n || !q || q->lanes < most ||
        queue_has_lane(q, capabilities_bytes(&set)))
        return 0;
    return over_limit(d, "queue_capability_sets_max", most, q->lanes);
}

/* Its submitter's, its holder's or an administrator's; under its lease, if the
 * token says so. */
static int parent_fits(struct decision *d)
{
    const struct task *t;

    if (!msg_has(d->op, FIELD_PARENT))
        return msg_has(d->op, FIELD_TOKEN) ? misfit(d, "token") : 0;
    t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_PARENT));
    if (!t || (!answers_for(d, t) && t->holder != d->f->agent)) {
        msg_set_u(d->effect, FIELD_TASK, msg_u(d->op, FIELD_PARENT));
        return CHOIR_NOT_FOUND;
    }
    if (msg_has(d->op, FIELD_TOKEN) &&
        (!t->token || t->token != msg_u(d->op, FIELD_TOKEN) ||
         t->holder != d->f->agent))
        return CHOIR_FENCED;
    return task_state_final(t->state) ? CHOIR_TERMINAL : 0;
}

int terms_fit(struct decision *d)
{
    int r = times_fit(d);

    if (!r && msg_has(d->op, FIELD_NEEDS))
        r = needs_fit(d);
    if (!r && msg_has(d->op, FIELD_CAPABILITIES))
        r = capabilities_fit(d);
    return r ? r : parent_fits(d);
}
