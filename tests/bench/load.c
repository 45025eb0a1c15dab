/* Loads: client processes in step, and what they did in which time. What they
 * share is one piece of memory: a phase that all follow, and for each client a
 * counter and a histogram that only it writes. */
#include "tests/bench/load.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/histogram.h"
#include "tests/bench/load_process.h"

enum { PREPARE, WARM_UP, MEASURE, STOP };
enum { TICK_US = 10000, ARGUMENTS_MAX = 32 };

struct load_client {
    struct load *load;
    _Alignas(64) _Atomic uint64_t operations;
    struct histogram latency; /* in phase MEASURE */
};

struct load {
    struct load_options options;
    _Atomic uint32_t phase; /* a futex */
    _Atomic uint32_t ready;
    int n;
    pid_t pids[LOAD_CLIENTS_MAX];
    struct {
        _Alignas(64) _Atomic uint64_t value;
    } words[LOAD_WORDS];
    struct load_client clients[LOAD_CLIENTS_MAX];
};

static struct {
    int argc;
    char **argv;
    bool used[ARGUMENTS_MAX];
} arguments;

/* --- Time, chance and death ----------------------------------------------- */

uint64_t load_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t load_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* exit() in the parent ends all the others, which have nothing to end. */
void load_die(const char *what, ...)
{
    va_list list;

    fprintf(stderr, "load: %s%s: ", arguments.argc ? arguments.argv[0] : "",
            process_is_child() ? " (client)" : "");
    va_start(list, what);
    vfprintf(stderr, what, list);
    va_end(list);
    fputc('\n', stderr);
    if (process_is_child())
        _exit(1);
    process_log_tail();
    exit(1);
}

/* --- Arguments ------------------------------------------------------------ */

void load_arguments(int argc, char **argv)
{
    arguments.argc = argc;
    arguments.argv = argv;
    if (argc < 2)
        load_die("usage: PROGRAM WORK [name=value ...]");
    if (argc > ARGUMENTS_MAX)
        load_die("%d arguments; at most %d", argc, ARGUMENTS_MAX);
    memset(arguments.used, 0, sizeof arguments.used);
}

const char *load_work(void)
{
    return arguments.argv[1];
}

const char *load_text(const char *name, const char *otherwise)
{
    size_t n = strlen(name);

    for (int i = 2; i < arguments.argc; i++) {
        if (strncmp(arguments.argv[i], name, n) || arguments.argv[i][n] != '=')
            continue;
        arguments.used[i] = true;
        return arguments.argv[i] + n + 1;
    }
    return otherwise;
}

static double load_fraction(const char *name, double otherwise)
{
    const char *text = load_text(name, NULL);
    char *end;
    double value;

    if (!text)
        return otherwise;
    value = strtod(text, &end);
    if (end == text || *end || value < 0 || value > UINT32_MAX)
        load_die("%s=%s is not a number", name, text);
    return value;
}

unsigned load_number(const char *name, unsigned otherwise)
{
    return (unsigned)load_fraction(name, otherwise);
}

struct load_options load_timing(void)
{
    return (struct load_options){
        .warm_s = load_fraction("warm", 1),
        .measure_s = load_fraction("seconds", 3),
    };
}

void load_arguments_end(void)
{
    for (int i = 2; i < arguments.argc; i++) {
        if (!arguments.used[i])
            load_die("%s: %s takes no such argument", arguments.argv[i],
                     load_work());
    }
}

static void print_text(const char *text)
{
    putchar('"');
    for (; *text && *text != '\n'; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar((unsigned char)*text < 0x20 ? ' ' : *text);
    }
    putchar('"');
}

void load_version(const char *command, const char *client)
{
    char line[512] = "";
    FILE *said = popen(command, "re");

    if (!said || !fgets(line, sizeof line, said))
        load_die("%s says nothing", command);
    pclose(said);
    fputs("{\"server\":", stdout);
    print_text(line);
    fputs(",\"client\":", stdout);
    print_text(client);
    puts("}");
}

/* --- The client ----------------------------------------------------------- */

static void phase_set(struct load *l, uint32_t phase)
{
    atomic_store(&l->phase, phase);
    syscall(SYS_futex, &l->phase, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void load_client_ready(struct load_client *c)
{
    struct load *l = c->load;

    atomic_fetch_add(&l->ready, 1);
    while (atomic_load(&l->phase) == PREPARE)
        syscall(SYS_futex, &l->phase, FUTEX_WAIT, PREPARE, NULL, NULL, 0);
}

bool load_client_runs(const struct load_client *c)
{
    return atomic_load_explicit(&c->load->phase, memory_order_relaxed) != STOP;
}

void load_client_count(struct load_client *c, uint64_t operations)
{
    uint64_t before =
        atomic_load_explicit(&c->operations, memory_order_relaxed);

    atomic_store_explicit(&c->operations, before + operations,
                          memory_order_relaxed);
}

void load_client_timed(struct load_client *c, uint64_t us)
{
    if (atomic_load_explicit(&c->load->phase, memory_order_relaxed) == MEASURE)
        histogram_record(&c->latency, us);
}

void load_client_done(struct load_client *c, uint64_t start_us)
{
    load_client_count(c, 1);
    load_client_timed(c, load_now_us() - start_us);
}

_Atomic uint64_t *load_client_word(struct load_client *c, unsigned i)
{
    if (i >= LOAD_WORDS)
        load_die("word %u of %d", i, LOAD_WORDS);
    return &c->load->words[i].value;
}

/* --- The parent ----------------------------------------------------------- */

struct load *load_new(const struct load_options *options)
{
    struct load *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (l == MAP_FAILED)
        load_die("memory: %s", strerror(errno));
    l->options = *options;
    if (l->options.warm_s <= 0)
        l->options.warm_s = 1;
    if (l->options.measure_s <= 0)
        l->options.measure_s = 3;
    if (l->options.setup_s <= 0)
        l->options.setup_s = 120;
    if (l->options.stop_s <= 0)
        l->options.stop_s = 30;
    return l;
}

void load_free(struct load **self_p)
{
    struct load *l = *self_p;

    if (!l)
        return;
    for (int i = 0; i < l->n; i++) {
        if (l->pids[i] > 0) {
            kill(l->pids[i], SIGKILL);
            waitpid(l->pids[i], NULL, 0);
        }
    }
    munmap(l, sizeof *l);
    *self_p = NULL;
}

void load_spawn(struct load *l, load_main run, void *argument)
{
    int number = l->n;
    pid_t pid;

    if (number == LOAD_CLIENTS_MAX)
        load_die("more than %d clients", LOAD_CLIENTS_MAX);
    pid = process_fork();
    if (pid) {
        l->pids[l->n++] = pid;
        return;
    }
    l->clients[number].load = l;
    run(&l->clients[number], number, argument);
    _exit(0);
}

/* A client or a server that has ended although nobody asked it to. */
static void watch_processes(struct load *l, bool may_end)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        process_was_server(pid, status);
        for (int i = 0; i < l->n; i++) {
            if (l->pids[i] != pid)
                continue;
            l->pids[i] = 0;
            if (status || !may_end)
                load_die("client %d has ended (status %#x)", i,
                         (unsigned)status);
        }
    }
}

static void wait_ready(struct load *l)
{
    uint64_t end = load_now_us() + (uint64_t)(l->options.setup_s * 1e6);

    while (atomic_load(&l->ready) < (uint32_t)l->n) {
        watch_processes(l, false);
        if (load_now_us() > end)
            load_die("%u of %d clients are ready after %.0f s",
                     atomic_load(&l->ready), l->n, l->options.setup_s);
        process_pause(TICK_US);
    }
}

static void wait_until(struct load *l, uint64_t end)
{
    uint64_t now;

    while ((now = load_now_us()) < end) {
        watch_processes(l, false);
        process_pause(end - now < TICK_US ? end - now : TICK_US);
    }
}

static void wait_ended(struct load *l)
{
    uint64_t end = load_now_us() + (uint64_t)(l->options.stop_s * 1e6);

    for (int i = 0; i < l->n; i++) {
        while (l->pids[i]) {
            watch_processes(l, true);
            if (load_now_us() > end)
                load_die("client %d does not stop", i);
            if (l->pids[i])
                process_pause(TICK_US / 10);
        }
    }
}

/* What has been done and spent so far. */
struct mark {
    uint64_t us, operations;
    double client_cpu_s, server_cpu_s;
};

static struct mark mark_now(const struct load *l, const pid_t *pids, int n,
                            double *kib)
{
    struct mark m = {.us = load_now_us()};

    for (int i = 0; i < l->n; i++) {
        m.operations += atomic_load(&l->clients[i].operations);
        m.client_cpu_s += process_cpu_s(l->pids[i]);
    }
    m.server_cpu_s = process_families_cpu_s(pids, n, kib);
    return m;
}

static void percentiles(const struct load *l, struct load_result *out)
{
    static struct histogram all;

    memset(&all, 0, sizeof all);
    for (int i = 0; i < l->n; i++)
        histogram_add(&all, &l->clients[i].latency);
    out->p50_us = (double)histogram_percentile(&all, 50);
    out->p90_us = (double)histogram_percentile(&all, 90);
    out->p99_us = (double)histogram_percentile(&all, 99);
    out->p999_us = (double)histogram_percentile(&all, 99.9);
    out->max_us = (double)all.max;
}

void load_run(struct load *l, const pid_t *pids, int n, struct load_result *out)
{
    struct mark from, to;

    *out = (struct load_result){0};
    wait_ready(l);
    phase_set(l, WARM_UP);
    wait_until(l, load_now_us() + (uint64_t)(l->options.warm_s * 1e6));
    phase_set(l, MEASURE);
    from = mark_now(l, pids, n, NULL);
    wait_until(l, from.us + (uint64_t)(l->options.measure_s * 1e6));
    to = mark_now(l, pids, n, &out->server_rss_kib);
    phase_set(l, STOP);
    wait_ended(l);
    out->seconds = (double)(to.us - from.us) / 1e6;
    out->operations = to.operations - from.operations;
    out->rate = (double)out->operations / out->seconds;
    out->client_cpu_s = to.client_cpu_s - from.client_cpu_s;
    out->server_cpu_s = to.server_cpu_s - from.server_cpu_s;
    percentiles(l, out);
    if (!out->operations)
        load_die("no operation was finished in %.1f s", out->seconds);
}

void load_print(const struct load_result *r, const char *what)
{
    printf("{%s%s\"seconds\":%.3f,\"operations\":%" PRIu64 ",\"rate\":%.1f,"
           "\"p50_us\":%.0f,\"p90_us\":%.0f,\"p99_us\":%.0f,"
           "\"p999_us\":%.0f,\"max_us\":%.0f,\"client_cpu_s\":%.3f,"
           "\"server_cpu_s\":%.3f,\"server_rss_kib\":%.0f}\n",
           what ? what : "", what ? "," : "", r->seconds, r->operations,
           r->rate, r->p50_us, r->p90_us, r->p99_us, r->p999_us, r->max_us,
           r->client_cpu_s, r->server_cpu_s, r->server_rss_kib);
    fflush(stdout);
}
