/* First figures for rows 1, 2, 4, 7, 9, 13, 14 and 15 of the targets: ours
 * alone, on this machine, over CURVE, every message signed in both directions
 * and synced before it is acknowledged.
 *
 *   build/tests/bench/rows [SECONDS]      (CHOIR_BUILD, TMPDIR)
 *
 * One broker in a fresh directory; every client is a process of its own with
 * its own identity. Values are 256 bytes, keys random out of a million. */
#include <agent-sdk/choir.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 1000000, VALUE = 256, SAMPLES = 400000, CLIENTS = 50 };
enum phase { WARM_UP, MEASURE, STOP };

/* What the processes share. */
struct board {
    _Atomic int phase, ready;
    _Atomic uint64_t done[CLIENTS + 4];
    _Atomic uint64_t finished; /* tasks, in this row */
    _Atomic uint32_t samples;
    uint32_t us[SAMPLES];
};

static struct board *board;
static char dir[256], data[300], url[128];
static pid_t daemon_pid;
static double seconds = 5;

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, choir_error_text());
    if (daemon_pid)
        kill(daemon_pid, SIGKILL);
    _exit(1);
}

static uint64_t random_next(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15ULL);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static void sample(uint64_t us)
{
    uint32_t i;

    if (atomic_load(&board->phase) != MEASURE)
        return;
    i = atomic_fetch_add(&board->samples, 1);
    if (i < SAMPLES)
        board->us[i] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

/* --- The daemon ---------------------------------------------------------- */

static void daemon_start(void)
{
    const char *build = getenv("CHOIR_BUILD");
    char path[512], log[400];

    snprintf(path, sizeof path, "%s/choird", build ? build : "build");
    snprintf(log, sizeof log, "%s/choird.log", dir);
    daemon_pid = fork();
    if (daemon_pid == 0) {
        if (!freopen(log, "a", stderr))
            _exit(127);
        execl(path, "choird", "--data", data, "--listen", url, (char *)NULL);
        _exit(127);
    }
}

static struct choir *client(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c;
    uint64_t until = now_us() + 60 * 1000000ULL;

    o.url = url;
    o.name = name;
    o.data_dir = data;
    o.space = "bench";
    o.timeout_ms = 20000;
    while (choir_open(&o, &c)) {
        if (now_us() > until)
            die("open");
        poll(NULL, 0, 5);
    }
    return c;
}

/* Milliseconds from exec until a client has a session again. */
static double daemon_restart(bool snapshot)
{
    struct choir *c;
    uint64_t start;
    char path[400];

    kill(daemon_pid, SIGKILL);
    waitpid(daemon_pid, NULL, 0);
    snprintf(path, sizeof path, "%s/state.snapshot", data);
    if (!snapshot)
        unlink(path);
    start = now_us();
    daemon_start();
    c = client("bench-restart");
    start = now_us() - start;
    choir_close(&c);
    return (double)start / 1000;
}

static void daemon_stop(void)
{
    kill(daemon_pid, SIGTERM);
    waitpid(daemon_pid, NULL, 0);
    daemon_pid = 0;
}

static double rss_mib(void)
{
    char path[64], line[256];
    double kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)daemon_pid);
    f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtod(line + 6, NULL);
    }
    if (f)
        fclose(f);
    return kib / 1024;
}

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

/* --- Clients ------------------------------------------------------------- */

static void put_send(struct choir *c, uint64_t *seed)
{
    static char value[VALUE];
    struct choir_request *r = choir_request_new(c, "put");
    uint64_t key = random_next(seed) % KEYS, id;
    char name[32];

    snprintf(name, sizeof name, "key/%07" PRIu64, key);
    memcpy(value, &key, sizeof key);
    choir_request_text(r, "key", name);
    choir_request_slot(r, value, sizeof value, NULL);
    if (choir_send(c, &r, -1, &id))
        die("send");
}

static void one_done(struct choir *c)
{
    struct choir_event *e;

    if (choir_next(c, 20000, &e))
        die("next");
    if (choir_event_code(e)) {
        fprintf(stderr, "bench: %s\n", choir_event_explain(e));
        _exit(1);
    }
    choir_event_free(&e);
}

static void put_client(int number, int in_flight)
{
    uint64_t seed = (uint64_t)number + 1, start[1024];
    struct choir *c;
    char name[32];
    int sent = 0, got = 0;

    snprintf(name, sizeof name, "bench-%d", number);
    c = client(name);
    atomic_fetch_add(&board->ready, 1);
    while (atomic_load(&board->phase) != STOP) {
        while (sent - got < in_flight) {
            start[sent % 1024] = now_us();
            put_send(c, &seed);
            sent++;
        }
        one_done(c);
        sample(now_us() - start[got % 1024]);
        got++;
        if (atomic_load(&board->phase) == MEASURE)
            atomic_fetch_add(&board->done[number], 1);
    }
    while (got++ < sent)
        one_done(c);
    choir_close(&c);
}

/* Keeps the queue filled, but not growing: one side or the other is to be
 * measured, not a queue. */
static void submit_client(int number, int in_flight)
{
    struct choir *c = client("bench-submit");
    uint64_t sent = 0;
    int out = 0;
    char payload[VALUE] = {0};

    (void)number;
    atomic_fetch_add(&board->ready, 1);
    while (atomic_load(&board->phase) != STOP) {
        if (sent > atomic_load(&board->finished) + 8 * (uint64_t)in_flight) {
            poll(NULL, 0, 1);
            continue;
        }
        while (out < in_flight) {
            struct choir_request *r = choir_request_new(c, "submit");
            uint64_t id;

            choir_request_text(r, "queue", "bench");
            choir_request_slot(r, payload, sizeof payload, NULL);
            if (choir_send(c, &r, -1, &id))
                die("submit");
            sent++;
            out++;
        }
        one_done(c);
        out--;
    }
    while (out-- > 0)
        one_done(c);
    choir_close(&c);
}

static void complete_send(struct choir *c, struct choir_event *task)
{
    struct choir_request *r = choir_request_new(c, "complete");
    uint64_t id;

    choir_request_uint(r, "task", choir_event_uint(task, "task"));
    choir_request_uint(r, "token", choir_event_uint(task, "token"));
    choir_request_slot(r, "ok", 2, NULL);
    if (choir_send(c, &r, -1, &id))
        die("complete");
}

static void work_client(int number, int credit)
{
    struct choir *c = client("bench-work");
    struct choir_request *r = choir_request_new(c, "work");
    uint64_t work;

    choir_request_text(r, "queue", "bench");
    choir_request_uint(r, "credit", (uint64_t)credit);
    if (choir_send(c, &r, -1, &work))
        die("work");
    atomic_fetch_add(&board->ready, 1);
    while (atomic_load(&board->phase) != STOP) {
        struct choir_event *e;

        if (choir_next(c, 100, &e))
            continue;
        if (strcmp(choir_event_name(e), "task") == 0) {
            complete_send(c, e);
        } else if (strcmp(choir_event_verb(e), "complete") == 0) {
            if (choir_event_code(e))
                die("complete refused");
            choir_credit(c, work, 1);
            atomic_fetch_add(&board->finished, 1);
            if (atomic_load(&board->phase) == MEASURE)
                atomic_fetch_add(&board->done[number], 1);
        }
        choir_event_free(&e);
    }
    choir_close(&c);
}

static void watch_client(int number, int unused)
{
    struct choir *c = client("bench-watch");
    uint64_t watch;

    (void)number;
    (void)unused;
    if (choir_watch(c, "watched", 0, &watch))
        die("watch");
    atomic_fetch_add(&board->ready, 1);
    while (atomic_load(&board->phase) != STOP) {
        struct choir_event *e;

        if (choir_next(c, 100, &e))
            continue;
        if (strcmp(choir_event_name(e), "change") == 0) {
            uint64_t sent = 0;
            size_t n;
            const void *value =
                choir_event_value(choir_event_item(e, "items", 0), &n);

            memcpy(&sent, value, sizeof sent);
            sample(now_us() - sent);
        }
        choir_event_free(&e);
    }
    choir_close(&c);
}

static void watched_client(int number, int unused)
{
    struct choir *c = client("bench-watched");

    (void)unused;
    atomic_fetch_add(&board->ready, 1);
    while (atomic_load(&board->phase) != STOP) {
        char value[VALUE] = {0};
        uint64_t at = now_us();

        memcpy(value, &at, sizeof at);
        if (choir_put(c, "watched", value, sizeof value, NULL))
            die("put");
        atomic_fetch_add(&board->done[number], 1);
        poll(NULL, 0, 1);
    }
    choir_close(&c);
}

/* --- Running a row ------------------------------------------------------- */

typedef void (*client_main)(int number, int argument);

static pid_t spawn(client_main run, int number, int argument)
{
    pid_t pid = fork();

    if (pid == 0) {
        run(number, argument);
        _exit(0);
    }
    return pid;
}

static void board_clear(void)
{
    atomic_store(&board->phase, WARM_UP);
    atomic_store(&board->ready, 0);
    atomic_store(&board->samples, 0);
    atomic_store(&board->finished, 0);
    for (int i = 0; i < CLIENTS + 4; i++)
        atomic_store(&board->done[i], 0);
}

/* Wait for all, warm up, measure; operations a second. */
static double measure(const pid_t *pids, int n)
{
    uint64_t total = 0, start, end;

    while (atomic_load(&board->ready) < n) {
        if (waitpid(-1, NULL, WNOHANG) > 0)
            die("a client ended early");
        poll(NULL, 0, 5);
    }
    poll(NULL, 0, 1000);
    start = now_us();
    atomic_store(&board->phase, MEASURE);
    poll(NULL, 0, (int)(seconds * 1000));
    atomic_store(&board->phase, STOP);
    end = now_us();
    for (int i = 0; i < CLIENTS + 4; i++)
        total += atomic_load(&board->done[i]);
    for (int i = 0; i < n; i++)
        waitpid(pids[i], NULL, 0);
    return (double)total * 1e6 / (double)(end - start);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static double quantile_ms(double q)
{
    uint32_t n = atomic_load(&board->samples);

    if (n > SAMPLES)
        n = SAMPLES;
    if (n == 0)
        return 0;
    qsort(board->us, n, sizeof *board->us, by_size);
    return board->us[(uint32_t)((double)(n - 1) * q)] / 1000.0;
}

static void put_row(const char *row, int clients, int in_flight)
{
    pid_t pids[CLIENTS];
    double rate;

    board_clear();
    for (int i = 0; i < clients; i++)
        pids[i] = spawn(put_client, i, in_flight);
    rate = measure(pids, clients);
    printf("row %-3s put %d x %-3d in flight    %9.0f /s   p50 %7.2f ms   "
           "p99 %7.2f ms\n",
           row, clients, in_flight, rate, quantile_ms(0.5), quantile_ms(0.99));
    fflush(stdout);
}

static void task_row(const char *row, int in_flight)
{
    pid_t pids[2];
    double rate;

    board_clear();
    pids[0] = spawn(submit_client, 0, in_flight);
    pids[1] = spawn(work_client, 1, in_flight);
    rate = measure(pids, 2);
    printf("row %-3s task cycle, %-3d in flight %9.0f /s\n", row, in_flight,
           rate);
    fflush(stdout);
}

static void watch_row(void)
{
    pid_t pids[2];

    board_clear();
    pids[0] = spawn(watch_client, 0, 0);
    pids[1] = spawn(watched_client, 1, 0);
    measure(pids, 2);
    printf("row 9   put to event                          p50 %7.2f ms   "
           "p99 %7.2f ms\n",
           quantile_ms(0.5), quantile_ms(0.99));
    fflush(stdout);
}

static void keys_fill(void)
{
    static char value[VALUE];
    struct choir *c = client("bench-fill");
    int out = 0;

    for (uint64_t key = 0; key < KEYS; key++) {
        struct choir_request *r = choir_request_new(c, "put");
        char name[32];
        uint64_t id;

        snprintf(name, sizeof name, "key/%07" PRIu64, key);
        choir_request_text(r, "key", name);
        choir_request_slot(r, value, sizeof value, NULL);
        if (choir_send(c, &r, -1, &id))
            die("fill");
        for (out++; out >= 2000; out--)
            one_done(c);
    }
    while (out-- > 0)
        one_done(c);
    choir_close(&c);
}

static void memory_rows(double idle, double full)
{
    struct choir *c = client("bench-status");
    uint64_t keys = status_of(c, "keys"), bytes = status_of(c, "ledger_bytes");
    uint64_t entries = status_of(c, "size");

    printf("row 14  idle broker %.1f MiB, %" PRIu64
           " keys %.1f MiB: %.0f bytes a key with its name\n",
           idle, keys, full, (full - idle) * 1048576 / (double)keys);
    printf("row 15  %.0f bytes on disk an entry: %.2f x the payload of 256\n",
           (double)bytes / (double)entries,
           (double)bytes / (double)entries / VALUE);
    choir_close(&c);
}

static void restart_rows(void)
{
    struct choir *c = client("bench-status");
    uint64_t entries = status_of(c, "size");
    double with, without;

    choir_close(&c);
    with = daemon_restart(true);
    without = daemon_restart(false);
    printf(
        "row 13  restart after kill -9, %" PRIu64
        " entries: with snapshot %.0f ms, without %.0f ms (%.0f entries/s)\n",
        entries, with, without, (double)entries * 1000 / without);
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    char command[400];
    struct choir *c;
    double idle;

    if (argc > 1)
        seconds = strtod(argv[1], NULL);
    snprintf(dir, sizeof dir, "%s/choir-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return 1;
    snprintf(data, sizeof data, "%s/data", dir);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%d", 20000 + getpid() % 20000);
    setenv("CHOIR_CONFIG", dir, 1);
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 1;
    daemon_start();
    c = client("bench-status");
    choir_close(&c);
    idle = rss_mib();
    keys_fill();
    memory_rows(idle, rss_mib());
    put_row("4", 1, 1);
    put_row("2", 1, 64);
    put_row("1", CLIENTS, 64);
    put_row("5", CLIENTS, 1);
    task_row("7", 256);
    task_row("8", 1);
    watch_row();
    restart_rows();
    daemon_stop();
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) ? 1 : 0;
}
