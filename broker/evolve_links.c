/* What hangs on a task, as its submission and its life say it. */
#include <errno.h>

#include "evolve_private.h"

int evolve_terms(struct state *s, const struct evolve_op *o, struct task *t)
{
    const field_mask any = FIELD_BIT(NEEDS) | FIELD_BIT(CAPABILITIES) |
                           FIELD_BIT(DEADLINE) | FIELD_BIT(PARENT);
    struct list at = msg_list(o->op, FIELD_NEEDS);
    uint64_t needs[LIMIT_NEEDS];
    struct capabilities set;
    struct task_terms terms = {
        .deadline = msg_u(o->op, FIELD_DEADLINE),
        .parent = msg_u(o->op, FIELD_PARENT),
        .needs = needs,
    };
    struct msg item;

    if (!(o->op->has & any))
        return 0;
    if (at.left > LIMIT_NEEDS || capabilities_read(o->op, &set))
        return -EUCLEAN;
    while (list_next(&at, &item))
        needs[terms.need_count++] = msg_u(&item, FIELD_TASK);
    terms.capability = capabilities_bytes(&set);
    if (!terms.need_count && !terms.capability.n && !terms.deadline &&
        !terms.parent)
        return 0; /* lists without elements */
    return evolve_must(task_link(s->tasks, t, &terms));
}

/* Its deadline and its needs were of that time. */
int evolve_terms_again(struct state *s, const struct task *old, struct task *t)
{
    const struct task_links *l = old->links;
    const struct task *parent = l ? task_by_id(s->tasks, l->parent) : NULL;
    struct task_terms terms = {0};

    if (parent && !task_state_final(parent->state))
        terms.parent = parent->id;
    if (l && l->lane)
        terms.capability = l->lane->capability;
    if (!terms.parent && !terms.capability.n)
        return 0;
    return evolve_must(task_link(s->tasks, t, &terms));
}

int evolve_partial(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));

    return t ? evolve_must(task_partial(s->tasks, t, o->index)) : -EUCLEAN;
}

int evolve_ask_input(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));

    if (!t || t->state != TASK_WORKING)
        return -EUCLEAN;
    return evolve_must(task_question(s->tasks, t, o->index));
}

int evolve_input(struct state *s, const struct evolve_op *o)
{
    struct task *t = task_by_id(s->tasks, msg_u(o->op, FIELD_TASK));

    if (!t || t->state != TASK_INPUT_REQUIRED)
        return -EUCLEAN;
    return evolve_must(task_input(s->tasks, t, o->index));
}

int evolve_queue_set(struct state *s, const struct evolve_op *o)
{
    return evolve_must(queue_set(s->tasks, msg_b(o->op, FIELD_SPACE),
                                 msg_b(o->op, FIELD_QUEUE),
                                 (enum queue_kind)evolve_chosen(o, FIELD_KIND),
                                 evolve_chosen(o, FIELD_LIMIT)));
}
