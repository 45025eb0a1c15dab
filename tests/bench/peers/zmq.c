/* Raw ZeroMQ with CURVE: what the sockets allow when nobody remembers, checks
 * or signs anything.
 *
 *   zmq fanout [watchers=1000] [processes=8] [value=256] [window=256] [io=1]
 *              [seconds=3] [warm=1] [dir=PATH]
 *
 * A writer sends messages to the ROUTER of a server process, which sends each
 * of them on to every one of `watchers` DEALERs in `processes` processes; a
 * delivery is one message received by one of them. The writer stays at most
 * `window` messages ahead of the slowest watcher, so that nothing is dropped
 * and memory is bounded; it learns that from shared memory, which costs the
 * sockets nothing. io: the server's I/O threads.
 *
 * Needs: libzmq3-dev (-lzmq). */
#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <zmq.h>

#include "tests/bench/load.h"

enum { KEY_TEXT = 41, EVENTS = 128, LOOK_MS = 100, LINGER_MS = 0 };
enum { HANDSHAKE_MS = 60000, WRITER_PAUSE_NS = 100000, TEXT_MAX = 65536 };

struct work {
    unsigned watchers, processes, value, window, io;
    char url[64], public_key[KEY_TEXT], secret_key[KEY_TEXT];
};

static void check(int result, const char *what)
{
    if (result < 0)
        load_die("%s: %s", what, zmq_strerror(errno));
}

static void option(void *socket, int name, int value)
{
    check(zmq_setsockopt(socket, name, &value, sizeof value), "option");
}

/* A watcher's or, beyond them, the writer's name on the ROUTER: four bytes, of
 * which the first must not be 0. */
static uint32_t id_of(unsigned number)
{
    return htonl(0x40000000 + number);
}

/* --- The server ----------------------------------------------------------- */

/* One message of the writer's, to all. */
static void fan_out(void *router, const struct work *w, zmq_msg_t *message)
{
    for (unsigned i = 0; i < w->watchers; i++) {
        zmq_msg_t copy; /* shares the body */
        uint32_t id = id_of(i);

        zmq_msg_init(&copy);
        zmq_msg_copy(&copy, message);
        if (zmq_send(router, &id, sizeof id, ZMQ_SNDMORE) < 0 ||
            zmq_msg_send(&copy, router, 0) < 0) {
            if (errno != EHOSTUNREACH) /* it has stopped */
                load_die("fan out: %s", zmq_strerror(errno));
            zmq_msg_close(&copy);
        }
    }
}

/* Everyone's first message is empty, and is answered with the same; what is
 * not is the writer's. */
static void serve(void *argument)
{
    const struct work *w = argument;
    void *context = zmq_ctx_new(), *router;

    check(zmq_ctx_set(context, ZMQ_IO_THREADS, (int)w->io), "context");
    check(zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 64), "context");
    router = zmq_socket(context, ZMQ_ROUTER);
    option(router, ZMQ_CURVE_SERVER, 1);
    check(zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, w->secret_key, KEY_TEXT),
          "secret key");
    option(router, ZMQ_ROUTER_MANDATORY, 1);
    option(router, ZMQ_SNDHWM, (int)w->window * 2);
    option(router, ZMQ_BACKLOG, 1024);
    check(zmq_bind(router, w->url), w->url);
    for (;;) {
        zmq_msg_t id, message;

        zmq_msg_init(&id);
        zmq_msg_init(&message);
        check(zmq_msg_recv(&id, router, 0), "receive");
        check(zmq_msg_recv(&message, router, 0), "receive");
        if (zmq_msg_size(&message)) {
            fan_out(router, w, &message);
            zmq_msg_close(&id);
        } else {
            check(zmq_msg_send(&id, router, ZMQ_SNDMORE), "welcome");
            check(zmq_send(router, "", 0, 0), "welcome");
        }
        zmq_msg_close(&message);
    }
}

/* --- The clients ---------------------------------------------------------- */

static void *dealer_open(void *context, const struct work *w, unsigned number)
{
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    char public_key[KEY_TEXT], secret_key[KEY_TEXT];
    uint32_t id = id_of(number);

    if (!dealer)
        load_die("socket: %s", zmq_strerror(errno));
    check(zmq_curve_keypair(public_key, secret_key), "keys");
    zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, public_key, KEY_TEXT);
    zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, secret_key, KEY_TEXT);
    zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, w->public_key, KEY_TEXT);
    zmq_setsockopt(dealer, ZMQ_ROUTING_ID, &id, sizeof id);
    option(dealer, ZMQ_LINGER, LINGER_MS);
    option(dealer, ZMQ_RCVHWM, (int)w->window * 2);
    option(dealer, ZMQ_RCVTIMEO, HANDSHAKE_MS);
    check(zmq_connect(dealer, w->url), w->url);
    check(zmq_send(dealer, "", 0, 0), "hello");
    return dealer;
}

static void welcome_wait(void *dealer)
{
    char nothing;

    check(zmq_recv(dealer, &nothing, sizeof nothing, 0), "welcome");
}

static void *context_new(const struct work *w)
{
    void *context = zmq_ctx_new();

    check(zmq_ctx_set(context, ZMQ_MAX_SOCKETS, (int)w->watchers + 8),
          "context");
    return context;
}

/* The watchers of one process. */
struct group {
    unsigned n;
    struct watcher {
        void *dealer;
        uint64_t received;
    } * all;
    uint64_t slowest;  /* messages that every one has */
    unsigned *reached; /* [received % (window + 1)]: how many have that many */
    unsigned window;
};

/* All that is there for one; how many. */
static unsigned watcher_drain(struct group *g, struct watcher *at)
{
    zmq_msg_t message;
    unsigned n = 0;

    zmq_msg_init(&message);
    while (zmq_msg_recv(&message, at->dealer, ZMQ_DONTWAIT) >= 0) {
        n++;
        at->received++;
        g->reached[at->received % (g->window + 1)]++;
    }
    if (errno != EAGAIN)
        load_die("receive: %s", zmq_strerror(errno));
    zmq_msg_close(&message);
    for (;;) {
        unsigned *next = &g->reached[(g->slowest + 1) % (g->window + 1)];

        if (*next < g->n)
            return n;
        *next = 0;
        g->slowest++;
    }
}

static int group_open(struct group *g, const struct work *w, unsigned number)
{
    void *context = context_new(w);
    int poll = epoll_create1(EPOLL_CLOEXEC);
    unsigned first = number * w->watchers / w->processes;

    g->n = (number + 1) * w->watchers / w->processes - first;
    g->all = calloc(g->n, sizeof *g->all);
    g->window = w->window;
    g->reached = calloc(w->window + 1, sizeof *g->reached);
    for (unsigned i = 0; i < g->n; i++)
        g->all[i].dealer = dealer_open(context, w, first + i);
    for (unsigned i = 0; i < g->n; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &g->all[i]};
        size_t size = sizeof(int);
        int fd;

        welcome_wait(g->all[i].dealer);
        check(zmq_getsockopt(g->all[i].dealer, ZMQ_FD, &fd, &size), "fd");
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e);
    }
    return poll;
}

/* A socket's fd is level-triggered, but says only what came after the socket
 * was last found empty: so each is drained whenever it is looked at, and once
 * before. */
static void watch(struct load_client *c, int number, void *argument)
{
    const struct work *w = argument;
    _Atomic uint64_t *progress = load_client_word(c, (unsigned)number);
    struct group g = {0};
    int poll = group_open(&g, w, (unsigned)number);

    load_client_ready(c);
    for (unsigned i = 0; i < g.n; i++)
        load_client_count(c, watcher_drain(&g, &g.all[i]));
    while (load_client_runs(c)) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(poll, events, EVENTS, LOOK_MS);

        for (int i = 0; i < n; i++)
            load_client_count(c, watcher_drain(&g, events[i].data.ptr));
        atomic_store(progress, g.slowest);
    }
}

static uint64_t slowest_of(struct load_client *c, const struct work *w)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < w->processes; i++) {
        uint64_t n = atomic_load(load_client_word(c, i));

        least = n < least ? n : least;
    }
    return least;
}

static void write_all(struct load_client *c, int number, void *argument)
{
    static char text[TEXT_MAX];
    const struct work *w = argument;
    struct timespec pause = {.tv_nsec = WRITER_PAUSE_NS};
    void *dealer = dealer_open(context_new(w), w, w->watchers);

    (void)number;
    memset(text, 'x', sizeof text);
    welcome_wait(dealer);
    load_client_ready(c);
    for (uint64_t sent = 0; load_client_runs(c);) {
        if (sent - slowest_of(c, w) >= w->window) {
            nanosleep(&pause, NULL);
            continue;
        }
        check(zmq_send(dealer, text, w->value, 0), "send");
        sent++;
    }
}

/* --- The whole ------------------------------------------------------------ */

static struct work work_read(void)
{
    struct work w = {.watchers = load_number("watchers", 1000),
                     .processes = load_number("processes", 8),
                     .value = load_number("value", 256),
                     .window = load_number("window", 256),
                     .io = load_number("io", 1)};

    if (strcmp(load_work(), "fanout"))
        load_die("zmq can fanout, not %s", load_work());
    if (!w.watchers || w.watchers > 9999 || !w.processes ||
        w.processes > LOAD_WORDS || w.processes > w.watchers || !w.value ||
        w.value > TEXT_MAX || !w.window || !w.io)
        load_die("watchers in 1..9999, processes in 1..%d, value in 1..%d,"
                 " window and io not 0",
                 LOAD_WORDS, TEXT_MAX);
    check(zmq_curve_keypair(w.public_key, w.secret_key), "keys");
    snprintf(w.url, sizeof w.url, "tcp://127.0.0.1:%d", load_port());
    return w;
}

/* A server has a descriptor for each of its connections. */
static void files_raise(void)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void version(void)
{
    int major, minor, patch;
    char text[64];

    zmq_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "echo libzmq %d.%d.%d", major, minor, patch);
    load_version(text, text + strlen("echo "));
}

int main(int argc, char **argv)
{
    struct load_options options;
    struct load_result result;
    struct load *load;
    char what[200];
    struct work w;
    pid_t pid;

    load_arguments(argc, argv);
    if (!strcmp(load_work(), "version"))
        return version(), 0;
    w = work_read();
    options = load_timing();
    load_text("dir", NULL); /* there are no files */
    load_arguments_end();
    files_raise();
    pid = load_server_fork(serve, &w);
    load = load_new(&options);
    for (unsigned i = 0; i < w.processes; i++)
        load_spawn(load, watch, &w);
    load_spawn(load, write_all, &w);
    load_run(load, &pid, 1, &result);
    load_free(&load);
    load_server_stop(&pid);
    snprintf(what, sizeof what,
             "\"watchers\":%u,\"processes\":%u,\"value\":%u,\"window\":%u,"
             "\"io\":%u,\"synced\":false",
             w.watchers, w.processes, w.value, w.window, w.io);
    load_print(&result, what);
    return 0;
}
