/* The crash test: clients at work while the broker is killed again and again;
 * tests/e2e/crash.c runs it shortly, tests/slow/crash.c at length. */
#ifndef CHOIR_TESTS_SUPPORT_CRASH_RUN_H
#define CHOIR_TESTS_SUPPORT_CRASH_RUN_H

#include <stdbool.h>

enum {
    CRASH_ALL_POINTS = 1, /* every failpoint must be reached */
    CRASH_POWER = 2,      /* what was not synced may be gone, see power.h */
    CRASH_LIE = 4,        /* and syncs do nothing: this must go wrong */
};

/* Kill choird that many times (CRASH_KILLS changes it), at random moments and
 * at failpoints by turns; CRASH_SEED repeats the choices. name: of the run's
 * directory. Says on stderr what is wrong. True: nothing is. */
bool crash_run(const char *name, unsigned kills, unsigned how);

#endif
