#include "soon.h"

#include <stdint.h>
#include <time.h>

enum { AWAKE_NS = 30000 };

static int64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

bool soon(const _Atomic bool *is_done)
{
    int64_t until = clock_ns() + AWAKE_NS;

    while (!atomic_load(is_done))
        if (clock_ns() >= until)
            return false;
    return true;
}
