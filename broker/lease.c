/* Offers of the same queue stand in a ring, so that workers take turns. A line
 * is looked at only when something happened to it: an offer, a task, a time
 * that has come. */
#include "lease.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "proto/refusal.h"
#include "timers.h"

enum {
    READ_ONLY_RETRY_US = 1000000,
    NO_ROOM_RETRY_US = 50000,
    /* Leases a session has and was not told of, before it gets another: their
     * payloads may be large, and their time runs. */
    UNTOLD_MAX = 64,
};

struct line { /* a queue with at least one offer */
    struct offer *offers;
    struct timer wake; /* for tasks whose time has not come */
    bool touched;
    struct line *prev, *next; /* touched ones */
    UT_hash_handle hh;
    size_t space_bytes, key_bytes;
    char key[]; /* space, NUL, queue, NUL */
};

struct offer {
    struct presence *p;
    struct line *line;
    uint64_t credit;
    bool full; /* at its agent's limit of leases when last tried */
    struct offer *prev, *next;     /* in its line */
    struct offer *p_prev, *p_next; /* of its presence */
};

struct lease {
    uint64_t task, token, lease_ms;
    uint32_t agent;
    struct presence *p; /* whose session has it; NULL: that session ended */
    bool undelivered;
    bool listed; /* while a work ask is looked at */
    struct timer end;
    struct lease *prev, *next;     /* to be delivered */
    struct lease *p_prev, *p_next; /* of its presence */
    UT_hash_handle hh;             /* by task */
};

struct leases {
    struct core *core;
    struct env *env;
    struct router *router;
    struct awaits *awaits;
    struct lease *leases, *undelivered;
    struct line *lines, *touched;
    struct timers ends, wakes;
    struct lease_counters counters;
};

static const struct state *state_of(const struct leases *l)
{
    return core_state(l->core);
}

/* --- Leases -------------------------------------------------------------- */

static struct lease *lease_find(const struct leases *l, uint64_t task)
{
    struct lease *lease;

    HASH_FIND(hh, l->leases, &task, sizeof task, lease);
    return lease;
}

static int lease_extend(struct leases *l, struct lease *lease)
{
    return timer_set(&l->ends, &lease->end,
                     env_steady_us(l->env) + lease->lease_ms * 1000);
}

static void lease_give(struct lease *lease, struct presence *p)
{
    if (lease->p) {
        DL_DELETE2(lease->p->leases, lease, p_prev, p_next);
        lease->p->untold -= lease->undelivered;
    }
    lease->p = p;
    if (p) {
        DL_APPEND2(p->leases, lease, p_prev, p_next);
        p->untold += lease->undelivered;
    }
}

static struct lease *lease_new(struct leases *l, const struct task *t)
{
    struct lease *lease = calloc(1, sizeof *lease);

    if (!lease)
        return NULL;
    lease->task = t->id;
    lease->token = t->token;
    lease->agent = t->holder;
    lease->lease_ms = t->lease_ms;
    if (lease_extend(l, lease)) {
        free(lease);
        return NULL;
    }
    lease_give(lease, presence_find(l->router, t->session));
    HASH_ADD(hh, l->leases, task, sizeof lease->task, lease);
    l->counters.live++;
    return lease;
}

static void delivery_clear(struct leases *l, struct lease *lease)
{
    if (!lease->undelivered)
        return;
    DL_DELETE(l->undelivered, lease);
    if (lease->p)
        lease->p->untold--;
    lease->undelivered = false;
}

static void delivery_due(struct leases *l, struct lease *lease)
{
    if (lease->undelivered)
        return;
    DL_APPEND(l->undelivered, lease);
    if (lease->p)
        lease->p->untold++;
    lease->undelivered = true;
}

static void lease_free(struct leases *l, struct lease *lease)
{
    delivery_clear(l, lease);
    lease_give(lease, NULL);
    timer_clear(&l->ends, &lease->end);
    HASH_DEL(l->leases, lease);
    l->counters.live--;
    free(lease);
}

static void say_lost(struct leases *l, const struct lease *lease,
                     const char *reason)
{
    struct msg m;

    if (!lease->p)
        return;
    msg_init(&m, MSG_LEASE_LOST);
    msg_set_u(&m, FIELD_TASK, lease->task);
    msg_set_u(&m, FIELD_TOKEN, lease->token);
    msg_set_text(&m, FIELD_REASON, reason);
    presence_say(l->router, lease->p, &m);
}

/* --- Lines and offers ---------------------------------------------------- */

static void line_touch(struct leases *l, struct line *line)
{
    if (!line || line->touched)
        return;
    line->touched = true;
    DL_APPEND(l->touched, line);
}

static void line_rest(struct leases *l, struct line *line)
{
    if (line->touched)
        DL_DELETE(l->touched, line);
    line->touched = false;
}

static size_t line_key(char *key, struct bytes space, struct bytes queue)
{
    size_t n = space.n + 1;

    memset(key, 0, 2 * (LIMIT_NAME_BYTES + 1));
    memcpy(key, space.p, space.n);
    memcpy(key + n, queue.p, queue.n);
    return n + queue.n + 1;
}

static struct line *line_find(const struct leases *l, struct bytes space,
                              struct bytes queue)
{
    char key[2 * (LIMIT_NAME_BYTES + 1)];
    size_t n = line_key(key, space, queue);
    struct line *line;

    HASH_FIND(hh, l->lines, key, n, line);
    return line;
}

static struct line *line_of(struct leases *l, struct bytes space,
                            struct bytes queue)
{
    struct line *line = line_find(l, space, queue);
    char key[2 * (LIMIT_NAME_BYTES + 1)];

    if (line)
        return line;
    line = calloc(1, sizeof *line + sizeof key);
    if (!line)
        return NULL;
    line->space_bytes = space.n;
    line->key_bytes = line_key(line->key, space, queue);
    HASH_ADD_KEYPTR(hh, l->lines, line->key, line->key_bytes, line);
    return line;
}

static const char *line_queue(const struct line *line)
{
    return line->key + line->space_bytes + 1;
}

static void line_free(struct leases *l, struct line *line)
{
    line_rest(l, line);
    timer_clear(&l->wakes, &line->wake);
    HASH_DEL(l->lines, line);
    free(line);
}

static void offer_free(struct leases *l, struct offer *o)
{
    struct line *line = o->line;

    DL_DELETE(line->offers, o);
    DL_DELETE2(o->p->offers, o, p_prev, p_next);
    o->p->offer_count--;
    l->counters.offers--;
    free(o);
    if (!line->offers)
        line_free(l, line);
}

static struct offer *offer_of(struct leases *l, struct presence *p,
                              struct line *line)
{
    struct offer *o;

    DL_FOREACH2(p->offers, o, p_next)
    {
        if (o->line == line)
            return o;
    }
    o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->p = p;
    o->line = line;
    DL_APPEND(line->offers, o);
    DL_APPEND2(p->offers, o, p_prev, p_next);
    p->offer_count++;
    l->counters.offers++;
    return o;
}

/* Mark the leases that a worker says it has. */
static void mark_listed(struct leases *l, const struct presence *p,
                        const struct msg *work)
{
    struct list items = msg_list(work, FIELD_ITEMS);
    struct msg item;

    while (list_next(&items, &item)) {
        struct lease *lease = lease_find(l, msg_u(&item, FIELD_TASK));

        if (lease && lease->p == p && lease->token == msg_u(&item, FIELD_TOKEN))
            lease->listed = true;
    }
}

/* Leases of the session in that queue that it does not know of go out again,
 * and use up credit like any other. */
static void deliver_unlisted(struct leases *l, struct offer *o,
                             const struct msg *work)
{
    struct lease *lease;

    mark_listed(l, o->p, work);
    DL_FOREACH2(o->p->leases, lease, p_next)
    {
        const struct task *t;
        bool listed = lease->listed;

        lease->listed = false;
        if (listed)
            continue;
        t = task_by_id(state_of(l)->tasks, lease->task);
        if (!t || line_find(l, bytes_text(t->queue->space),
                            bytes_text(t->queue->name)) != o->line)
            continue;
        delivery_due(l, lease);
        if (o->credit)
            o->credit--;
    }
}

int lease_offer(struct leases *l, struct presence *p, const struct msg *work)
{
    struct bytes space = msg_b(work, FIELD_SPACE);
    struct bytes queue = msg_b(work, FIELD_QUEUE);
    const struct agent *a = agent_by_number(state_of(l)->agents, p->agent);
    struct line *line;
    struct offer *o;

    if (!space.n || !queue.n)
        return CHOIR_INVALID;
    if (!a || !agent_may(a, RIGHT_WORK, space, (struct bytes){0}, queue))
        return CHOIR_DENIED;
    if (p->offer_count >= LEASE_OFFERS_MAX && !line_find(l, space, queue))
        return CHOIR_OVER_LIMIT;
    line = line_of(l, space, queue);
    o = line ? offer_of(l, p, line) : NULL;
    if (!o) {
        if (line && !line->offers)
            line_free(l, line);
        return -ENOMEM;
    }
    o->credit = msg_u(work, FIELD_CREDIT);
    if (p->leases)
        deliver_unlisted(l, o, work);
    if (o->credit)
        line_touch(l, line);
    else
        offer_free(l, o);
    return 0;
}

void leases_drop(struct leases *l, struct presence *p)
{
    while (p->offers)
        offer_free(l, p->offers);
}

void leases_orphan(struct leases *l, struct presence *p)
{
    leases_drop(l, p);
    while (p->leases)
        lease_give(p->leases, NULL);
}

static const char *lost_reason(const struct state *s, uint64_t task)
{
    const struct task *t = task_by_id(s->tasks, task);

    if (!t)
        return "the task is no longer known";
    switch (t->state) {
    case TASK_CANCELLED: return "cancelled";
    case TASK_QUEUED: return "the lease expired";
    case TASK_WORKING: return "another attempt has it";
    case TASK_DEAD: return "the lease expired and no attempt is left";
    default: return "the task is final";
    }
}

void lease_heartbeat(struct leases *l, struct presence *p,
                     const struct msg *heartbeat, struct buf *lost,
                     uint64_t *lost_count)
{
    struct list items = msg_list(heartbeat, FIELD_ITEMS);
    struct msg item;

    while (list_next(&items, &item)) {
        uint64_t task = msg_u(&item, FIELD_TASK);
        uint64_t token = msg_u(&item, FIELD_TOKEN);
        struct lease *lease = lease_find(l, task);
        struct msg out;

        if (lease && lease->token == token && lease->agent == p->agent) {
            lease_give(lease, p); /* it may have come back as another */
            if (lease_extend(l, lease) == 0)
                continue;
        }
        msg_init(&out, MSG_ITEM);
        msg_set_u(&out, FIELD_TASK, task);
        msg_set_u(&out, FIELD_TOKEN, token);
        msg_set_text(&out, FIELD_REASON, lost_reason(state_of(l), task));
        msg_set_u(&out, FIELD_OUTCOME, CHOIR_FENCED);
        msg_encode(&out, lost);
        ++*lost_count;
    }
}

/* --- Following the record ------------------------------------------------ */

static void touch_queue_of(struct leases *l, uint64_t task)
{
    const struct task *t = task_by_id(state_of(l)->tasks, task);

    if (t && l->lines)
        line_touch(l, line_find(l, bytes_text(t->queue->space),
                                bytes_text(t->queue->name)));
}

/* Its holder may have been at its limit of leases. */
static void lease_over(struct leases *l, struct lease *lease)
{
    struct offer *o;

    if (lease->p) {
        DL_FOREACH2(lease->p->offers, o, p_next)
        line_touch(l, o->line);
    }
    lease_free(l, lease);
}

int lease_applied(struct leases *l, const struct msg *op, uint64_t index)
{
    uint64_t task = msg_u(op, FIELD_TASK);
    struct lease *lease;

    switch (op->verb) {
    case MSG_SUBMIT:
    case MSG_REQUEUE: touch_queue_of(l, index); return 0;
    case MSG_CANCEL:
    case MSG_COMPLETE:
    case MSG_FAIL:
    case MSG_NAK: break;
    default: return 0;
    }
    lease = lease_find(l, task);
    if (!lease)
        return 0;
    if (op->verb == MSG_CANCEL)
        say_lost(l, lease, "cancelled");
    lease_over(l, lease);
    if (op->verb == MSG_NAK)
        touch_queue_of(l, task);
    return 0;
}

/* --- Ending -------------------------------------------------------------- */

static int expire(struct leases *l, struct lease *lease)
{
    uint64_t task = lease->task, index;
    struct msg m;
    int r;

    msg_init(&m, MSG_EXPIRE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, lease->token);
    msg_set_text(&m, FIELD_REASON, "the lease expired");
    r = core_say(l->core, &m, &index);
    if (r < 0)
        return r;
    if (r == CHOIR_READ_ONLY) /* it could not have completed either */
        return lease_extend(l, lease);
    if (r == 0) {
        l->counters.expired++;
        say_lost(l, lease, "the lease expired");
    }
    lease_over(l, lease);
    touch_queue_of(l, task);
    await_touch(l->awaits, task);
    return 0;
}

/* --- Handing out --------------------------------------------------------- */

static int claim(struct leases *l, struct offer *o, const struct task *t)
{
    struct lease *lease;
    uint64_t index;
    struct msg m;
    int r;

    msg_init(&m, MSG_CLAIM);
    msg_set_u(&m, FIELD_TASK, t->id);
    msg_set_hash(&m, FIELD_AGENT, &o->p->agent_id);
    msg_set_u(&m, FIELD_SESSION, o->p->session);
    msg_set_u(&m, FIELD_ATTEMPT, t->attempt + 1);
    msg_set_u(&m, FIELD_LEASE_MS, t->lease_ms);
    r = core_say(l->core, &m, &index);
    if (r)
        return r;
    lease = lease_new(l, t);
    if (!lease)
        return -ENOMEM;
    delivery_due(l, lease);
    l->counters.claims++;
    return 0;
}

static bool can_take(const struct leases *l, const struct offer *o)
{
    return o->credit && !o->full && o->p->untold < UNTOLD_MAX &&
           connection_has_room(l->router, o->p->connection);
}

/* The first in the ring that can take one; it goes to the end. */
static struct offer *next_offer(struct leases *l, struct line *line)
{
    struct offer *o;
    size_t n;

    DL_COUNT(line->offers, o, n);
    while (n--) {
        o = line->offers;
        DL_DELETE(line->offers, o);
        DL_APPEND(line->offers, o);
        if (can_take(l, o))
            return o;
    }
    return NULL;
}

/* When to look again at a line whose offers can take no more: at once if only
 * what was just claimed for them has to be told first. */
static uint64_t room_wait_us(const struct leases *l, const struct line *line)
{
    const struct offer *o;

    DL_FOREACH (line->offers, o) {
        if (o->credit && !o->full &&
            connection_has_room(l->router, o->p->connection))
            return 0;
    }
    return NO_ROOM_RETRY_US;
}

/* The wall decides when a task may be tried again, the steady clock when to
 * look. */
static int line_sleep(struct leases *l, struct line *line, uint64_t wake)
{
    uint64_t now = core_time(l->core);
    uint64_t wait = wake > now ? wake - now : 0;

    return timer_set(&l->wakes, &line->wake, env_steady_us(l->env) + wait);
}

static int line_match(struct leases *l, struct line *line)
{
    struct queue *q = queue_find(state_of(l)->tasks, bytes_text(line->key),
                                 bytes_text(line_queue(line)));
    struct offer *any;
    uint64_t wake = 0;

    DL_FOREACH (line->offers, any)
        any->full = false;
    while (q) {
        const struct task *t = queue_first(q, core_time(l->core), &wake);
        struct offer *o = t ? next_offer(l, line) : NULL;
        int r;

        if (!t)
            return wake ? line_sleep(l, line, wake) : 0;
        if (!o)
            return line_sleep(l, line,
                              core_time(l->core) + room_wait_us(l, line));
        r = claim(l, o, t);
        if (r == 0) {
            if (--o->credit == 0)
                offer_free(l, o);
            if (!line_find(l, bytes_text(q->space), bytes_text(q->name)))
                return 0; /* that was the last offer, and the line with it */
            continue;
        }
        if (r == CHOIR_READ_ONLY)
            return line_sleep(l, line, core_time(l->core) + READ_ONLY_RETRY_US);
        if (r < 0)
            return r;
        if (r == CHOIR_OVER_LIMIT) {
            o->full = true;
            continue;
        }
        offer_free(l, o); /* no longer granted */
        if (!line_find(l, bytes_text(q->space), bytes_text(q->name)))
            return 0;
    }
    return 0;
}

int leases_match(struct leases *l, bool draining)
{
    uint64_t now = env_steady_us(l->env);
    struct timer *t;
    int r = 0;

    while (!r && (t = timers_take(&l->ends, now)))
        r = expire(l, TIMER_OWNER(t, struct lease, end));
    while ((t = timers_take(&l->wakes, now)))
        line_touch(l, TIMER_OWNER(t, struct line, wake));
    while (!r && !draining && l->touched) {
        struct line *line = l->touched;

        line_rest(l, line);
        r = line_match(l, line);
    }
    return r;
}

/* --- Telling ------------------------------------------------------------- */

/* Slot 0 of an entry, copied because the next entry read replaces it. */
static int slot_read(struct leases *l, uint64_t index, struct buf *out,
                     struct buf *type)
{
    const struct entry *e;
    struct bytes salt, value;
    struct msg head;
    unsigned field;
    int r = ledger_entry(core_ledger(l->core), index, &e);

    if (r)
        return r;
    if (slot_at(e->rows, e->payload, 0, &salt, &value))
        return CHOIR_NOT_FOUND;
    buf_put(out, value.p, value.n);
    if (type && msg_decode(e->head, CLASS_OPERATION, &head, &field) == 0)
        buf_put(type, msg_b(&head, FIELD_TYPE).p, msg_b(&head, FIELD_TYPE).n);
    return out->failed ? -ENOMEM : 0;
}

static int say_task(struct leases *l, struct presence *p, const struct task *t,
                    struct buf *payload, struct buf *type, struct buf *progress)
{
    const struct agent *submitter =
        agent_by_number(state_of(l)->agents, t->submitter);
    int r = slot_read(l, t->payload, payload, type);
    struct msg m;

    if (!r && t->progress)
        r = slot_read(l, t->progress, progress, NULL);
    if (r < 0)
        return r;
    msg_init(&m, MSG_TASK);
    msg_set_u(&m, FIELD_TASK, t->id);
    msg_set_u(&m, FIELD_TOKEN, t->token);
    msg_set_u(&m, FIELD_ATTEMPT, t->attempt);
    msg_set_text(&m, FIELD_SPACE, t->queue->space);
    msg_set_text(&m, FIELD_QUEUE, t->queue->name);
    msg_set_u(&m, FIELD_LEASE_MS, t->lease_ms);
    msg_set_b(&m, FIELD_VALUE, buf_bytes(payload));
    if (submitter)
        msg_set_hash(&m, FIELD_AGENT, &submitter->id);
    msg_set_u(&m, FIELD_REVISION, core_size(l->core) - 1);
    if (type->n)
        msg_set_b(&m, FIELD_TYPE, buf_bytes(type));
    if (t->progress)
        msg_set_b(&m, FIELD_PROGRESS, buf_bytes(progress));
    presence_say(l->router, p, &m);
    l->counters.delivered++;
    return 0;
}

static int deliver(struct leases *l, struct lease *lease)
{
    const struct task *t = task_by_id(state_of(l)->tasks, lease->task);
    struct presence *p = lease->p;
    struct buf payload = {0}, type = {0}, progress = {0};
    int r;

    delivery_clear(l, lease);
    if (!t || !p || !p->connection)
        return 0; /* it asks again when it comes back, or the lease ends */
    r = say_task(l, p, t, &payload, &type, &progress);
    buf_free(&payload);
    buf_free(&type);
    buf_free(&progress);
    return r;
}

static bool must_wait(const struct leases *l, const struct lease *lease)
{
    struct connection *c = lease->p ? lease->p->connection : NULL;

    return c && !connection_has_room(l->router, c);
}

int leases_deliver(struct leases *l)
{
    struct lease *lease, *next;
    int r = 0;

    DL_FOREACH_SAFE (l->undelivered, lease, next) {
        if (!r && !must_wait(l, lease))
            r = deliver(l, lease);
    }
    return r;
}

uint64_t leases_next(const struct leases *l)
{
    uint64_t ends = timers_next(&l->ends), wakes = timers_next(&l->wakes);
    uint64_t next = ends < wakes ? ends : wakes;

    if (l->touched)
        return 0;
    if (l->undelivered && env_steady_us(l->env) + NO_ROOM_RETRY_US < next)
        next = env_steady_us(l->env) + NO_ROOM_RETRY_US;
    return next;
}

/* --- Beginning and end --------------------------------------------------- */

struct leases *leases_new(struct core *core, struct env *env,
                          struct router *router, struct awaits *awaits)
{
    struct leases *l = calloc(1, sizeof *l);
    const struct task *t;

    if (!l)
        return NULL;
    l->core = core;
    l->env = env;
    l->router = router;
    l->awaits = awaits;
    for (t = tasks_next(core_state(core)->tasks, 0); t;
         t = tasks_next(core_state(core)->tasks, t->id)) {
        if (t->state != TASK_WORKING || lease_new(l, t))
            continue;
        leases_destroy(&l);
        return NULL;
    }
    return l;
}

void leases_destroy(struct leases **self_p)
{
    struct leases *l = *self_p;
    struct lease *lease, *next_lease;
    struct line *line, *next_line;
    struct offer *o, *next;

    if (!l)
        return;
    HASH_ITER (hh, l->leases, lease, next_lease)
        lease_free(l, lease);
    HASH_ITER (hh, l->lines, line, next_line) {
        DL_FOREACH_SAFE (line->offers, o, next)
            free(o);
        line_free(l, line);
    }
    timers_free(&l->ends);
    timers_free(&l->wakes);
    free(l);
    *self_p = NULL;
}

const struct lease_counters *lease_counters(const struct leases *l)
{
    return &l->counters;
}
