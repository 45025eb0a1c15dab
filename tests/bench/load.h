/* A load: processes that do one kind of work against one server, and what it
 * cost. Every contender, Choir and its peers, is measured by this same code.
 *
 *   load_arguments -> load_server -> load_new -> load_spawn ... -> load_run
 *   -> load_print
 *
 * The processes get ready, warm up, are measured, and stop together. Latencies
 * go into histograms of bounded relative error (HdrHistogram's method, 3
 * digits). All our loads are closed loops: an operation is timed from when it
 * was handed over, however long it then waits to be sent. A stall counts for
 * all that are in flight and not for those that would have come meanwhile; a
 * client with a schedule would pass when they should have been instead.
 *
 * Whatever goes wrong ends the program with a message and status 1: a client
 * that ends early, a server that dies, a step that takes too long. All
 * processes end with the one that started them.
 *
 * In load.c, load_process.c and histogram.c, which need nothing but libc.
 *
 * Threads: none; each client is a process of its own. */
#ifndef CHOIR_TESTS_BENCH_LOAD_H
#define CHOIR_TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct load;
struct load_client;

enum { LOAD_CLIENTS_MAX = 64, LOAD_SERVERS_MAX = 4, LOAD_WORDS = 16 };

struct load_options {
    double warm_s, measure_s; /* 1 and 3 if 0 */
    double setup_s;           /* until all are ready; 120 if 0 */
    double stop_s;            /* until all have ended; 30 if 0 */
};

/* What one run gave. */
struct load_result {
    double seconds;                                 /* measured */
    uint64_t operations;                            /* finished in that time */
    double rate;                                    /* operations a second */
    double p50_us, p90_us, p99_us, p999_us, max_us; /* 0: nothing was timed */
    double client_cpu_s, server_cpu_s; /* in that time, user and system */
    double server_rss_kib; /* at its end, of all servers together; a page that
                              several processes share counts once (Pss) */
};

/* --- Arguments: PROGRAM WORK [name=value ...] ----------------------------- */

/* Borrowed for good. Dies without WORK. */
void load_arguments(int argc, char **argv);
const char *load_work(void);
/* The value of name=, or `otherwise`. Borrowed. */
const char *load_text(const char *name, const char *otherwise);
unsigned load_number(const char *name, unsigned otherwise);
/* seconds= and warm=. */
struct load_options load_timing(void);
/* Dies of an argument that none of the above was asked for. */
void load_arguments_end(void);
/* Prints {"server":"...","client":"..."}: the first line that `command` (of
 * sh) says, and `client`. */
void load_version(const char *command, const char *client);

/* --- The load ------------------------------------------------------------- */

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
/* Words that all processes of the load share, for pacing; zero at first.
 * i < LOAD_WORDS; each lies in a cache line of its own. */
_Atomic uint64_t *load_client_word(struct load_client *c, unsigned i);
/* Monotonic microseconds; the same clock in all processes. */
uint64_t load_now_us(void);
/* splitmix64. */
uint64_t load_random(uint64_t *state);
void load_die(const char *what, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* --- In the parent -------------------------------------------------------- */

/* Wait for all, warm up, measure, stop, reap; once for each load. servers:
 * pids whose processor time and memory (with their children's) are to be
 * counted. */
void load_run(struct load *l, const pid_t *servers, int n,
              struct load_result *out);
/* One JSON object on one line of stdout: the result's fields by their names,
 * and `what`, an inner part of an object such as "\"bundle\":64", or NULL. */
void load_print(const struct load_result *r, const char *what);

/* A server of ours or of a peer: forked, exec'd, its output in DIR/log; ended
 * with SIGTERM, then SIGKILL, by pid. It dies with its parent
 * (PR_SET_PDEATHSIG). */
pid_t load_server(const char *dir, const char *const argv[]);
/* The same for a function of this program. */
pid_t load_server_fork(void (*run)(void *argument), void *argument);
/* Waits until something listens on this port of 127.0.0.1. */
void load_server_wait(pid_t pid, int port);
void load_server_stop(pid_t *pid);
/* Runs a program to its end, its output in DIR/log; dies if it fails. */
void load_command(const char *dir, const char *const argv[]);
/* The same for a function of this program: for a library whose threads the
 * parent must not have when it forks the clients. */
void load_apart(void (*run)(void *argument), void *argument);
/* A TCP port that was free a moment ago. */
int load_port(void);
/* Make a directory PARENT/choir-bench-XXXXXX (PARENT: TMPDIR or /tmp if NULL),
 * removed with all in it when this process ends, however it does. Once in a
 * program. Borrowed for good. */
const char *load_dir(const char *parent);

#endif
