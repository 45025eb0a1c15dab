/* Descriptors are watched under a number, not by address: what the kernel tells
 * may be about a seat that was left meanwhile. */
#include "hub.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "connection_context.h"
#include "handle.h"
#include "proto/crowd.h"

enum { EVENTS_MAX = 64, WAKE_NUMBER = 0 };

struct hub {
    unsigned users; /* under the lock of process_shared */
    pthread_t thread;
    int epoll_fd, wake_fd;

    pthread_mutex_t lock; /* the last: nothing is called with it held */
    pthread_cond_t turned;
    struct seat *seats;   /* by number */
    struct seat *due;     /* oldest first */
    struct seat *turning; /* whose turn it is just now */
    unsigned due_count;
    unsigned leaving; /* wait for `turned` */
    bool is_asleep;   /* nothing was due when it looked last */
    bool sleeps_on;   /* and it does not wake up for what is expected */
    bool stop;
    struct crowd crowd;
    struct expected expected;
};

/* --- Who is due ----------------------------------------------------------- */

static void due_add(struct hub *h, struct seat *s)
{
    if (s->is_due || !s->is_taken)
        return;
    s->is_due = true;
    h->due_count++;
    DL_APPEND(h->due, s);
    expected_due(&h->expected, &s->expectation);
}

static void due_remove(struct hub *h, struct seat *s)
{
    if (!s->is_due)
        return;
    s->is_due = s->is_readable = s->is_looked_at = false;
    h->due_count--;
    DL_DELETE(h->due, s);
}

static void look_add(struct hub *h, struct expectation *e)
{
    struct seat *s =
        (struct seat *)((char *)e - offsetof(struct seat, expectation));

    due_add(h, s);
    s->is_looked_at = true;
}

/* Whoever was told is answered: who else is? */
static bool look_further(struct hub *h)
{
    struct expectation *e = expected_next(&h->expected, sdk_clock_ms());

    if (e)
        look_add(h, e);
    return e != NULL;
}

static void look_at_all(struct hub *h)
{
    struct expectation *e;

    while ((e = expected_late(&h->expected, sdk_clock_ms())))
        look_add(h, e);
}

/* Unless it will look anyway. Without the lock. */
static void wake(const struct hub *h, bool is_asleep)
{
    uint64_t one = 1;

    if (is_asleep && write(h->wake_fd, &one, sizeof one) < 0)
        return; /* full: it is readable already */
}

void hub_due(struct seat *s)
{
    struct hub *h = s->hub;
    bool was_asleep;

    pthread_mutex_lock(&h->lock);
    due_add(h, s);
    was_asleep = h->is_asleep;
    h->is_asleep = false;
    pthread_mutex_unlock(&h->lock);
    wake(h, was_asleep);
}

/* After something became of s in another thread than its own. */
static void unlock_and_wake(struct hub *h)
{
    bool was_asleep = look_further(h) && h->is_asleep;

    h->is_asleep &= !was_asleep;
    pthread_mutex_unlock(&h->lock);
    wake(h, was_asleep);
}

bool hub_expects(struct seat *s, enum expects what, bool has_heard)
{
    struct hub *h = s->hub;
    bool rests;

    pthread_mutex_lock(&h->lock);
    rests = expected_after(&h->expected, &s->expectation, what, has_heard,
                           !h->is_asleep || !h->sleeps_on, sdk_clock_ms());
    if (h->turning == s)
        pthread_mutex_unlock(&h->lock); /* who turned it looks further */
    else
        unlock_and_wake(h);
    return rests;
}

bool hub_sleeps(struct seat *s)
{
    bool is_asleep;

    pthread_mutex_lock(&s->hub->lock);
    is_asleep = s->hub->is_asleep;
    pthread_mutex_unlock(&s->hub->lock);
    return is_asleep;
}

bool hub_is_alone(struct seat *s)
{
    bool is_alone;

    pthread_mutex_lock(&s->hub->lock);
    is_alone = HASH_COUNT(s->hub->seats) == 1;
    pthread_mutex_unlock(&s->hub->lock);
    return is_alone;
}

static void events_take(struct hub *h, const struct epoll_event *events, int n)
{
    struct seat *s;
    uint64_t count;

    for (int i = 0; i < n; i++) {
        uint64_t number = events[i].data.u64;

        if (number == WAKE_NUMBER) {
            if (read(h->wake_fd, &count, sizeof count) < 0)
                continue; /* it was read before */
            continue;
        }
        HASH_FIND(hh, h->seats, &number, sizeof number, s);
        if (!s)
            continue;
        due_add(h, s);
        s->is_readable = true;
    }
}

/* --- The thread ----------------------------------------------------------- */

/* Sleep until somebody is due. With the lock held, but not meanwhile. */
static void sleep_until_due(struct hub *h)
{
    struct epoll_event events[EVENTS_MAX];
    int late_ms = expected_sleep_ms(&h->expected, HASH_COUNT(h->seats));
    int n, timeout_ms = h->due || h->stop ? 0 : crowd_sleep_ms(&h->crowd);

    if (late_ms >= 0 && (timeout_ms < 0 || timeout_ms > late_ms))
        timeout_ms = late_ms;
    h->is_asleep = timeout_ms != 0;
    h->sleeps_on = late_ms < 0;
    pthread_mutex_unlock(&h->lock);
    n = epoll_wait(h->epoll_fd, events, EVENTS_MAX, timeout_ms);
    pthread_mutex_lock(&h->lock);
    h->is_asleep = false;
    events_take(h, events, n);
    if ((n == 0 && timeout_ms && timeout_ms == late_ms) ||
        expected_is_late(&h->expected, sdk_clock_ms()))
        look_at_all(h);
}

static void turn(struct hub *h)
{
    struct seat *s = h->due;
    enum turn_for why = s->is_readable    ? TURN_READABLE
                        : s->is_looked_at ? TURN_LOOK
                                          : TURN_DUE;
    bool again;

    due_remove(h, s);
    h->turning = s;
    pthread_mutex_unlock(&h->lock);
    again = s->turn(s->of, why);
    pthread_mutex_lock(&h->lock);
    h->turning = NULL;
    if (again)
        due_add(h, s);
    if (h->leaving)
        pthread_cond_broadcast(&h->turned);
}

/* Whoever becomes due again meanwhile has to wait for the others. */
static void *run(void *hub)
{
    struct hub *h = hub;

    pthread_mutex_lock(&h->lock);
    while (!h->stop) {
        unsigned turns = 0, due;

        sleep_until_due(h);
        for (due = h->due_count; turns < due && h->due; turns++) {
            turn(h);
            due += look_further(h);
        }
        crowd_note(&h->crowd, turns, sdk_clock_ms());
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* The program's signals are none of this thread's business. */
static int thread_start(struct hub *h)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&h->thread, NULL, run, h);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

/* --- The hub of the process ----------------------------------------------- */

static void hub_free(struct hub *h)
{
    if (h->epoll_fd >= 0)
        close(h->epoll_fd);
    if (h->wake_fd >= 0)
        close(h->wake_fd);
    pthread_cond_destroy(&h->turned);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static int hub_control(struct hub *h, int operation, int fd, uint64_t number,
                       uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u64 = number};

    return epoll_ctl(h->epoll_fd, operation, fd, &e) ? -errno : 0;
}

static int hub_new(struct hub **out)
{
    struct hub *h = calloc(1, sizeof *h);
    int r = 0;

    if (!h)
        return -ENOMEM;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->turned, NULL);
    h->crowd = (struct crowd){CONTEXT_THREADS, .caller_too = true};
    h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (h->wake_fd < 0 || h->epoll_fd < 0)
        r = -errno;
    if (!r)
        r = hub_control(h, EPOLL_CTL_ADD, h->wake_fd, WAKE_NUMBER, EPOLLIN);
    if (!r)
        r = thread_start(h);
    if (r)
        hub_free(h);
    else
        *out = h;
    return r;
}

static int hub_enter(struct hub **h)
{
    struct process_shared *p = process_shared();
    int r = 0;

    pthread_mutex_lock(&p->lock);
    if (!p->hub)
        r = hub_new(&p->hub);
    *h = p->hub;
    if (!r)
        p->hub->users++;
    pthread_mutex_unlock(&p->lock);
    return r;
}

/* Whoever enters while the last one goes gets another hub. */
static void hub_exit(struct hub *h)
{
    struct process_shared *p = process_shared();
    bool is_last;

    pthread_mutex_lock(&p->lock);
    is_last = --h->users == 0;
    if (is_last)
        p->hub = NULL;
    pthread_mutex_unlock(&p->lock);
    if (!is_last)
        return;
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    pthread_mutex_unlock(&h->lock);
    wake(h, true);
    pthread_join(h->thread, NULL);
    hub_free(h);
}

/* --- Seats ---------------------------------------------------------------- */

int hub_join(struct seat *s)
{
    static uint64_t numbers = WAKE_NUMBER;
    struct hub *h;
    int r = hub_enter(&h);

    if (r)
        return r;
    s->hub = h;
    s->number = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&h->lock);
    s->is_taken = true;
    HASH_ADD(hh, h->seats, number, sizeof s->number, s);
    r = hub_control(h, EPOLL_CTL_ADD, s->fd, s->number, EPOLLIN);
    pthread_mutex_unlock(&h->lock);
    if (r)
        hub_leave(s);
    else
        hub_due(s);
    return r;
}

void hub_leave(struct seat *s)
{
    struct hub *h = s->hub;

    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    hub_control(h, EPOLL_CTL_DEL, s->fd, s->number, 0);
    s->is_taken = false;
    HASH_DEL(h->seats, s);
    due_remove(h, s);
    h->leaving++;
    while (h->turning == s)
        pthread_cond_wait(&h->turned, &h->lock);
    h->leaving--;
    expected_forget(&h->expected, &s->expectation); /* its last turn, too */
    unlock_and_wake(h);
    s->hub = NULL;
    hub_exit(h);
}

void hub_watch(struct seat *s, bool looks)
{
    struct hub *h = s->hub;

    if (!looks) { /* it tells nobody of others */
        pthread_mutex_lock(&h->lock);
        expected_forget(&h->expected, &s->expectation);
        unlock_and_wake(h);
    }
    /* it stays there: what needs no memory cannot fail */
    hub_control(h, EPOLL_CTL_MOD, s->fd, s->number, looks ? EPOLLIN : 0);
}
