/* What an operation costs its client: operations a bundle, processor time and
 * context switches an operation, in the manners in which programs send.
 *
 *   tests/run --bench sdk          the table, against a broker of its own
 *   build/tests/bench/sdk N        N puts, 64 in flight, by this process alone
 *   ... sdk N URL DATA [IN FLIGHT [WATCHES]]
 *                                  at the broker there, so that valgrind
 *                                  --tool=callgrind sees no other; with so many
 *                                  watches, each of which sees every put. 0 in
 *                                  flight: by choir_put
 *
 * Processor time and bundles bear a noisy machine; rates and times do not. */
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-sdk/choir.h"
#include "tests/support/daemon.h"

enum { CLIENTS = 50, KEYS = 1000000, VALUE = 256, WARM_MS = 700 };
enum phase { WARM_UP, MEASURE, STOP };

/* What one client measured of itself. */
struct figures {
    uint64_t operations, us, system_us, switches, latency_us;
};

static struct {
    _Atomic int phase, ready;
    struct figures of[CLIENTS];
} * board;
static struct daemon broker;
static int measure_ms = 2000;
static uint64_t changes; /* told by watches */

static void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, choir_error_text());
    daemon_kill(&broker);
    exit(1);
}

static struct choir *client(int number)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c;
    char name[32];

    snprintf(name, sizeof name, "bench-%d", number);
    o.url = broker.url;
    o.name = name;
    o.data_dir = broker.data;
    o.space = "bench";
    o.timeout_ms = 60000;
    if (choir_open(&o, &c))
        die("open");
    return c;
}

/* --- Manners of sending --------------------------------------------------- */

static uint64_t key_next(uint64_t *s)
{
    *s = *s * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*s >> 33) % KEYS;
}

static void send_one(struct choir *c, const char *verb, uint64_t *seed)
{
    static char value[VALUE];
    struct choir_request *r = choir_request_new(c, verb);
    uint64_t key = key_next(seed), id;
    char name[32];

    snprintf(name, sizeof name, "key/%07" PRIu64, key);
    choir_request_text(r, "key", name);
    if (*verb == 'p') {
        memcpy(value, &key, sizeof key);
        choir_request_slot(r, value, sizeof value, NULL);
    }
    if (choir_send(c, &r, -1, &id))
        die("send");
}

/* One outcome, and what watches tell before it. */
static void take_one(struct choir *c)
{
    struct choir_event *e;
    bool is_outcome;
    size_t bytes;

    do {
        if (choir_next(c, 20000, &e))
            die("next");
        if (choir_event_code(e) && choir_event_code(e) != CHOIR_NOT_FOUND)
            die(choir_event_explain(e));
        is_outcome = strcmp(choir_event_verb(e), "watch") != 0;
        if (!is_outcome && strcmp(choir_event_name(e), "change") == 0) {
            choir_event_value(choir_event_item(e, "items", 0), &bytes);
            changes += bytes == VALUE;
        }
        choir_event_free(&e);
    } while (!is_outcome);
}

/* One out for each that comes in. */
static unsigned turn_by_turn(struct choir *c, const char *verb, unsigned n,
                             uint64_t *seed)
{
    (void)n;
    take_one(c);
    send_one(c, verb, seed);
    return 1;
}

/* By the call that waits for its outcome. */
static unsigned one_by_one(struct choir *c, const char *verb, unsigned n,
                           uint64_t *seed)
{
    static char value[VALUE];
    char name[32];

    (void)verb;
    (void)n;
    snprintf(name, sizeof name, "key/%07" PRIu64, key_next(seed));
    if (choir_put(c, name, value, sizeof value, NULL))
        die("put");
    return 1;
}

/* All out, all in. */
static unsigned round_by_round(struct choir *c, const char *verb, unsigned n,
                               uint64_t *seed)
{
    for (unsigned i = 0; i < n; i++)
        take_one(c);
    for (unsigned i = 0; i < n; i++)
        send_one(c, verb, seed);
    return n;
}

/* --- A client ------------------------------------------------------------- */

struct manner {
    const char *name, *verb;
    int clients;
    unsigned in_flight;
    unsigned (*go)(struct choir *c, const char *verb, unsigned n,
                   uint64_t *seed);
};

static struct figures spent(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (struct figures){
        .us = (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 +
              (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec),
        .system_us = (uint64_t)r.ru_stime.tv_sec * 1000000 +
                     (uint64_t)r.ru_stime.tv_usec,
        .switches = (uint64_t)(r.ru_nvcsw + r.ru_nivcsw),
        .latency_us = test_now_us(),
    };
}

static void client_run(int number, const struct manner *m)
{
    struct choir *c = client(number);
    struct figures *f = &board->of[number], begin, end;
    uint64_t seed = (uint64_t)number + 1;

    atomic_fetch_add(&board->ready, 1);
    for (unsigned i = 0; i < m->in_flight; i++)
        send_one(c, m->verb, &seed);
    while (atomic_load(&board->phase) == WARM_UP)
        m->go(c, m->verb, m->in_flight, &seed);
    begin = spent();
    while (atomic_load(&board->phase) == MEASURE)
        f->operations += m->go(c, m->verb, m->in_flight, &seed);
    end = spent();
    f->us = end.us - begin.us;
    f->system_us = end.system_us - begin.system_us;
    f->switches = end.switches - begin.switches;
    f->latency_us = end.latency_us - begin.latency_us;
    for (unsigned i = 0; i < m->in_flight; i++)
        take_one(c);
    choir_close(&c);
}

/* --- The table ------------------------------------------------------------ */

static uint64_t status_of(struct choir *c, const char *name)
{
    struct choir_request *r = choir_request_new(c, "status");
    struct choir_event *e;
    uint64_t found = 0;

    if (choir_call(c, &r, 10000, &e))
        die("status");
    for (size_t i = 0; i < choir_event_count(e, "items"); i++) {
        const struct choir_event *item = choir_event_item(e, "items", i);
        const char *is = choir_event_text(item, "name");

        if (is && strcmp(is, name) == 0)
            found = choir_event_uint(item, "size");
    }
    choir_event_free(&e);
    return found;
}

static double broker_cpu_us(void)
{
    char path[64];
    unsigned long user = 0, system = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)broker.pid);
    f = fopen(path, "r");
    if (!f || fscanf(f,
                     "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
                     "%lu %lu",
                     &user, &system) != 2)
        die("no figures of the broker");
    fclose(f);
    return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static void print(const struct manner *m, uint64_t bundles, uint64_t entries,
                  double broker_us)
{
    struct figures all = {0};

    for (int i = 0; i < m->clients; i++) {
        all.operations += board->of[i].operations;
        all.us += board->of[i].us;
        all.system_us += board->of[i].system_us;
        all.switches += board->of[i].switches;
        all.latency_us += board->of[i].latency_us;
    }
    printf("%-14s %2d x %-3u %9.0f /s %7.2f ms  %6.1f a bundle   client "
           "%6.2f us (%.2f system) %6.3f switches   broker %6.2f us\n",
           m->name, m->clients, m->in_flight,
           (double)all.operations * 1e6 * m->clients / (double)all.latency_us,
           (double)all.latency_us * (m->in_flight ? m->in_flight : 1) / 1000 /
               (double)all.operations,
           bundles ? (double)entries / (double)bundles : 0,
           (double)all.us / (double)all.operations,
           (double)all.system_us / (double)all.operations,
           (double)all.switches / (double)all.operations,
           broker_us / (double)all.operations);
    fflush(stdout);
}

static void row(struct choir *c, const struct manner *m)
{
    uint64_t bundles, entries;
    double cpu;

    memset(board, 0, sizeof *board);
    for (int i = 0; i < m->clients; i++) {
        if (fork() == 0) {
            client_run(i, m);
            _exit(0);
        }
    }
    while (atomic_load(&board->ready) < m->clients)
        poll(NULL, 0, 5);
    poll(NULL, 0, WARM_MS);
    bundles = status_of(c, "bundles");
    entries = status_of(c, "entries");
    cpu = broker_cpu_us();
    atomic_store(&board->phase, MEASURE);
    poll(NULL, 0, measure_ms);
    atomic_store(&board->phase, STOP);
    cpu = broker_cpu_us() - cpu;
    bundles = status_of(c, "bundles") - bundles;
    entries = status_of(c, "entries") - entries;
    for (int i = 0; i < m->clients; i++) {
        int status;

        if (wait(&status) < 0 || status)
            die("a client failed");
    }
    print(m, bundles, entries, cpu);
}

static void count(uint64_t n, unsigned in_flight, unsigned watches)
{
    struct choir *c = client(0);
    struct figures begin = spent(), end;
    uint64_t seed = 1, id;

    for (unsigned i = 0; i < watches; i++)
        if (choir_watch(c, "key/", 0, &id))
            die("watch");
    for (unsigned i = 0; i < in_flight; i++)
        send_one(c, "put", &seed);
    for (uint64_t i = 0; i < n; i++)
        (in_flight ? turn_by_turn : one_by_one)(c, "put", in_flight, &seed);
    for (unsigned i = 0; i < in_flight; i++)
        take_one(c);
    end = spent();
    printf("%" PRIu64 " puts: %.2f us each (%.2f system), %.3f switches\n", n,
           (double)(end.us - begin.us) / (double)n,
           (double)(end.system_us - begin.system_us) / (double)n,
           (double)(end.switches - begin.switches) / (double)n);
    if (watches)
        printf("%" PRIu64 " changes: %.2f us each\n", changes,
               (double)(end.us - begin.us) / (double)changes);
    choir_close(&c);
}

static const struct manner manners[] = {
    {"put called", "put", 1, 0, one_by_one},
    {"put alone", "put", 1, 1, turn_by_turn},
    {"put in turn", "put", 1, 64, turn_by_turn},
    {"put in rounds", "put", 1, 64, round_by_round},
    {"put in turn", "put", 1, 1000, turn_by_turn},
    {"put called", "put", CLIENTS, 0, one_by_one},
    {"put alone", "put", CLIENTS, 1, turn_by_turn},
    {"put in turn", "put", CLIENTS, 64, turn_by_turn},
    {"put in rounds", "put", CLIENTS, 64, round_by_round},
    {"get in turn", "get", 1, 64, turn_by_turn},
    {"get in turn", "get", CLIENTS, 64, turn_by_turn},
};

static void table(void)
{
    struct choir *c = client(-1);

    for (size_t i = 0; i < sizeof manners / sizeof manners[0]; i++)
        row(c, &manners[i]);
    choir_close(&c);
}

static unsigned argument(int argc, char **argv, int i, unsigned otherwise)
{
    return argc > i ? (unsigned)strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (argc > 3) {
        snprintf(broker.url, sizeof broker.url, "%s", argv[2]);
        snprintf(broker.data, sizeof broker.data, "%s", argv[3]);
        count(argument(argc, argv, 1, 0), argument(argc, argv, 4, 64),
              argument(argc, argv, 5, 0));
        return 0;
    }
    daemon_init(&broker, "bench");
    if (board == MAP_FAILED || daemon_start(&broker, NULL))
        die("start");
    if (argc > 1)
        count(argument(argc, argv, 1, 0), 64, 0);
    else
        table();
    return daemon_stop(&broker);
}
