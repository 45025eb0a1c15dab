/* A load: processes that do one kind of work against one server, and what it
 * cost. Every contender, Choir and its peers, is measured by this same code.
 *
 *   load_new -> load_spawn ... -> load_run -> load_print
 *
 * The processes get ready, warm up, are measured, and stop together. Latencies
 * go into histograms of bounded relative error (HdrHistogram's method, 3
 * digits). In a closed loop an operation is timed from when it was handed
 * over; in an open one (load_client_due) from when it should have been, so
 * that a server that stalls is not excused (no coordinated omission).
 *
 * Threads: none; each client is a process of its own. */
#ifndef CHOIR_TESTS_BENCH_LOAD_H
#define CHOIR_TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct load;
struct load_client;

enum { LOAD_CLIENTS_MAX = 64, LOAD_SERVERS_MAX = 4 };

struct load_options {
    double warm_s, measure_s; /* 1 and 3 if 0 */
};

/* What one run gave. */
struct load_result {
    double seconds;        /* measured */
    uint64_t operations;   /* finished in that time */
    double rate;           /* operations a second */
    double p50_us, p90_us, p99_us, p999_us, max_us; /* 0: nothing was timed */
    double client_cpu_s, server_cpu_s; /* in that time, user and system */
    double server_rss_kib; /* at its end, of all servers together */
};

/* Owned; never NULL (dies with a message otherwise: a benchmark that cannot
 * be set up has no result). */
struct load *load_new(const struct load_options *options);
void load_free(struct load **self_p);

/* The work of one client process: set up, load_client_ready, then work while
 * load_client_runs, then finish what is under way and return. Exits the
 * process; a failure is load_die. number: from 0. */
typedef void (*load_main)(struct load_client *c, int number, void *argument);
void load_spawn(struct load *l, load_main run, void *argument);

/* --- In the client -------------------------------------------------------- */

void load_client_ready(struct load_client *c); /* waits for all the others */
bool load_client_runs(const struct load_client *c);
/* One operation is done that began at start_us (of load_now_us). */
void load_client_done(struct load_client *c, uint64_t start_us);
/* Several that are counted, not timed. */
void load_client_count(struct load_client *c, uint64_t operations);
/* A latency alone, for operations that another process counts. */
void load_client_timed(struct load_client *c, uint64_t us);
/* Words that all processes of the load share, for pacing; zero at first. */
_Atomic uint64_t *load_client_word(struct load_client *c, unsigned i); /* <16 */
/* Monotonic microseconds; the same clock in all processes. */
uint64_t load_now_us(void);
/* splitmix64. */
uint64_t load_random(uint64_t *state);
void load_die(const char *what, ...) __attribute__((format(printf, 1, 2), noreturn));

/* --- In the parent -------------------------------------------------------- */

/* Wait for all, warm up, measure, stop, reap. servers: pids whose processor
 * time and memory (with their children's) are to be counted. */
void load_run(struct load *l, const pid_t *servers, int n,
              struct load_result *out);
/* One JSON object on one line of stdout: the result's fields by their names,
 * and `what`, an inner part of an object such as "\"bundle\":64", or NULL. */
void load_print(const struct load_result *r, const char *what);

/* A server of ours or of a peer: forked, exec'd, its output in DIR/log; ended
 * with SIGTERM, then SIGKILL, by pid. It dies with its parent
 * (PR_SET_PDEATHSIG). */
pid_t load_server(const char *dir, const char *const argv[]);
void load_server_stop(pid_t *pid);
/* A TCP port that was free a moment ago. */
int load_port(void);
/* Make a directory DIR/choir-bench-XXXXXX below `parent` (TMPDIR or /tmp if
 * NULL), removed with all in it at exit. */
const char *load_dir(const char *parent);

#endif
