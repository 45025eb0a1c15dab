#include "pace.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "proto/field25519.h"
#include "thread.h"

/* The next one after those that were compared before; -1: there is none. */
static int next_of(const cpu_set_t *cores, int after, int here)
{
    for (int i = 1; i <= CPU_SETSIZE; i++) {
        int core = (after + i) % CPU_SETSIZE;

        if (core != here && CPU_ISSET((size_t)core, cores))
            return core;
    }
    return -1;
}

static bool is_quicker(pace_piece piece, int other)
{
    uint64_t here_ns = piece(), there_ns;
    cpu_set_t before, one;

    CPU_ZERO(&one);
    CPU_SET((size_t)other, &one);
    if (sched_getaffinity(0, sizeof before, &before) ||
        sched_setaffinity(0, sizeof one, &one))
        return false;
    there_ns = piece();
    sched_setaffinity(0, sizeof before, &before);
    return there_ns * 100 < here_ns * PACE_PERCENT;
}

static int look(struct pace *p, pace_piece piece, int here)
{
    cpu_set_t own;

    if (thread_cores(&own))
        return here;
    if (p->looks == 0)
        p->other = next_of(&own, p->other, here);
    if (p->other < 0 || p->other == here ||
        !CPU_ISSET((size_t)p->other, &own) || !is_quicker(piece, p->other)) {
        p->looks = 0;
        return here;
    }
    p->calls = PACE_CALLS - PACE_AGAIN_CALLS;
    if (++p->looks < PACE_LOOKS)
        return here;
    p->looks = p->calls = 0;
    return p->other;
}

int pace_core(struct pace *p, pace_piece piece)
{
    int here = sched_getcpu();

    if (here < 0 || here >= CPU_SETSIZE || ++p->calls < PACE_CALLS)
        return here;
    p->calls = 0;
    return look(p, piece, here);
}

#ifdef __SIZEOF_INT128__

enum { PIECES = 7 };

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t pace_of_signatures(void)
{
    static struct fe a = {{9}};
    uint64_t took[PIECES];

    for (unsigned i = 0; i < PIECES; i++) {
        uint64_t before = now_ns();

        a = fe_invert(&a);
        took[i] = now_ns() - before;
    }
    qsort(took, PIECES, sizeof *took, compare);
    return took[PIECES / 2];
}

#else

uint64_t pace_of_signatures(void)
{
    return 0; /* no core is quicker */
}

#endif
