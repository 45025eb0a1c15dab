/* Who asks for work, and who gets it. Offers of the same queue stand in a
 * ring, so that workers take turns; those that can take nothing now stand
 * aside until what holds them up is over, so a claim costs the same however
 * many workers there are. A line is looked at only when something happened to
 * it: an offer, a task, a time that has come. */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "lease_private.h"
#include "proto/refusal.h"

enum { READ_ONLY_RETRY_US = 1000000, LINE_KEY_MAX = 2 * LIMIT_NAME_BYTES + 2 };

/* --- Lines --------------------------------------------------------------- */

static void line_touch(struct leases *l, struct line *line)
{
    if (line->touched)
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

static size_t line_key(char key[LINE_KEY_MAX], struct bytes space,
                       struct bytes queue)
{
    size_t n = space.n + 1;

    memset(key, 0, LINE_KEY_MAX);
    memcpy(key, space.p, space.n);
    memcpy(key + n, queue.p, queue.n);
    return n + queue.n + 1;
}

static struct line *line_find(const struct leases *l, struct bytes space,
                              struct bytes queue)
{
    char key[LINE_KEY_MAX];
    size_t n = line_key(key, space, queue);
    struct line *line;

    HASH_FIND(hh, l->lines, key, n, line);
    return line;
}

static struct line *line_of(struct leases *l, struct bytes space,
                            struct bytes queue)
{
    struct line *line = line_find(l, space, queue);

    if (line)
        return line;
    line = calloc(1, sizeof *line + LINE_KEY_MAX);
    if (!line)
        return NULL;
    line->space_bytes = space.n;
    line->key_bytes = line_key(line->key, space, queue);
    HASH_ADD_KEYPTR(hh, l->lines, line->key, line->key_bytes, line);
    return line;
}

static struct queue *line_queue(const struct leases *l, const struct line *line)
{
    return queue_find(leases_state(l)->tasks, bytes_text(line->key),
                      bytes_text(line->key + line->space_bytes + 1));
}

static struct crowd *crowd_find(const struct line *line,
                                struct bytes capability)
{
    struct crowd *crowd;

    DL_FOREACH (line->crowds, crowd) {
        if (bytes_equal(bytes_of(crowd->capability, crowd->capability_bytes),
                        capability))
            return crowd;
    }
    return NULL;
}

static struct crowd *crowd_of(struct line *line, struct bytes capability)
{
    struct crowd *crowd = crowd_find(line, capability);

    if (crowd)
        return crowd;
    crowd = calloc(1, sizeof *crowd + capability.n);
    if (!crowd)
        return NULL;
    crowd->line = line;
    crowd->capability_bytes = capability.n;
    memcpy(crowd->capability, capability.p, capability.n);
    DL_APPEND(line->crowds, crowd);
    line->crowd_count++;
    return crowd;
}

static void line_free(struct leases *l, struct line *line)
{
    line_rest(l, line);
    timer_clear(&l->wakes, &line->wake);
    HASH_DEL(l->lines, line);
    free(line);
}

void queue_touch(struct leases *l, const struct queue *q)
{
    struct line *line =
        l->lines ? line_find(l, bytes_text(q->space), bytes_text(q->name))
                 : NULL;

    if (line)
        line_touch(l, line);
}

/* --- Where an offer stands ----------------------------------------------- */

static struct offer **offer_place(struct leases *l, const struct offer *o)
{
    switch (o->stand) {
    case OFFER_READY: return &o->crowd->ready;
    case OFFER_STALLED: return &o->crowd->stalled;
    default: return &l->full[o->p->agent];
    }
}

static void offer_move(struct leases *l, struct offer *o,
                       enum offer_stand stand)
{
    struct offer **from = offer_place(l, o), **to;
    bool came = o->stand != OFFER_READY && stand == OFFER_READY;

    DL_DELETE(*from, o);
    o->stand = stand;
    to = offer_place(l, o);
    DL_APPEND(*to, o);
    if (came)
        line_touch(l, o->crowd->line);
}

/* 0 or -ENOMEM. */
static int offer_fill(struct leases *l, struct offer *o)
{
    size_t n = (size_t)o->p->agent + 64;
    struct offer **full;

    if (o->p->agent >= l->full_count) {
        full = reallocarray(l->full, n, sizeof(*full));
        if (!full)
            return -ENOMEM;
        memset(full + l->full_count, 0, (n - l->full_count) * sizeof(*full));
        l->full = full;
        l->full_count = n;
    }
    offer_move(l, o, OFFER_FULL);
    return 0;
}

void offers_wake(struct leases *l, struct presence *p)
{
    struct offer *o;

    DL_FOREACH2(p->offers, o, p_next)
    {
        if (o->stand == OFFER_STALLED)
            offer_move(l, o, OFFER_READY);
    }
}

void offers_wake_full(struct leases *l, uint32_t agent)
{
    while (agent < l->full_count && l->full[agent])
        offer_move(l, l->full[agent], OFFER_READY);
}

/* The limit is an option that can be changed while we run. */
static void limit_follow(struct leases *l)
{
    uint64_t limit = leases_state(l)->rules.leases_per_agent_max;

    if (limit == l->limit_seen)
        return;
    l->limit_seen = limit;
    for (size_t i = 0; i < l->full_count; i++)
        offers_wake_full(l, (uint32_t)i);
}

static void crowd_leave(struct crowd *crowd)
{
    if (--crowd->offers)
        return;
    DL_DELETE(crowd->line->crowds, crowd);
    crowd->line->crowd_count--;
    free(crowd);
}

/* Returns whether its line is gone with it. */
static bool offer_free(struct leases *l, struct offer *o)
{
    struct offer **place = offer_place(l, o);
    struct line *line = o->crowd->line;

    DL_DELETE(*place, o);
    DL_DELETE2(o->p->offers, o, p_prev, p_next);
    o->p->offer_count--;
    l->counters.offers--;
    crowd_leave(o->crowd);
    free(o);
    if (line->crowds)
        return false;
    line_free(l, line);
    return true;
}

/* It has other capabilities now. */
static void offer_join(struct leases *l, struct offer *o, struct crowd *crowd)
{
    struct offer **place = offer_place(l, o);
    struct crowd *old = o->crowd;

    if (old == crowd)
        return;
    DL_DELETE(*place, o);
    o->crowd = crowd;
    crowd->offers++;
    place = offer_place(l, o);
    DL_APPEND(*place, o);
    crowd_leave(old);
}

static struct offer *offer_of(struct leases *l, struct presence *p,
                              struct crowd *crowd)
{
    struct offer *o;

    DL_FOREACH2(p->offers, o, p_next)
    {
        if (o->crowd->line != crowd->line)
            continue;
        offer_join(l, o, crowd);
        return o;
    }
    o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->p = p;
    o->crowd = crowd;
    o->stand = OFFER_READY;
    DL_APPEND(crowd->ready, o);
    DL_APPEND2(p->offers, o, p_prev, p_next);
    crowd->offers++;
    p->offer_count++;
    l->counters.offers++;
    return o;
}

/* --- Asking for work ----------------------------------------------------- */

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
    const struct queue *q = line_queue(l, o->crowd->line);
    struct lease *lease;

    mark_listed(l, o->p, work);
    DL_FOREACH2(o->p->leases, lease, p_next)
    {
        bool listed = lease->listed;

        lease->listed = false;
        if (lease->queue != q)
            continue;
        if (listed && lease->input != lease->input_told)
            delivery_due_input(l, lease);
        if (listed)
            continue;
        delivery_due(l, lease);
        if (o->credit)
            o->credit--;
    }
}

/* Is there room for it? Who is there already only changes what it wants. */
static int offer_fits(const struct leases *l, const struct presence *p,
                      struct bytes space, struct bytes queue,
                      struct bytes capability, struct lease_limit *over)
{
    const struct line *line = line_find(l, space, queue);

    if (p->offer_count >= LEASE_OFFERS_MAX && !line) {
        *over = (struct lease_limit){"offers_per_session", LEASE_OFFERS_MAX,
                                     p->offer_count};
        return CHOIR_OVER_LIMIT;
    }
    if (line && line->crowd_count >= LEASE_CROWDS_MAX &&
        !crowd_find(line, capability)) {
        *over = (struct lease_limit){"worker_capability_sets", LEASE_CROWDS_MAX,
                                     line->crowd_count};
        return CHOIR_OVER_LIMIT;
    }
    return 0;
}

static struct offer *offer_make(struct leases *l, struct presence *p,
                                struct bytes space, struct bytes queue,
                                struct bytes capability)
{
    struct line *line = line_of(l, space, queue);
    struct crowd *crowd = line ? crowd_of(line, capability) : NULL;
    struct offer *o = crowd ? offer_of(l, p, crowd) : NULL;

    if (crowd && !crowd->offers) {
        crowd->offers = 1;
        crowd_leave(crowd);
    }
    if (line && !line->crowds)
        line_free(l, line);
    return o;
}

/* More is told within one connection, on which nothing is lost: nobody has to
 * say what he holds for it. */
static void offer_credit(struct leases *l, struct offer *o,
                         const struct msg *work)
{
    uint64_t credit = msg_u(work, FIELD_CREDIT);

    if (msg_u(work, FIELD_KIND) == WORK_MORE) {
        o->credit += credit;
        if (o->credit > LIMIT_UINT_MAX_WIRE)
            o->credit = LIMIT_UINT_MAX_WIRE;
        return;
    }
    o->credit = credit;
    if (o->p->leases)
        deliver_unlisted(l, o, work);
}

int lease_offer(struct leases *l, struct presence *p, const struct msg *work,
                struct lease_limit *over)
{
    struct bytes space = msg_b(work, FIELD_SPACE);
    struct bytes queue = msg_b(work, FIELD_QUEUE);
    const struct agent *a = agent_by_number(leases_state(l)->agents, p->agent);
    struct capabilities set;
    struct offer *o;
    int r;

    if (!space.n || !queue.n || msg_u(work, FIELD_KIND) > WORK_MORE)
        return CHOIR_INVALID;
    if (!a || !agent_may(a, RIGHT_WORK, space, (struct bytes){0}, queue))
        return CHOIR_DENIED;
    r = capabilities_read(work, &set);
    if (r == CHOIR_OVER_LIMIT)
        *over = (struct lease_limit){"capabilities", LIMIT_CAPABILITIES,
                                     msg_list(work, FIELD_CAPABILITIES).left};
    if (!r)
        r = offer_fits(l, p, space, queue, capabilities_bytes(&set), over);
    if (r)
        return r;
    o = offer_make(l, p, space, queue, capabilities_bytes(&set));
    if (!o)
        return -ENOMEM;
    offer_credit(l, o, work);
    if (o->credit)
        line_touch(l, o->crowd->line);
    else
        offer_free(l, o);
    return 0;
}

void leases_drop(struct leases *l, struct presence *p)
{
    struct lease *lease;

    DL_FOREACH2(p->leases, lease, p_next)
    {
        lease->input_told = 0; /* it may not have arrived */
    }
    while (p->stalled)
        delivery_unstall(l, p->stalled);
    while (p->offers)
        offer_free(l, p->offers);
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
    if (t->attempt)
        msg_set_u(&m, FIELD_REVISION, t->changed); /* why it is another */
    r = core_say(l->core, &m, &index);
    if (r)
        return r;
    lease = lease_new(l, t);
    if (!lease)
        return -ENOMEM;
    delivery_due(l, lease);
    l->claims_left--;
    l->counters.claims++;
    return 0;
}

/* The first in the ring that can take one; it goes to the end. */
static struct offer *next_offer(struct leases *l, struct crowd *crowd)
{
    struct offer *o;

    while ((o = crowd->ready) != NULL) {
        bool held = untold_is_much(o->p);
        bool takes = !held && connection_has_room(l->router, o->p->connection);

        o->p->offers_held |= held;
        offer_move(l, o, takes ? OFFER_READY : OFFER_STALLED);
        if (takes)
            return o;
    }
    return NULL;
}

/* The wall decides when a task may be tried again, the steady clock when to
 * look. */
static int line_sleep(struct leases *l, struct line *line, uint64_t wake)
{
    uint64_t now = core_time(l->core);
    uint64_t wait = wake > now ? wake - now : 0;

    return timer_set(&l->wakes, &line->wake, env_steady_us(l->env) + wait);
}

/* What follows from the answer to a claim. *gone: the line went with its last
 * offer. 0; CHOIR_READ_ONLY; negative errno. */
static int claimed(struct leases *l, struct offer *o, int outcome, bool *gone)
{
    *gone = false;
    if (outcome < 0 || outcome == CHOIR_READ_ONLY)
        return outcome;
    if (outcome == CHOIR_OVER_LIMIT)
        return offer_fill(l, o);
    if (outcome || --o->credit == 0)
        *gone = offer_free(l, o); /* no longer granted, or used up */
    return 0;
}

struct match {
    struct task *task;
    struct crowd *crowd;
};

/* The first task that somebody who is ready can take, and the crowd whose turn
 * it is. */
static struct match match_find(struct queue *q, const struct line *line,
                               uint64_t now, uint64_t *wake)
{
    struct match best = {0};
    struct crowd *crowd;

    DL_FOREACH (line->crowds, crowd) {
        struct bytes has = bytes_of(crowd->capability, crowd->capability_bytes);
        uint64_t at = 0;
        struct task *t =
            crowd->ready ? queue_first_for(q, has, now, &at) : NULL;

        if (at && (!*wake || at < *wake))
            *wake = at;
        if (t &&
            (!best.task || t->priority > best.task->priority ||
             (t->priority == best.task->priority && t->id < best.task->id)))
            best = (struct match){t, crowd};
    }
    return best;
}

static void crowd_rotate(struct line *line, struct crowd *crowd)
{
    if (line->crowd_count < 2)
        return;
    DL_DELETE(line->crowds, crowd);
    DL_APPEND(line->crowds, crowd);
}

static int line_match(struct leases *l, struct line *line)
{
    struct queue *q = line_queue(l, line);
    bool gone = false;
    int r = 0;

    if (q && q->kind == QUEUE_PAUSED)
        return 0; /* who opens it again touches the line */
    while (q && !r && !gone && l->claims_left) {
        uint64_t wake = 0;
        struct match m = match_find(q, line, core_time(l->core), &wake);
        struct offer *o = m.task ? next_offer(l, m.crowd) : NULL;

        if (!m.task)
            return wake ? line_sleep(l, line, wake) : 0;
        crowd_rotate(line, m.crowd);
        if (o)
            r = claimed(l, o, claim(l, o, m.task), &gone);
    }
    if (!gone && !l->claims_left)
        line_touch(l, line); /* behind the others, in the next turn */
    return r == CHOIR_READ_ONLY
               ? line_sleep(l, line, core_time(l->core) + READ_ONLY_RETRY_US)
               : r;
}

void lines_wake(struct leases *l, uint64_t now)
{
    struct timer *t;

    while ((t = timers_take(&l->wakes, now)))
        line_touch(l, TIMER_OWNER(t, struct line, wake));
}

int lines_match(struct leases *l)
{
    int r = 0;

    limit_follow(l);
    l->claims_left = LEASE_CLAIMS_MAX;
    while (!r && l->touched && l->claims_left) {
        struct line *line = l->touched;

        line_rest(l, line);
        r = line_match(l, line);
    }
    return r;
}
