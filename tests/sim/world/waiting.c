/* What agents are told of tasks while they go on: those who wait, each partial
 * result once and the end; those who work, what was said to their question. */
#include "tests/sim/world/world.h"

enum { RECENT = 20 };

void waiting_lost(struct client *a)
{
    for (size_t i = 0; i < WAITS_MAX; i++)
        a->waits[i].is_open = false;
    for (size_t i = 0; i < a->held_count; i++)
        a->held[i].since = UINT64_MAX;
}

/* --- Values --------------------------------------------------------------- */

/* What is told of the entry, or of none if `at` is 0. */
static void value_check(struct world *w, struct client *a, uint64_t at,
                        const struct msg *m, enum field f)
{
    const struct m_erased *e = at ? model_erased(&w->model, at, 0) : NULL;
    bool is_told = msg_has(m, f);

    if (is_told ? !at || (e && e->index < a->before) ||
                      model_hash(msg_b(m, f)) != w->model.entries[at].value
                : at && !e)
        world_fail(w, "agent %d, task %lu: %s is not what was said at %lu",
                   a->number, msg_u(m, FIELD_TASK), field_row(f)->name, at);
}

/* One that brought about something: a stale completion may end an attempt. */
static const struct m_entry *entry_of(const struct world *w,
                                      const struct msg *m, unsigned verb)
{
    uint64_t at = msg_u(m, FIELD_REVISION);
    const struct m_entry *e = at < w->model.size ? &w->model.entries[at] : NULL;

    return e && (!verb || e->verb == verb) &&
                   (e->outcome == CHOIR_OK || e->outcome == CHOIR_STALE) &&
                   e->task == msg_u(m, FIELD_TASK)
               ? e
               : NULL;
}

/* --- Asking --------------------------------------------------------------- */

static struct waiting *waiting_of(struct client *a, uint64_t task)
{
    for (size_t i = 0; i < WAITS_MAX; i++)
        if (a->waits[i].task == task)
            return &a->waits[i];
    return NULL;
}

/* One that it has to ask for again; or another, if there is room. */
static struct waiting *any_waiting(struct world *w, struct client *a)
{
    struct waiting *x = waiting_of(a, 0);
    size_t n = w->model.task_count;
    const struct m_task *t;

    for (size_t i = 0; i < WAITS_MAX; i++)
        if (a->waits[i].task && !a->waits[i].is_open)
            return &a->waits[i];
    if (w->calm || !x || !n)
        return NULL;
    t = &w->model.tasks[n - 1 - world_any(n < RECENT ? n : RECENT)];
    if (!t->state || waiting_of(a, t->id))
        return NULL;
    *x = (struct waiting){.task = t->id, .had = world_any(t->partials + 1)};
    return x;
}

void waiting_act(struct world *w, struct client *a)
{
    struct waiting *x = any_waiting(w, a);
    struct question *q = x ? question_new(w, a, MSG_AWAIT) : NULL;
    struct msg m;

    if (!q)
        return;
    q->waiting = x;
    x->is_open = true;
    x->told = 0;
    msg_init(&m, MSG_AWAIT);
    msg_set_u(&m, FIELD_TASK, x->task);
    msg_set_u(&m, FIELD_COUNT, x->had);
    question_ask(w, a, q, &m);
}

static bool may_see(const struct world *w, const struct client *a,
                    const struct m_task *t)
{
    return t->submitter == a->number || t->holder == a->number ||
           model_may(&w->model, a->number, RIGHT_WORK) ||
           model_may(&w->model, a->number, RIGHT_ADMIN);
}

void waiting_replied(struct world *w, struct client *a,
                     const struct question *q, const struct msg *m)
{
    const struct m_task *t = model_task(&w->model, q->waiting->task);
    int code = (int)msg_u(m, FIELD_OUTCOME);

    if (!code)
        return;
    if (code != CHOIR_NOT_FOUND || (t && may_see(w, a, t)))
        world_fail(w, "agent %d waits for task %lu: %s", a->number,
                   q->waiting->task, refusal_name(code));
    q->waiting->task = 0;
}

bool waiting_is_done(const struct world *w, const struct client *a)
{
    for (size_t i = 0; i < WAITS_MAX; i++) {
        const struct waiting *x = &a->waits[i];
        const struct m_task *t = model_task(&w->model, x->task);

        if (x->task && (!x->is_open || !t || task_is_over(t) ||
                        (may_see(w, a, t) && x->had < t->partials)))
            return false;
    }
    return !waiting_lacks_input(w, a);
}

/* --- Those who wait ------------------------------------------------------- */

static struct waiting *heard(struct world *w, struct client *a,
                             const struct msg *m, const char *what)
{
    struct waiting *x = waiting_of(a, msg_u(m, FIELD_TASK));

    if (!x || !x->is_open)
        world_fail(w, "agent %d is told %s of task %lu, unasked", a->number,
                   what, msg_u(m, FIELD_TASK));
    return x;
}

void waiting_partial(struct world *w, struct client *a, const struct msg *m)
{
    struct waiting *x = heard(w, a, m, "a partial result");
    const struct m_entry *e = entry_of(w, m, MSG_PARTIAL);

    if (!e || e->token != msg_u(m, FIELD_TOKEN) ||
        msg_u(m, FIELD_COUNT) != x->had + 1)
        world_fail(w,
                   "agent %d is told partial result %lu of task %lu, at "
                   "%lu; it had %lu",
                   a->number, msg_u(m, FIELD_COUNT), x->task,
                   msg_u(m, FIELD_REVISION), x->had);
    value_check(w, a, msg_u(m, FIELD_REVISION), m, FIELD_VALUE);
    x->had++;
    w->out->partials++;
}

/* Of a state that is told with a value: whose entry that is. */
static uint64_t value_at(const struct world *w, const struct msg *m)
{
    uint64_t revision = msg_u(m, FIELD_REVISION);

    switch (msg_u(m, FIELD_STATE)) {
    case TASK_COMPLETED: return revision;
    case TASK_INPUT_REQUIRED:
        return model_said(&w->model, MSG_ASK_INPUT, msg_u(m, FIELD_TASK),
                          revision);
    default: return 0;
    }
}

static void check_end(struct world *w, struct client *a, struct waiting *x,
                      const struct msg *m)
{
    const struct m_task *t = model_task(&w->model, x->task);

    if (t && (t->changed != msg_u(m, FIELD_REVISION) || x->had < t->partials))
        world_fail(w,
                   "agent %d is told that task %lu ended at %lu, with %lu "
                   "partial results of %lu",
                   a->number, x->task, msg_u(m, FIELD_REVISION), x->had,
                   t->partials);
    x->task = 0;
    w->out->ends++;
}

void waiting_state(struct world *w, struct client *a, const struct msg *m)
{
    struct waiting *x = heard(w, a, m, "the state");
    uint64_t revision = msg_u(m, FIELD_REVISION);
    uint64_t state = msg_u(m, FIELD_STATE);
    const struct m_entry *e = entry_of(w, m, 0);

    if (!e || e->state != state || revision <= x->told)
        world_fail(w,
                   "agent %d is told state %lu of task %lu at %lu, behind "
                   "%lu",
                   a->number, state, x->task, revision, x->told);
    x->told = revision;
    value_check(w, a, value_at(w, m), m, FIELD_VALUE);
    value_check(w, a, model_said(&w->model, MSG_PROGRESS, x->task, revision), m,
                FIELD_PROGRESS);
    if (state >= TASK_COMPLETED)
        check_end(w, a, x, m);
}

/* --- Those who work ------------------------------------------------------- */

uint64_t waiting_task(struct world *w, struct client *a, const struct msg *m)
{
    uint64_t task = msg_u(m, FIELD_TASK), seen = msg_u(m, FIELD_REVISION);
    uint64_t input = model_said(&w->model, MSG_INPUT, task, seen);

    value_check(w, a, model_said(&w->model, MSG_PROGRESS, task, seen), m,
                FIELD_PROGRESS);
    value_check(w, a, input, m, FIELD_INPUT);
    return input;
}

void waiting_input(struct world *w, struct client *a, const struct msg *m)
{
    uint64_t revision = msg_u(m, FIELD_REVISION);

    if (!entry_of(w, m, MSG_INPUT) || msg_u(m, FIELD_TOKEN) > revision)
        world_fail(w, "agent %d is told of input %lu to task %lu", a->number,
                   revision, msg_u(m, FIELD_TASK));
    value_check(w, a, revision, m, FIELD_VALUE);
    for (size_t i = 0; i < a->held_count; i++)
        if (a->held[i].token == msg_u(m, FIELD_TOKEN))
            a->held[i].input = revision;
    w->out->inputs++;
}

/* The entry that it should know of; or 0. */
static uint64_t input_lacked(const struct world *w, const struct held *h)
{
    const struct m_task *t = model_task(&w->model, h->task);

    return t && task_is_held(t) && t->token == h->token &&
                   t->input > t->token && h->input != t->input
               ? t->input
               : 0;
}

bool waiting_lacks_input(const struct world *w, const struct client *a)
{
    for (size_t i = 0; i < a->held_count; i++)
        if (input_lacked(w, &a->held[i]))
            return true;
    return false;
}

void waiting_holds(struct client *a, uint64_t token, uint64_t since)
{
    for (size_t i = 0; i < a->held_count; i++)
        if (a->held[i].token == token && since < a->held[i].since)
            a->held[i].since = since;
}

void waiting_check(struct world *w, struct client *a)
{
    for (size_t i = 0; i < a->held_count; i++) {
        uint64_t input = input_lacked(w, &a->held[i]);

        if (input > a->held[i].since && input < a->before)
            world_fail(w, "agent %d is not told of input %lu to task %lu",
                       a->number, input, a->held[i].task);
    }
}
