/* One command that `choir work` runs: a process group of its own, its input
 * fed, its output and the end of its errors kept. Nothing here blocks.
 *
 * The owner polls: job_poll, poll, job_after; and calls job_reap when a child
 * has ended. One thread, with SIGCHLD blocked. */
#ifndef CHOIR_TOOLS_JOB_H
#define CHOIR_TOOLS_JOB_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

struct job;

enum { JOB_FDS = 3, JOB_REASON_BYTES = 1024 };

struct job_order {
    const char *command;      /* for /bin/sh -c */
    struct bytes input;       /* copied */
    char *const *environment; /* "NAME=value" on top of ours; NULL ends */
    size_t output_max;        /* bytes; more of it ends the command */
    int signal;               /* for job_signal; 0: none */
};

/* 0 or -errno. j: owned. */
int job_start(const struct job_order *order, struct job **j);
/* Kills what still runs. */
void job_destroy(struct job **self_p);

/* Exactly JOB_FDS entries; -1 where nothing is waited for. */
void job_poll(const struct job *j, struct pollfd fds[JOB_FDS]);
void job_after(struct job *j, const struct pollfd fds[JOB_FDS]);
/* Has it ended? Then its output is complete. */
bool job_reap(struct job *j);

/* Ask the whole group to end; after grace_ms it is made to (job_tend). */
void job_stop(struct job *j, int64_t now_ms, int64_t grace_ms);
/* Milliseconds until job_tend has something to do; -1: nothing. */
int64_t job_wait_ms(const struct job *j, int64_t now_ms);
void job_tend(struct job *j, int64_t now_ms);

/* Send the order's signal to the command, but not to what it runs. */
void job_signal(const struct job *j);

/* Of one that has ended. Exit status as a shell would say it: 128 + signal. */
int job_status(const struct job *j);
/* Did it say more than output_max? */
bool job_overflowed(const struct job *j);
struct bytes job_output(const struct job *j);
/* The end of what it wrote to standard error: UTF-8 of at most
 * JOB_REASON_BYTES, or a sentence about its status. */
void job_reason(const struct job *j, char out[JOB_REASON_BYTES + 1]);

#endif
