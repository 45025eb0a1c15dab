/* Who turns the engine: the hub, or for a while a caller who waits.
 *
 * The hub sleeps on the connection's epoll, among others. A caller who waits
 * takes that out, so that what arrives wakes him alone, and puts it back when he
 * leaves; for one who only sends, the hub does so when something arrives. What a
 * descriptor would not tell of by then he tells the hub. */
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "engine.h"
#include "error.h"
#include "proto/near.h"

static int descriptors_open(struct engine *e)
{
    int r = connection_watch(e->connection, e->c->intake.wake_fd, WAKE_BIT);

    if (!r)
        r = connection_watch(e->connection, e->c->intake.hold.fd, HOLD_BIT);
    e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (!r && e->timer_fd < 0)
        r = -errno;
    if (!r)
        r = connection_watch(e->connection, e->timer_fd, TIMER_BIT);
    e->seat.fd = connection_fd(e->connection);
    return r;
}

static int start(struct engine *e, struct choir *c)
{
    struct connection_keys keys;
    int r;

    *e = (struct engine){.c = c, .timer_fd = -1};
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
    if (!r)
        r = connection_near(e->connection, &e->near);
    return r ? r : e->records && e->asks ? descriptors_open(e) : -ENOMEM;
}

static void finish(struct engine *e)
{
    if (e->records && e->asks && e->connection) {
        engine_hear_callers(e);
        if (!e->ended && !records_rest(e->records, &e->wire))
            records_close(e->records, &e->wire); /* what is given back */
    }
    near_destroy(&e->near);
    connection_destroy(&e->connection, 200);
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

static void turn(struct engine *e, unsigned readable)
{
    engine_turn(e, readable);
    timer_set(e);
}

/* Sleep at most so long (-1: for ever) before it. */
static void turn_after(struct engine *e, int sleep_ms)
{
    turn(e, connection_poll(e->connection, sleep_ms));
}

/* What was put in is at hand, and a frame that was seen is remembered: to look
 * at the descriptors would be a call of the kernel for nothing. */
static void turn_at_once(struct engine *e)
{
    if (connection_steady(e->connection))
        turn(e, 0);
    else
        turn_after(e, 0);
}

/* Is there something to do that no descriptor tells of? */
static bool is_busy(struct engine *e)
{
    return engine_timeout_ms(e) == 0 || connection_pending(e->connection);
}

/* The same after a turn. Whoever waits for an answer in its turn may rest until
 * the hub looks, as long as it is the hub that waits. */
static bool is_busy_after(struct engine *e)
{
    enum expects what =
        connection_steady(e->connection) && engine_waits_for_answers(e)
            ? EXPECTS_ANSWER
            : EXPECTS_OTHERWISE;

    return hub_expects(&e->seat, what, e->has_heard) ? engine_timeout_ms(e) == 0
                                                     : is_busy(e);
}

/* --- In the hub ----------------------------------------------------------- */

static void turn_to_look(struct engine *e)
{
    connection_expect(e->connection);
    turn(e, 0);
}

/* It is a frame, nearly always; if there was none, they tell what it was. A
 * hold may not wait until no more frames come. */
static void turn_when_readable(struct engine *e)
{
    if (!connection_steady(e->connection) || e->is_held) {
        turn_after(e, 0);
        return;
    }
    turn_to_look(e);
    if (!e->has_heard)
        turn_after(e, 0);
}

/* A caller who has the turn does all there is to do, and says when he leaves
 * whether there is more. What is readable must not keep the hub awake until
 * then, which is long if he waits for a core. */
static bool passes_by(struct engine *e, enum turn_for why)
{
    struct choir *c = e->c;
    bool passes;

    if (pthread_mutex_trylock(&c->turn) == 0)
        return false;
    if (why == TURN_DUE)
        return true;
    pthread_mutex_lock(&c->lock); /* he leaves with it held */
    passes = pthread_mutex_trylock(&c->turn) != 0;
    if (passes && why == TURN_READABLE) {
        hub_watch(&e->seat, false);
        c->is_passed = true;
    }
    pthread_mutex_unlock(&c->lock);
    return passes;
}

/* A caller who found the turn taken when he began to wait tries again, and has
 * it from then on. Where there are others to turn, the hub does it with less;
 * and whoever dozes is not to be woken for it. */
static void hand_over(struct engine *e)
{
    struct choir *c = e->c;
    bool waits;

    pthread_mutex_lock(&c->lock);
    waits = c->waiting == 1 && !c->dozing && !c->is_driven &&
            hub_is_alone(&e->seat);
    pthread_mutex_unlock(&c->lock);
    if (waits)
        pthread_cond_signal(&c->changed);
}

static bool hub_turn(void *engine, enum turn_for why)
{
    struct engine *e = engine;
    bool again;

    if (passes_by(e, why))
        return false;
    near_sleep(e->near, -1, 0); /* nobody waits any more */
    switch (why) {
    case TURN_READABLE: turn_when_readable(e); break;
    case TURN_LOOK: turn_to_look(e); break;
    case TURN_DUE: turn_at_once(e); break;
    }
    again = is_busy_after(e);
    pthread_mutex_unlock(&e->c->turn);
    if (!again)
        hand_over(e);
    return again;
}

int engine_start(struct choir *c)
{
    struct engine *e = calloc(1, sizeof *e);
    int r = e ? start(e, c) : -ENOMEM;

    c->engine = e;
    if (!r) {
        e->seat.turn = hub_turn;
        e->seat.of = e;
        c->intake.seat = &e->seat;
        r = hub_join(&e->seat);
    }
    if (r)
        engine_stop(c);
    return r ? connection_error(r) : 0;
}

void engine_stop(struct choir *c)
{
    struct engine *e = c->engine;

    if (!e)
        return;
    pthread_mutex_lock(&c->lock);
    c->intake.seat = NULL;
    pthread_mutex_unlock(&c->lock);
    hub_leave(&e->seat);
    pthread_mutex_lock(&c->turn);
    finish(e);
    pthread_mutex_unlock(&c->turn);
    free(e);
    c->engine = NULL;
}

/* --- A caller ------------------------------------------------------------- */

/* To the hub again. Whoever finds its seat in the intake finds the turn free,
 * or taken by the hub. */
static void leave(struct engine *e)
{
    struct choir *c = e->c;
    bool again;

    pthread_mutex_lock(&c->lock);
    again = is_busy_after(e) || intake_ready(&c->intake);
    if (c->is_driven || c->is_passed)
        hub_watch(&e->seat, true);
    c->is_driven = c->is_passed = false;
    c->intake.seat = &e->seat;
    pthread_mutex_unlock(&c->turn);
    if (again) {
        c->intake.is_awake = false; /* we were, and are not any more */
        intake_wake(&c->intake);
    }
    pthread_mutex_unlock(&c->lock);
}

/* To wake the hub costs as much as to sign; it pays if there is more to do than
 * that. */
static bool looks_itself(struct choir *c)
{
    return c->is_connected && c->intake.seat && !c->intake.is_awake &&
           c->unanswered == c->intake.op_count &&
           c->in_flight <= BUNDLE_BYTES_WORTH && hub_sleeps(c->intake.seat) &&
           pthread_mutex_trylock(&c->turn) == 0;
}

/* The hub goes on looking at the connection meanwhile, until it has to pass by.
 * What others put in after the turn looked is for it. */
void engine_look(struct choir *c)
{
    struct engine *e = c->engine;
    struct error mine;

    if (!looks_itself(c)) {
        intake_wake(&c->intake);
        return;
    }
    intake_look(&c->intake);
    pthread_mutex_unlock(&c->lock);
    error_keep(&mine);
    turn_at_once(e);
    error_restore(&mine);
    leave(e);
    pthread_mutex_lock(&c->lock);
}

/* Beside the broker, if what is waited for is its next answer and nothing else
 * goes on. */
static void turn_after_wait(struct engine *e, int left)
{
    unsigned readable;

    near_sleep(e->near, left ? connection_core(e->connection) : -1,
               (uint64_t)sdk_clock_ms() * 1000);
    readable = connection_poll(e->connection, left);
    near_wake(e->near);
    turn(e, readable);
}

void engine_drive(struct choir *c, int64_t deadline)
{
    struct engine *e = c->engine;
    struct error mine;
    int left;

    error_keep(&mine);
    hub_watch(&e->seat, false);
    for (turn_at_once(e); !e->has_news; turn_after_wait(e, left)) {
        int64_t now = sdk_clock_ms();

        if (deadline >= 0 && deadline <= now)
            break;
        left = engine_timeout_ms(e);
        if (deadline >= 0 && (left < 0 || left > deadline - now))
            left = (int)(deadline - now);
    }
    leave(e);
    error_restore(&mine);
}
