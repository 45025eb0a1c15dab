/* An agent's watch: what it is told of, and that nothing is left out. */
#include "tests/sim/world/world.h"

enum { WATCH = 1, CREDIT_MAX = 20 };

/* --- Asking -------------------------------------------------------------- */

/* Opens it where it stood, or gives it more credit. */
void watch_act(struct world *w, struct client *a)
{
    bool open = a->credit == 0;
    struct question *q = question_new(w, a, open ? MSG_WATCH : MSG_CREDIT);
    uint64_t more = 1 + world_any(CREDIT_MAX);
    struct msg m;

    if (!q || a->credit > CREDIT_MAX)
        return;
    msg_init(&m, q->verb);
    msg_set_u(&m, FIELD_WATCH, WATCH);
    msg_set_u(&m, FIELD_CREDIT, more);
    if (open) {
        msg_set_text(&m, FIELD_SPACE, SIM_SPACE);
        msg_set_text(&m, FIELD_PREFIX, "");
        msg_set_u(&m, FIELD_REVISION, a->watch_next);
        if (a->gaps)
            msg_set_u(&m, FIELD_KIND, 1);
        q->at = a->watch_next;
        a->openings++;
    }
    q->opening = a->openings;
    a->credit = open ? more : a->credit + more;
    question_ask(w, a, q, &m);
}

/* --- Being told ---------------------------------------------------------- */

/* How many of the changes made there it has to be told of. */
static size_t wanted_at(const struct world *w, const struct client *a,
                        uint64_t revision)
{
    return a->gaps ? model_kept_at(&w->model, revision,
                                   model_line(&w->model, w->model.size))
                   : model_written_at(&w->model, revision);
}

/* It is told of nothing between there and where it stood. */
static void pass(struct world *w, struct client *a, uint64_t upto)
{
    for (uint64_t i = a->watch_next; i < upto; i++)
        if (wanted_at(w, a, i))
            world_fail(w, "agent %d's watch is not told of %lu", a->number, i);
    if (upto > a->watch_next)
        a->watch_next = upto;
}

/* Everything up to there has been said. */
void watch_told(struct world *w, struct client *a, uint64_t upto)
{
    if (upto >= w->model.size)
        world_fail(w, "agent %d's watch has come to %lu, durable are %lu",
                   a->number, upto, w->model.size);
    pass(w, a, upto + 1);
}

void watch_changed(struct world *w, struct client *a, const struct msg *m)
{
    uint64_t revision = msg_u(m, FIELD_REVISION);
    struct list items = msg_list(m, FIELD_ITEMS);
    struct msg item;

    if (revision < a->watch_next || revision >= w->model.size)
        world_fail(w, "agent %d's watch is told of %lu, where %lu may come",
                   a->number, revision, a->watch_next);
    pass(w, a, revision);
    if (items.left < wanted_at(w, a, revision) ||
        items.left > model_written_at(&w->model, revision))
        world_fail(w, "agent %d's watch is told %lu changes of %lu", a->number,
                   items.left, revision);
    while (list_next(&items, &item)) {
        struct bytes value = msg_b(&item, FIELD_VALUE);
        int code = (int)msg_u(&item, FIELD_OUTCOME);

        erased_check(w, a, msg_b(&item, FIELD_KEY), revision, code, a->before,
                     w->model.size);
        version_check(w, a, msg_b(&item, FIELD_KEY), revision,
                      msg_u(&item, FIELD_KIND) ? 0 : revision,
                      code ? NULL : &value);
    }
    a->watch_next = revision + 1;
    a->credit -= a->credit > 0;
    client_knows(a, revision);
    w->out->changes++;
}

/* --- Its end ------------------------------------------------------------- */

/* What it stood at is no longer kept. It takes what there is at the line, as
 * whoever reloads does, or what is kept of the way there. */
static void compacted(struct world *w, struct client *a, uint64_t line)
{
    if (line <= a->watch_next || line > model_line(&w->model, w->model.size) ||
        a->gaps)
        world_fail(w, "agent %d's watch at %lu is said to be before %lu",
                   a->number, a->watch_next, line);
    a->gaps = world_any(2);
    if (!a->gaps)
        a->watch_next = line;
    world_say(w, "agent %d's watch is before the line %lu", a->number, line);
}

/* What is said of one that was opened again since no longer counts. */
void watch_replied(struct world *w, struct client *a, const struct question *q,
                   const struct msg *m)
{
    uint64_t code = msg_u(m, FIELD_OUTCOME);

    if (q->opening != a->openings)
        return;
    if (code)
        a->credit = 0;
    else if (q->verb == MSG_CREDIT)
        watch_told(w, a, msg_u(m, FIELD_REVISION));
    if (q->verb == MSG_WATCH && code == CHOIR_COMPACTED)
        compacted(w, a, msg_u(m, FIELD_REVISION));
}

static bool is_opening(const struct client *a)
{
    for (size_t i = 0; i < ASKS_MAX; i++)
        if (a->questions[i].number && a->questions[i].verb == MSG_WATCH)
            return true;
    return false;
}

/* One that could not be opened again is still there, and may end later: that
 * no longer counts either. */
void watch_over(struct world *w, struct client *a, const struct msg *m)
{
    uint64_t line = msg_u(m, FIELD_REVISION);
    bool is_past = msg_u(m, FIELD_OUTCOME) == CHOIR_COMPACTED;

    if (is_opening(a) || (is_past && (a->gaps || line <= a->watch_next)))
        return;
    a->credit = 0;
    if (is_past)
        compacted(w, a, line);
}
