/* A thread that waits for the disk in the ledger's stead: one job at a time,
 * on request. Private to broker/ledger/.
 * Threads: every call comes from the ledger thread. */
#ifndef CHOIR_BROKER_LEDGER_BESIDE_H
#define CHOIR_BROKER_LEDGER_BESIDE_H

#include <stdbool.h>

struct beside;

/* 0; negative errno. */
int beside_open(struct beside **out);
/* Waits for what is under way. Accepts NULL. */
void beside_close(struct beside **self_p);
/* Readable from when a job of beside_begin has ended until beside_end says so. */
int beside_fd(const struct beside *b);

/* 0 or a negative errno other than -EAGAIN. */
typedef int (*beside_job)(void *arg);
/* Do it. arg is the thread's until beside_end; none may be under way. */
void beside_begin(struct beside *b, beside_job job, void *arg);
/* The same for a caller who has something else to do meanwhile and then waits:
 * on another core than his, if there is one. */
void beside_begin_aside(struct beside *b, beside_job job, void *arg);
/* What the job returned; -EAGAIN: it goes on (never, with wait). One must have
 * begun. */
int beside_end(struct beside *b, bool wait);

#endif
