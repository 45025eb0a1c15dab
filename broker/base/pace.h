/* Which core is the quicker one just now, for a thread on which everything
 * waits. A guest's cores are halves of cores that others use, too: for seconds
 * at a time one takes 1.7 times as long for the same work as the other, and
 * neither the kernel nor the clock's rate tells.
 *
 * Found by doing the same small piece of work here and on one of the others, now
 * and then, when there is nothing else to do.
 * Threads: every call comes from the same thread. */
#ifndef CHOIR_BROKER_BASE_PACE_H
#define CHOIR_BROKER_BASE_PACE_H

#include <stdint.h>

/* Nanoseconds that the piece of work takes on the core that the caller is on. */
typedef uint64_t (*pace_piece)(void);

/* Zero-initialised is new. */
struct pace {
    unsigned calls; /* since the last look */
    unsigned looks; /* in a row that found `other` to be the quicker one */
    int other;      /* that was compared last */
};

enum {
    PACE_CALLS = 64,      /* one of so many looks, */
    PACE_AGAIN_CALLS = 8, /* and so many later again if another is quicker: */
    PACE_LOOKS = 2,       /* so many looks in a row decide */
    PACE_PERCENT = 80,    /* quicker: it takes less than that */
};

/* Before the caller sleeps: the core to sleep on, which is the one it is on, or
 * a quicker one of those that it may be on. A look takes 0.1 ms, half of it on
 * another core; where the caller may be is then what it was. -1: the kernel does
 * not tell. */
int pace_core(struct pace *p, pace_piece piece);

/* An inversion in the field of Ed25519, since signatures are most of what is
 * waited for: the median of some, 20 us in all. */
uint64_t pace_of_signatures(void);

#endif
