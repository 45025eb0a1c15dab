/* The thread that keeps a replica.
 *
 * It loads what there is (replica_load.c), then follows the watch, and when
 * what it holds can be followed no longer it loads anew. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "error.h"
#include "late.h"
#include "proto/refusal.h"
#include "replica_feed.h"

enum {
    AGAIN_FIRST_MS = 50, /* before everything is loaded anew */
    AGAIN_MAX_MS = 5000,
    ROOM_MS = 20,
};

/* --- Waiting -------------------------------------------------------------- */

/* With the lock held. Not handle_sleep: an interruption is for callers. */
static void doze(struct choir *c, int64_t deadline)
{
    int64_t left = deadline < 0 ? 3600000 : deadline - sdk_clock_ms();
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += left / 1000;
    until.tv_nsec += left % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    intake_drawn(&c->intake); /* what was asked is not to wait for us */
    c->dozing++;
    pthread_cond_timedwait(&c->changed, &c->lock, &until);
    c->dozing--;
}

static bool is_over(int64_t deadline)
{
    return deadline >= 0 && deadline <= sdk_clock_ms();
}

/* Its next event, with the lock held. 0; CHOIR_TIMEOUT; -ECANCELED;
 * CHOIR_EPOCH_CHANGED; what ended the handle. */
static int take_locked(struct feed *f, uint64_t id, int64_t deadline,
                       struct choir_event **event)
{
    struct choir *c = f->c;

    for (;;) {
        struct entry *e = handle_entry(c, id);

        if (f->r->stop)
            return -ECANCELED;
        if (f->knows_epoch && c->seen.epoch != f->epoch)
            return CHOIR_EPOCH_CHANGED;
        if (e && e->events) {
            *event = handle_take(c, e);
            return 0;
        }
        if (!e || (c->ended && e->has_outcome))
            return c->ended ? handle_ended(c) : handle_unknown(id);
        if (is_over(deadline))
            return CHOIR_TIMEOUT;
        doze(c, deadline);
    }
}

int feed_take(struct feed *f, uint64_t id, int64_t deadline,
              struct choir_event **event)
{
    int code;

    *event = NULL;
    pthread_mutex_lock(&f->c->lock);
    code = take_locked(f, id, deadline, event);
    pthread_mutex_unlock(&f->c->lock);
    return code;
}

static int linger(struct feed *f, int64_t ms)
{
    int64_t deadline = deadline_after((int)ms);
    bool stop;

    pthread_mutex_lock(&f->c->lock);
    while (!f->r->stop && !is_over(deadline))
        doze(f->c, deadline);
    stop = f->r->stop;
    pthread_mutex_unlock(&f->c->lock);
    return stop ? -ECANCELED : 0;
}

/* --- Asking --------------------------------------------------------------- */

/* Wait for room here and not in handle_send: see doze. */
int feed_send(struct feed *f, struct choir_request **q, uint64_t *id)
{
    int code = CHOIR_BUSY;

    while (code == CHOIR_BUSY || code == CHOIR_INTERRUPTED) {
        pthread_mutex_lock(&f->c->lock);
        while (!f->r->stop && !f->c->ended &&
               f->c->in_flight > f->c->in_flight_max / 2)
            doze(f->c, deadline_after(ROOM_MS));
        code = f->r->stop ? -ECANCELED : 0;
        pthread_mutex_unlock(&f->c->lock);
        if (!code)
            code = handle_send(f->c, q, 0, true, id);
    }
    choir_request_free(q);
    return code;
}

struct choir_request *feed_request(struct choir_replica *r, const char *verb)
{
    struct choir_request *q = choir_request_new(r->c, verb);

    if (q)
        choir_request_text(q, "space", r->space);
    return q;
}

static struct choir_request *watch_request(struct choir_replica *r)
{
    struct choir_request *q = feed_request(r, "watch");

    if (q) {
        choir_request_text(q, "prefix", r->prefix);
        choir_request_uint(q, "credit", FEED_CREDIT);
    }
    return q;
}

int replica_watch(struct choir_replica *r, int timeout_ms, uint64_t *watch)
{
    struct choir_request *q = watch_request(r);
    int code =
        q ? handle_send(r->c, &q, timeout_ms, true, watch) : choir_error_code();

    choir_request_free(&q);
    return code;
}

void replica_ask_mark(struct choir_replica *r)
{
    struct choir *c = r->c;

    if (!c->is_connected)
        return; /* a watch that is opened again says how far it is */
    if (!r->asked_size) {
        r->asked_ms = sdk_clock_ms();
        r->asked_size = c->seen.size;
    }
    r->mark_ms_last = sdk_clock_ms();
    intake_credit(&c->intake, r->watch, 0, CREDIT_NOW);
}

void feed_ask_mark(struct feed *f)
{
    pthread_mutex_lock(&f->c->lock);
    replica_ask_mark(f->r);
    pthread_mutex_unlock(&f->c->lock);
}

int feed_event_code(const struct choir_event *e)
{
    return e->code ? error_line(e->code, 0, choir_event_explain(e)) : 0;
}

int feed_ask(struct feed *f, struct choir_request **q, struct choir_event **e)
{
    uint64_t id;
    int code = *q ? feed_send(f, q, &id) : choir_error_code();

    *e = NULL;
    if (!code) {
        code = feed_take(f, id, -1, e);
        if (code)
            handle_forget(f->c, id);
    }
    if (!code)
        code = feed_event_code(*e);
    if (code)
        choir_event_free(e);
    return code;
}

/* --- Contents ------------------------------------------------------------- */

static int over_limit(const struct choir_replica *r, size_t bytes)
{
    return error_set(CHOIR_OVER_LIMIT, 0,
                     "replica_bytes=%zu limit=%zu prefix=%s: open it with a "
                     "larger bytes_max, or for a narrower prefix",
                     bytes, r->bytes_max, r->prefix);
}

int feed_room_check(const struct choir_replica *r,
                    const struct replica_map *map)
{
    size_t bytes = replica_map_bytes(map);

    return bytes > r->bytes_max ? over_limit(r, bytes) : 0;
}

/* One item of a change. While loading, what is known to be later stays. A
 * value that was erased from the record comes without one. */
static int item_apply(struct feed *f, struct replica_map *map,
                      const struct msg *change, const struct msg *item)
{
    struct version_parts parts = {
        .key = msg_b(item, FIELD_KEY),
        .value = msg_b(item, FIELD_VALUE),
        .type = msg_b(item, FIELD_TYPE),
        .revision = msg_u(change, FIELD_REVISION),
        .time = msg_u(change, FIELD_TIME),
        .agent = msg_hash(change, FIELD_AGENT),
        .is_erased = msg_u(item, FIELD_OUTCOME) == CHOIR_ERASED,
    };
    struct version *v;

    if (f->loading && replica_map_revision(map, parts.key) > parts.revision)
        return 0;
    if (msg_u(item, FIELD_KIND) ||
        (!parts.is_erased && !msg_has(item, FIELD_VALUE))) {
        if (f->loading)
            return replica_map_gone(map, parts.key, parts.revision);
        replica_map_remove(map, parts.key);
        return 0;
    }
    v = version_new(&parts);
    return v ? replica_map_put(map, v) : -ENOMEM;
}

/* code: of the reservation. */
static int items_apply(struct feed *f, struct replica_map *map,
                       const struct msg *change, int code)
{
    struct list at = msg_list(change, FIELD_ITEMS);
    struct msg item;

    while (!code && list_next(&at, &item))
        code = item_apply(f, map, change, &item);
    return code ? error_set(code, 0, NULL) : feed_room_check(f->r, map);
}

void feed_complete_set(struct choir_replica *r, uint64_t revision)
{
    r->complete = revision;
    if (r->asked_size && revision + 1 >= r->asked_size) {
        r->heard_ms = r->asked_ms;
        r->asked_size = 0;
    }
    if (r->c->late)
        late_look(r->c);
    if (r->waiting)
        handle_changed(r->c);
}

static void told(struct feed *f, uint64_t revision)
{
    if (revision <= f->told)
        return;
    f->told = revision;
    if (f->loading)
        return;
    pthread_mutex_lock(&f->c->lock);
    feed_complete_set(f->r, revision);
    pthread_mutex_unlock(&f->c->lock);
}

/* A revision is seen whole or not at all: contents and number change while
 * nobody reads or lists. */
static int change_apply(struct feed *f, const struct msg *change)
{
    size_t items = change->v[FIELD_ITEMS].u;
    struct choir_replica *r = f->r;
    int code;

    if (f->loading) {
        code = replica_map_reserve(f->loading, items);
        code = items_apply(f, f->loading, change, code);
        told(f, msg_u(change, FIELD_REVISION));
        return code;
    }
    pthread_mutex_lock(&r->writing);
    code = replica_map_reserve(r->map, items);
    pthread_rwlock_wrlock(&r->reading);
    code = items_apply(f, r->map, change, code);
    pthread_rwlock_unlock(&r->reading);
    if (!code)
        told(f, msg_u(change, FIELD_REVISION));
    pthread_mutex_unlock(&r->writing);
    return code;
}

int feed_hear(struct feed *f, int64_t deadline)
{
    struct choir_event *e;
    const struct msg *m;
    int code = feed_take(f, f->r->watch, deadline, &e);

    if (code)
        return code;
    m = event_message(e);
    if (e->last)
        code = e->code ? feed_event_code(e) : error_set(CHOIR_CLOSED, 0, NULL);
    else if (!m)
        code = error_set(-ENOMEM, 0, NULL);
    else if (e->kind == MSG_CHANGE)
        code = change_apply(f, m);
    else if (e->kind == MSG_CAUGHT_UP)
        told(f, msg_u(m, FIELD_REVISION));
    choir_event_free(&e);
    return code;
}

/* --- Following ------------------------------------------------------------ */

/* When to ask for a mark, on the clock; -1: never. */
static int64_t mark_due(struct feed *f)
{
    struct choir_replica *r = f->r;
    int64_t due;

    pthread_mutex_lock(&f->c->lock);
    if ((r->waiting || f->c->late) && r->wanted > r->complete) {
        due = r->mark_ms_last + f->soon_ms;
    } else {
        f->soon_ms = MARK_SOON_MS;
        due = r->mark_ms < 0 ? -1 : r->mark_ms_last + r->mark_ms;
    }
    pthread_mutex_unlock(&f->c->lock);
    return due;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

static int follow(struct feed *f)
{
    int code = 0;

    f->soon_ms = MARK_SOON_MS;
    check_begin(f);
    while (!code) {
        int64_t due = mark_due(f);

        code = feed_hear(f, sooner(due, f->check.due_ms));
        if (code == CHOIR_TIMEOUT && !is_over(due))
            code = 0;
        if (!code)
            code = check_page(f);
        if (code != CHOIR_TIMEOUT)
            continue;
        code = 0;
        f->soon_ms = f->soon_ms * 2 > 1000 ? 1000 : f->soon_ms * 2;
        pthread_mutex_lock(&f->c->lock);
        replica_ask_mark(f->r);
        f->r->mark_ms_last = sdk_clock_ms(); /* connected or not */
        pthread_mutex_unlock(&f->c->lock);
    }
    return code;
}

/* --- From beginning to end ------------------------------------------------ */

/* Over, but only so far: what it held can be had again. */
static bool begins_anew(int code)
{
    return code == CHOIR_COMPACTED || code == CHOIR_FUTURE ||
           code == CHOIR_EPOCH_CHANGED || code == CHOIR_DIVERGED;
}

static int watch_again(struct feed *f)
{
    struct choir_request *q = watch_request(f->r);
    struct choir_event *e = NULL;
    uint64_t id;
    int code;

    handle_forget(f->c, f->r->watch);
    f->knows_epoch = false;
    code = q ? feed_send(f, &q, &id) : choir_error_code();
    if (code)
        return code;
    pthread_mutex_lock(&f->c->lock);
    f->r->watch = id;
    pthread_mutex_unlock(&f->c->lock);
    code = feed_take(f, id, -1, &e);
    if (!code)
        code = feed_event_code(e);
    choir_event_free(&e);
    return code;
}

static void end(struct feed *f, int code)
{
    struct choir_replica *r = f->r;
    struct replica_map *map;

    handle_forget(f->c, r->watch);
    pthread_mutex_lock(&r->writing);
    pthread_rwlock_wrlock(&r->reading);
    map = r->map;
    r->map = NULL;
    pthread_rwlock_unlock(&r->reading);
    pthread_mutex_lock(&f->c->lock);
    r->ended = code;
    r->line = strdup(choir_error_text());
    late_look(f->c);
    handle_changed(f->c);
    pthread_mutex_unlock(&f->c->lock);
    pthread_mutex_unlock(&r->writing);
    replica_map_destroy(&map);
}

void *replica_feed(void *replica)
{
    struct choir_replica *r = replica;
    struct feed f = {.r = r, .c = r->c};
    int64_t again_ms = AGAIN_FIRST_MS;
    int code = 0;

    while (!code) {
        code = feed_load(&f);
        if (!code) {
            again_ms = AGAIN_FIRST_MS;
            code = follow(&f);
        }
        while (begins_anew(code)) {
            code = linger(&f, again_ms);
            again_ms =
                again_ms * 2 > AGAIN_MAX_MS ? AGAIN_MAX_MS : again_ms * 2;
            if (!code)
                code = watch_again(&f);
        }
    }
    end(&f, code);
    return NULL;
}
