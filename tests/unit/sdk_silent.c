/* A broker that lives and says nothing is noticed, by questions that are not
 * answered; 30 s after its last word at most. The seconds are those of a clock
 * that the tests put forward. */
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent-sdk/engine.h"
#include "tests/check.h"
#include "tests/support/scene.h"

enum { SECOND_MS = 1000, NOTICED_S = 30, SILENCE_S = 10, LOOK_MS = 5 };

static int64_t ahead_ms;

static time_t ahead_s(void)
{
    return __atomic_load_n(&ahead_ms, __ATOMIC_SEQ_CST) / SECOND_MS;
}

/* In the place of libc's, for the library and all that it uses; whoever waits
 * until then waits as long as it was to be. */
int clock_gettime(clockid_t id, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, id, t);

    if (id == CLOCK_MONOTONIC)
        t->tv_sec += ahead_s();
    return r;
}

int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
                           const struct timespec *until)
{
    struct timespec t = *until;

    t.tv_sec -= ahead_s();
    return pthread_cond_clockwait(c, m, CLOCK_MONOTONIC, &t);
}

static struct choir *begin_and_talk(void)
{
    struct choir *c;

    __atomic_store_n(&ahead_ms, 0, __ATOMIC_SEQ_CST);
    c = begin_one();
    CHECK_OK(choir_put(c, "k", "v", 1, NULL));
    return c;
}

/* The engine looks at the clock after it: it is who waits here, if the hub
 * sleeps. */
static void pass(struct choir *c, int ms)
{
    struct choir_event *e;

    while (!hub_sleeps(&c->engine->seat))
        sched_yield();
    __atomic_add_fetch(&ahead_ms, ms, __ATOMIC_SEQ_CST);
    CHECK(choir_next(c, LOOK_MS, &e) != 0);
}

/* After how many seconds. */
static int noticed(struct choir *c)
{
    int s = 0;

    while (s <= 2 * NOTICED_S && choir_connected(c)) {
        pass(c, SECOND_MS);
        s++;
    }
    return s;
}

/* On a new connection; what was said before is done once. */
static void check_it_goes_on(struct choir *c, unsigned operations)
{
    unsigned hellos = standin_counts(broker).hellos;

    CHECK_NOT(choir_connected(c));
    standin_mute(broker, false);
    standin_restart(broker, 1);
    CHECK_OK(choir_put(c, "k", "w", 1, NULL));
    CHECK(standin_counts(broker).hellos > hellos);
    CHECK_EQ(standin_counts(broker).operations, operations + 1);
    end_one(c);
}

TEST(an_idle_agent_notices_that_the_broker_says_nothing)
{
    struct choir *c = begin_and_talk();
    int s;

    standin_mute(broker, true);
    s = noticed(c);
    CHECK(s > SILENCE_S && s <= NOTICED_S);
    check_it_goes_on(c, 1);
}

TEST(who_waits_for_an_outcome_notices_it_sooner)
{
    struct choir *c = begin_and_talk();

    standin_mute(broker, true);
    send_one_put(c);
    CHECK(noticed(c) <= SILENCE_S);
    check_it_goes_on(c, 2);
}

TEST(who_holds_a_task_notices_it_though_its_heartbeats_are_all_it_says)
{
    struct choir *c = begin_and_talk();
    struct choir_event *task;

    standin_task(broker, "q");
    CHECK_OK(choir_work(c, "q", 5000, &task));
    standin_mute(broker, true);
    CHECK(noticed(c) <= NOTICED_S);
    choir_event_free(&task);
    check_it_goes_on(c, 1);
}

TEST(a_broker_that_answers_is_left_alone_by_who_has_nothing_to_say)
{
    struct choir *c = begin_and_talk();
    unsigned hellos = standin_counts(broker).hellos, n = 0;
    unsigned asks = standin_counts(broker).asks;
    struct choir_event *e;

    for (int s = 0; s < 20 * NOTICED_S; s += SILENCE_S / 2) {
        pass(c, SILENCE_S / 2 * SECOND_MS);
        CHECK_OK(choir_get(c, "k", 0, &e)); /* the ping is answered before */
        choir_event_free(&e);
        n++;
    }
    CHECK(choir_connected(c));
    CHECK_EQ(standin_counts(broker).hellos, hellos);
    CHECK(standin_counts(broker).asks >= asks + n + 20); /* pings */
    end_one(c);
}

CHECK_MAIN
