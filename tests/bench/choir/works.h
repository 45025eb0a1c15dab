/* What our contender can do, and what its works share: one choird on loopback
 * in a fresh directory, and clients that use the SDK as any program would.
 *
 * A work reads its arguments, runs, and prints one line of JSON (load_print or
 * its own). Whatever goes wrong is load_die. */
#ifndef CHOIR_TESTS_BENCH_CHOIR_WORKS_H
#define CHOIR_TESTS_BENCH_CHOIR_WORKS_H

#include <agent-sdk/choir.h>

#include "tests/bench/load.h"

void work_put(void); /* rows 1 to 5, 11 and 15 */
void work_version(void);

/* --- The broker ----------------------------------------------------------- */

/* The one broker of this program. The strings are borrowed for good. */
struct broker {
    pid_t pid;        /* 0: not running */
    const char *dir;  /* its load_dir; choird's output is in dir/log */
    const char *data; /* its data directory, dir/data */
    const char *url;
};

/* Directory, port and configuration; nothing runs yet. dir=: its parent. */
struct broker *broker_prepare(void);
/* Another line of its configuration. */
void broker_set(const char *line);
/* Start choird, the one built beside this program, and wait until it
 * listens. */
void broker_start(void);
void broker_stop(void); /* SIGTERM, which writes a last snapshot */

/* A handle of this process. Dies unless it is open within a minute. */
struct choir *broker_client(const char *name);

/* What the broker has counted since it started. */
struct counts {
    uint64_t entries, bundles, groups, syncs, ledger_bytes, keys;
};
struct counts broker_counts(void);

/* Runs the load and prints its result, with `what` (an inner part of an
 * object) and, from the broker's own counts, entries in a bundle and bundles
 * in a sync. Then stops the broker. */
void broker_run(struct load *l, const char *what);

/* --- Clients -------------------------------------------------------------- */

enum { KEY_BYTES = 32 };
void key_text(char key[KEY_BYTES], uint64_t number); /* "key/0000123" */

/* The next event. Dies of a failure or a refusal. Owned. */
struct choir_event *event_next(struct choir *c);
/* Dies with choir_error_text() unless it is 0. */
void must(int result, const char *what);

#endif
