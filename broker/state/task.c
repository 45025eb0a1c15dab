/* Tasks by id, and for each queue two heaps: what can be handed out, and what
 * has to wait. Heaps are given their memory when a task is submitted, so that
 * nothing that happens to it later can fail. */
#include "task.h"

#include <errno.h>
#include <stdlib.h>

#include "handle.h"
#include "item.h"
#include "proto/refusal.h"

/* Rows are ordered by a number alone, so that a comparison reads no task. */
struct heap_row {
    uint64_t key;
    struct task *task;
};

struct task_node {
    struct task task;
    struct index_key id; /* a number_key */
};

struct queue_node {
    struct queue queue;
    size_t tasks; /* final ones included; it goes with the last */
    struct index_key name;
};

struct tasks {
    struct digest *digest; /* borrowed */
    struct index *by_id, *queues;
    struct task *final_first, *final_last;
    size_t final_count;
};

/* --- Heaps --------------------------------------------------------------- */

static void heap_set(struct heap *h, uint32_t at, struct heap_row row)
{
    h->rows[at] = row;
    row.task->at = at;
}

static void heap_up(struct heap *h, uint32_t at, struct heap_row row)
{
    while (at && row.key < h->rows[(at - 1) / 2].key) {
        heap_set(h, at, h->rows[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set(h, at, row);
}

static void heap_down(struct heap *h, uint32_t at, struct heap_row row)
{
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < h->count && h->rows[child + 1].key < h->rows[child].key)
            child++;
        if (child >= h->count || row.key <= h->rows[child].key)
            break;
        heap_set(h, at, h->rows[child]);
        at = child;
    }
    heap_set(h, at, row);
}

static int heap_room(struct heap *h, uint32_t count)
{
    uint32_t cap = h->cap ? h->cap * 2 : 4;
    struct heap_row *rows;

    if (count <= h->cap)
        return 0;
    rows = reallocarray(h->rows, cap, sizeof(*rows));
    if (!rows)
        return -ENOMEM;
    h->rows = rows;
    h->cap = cap;
    return 0;
}

static void heap_push(struct heap *h, uint64_t key, struct task *t)
{
    heap_up(h, h->count++, (struct heap_row){key, t});
}

static void heap_remove(struct heap *h, uint32_t at)
{
    struct heap_row last = h->rows[--h->count];

    if (at == h->count)
        return;
    if (at && last.key < h->rows[(at - 1) / 2].key)
        heap_up(h, at, last);
    else
        heap_down(h, at, last);
}

/* --- Queues -------------------------------------------------------------- */

/* Highest priority first, then the oldest: ids have 53 bits. */
static uint64_t ready_key(const struct task *t)
{
    return (uint64_t)(LIMIT_PRIORITY_MAX - t->priority) << 56 | t->id;
}

static struct queue_node *queue_node(struct queue *q)
{
    return (struct queue_node *)(void *)q; /* its first member */
}

/* Space and name, divided by the one byte that neither can hold. */
enum { QUEUE_KEY_MAX = 2 * LIMIT_NAME_BYTES + 1 };

static size_t queue_key(uint8_t out[QUEUE_KEY_MAX], struct bytes space,
                        struct bytes name)
{
    if (space.n < 1 || space.n > LIMIT_NAME_BYTES || name.n < 1 ||
        name.n > LIMIT_NAME_BYTES)
        return 0;
    memcpy(out, space.p, space.n);
    out[space.n] = 0;
    memcpy(out + space.n + 1, name.p, name.n);
    return space.n + 1 + name.n;
}

static void queue_free(struct queue_node *n)
{
    free(n->queue.ready.rows);
    free(n->queue.waiting.rows);
    free(n);
}

static int queue_make(struct tasks *t, struct bytes space, struct bytes name,
                      struct queue **out)
{
    struct queue_node *n;
    uint8_t key[QUEUE_KEY_MAX];
    size_t len = queue_key(key, space, name);
    int r;

    *out = queue_find(t, space, name);
    if (*out)
        return 0;
    if (!len)
        return -EINVAL;
    n = calloc(1, sizeof(*n) + len);
    if (!n)
        return -ENOMEM;
    memcpy(n->queue.space, space.p, space.n);
    memcpy(n->queue.name, name.p, name.n);
    n->name.len = (uint32_t)len;
    memcpy(n->name.bytes, key, len);
    r = index_insert(t->queues, &n->name);
    if (r)
        queue_free(n);
    else
        *out = &n->queue;
    return r;
}

static void queue_drop_if_empty(struct tasks *t, struct queue *q)
{
    struct queue_node *n = queue_node(q);

    if (n->tasks)
        return;
    index_remove(t->queues, n->name.bytes, n->name.len);
    queue_free(n);
}

static void queue_enter(struct task *t)
{
    struct queue *q = t->queue;

    q->queued++;
    t->waits = t->not_before != 0;
    if (t->waits)
        heap_push(&q->waiting, t->not_before, t);
    else
        heap_push(&q->ready, ready_key(t), t);
}

static void queue_leave(struct task *t)
{
    struct queue *q = t->queue;

    q->queued--;
    heap_remove(t->waits ? &q->waiting : &q->ready, t->at);
}

/* --- Tasks --------------------------------------------------------------- */

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
    item_u8(it, t->priority);
    item_u8(it, t->state);
    item_name(it, bytes_text(t->queue->space));
    item_name(it, bytes_text(t->queue->name));
}

static void task_enter(struct tasks *t, struct task *task)
{
    struct item it;

    task_item(&it, task);
    item_enter(t->digest, &it, &task->item);
}

static void task_leave(struct tasks *t, const struct task *task)
{
    digest_sub(t->digest, &task->item);
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

/* Room in both heaps for one more open task. */
static int queue_room(struct queue *q)
{
    int r = heap_room(&q->ready, q->open + 1);

    return r ? r : heap_room(&q->waiting, q->open + 1);
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
        while ((k = index_next(&at)))
            free(index_item(k, struct task_node, id));
        index_seek(t->queues, &at, NULL, 0);
        while ((k = index_next(&at)))
            queue_free(index_item(k, struct queue_node, name));
    }
    index_destroy(&t->by_id);
    index_destroy(&t->queues);
    free(t);
    *self_p = NULL;
}

struct task *task_by_id(const struct tasks *t, uint64_t id)
{
    struct number_key key = number_key(id);
    struct index_key *k = index_find(t->by_id, &key, sizeof(key));

    return k ? &index_item(k, struct task_node, id)->task : NULL;
}

struct queue *queue_find(const struct tasks *t, struct bytes space,
                         struct bytes name)
{
    uint8_t key[QUEUE_KEY_MAX];
    size_t len = queue_key(key, space, name);
    struct index_key *k = len ? index_find(t->queues, key, len) : NULL;

    return k ? &index_item(k, struct queue_node, name)->queue : NULL;
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

struct task *queue_first(struct queue *q, uint64_t now, uint64_t *wake)
{
    while (q->waiting.count && q->waiting.rows[0].key <= now) {
        struct task *t = q->waiting.rows[0].task;

        heap_remove(&q->waiting, 0);
        t->waits = false;
        heap_push(&q->ready, ready_key(t), t);
    }
    if (q->waiting.count)
        *wake = q->waiting.rows[0].key;
    return q->ready.count ? q->ready.rows[0].task : NULL;
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

struct queue *queues_next(const struct tasks *t, const struct queue *after)
{
    const struct queue_node *n = (const void *)after; /* its first member */
    struct index_cursor at;
    struct index_key *k;

    index_seek(t->queues, &at, n ? n->name.bytes : NULL, n ? n->name.len : 0);
    k = index_next(&at);
    if (n && k == &n->name)
        k = index_next(&at);
    return k ? &index_item(k, struct queue_node, name)->queue : NULL;
}

int task_add(struct tasks *t, struct bytes space, struct bytes queue,
             const struct task *as)
{
    bool final = task_state_final(as->state);
    struct task *task = NULL;
    struct queue *q;
    int r;

    if (as->id < 1 || as->id > LIMIT_UINT_MAX_WIRE ||
        as->priority > LIMIT_PRIORITY_MAX ||
        (final && t->final_last && as->changed < t->final_last->changed))
        return -EINVAL;
    r = queue_make(t, space, queue, &q);
    if (r)
        return r;
    r = final ? 0 : queue_room(q);
    if (!r)
        r = task_make(t, as, q, &task);
    if (r) {
        queue_drop_if_empty(t, q);
        return r;
    }
    queue_node(q)->tasks++;
    q->open += !final;
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
    task_leave(t, task);
    queue_leave(task);
    task->state = TASK_WORKING;
    task->token = token;
    task->holder = agent;
    task->session = session;
    task->attempt = attempt;
    task->not_before = 0;
    task->changed = token;
    task_enter(t, task);
}

void task_progress(struct tasks *t, struct task *task, uint64_t index)
{
    task_leave(t, task);
    task->progress = index;
    task_enter(t, task);
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
    task_leave(t, task);
    task_take(task);
    task->state = TASK_QUEUED;
    task->not_before = not_before;
    task->changed = index;
    queue_enter(task);
    task_enter(t, task);
}

void task_finish(struct tasks *t, struct task *task, uint64_t index,
                 enum task_state state)
{
    task_leave(t, task);
    task_take(task);
    task->state = (uint8_t)state;
    task->not_before = 0;
    task->changed = index;
    task->queue->open--;
    final_append(t, task);
    task_enter(t, task);
}

void tasks_forget(struct tasks *t, uint64_t index)
{
    struct task *task;

    while ((task = t->final_first) && task->changed <= index) {
        struct number_key id = number_key(task->id);

        task_leave(t, task);
        index_remove(t->by_id, &id, sizeof(id));
        queue_node(task->queue)->tasks--;
        queue_drop_if_empty(t, task->queue);
        t->final_first = task->next;
        t->final_count--;
        free(task); /* the first member of its node */
    }
    if (!t->final_first)
        t->final_last = NULL;
}

int tasks_save(const struct tasks *t, task_sink put, void *to)
{
    const struct task *task;
    struct index_cursor at;
    struct index_key *k;
    struct item it;
    int r = 0;

    index_seek(t->by_id, &at, NULL, 0);
    while (!r && (k = index_next(&at))) {
        task = &index_item(k, struct task_node, id)->task;
        if (task_state_final(task->state))
            continue;
        task_item(&it, task);
        r = put(to, item_record(&it));
    }
    for (task = t->final_first; !r && task; task = task->next) {
        task_item(&it, task);
        r = put(to, item_record(&it));
    }
    return r;
}

static bool task_sound(const struct task *t)
{
    bool working = t->state == TASK_WORKING;

    if (t->state != TASK_QUEUED && !working && !task_state_final(t->state))
        return false;
    return t->submitter && (t->token != 0) == working &&
           (working || t->session == 0) && (!working || t->holder) &&
           (t->state == TASK_QUEUED || t->not_before == 0);
}

int tasks_load(struct tasks *t, struct bytes record)
{
    struct cursor at = cursor_of(record);
    struct bytes space, queue;
    struct task said = {0};
    int r;

    if (cursor_u8(&at) != ITEM_TASK)
        return CHOIR_MALFORMED;
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
    said.state = cursor_u8(&at);
    space = load_name(&at, LIMIT_NAME_BYTES);
    queue = load_name(&at, LIMIT_NAME_BYTES);
    if (!load_ended(&at) || !task_sound(&said))
        return CHOIR_MALFORMED;
    r = task_add(t, space, queue, &said);
    return r == -EINVAL || r == -EEXIST ? CHOIR_MALFORMED : r;
}
