/* What hangs on a task, and how queues are set. */
#include <errno.h>

#include "ask_private.h"
#include "partial.h"
#include "proto/refusal.h"

enum { CHILDREN_TOLD_MAX = 256 };

static void item_say(struct ask *q, struct msg *item, enum task_item kind,
                     uint64_t *n)
{
    msg_set_u(item, FIELD_KIND, kind);
    msg_encode(item, &q->a->items);
    ++*n;
}

/* Slot 0 of an entry of the task's. */
static int say_entry(struct ask *q, uint64_t index, enum task_item kind,
                     uint64_t *n)
{
    const struct entry *e;
    struct msg head, item;
    unsigned field;
    int r = ledger_entry(q->a->ledger, index, &e);

    if (r || msg_decode(e->head, CLASS_OPERATION, &head, &field))
        return r < 0 ? r : -EUCLEAN;
    msg_init(&item, MSG_ITEM);
    msg_set_u(&item, FIELD_REVISION, index);
    msg_set_u(&item, FIELD_TIME, e->time);
    slot_tell(e, 0, &item);
    if (msg_has(&head, FIELD_TYPE))
        msg_set_b(&item, FIELD_TYPE, msg_b(&head, FIELD_TYPE));
    item_say(q, &item, kind, n);
    return 0;
}

static int say_partial(struct ask *q, const struct task_links *l, uint64_t *n)
{
    struct msg partial, item;
    int r = partial_read(q->a->ledger, l->partial, &partial);

    if (r)
        return r;
    msg_init(&item, MSG_ITEM);
    msg_set_u(&item, FIELD_COUNT, msg_u(&partial, FIELD_COUNT));
    msg_set_u(&item, FIELD_REVISION, l->partial);
    if (msg_has(&partial, FIELD_VALUE))
        msg_set_b(&item, FIELD_VALUE, msg_b(&partial, FIELD_VALUE));
    if (msg_has(&partial, FIELD_OUTCOME))
        msg_set_u(&item, FIELD_OUTCOME, msg_u(&partial, FIELD_OUTCOME));
    if (msg_has(&partial, FIELD_TYPE))
        msg_set_b(&item, FIELD_TYPE, msg_b(&partial, FIELD_TYPE));
    item_say(q, &item, TASK_ITEM_PARTIAL, n);
    return 0;
}

/* The state only of what the asker may see. */
static void say_task(struct ask *q, uint64_t id, enum task_item kind,
                     uint64_t *n)
{
    const struct task *t = task_by_id(q->a->state->tasks, id);
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_u(&item, FIELD_TASK, id);
    if (t && task_visible(q->agent, t))
        msg_set_u(&item, FIELD_STATE, t->state);
    item_say(q, &item, kind, n);
}

static void say_capabilities(struct ask *q, struct bytes packed, uint64_t *n)
{
    while (packed.n) {
        struct bytes name = {packed.p, strlen((const char *)packed.p)};
        struct msg item;

        msg_init(&item, MSG_ITEM);
        msg_set_b(&item, FIELD_NAME, name);
        item_say(q, &item, TASK_ITEM_CAPABILITY, n);
        packed.p += name.n + 1;
        packed.n -= name.n + 1;
    }
}

int ask_task_links(struct ask *q, const struct task *t, uint64_t *n)
{
    const struct task_links *l = t->links, *child = l->children;
    int r = l->partials ? say_partial(q, l, n) : 0;

    if (!r && l->question)
        r = say_entry(q, l->question, TASK_ITEM_QUESTION, n);
    if (!r && l->input)
        r = say_entry(q, l->input, TASK_ITEM_INPUT, n);
    for (uint32_t i = 0; i < l->need_count; i++)
        say_task(q, l->needs[i].task, TASK_ITEM_NEED, n);
    for (unsigned i = 0; child && i < CHILDREN_TOLD_MAX; i++) {
        if (task_visible(q->agent, child->task))
            say_task(q, child->task->id, TASK_ITEM_CHILD, n);
        child = child->next;
    }
    if (l->lane)
        say_capabilities(q, l->lane->capability, n);
    return r;
}

/* --- Queues -------------------------------------------------------------- */

static bool queue_visible(const struct agent *a, const struct queue *q)
{
    const unsigned rights[] = {RIGHT_SUBMIT, RIGHT_WORK, RIGHT_ADMIN};

    for (size_t i = 0; i < 3; i++)
        if (agent_may(a, rights[i], bytes_text(q->space), (struct bytes){0},
                      bytes_text(q->name)))
            return true;
    return false;
}

static void queue_say(struct ask *q, const struct queue *queue)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_QUEUE, queue->name);
    msg_set_u(&item, FIELD_KIND, queue->kind);
    msg_set_u(&item, FIELD_COUNT, queue->open);
    msg_set_u(&item, FIELD_SIZE, queue->queued);
    if (queue->limit)
        msg_set_u(&item, FIELD_LIMIT, queue->limit);
    msg_encode(&item, &q->a->items);
}

int ask_queue_list(struct ask *q)
{
    const struct tasks *tasks = q->a->state->tasks;
    struct bytes space = msg_b(q->op, FIELD_SPACE);
    uint64_t n = 0, page = ask_page(q), scanned = 0;
    const struct queue *queue =
        queue_after(tasks, space, msg_b(q->op, FIELD_AFTER));
    const char *last = "";

    for (; queue && n < page && scanned < SCAN_MAX; scanned++) {
        if (queue_visible(q->agent, queue)) {
            queue_say(q, queue);
            n++;
        }
        last = queue->name;
        queue = queue_after(tasks, space, bytes_text(last));
    }
    if (queue)
        msg_set_text(q->reply, FIELD_AFTER, last); /* go on after it */
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
    return 0;
}
