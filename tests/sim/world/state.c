/* The broker's state beside the model, piece by piece: whatever a restart or a
 * replay makes of the record, this is what it has to be. */
#include "broker/state/task_links.h"
#include "tests/sim/world/world.h"

/* --- Mail ----------------------------------------------------------------- */

static struct box_id id_of(const struct world *w, int box)
{
    const char *topic = box_topic(box);

    return (struct box_id){
        .agent = topic ? AGENT_NONE : w->agents[box].actor.number,
        .space = bytes_text(SIM_SPACE),
        .topic = bytes_text(topic ? topic : ""),
    };
}

static void box_check(struct world *w, int box)
{
    const struct state *s = rig_state(&w->rig);
    struct box_id id = id_of(w, box);
    uint64_t next = 0;
    const struct m_message *wanted;
    const struct mail_message *is;

    do {
        wanted = model_mail(&w->model, box, next);
        is = mail_next(s->mail, &id, next);
        if ((is ? is->revision : 0) != (wanted ? wanted->revision : 0))
            world_fail(w, "in box %d there is %lu, it should be %lu", box,
                       is ? is->revision : 0, wanted ? wanted->revision : 0);
        next = is ? is->revision + 1 : 0;
    } while (is);
}

/* --- Tasks ---------------------------------------------------------------- */

static bool links_fit(const struct task_links *l, const struct m_task *t)
{
    static const struct task_links none;

    l = l ? l : &none;
    return l->deadline == t->deadline && l->parent == t->parent &&
           l->need_count == t->need_count && l->partials == t->partials &&
           l->partial == t->partial && l->question == t->question &&
           l->input == t->input;
}

static void task_check(struct world *w, const struct m_task *t)
{
    const struct task *is = task_by_id(rig_state(&w->rig)->tasks, t->id);

    if (!is != !t->state)
        world_fail(w, "task %lu is %s", t->id, is ? "still there" : "gone");
    if (!is)
        return;
    if (is->state != t->state || is->token != t->token ||
        is->attempt != t->attempt || is->changed != t->changed ||
        (t->state == TASK_QUEUED && is->not_before != t->not_before))
        world_fail(w,
                   "task %lu is in state %u by %lu, at attempt %u since %lu; "
                   "it should be in %u by %lu, at %lu since %lu",
                   t->id, is->state, is->token, is->attempt, is->changed,
                   t->state, t->token, t->attempt, t->changed);
    if (!links_fit(is->links, t))
        world_fail(w, "what hangs on task %lu is something else", t->id);
}

/* One that is open and without a limit need not be there. */
static void queue_check(struct world *w, int queue)
{
    const struct m_queue *wanted = &w->model.queues[queue];
    const struct queue *q =
        queue_find(rig_state(&w->rig)->tasks, bytes_text(SIM_SPACE),
                   bytes_text(queue_name(queue)));

    if ((q ? q->kind : QUEUE_OPEN) !=
            (wanted->kind ? wanted->kind : QUEUE_OPEN) ||
        (q ? q->limit : 0) != wanted->limit)
        world_fail(w, "queue %s is not as it was set", queue_name(queue));
}

void state_check(struct world *w)
{
    for (int i = 0; i < WORLD_AGENTS; i++)
        box_check(w, i);
    for (int i = MODEL_AGENTS; i < MODEL_BOXES; i++)
        box_check(w, i);
    for (size_t i = 0; i < w->model.task_count; i++)
        task_check(w, &w->model.tasks[i]);
    for (int i = 0; i < MODEL_QUEUES; i++)
        queue_check(w, i);
}
