#include "broker/base/crew.h"

#include <stdatomic.h>
#include <string.h>

#include "tests/check.h"

enum { ITEMS = 1000 };

static unsigned times[ITEMS];

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
            crew_run(c, once, NULL, n);
            for (size_t i = 0; i < ITEMS; i++)
                CHECK_EQ(times[i], i < n);
        }
        crew_destroy(&c);
    }
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
    crew_run(c, meet, &there, 2);
    CHECK_EQ(atomic_load(&there), 2);
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
        crew_run(c, add, sums, 4);
    for (unsigned long i = 0; i < 4; i++)
        CHECK_EQ(sums[i], 2000 * i);
    crew_destroy(&c);
}

CHECK_MAIN
