/* What a turn waits for: one epoll instance over everything. To ask libzmq,
 * by zmq_poll, ZMQ_EVENTS or a receive that finds nothing, is two system calls
 * a socket, and there are three sockets.
 *
 * ZMQ_FD tells of commands between libzmq's threads, once each, and not of
 * messages; and whoever calls the socket reads a command unseen. So a socket is
 * `unread` from when its descriptor speaks, or something is sent on it, until a
 * receive has found nothing: only then is the descriptor sure to speak again.
 * Edges are asked for, because the router's is left alone while a sync must
 * end first, and would end every wait. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/pace.h"
#include "base/thread.h"
#include "edge_private.h"
#include "proto/near.h"

enum {
    SYNCED = 1 << 8, /* bits beside those of the sockets */
    ALSO = 1 << 9,
    EVENTS_MAX = 5,
    WAIT_MAX_MS = 60000,
    ALONE_US = 30, /* alone: its sender did something before it came */
};

/* --- Opening ------------------------------------------------------------- */

static int watch(struct edge *e, int fd, uint32_t events, uint32_t bit)
{
    struct epoll_event event = {.events = events, .data.u32 = bit};

    return epoll_ctl(e->wait_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int watch_socket(struct edge *e, void *socket, uint32_t bit)
{
    int fd;
    size_t n = sizeof fd;

    e->unread |= bit; /* it may have read commands already */
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &n))
        return -errno;
    return watch(e, fd, EPOLLIN | EPOLLET, bit);
}

int wait_open(struct edge *e, int also)
{
    int r;

    e->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->wait_fd < 0)
        return -errno;
    r = watch_socket(e, e->router, UNREAD_ROUTER);
    if (!r)
        r = watch_socket(e, e->zap, UNREAD_ZAP);
    if (!r)
        r = watch_socket(e, e->monitor, UNREAD_MONITOR);
    if (!r)
        r = watch(e, e->synced_fd, EPOLLIN, SYNCED);
    if (!r && also >= 0)
        r = watch(e, also, EPOLLIN, ALSO);
    return r;
}

void wait_close(struct edge *e)
{
    if (e->wait_fd >= 0)
        close(e->wait_fd);
    e->wait_fd = -1;
}

/* --- Waiting ------------------------------------------------------------- */

/* Does something stand there, whatever the descriptors say? */
static bool is_unread(struct edge *e)
{
    int events = 0;
    size_t n = sizeof events;

    if (e->unread & (UNREAD_ZAP | UNREAD_MONITOR))
        return true;
    if (!e->unread || cycle_blocked(e->cycle))
        return false;
    if (zmq_getsockopt(e->router, ZMQ_EVENTS, &events, &n) == 0 &&
        !(events & ZMQ_POLLIN))
        unread_clear(e, UNREAD_ROUTER);
    return e->unread != 0;
}

static int sooner(int a_ms, int b_ms)
{
    return a_ms < 0 ? b_ms : b_ms < 0 || a_ms < b_ms ? a_ms : b_ms;
}

static int wait_ms(struct edge *e, int most_ms)
{
    uint64_t now = env_steady_us(e->env), next = cycle_next(e->cycle), ms;

    if (e->open_count && e->look_at < next)
        next = e->look_at;
    if (next <= now || is_unread(e))
        return 0;
    if (next == UINT64_MAX)
        return most_ms;
    ms = (next - now + 999) / 1000;
    if (ms > WAIT_MAX_MS)
        ms = WAIT_MAX_MS;
    return most_ms >= 0 && ms > (uint64_t)most_ms ? most_ms : (int)ms;
}

/* A lone sender's next frame comes after his answer. The thread that sends it
 * may take this one's core for as long as that, so it is not only sleep. */
static void idle_note(struct edge *e, uint64_t began)
{
    uint64_t from = e->idle_from_us ? e->idle_from_us : began;

    e->idle_us = env_steady_us(e->env) - from;
    e->idle_from_us = 0;
}

/* What one thread does after the other is not faster on two cores. This one
 * stays where it is while frames come alone, since whoever told it that the disk
 * is done would have it run beside himself. Who only looks leaves libzmq's thread
 * where it is: to be kept once more, it would have to come back from where the
 * kernel has put it meanwhile. */
static int wait_near(struct edge *e, struct epoll_event *events, int ms)
{
    uint64_t began = env_steady_us(e->env);
    int n;

    if (ms || !is_alone(e)) {
        near_sleep(e->near,
                   is_alone(e) ? pace_core(&e->pace, pace_of_signatures) : -1,
                   began);
        thread_kept(near_cores(e->near));
    }
    n = epoll_wait(e->wait_fd, events, EVENTS_MAX, ms);
    near_stay(e->near);
    idle_note(e, began);
    return n;
}

int edge_wait(struct edge *e, int most_ms, bool *also_ready)
{
    struct epoll_event events[EVENTS_MAX];
    int ms = wait_ms(e, sooner(most_ms, crowd_sleep_ms(&e->crowd)));
    int n = wait_near(e, events, ms);
    uint32_t ready = 0;

    if (n < 0 && errno != EINTR)
        return -errno;
    for (int i = 0; i < n; i++)
        ready |= events[i].data.u32;
    e->unread |= ready & (UNREAD_ROUTER | UNREAD_ZAP | UNREAD_MONITOR);
    *also_ready = (ready & ALSO) != 0;
    return 0;
}

void alone_note(struct edge *e)
{
    if (!e->busy) /* nobody: it was time for something */
        return;
    if (!cycle_was_alone(e->cycle) || e->idle_us < ALONE_US)
        e->alone = 0;
    else if (e->alone < ALONE_FRAMES)
        e->alone++;
}
