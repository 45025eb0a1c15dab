/* Places where a test may kill the process.
 *
 *   CHOIR_FAILPOINT=segment_sealed          dies at the first pass
 *   CHOIR_FAILPOINT=group_append:7,renamed  at the 7th pass, or the first
 *
 * Without -DCHOIR_FAILPOINTS all of it compiles to nothing. Death is
 * _exit(137), as kill -9 would show: no handler, no flush, no unlock.
 *
 * To die in the middle of a write:
 *
 *   if (FAILPOINT_ACTIVE("group_torn")) {
 *       write(fd, bytes, len / 2);
 *       FAILPOINT_DIE();
 *   }
 *
 * Threads: any. */
#ifndef CHOIR_BROKER_BASE_FAILPOINT_H
#define CHOIR_BROKER_BASE_FAILPOINT_H

#include <stdbool.h>

#ifdef CHOIR_FAILPOINTS

/* One pass of the named place; true on the pass that was asked for. */
bool failpoint_hit(const char *name);

void failpoint_die(void) __attribute__((noreturn));

#define FAILPOINT_ACTIVE(name) failpoint_hit(name)
#define FAILPOINT_DIE() failpoint_die()
#define FAILPOINT(name)          \
    do {                         \
        if (failpoint_hit(name)) \
            failpoint_die();     \
    } while (0)

#else

#define FAILPOINT_ACTIVE(name) false
#define FAILPOINT_DIE() ((void)0)
#define FAILPOINT(name) ((void)0)

#endif
#endif
