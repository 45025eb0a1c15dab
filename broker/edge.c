/* One ROUTER socket for everybody: how it is opened, the turn, and the way out.
 */
#include "edge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "base/crew.h"
#include "base/log.h"
#include "base/thread.h"
#include "edge_private.h"
#include "proto/near.h"
#include "proto/refusal.h"

enum {
    WAITING_MIN = 4,   /* frames that may wait from one peer, at the least, */
    WAITING_MAX = 256, /* and at the most */
    BACKLOG = 4096,    /* everybody comes at once after a restart */
    HANDSHAKE_MS = 5000,
    /* A host that is gone, and a peer that takes nothing in, are noticed by
     * the kernel. Heartbeats of libzmq (4.3.4) would do it too, but it looks
     * through the timers of all connections whenever one answers. */
    SILENT_S = 5,
    GONE_MS = 15000,
    FRAME_SLACK = 64 * 1024,   /* headers around a bundle's contents */
    MESSAGE_OVERHEAD = 64,     /* CURVE and ZMTP around a frame */
    ASK_KERNEL_BYTES = 262144, /* unknown so far: then the kernel is asked */
    CREW_MAX = 32,
    FDS_KEPT = 64,
};

static const char io_thread[] = "ZMQbg/IO/*"; /* libzmq calls it that */

/* --- Transport ----------------------------------------------------------- */

static void transport_send(void *arg, struct connection *c, struct bytes frame)
{
    struct edge *e = arg;
    struct peer *p = c->peer;
    zmq_msg_t m;

    if (p->cut || zmq_msg_init_size(&m, frame.n))
        return;
    memcpy(zmq_msg_data(&m), frame.p, frame.n);
    e->unread |= UNREAD_ROUTER; /* who sends may read a command, too */
    e->idle_from_us = env_steady_us(e->env);
    if (zmq_send(e->router, p->id, p->id_bytes, ZMQ_SNDMORE | ZMQ_DONTWAIT) <
            0 ||
        zmq_msg_send(&m, e->router, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&m); /* gone; the monitor says so too */
        return;
    }
    p->given += frame.n + MESSAGE_OVERHEAD;
    e->counters.bytes_out += frame.n;
}

static uint64_t transport_backlog(void *arg, struct connection *c)
{
    struct peer *p = c->peer;

    (void)arg;
    if (p->given - p->acked < ASK_KERNEL_BYTES)
        return p->given - p->acked;
    p->acked = line_acked(p->fd);
    if (p->acked == UINT64_MAX) /* not TCP any more: it is going away */
        p->acked = p->given;
    if (p->given < p->acked)
        p->given = p->acked; /* our overhead is an estimate */
    return p->given - p->acked;
}

void peer_cut(struct edge *e, struct peer *p, const char *why)
{
    if (p->cut)
        return;
    p->cut = true;
    log_warn_limited("peer_cut", "reason=%s", why);
    line_cut(e, p->fd);
}

static void transport_cut(void *arg, struct connection *c, const char *why)
{
    peer_cut(arg, c->peer, why);
}

/* --- The turn ------------------------------------------------------------ */

int edge_turn(struct edge *e, int most_ms, bool *also_ready)
{
    uint64_t before = e->counters.frames;
    int r = edge_wait(e, most_ms, also_ready);

    if (!r)
        r = cycle_settle(e->cycle);
    if (r)
        return r;
    if (e->unread & UNREAD_ZAP)
        zap_serve(e);
    floods_look(e);
    r = cycle_begin(e->cycle);
    if (!r)
        r = edge_receive(e);
    if (!r)
        r = cycle_end(e->cycle);
    batch_end(e);
    alone_note(e);
    crowd_note(&e->crowd, (unsigned)(e->counters.frames - before),
               (int64_t)(env_steady_us(e->env) / 1000));
    if (e->unread & UNREAD_MONITOR)
        monitor_serve(e); /* after what those who left have sent before */
    return r;
}

void edge_drain(struct edge *e)
{
    cycle_drain(e->cycle);
}

bool edge_was_busy(const struct edge *e)
{
    return e->busy || cycle_waits(e->cycle);
}

/* --- Opening ------------------------------------------------------------- */

static int option(void *socket, int name, int value)
{
    return zmq_setsockopt(socket, name, &value, sizeof value) ? -errno : 0;
}

/* libzmq counts whole frames that wait, not their bytes: as many as fit into
 * what a peer may have in flight when each is as large as may be. */
static int frames_waiting(const struct config *c)
{
    uint64_t n = c->peer_bytes_in_flight_max / c->bundle_bytes_max;

    return n < WAITING_MIN   ? WAITING_MIN
           : n > WAITING_MAX ? WAITING_MAX
                             : (int)n;
}

static int router_options(struct edge *e)
{
    int64_t frame_max = (int64_t)e->config->bundle_bytes_max + FRAME_SLACK;
    const struct {
        int name, value;
    } options[] = {
        {ZMQ_CURVE_SERVER, 1},
        {ZMQ_ROUTER_MANDATORY, 1},
        {ZMQ_ROUTER_HANDOVER, 0},
        {ZMQ_RCVHWM, frames_waiting(e->config)},
        {ZMQ_SNDHWM, 0}, /* bytes bound it, see router.c, not messages */
        {ZMQ_BACKLOG, BACKLOG},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, SILENT_S},
        {ZMQ_TCP_KEEPALIVE_INTVL, SILENT_S},
        {ZMQ_TCP_KEEPALIVE_CNT, GONE_MS / 1000 / SILENT_S - 1},
        {ZMQ_TCP_MAXRT, GONE_MS},
        {ZMQ_LINGER, 0},
    };
    int r = 0;

    for (size_t i = 0; !r && i < sizeof options / sizeof *options; i++)
        r = option(e->router, options[i].name, options[i].value);
    if (!r &&
        (zmq_setsockopt(e->router, ZMQ_MAXMSGSIZE, &frame_max,
                        sizeof frame_max) ||
         zmq_setsockopt(e->router, ZMQ_ZAP_DOMAIN, "choir", 5) ||
         zmq_setsockopt(e->router, ZMQ_CURVE_SECRETKEY,
                        core_curve(e->core)->secret_key, KEY_CURVE_BYTES)))
        r = -errno;
    return r;
}

/* The name under which this host reaches the endpoint. */
static void url_local(char url[EDGE_URL_BYTES])
{
    static const struct {
        const char *any, *local;
    } hosts[] = {{"tcp://0.0.0.0:", "tcp://127.0.0.1:"},
                 {"tcp://[::]:", "tcp://[::1]:"}};

    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(hosts[i].any);
        char port[16];

        if (strncmp(url, hosts[i].any, n) != 0)
            continue;
        snprintf(port, sizeof port, "%.8s", url + n);
        snprintf(url, EDGE_URL_BYTES, "%s%s", hosts[i].local, port);
    }
}

/* The last daemon may have died with a child that was copying the record; it
 * dies too, but a moment later, and until then holds the port. */
static int bind_patiently(struct edge *e, const char *endpoint)
{
    const struct timespec moment = {.tv_nsec = 50000000};
    int r = -1;

    for (unsigned i = 0; r && i < 10; i++) {
        if (i)
            nanosleep(&moment, NULL);
        r = zmq_bind(e->router, endpoint);
        if (r && errno != EADDRINUSE)
            break;
    }
    return r;
}

static int bind_one(struct edge *e, const char *endpoint,
                    char trouble[EDGE_TROUBLE_BYTES])
{
    char *url = e->urls[e->url_count];
    size_t n = EDGE_URL_BYTES;

    if (strncmp(endpoint, "tcp://", 6) != 0) {
        snprintf(trouble, EDGE_TROUBLE_BYTES,
                 "cannot listen on %.200s: only tcp://ADDRESS:PORT is known",
                 endpoint);
        return -EINVAL;
    }
    if (option(e->router, ZMQ_IPV6, strchr(endpoint, '[') != NULL) ||
        bind_patiently(e, endpoint) ||
        zmq_getsockopt(e->router, ZMQ_LAST_ENDPOINT, url, &n)) {
        int r = -errno;

        snprintf(trouble, EDGE_TROUBLE_BYTES, "cannot listen on %.200s: %s",
                 endpoint, zmq_strerror(errno));
        return r;
    }
    log_info("listening", "url=%s", url);
    url_local(url);
    e->url_count++;
    return 0;
}

/* As many descriptors as allowed; some are kept for the record. */
static void limit_open(struct edge *e)
{
    struct rlimit limit;
    uint64_t room;

    e->open_max = (size_t)e->config->connections_max;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return;
    room = limit.rlim_cur > 2 * FDS_KEPT ? limit.rlim_cur - FDS_KEPT : FDS_KEPT;
    if (room >= e->open_max)
        return;
    log_warn("connections_max", "wanted=%zu value=%llu reason=%s", e->open_max,
             (unsigned long long)room,
             "the limit of open files; raise it with ulimit -n");
    e->open_max = (size_t)room;
}

static void status_more(void *arg, struct status_list *s)
{
    const struct edge *e = arg;
    const struct edge_counters *c = &e->counters;

    status_number(s, "connections_open", e->open_count);
    status_number(s, "connections_max", e->open_max);
    status_number(s, "connections_accepted", c->accepted);
    status_number(s, "connections_over_limit", c->over_limit);
    status_number(s, "frames_in", c->frames);
    status_number(s, "bytes_in", c->bytes_in);
    status_number(s, "bytes_out", c->bytes_out);
    status_number(s, "bad_frames", c->bad_frames);
    status_number(s, "multipart_refused", c->multiparts);
    status_number(s, "strangers_refused", c->refused);
    status_number(s, "handshakes_failed", c->handshakes_failed);
    status_number(s, "floods_cut", c->floods);
}

static int cycle_make(struct edge *e)
{
    struct cycle_options options = {
        .core = e->core,
        .env = e->env,
        .config = e->config,
        .transport = {e, transport_send, transport_backlog, transport_cut},
        .crew = e->crew,
        .beside = true,
        .more = status_more,
        .more_arg = e,
    };

    e->cycle = cycle_new(&options);
    return e->cycle ? 0 : -ENOMEM;
}

static int sockets_make(struct edge *e, char trouble[EDGE_TROUBLE_BYTES])
{
    int r = edge_permitted(trouble);

    if (r)
        return r;
    e->context = zmq_ctx_new();
    e->router = e->context ? zmq_socket(e->context, ZMQ_ROUTER) : NULL;
    if (!e->router)
        return -ENOMEM;
    r = zap_open(e);
    if (!r)
        r = monitor_open(e);
    if (!r)
        r = router_options(e);
    for (size_t i = 0; !r && i < e->config->listen.n; i++)
        r = bind_one(e, e->config->listen.items[i], trouble);
    return r;
}

/* All cores: one is this thread's. */
static unsigned helpers(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return cores < 1          ? 0
           : cores > CREW_MAX ? CREW_MAX - 1
                              : (unsigned)cores - 1;
}

int edge_open(struct edge **out, const struct edge_options *o,
              char trouble[EDGE_TROUBLE_BYTES])
{
    struct edge *e = calloc(1, sizeof *e);
    int r;

    if (!e)
        return -ENOMEM;
    trouble[0] = 0;
    e->core = o->core;
    e->env = o->env;
    e->config = o->config;
    e->wait_fd = -1;
    limit_open(e);
    r = env_random(e->env, e->challenge_key, sizeof e->challenge_key);
    if (!r)
        r = ledger_beside(core_ledger(e->core), &e->synced_fd);
    if (!r) {
        core_links_beside(e->core);
        core_snapshots_beside(e->core);
    }
    if (!r)
        r = crew_new(&e->crew, helpers());
    if (!r)
        r = cycle_make(e);
    if (!r)
        r = sockets_make(e, trouble);
    if (!r)
        r = wait_open(e, o->also);
    if (!r)
        r = near_new(&e->near, io_thread);
    e->crowd.threads = io_thread;
    if (r) {
        if (!trouble[0])
            snprintf(trouble, EDGE_TROUBLE_BYTES, "cannot make the socket: %s",
                     zmq_strerror(-r));
        edge_close(&e, 0);
        return r;
    }
    *out = e;
    return 0;
}

void edge_close(struct edge **self_p, unsigned linger_ms)
{
    struct edge *e = *self_p;
    struct peer *p, *next;

    if (!e)
        return;
    HASH_ITER (hh, e->peers, p, next)
        peer_gone(e, p);
    wait_close(e);
    if (e->monitor) {
        zmq_socket_monitor(e->router, NULL, 0);
        zmq_close(e->monitor);
    }
    if (e->router) {
        option(e->router, ZMQ_LINGER, (int)linger_ms);
        zmq_close(e->router);
    }
    if (e->zap)
        zmq_close(e->zap);
    near_destroy(&e->near); /* while the other thread lives */
    thread_kept(NULL);
    if (e->context)
        zmq_ctx_term(e->context);
    cycle_destroy(&e->cycle);
    crew_destroy(&e->crew);
    secret_wipe(e->challenge_key, sizeof e->challenge_key);
    free(e->lines);
    free(e);
    *self_p = NULL;
}

size_t edge_url_count(const struct edge *e)
{
    return e->url_count;
}

const char *edge_url(const struct edge *e, size_t i)
{
    return e->urls[i];
}
