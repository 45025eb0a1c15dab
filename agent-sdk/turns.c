/* Who turns the engine: its own thread, or for a while a caller who waits.
 *
 * The thread sleeps on an epoll whose only member is that of the connection.
 * A caller who takes the turn takes that member out, so that what arrives wakes
 * him alone, and puts it back when he leaves; what a descriptor would not tell
 * of by then he tells the thread by waking it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "engine.h"
#include "error.h"

static int sleep_open(struct engine *e)
{
    struct epoll_event event = {.events = EPOLLIN};
    int r = connection_watch(e->connection, e->c->intake.wake_fd, WAKE_BIT);

    if (!r)
        r = connection_watch(e->connection, e->c->intake.hold_fd, HOLD_BIT);
    e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (!r && e->timer_fd < 0)
        r = -errno;
    if (!r)
        r = connection_watch(e->connection, e->timer_fd, TIMER_BIT);
    e->sleep_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!r && epoll_ctl(e->sleep_fd, EPOLL_CTL_ADD,
                        connection_fd(e->connection), &event))
        r = -errno;
    return r;
}

static int start(struct engine *e, struct choir *c)
{
    struct connection_keys keys;
    int r;

    *e = (struct engine){.c = c, .sleep_fd = -1, .timer_fd = -1};
    memcpy(keys.broker_curve, c->id.broker.broker_curve, KEY_CURVE_BYTES);
    keys.curve = c->id.curve;
    r = connection_new(&e->connection, c->id.broker.url, &keys);
    secret_wipe(&keys, sizeof keys);
    e->records = records_new();
    e->asks = asks_new();
    e->wire.id = &c->id;
    e->wire.connection = e->connection;
    e->wire.leases = c->leases;
    e->wire.reads = c->reads;
    e->wire.labels = c->labels;
    e->wire.label_count = c->label_count;
    e->wire.now_ms = e->begin_ms = e->saved_ms = sdk_clock_ms();
    e->wire.verifier.ledger = c->id.broker.ledger;
    e->wire.verifier.agent = c->id.agent;
    e->wire.verifier.seen = c->first_seen;
    e->wire.verifier.accept_epoch = c->flags & CHOIR_ACCEPT_EPOCH;
    e->wire.growth.path = c->path;
    growth_begin(&e->wire.growth, &e->wire.verifier);
    buf_put(&e->wire.growth.before_proof, c->first_proof.p, c->first_proof.n);
    memcpy(e->wire.verifier.broker_key, c->id.broker.broker_key,
           KEY_PUBLIC_BYTES);
    return r ? r : e->records && e->asks ? sleep_open(e) : -ENOMEM;
}

static void finish(struct engine *e)
{
    if (e->records && e->connection && !e->ended &&
        !records_pump(e->records, &e->wire)) /* what is given back */
        records_close(e->records, &e->wire);
    connection_destroy(&e->connection, 200);
    if (e->sleep_fd >= 0)
        close(e->sleep_fd);
    if (e->timer_fd >= 0)
        close(e->timer_fd);
    engine_seen_store(e, true);
    if (e->line != e->c->ended_line)
        free(e->line);
    records_destroy(&e->records);
    asks_destroy(&e->asks);
    e->wire.labels = (struct buf){0};
    wire_free(&e->wire);
}

/* Only ever earlier: a timer that fires too soon costs less than one that is
 * set with every bundle. */
static void timer_set(struct engine *e)
{
    int left = engine_timeout_ms(e);
    int64_t due = e->wire.now_ms + left;
    struct itimerspec at = {.it_value = {left / 1000, left % 1000 * 1000000}};

    if (left <= 0 || (e->timer_ms > e->wire.now_ms && e->timer_ms <= due))
        return;
    e->timer_ms = due;
    timerfd_settime(e->timer_fd, 0, &at, NULL);
}

static bool turn(struct engine *e, int sleep_ms)
{
    bool goes_on = engine_turn(e, sleep_ms);

    if (goes_on)
        timer_set(e);
    return goes_on;
}

/* Is there something to do that no descriptor tells of? */
static bool is_busy(struct engine *e)
{
    return engine_timeout_ms(e) == 0 || connection_pending(e->connection);
}

static void sleep_watch(struct engine *e, int operation)
{
    struct epoll_event event = {.events = EPOLLIN};

    epoll_ctl(e->sleep_fd, operation, connection_fd(e->connection), &event);
}

void engine_drive(struct choir *c, int64_t deadline)
{
    struct engine *e = c->engine;
    struct error mine;
    int left = 0;

    error_keep(&mine);
    sleep_watch(e, EPOLL_CTL_DEL);
    while (turn(e, left) && !e->has_news) {
        int64_t now = sdk_clock_ms();

        if (deadline >= 0 && deadline <= now)
            break;
        left = engine_timeout_ms(e);
        if (deadline >= 0 && (left < 0 || left > deadline - now))
            left = (int)(deadline - now);
    }
    pthread_mutex_lock(&c->lock);
    c->is_driven = false;
    if (c->stop || is_busy(e)) {
        c->intake.is_awake = false; /* we were, and are not any more */
        intake_wake(&c->intake);
    }
    pthread_mutex_unlock(&c->lock);
    sleep_watch(e, EPOLL_CTL_ADD);
    error_restore(&mine);
    pthread_mutex_unlock(&c->turn);
}

static void engine_show(struct engine *e, bool runs)
{
    pthread_mutex_lock(&e->c->turn);
    pthread_mutex_lock(&e->c->lock);
    e->c->engine = runs ? e : NULL;
    pthread_mutex_unlock(&e->c->lock);
    pthread_mutex_unlock(&e->c->turn);
}

static void turns(struct engine *e)
{
    struct epoll_event event;
    bool goes_on, is_idle;

    engine_show(e, true);
    do {
        pthread_mutex_lock(&e->c->turn);
        goes_on = turn(e, 0);
        is_idle = goes_on && !is_busy(e);
        pthread_mutex_unlock(&e->c->turn);
        if (is_idle)
            epoll_wait(e->sleep_fd, &event, 1, -1);
    } while (goes_on);
    engine_show(e, false);
}

void *engine_run(void *handle)
{
    struct engine e;
    int r = start(&e, handle);

    if (r) {
        e.ended = r;
        error_set(r, 0, NULL);
        e.line = strdup(choir_error_text());
        engine_tell(&e);
    } else {
        turns(&e);
    }
    finish(&e);
    return NULL;
}
