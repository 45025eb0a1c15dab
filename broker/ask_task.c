/* Tasks: getting work, keeping it, and looking at what there is. */
#include <errno.h>

#include "ask_private.h"
#include "proto/refusal.h"

int ask_work(struct ask *q)
{
    struct lease_limit over;
    int r = lease_offer(q->a->with.leases, q->p, q->op, &over);

    return r == CHOIR_OVER_LIMIT ? ask_over(q, over.name, over.limit, over.size)
                                 : r;
}

int ask_heartbeat(struct ask *q)
{
    uint64_t lost = 0;

    lease_heartbeat(q->a->with.leases, q->p, q->op, &q->a->items, &lost);
    if (lost)
        msg_set_list(q->reply, FIELD_ITEMS, lost, buf_bytes(&q->a->items));
    return 0;
}

int ask_await(struct ask *q)
{
    uint64_t limit = q->a->with.config->awaits_per_agent_max;
    uint64_t had = msg_has(q->op, FIELD_COUNT) ? msg_u(q->op, FIELD_COUNT)
                                               : AWAIT_NO_PARTIALS;
    int r = await_task(
        q->a->with.awaits, q->p, msg_u(q->op, FIELD_TASK),
        had < AWAIT_NO_PARTIALS ? (uint32_t)had : AWAIT_NO_PARTIALS, limit);

    return r == CHOIR_OVER_LIMIT
               ? ask_over(q, "awaits_per_agent_max", limit, limit)
               : r;
}

static void task_facts(const struct ask *q, const struct task *t,
                       struct msg *item)
{
    const struct agents *agents = q->a->state->agents;
    const struct agent *submitter = agent_by_number(agents, t->submitter);
    const struct agent *holder = agent_by_number(agents, t->holder);

    msg_set_u(item, FIELD_TASK, t->id);
    msg_set_u(item, FIELD_STATE, t->state);
    msg_set_text(item, FIELD_SPACE, t->queue->space);
    msg_set_text(item, FIELD_QUEUE, t->queue->name);
    msg_set_u(item, FIELD_PRIORITY, t->priority);
    msg_set_u(item, FIELD_ATTEMPT, t->attempt);
    msg_set_u(item, FIELD_MAX_ATTEMPTS, t->max_attempts);
    msg_set_u(item, FIELD_LEASE_MS, t->lease_ms);
    msg_set_u(item, FIELD_BACKOFF_MS, t->backoff_ms);
    msg_set_u(item, FIELD_REVISION, t->changed);
    if (t->stale)
        msg_set_u(item, FIELD_STALE, t->stale);
    if (t->token)
        msg_set_u(item, FIELD_TOKEN, t->token);
    if (t->not_before)
        msg_set_u(item, FIELD_NOT_BEFORE, t->not_before);
    if (submitter)
        msg_set_hash(item, FIELD_AGENT, &submitter->id);
    if (holder)
        msg_set_hash(item, FIELD_HOLDER, &holder->id);
    if (t->links && t->links->deadline)
        msg_set_u(item, FIELD_DEADLINE, t->links->deadline);
    if (t->links && t->links->parent)
        msg_set_u(item, FIELD_PARENT, t->links->parent);
}

/* The payload as it was submitted, its type and time. */
static int task_payload(struct ask *q, const struct task *t, struct msg *item,
                        struct buf *keep)
{
    const struct entry *e;
    struct bytes value;
    struct msg head;
    unsigned field;
    int r = ledger_entry(q->a->ledger, t->payload, &e);
    size_t n;

    if (r)
        return r < 0 ? r : -EUCLEAN;
    msg_set_u(item, FIELD_TIME, e->time);
    r = entry_slot(e, 0, &value);
    if (r == CHOIR_ERASED)
        msg_set_u(item, FIELD_OUTCOME, CHOIR_ERASED);
    if (r || msg_decode(e->head, CLASS_OPERATION, &head, &field))
        return 0;
    n = value.n;
    buf_put(keep, value.p, n);
    buf_put(keep, msg_b(&head, FIELD_TYPE).p, msg_b(&head, FIELD_TYPE).n);
    if (keep->failed)
        return -ENOMEM;
    msg_set_b(item, FIELD_VALUE, bytes_of(keep->p, n));
    if (msg_has(&head, FIELD_TYPE))
        msg_set_b(item, FIELD_TYPE, bytes_of(keep->p + n, keep->n - n));
    return 0;
}

/* First the task with its payload and last progress, then, each with its kind,
 * the result and what hangs on it. */
int ask_task_get(struct ask *q)
{
    const struct task *t =
        task_by_id(q->a->state->tasks, msg_u(q->op, FIELD_TASK));
    struct buf payload = {0};
    struct msg item, now, result;
    uint64_t n = 1;
    int r;

    if (!t || !task_visible(q->agent, t))
        return CHOIR_NOT_FOUND;
    msg_init(&item, MSG_ITEM);
    msg_init(&now, MSG_TASK_STATE);
    task_facts(q, t, &item);
    r = task_describe(q->a->state, q->a->ledger, t, &q->a->text, &now);
    if (!r)
        r = task_payload(q, t, &item, &payload);
    if (!r) {
        if (msg_has(&now, FIELD_PROGRESS))
            msg_set_b(&item, FIELD_PROGRESS, msg_b(&now, FIELD_PROGRESS));
        if (msg_has(&now, FIELD_REASON))
            msg_set_b(&item, FIELD_REASON, msg_b(&now, FIELD_REASON));
        msg_encode(&item, &q->a->items);
    }
    if (!r && t->state == TASK_COMPLETED &&
        (msg_has(&now, FIELD_VALUE) || msg_has(&now, FIELD_OUTCOME))) {
        msg_init(&result, MSG_ITEM);
        msg_set_u(&result, FIELD_KIND, TASK_ITEM_RESULT);
        if (msg_has(&now, FIELD_VALUE))
            msg_set_b(&result, FIELD_VALUE, msg_b(&now, FIELD_VALUE));
        else
            msg_set_u(&result, FIELD_OUTCOME, msg_u(&now, FIELD_OUTCOME));
        if (msg_has(&now, FIELD_TYPE))
            msg_set_b(&result, FIELD_TYPE, msg_b(&now, FIELD_TYPE));
        if (msg_has(&now, FIELD_STALE)) {
            msg_set_u(&result, FIELD_STALE, msg_u(&now, FIELD_STALE));
            msg_set_u(&result, FIELD_COUNT, msg_u(&now, FIELD_COUNT));
        }
        msg_encode(&result, &q->a->items);
        n++;
    }
    if (!r && t->links)
        r = ask_task_links(q, t, &n);
    buf_free(&payload);
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
    return r;
}

static bool wanted(const struct ask *q, const struct task *t)
{
    if (!bytes_equal(bytes_text(t->queue->space), msg_b(q->op, FIELD_SPACE)))
        return false;
    if (msg_has(q->op, FIELD_QUEUE) &&
        !bytes_equal(bytes_text(t->queue->name), msg_b(q->op, FIELD_QUEUE)))
        return false;
    if (msg_has(q->op, FIELD_STATE) && t->state != msg_u(q->op, FIELD_STATE))
        return false;
    return task_visible(q->agent, t);
}

int ask_task_list(struct ask *q)
{
    const struct tasks *tasks = q->a->state->tasks;
    uint64_t n = 0, page = ask_page(q), scanned = 0, last = 0;
    const struct task *t = tasks_next(tasks, msg_u(q->op, FIELD_TASK));

    for (; t && n < page && scanned < SCAN_MAX; scanned++) {
        struct msg item;

        if (wanted(q, t)) {
            msg_init(&item, MSG_ITEM);
            task_facts(q, t, &item);
            msg_encode(&item, &q->a->items);
            n++;
        }
        last = t->id;
        t = tasks_next(tasks, t->id);
    }
    if (t)
        msg_set_u(q->reply, FIELD_TASK, last); /* go on after it */
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
    return 0;
}
