/* Links between tasks. A need is met, a child is told, when somebody comes to
 * it: each end of a task that concerns others puts it into one list, and
 * tasks_settle works that off step by step, however many they are. */
#include "task_links.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "item.h"
#include "proto/refusal.h"
#include "task_private.h"

static bool is_open(const struct task *t)
{
    return !task_state_final(t->state);
}

/* --- The digest ---------------------------------------------------------- */

static void links_item(struct item *it, const struct task_links *l)
{
    struct bytes capability = l->lane ? l->lane->capability : (struct bytes){0};

    item_begin(it, ITEM_TASK_LINKS);
    item_u64(it, l->task->id);
    item_u64(it, l->deadline);
    item_u64(it, l->parent);
    item_u64(it, l->partial);
    item_u32(it, l->partials);
    item_u64(it, l->question);
    item_u64(it, l->input);
    item_u8(it, (uint8_t)l->need_count);
    for (uint32_t i = 0; i < l->need_count; i++)
        item_u64(it, l->needs[i].task);
    item_put(it, capability);
}

static void links_enter(struct tasks *t, struct task_links *l)
{
    struct item it;

    links_item(&it, l);
    item_enter(t->digest, &it, &l->item);
    l->stated = true;
}

static void links_leave(struct tasks *t, struct task_links *l)
{
    if (l->stated)
        digest_sub(t->digest, &l->item);
    l->stated = false;
}

/* Those of the task, made if need be. NULL: no memory. */
static struct task_links *links_of(struct task *task)
{
    if (!task->links) {
        task->links = calloc(1, sizeof *task->links);
        if (task->links)
            task->links->task = task;
    }
    return task->links;
}

void links_free(struct task_links *l)
{
    if (!l)
        return;
    free(l->needs);
    free(l);
}

/* --- Whom an end concerns ------------------------------------------------ */

/* Open children come first. */
static bool has_open_child(const struct task_links *l)
{
    return l->children && is_open(l->children->task);
}

static bool concerns_others(const struct task_links *l)
{
    return l->wanted || (l->task->state == TASK_CANCELLED && has_open_child(l));
}

static void unsettle(struct tasks *t, struct task_links *l)
{
    if (l->unsettled || is_open(l->task) || !concerns_others(l))
        return;
    l->unsettled = true;
    DL_APPEND2(t->unsettled, l, settle_prev, settle_next);
}

static void settle(struct tasks *t, struct task_links *l)
{
    if (!l->unsettled)
        return;
    l->unsettled = false;
    DL_DELETE2(t->unsettled, l, settle_prev, settle_next);
}

bool tasks_unsettled(const struct tasks *t)
{
    return t->unsettled != NULL;
}

bool task_is_settled(const struct task *task)
{
    return !task->links || !task->links->unsettled;
}

/* --- Needs --------------------------------------------------------------- */

static int need_link(struct tasks *t, struct need *n)
{
    struct task *on = task_by_id(t, n->task);

    if (!on || on->state == TASK_COMPLETED)
        return 0;
    n->on = links_of(on);
    if (!n->on)
        return -ENOMEM;
    DL_APPEND(n->on->wanted, n);
    n->by->open_needs++;
    unsettle(t, n->on);
    return 0;
}

/* It waits for that one no longer. */
static void need_unlink(struct need *n)
{
    if (!n->on)
        return;
    DL_DELETE(n->on->wanted, n);
    n->on = NULL;
    n->by->open_needs--;
}

static void need_meet(struct need *n)
{
    struct task *by = n->by->task;
    bool queued = by->state == TASK_QUEUED;

    if (queued)
        queue_leave(by);
    need_unlink(n);
    if (queued)
        queue_enter(by);
}

static int needs_add(struct tasks *t, struct task_links *l,
                     const struct task_terms *terms)
{
    int r = 0;

    if (!terms->need_count)
        return 0;
    l->needs = calloc(terms->need_count, sizeof *l->needs);
    if (!l->needs)
        return -ENOMEM;
    l->need_count = terms->need_count;
    for (uint32_t i = 0; i < terms->need_count; i++)
        l->needs[i] = (struct need){.task = terms->needs[i], .by = l};
    for (uint32_t i = 0; !r && i < l->need_count && is_open(l->task); i++)
        r = need_link(t, &l->needs[i]);
    return r;
}

/* --- Parent and children ------------------------------------------------- */

static int parent_link(struct tasks *t, struct task_links *l)
{
    struct task *parent = l->parent ? task_by_id(t, l->parent) : NULL;

    if (!parent)
        return 0;
    l->of = links_of(parent);
    if (!l->of)
        return -ENOMEM;
    if (is_open(l->task))
        DL_PREPEND(l->of->children, l);
    else
        DL_APPEND(l->of->children, l);
    l->of->child_count++;
    unsettle(t, l->of);
    return 0;
}

static void parent_unlink(struct task_links *l)
{
    if (!l->of)
        return;
    DL_DELETE(l->of->children, l);
    l->of->child_count--;
    l->of = NULL;
}

/* --- Lanes and deadlines ------------------------------------------------- */

static int lane_change(struct task_links *l, struct bytes capability)
{
    struct task *task = l->task;
    struct lane *lane;

    if (!capability.n)
        return 0;
    lane = lane_make(task->queue, capability);
    if (!lane || (is_open(task) && lane_room(lane)))
        return -ENOMEM;
    task->queue->any.tasks--;
    task->queue->any.open -= is_open(task);
    lane->tasks++;
    lane->open += is_open(task);
    l->lane = lane;
    return 0;
}

static int deadline_set(struct tasks *t, struct task_links *l)
{
    if (!l->deadline || !is_open(l->task))
        return 0;
    if (heap_room(&t->deadlines, t->deadlines.count + 1))
        return -ENOMEM;
    heap_push(&t->deadlines, l->deadline, &l->deadline_at);
    l->timed = true;
    return 0;
}

static void deadline_clear(struct tasks *t, struct task_links *l)
{
    if (l->timed)
        heap_remove(&t->deadlines, l->deadline_at);
    l->timed = false;
}

const struct task *tasks_first_deadline(const struct tasks *t)
{
    if (!t->deadlines.count)
        return NULL;
    return HEAP_OWNER(t->deadlines.rows[0], struct task_links, deadline_at)
        ->task;
}

/* --- Settling ------------------------------------------------------------ */

enum settle tasks_settle(struct tasks *t, struct settled *out)
{
    struct task_links *l;

    while ((l = t->unsettled) != NULL) {
        struct need *n = l->wanted;

        out->cause = l->task;
        if (n) {
            out->task = n->by->task;
            if (l->task->state != TASK_COMPLETED)
                return SETTLE_NEED;
            need_meet(n);
            return SETTLE_FREED;
        }
        if (concerns_others(l)) {
            out->task = l->children->task;
            return SETTLE_PARENT;
        }
        settle(t, l);
    }
    return SETTLE_NOTHING;
}

/* --- Changes ------------------------------------------------------------- */

int task_link(struct tasks *t, struct task *task,
              const struct task_terms *terms)
{
    bool queued = task->state == TASK_QUEUED;
    struct task_links *l = links_of(task);
    int r;

    if (!l)
        return -ENOMEM;
    if (queued)
        queue_leave(task);
    l->deadline = terms->deadline;
    l->parent = terms->parent;
    r = lane_change(l, terms->capability);
    if (!r)
        r = needs_add(t, l, terms);
    if (!r)
        r = parent_link(t, l);
    if (!r)
        r = deadline_set(t, l);
    if (queued)
        queue_enter(task);
    if (!r)
        links_enter(t, l);
    return r;
}

int task_partial(struct tasks *t, struct task *task, uint64_t index)
{
    struct task_links *l = links_of(task);

    if (!l)
        return -ENOMEM;
    links_leave(t, l);
    l->partial = index;
    l->partials++;
    links_enter(t, l);
    return 0;
}

int task_question(struct tasks *t, struct task *task, uint64_t index)
{
    struct task_links *l = links_of(task);

    if (!l)
        return -ENOMEM;
    links_leave(t, l);
    l->question = index;
    links_enter(t, l);
    task_rest(t, task, index);
    return 0;
}

int task_input(struct tasks *t, struct task *task, uint64_t index)
{
    struct task_links *l = links_of(task);

    if (!l)
        return -ENOMEM;
    links_leave(t, l);
    l->input = index;
    links_enter(t, l);
    task_resume(t, task, index);
    return 0;
}

void links_finish(struct tasks *t, struct task *task)
{
    struct task_links *l = task->links;

    for (uint32_t i = 0; i < l->need_count; i++)
        need_unlink(&l->needs[i]);
    deadline_clear(t, l);
    if (l->of) { /* behind those that are open */
        DL_DELETE(l->of->children, l);
        DL_APPEND(l->of->children, l);
    }
    unsettle(t, l);
}

/* At a replay the needs of others may not have been settled: whether they were
 * is in no record. */
void links_forget(struct tasks *t, struct task *task)
{
    struct task_links *l = task->links;

    links_leave(t, l);
    while (l->wanted)
        need_meet(l->wanted);
    while (l->children)
        parent_unlink(l->children);
    parent_unlink(l);
    settle(t, l);
    links_free(l);
    task->links = NULL;
}

/* --- Snapshots ----------------------------------------------------------- */

int links_save(const struct task *task, task_sink put, void *to)
{
    struct item it;

    if (!task->links || !task->links->stated)
        return 0;
    links_item(&it, task->links);
    return put(to, item_record(&it));
}

struct links_said {
    struct task_terms terms;
    uint64_t id, partial, question, input, needs[LIMIT_NEEDS];
    uint32_t partials;
};

static bool links_read(struct bytes record, struct links_said *s)
{
    struct cursor at = cursor_of(record);

    cursor_u8(&at);
    s->id = cursor_u64(&at);
    s->terms.deadline = cursor_u64(&at);
    s->terms.parent = cursor_u64(&at);
    s->partial = cursor_u64(&at);
    s->partials = cursor_u32(&at);
    s->question = cursor_u64(&at);
    s->input = cursor_u64(&at);
    s->terms.need_count = cursor_u8(&at);
    if (at.failed || s->terms.need_count > LIMIT_NEEDS)
        return false;
    for (uint32_t i = 0; i < s->terms.need_count; i++)
        s->needs[i] = cursor_u64(&at);
    s->terms.needs = s->needs;
    s->terms.capability = cursor_take(&at, cursor_left(&at));
    return !at.failed && capabilities_sound(s->terms.capability);
}

/* Only earlier tasks are needed, and a child is younger than its parent. */
static bool links_sound(const struct links_said *s)
{
    for (uint32_t i = 0; i < s->terms.need_count; i++)
        if (s->needs[i] >= s->id)
            return false;
    return s->terms.parent < s->id && (s->partial == 0) == (s->partials == 0) &&
           (s->terms.need_count || s->terms.capability.n || s->terms.deadline ||
            s->terms.parent || s->partial || s->question);
}

int links_load(struct tasks *t, struct bytes record)
{
    struct links_said s = {0};
    struct task *task;
    int r;

    if (!links_read(record, &s) || !links_sound(&s))
        return CHOIR_MALFORMED;
    task = task_by_id(t, s.id);
    if (!task || (task->links && task->links->stated))
        return CHOIR_MALFORMED;
    r = task_link(t, task, &s.terms);
    if (r)
        return r;
    links_leave(t, task->links);
    task->links->partial = s.partial;
    task->links->partials = s.partials;
    task->links->question = s.question;
    task->links->input = s.input;
    links_enter(t, task->links);
    return 0;
}
