/* What measures in process needs: a clock, and an end where something that has
 * to hold does not. */
#ifndef CHOIR_TESTS_BENCH_STOPWATCH_H
#define CHOIR_TESTS_BENCH_STOPWATCH_H

#include <stdbool.h>
#include <time.h>

/* The time by that clock: CLOCK_MONOTONIC, or CLOCK_PROCESS_CPUTIME_ID and
 * CLOCK_THREAD_CPUTIME_ID, in which others do not count. */
double clock_ns(clockid_t clock);

/* Aborts, and says what does not hold. */
void must_hold(bool holds, const char *what);

#endif
