/* etcd as a peer, by gRPC: protobuf framed by hand, over nghttp2. (Its HTTP/JSON
 * gateway does 4.7 k/s where this does 12, and would flatter us.) Every put is
 * synced before it is answered.
 *
 *   etcd put   [clients=1] [depth=800] [connections=4] [keys=1000000]
 *              [value=256]
 *   etcd watch [value=256]
 *              [seconds=3] [warm=1] [dir=PATH]
 *
 * put: each client keeps `depth` puts of random keys under way, each a stream
 * of its own, spread over `connections`: etcd has no pipelined batch. watch: a
 * process watches a key that another puts, one at a time with a pause of a
 * millisecond; timed is from the start of the put to the event at the watcher.
 *
 * Needs: etcd-server, libnghttp2-dev (-lnghttp2). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/load.h"
#include "tests/bench/peers/protobuf.h"

enum { KEY = 16, CONNECTIONS_MAX = 64, PREFIX = 5, BUFFER = 65536 };
enum { STAMP = 20, PAUSE_US = 1000, LOOK_MS = 100 };

struct work {
    bool watch;
    unsigned clients, depth, connections, keys, value;
    int port;
};

struct connection {
    int fd;
    nghttp2_session *session;
    struct client *client;
    uint8_t out[BUFFER];
    size_t out_size, out_sent;
};

/* A call: one request, a gRPC message, on a stream of its own. */
struct call {
    struct connection *connection;
    const char *path;
    uint8_t *body;     /* prefix and protobuf; owned */
    size_t size, sent; /* of body */
    size_t key_at, value_at;
    bool stays_open; /* for a watch: the request does not end */
    bool succeeded;  /* grpc-status 0 */
    uint64_t start_us;
};

struct client {
    const struct work *work;
    struct load_client *load;
    struct connection connections[CONNECTIONS_MAX];
    unsigned n, under_way;
    uint64_t seed;
    bool once; /* a call that ends is not followed by another */
    uint8_t message[4096];
    size_t have; /* of a watch's answer */
    bool watching;
};

static void call_start(struct call *c);

/* --- Messages ------------------------------------------------------------- */

static void prefix_put(uint8_t *body, size_t size)
{
    uint32_t n = htonl((uint32_t)size);

    body[0] = 0; /* not compressed */
    memcpy(body + 1, &n, sizeof n);
}

/* KV.Put: PutRequest { bytes key = 1; bytes value = 2; } */
static void call_put(struct call *c, const struct work *w)
{
    size_t n = PREFIX;

    c->path = "/etcdserverpb.KV/Put";
    c->body = malloc(64 + w->value);
    n += field_put(c->body + n, 1, KEY);
    c->key_at = n;
    memcpy(c->body + n, "key:000000000000", KEY);
    n += KEY;
    n += field_put(c->body + n, 2, w->value);
    c->value_at = n;
    memset(c->body + n, 'x', w->value);
    c->size = n + w->value;
    prefix_put(c->body, c->size - PREFIX);
}

/* Watch.Watch: WatchRequest { WatchCreateRequest create_request = 1; }, in
 * that bytes key = 1. */
static void call_watch(struct call *c)
{
    size_t n = PREFIX;

    c->path = "/etcdserverpb.Watch/Watch";
    c->stays_open = true;
    c->body = malloc(64);
    n += field_put(c->body + n, 1, KEY + 2);
    n += field_put(c->body + n, 1, KEY);
    memcpy(c->body + n, "key:000000000000", KEY);
    c->size = n + KEY;
    prefix_put(c->body, c->size - PREFIX);
}

static void key_write(struct call *c, uint64_t key)
{
    char text[KEY + 1];

    snprintf(text, sizeof text, "key:%012" PRIu64, key % 1000000000000);
    memcpy(c->body + c->key_at, text, KEY);
}

/* --- A watch's answers ---------------------------------------------------- */

/* Event { KeyValue kv = 2; }, KeyValue { bytes value = 5; }: the value begins
 * with when its put began. */
static void event_read(struct client *me, struct field event)
{
    const uint8_t *at = event.from, *end = event.from + event.n;
    char stamp[STAMP + 1] = "";
    struct field f;

    while (field_next(&at, end, &f)) {
        const uint8_t *in = f.from, *in_end = f.from + f.n;
        struct field v;

        while (f.number == 2 && field_next(&in, in_end, &v)) {
            if (v.number == 5 && v.n >= STAMP)
                memcpy(stamp, v.from, STAMP);
        }
    }
    if (!stamp[0])
        load_die("an event without a value");
    load_client_timed(me->load, load_now_us() - strtoull(stamp, NULL, 10));
}

/* WatchResponse { bool created = 3; bool canceled = 4; Event events = 11; } */
static void watch_read(struct client *me, const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    struct field f;

    while (field_next(&at, end, &f)) {
        if (f.number == 3 && f.n)
            me->watching = true;
        if (f.number == 4 && f.n)
            load_die("the watch was cancelled");
        if (f.number == 11)
            event_read(me, f);
    }
}

static void answer_add(struct client *me, const uint8_t *data, size_t size)
{
    uint32_t n;

    if (size > sizeof me->message - me->have)
        load_die("an answer of more than %zu bytes", sizeof me->message);
    memcpy(me->message + me->have, data, size);
    me->have += size;
    while (me->have >= PREFIX) {
        memcpy(&n, me->message + 1, sizeof n);
        n = ntohl(n) + PREFIX;
        if (me->have < n)
            return;
        watch_read(me, me->message + PREFIX, n - PREFIX);
        me->have -= n;
        memmove(me->message, me->message + n, me->have);
    }
}

/* --- gRPC ----------------------------------------------------------------- */

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *to,
                       size_t room, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct call *c = source->ptr;
    size_t n = c->size - c->sent < room ? c->size - c->sent : room;

    (void)session;
    (void)id;
    (void)user;
    if (!n && c->stays_open)
        return NGHTTP2_ERR_DEFERRED;
    memcpy(to, c->body + c->sent, n);
    c->sent += n;
    if (c->sent == c->size && !c->stays_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
                     const uint8_t *name, size_t name_size, const uint8_t *text,
                     size_t text_size, uint8_t flags, void *user)
{
    static const char status[] = "grpc-status", message[] = "grpc-message";
    struct call *c =
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)user;
    if (c && name_size == sizeof status - 1 && !memcmp(name, status, name_size))
        c->succeeded = text_size == 1 && text[0] == '0';
    if (name_size == sizeof message - 1 && !memcmp(name, message, name_size) &&
        text_size)
        fprintf(stderr, "etcd: %.*s\n", (int)text_size, (const char *)text);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id,
                   const uint8_t *data, size_t size, void *user)
{
    struct connection *connection = user;
    struct call *c = nghttp2_session_get_stream_user_data(session, id);

    (void)flags;
    if (c && c->stays_open)
        answer_add(connection->client, data, size);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code,
                    void *user)
{
    struct connection *connection = user;
    struct client *me = connection->client;
    struct call *c = nghttp2_session_get_stream_user_data(session, id);

    if (code || !c->succeeded)
        load_die("a call failed: HTTP/2 error %u", code);
    me->under_way--;
    if (me->once)
        return 0;
    load_client_done(me->load, c->start_us);
    if (load_client_runs(me->load))
        call_start(c);
    return 0;
}

static void call_submit(struct call *c)
{
#define FIELD(name_, text_)                                              \
    {                                                                    \
        (uint8_t *)(uintptr_t)(name_), (uint8_t *)(uintptr_t)(text_),    \
            strlen(name_), strlen(text_),                                \
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE \
    }
    const nghttp2_nv headers[] = {
        FIELD(":method", "POST"),
        FIELD(":scheme", "http"),
        FIELD(":path", c->path),
        FIELD(":authority", "127.0.0.1"),
        FIELD("content-type", "application/grpc"),
        FIELD("te", "trailers"),
    };
    nghttp2_data_provider body = {.source.ptr = c, .read_callback = on_read};

    c->sent = 0;
    c->succeeded = false;
    c->start_us = load_now_us();
    c->connection->client->under_way++;
    if (nghttp2_submit_request(c->connection->session, NULL, headers,
                               sizeof headers / sizeof *headers, &body, c) < 0)
        load_die("a call cannot be submitted");
}

static void call_start(struct call *c)
{
    struct client *me = c->connection->client;

    key_write(c, load_random(&me->seed) % me->work->keys);
    call_submit(c);
}

/* --- Connections ---------------------------------------------------------- */

/* Frames are gathered, so that many of them cost one system call. */
static ssize_t on_send(nghttp2_session *session, const uint8_t *data,
                       size_t size, int flags, void *user)
{
    struct connection *c = user;
    size_t room = sizeof c->out - c->out_size;

    (void)session;
    (void)flags;
    if (!room)
        return NGHTTP2_ERR_WOULDBLOCK;
    if (size > room)
        size = room;
    memcpy(c->out + c->out_size, data, size);
    c->out_size += size;
    return (ssize_t)size;
}

static void connection_open(struct connection *c, struct client *me)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)me->work->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    nghttp2_session_callbacks *callbacks;
    int yes = 1;

    c->client = me;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a))
        load_die("cannot connect to etcd: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                              on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_client_new(&c->session, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0);
}

/* Until there is nothing more to send, or the socket takes no more; false
 * then. */
static bool connection_send(struct connection *c)
{
    for (;;) {
        int failed = nghttp2_session_send(c->session);
        ssize_t n;

        if (failed)
            load_die("nghttp2: %s", nghttp2_strerror(failed));
        if (c->out_sent == c->out_size)
            return true;
        n = write(c->fd, c->out + c->out_sent, c->out_size - c->out_sent);
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            load_die("etcd: %s", strerror(errno));
        c->out_sent += (size_t)n;
        if (c->out_sent == c->out_size)
            c->out_sent = c->out_size = 0;
    }
}

static void connection_receive(struct connection *c)
{
    uint8_t in[BUFFER];
    ssize_t n = read(c->fd, in, sizeof in);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        load_die("etcd: %s", n ? strerror(errno) : "connection closed");
    n = nghttp2_session_mem_recv(c->session, in, (size_t)n);
    if (n < 0)
        load_die("nghttp2: %s", nghttp2_strerror((int)n));
}

/* Send what is to be sent, wait for something, read it. */
static void client_turn(struct client *me)
{
    struct pollfd p[CONNECTIONS_MAX];

    for (unsigned i = 0; i < me->n; i++) {
        bool all = connection_send(&me->connections[i]);

        p[i] = (struct pollfd){.fd = me->connections[i].fd,
                               .events = all ? POLLIN : POLLIN | POLLOUT};
    }
    if (poll(p, me->n, LOOK_MS) < 0)
        load_die("poll: %s", strerror(errno));
    for (unsigned i = 0; i < me->n; i++) {
        if (p[i].revents & ~POLLOUT)
            connection_receive(&me->connections[i]);
    }
}

/* Owned by the process. */
static struct client *client_new(const struct work *w, struct load_client *load,
                                 int number, unsigned connections)
{
    struct client *me = calloc(1, sizeof *me);

    me->work = w;
    me->load = load;
    me->seed = load_now_us() * LOAD_CLIENTS_MAX + (uint64_t)number;
    me->n = connections;
    for (unsigned i = 0; i < me->n; i++)
        connection_open(&me->connections[i], me);
    return me;
}

/* One put to its end, as often as it is called. */
static void client_put(struct client *me, struct call *c)
{
    me->once = true;
    call_submit(c);
    while (me->under_way)
        client_turn(me);
    me->once = false;
}

/* --- The clients ---------------------------------------------------------- */

static void put(struct load_client *load, int number, void *argument)
{
    const struct work *w = argument;
    unsigned n = w->connections < w->depth ? w->connections : w->depth;
    struct client *me = client_new(w, load, number, n);
    struct call *calls = calloc(w->depth, sizeof *calls);

    for (unsigned i = 0; i < w->depth; i++) {
        calls[i].connection = &me->connections[i % n];
        call_put(&calls[i], w);
    }
    client_put(me, &calls[0]); /* there is a leader, and it works */
    load_client_ready(load);
    for (unsigned i = 0; i < w->depth; i++)
        call_start(&calls[i]);
    while (me->under_way)
        client_turn(me);
}

static void put_stamped(struct load_client *load, int number, void *argument)
{
    const struct work *w = argument;
    struct client *me = client_new(w, load, number, 1);
    struct call c = {.connection = &me->connections[0]};
    struct timespec pause = {.tv_nsec = PAUSE_US * 1000};
    char stamp[STAMP + 1];

    call_put(&c, w);
    client_put(me, &c);
    load_client_ready(load);
    while (load_client_runs(load)) {
        snprintf(stamp, sizeof stamp, "%020" PRIu64, load_now_us());
        memcpy(c.body + c.value_at, stamp, STAMP);
        client_put(me, &c);
        load_client_count(load, 1);
        nanosleep(&pause, NULL);
    }
}

static void watch(struct load_client *load, int number, void *argument)
{
    struct client *me = client_new(argument, load, number, 1);
    struct call c = {.connection = &me->connections[0]};

    call_watch(&c);
    call_submit(&c);
    while (!me->watching)
        client_turn(me);
    load_client_ready(load);
    while (load_client_runs(load))
        client_turn(me);
}

/* --- The whole ------------------------------------------------------------ */

static pid_t server(const struct work *w, const char *dir)
{
    char clients[64], peers[64], cluster[96];
    const char *const argv[] = {"etcd",  "--data-dir",
                                "data",  "--listen-client-urls",
                                clients, "--advertise-client-urls",
                                clients, "--listen-peer-urls",
                                peers,   "--initial-advertise-peer-urls",
                                peers,   "--initial-cluster",
                                cluster, "--logger",
                                "zap",   "--log-level",
                                "error", NULL};
    pid_t pid;

    snprintf(clients, sizeof clients, "http://127.0.0.1:%d", w->port);
    snprintf(peers, sizeof peers, "http://127.0.0.1:%d", load_port());
    snprintf(cluster, sizeof cluster, "default=%s", peers);
    pid = load_server(dir, argv);
    load_server_wait(pid, w->port);
    return pid;
}

static struct work work_read(void)
{
    struct work w = {.watch = !strcmp(load_work(), "watch"),
                     .clients = 1,
                     .depth = 1,
                     .connections = 1,
                     .keys = 1,
                     .value = load_number("value", 256)};

    if (!w.watch) {
        w.clients = load_number("clients", 1);
        w.depth = load_number("depth", 800);
        w.connections = load_number("connections", 4);
        w.keys = load_number("keys", 1000000);
    }
    if (!w.watch && strcmp(load_work(), "put"))
        load_die("etcd can put and watch, not %s", load_work());
    if (!w.clients || !w.depth || !w.keys || !w.connections ||
        w.connections > CONNECTIONS_MAX || w.value < STAMP)
        load_die("clients, depth and keys must not be 0, connections in 1..%d,"
                 " value >= %d",
                 CONNECTIONS_MAX, STAMP);
    w.port = load_port();
    return w;
}

static void version(void)
{
    char client[64];

    snprintf(client, sizeof client, "nghttp2 %s",
             nghttp2_version(0)->version_str);
    load_version("etcd --version", client);
}

int main(int argc, char **argv)
{
    struct load_options options;
    struct load_result result;
    struct load *load;
    const char *dir;
    char what[200];
    struct work w;
    pid_t pid;

    load_arguments(argc, argv);
    if (!strcmp(load_work(), "version"))
        return version(), 0;
    w = work_read();
    options = load_timing();
    dir = load_dir(load_text("dir", NULL));
    load_arguments_end();
    pid = server(&w, dir);
    load = load_new(&options);
    if (w.watch)
        load_spawn(load, watch, &w);
    for (unsigned i = 0; i < w.clients; i++)
        load_spawn(load, w.watch ? put_stamped : put, &w);
    load_run(load, &pid, 1, &result);
    load_free(&load);
    load_server_stop(&pid);
    snprintf(what, sizeof what,
             "\"clients\":%u,\"depth\":%u,\"connections\":%u,\"keys\":%u,"
             "\"value\":%u,\"synced\":true",
             w.clients, w.depth, w.connections, w.keys, w.value);
    load_print(&result, what);
    return 0;
}
