/* What our contender can do, and what its works share: one choird on loopback
 * in a fresh directory, and clients that use the SDK as any program would.
 *
 * A work reads its arguments, runs, and prints one line of JSON (load_print or
 * its own). Whatever goes wrong is load_die. */
#ifndef CHOIR_TESTS_BENCH_CHOIR_WORKS_H
#define CHOIR_TESTS_BENCH_CHOIR_WORKS_H

#include <agent-sdk/choir.h>

#include "tests/bench/load.h"

void work_put(void);     /* rows 1 to 5, 11 and 15 */
void work_get(void);     /* row 6 */
void work_task(void);    /* rows 7 and 8 */
void work_watch(void);   /* row 9 */
void work_fanout(void);  /* row 10 */
void work_replica(void); /* row 6, in process */
void work_restart(void); /* row 13 */
void work_grow(void);    /* row 12 */
void work_point(void);   /* one point of a plot of growth */
void work_memory(void);  /* row 14 */
void work_disk(void);    /* row 15 */
void work_crypto(void);  /* what row 5 is held against */
void work_version(void);

/* --- The broker ----------------------------------------------------------- */

/* A broker of this program. What follows is about the one in use, which is the
 * one that was prepared last, if no other was said. It and its strings are
 * borrowed for good. */
struct broker {
    pid_t pid;        /* 0: not running */
    const char *dir;  /* its load_dir; choird's output is in dir/log */
    const char *data; /* its data directory, dir/data */
    const char *url, *config;
    int port;
};

/* Directory, port and configuration; nothing runs yet. dir=: its parent. */
struct broker *broker_prepare(void);
/* Another one: a data directory of this name below the same one, and a
 * configuration of its own. Those before it may go on. */
struct broker *broker_home(const char *name);
void broker_use(struct broker *b);
/* Another line of its configuration. */
void broker_set(const char *line);
/* Start choird, the one built beside this program, and wait until it
 * listens. */
void broker_start(void);
void broker_stop(void); /* SIGTERM, which writes a last snapshot */
void broker_kill(void); /* SIGKILL */
/* Resident now. */
double broker_rss_kib(void);

/* A handle of this process. Waits while the broker reads its record. */
struct choir *broker_client(const char *name);

/* A record of puts by one agent, "bench-record", written while no broker
 * runs: every key once, then keys at random. */
struct record_plan {
    uint64_t keys;
    uint32_t value;   /* bytes; at least 8 */
    uint32_t bundle;  /* puts in each bundle */
    uint32_t members; /* agents that are admitted besides, for a crowd */
};
/* Genesis, agent and session, in b->data. Owned. */
struct record *record_new(const struct broker *b,
                          const struct record_plan *plan);
/* So many entries more. The broker may have run and stopped meanwhile. */
void record_extend(struct record *r, uint64_t entries);
/* How those members find the broker. Borrowed. */
const struct meeting *record_meeting(const struct record *r);
void record_free(struct record **self_p);

/* Waits until it has read back what proofs and links need of a record that was
 * made without it. */
void broker_catch_up(void);

/* What the broker has counted since it started. */
struct counts {
    uint64_t entries, bundles, groups, syncs, ledger_bytes, keys, snapshots;
};
struct counts broker_counts(void);

/* Runs the load and prints its result, with `what` (an inner part of an
 * object) and, if it wrote, from the broker's own counts, entries in a bundle
 * and bundles in a sync. Then stops the broker. */
void broker_run(struct load *l, bool writes, const char *what);

/* Works that prepare once and measure several times print lists. */
enum { ROUNDS_MAX = 20 };
unsigned rounds_read(unsigned otherwise);                       /* rounds= */
void print_list(const char *name, const double *v, unsigned n); /* "x":[1,2] */

/* --- Others who are there ------------------------------------------------- */

/* Agents of the record that are connected to the broker, with so many watches
 * of prefixes that nobody writes to, and tasks in hand that never end, spread
 * over them. All are ready on return. Owned; b and r must outlive it. */
struct crowd_plan {
    unsigned agents; /* at most the record's members */
    unsigned watches, leases;
};
struct crowd *crowd_new(const struct broker *b, const struct record *r,
                        const struct crowd_plan *plan);
/* SIGSTOP or SIGCONT, to all of their processes. */
void crowd_signal(const struct crowd *w, int signal);
void crowd_free(struct crowd **self_p);

/* --- Clients -------------------------------------------------------------- */

enum { KEY_BYTES = 32 };
void key_text(char key[KEY_BYTES], uint64_t number); /* "key/0000123" */

/* Clients that each keep `depth` puts of random keys in flight. */
struct puts {
    bool get; /* gets instead */
    unsigned clients, depth, keys, value;
    unsigned processes; /* that the clients share; 0: one each */
};
/* w: borrowed until load_run is over. */
void puts_spawn(struct load *l, struct puts *w);

/* The next event. Dies of a failure or a refusal. Owned. */
struct choir_event *event_next(struct choir *c);
/* Dies with choir_error_text() unless it is 0. */
void must(int result, const char *what);

#endif
