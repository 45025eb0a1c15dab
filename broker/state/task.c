/* Tasks by id, and their steps from state to state. Heaps of their queues are
 * given their memory when a task is submitted, so that nothing that happens to
 * it later can fail. */
#include "task.h"

#include <errno.h>
#include <stdlib.h>

#include "item.h"
#include "proto/refusal.h"
#include "task_private.h"

struct task_node {
    struct task task;
    struct index_key id; /* a number_key */
};

/* In a task's item the policy stands above its priority, which leaves four
 * bits free: an item without one is what it was before there were policies. */
enum { STALE_SHIFT = 4 };

static void task_item(struct item *it, const struct task *t)
{
    item_begin(it, ITEM_TASK);
    item_u64(it, t->id);
    item_u64(it, t->payload);
    item_u64(it, t->token);
    item_u64(it, t->session);
    item_u64(it, t->changed);
    item_u64(it, t->progress);
    item_u64(it, t->not_before);
    item_u64(it, t->lease_ms);
    item_u64(it, t->backoff_ms);
    item_u32(it, t->submitter);
    item_u32(it, t->holder);
    item_u32(it, t->attempt);
    item_u32(it, t->max_attempts);
    item_u8(it, (uint8_t)(t->stale << STALE_SHIFT | t->priority));
    item_u8(it, t->state);
    item_name(it, bytes_text(t->queue->space));
    item_name(it, bytes_text(t->queue->name));
}

enum { HASHED_AT_ONCE = 8 };

static const struct hash not_hashed;

static void hash_some(struct tasks *t, struct task *const *some, unsigned n)
{
    struct item items[HASHED_AT_ONCE];
    struct hash_job jobs[HASHED_AT_ONCE];
    struct hash hashes[HASHED_AT_ONCE];

    for (unsigned i = 0; i < n; i++) {
        task_item(&items[i], some[i]);
        jobs[i] = (struct hash_job){.a = item_record(&items[i])};
    }
    hash_many(HASH_STATE, jobs, n, hashes);
    for (unsigned i = 0; i < n; i++) {
        some[i]->item = hashes[i];
        digest_add(t->digest, &hashes[i]);
    }
}

void tasks_hash(struct tasks *t)
{
    unsigned n;

    for (unsigned i = 0; i < t->changed_count; i += n) {
        n = t->changed_count - i;
        if (n > HASHED_AT_ONCE)
            n = HASHED_AT_ONCE;
        hash_some(t, t->changed + i, n);
    }
    t->changed_count = 0;
}

/* To be hashed, as it is then. */
static void task_enter(struct tasks *t, struct task *task)
{
    if (t->changed_count == TASKS_CHANGED)
        tasks_hash(t);
    task->item = not_hashed;
    t->changed[t->changed_count++] = task;
}

/* It is about to change. */
static void task_changes(struct tasks *t, struct task *task)
{
    if (hash_equal(&task->item, &not_hashed))
        return;
    digest_sub(t->digest, &task->item);
    task_enter(t, task);
}

static void final_append(struct tasks *t, struct task *task)
{
    if (t->final_last)
        t->final_last->next = task;
    else
        t->final_first = task;
    t->final_last = task;
    t->final_count++;
}

static int task_make(struct tasks *t, const struct task *as, struct queue *q,
                     struct task **out)
{
    struct number_key id = number_key(as->id);
    struct task_node *n = malloc(sizeof(*n) + sizeof(id));
    int r;

    if (!n)
        return -ENOMEM;
    n->task = *as;
    n->task.queue = q;
    n->task.next = NULL;
    n->task.links = NULL;
    n->id.len = sizeof(id);
    memcpy(n->id.bytes, &id, sizeof(id));
    r = index_insert(t->by_id, &n->id);
    if (r)
        free(n);
    else
        *out = &n->task;
    return r;
}

struct tasks *tasks_new(struct digest *digest)
{
    struct tasks *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->digest = digest;
    t->by_id = index_new();
    t->queues = index_new();
    if (!t->by_id || !t->queues)
        tasks_destroy(&t);
    return t;
}

void tasks_destroy(struct tasks **self_p)
{
    struct tasks *t = self_p ? *self_p : NULL;
    struct index_cursor at;
    struct index_key *k;

    if (!t)
        return;
    if (t->by_id && t->queues) {
        index_seek(t->by_id, &at, NULL, 0);
        while ((k = index_next(&at))) {
            links_free(index_item(k, struct task_node, id)->task.links);
            free(index_item(k, struct task_node, id));
        }
        index_seek(t->queues, &at, NULL, 0);
        while ((k = index_next(&at)))
            queue_free(index_item(k, struct queue_node, name));
    }
    index_destroy(&t->by_id);
    index_destroy(&t->queues);
    free(t->deadlines.rows);
    free(t);
    *self_p = NULL;
}

/* A step of a task's life looks for it again and again: when it is decided,
 * when it is done, when those hear of it whom it concerns. */
struct task *task_by_id(struct tasks *t, uint64_t id)
{
    struct number_key key = number_key(id);
    struct index_key *k;

    if (t->last && t->last->id == id)
        return t->last;
    k = index_find(t->by_id, &key, sizeof(key));
    if (!k)
        return NULL;
    t->last = &index_item(k, struct task_node, id)->task;
    return t->last;
}

size_t tasks_count(const struct tasks *t)
{
    return index_count(t->by_id);
}

size_t tasks_final_count(const struct tasks *t)
{
    return t->final_count;
}

const struct task *tasks_oldest_final(const struct tasks *t)
{
    return t->final_first;
}

struct task *tasks_next(const struct tasks *t, uint64_t after)
{
    struct number_key id = number_key(after + 1);
    struct index_cursor at;
    struct index_key *k;

    if (after == UINT64_MAX)
        return NULL;
    index_seek(t->by_id, &at, &id, sizeof(id));
    k = index_next(&at);
    return k ? &index_item(k, struct task_node, id)->task : NULL;
}

int task_add(struct tasks *t, struct bytes space, struct bytes queue,
             const struct task *as)
{
    bool final = task_state_final(as->state);
    struct task *task = NULL;
    struct queue *q;
    int r;

    if (as->id < 1 || as->id > LIMIT_UINT_MAX_WIRE ||
        as->priority > LIMIT_PRIORITY_MAX || as->stale > STALE_REQUEUE ||
        (final && t->final_last && as->changed < t->final_last->changed))
        return -EINVAL;
    r = queue_make(t, space, queue, &q);
    if (r)
        return r;
    r = final ? 0 : lane_room(&q->any);
    if (!r)
        r = task_make(t, as, q, &task);
    if (r) {
        queue_drop_if_empty(t, q);
        return r;
    }
    queue_node(q)->tasks++;
    q->open += !final;
    q->any.open += !final;
    q->any.tasks++;
    if (final)
        final_append(t, task);
    else if (task->state == TASK_QUEUED)
        queue_enter(task);
    task_enter(t, task);
    return 0;
}

void task_claim(struct tasks *t, struct task *task, uint64_t token,
                uint32_t agent, uint64_t session, uint32_t attempt)
{
    task_changes(t, task);
    queue_leave(task);
    task->state = TASK_WORKING;
    task->token = token;
    task->holder = agent;
    task->session = session;
    task->attempt = attempt;
    task->not_before = 0;
    task->changed = token;
}

void task_progress(struct tasks *t, struct task *task, uint64_t index)
{
    task_changes(t, task);
    task->progress = index;
}

/* Out of its queue or its holder's hands. */
static void task_take(struct task *task)
{
    if (task->state == TASK_QUEUED)
        queue_leave(task);
    task->token = 0;
    task->session = 0;
}

void task_release(struct tasks *t, struct task *task, uint64_t index,
                  uint64_t not_before)
{
    task_changes(t, task);
    task_take(task);
    task->state = TASK_QUEUED;
    task->not_before = not_before;
    task->changed = index;
    queue_enter(task);
}

void task_rest(struct tasks *t, struct task *task, uint64_t index)
{
    task_changes(t, task);
    task->state = TASK_INPUT_REQUIRED;
    task->changed = index;
}

/* The question stays what brought the present state. */
void task_rest_alone(struct tasks *t, struct task *task)
{
    task_changes(t, task);
    task->token = 0;
    task->session = 0;
}

void task_resume(struct tasks *t, struct task *task, uint64_t index)
{
    task_changes(t, task);
    task->state = task->token ? TASK_WORKING : TASK_QUEUED;
    task->changed = index;
    if (!task->token)
        queue_enter(task);
}

void task_finish(struct tasks *t, struct task *task, uint64_t index,
                 enum task_state state)
{
    task_changes(t, task);
    task_take(task);
    task->state = (uint8_t)state;
    task->not_before = 0;
    task->changed = index;
    task->queue->open--;
    lane_of(task)->open--;
    final_append(t, task);
    if (task->links)
        links_finish(t, task);
}

void tasks_forget(struct tasks *t, uint64_t index)
{
    struct task *task = t->final_first;

    if (!task || task->changed > index)
        return;
    tasks_hash(t);
    t->last = NULL;
    while ((task = t->final_first) && task->changed <= index) {
        struct number_key id = number_key(task->id);

        struct lane *lane = lane_of(task);

        digest_sub(t->digest, &task->item);
        if (task->links)
            links_forget(t, task);
        index_remove(t->by_id, &id, sizeof(id));
        lane->tasks--;
        lane_drop_if_empty(task->queue, lane);
        queue_node(task->queue)->tasks--;
        queue_drop_if_empty(t, task->queue);
        t->final_first = task->next;
        t->final_count--;
        free(task); /* the first member of its node */
    }
    if (!t->final_first)
        t->final_last = NULL;
}

typedef int (*task_save)(const struct task *task, task_sink put, void *to);

/* Open tasks by id, then final ones by `changed`. */
static int save_each(const struct tasks *t, task_save save, task_sink put,
                     void *to)
{
    const struct task *task;
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(t->by_id, &at, NULL, 0);
    while (!r && (k = index_next(&at))) {
        task = &index_item(k, struct task_node, id)->task;
        if (!task_state_final(task->state))
            r = save(task, put, to);
    }
    for (task = t->final_first; !r && task; task = task->next)
        r = save(task, put, to);
    return r;
}

static int save_task(const struct task *task, task_sink put, void *to)
{
    struct item it;

    task_item(&it, task);
    return put(to, item_record(&it));
}

int tasks_save(const struct tasks *t, task_sink put, void *to)
{
    int r = save_each(t, save_task, put, to);

    if (!r)
        r = save_each(t, links_save, put, to);
    return r ? r : queues_save(t, put, to);
}

static bool task_sound(const struct task *t)
{
    bool held = t->token != 0;

    if (t->state == TASK_WORKING ? !held
                                 : held && t->state != TASK_INPUT_REQUIRED)
        return false;
    if (!task_state_name(t->state))
        return false;
    return t->submitter && (held || t->session == 0) && (!held || t->holder) &&
           (t->state == TASK_QUEUED || t->not_before == 0);
}

static int task_load(struct tasks *t, struct bytes record)
{
    struct cursor at = cursor_of(record);
    struct bytes space, queue;
    struct task said = {0};
    int r;

    cursor_u8(&at);
    said.id = cursor_u64(&at);
    said.payload = cursor_u64(&at);
    said.token = cursor_u64(&at);
    said.session = cursor_u64(&at);
    said.changed = cursor_u64(&at);
    said.progress = cursor_u64(&at);
    said.not_before = cursor_u64(&at);
    said.lease_ms = cursor_u64(&at);
    said.backoff_ms = cursor_u64(&at);
    said.submitter = cursor_u32(&at);
    said.holder = cursor_u32(&at);
    said.attempt = cursor_u32(&at);
    said.max_attempts = cursor_u32(&at);
    said.priority = cursor_u8(&at);
    said.stale = said.priority >> STALE_SHIFT;
    said.priority &= (1 << STALE_SHIFT) - 1;
    said.state = cursor_u8(&at);
    space = load_name(&at, LIMIT_NAME_BYTES);
    queue = load_name(&at, LIMIT_NAME_BYTES);
    if (!load_ended(&at) || !task_sound(&said))
        return CHOIR_MALFORMED;
    r = task_add(t, space, queue, &said);
    return r == -EINVAL || r == -EEXIST ? CHOIR_MALFORMED : r;
}

int tasks_load(struct tasks *t, struct bytes record)
{
    switch (record.n ? record.p[0] : 0) {
    case ITEM_TASK: return task_load(t, record);
    case ITEM_TASK_LINKS: return links_load(t, record);
    case ITEM_QUEUE: return queue_load(t, record);
    default: return CHOIR_MALFORMED;
    }
}
