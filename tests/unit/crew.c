#include "broker/base/crew.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "tests/check.h"

enum { ITEMS = 1000 };

static unsigned times[ITEMS];

static void run(struct crew *c, crew_item item, void *arg, size_t n)
{
    CHECK_OK(crew_begin(c, item, arg, n));
    for (size_t i = 0; i < n; i++)
        crew_need(c, i);
    crew_end(c);
}

static void once(void *arg, size_t i)
{
    times[i]++;
    (void)arg;
}

TEST(crew_does_every_item_once)
{
    struct crew *c;

    for (unsigned helpers = 0; helpers < 4; helpers++) {
        CHECK_OK(crew_new(&c, helpers));
        CHECK_EQ(crew_helpers(c), helpers);
        for (size_t n = 0; n <= ITEMS; n = n < 8 ? n + 1 : n * 5) {
            memset(times, 0, sizeof times);
            run(c, once, NULL, n);
            for (size_t i = 0; i < ITEMS; i++)
                CHECK_EQ(times[i], i < n);
        }
        crew_destroy(&c);
    }
}

/* By a helper, or, where there is none, by whoever needs it. */
TEST(crew_is_handed_a_few_items)
{
    struct crew *c;

    for (unsigned helpers = 0; helpers < 3; helpers++) {
        CHECK_OK(crew_new(&c, helpers));
        for (unsigned round = 1; round < 50; round++) {
            size_t n = 1 + round % 3;

            memset(times, 0, 3 * sizeof *times);
            CHECK_OK(crew_hand(c, once, NULL, n));
            for (size_t i = 0; i < n; i++)
                crew_need(c, i);
            crew_end(c);
            for (size_t i = 0; i < 3; i++)
                CHECK_EQ(times[i], i < n);
        }
        crew_destroy(&c);
    }
}

static _Atomic bool is_at_it, is_done;

/* As long as the caller waits for it, awake or asleep. */
static void take_us(void *us, size_t i)
{
    struct timespec t = {.tv_nsec = *(long *)us * 1000};

    (void)i;
    atomic_store(&is_at_it, true);
    nanosleep(&t, NULL);
    atomic_store(&is_done, true);
}

/* A wait that begins awake ends when the item has, however long that takes. */
TEST(crew_waits_for_what_it_was_handed)
{
    static const long each_us[] = {0, 10, 200, 20000};
    struct crew *c;

    CHECK_OK(crew_new(&c, 1));
    for (size_t k = 0; k < 4 * 25; k++) {
        long us = each_us[k % 4];

        atomic_store(&is_at_it, false);
        atomic_store(&is_done, false);
        CHECK_OK(crew_hand(c, take_us, &us, 1));
        while (!atomic_load(&is_at_it))
            sched_yield();
        crew_need(c, 0);
        CHECK(atomic_load(&is_done));
        crew_end(c);
    }
    crew_destroy(&c);
}

/* Two items that each wait for the other to have begun. */
static void meet(void *arg, size_t i)
{
    _Atomic int *there = arg;

    (void)i;
    atomic_fetch_add(there, 1);
    while (atomic_load(there) < 2)
        ;
}

TEST(crew_works_at_several_items_at_once)
{
    _Atomic int there = 0;
    struct crew *c;

    CHECK_OK(crew_new(&c, 1));
    run(c, meet, &there, 2);
    CHECK_EQ(atomic_load(&there), 2);
    crew_destroy(&c);
}

static pthread_t caller;
static _Atomic bool has_begun, is_let_go;
static _Atomic unsigned met;

/* The second one, by the helper, ends when the caller says so; the first one,
 * by the caller, when that has begun. */
static void linger(void *arg, size_t i)
{
    bool is_caller = pthread_equal(pthread_self(), caller);

    (void)arg;
    while (i == 0 && is_caller && !atomic_load(&has_begun))
        ;
    if (i == 0 || is_caller)
        return;
    atomic_store(&has_begun, true);
    while (!atomic_load(&is_let_go))
        ;
    atomic_fetch_add(&met, 1);
}

TEST(crew_works_beside_what_the_caller_does_with_an_item)
{
    struct crew *c;

    caller = pthread_self();
    CHECK_OK(crew_new(&c, 1));
    while (!atomic_load(&met)) {
        atomic_store(&has_begun, false);
        atomic_store(&is_let_go, false);
        CHECK_OK(crew_begin(c, linger, NULL, 2));
        crew_need(c, 0);
        atomic_store(&is_let_go, true);
        crew_need(c, 1);
        crew_end(c);
    }
    crew_destroy(&c);
}

TEST(crew_begins_nothing_after_the_end)
{
    struct crew *c;
    size_t n = 0;

    CHECK_OK(crew_new(&c, 2));
    memset(times, 0, sizeof times);
    CHECK_OK(crew_begin(c, once, NULL, ITEMS));
    crew_need(c, 0);
    crew_end(c);
    for (size_t i = 0; i < ITEMS; i++)
        n += times[i]; /* nobody writes there any more */
    crew_destroy(&c);
    for (size_t i = 0; i < ITEMS; i++)
        n -= times[i];
    CHECK_EQ(n, 0);
}

/* Of two items that meet, one is the helper's; where may it be? */
struct place {
    _Atomic int there;
    cpu_set_t helper;
};

static void note_place(void *arg, size_t i)
{
    struct place *p = arg;

    if (!pthread_equal(pthread_self(), caller))
        sched_getaffinity(0, sizeof p->helper, &p->helper);
    meet(&p->there, i);
}

TEST(crew_keeps_helpers_off_the_callers_core)
{
    bool apart = false;
    cpu_set_t all;
    struct crew *c;

    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    if (CPU_COUNT(&all) < 2)
        return;
    caller = pthread_self();
    CHECK_OK(crew_new(&c, 1));
    /* The caller may be moved between two lines. */
    for (int round = 0; !apart && round < 100; round++) {
        struct place p = {0};
        int core = sched_getcpu();

        run(c, note_place, &p, 2);
        apart = core >= 0 && !CPU_ISSET((size_t)core, &p.helper);
    }
    CHECK(apart);
    crew_destroy(&c);
}

static void add(void *arg, size_t i)
{
    unsigned long *sums = arg;

    sums[i] += i;
}

/* Under ThreadSanitizer this is where the hand-over is proven. */
TEST(crew_hands_work_over_again_and_again)
{
    unsigned long sums[4] = {0};
    struct crew *c;

    CHECK_OK(crew_new(&c, 2));
    for (int round = 0; round < 2000; round++)
        run(c, add, sums, 4);
    for (unsigned long i = 0; i < 4; i++)
        CHECK_EQ(sums[i], 2000 * i);
    crew_destroy(&c);
}

CHECK_MAIN
