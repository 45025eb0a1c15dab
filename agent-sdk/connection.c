/* libzmq alone rather than czmq: a library must not install signal handlers
 * or share a context with the program it is loaded into. */
#include "connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include "connection_context.h"
#include "connection_exchange.h"
#include "error.h"
#include "proto/limits.h"
#include "proto/near.h"
#include "proto/refusal.h"
#include "proto/threads.h"

/* Bits of our own beside those of the watched. */
enum { SOCKET_BIT = 1 << 16, MONITOR_BIT = 1 << 17, EVENTS_MAX = 8 };

enum {
    /* A broker's host that is gone is noticed by the kernel, a broker that
     * answers nobody by the pings of asks.c. Heartbeats of libzmq (4.3.4) would
     * do neither better, and each looks through the timers of all. */
    SILENT_S = 5,
    GONE_MS = 15000,
    HANDSHAKE_MS = 5000,
    /* Above 0 libzmq says so when a name is not known, but what it would do
     * itself then, after this time, comes too late. */
    RECONNECT_MS = 3600000,
    FRAME_BYTES_MAX = LIMIT_ANSWER_BYTES + 65536,
};

struct connection {
    const char *url;
    struct connection_keys keys;
    struct context *context;
    void *socket, *monitor;
    zmq_msg_t frame; /* what receive lent */
    int epoll_fd, socket_fd, monitor_fd;
    bool is_settled; /* nothing to receive until the descriptor says so */
    bool is_new;     /* the monitor was never read */
    enum connection_state state;
    bool answered; /* the peer's end was there; the handshake was not done */
    unsigned breaks, begun; /* so often */
    struct exchange exchange;
};

int connection_new(struct connection **out, const char *url,
                   const struct connection_keys *keys)
{
    int r = threads_permitted();
    struct connection *c = r ? NULL : calloc(1, sizeof *c);

    if (!c)
        return r ? r : -ENOMEM;
    c->url = url;
    c->keys = *keys;
    zmq_msg_init(&c->frame);
    c->context = context_take(url);
    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!c->context || c->epoll_fd < 0) {
        connection_destroy(&c, 0);
        return -ENOMEM;
    }
    *out = c;
    return 0;
}

int connection_error(int r)
{
    if (r == -EPERM)
        return error_set(r, 0,
                         "what=connection: the sandbox of this process refuses "
                         "sched_setscheduler, which ZeroMQ needs");
    return error_set(r, 0, "what=connection");
}

static void sockets_close(struct connection *c, int linger_ms)
{
    if (c->monitor) {
        epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, c->socket_fd, NULL);
        epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, c->monitor_fd, NULL);
    }
    if (c->socket) {
        zmq_socket_monitor(c->socket, NULL, 0);
        zmq_setsockopt(c->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(c->socket);
    }
    if (c->monitor)
        zmq_close(c->monitor);
    c->socket = c->monitor = NULL;
    c->state = CONNECTION_CLOSED;
}

void connection_destroy(struct connection **self_p, int linger_ms)
{
    struct connection *c = *self_p;

    if (!c)
        return;
    zmq_msg_close(&c->frame);
    sockets_close(c, linger_ms);
    if (c->context)
        context_drop(c->context);
    if (c->epoll_fd >= 0)
        close(c->epoll_fd);
    secret_wipe(&c->keys, sizeof c->keys);
    free(c);
    *self_p = NULL;
}

static void option(struct connection *c, int name, int value)
{
    zmq_setsockopt(c->socket, name, &value, sizeof value);
}

/* A name may have addresses of both families, of which libzmq tries one: IPv4 at
 * first, IPv6 each second time. */
static bool is_ipv6(const struct connection *c)
{
    return strchr(c->url, '[') ||
           (!context_is_address(c->url) && c->begun % 2 == 0);
}

static int configure(struct connection *c)
{
    int64_t frame_max = FRAME_BYTES_MAX;

    option(c, ZMQ_LINGER, 0);
    option(c, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    option(c, ZMQ_IPV6, is_ipv6(c));
    option(c, ZMQ_TCP_KEEPALIVE, 1);
    option(c, ZMQ_TCP_KEEPALIVE_IDLE, SILENT_S);
    option(c, ZMQ_TCP_KEEPALIVE_INTVL, SILENT_S);
    option(c, ZMQ_TCP_KEEPALIVE_CNT, GONE_MS / 1000 / SILENT_S - 1);
    option(c, ZMQ_TCP_MAXRT, GONE_MS);
    option(c, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    option(c, ZMQ_SNDHWM, 0); /* bounded by what the caller has in flight */
    zmq_setsockopt(c->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    if (zmq_setsockopt(c->socket, ZMQ_CURVE_SERVERKEY, c->keys.broker_curve,
                       KEY_CURVE_BYTES) ||
        zmq_setsockopt(c->socket, ZMQ_CURVE_PUBLICKEY, c->keys.curve.public_key,
                       KEY_CURVE_BYTES) ||
        zmq_setsockopt(c->socket, ZMQ_CURVE_SECRETKEY, c->keys.curve.secret_key,
                       KEY_CURVE_BYTES))
        return -EINVAL;
    return 0;
}

int connection_watch(struct connection *c, int fd, unsigned bit)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = bit};

    return epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static int socket_watch(struct connection *c, void *socket, int *fd,
                        unsigned bit)
{
    size_t n = sizeof *fd;

    if (zmq_getsockopt(socket, ZMQ_FD, fd, &n))
        return -errno;
    return connection_watch(c, *fd, bit);
}

static int monitor_open(struct connection *c)
{
    static uint64_t monitors;
    char name[64];

    snprintf(
        name, sizeof name, "inproc://monitor-%llu",
        (unsigned long long)__atomic_add_fetch(&monitors, 1, __ATOMIC_RELAXED));
    /* MONITOR_STOPPED would be sent when we close, and wait for a reader */
    if (zmq_socket_monitor(c->socket, name,
                           ZMQ_EVENT_ALL & ~ZMQ_EVENT_MONITOR_STOPPED))
        return -errno;
    c->monitor = zmq_socket(context_zmq(c->context), ZMQ_PAIR);
    if (!c->monitor || zmq_connect(c->monitor, name))
        return -errno;
    c->is_new = true;
    return socket_watch(c, c->monitor, &c->monitor_fd, MONITOR_BIT);
}

int connection_begin(struct connection *c)
{
    int r;

    sockets_close(c, 0);
    c->socket = zmq_socket(context_zmq(c->context), ZMQ_DEALER);
    if (!c->socket)
        return -errno;
    c->answered = c->is_settled = false;
    c->begun++;
    r = configure(c);
    if (!r)
        r = socket_watch(c, c->socket, &c->socket_fd, SOCKET_BIT);
    if (!r)
        r = monitor_open(c);
    if (!r && zmq_connect(c->socket, c->url))
        r = -errno;
    if (r)
        sockets_close(c, 0);
    else
        c->state = CONNECTION_WAITING;
    return r;
}

enum connection_state connection_state(const struct connection *c)
{
    return c->state;
}

unsigned connection_breaks(const struct connection *c)
{
    return c->breaks;
}

static void lost(struct connection *c)
{
    exchange_begin(&c->exchange, -1);
    if (c->state == CONNECTION_WAITING)
        c->breaks = c->answered ? c->breaks + 1 : 0;
    if (c->state != CONNECTION_REFUSED)
        c->state = CONNECTION_CLOSED;
}

/* value of FAILED_AUTH is the status of ZAP: 400 is a judgement, the others
 * are the broker's own trouble and may pass. */
static void heard(struct connection *c, unsigned event, unsigned value)
{
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        c->answered = true;
        exchange_begin(&c->exchange, (int)value);
        return;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        c->state = CONNECTION_UP;
        c->breaks = 0;
        return;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        c->state = value == 400 ? CONNECTION_REFUSED : CONNECTION_CLOSED;
        return;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_DISCONNECTED:
    case ZMQ_EVENT_CONNECT_RETRIED: /* also when there was no address */
    case ZMQ_EVENT_CLOSED: lost(c); return;
    default: return;
    }
}

static void monitor_read(struct connection *c)
{
    for (;;) {
        uint8_t event[6];
        uint16_t number;
        uint32_t value;
        char address[256];
        int n = zmq_recv(c->monitor, event, sizeof event, ZMQ_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n != (int)sizeof event)
            return;
        memcpy(&number, event, sizeof number);
        memcpy(&value, event + 2, sizeof value);
        zmq_recv(c->monitor, address, sizeof address, 0);
        heard(c, number, value);
    }
}

/* ZeroMQ's descriptor tells of commands between its threads, once each, not
 * of frames; so whoever may have read a command unseen, by sending or by
 * receiving one frame of several, must ask before he sleeps. */
static bool frames_wait(struct connection *c)
{
    int events = 0;
    size_t n = sizeof events;

    if (!c->is_settled && !zmq_getsockopt(c->socket, ZMQ_EVENTS, &events, &n))
        c->is_settled = !(events & ZMQ_POLLIN);
    return !c->is_settled;
}

bool connection_pending(struct connection *c)
{
    return c->socket && (c->is_new || frames_wait(c));
}

int connection_fd(const struct connection *c)
{
    return c->epoll_fd;
}

unsigned connection_poll(struct connection *c, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    unsigned readable = 0;
    int n;

    if (connection_pending(c))
        timeout_ms = 0;
    n = epoll_wait(c->epoll_fd, events, EVENTS_MAX, timeout_ms);
    for (int i = 0; i < n; i++)
        readable |= events[i].data.u32;
    if (readable & SOCKET_BIT)
        c->is_settled = false;
    if (c->socket && (c->is_new || (readable & MONITOR_BIT)))
        monitor_read(c);
    c->is_new = false;
    return readable & 0xffff;
}

bool connection_steady(const struct connection *c)
{
    return c->state == CONNECTION_UP && !c->is_new;
}

void connection_expect(struct connection *c)
{
    c->is_settled = false;
}

void connection_rest(struct connection *c)
{
    c->is_settled = true;
}

int connection_send(struct connection *c, struct bytes frame)
{
    if (c->state != CONNECTION_UP)
        return -ENOTCONN;
    c->is_settled = false;
    exchange_sent(&c->exchange);
    if (zmq_send(c->socket, frame.p, frame.n, ZMQ_DONTWAIT) < 0)
        return errno == EAGAIN ? -ENOTCONN : -errno;
    return 0;
}

static bool more_parts(struct connection *c)
{
    bool more = zmq_msg_more(&c->frame);

    while (zmq_msg_more(&c->frame) &&
           zmq_msg_recv(&c->frame, c->socket, ZMQ_DONTWAIT) >= 0)
        ;
    return more;
}

int connection_receive(struct connection *c, struct bytes *frame)
{
    if (!c->socket || c->is_settled)
        return -EAGAIN;
    if (zmq_msg_recv(&c->frame, c->socket, ZMQ_DONTWAIT) < 0) {
        c->is_settled = errno != EINTR; /* else it may have read a command */
        return -EAGAIN;
    }
    if (context_is_shared(c->context))
        exchange_among(&c->exchange);
    else
        exchange_heard(&c->exchange);
    if (more_parts(c))
        return CHOIR_MALFORMED;
    *frame = bytes_of(zmq_msg_data(&c->frame), zmq_msg_size(&c->frame));
    return 0;
}

int connection_core(const struct connection *c)
{
    return context_is_shared(c->context) ? -1 : exchange_core(&c->exchange);
}

int connection_near(const struct connection *c, struct near **out)
{
    char name[CONTEXT_THREAD_BYTES];

    context_thread(c->context, name);
    return near_new(out, name);
}
