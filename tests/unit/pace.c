/* The quicker core is found by the same work, done on both; on a machine of four
 * cores that is made up. */
#include "tests/check.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>

#include "broker/base/pace.h"
#include "broker/base/thread.h"

enum { CORES = 4 };

/* --- The machine --------------------------------------------------------- */

static int here;
static cpu_set_t own;
static uint64_t took_ns[CORES];
static unsigned pieces[CORES];
static bool is_bound; /* somebody else has bound the thread */

int sched_getcpu(void)
{
    return here;
}

int sched_getaffinity(pid_t thread, size_t n, cpu_set_t *cores)
{
    (void)thread;
    memcpy(cores, &own, n);
    return 0;
}

int sched_setaffinity(pid_t thread, size_t n, const cpu_set_t *cores)
{
    (void)thread;
    if (is_bound) {
        errno = EINVAL;
        return -1;
    }
    memcpy(&own, cores, n);
    while (!CPU_ISSET((size_t)here, &own))
        here = (here + 1) % CORES;
    return 0;
}

static uint64_t piece(void)
{
    pieces[here]++;
    return took_ns[here];
}

static void machine(unsigned allowed)
{
    CPU_ZERO(&own);
    for (unsigned i = 0; i < CORES; i++) {
        if (allowed >> i & 1)
            CPU_SET(i, &own);
        took_ns[i] = 1000;
        pieces[i] = 0;
    }
    here = 0;
    is_bound = false;
}

/* Calls until another core is named, where the caller then is; 0: none of so
 * many was. */
static unsigned calls_until_moved(struct pace *p, unsigned calls)
{
    cpu_set_t before = own;

    for (unsigned i = 1; i <= calls; i++) {
        int core = pace_core(p, piece);

        CHECK(CPU_EQUAL(&own, &before));
        if (core != 0) {
            here = core;
            return i;
        }
        here = 0; /* as it sleeps there */
    }
    return 0;
}

/* --- Tests --------------------------------------------------------------- */

TEST(pace_takes_a_quicker_core_when_two_looks_in_a_row_say_so)
{
    struct pace p = {0};

    machine(3);
    took_ns[1] = 700;
    CHECK_EQ(calls_until_moved(&p, 1000), PACE_CALLS + PACE_AGAIN_CALLS);
    CHECK_EQ(here, 1);
    pieces[1] = 0;
    for (unsigned i = 1; i < PACE_CALLS; i++)
        CHECK_EQ(pace_core(&p, piece), 1);
    CHECK_EQ(pieces[1], 0);
}

TEST(pace_stays_where_it_is_for_less)
{
    struct pace p = {0};

    machine(15);
    took_ns[1] = took_ns[2] = took_ns[3] = 810;
    CHECK_EQ(calls_until_moved(&p, 1000), 0);
    CHECK_EQ(pieces[0], 1000 / PACE_CALLS);
    CHECK(pieces[1] && pieces[2] && pieces[3]); /* all were looked at */
}

TEST(pace_is_not_moved_by_one_look)
{
    struct pace p = {0};

    machine(3);
    took_ns[1] = 500;
    CHECK_EQ(calls_until_moved(&p, PACE_CALLS), 0);
    took_ns[1] = 1000;
    CHECK_EQ(calls_until_moved(&p, PACE_AGAIN_CALLS), 0);
    took_ns[1] = 500;
    CHECK_EQ(calls_until_moved(&p, PACE_CALLS), 0);
    CHECK_EQ(calls_until_moved(&p, PACE_AGAIN_CALLS), PACE_AGAIN_CALLS);
}

TEST(pace_goes_nowhere_the_thread_may_not_be)
{
    struct pace p = {0};

    machine(1 | 4);
    took_ns[1] = took_ns[3] = 1;
    CHECK_EQ(calls_until_moved(&p, 1000), 0);
    CHECK_EQ(pieces[1] + pieces[3], 0);
    took_ns[2] = 500;
    CHECK(calls_until_moved(&p, 2 * PACE_CALLS) != 0);
    CHECK_EQ(here, 2);
    machine(1);
    CHECK_EQ(calls_until_moved(&p, 1000), 0);
    CHECK_EQ(pieces[0], 0); /* nothing to compare with */
    machine(3);
    took_ns[1] = 1;
    is_bound = true;
    CHECK_EQ(calls_until_moved(&p, 1000), 0);
}

/* It looks beyond the core that it is kept on, and is kept there again. */
TEST(pace_is_of_all_cores_for_a_thread_that_is_kept_on_one)
{
    struct pace p = {0};
    cpu_set_t all;

    machine(3);
    all = own;
    CPU_CLR(1, &own);
    thread_kept(&all);
    took_ns[1] = 500;
    CHECK_EQ(calls_until_moved(&p, 1000), PACE_CALLS + PACE_AGAIN_CALLS);
    thread_kept(NULL);
    CPU_ZERO(&own);
    CPU_SET(0, &own);
    here = 0;
    CHECK_EQ(calls_until_moved(&p, 1000), 0); /* bound, and not by us */
}

TEST(pace_of_signatures_is_some_time)
{
    uint64_t ns = pace_of_signatures();

    CHECK(ns > 100 && ns < 1000000000);
}

CHECK_MAIN
