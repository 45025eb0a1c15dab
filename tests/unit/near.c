/* Two threads of one core, and when they are let go. */
#include "broker/base/near.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/check.h"

enum { SECOND_US = 1000000, HOGS = 2 };

static struct {
    pthread_t thread;
    int wake[2];
    pid_t id;
    _Atomic unsigned turns;
} other;

static void *other_run(void *arg)
{
    char c;

    pthread_setname_np(pthread_self(), "near-other/0");
    other.id = gettid();
    do
        other.turns++;
    while (read(other.wake[0], &c, 1) == 1);
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
    unsigned turns = other.turns;

    CHECK_EQ(write(other.wake[1], "", 1), 1);
    other_wait(turns + 1);
}

static struct near *begin(const char *name)
{
    struct near *n;

    CHECK_OK(pipe(other.wake));
    other.turns = 0;
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
}

static int cores(pid_t thread)
{
    cpu_set_t set;

    CHECK_OK(sched_getaffinity(thread, sizeof set, &set));
    return CPU_COUNT(&set);
}

TEST(near_keeps_both_on_one_core_and_the_caller_only_asleep)
{
    int all = cores(0);
    struct near *n = begin("near-other/");
    cpu_set_t mine, its;

    near_sleep(n, true, SECOND_US);
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
    near_sleep(n, false, SECOND_US);
    CHECK_EQ(cores(0), all);
    CHECK_EQ(cores(other.id), all);
    near_wake(n);
    near_sleep(n, true, SECOND_US); /* and what is kept at the end is freed */
    near_destroy(&n);
    CHECK_EQ(cores(0), all);
    CHECK_EQ(cores(other.id), all);
    end(&n);
}

TEST(near_finds_a_thread_that_takes_its_name_later)
{
    int all = cores(0);
    struct near *n, *same;

    CHECK_OK(near_new(&n, "near-other/"));
    near_sleep(n, false, SECOND_US);
    near_wake(n);
    same = begin("near-other/");
    near_destroy(&same);
    near_sleep(n, true, SECOND_US);
    CHECK_EQ(cores(other.id), all > 1 ? 1 : all);
    near_wake(n);
    end(&n);
}

TEST(near_keeps_nobody_without_the_other_thread)
{
    int all = cores(0);
    struct near *n = begin("no such thread");

    near_sleep(n, true, SECOND_US);
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
 * for milliseconds. */
TEST(near_lets_go_of_a_core_that_others_want)
{
    struct near *n = begin("near-other/");
    pthread_t hogs[HOGS];
    uint64_t now = SECOND_US;
    unsigned turns = 0;
    cpu_set_t one, all;

    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
    hogs_end = false;
    for (int i = 0; i < HOGS; i++)
        CHECK_OK(pthread_create(&hogs[i], NULL, hog, NULL));
    do {
        near_sleep(n, true, now);
        near_wake(n);
        other_poke();
    } while (CPU_COUNT(&all) > 1 && cores(other.id) == 1 && ++turns < 10000);
    CHECK(turns < 10000);
    hogs_end = true;
    for (int i = 0; i < HOGS; i++)
        pthread_join(hogs[i], NULL);
    near_sleep(n, true, now + SECOND_US - 1); /* for a second */
    CHECK_EQ(cores(other.id), CPU_COUNT(&all));
    near_wake(n);
    near_sleep(n, true, now + SECOND_US);
    CHECK_EQ(cores(other.id), 1);
    near_wake(n);
    CHECK_OK(sched_setaffinity(0, sizeof all, &all));
    end(&n);
}

CHECK_MAIN
