/* Two threads of one core, and when they are let go. */
#include "proto/near.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "tests/check.h"

enum { SECOND_US = 1000000, HOGS = 2, MINUTE_US = 64000000 };
enum { BUSY_US = 400, TURNS = 64, ATTEMPTS = 100, PATIENCE_US = 20000000 };

static struct {
    pthread_t thread;
    int wake[2], back[2];
    pid_t id;
    _Atomic unsigned turns;
    unsigned busy_us; /* before it answers */
} other;

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void *other_run(void *arg)
{
    char c;

    pthread_setname_np(pthread_self(), "near-other/0");
    other.id = gettid();
    other.turns++;
    while (read(other.wake[0], &c, 1) == 1) {
        uint64_t until = now_us() + other.busy_us;

        while (now_us() < until)
            ;
        other.turns++;
        CHECK_EQ(write(other.back[1], "", 1), 1);
    }
    return arg;
}

/* It has woken so often. */
static void other_wait(unsigned turns)
{
    while (other.turns < turns)
        sched_yield();
}

static void other_poke(void)
{
    CHECK_EQ(write(other.wake[1], "", 1), 1);
}

static void other_hear(void)
{
    char c;

    CHECK_EQ(read(other.back[0], &c, 1), 1);
}

static struct near *begin(const char *name)
{
    struct near *n;

    CHECK_OK(pipe(other.wake));
    CHECK_OK(pipe(other.back));
    other.turns = other.busy_us = 0;
    CHECK_OK(pthread_create(&other.thread, NULL, other_run, NULL));
    other_wait(1);
    CHECK_OK(near_new(&n, name));
    return n;
}

static void end(struct near **n)
{
    near_destroy(n);
    close(other.wake[1]);
    pthread_join(other.thread, NULL);
    close(other.wake[0]);
    close(other.back[0]);
    close(other.back[1]);
}

static int cores(pid_t thread)
{
    cpu_set_t set;

    CHECK_OK(sched_getaffinity(thread, sizeof set, &set));
    return CPU_COUNT(&set);
}

static int another_core(int core)
{
    cpu_set_t set;

    CHECK_OK(sched_getaffinity(0, sizeof set, &set));
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (i != core && CPU_ISSET((size_t)i, &set))
            return i;
    return -1;
}

static void bind_to(int core)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET((size_t)core, &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
}

TEST(near_keeps_both_on_one_core_and_the_caller_only_asleep)
{
    int all = cores(0);
    struct near *n = begin("near-other/*");
    cpu_set_t mine, its;

    near_sleep(n, sched_getcpu(), SECOND_US);
    if (all > 1) {
        CHECK_OK(sched_getaffinity(0, sizeof mine, &mine));
        CHECK_OK(sched_getaffinity(other.id, sizeof its, &its));
        CHECK_EQ(CPU_COUNT(&mine), 1);
        CHECK(CPU_EQUAL(&mine, &its));
        CHECK(CPU_ISSET((size_t)sched_getcpu(), &mine));
    }
    errno = EINTR;
    near_wake(n);
    CHECK_EQ(errno, EINTR);
    CHECK_EQ(cores(0), all);
    if (all > 1)
        CHECK_EQ(cores(other.id), 1);
    near_sleep(n, -1, SECOND_US);
    CHECK_EQ(cores(0), all);
    CHECK_EQ(cores(other.id), all);
    near_wake(n);
    near_sleep(n, sched_getcpu(),
               SECOND_US); /* and what is kept at the end is freed */
    near_destroy(&n);
    CHECK_EQ(cores(0), all);
    CHECK_EQ(cores(other.id), all);
    end(&n);
}

TEST(near_keeps_a_caller_who_stays_until_he_is_let_go)
{
    int all = cores(0), mine = sched_getcpu(), named = another_core(mine);
    struct near *n = begin("near-other/*");
    cpu_set_t before;

    CHECK_OK(sched_getaffinity(0, sizeof before, &before));
    CHECK(near_cores(n) == NULL);
    if (named >= 0) {
        near_sleep(n, mine, SECOND_US);
        errno = EINTR;
        near_stay(n);
        CHECK_EQ(errno, EINTR);
        CHECK_EQ(cores(0), 1);
        CHECK(near_cores(n) && CPU_EQUAL(near_cores(n), &before));
        near_sleep(n, mine, SECOND_US); /* again, and then elsewhere */
        near_stay(n);
        near_sleep(n, named, SECOND_US);
        near_stay(n);
        CHECK_EQ(sched_getcpu(), named);
        CHECK_EQ(cores(0), 1);
        CHECK(CPU_EQUAL(near_cores(n), &before));
        near_sleep(n, -1, SECOND_US);
        CHECK_EQ(cores(0), all);
        CHECK(near_cores(n) == NULL);
        near_sleep(n, mine, SECOND_US);
        near_stay(n);
        near_wake(n);
        CHECK_EQ(cores(0), all);
        CHECK(near_cores(n) == NULL);
        near_sleep(n, mine, SECOND_US);
        near_stay(n);
    }
    near_destroy(&n);
    CHECK_EQ(cores(0), all);
    end(&n);
}

/* A third core, or all again: he is as free as he was made. */
TEST(near_leaves_a_caller_who_stays_where_he_was_put)
{
    int all = cores(0), mine = sched_getcpu(), named = another_core(mine);
    struct near *n = begin("near-other/*");
    cpu_set_t before;

    CHECK_OK(sched_getaffinity(0, sizeof before, &before));
    if (named >= 0) {
        near_sleep(n, mine, SECOND_US);
        near_stay(n);
        bind_to(named);
        near_sleep(n, mine, SECOND_US); /* where he may no longer be */
        CHECK_EQ(sched_getcpu(), named);
        CHECK(near_cores(n) == NULL);
        CHECK_EQ(cores(other.id), all);
        near_stay(n);
        CHECK_OK(sched_setaffinity(0, sizeof before, &before));
        near_sleep(n, mine, SECOND_US);
        near_stay(n);
        CHECK_OK(sched_setaffinity(0, sizeof before, &before));
        near_sleep(n, -1, SECOND_US);
        CHECK_EQ(cores(0), all);
    }
    near_destroy(&n);
    end(&n);
}

TEST(near_finds_a_thread_that_takes_its_name_later)
{
    int all = cores(0);
    struct near *n, *same;

    CHECK_OK(near_new(&n, "near-other/*"));
    near_sleep(n, -1, SECOND_US);
    near_wake(n);
    same = begin("near-other/*");
    near_destroy(&same);
    near_sleep(n, sched_getcpu(), SECOND_US);
    CHECK_EQ(cores(other.id), all > 1 ? 1 : all);
    near_wake(n);
    end(&n);
}

TEST(near_keeps_nobody_without_the_other_thread)
{
    int all = cores(0);
    struct near *n = begin("no such thread");

    near_sleep(n, sched_getcpu(), SECOND_US);
    CHECK_EQ(cores(0), all);
    CHECK_EQ(cores(other.id), all);
    near_wake(n);
    end(&n);
}

static _Atomic bool hogs_end;

static void *hog(void *arg)
{
    while (!hogs_end)
        ;
    return arg;
}

/* The caller and two that never sleep on one core: whoever wakes there waits
 * for milliseconds, when it is his turn to; one sleep in four is looked at. */
TEST(near_lets_go_of_a_core_that_others_want)
{
    struct near *n = begin("near-other/*");
    pthread_t hogs[HOGS];
    uint64_t now = SECOND_US, until = now_us() + PATIENCE_US;
    bool is_kept = true;
    cpu_set_t one, all;

    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
    hogs_end = false;
    for (int i = 0; i < HOGS; i++)
        CHECK_OK(pthread_create(&hogs[i], NULL, hog, NULL));
    do {
        near_sleep(n, sched_getcpu(), now);
        other_poke();
        other_hear();
        near_wake(n);
        is_kept = CPU_COUNT(&all) > 1 && cores(other.id) == 1;
    } while (is_kept && now_us() < until);
    CHECK(!is_kept);
    hogs_end = true;
    for (int i = 0; i < HOGS; i++)
        pthread_join(hogs[i], NULL);
    near_sleep(n, sched_getcpu(), now + SECOND_US - 1); /* for a second */
    CHECK_EQ(cores(other.id), CPU_COUNT(&all));
    near_wake(n);
    near_sleep(n, sched_getcpu(), now + SECOND_US);
    CHECK_EQ(cores(other.id), 1);
    near_wake(n);
    CHECK_OK(sched_setaffinity(0, sizeof all, &all));
    end(&n);
}

/* Whom he has woken interrupts the caller before he sleeps. */
TEST(near_keeps_a_core_that_is_waited_for_before_the_sleep)
{
    struct near *n = begin("near-other/*");
    int all = cores(0);
    uint64_t now = SECOND_US;
    bool is_kept = false;

    other.busy_us = BUSY_US;
    for (unsigned i = 0; !is_kept && i < ATTEMPTS; i++) { /* others may be */
        is_kept = true;
        now += 2 * (uint64_t)MINUTE_US;
        for (unsigned k = 0; is_kept && k < TURNS; k++) {
            unsigned turns = other.turns;

            other_poke();
            other_wait(turns + 1); /* ready, but not running */
            other_hear();
            near_sleep(n, sched_getcpu(), now);
            near_wake(n);
            is_kept = all == 1 || cores(other.id) == 1;
        }
    }
    CHECK(is_kept);
    near_destroy(&n);
    end(&n);
}

TEST(near_keeps_both_on_the_core_that_is_named)
{
    int all = cores(0), named = another_core(sched_getcpu());
    struct near *n = begin("near-other/*");

    if (named >= 0) {
        near_sleep(n, named, SECOND_US);
        CHECK_EQ(sched_getcpu(), named);
        CHECK_EQ(cores(0), 1);
        CHECK_EQ(cores(other.id), 1);
        near_wake(n);
        CHECK_EQ(cores(0), all);
    }
    near_destroy(&n);
    end(&n);
}

TEST(near_keeps_nobody_where_the_caller_may_not_be)
{
    int all = cores(0), mine = sched_getcpu(), named = another_core(mine);
    struct near *n = begin("near-other/*");
    cpu_set_t before;

    CHECK_OK(sched_getaffinity(0, sizeof before, &before));
    if (named >= 0) {
        bind_to(mine);
        near_sleep(n, named, SECOND_US);
        CHECK_EQ(sched_getcpu(), mine);
        CHECK_EQ(cores(other.id), all);
        near_wake(n);
        CHECK_EQ(cores(0), 1);
        CHECK_OK(sched_setaffinity(0, sizeof before, &before));
    }
    near_destroy(&n);
    end(&n);
}

/* By the program, or by whoever looks after the machine. */
TEST(near_leaves_the_caller_where_he_was_put_while_he_slept)
{
    int mine = sched_getcpu(), named = another_core(mine);
    struct near *n = begin("near-other/*");
    cpu_set_t before;

    CHECK_OK(sched_getaffinity(0, sizeof before, &before));
    if (named >= 0) {
        near_sleep(n, mine, SECOND_US);
        bind_to(named);
        near_wake(n);
        CHECK_EQ(cores(0), 1);
        CHECK_EQ(sched_getcpu(), named);
        CHECK_OK(sched_setaffinity(0, sizeof before, &before));
    }
    near_destroy(&n);
    end(&n);
}

static void *call_from_elsewhere(void *near)
{
    struct near *n = near;
    int all = cores(0);

    near_sleep(n, sched_getcpu(), SECOND_US);
    CHECK_EQ(cores(0), all > 1 ? 1 : all);
    CHECK_EQ(cores(other.id), all > 1 ? 1 : all);
    near_wake(n);
    CHECK_EQ(cores(0), all);
    return NULL;
}

TEST(near_is_called_by_one_thread_after_another)
{
    int all = cores(0);
    struct near *n = begin("near-other/*");
    pthread_t thread;

    near_sleep(n, sched_getcpu(), SECOND_US);
    near_wake(n);
    CHECK_OK(pthread_create(&thread, NULL, call_from_elsewhere, n));
    pthread_join(thread, NULL);
    near_sleep(n, sched_getcpu(), SECOND_US);
    CHECK_EQ(cores(other.id), all > 1 ? 1 : all);
    near_wake(n);
    near_sleep(n, -1, SECOND_US);
    CHECK_EQ(cores(other.id), all);
    near_destroy(&n);
    end(&n);
}

CHECK_MAIN
