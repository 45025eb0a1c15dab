/* What measures in process needs: a clock, and an end where something that has
 * to hold does not. */
#ifndef CHOIR_TESTS_BENCH_STOPWATCH_H
#define CHOIR_TESTS_BENCH_STOPWATCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The time by that clock: CLOCK_MONOTONIC, or CLOCK_PROCESS_CPUTIME_ID and
 * CLOCK_THREAD_CPUTIME_ID, in which others do not count. */
static inline double clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "bench: %s\n", what);
    abort();
}

#endif
