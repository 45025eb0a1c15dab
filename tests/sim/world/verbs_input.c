/* Rows of what goes to and fro while a task is worked on: partial results, a
 * question and what is said to it. */
#include "tests/sim/world/verbs.h"

/* --- Partial results ------------------------------------------------------ */

static bool draft_said(struct draft *d, const struct knowledge *k)
{
    draft_value(d, k);
    draft_id(d, k);
    return draft_lease(d, k);
}

static int expect_partial(struct model *m, const struct seen *s)
{
    struct m_task *t = seen_held(m, s);
    int r = t ? seen_values(m, s) : CHOIR_FENCED;

    if (!r && t->partials >= m->limits.partials_per_task)
        r = CHOIR_OVER_LIMIT;
    if (!r && (msg_u(s->effect, FIELD_COUNT) != t->partials + 1 ||
               msg_u(s->effect, FIELD_PREV) != t->partial))
        model_says(m, "task %lu has %lu partial results, the last at %lu",
                   t->id, t->partials, t->partial);
    return r;
}

static void partial_said(struct model *m, const struct seen *s)
{
    struct m_task *t = seen_held(m, s);

    t->partials++;
    t->partial = s->index;
}

/* --- Questions ------------------------------------------------------------ */

static int expect_ask(struct model *m, const struct seen *s)
{
    struct m_task *t = seen_held(m, s);

    if (!t)
        return CHOIR_FENCED;
    return t->state == TASK_WORKING ? seen_values(m, s) : CHOIR_INVALID;
}

static void asked(struct model *m, const struct seen *s)
{
    struct m_task *t = seen_held(m, s);

    t->state = TASK_INPUT_REQUIRED;
    t->question = t->changed = s->index;
}

/* --- Answers -------------------------------------------------------------- */

/* Mostly of what waits for one, and mostly by who may. */
static const struct m_task *any_asking(const struct knowledge *k)
{
    size_t n = k->m->task_count, at = n ? k->any(n) : 0;
    bool any = k->any(20) == 0;

    for (size_t i = 0; i < n; i++) {
        const struct m_task *t = &k->m->tasks[(at + i) % n];

        if (any || (t->state == TASK_INPUT_REQUIRED &&
                    (t->submitter == k->agent || k->any(20) == 0 ||
                     model_may(k->m, k->agent, RIGHT_ADMIN))))
            return t;
    }
    return NULL;
}

static bool draft_input(struct draft *d, const struct knowledge *k)
{
    const struct m_task *t = any_asking(k);

    if (!t)
        return false;
    msg_set_u(&d->m, FIELD_TASK, t->id);
    if (k->any(2))
        msg_set_u(&d->m, FIELD_REVISION,
                  k->any(4) ? t->question : k->any(k->m->size));
    draft_value(d, k);
    draft_id(d, k);
    return true;
}

static int expect_input(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));

    if (!t ||
        (t->submitter != s->agent && !model_may(m, s->agent, RIGHT_ADMIN)))
        return CHOIR_NOT_FOUND;
    if (task_is_over(t))
        return CHOIR_TERMINAL;
    if (t->state != TASK_INPUT_REQUIRED)
        return CHOIR_INVALID;
    if (msg_has(s->op, FIELD_REVISION) &&
        msg_u(s->op, FIELD_REVISION) != t->question) {
        if (msg_u(s->effect, FIELD_REVISION) != t->question)
            model_says(m, "task %lu asks at %lu", t->id, t->question);
        return CHOIR_CONFLICT;
    }
    return seen_values(m, s);
}

/* Back to its holder, whose lease is whole again, or into its queue. */
static void answered(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));

    t->state = t->token ? TASK_WORKING : TASK_QUEUED;
    t->input = t->changed = s->index;
    t->renewed = s->time;
    if (msg_u(s->effect, FIELD_STATE) != t->state)
        model_says(m, "task %lu becomes %lu, it should be %u", t->id,
                   msg_u(s->effect, FIELD_STATE), t->state);
}

const struct verb verbs_input[] = {
    {MSG_PARTIAL, 8, draft_said, expect_partial, partial_said},
    {MSG_ASK_INPUT, 5, draft_said, expect_ask, asked},
    {MSG_INPUT, 8, draft_input, expect_input, answered},
    {0, 0, NULL, NULL, NULL},
};
