#include "broker/timers.h"

#include "tests/check.h"

TEST(timers_come_out_in_order_of_time)
{
    struct timers all = {0};
    struct timer t[100] = {{0}}, *at;
    uint64_t last = 0;
    size_t n = 0;

    for (size_t i = 0; i < 100; i++)
        CHECK_OK(timer_set(&all, &t[i], i * 7919 % 101));
    CHECK(timers_take(&all, 0) == &t[0]);
    while ((at = timers_take(&all, 1000)) != NULL) {
        CHECK(at->due_us >= last);
        CHECK_EQ(at->place, 0);
        last = at->due_us;
        n++;
    }
    CHECK_EQ(n, 99);
    timers_free(&all);
}

TEST(timer_can_be_moved_and_cleared)
{
    struct timers all = {0};
    struct timer a = {0}, b = {0};

    CHECK_OK(timer_set(&all, &a, 10));
    CHECK_OK(timer_set(&all, &b, 20));
    CHECK_OK(timer_set(&all, &a, 30));
    CHECK_EQ(timers_next(&all), 20);
    timer_clear(&all, &b);
    timer_clear(&all, &b);
    CHECK_EQ(timers_next(&all), 30);
    CHECK_NULL(timers_take(&all, 29));
    CHECK(timers_take(&all, 30) == &a);
    CHECK(timers_next(&all) == UINT64_MAX);
    timers_free(&all);
}

CHECK_MAIN
