/* Queues: for each set of capabilities a lane, and in each lane two heaps:
 * what can be handed out, and what has to wait. */
#include <errno.h>
#include <stdlib.h>

#include "item.h"
#include "proto/refusal.h"
#include "task_private.h"

enum { PLACE_NONE, PLACE_READY, PLACE_WAITING };

/* Highest priority first, then the oldest: ids have 53 bits. */
static uint64_t ready_key(const struct task *t)
{
    return (uint64_t)(LIMIT_PRIORITY_MAX - t->priority) << 56 | t->id;
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

static void lane_free(struct lane *lane)
{
    free(lane->ready.rows);
    free(lane->waiting.rows);
    free(lane);
}

void queue_free(struct queue_node *n)
{
    while (n->queue.any.next) {
        struct lane *lane = n->queue.any.next;

        n->queue.any.next = lane->next;
        lane_free(lane);
    }
    free(n->queue.any.ready.rows);
    free(n->queue.any.waiting.rows);
    free(n);
}

int queue_make(struct tasks *t, struct bytes space, struct bytes name,
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
    n->queue.kind = QUEUE_OPEN;
    n->name.len = (uint32_t)len;
    memcpy(n->name.bytes, key, len);
    r = index_insert(t->queues, &n->name);
    if (r)
        queue_free(n);
    else
        *out = &n->queue;
    return r;
}

void queue_drop_if_empty(struct tasks *t, struct queue *q)
{
    struct queue_node *n = queue_node(q);

    if (n->tasks || n->stated)
        return;
    index_remove(t->queues, n->name.bytes, n->name.len);
    queue_free(n);
}

/* --- Lanes --------------------------------------------------------------- */

struct lane *lane_of(const struct task *t)
{
    return t->links && t->links->lane ? t->links->lane : &t->queue->any;
}

static struct lane *lane_find(const struct queue *q, struct bytes capability)
{
    struct lane *lane = q->any.next;

    while (lane && !bytes_equal(lane->capability, capability))
        lane = lane->next;
    return lane;
}

bool queue_has_lane(const struct queue *q, struct bytes capability)
{
    return lane_find(q, capability) != NULL;
}

struct lane *lane_make(struct queue *q, struct bytes capability)
{
    struct lane *lane = lane_find(q, capability);

    if (lane)
        return lane;
    lane = calloc(1, sizeof(*lane) + capability.n);
    if (!lane)
        return NULL;
    memcpy(lane + 1, capability.p, capability.n);
    lane->capability = bytes_of(lane + 1, capability.n);
    lane->next = q->any.next;
    q->any.next = lane;
    q->lanes++;
    return lane;
}

void lane_drop_if_empty(struct queue *q, struct lane *lane)
{
    struct lane **at = &q->any.next;

    if (lane == &q->any || lane->tasks)
        return;
    while (*at != lane)
        at = &(*at)->next;
    *at = lane->next;
    q->lanes--;
    lane_free(lane);
}

int lane_room(struct lane *lane)
{
    int r = heap_room(&lane->ready, lane->open + 1);

    return r ? r : heap_room(&lane->waiting, lane->open + 1);
}

void queue_enter(struct task *t)
{
    struct lane *lane = lane_of(t);

    t->queue->queued++;
    t->place = PLACE_NONE;
    if (t->links && t->links->open_needs)
        return;
    t->place = t->not_before ? PLACE_WAITING : PLACE_READY;
    if (t->not_before)
        heap_push(&lane->waiting, t->not_before, &t->at);
    else
        heap_push(&lane->ready, ready_key(t), &t->at);
}

void queue_leave(struct task *t)
{
    struct lane *lane = lane_of(t);

    t->queue->queued--;
    if (t->place != PLACE_NONE)
        heap_remove(t->place == PLACE_READY ? &lane->ready : &lane->waiting,
                    t->at);
}

static struct task *lane_first(struct lane *lane, uint64_t now, uint64_t *wake)
{
    while (lane->waiting.count && lane->waiting.rows[0].key <= now) {
        struct task *t = HEAP_OWNER(lane->waiting.rows[0], struct task, at);

        heap_remove(&lane->waiting, 0);
        t->place = PLACE_READY;
        heap_push(&lane->ready, ready_key(t), &t->at);
    }
    if (lane->waiting.count && (!*wake || lane->waiting.rows[0].key < *wake))
        *wake = lane->waiting.rows[0].key;
    return lane->ready.count ? HEAP_OWNER(lane->ready.rows[0], struct task, at)
                             : NULL;
}

struct task *queue_first_for(struct queue *q, struct bytes capability,
                             uint64_t now, uint64_t *wake)
{
    struct task *best = NULL;
    uint64_t earliest = 0;

    for (struct lane *lane = &q->any; lane; lane = lane->next) {
        struct task *t;

        if (!lane->ready.count && !lane->waiting.count)
            continue;
        if (!capabilities_cover(capability, lane->capability))
            continue;
        t = lane_first(lane, now, &earliest);
        if (t && (!best || ready_key(t) < ready_key(best)))
            best = t;
    }
    if (earliest)
        *wake = earliest;
    return best;
}

/* --- Looking ------------------------------------------------------------- */

struct queue *queue_find(const struct tasks *t, struct bytes space,
                         struct bytes name)
{
    uint8_t key[QUEUE_KEY_MAX];
    size_t len = queue_key(key, space, name);
    struct index_key *k = len ? index_find(t->queues, key, len) : NULL;

    return k ? &index_item(k, struct queue_node, name)->queue : NULL;
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

struct queue *queue_after(const struct tasks *t, struct bytes space,
                          struct bytes name)
{
    uint8_t key[QUEUE_KEY_MAX + 1] = {0}; /* the least that is above it */
    struct index_cursor at;
    struct index_key *k;
    struct queue *q;

    if (space.n > LIMIT_NAME_BYTES || name.n > LIMIT_NAME_BYTES)
        return NULL;
    if (space.n)
        memcpy(key, space.p, space.n);
    if (name.n)
        memcpy(key + space.n + 1, name.p, name.n);
    index_seek(t->queues, &at, key, space.n + 1 + name.n + (name.n ? 1 : 0));
    k = index_next(&at);
    q = k ? &index_item(k, struct queue_node, name)->queue : NULL;
    return q && bytes_equal(bytes_text(q->space), space) ? q : NULL;
}

/* --- What an administrator sets ------------------------------------------ */

static void queue_item(struct item *it, const struct queue *q)
{
    item_begin(it, ITEM_QUEUE);
    item_u8(it, q->kind);
    item_u64(it, q->limit);
    item_name(it, bytes_text(q->space));
    item_name(it, bytes_text(q->name));
}

int queue_set(struct tasks *t, struct bytes space, struct bytes name,
              enum queue_kind kind, uint64_t limit)
{
    struct queue *q;
    struct item it;
    int r = queue_make(t, space, name, &q);

    if (r)
        return r;
    if (queue_node(q)->stated)
        digest_sub(t->digest, &q->item);
    q->kind = (uint8_t)kind;
    q->limit = limit;
    queue_node(q)->stated = kind != QUEUE_OPEN || limit;
    if (queue_node(q)->stated) {
        queue_item(&it, q);
        item_enter(t->digest, &it, &q->item);
    }
    queue_drop_if_empty(t, q);
    return 0;
}

int queues_save(const struct tasks *t, task_sink put, void *to)
{
    struct queue *q = NULL;
    struct item it;
    int r = 0;

    while (!r && (q = queues_next(t, q))) {
        if (!queue_node(q)->stated)
            continue;
        queue_item(&it, q);
        r = put(to, item_record(&it));
    }
    return r;
}

int queue_load(struct tasks *t, struct bytes record)
{
    struct cursor at = cursor_of(record);
    struct bytes space, name;
    const struct queue *q;
    uint64_t limit;
    uint8_t kind;
    int r;

    cursor_u8(&at);
    kind = cursor_u8(&at);
    limit = cursor_u64(&at);
    space = load_name(&at, LIMIT_NAME_BYTES);
    name = load_name(&at, LIMIT_NAME_BYTES);
    if (!load_ended(&at) || kind < QUEUE_OPEN || kind > QUEUE_DRAINING ||
        (kind == QUEUE_OPEN && !limit))
        return CHOIR_MALFORMED;
    q = queue_find(t, space, name);
    if (q && queue_node((struct queue *)(uintptr_t)q)->stated)
        return CHOIR_MALFORMED;
    r = queue_set(t, space, name, (enum queue_kind)kind, limit);
    return r == -EINVAL ? CHOIR_MALFORMED : r;
}
