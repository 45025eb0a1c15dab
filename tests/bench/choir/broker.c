/* The broker that is measured, and handles to it. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/bench/choir/works.h"
#include "tests/bench/load_process.h"

enum { LONG_US = 1800 * 1000000, LOOK_US = 1000 };
enum { BEHIND_US = 200000 }; /* asking, too, is to want something */
enum { OPEN_MS = 20000, STATUS_MS = 60000 };

static struct broker *broker;
static char program[PATH_MAX];

void must(int result, const char *what)
{
    if (result)
        load_die("%s: %s", what, choir_error_text());
}

/* build/tests/bench/choir -> build/choird */
static void program_find(void)
{
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 32);
    char *end;

    if (n <= 0)
        load_die("where this program is: %s", strerror(errno));
    program[n] = 0;
    for (int i = 0; i < 3; i++) {
        end = strrchr(program, '/');
        if (!end)
            load_die("%s is not in a build directory", program);
        *end = 0;
    }
    strcat(program, "/choird");
}

static const char *text_new(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
static const char *text_new(const char *format, ...)
{
    char *text;
    va_list list;

    va_start(list, format);
    if (vasprintf(&text, format, list) < 0)
        load_die("no memory");
    va_end(list);
    return text;
}

void work_version(void)
{
    char command[PATH_MAX + 32], client[160];
    int major, minor, patch;

    load_arguments_end();
    program_find();
    zmq_version(&major, &minor, &patch);
    snprintf(command, sizeof command, "'%s' --version", program);
    snprintf(client, sizeof client, "libchoir %s, libzmq %d.%d.%d",
             choir_version(), major, minor, patch);
    load_version(command, client);
}

/* A connection is a descriptor, a handle of the SDK a dozen. */
static void raise_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r))
        return;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

static struct broker *broker_new(const char *dir, const char *name)
{
    broker = calloc(1, sizeof *broker);
    if (!broker)
        load_die("no memory");
    broker->port = load_port();
    broker->dir = dir;
    broker->data = text_new("%s/%s", dir, name);
    broker->url = text_new("tcp://127.0.0.1:%d", broker->port);
    broker->config = text_new("%s/%s.conf", dir, name);
    broker_set(text_new("data = \"%s\"", broker->data));
    broker_set(text_new("run_dir = \"%s/run-%s\"", dir, name));
    broker_set(text_new("listen = {\"%s\"}", broker->url));
    return broker;
}

struct broker *broker_prepare(void)
{
    const char *dir = load_dir(load_text("dir", NULL));

    program_find();
    raise_limit();
    setenv("CHOIR_CONFIG", dir, 1); /* identities of the clients */
    return broker_new(dir, "data");
}

struct broker *broker_home(const char *name)
{
    return broker_new(broker->dir, name);
}

void broker_use(struct broker *b)
{
    broker = b;
}

void broker_set(const char *line)
{
    FILE *f = fopen(broker->config, "ae");

    if (!f || fprintf(f, "%s\n", line) < 0 || fclose(f))
        load_die("%s: %s", broker->config, strerror(errno));
}

/* Ended, but not waited for: that is load_server_stop's. */
static bool broker_ended(void)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)broker->pid, &info,
                  WEXITED | WNOWAIT | WNOHANG) == 0 &&
           info.si_pid == broker->pid;
}

static bool broker_listens(void)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)broker->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool listens = !connect(fd, (struct sockaddr *)&a, sizeof a);

    close(fd);
    return listens;
}

/* With ten million entries to read or keys to write out, both ends take their
 * time. */
void broker_start(void)
{
    const char *const argv[] = {program, "-c", broker->config, NULL};

    broker->pid = load_server(broker->dir, argv);
    for (uint64_t until = load_now_us() + LONG_US; !broker_listens();) {
        if (broker_ended() || load_now_us() > until)
            load_die("choird does not listen");
        process_pause(LOOK_US);
    }
}

void broker_stop(void)
{
    kill(broker->pid, SIGTERM);
    for (uint64_t until = load_now_us() + LONG_US; !broker_ended();) {
        if (load_now_us() > until)
            load_die("choird does not stop");
        process_pause(LOOK_US);
    }
    load_server_stop(&broker->pid);
}

void broker_kill(void)
{
    kill(broker->pid, SIGKILL);
    load_server_stop(&broker->pid);
}

double broker_rss_kib(void)
{
    char path[64], line[256];
    double kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)broker->pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "VmRSS: %lf", &kib) == 1)
            break;
    }
    if (f)
        fclose(f);
    return kib;
}

struct choir *broker_client(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    uint64_t until = load_now_us() + LONG_US;
    struct choir *c;
    int got;

    o.url = broker->url;
    o.name = name;
    o.data_dir = broker->data;
    o.space = "bench";
    o.timeout_ms = OPEN_MS;
    /* A broker that is still reading its record cannot be enrolled with. */
    while ((got = choir_open(&o, &c)) && load_now_us() < until &&
           (got == CHOIR_UNREACHABLE || got == CHOIR_NO_IDENTITY))
        process_pause(LOOK_US);
    must(got, "open");
    return c;
}

static uint64_t status_number(const struct choir_event *e, const char *name)
{
    for (size_t i = 0; i < choir_event_count(e, "items"); i++) {
        const struct choir_event *item = choir_event_item(e, "items", i);
        const char *is = choir_event_text(item, "name");

        if (is && strcmp(is, name) == 0)
            return choir_event_uint(item, "size");
    }
    load_die("the broker's status has no %s", name);
}

static struct choir_event *status_of(struct choir *c)
{
    struct choir_request *r = choir_request_new(c, "status");
    struct choir_event *e;

    must(choir_call(c, &r, STATUS_MS, &e), "status");
    return e;
}

void broker_catch_up(void)
{
    struct choir *c = broker_client("bench-status");
    uint64_t behind;

    do {
        struct choir_event *e = status_of(c);

        behind = status_number(e, "behind");
        choir_event_free(&e);
        if (behind)
            process_pause(BEHIND_US);
    } while (behind);
    choir_close(&c);
}

struct counts broker_counts(void)
{
    struct choir *c = broker_client("bench-status");
    struct choir_event *e = status_of(c);
    struct counts counts;

    counts = (struct counts){
        .entries = status_number(e, "entries"),
        .bundles = status_number(e, "bundles"),
        .groups = status_number(e, "groups"),
        .syncs = status_number(e, "syncs"),
        .ledger_bytes = status_number(e, "ledger_bytes"),
        .keys = status_number(e, "keys"),
        .snapshots = status_number(e, "snapshots"),
    };
    choir_event_free(&e);
    choir_close(&c);
    return counts;
}

static double ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0;
}

void broker_run(struct load *l, bool writes, const char *what)
{
    struct counts from = broker_counts(), to;
    struct load_result result;
    uint64_t entries, bundles;
    char more[512];

    load_run(l, &broker->pid, 1, &result);
    to = broker_counts();
    broker_stop();
    entries = to.entries - from.entries;
    bundles = to.bundles - from.bundles;
    if (!writes) {
        load_print(&result, what);
        return;
    }
    snprintf(more, sizeof more,
             "%s,\"synced\":true,\"ops_per_bundle\":%.1f,"
             "\"bundles_per_sync\":%.1f,\"disk_bytes_per_entry\":%.1f",
             what, ratio(entries, bundles),
             ratio(bundles, to.syncs - from.syncs),
             ratio(to.ledger_bytes - from.ledger_bytes, entries));
    load_print(&result, more);
}

unsigned rounds_read(unsigned otherwise)
{
    unsigned rounds = load_number("rounds", otherwise);

    if (!rounds || rounds > ROUNDS_MAX)
        load_die("rounds: 1 to %d", ROUNDS_MAX);
    return rounds;
}

void print_list(const char *name, const double *v, unsigned n)
{
    printf("\"%s\":[", name);
    for (unsigned i = 0; i < n; i++)
        printf("%s%.6g", i ? "," : "", v[i]);
    printf("]");
}

/* --- Clients -------------------------------------------------------------- */

void key_text(char key[KEY_BYTES], uint64_t number)
{
    snprintf(key, KEY_BYTES, "key/%07llu", (unsigned long long)number);
}

struct choir_event *event_next(struct choir *c)
{
    struct choir_event *e;

    must(choir_next(c, OPEN_MS, &e), "next");
    if (choir_event_code(e))
        load_die("%s: %s", choir_event_verb(e), choir_event_explain(e));
    return e;
}
