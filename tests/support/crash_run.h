/* The crash test: clients at work while the broker is killed again and again;
 * tests/e2e/crash.c runs it shortly, tests/slow/crash.c at length. */
#ifndef CHOIR_TESTS_SUPPORT_CRASH_RUN_H
#define CHOIR_TESTS_SUPPORT_CRASH_RUN_H

#include <stdbool.h>

/* Kill choird that many times (CRASH_KILLS changes it), at random moments and
 * at failpoints by turns; CRASH_SEED repeats the choices. Says on stderr what
 * is wrong. True: nothing is. all_points: every failpoint must be reached. */
bool crash_run(unsigned kills, bool all_points);

#endif
