/* Waiting for the engine, and taking what it published. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "handle.h"
#include "proto/refusal.h"

int64_t sdk_clock_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : sdk_clock_ms() + timeout_ms;
}

static int timed_out(const struct choir *c)
{
    if (c->trouble && c->trouble != CHOIR_UNREACHABLE)
        return error_set(CHOIR_TIMEOUT, 0,
                         "why=%s url=%s: %s; what was sent goes on and may "
                         "still happen",
                         refusal_name(c->trouble), c->id.broker.url,
                         refusal_sentence(c->trouble));
    if (!c->is_connected)
        return error_set(CHOIR_UNREACHABLE, 0,
                         "url=%s: no broker answers there; is choird "
                         "running? See: choir doctor",
                         c->id.broker.url);
    return error_set(CHOIR_TIMEOUT, 0,
                     "url=%s: no answer in time; what was sent goes on and "
                     "may still happen",
                     c->id.broker.url);
}

int handle_ended(const struct choir *c)
{
    return error_line(c->ended, 0, c->ended_line ? c->ended_line : "");
}

static int interrupted(void)
{
    return error_set(CHOIR_INTERRUPTED, 0, NULL);
}

struct sleep handle_sleep_begin(const struct choir *c, int timeout_ms)
{
    return (struct sleep){deadline_after(timeout_ms), c->interruptions};
}

/* Why not to sleep: 0: no reason. */
static int sleep_refused(struct choir *c, const struct sleep *s)
{
    /* Who waited may have found his event first, and has not returned for it. */
    if (c->interruptions != s->since || c->interrupt_next) {
        c->interrupt_next = false;
        return interrupted();
    }
    if (s->deadline >= 0 && s->deadline <= sdk_clock_ms())
        return timed_out(c);
    return 0;
}

static void changed_wait(struct choir *c, const struct sleep *s)
{
    int64_t left = s->deadline < 0 ? 3600000 : s->deadline - sdk_clock_ms();
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += left / 1000;
    until.tv_nsec += left % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&c->changed, &c->lock, &until);
}

/* Whoever waits may as well do the engine's work: then nobody has to be woken,
 * neither the engine for what he wants nor he for what becomes of it. */
static void drive(struct choir *c, const struct sleep *s)
{
    intake_hand(&c->intake);
    c->is_driven = true;
    c->intake.seat = NULL;
    c->is_poked = false;
    pthread_mutex_unlock(&c->lock);
    engine_drive(c, s->deadline);
    pthread_mutex_lock(&c->lock);
}

int handle_sleep(struct choir *c, const struct sleep *s)
{
    int r = sleep_refused(c, s);

    if (r) {
        intake_drawn(&c->intake);
        return r;
    }
    c->waiting++;
    if (pthread_mutex_trylock(&c->turn) == 0) {
        drive(c, s);
    } else {
        intake_drawn(&c->intake);
        changed_wait(c, s);
    }
    c->waiting--;
    return 0;
}

int choir_fd(struct choir *c)
{
    if (handle_check(c))
        return -1;
    pthread_mutex_lock(&c->lock);
    if (!c->wants_fd) {
        c->wants_fd = true;
        if (c->queue || c->ended)
            handle_ready(c, true);
    }
    pthread_mutex_unlock(&c->lock);
    return c->ready_fd;
}

static int queue_wait(struct choir *c, int timeout_ms)
{
    struct sleep s = handle_sleep_begin(c, timeout_ms);
    int r = 0;

    while (!r && !c->queue)
        r = c->ended ? handle_ended(c) : handle_sleep(c, &s);
    return r;
}

int choir_next(struct choir *c, int timeout_ms, struct choir_event **event)
{
    int r = handle_check(c);

    *event = NULL;
    if (r)
        return r;
    pthread_mutex_lock(&c->lock);
    if (!c->queue) /* else nobody looks at the clock */
        r = queue_wait(c, timeout_ms);
    if (!r)
        *event = handle_take(c, c->queue->entry);
    pthread_mutex_unlock(&c->lock);
    return r;
}

int choir_wait(struct choir *c, uint64_t request, int timeout_ms,
               struct choir_event **event)
{
    struct entry *e = NULL;
    struct sleep s;
    int r = handle_check(c);

    *event = NULL;
    if (r)
        return r;
    pthread_mutex_lock(&c->lock);
    s = handle_sleep_begin(c, timeout_ms);
    while (!r) {
        e = handle_entry(c, request);
        if (!e || e->is_forgotten)
            r = handle_unknown(request);
        else if (e->events)
            break;
        else
            r = c->ended && e->has_outcome ? handle_ended(c)
                                           : handle_sleep(c, &s);
    }
    if (!r)
        *event = handle_take(c, e);
    pthread_mutex_unlock(&c->lock);
    return r;
}

int choir_flush(struct choir *c, int timeout_ms)
{
    struct sleep s;
    int r = handle_check(c);

    if (r)
        return r;
    pthread_mutex_lock(&c->lock);
    s = handle_sleep_begin(c, timeout_ms);
    while (!r && c->unanswered)
        r = handle_sleep(c, &s);
    pthread_mutex_unlock(&c->lock);
    return r;
}

void choir_interrupt(struct choir *c)
{
    uint64_t one = 1;
    int saved = errno;

    __atomic_store_n(&c->interrupted, 1, __ATOMIC_SEQ_CST);
    if (write(c->intake.wake_fd, &one, sizeof one) < 0)
        errno = saved;
    errno = saved;
}
