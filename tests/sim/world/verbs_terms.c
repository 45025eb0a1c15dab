/* Rows of what a task is submitted with: others that it needs, what its worker
 * has to be able to do, times, a parent; and that it is given up. */
#include "tests/sim/world/verbs.h"

#include "broker/decide.h"

enum { DEADLINE_US = 4000000, NOT_BEFORE_US = 500000, RECENT = 25 };

static const char *const capabilities[MODEL_CAPABILITIES] = {"c/1", "c/2"};

unsigned model_capabilities(int agent)
{
    return (unsigned)agent % (1 << MODEL_CAPABILITIES);
}

/* --- Drafting ------------------------------------------------------------- */

static void name_put(struct buf *list, int i)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_NAME, capabilities[i]);
    msg_encode(&item, list);
}

void capabilities_say(struct msg *m, unsigned bits, struct buf *list)
{
    uint64_t n = 0;

    for (int i = 0; i < MODEL_CAPABILITIES; i++) {
        if (!(bits >> i & 1))
            continue;
        name_put(list, i);
        n++;
    }
    msg_set_list(m, FIELD_CAPABILITIES, n, buf_bytes(list));
}

/* One of late, or one that never was. */
static uint64_t any_task(const struct knowledge *k)
{
    size_t n = k->m->task_count, most = n < RECENT ? n : RECENT;

    return n && k->any(20) ? k->m->tasks[n - 1 - k->any(most)].id
                           : k->any(k->m->size + 2);
}

static void draft_needs(struct draft *d, const struct knowledge *k)
{
    uint64_t n = 1 + k->any(MODEL_NEEDS);
    struct msg item;

    for (uint64_t i = 0; i < n; i++) {
        msg_init(&item, MSG_ITEM);
        msg_set_u(&item, FIELD_TASK, any_task(k));
        msg_encode(&item, &d->lists[5]);
    }
    msg_set_list(&d->m, FIELD_NEEDS, n, buf_bytes(&d->lists[5]));
}

static void draft_parent(struct draft *d, const struct knowledge *k)
{
    const struct held *h =
        k->lease_count ? &k->leases[k->any(k->lease_count)] : NULL;

    msg_set_u(&d->m, FIELD_PARENT, h && k->any(4) ? h->task : any_task(k));
    if (h && k->any(3) == 0)
        msg_set_u(&d->m, FIELD_TOKEN, h->token);
}

void draft_terms(struct draft *d, const struct knowledge *k)
{
    if (k->any(4) == 0)
        draft_needs(d, k);
    if (k->any(4) == 0)
        capabilities_say(&d->m, (unsigned)k->any(1 << MODEL_CAPABILITIES),
                         &d->lists[6]);
    if (k->any(5) == 0)
        draft_parent(d, k);
    if (k->any(5) == 0)
        msg_set_u(&d->m, FIELD_NOT_BEFORE, k->now + k->any(NOT_BEFORE_US));
    if (k->any(4) == 0)
        msg_set_u(&d->m, FIELD_DEADLINE,
                  k->any(20) ? k->now + k->any(DEADLINE_US)
                             : k->now - k->any(k->now));
}

/* --- Submitting ----------------------------------------------------------- */

static int needs_fit(struct model *m, const struct seen *s)
{
    struct list needs = msg_list(s->op, FIELD_NEEDS);
    uint64_t ids[MODEL_NEEDS];
    struct msg item;

    for (size_t n = 0; list_next(&needs, &item); n++) {
        ids[n] = msg_u(&item, FIELD_TASK);
        for (size_t i = 0; i < n; i++)
            if (ids[i] == ids[n])
                return CHOIR_INVALID;
        if (!model_task(m, ids[n]))
            return CHOIR_NOT_FOUND;
    }
    return 0;
}

static int parent_fits(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_PARENT));

    if (!msg_has(s->op, FIELD_PARENT))
        return 0;
    if (!t || (t->submitter != s->agent && t->worker != s->agent &&
               !model_may(m, s->agent, RIGHT_ADMIN)))
        return CHOIR_NOT_FOUND;
    if (msg_has(s->op, FIELD_TOKEN) &&
        (!task_is_held(t) || t->token != msg_u(s->op, FIELD_TOKEN) ||
         t->holder != s->agent))
        return CHOIR_FENCED;
    return task_is_over(t) ? CHOIR_TERMINAL : 0;
}

int seen_terms(struct model *m, const struct seen *s)
{
    uint64_t deadline = msg_u(s->op, FIELD_DEADLINE);
    int r;

    if (msg_has(s->op, FIELD_DEADLINE) &&
        (deadline <= s->time || deadline <= msg_u(s->op, FIELD_NOT_BEFORE)))
        return CHOIR_INVALID;
    r = needs_fit(m, s);
    return r ? r : parent_fits(m, s);
}

void terms_keep(const struct seen *s, struct m_task *t)
{
    struct list needs = msg_list(s->op, FIELD_NEEDS);
    struct list names = msg_list(s->op, FIELD_CAPABILITIES);
    struct msg item;

    t->deadline = msg_u(s->op, FIELD_DEADLINE);
    t->not_before = msg_u(s->op, FIELD_NOT_BEFORE);
    t->parent = msg_u(s->op, FIELD_PARENT);
    while (list_next(&needs, &item))
        t->needs[t->need_count++] = msg_u(&item, FIELD_TASK);
    while (list_next(&names, &item))
        for (int i = 0; i < MODEL_CAPABILITIES; i++)
            if (bytes_equal(msg_b(&item, FIELD_NAME),
                            bytes_text(capabilities[i])))
                t->capabilities |= 1U << i;
}

/* Needs and deadline were of their time. */
void terms_keep_again(struct model *m, const struct m_task *old,
                      struct m_task *t)
{
    const struct m_task *parent = model_task(m, old->parent);

    t->capabilities = old->capabilities;
    t->parent = parent && !task_is_over(parent) ? old->parent : 0;
}

/* --- Claiming ------------------------------------------------------------- */

const char *terms_forbid(const struct model *m, const struct m_task *t,
                         int holder)
{
    for (uint64_t i = 0; i < t->need_count; i++)
        if (model_task_ever(m, t->needs[i])->end != TASK_COMPLETED)
            return "what it needs is not completed";
    if (m->queues[t->queue].kind == QUEUE_PAUSED)
        return "its queue is stopped";
    return t->capabilities & ~model_capabilities(holder) ? "which cannot do it"
                                                         : NULL;
}

/* --- Giving up ------------------------------------------------------------ */

static bool is_in_need(const struct model *m, const struct m_task *t)
{
    for (uint64_t i = 0; i < t->need_count; i++) {
        unsigned end = model_task_ever(m, t->needs[i])->end;

        if (end && end != TASK_COMPLETED)
            return true;
    }
    return false;
}

static bool is_orphan(const struct model *m, const struct m_task *t)
{
    return t->parent && model_task_ever(m, t->parent)->end == TASK_CANCELLED;
}

static bool is_late(const struct m_task *t, uint64_t time)
{
    return t->deadline && t->deadline <= time;
}

const struct m_task *model_hopeless(const struct model *m, uint64_t time)
{
    for (size_t i = 0; i < m->task_count; i++) {
        const struct m_task *t = &m->tasks[i];

        if (t->state && !task_is_over(t) &&
            (is_late(t, time) || is_in_need(m, t) || is_orphan(m, t)))
            return t;
    }
    return NULL;
}

/* The broker's own, and for a reason. */
static int expect_give_up(struct model *m, const struct seen *s)
{
    const struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));
    uint64_t kind = msg_u(s->op, FIELD_KIND);

    if (!t || task_is_over(t) ||
        !(kind == GIVE_UP_DEADLINE ? is_late(t, s->time)
          : kind == GIVE_UP_NEED   ? is_in_need(m, t)
                                   : is_orphan(m, t)))
        model_says(m, "it gives up task %lu, for no reason like %lu",
                   msg_u(s->op, FIELD_TASK), kind);
    return m->why[0] ? CHOIR_INVALID : CHOIR_OK;
}

static void given_up(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));

    task_ended(t, s,
               msg_u(s->op, FIELD_KIND) == GIVE_UP_PARENT ? TASK_CANCELLED
                                                          : TASK_DEAD);
    if (msg_u(s->effect, FIELD_STATE) != t->state)
        model_says(m, "task %lu becomes %lu, it should be %u", t->id,
                   msg_u(s->effect, FIELD_STATE), t->state);
}

const struct verb verbs_terms[] = {
    {MSG_GIVE_UP, 0, NULL, expect_give_up, given_up},
    {0, 0, NULL, NULL, NULL},
};
