/* Connections as the kernel sees them. libzmq bounds single frames and whole
 * messages in a queue, but not the parts of a message that never ends: one
 * peer could fill all memory with those. So the bytes the kernel has received
 * on a connection are compared with what was delivered from it, and a peer
 * that has sent more than the limit without finishing one message is cut. */
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "base/log.h"
#include "edge_private.h"
#include "proto/refusal.h"

enum {
    LOOK_US = 100000,      /* how often memory is looked at */
    LOOK_ALL_US = 5000000, /* and every connection, at the latest */
    PAGE_BYTES = 4096,
    PAGES_GROWN = 1024, /* or when so many more are resident, at the least */
    LOOK_LINES = 512,   /* a millisecond's worth at once */
    LOOK_ON_US = 1000,
    FDS_KEPT = 64, /* for the record, snapshots and the like */
};

static const char monitor_name[] = "inproc://edge.monitor";

int monitor_open(struct edge *e)
{
    int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_ACCEPT_FAILED;
    int none = 0;

    if (zmq_socket_monitor(e->router, monitor_name, events))
        return -errno;
    e->monitor = zmq_socket(e->context, ZMQ_PAIR);
    if (!e->monitor ||
        zmq_setsockopt(e->monitor, ZMQ_RCVHWM, &none, sizeof none) ||
        zmq_connect(e->monitor, monitor_name))
        return -errno;
    return 0;
}

struct line_in *line_at(struct edge *e, int fd)
{
    return fd >= 0 && (size_t)fd < e->line_count && e->lines[fd].open
               ? &e->lines[fd]
               : NULL;
}

void line_cut(struct edge *e, int fd)
{
    /* A reset: what it still sends must not lie in the kernel. */
    const struct linger at_once = {.l_onoff = 1};

    if (!line_at(e, fd))
        return;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    shutdown(fd, SHUT_RDWR);
}

static bool tcp_info_of(int fd, struct tcp_info *info)
{
    socklen_t n = sizeof *info;

    memset(info, 0, sizeof *info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &n) == 0;
}

uint64_t line_acked(int fd)
{
    struct tcp_info info;

    return tcp_info_of(fd, &info) ? info.tcpi_bytes_acked : UINT64_MAX;
}

static int lines_room(struct edge *e, int fd)
{
    size_t n = (size_t)fd + 64;
    struct line_in *lines;

    if ((size_t)fd < e->line_count)
        return 0;
    lines = realloc(e->lines, n * sizeof *lines);
    if (!lines)
        return -ENOMEM;
    memset(lines + e->line_count, 0, (n - e->line_count) * sizeof *lines);
    e->lines = lines;
    e->line_count = n;
    return 0;
}

static void on_accepted(struct edge *e, int fd)
{
    if (lines_room(e, fd)) {
        shutdown(fd, SHUT_RDWR);
        return;
    }
    if (!e->lines[fd].open)
        e->open_count++;
    if (e->lines[fd].peer)
        peer_gone(e, e->lines[fd].peer);
    e->lines[fd] = (struct line_in){.open = true};
    e->counters.accepted++;
    if (e->open_count <= e->open_max)
        return;
    e->counters.over_limit++;
    log_warn_limited("connection_refused", "limit=connections_max value=%zu",
                     e->open_max);
    cycle_notice(e->cycle, "a connection over connections_max was refused",
                 NULL, e->counters.over_limit, CHOIR_BUSY);
    line_cut(e, fd);
}

static void on_disconnected(struct edge *e, int fd)
{
    struct line_in *line = line_at(e, fd);

    if (!line)
        return;
    if (line->peer)
        peer_gone(e, line->peer);
    *line = (struct line_in){0};
    e->open_count--;
}

static void on_event(struct edge *e, uint16_t event, uint32_t value)
{
    switch (event) {
    case ZMQ_EVENT_ACCEPTED: on_accepted(e, (int)value); return;
    case ZMQ_EVENT_DISCONNECTED: on_disconnected(e, (int)value); return;
    case ZMQ_EVENT_ACCEPT_FAILED:
        log_warn_limited("accept_failed", "errno=%u", value);
        return;
    default:
        e->counters.handshakes_failed++;
        log_debug("handshake_failed", "event=%u value=%u", event, value);
        cycle_notice(e->cycle, "a handshake failed", NULL,
                     e->counters.handshakes_failed, 0);
    }
}

void monitor_serve(struct edge *e)
{
    for (;;) {
        zmq_msg_t m;
        uint16_t event = 0;
        uint32_t value = 0;
        int more;

        zmq_msg_init(&m);
        if (zmq_msg_recv(&m, e->monitor, ZMQ_DONTWAIT) < 0) {
            if (errno == EAGAIN)
                unread_clear(e, UNREAD_MONITOR);
            zmq_msg_close(&m);
            return;
        }
        more = zmq_msg_more(&m);
        if (zmq_msg_size(&m) == 6) {
            memcpy(&event, zmq_msg_data(&m), 2);
            memcpy(&value, (uint8_t *)zmq_msg_data(&m) + 2, 4);
        }
        while (more && zmq_msg_recv(&m, e->monitor, 0) >= 0)
            more = zmq_msg_more(&m); /* the endpoint's name */
        zmq_msg_close(&m);
        on_event(e, event, value);
    }
}

/* --- Floods -------------------------------------------------------------- */

static uint64_t resident_pages(void)
{
    char text[128] = {0};
    unsigned long long all, resident = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof text - 1) <= 0 ||
        sscanf(text, "%llu %llu", &all, &resident) != 2)
        resident = 0;
    close(fd);
    return resident;
}

static void look_at(struct edge *e, int fd)
{
    struct line_in *line = &e->lines[fd];
    struct tcp_info info;

    if (!tcp_info_of(fd, &info))
        return;
    if (line->messages != line->messages_before) {
        line->messages_before = line->messages;
        line->received = info.tcpi_bytes_received;
        return;
    }
    if (info.tcpi_bytes_received - line->received <=
        e->config->peer_bytes_in_flight_max)
        return;
    e->counters.floods++;
    log_warn_limited(
        "peer_cut", "reason=%s bytes=%llu limit=%llu",
        "it sends without finishing a message",
        (unsigned long long)(info.tcpi_bytes_received - line->received),
        (unsigned long long)e->config->peer_bytes_in_flight_max);
    cycle_notice(e->cycle, "a peer over peer_bytes_in_flight_max was cut", NULL,
                 e->counters.floods, CHOIR_TOO_LARGE);
    line_cut(e, fd);
}

/* A quarter of what one peer may send, since one alone can be it. */
static uint64_t pages_grown(const struct edge *e)
{
    uint64_t n = e->config->peer_bytes_in_flight_max / PAGE_BYTES / 4;

    return n < PAGES_GROWN ? PAGES_GROWN : n;
}

static bool look_due(struct edge *e, uint64_t now)
{
    uint64_t pages = resident_pages();

    if (pages < e->pages + pages_grown(e) && now - e->looked_all < LOOK_ALL_US)
        return false;
    e->pages = pages;
    e->looked_all = now;
    return true;
}

void floods_look(struct edge *e)
{
    uint64_t now = env_steady_us(e->env);
    size_t looks = 0;

    if (now < e->look_at || !e->open_count)
        return;
    e->look_at = now + LOOK_US;
    if (!e->looking && !look_due(e, now))
        return;
    while (e->looking < e->line_count && looks < LOOK_LINES) {
        size_t fd = e->looking++;

        if (!e->lines[fd].open)
            continue;
        look_at(e, (int)fd);
        looks++;
    }
    if (e->looking < e->line_count)
        e->look_at = now + LOOK_ON_US;
    else
        e->looking = 0;
}
