/* Peers that mean harm, or do it: each is refused or cut off, costs a bounded
 * amount of memory, and never an honest agent's service. */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <choir.h>

#include "broker/base/file.h"
#include "proto/armour.h"
#include "proto/key.h"
#include "tests/check.h"
#include "tests/support/curve_raw.h"

enum { IN_FLIGHT_MAX = 4 << 20, SLACK_KIB = 32 << 10 };

static char data_dir[300], config[320], url[300], log_path[320];
static unsigned port;
static pid_t broker;
static struct choir *ada;

static void broker_start(void)
{
    char line[1024];
    FILE *log;

    snprintf(log_path, sizeof log_path, "%s.log", data_dir);
    broker = fork();
    if (broker == 0) {
        if (!freopen(log_path, "w", stderr))
            _exit(126);
        execlp("choird", "choird", "-c", config, "--data", data_dir, "--listen",
               "tcp://127.0.0.1:*", NULL);
        _exit(127);
    }
    for (int i = 0; i < 500; i++) {
        bool ready = false;

        usleep(20000);
        log = fopen(log_path, "r");
        while (log && fgets(line, sizeof line, log)) {
            char *at = strstr(line, "url=");

            if (at)
                sscanf(at, "url=%299s", url);
            ready |= strstr(line, "event=ready") != NULL;
        }
        if (log)
            fclose(log);
        if (ready) {
            port = (unsigned)atoi(strrchr(url, ':') + 1);
            return;
        }
    }
    fprintf(stderr, "choird did not start, see %s\n", log_path);
    abort();
}

static struct choir *agent(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c = NULL;

    o.name = name;
    o.data_dir = data_dir;
    o.timeout_ms = 5000;
    if (choir_open(&o, &c)) {
        fprintf(stderr, "choir_open: %s\n", choir_error_text());
        abort();
    }
    return c;
}

static long resident_kib(void)
{
    char path[64], line[256];
    long kib = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)broker);
    f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmRSS: %ld", &kib);
    if (f)
        fclose(f);
    return kib;
}

static uint64_t counter(const char *name)
{
    struct choir_request *r = choir_request_new(ada, "status");
    struct choir_event *e;
    uint64_t got = UINT64_MAX;

    CHECK_OK(choir_call(ada, &r, 5000, &e));
    for (size_t i = 0; i < choir_event_count(e, "items"); i++) {
        const struct choir_event *item = choir_event_item(e, "items", i);

        if (strcmp(choir_event_text(item, "name"), name) == 0)
            got = choir_event_uint(item, "size");
    }
    choir_event_free(&e);
    return got;
}

static void wait_counter(const char *name, uint64_t wanted)
{
    for (int i = 0; i < 500 && counter(name) < wanted; i++)
        usleep(20000);
    CHECK(counter(name) >= wanted);
}

static void check_service(void)
{
    CHECK_OK(choir_put(ada, "still", "here", 4, NULL));
}

/* --- Raw peers ----------------------------------------------------------- */

static int raw_connect(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    CHECK_OK(connect(fd, (struct sockaddr *)&to, sizeof to));
    return fd;
}

/* Did the other side close it within so many ms? */
static bool closed_within(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char junk[4096];

    while (poll(&p, 1, ms) == 1) {
        if (read(fd, junk, sizeof junk) <= 0)
            return true;
    }
    return false;
}

struct dealer {
    void *context, *socket, *monitor;
};

static void dealer_open(struct dealer *d, const struct curve_pair *own,
                        const uint8_t *server)
{
    int never = -1, zero = 0;

    d->context = zmq_ctx_new();
    d->socket = zmq_socket(d->context, ZMQ_DEALER);
    zmq_setsockopt(d->socket, ZMQ_RECONNECT_IVL, &never, sizeof never);
    zmq_setsockopt(d->socket, ZMQ_LINGER, &zero, sizeof zero);
    if (own) {
        zmq_setsockopt(d->socket, ZMQ_CURVE_SERVERKEY, server, 32);
        zmq_setsockopt(d->socket, ZMQ_CURVE_PUBLICKEY, own->public_key, 32);
        zmq_setsockopt(d->socket, ZMQ_CURVE_SECRETKEY, own->secret_key, 32);
    }
    zmq_socket_monitor(d->socket, "inproc://dealer.monitor",
                       ZMQ_EVENT_DISCONNECTED);
    d->monitor = zmq_socket(d->context, ZMQ_PAIR);
    zmq_connect(d->monitor, "inproc://dealer.monitor");
    CHECK_OK(zmq_connect(d->socket, url));
}

static bool dealer_cut(struct dealer *d, int ms)
{
    zmq_pollitem_t p = {.socket = d->monitor, .events = ZMQ_POLLIN};

    return zmq_poll(&p, 1, ms) == 1;
}

static void dealer_close(struct dealer *d)
{
    zmq_socket_monitor(d->socket, NULL, 0);
    zmq_close(d->monitor);
    zmq_close(d->socket);
    zmq_ctx_term(d->context);
}

/* The keys of an agent that has enrolled in earnest. */
static void mallory(struct curve_pair *own, uint8_t server[32])
{
    struct choir *c = agent("mallory");
    struct buf raw = {0};
    struct msg m;
    char *text;
    size_t n;

    CHECK_OK(file_read_whole(choir_identity_path(c), 16384, &text, &n));
    CHECK_OK(armour_get(bytes_of(text, n), MSG_IDENTITY, &raw, &m));
    memcpy(own->public_key, msg_b(&m, FIELD_CURVE_KEY).p, 32);
    memcpy(own->secret_key, msg_b(&m, FIELD_VALUE).p, 32);
    memcpy(server, msg_b(&m, FIELD_BROKER_CURVE).p, 32);
    buf_free(&raw);
    free(text);
    choir_close(&c);
}

/* --- What they do -------------------------------------------------------- */

TEST(silent_connections_are_closed_and_cost_little)
{
    long before = resident_kib();
    int fds[200];

    for (int i = 0; i < 200; i++)
        fds[i] = raw_connect();
    wait_counter("connections_open", 200);
    check_service();
    CHECK(resident_kib() - before < 200 * 64);
    CHECK(closed_within(fds[0], 8000)); /* HANDSHAKE_IVL is 5 s */
    CHECK(closed_within(fds[199], 1000));
    for (int i = 0; i < 200; i++)
        close(fds[i]);
    check_service();
}

TEST(bytes_that_are_no_zmtp_are_cut_off)
{
    char junk[8192];

    for (int i = 0; i < 20; i++) {
        int fd = raw_connect();

        random_bytes(junk, sizeof junk);
        junk[0] = (char)(i % 2 ? 0xff : 0);
        (void)!send(fd, junk, sizeof junk, MSG_NOSIGNAL);
        if (i < 2)
            CHECK(closed_within(fd, 8000));
        close(fd);
    }
    check_service();
}

TEST(unknown_key_is_refused_and_counted)
{
    struct curve_pair stranger, unused;
    uint64_t before = counter("strangers_refused");
    struct dealer d;
    uint8_t server[32];

    mallory(&unused, server);
    curve_pair_new(&stranger);
    dealer_open(&d, &stranger, server);
    wait_counter("strangers_refused", before + 1);
    dealer_close(&d);
    check_service();
}

TEST(peer_without_encryption_is_refused)
{
    uint64_t before = counter("handshakes_failed");
    struct dealer d;

    dealer_open(&d, NULL, NULL);
    wait_counter("handshakes_failed", before + 1);
    dealer_close(&d);
    check_service();
}

TEST(enrolled_peer_that_sends_garbage_is_cut_off)
{
    uint64_t before = counter("bad_frames");
    struct curve_pair own;
    struct dealer d;
    uint8_t server[32];
    char junk[300];

    mallory(&own, server);
    dealer_open(&d, &own, server);
    for (int i = 0; i < 100; i++) {
        random_bytes(junk, sizeof junk);
        if (i % 2)
            memcpy(junk, i % 4 == 1 ? "CHB1" : "CHH1", 4);
        zmq_send(d.socket, junk, (size_t)(1 + i * 2), 0);
    }
    CHECK(dealer_cut(&d, 5000));
    CHECK(counter("bad_frames") >= before + 64);
    dealer_close(&d);
    check_service();
}

TEST(message_of_two_parts_is_refused)
{
    struct curve_pair own;
    struct dealer d;
    uint8_t server[32];

    mallory(&own, server);
    dealer_open(&d, &own, server);
    zmq_send(d.socket, "a", 1, ZMQ_SNDMORE);
    zmq_send(d.socket, "b", 1, 0);
    CHECK(dealer_cut(&d, 5000));
    CHECK(counter("multipart_refused") >= 1);
    dealer_close(&d);
    check_service();
}

TEST(frame_over_the_limit_is_refused)
{
    static char frame[8 << 20];
    struct curve_pair own;
    struct dealer d;
    uint8_t server[32];

    mallory(&own, server);
    dealer_open(&d, &own, server);
    zmq_send(d.socket, frame, sizeof frame, 0);
    CHECK(dealer_cut(&d, 5000));
    dealer_close(&d);
    check_service();
}

#ifdef __SANITIZE_THREAD__ /* of all that is touched; and it forbids threads to */
enum { HAS_SHADOW = true }; /* the child of a process that has them */
#else
enum { HAS_SHADOW = false };
#endif

/* libzmq sends nothing before a message is whole, so this peer speaks CURVE by
 * itself. */
static size_t send_endless(const void *part, size_t n, long *most)
{
    struct curve_pair own;
    struct curve_raw c;
    uint8_t server[32];
    int fd = raw_connect();
    size_t sent = 0;

    mallory(&own, server);
    CHECK_OK(curve_raw_open(&c, fd, &own, server));
    for (unsigned i = 0; sent < 1UL << 30; i++) {
        if (curve_raw_send(&c, part, n, 1))
            break;
        sent += n;
        if (i % 256 == 0) {
            long now = resident_kib();

            *most = now > *most ? now : *most;
        }
    }
    close(fd);
    return sent;
}

TEST(message_that_never_ends_is_cut_off_and_costs_bounded_memory)
{
    static char part[16384];
    long before = resident_kib(), most = 0;

    CHECK(send_endless(part, sizeof part, &most) < 1UL << 30);
    CHECK(send_endless("x", 1, &most) < 64UL << 20);
    if (!HAS_SHADOW)
        CHECK(most - before < 3 * SLACK_KIB + IN_FLIGHT_MAX / 1024);
    wait_counter("floods_cut", 2);
    check_service();
}

/* A child, because it must stop with all its threads. */
static void reader_that_sleeps(int told)
{
    struct choir *c = agent("sleeper");
    struct choir_request *r;
    uint64_t request;

    for (int i = 0; i < 200; i++) {
        r = choir_request_new(c, "get");
        choir_request_text(r, "key", "large");
        if (choir_send(c, &r, 1000, &request))
            _exit(1);
    }
    if (write(told, "x", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

TEST(peer_that_does_not_read_costs_bounded_memory)
{
    static char large[1 << 20];
    long before;
    char byte;
    int fds[2];
    pid_t child;

    if (HAS_SHADOW)
        skip();
    CHECK_OK(choir_put(ada, "large", large, sizeof large, NULL));
    before = resident_kib();
    CHECK_OK(pipe(fds));
    child = fork();
    if (child == 0)
        reader_that_sleeps(fds[1]);
    close(fds[1]); /* so that its end ends the reading, too */
    CHECK_EQ(read(fds[0], &byte, 1), 1);
    kill(child, SIGSTOP);
    for (int i = 0; i < 50; i++) {
        check_service();
        usleep(10000);
    }
    CHECK(resident_kib() - before < 2 * SLACK_KIB);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(fds[0]);
    check_service();
}

int main(void)
{
    const char *tmp = getenv("CHOIR_TMP");
    int r, status = 0;
    FILE *f;

    crypto_start();
    snprintf(data_dir, sizeof data_dir, "%s/data", tmp ? tmp : ".");
    snprintf(config, sizeof config, "%s/choird.conf", tmp ? tmp : ".");
    f = fopen(config, "w");
    fprintf(f, "peer_bytes_in_flight_max = %d\n", IN_FLIGHT_MAX);
    fclose(f);
    broker_start();
    ada = agent("ada");
    r = _cmocka_run_group_tests("hostile", check_tests, check_count, NULL,
                                NULL);
    choir_close(&ada);
    kill(broker, SIGTERM);
    waitpid(broker, &status, 0);
    if (status != 0)
        fprintf(stderr, "choird ended with %d, see %s\n", status, log_path);
    return r != 0 || status != 0;
}
