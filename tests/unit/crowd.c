/* Threads that only take and pass on: how they are scheduled while much comes
 * together, and that it passes. */
#include "proto/crowd.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#include "tests/check.h"

/* A thread with a name that says what its policy is when it is asked. */
struct worker {
    pthread_t thread;
    sem_t named, ends;
    const char *name;
    pid_t id;
};

static void *work(void *self)
{
    struct worker *w = self;

    pthread_setname_np(pthread_self(), w->name);
    w->id = gettid();
    sem_post(&w->named);
    sem_wait(&w->ends);
    return NULL;
}

static void worker_begin(struct worker *w, const char *name)
{
    w->name = name;
    sem_init(&w->named, 0, 0);
    sem_init(&w->ends, 0, 0);
    CHECK_EQ(pthread_create(&w->thread, NULL, work, w), 0);
    sem_wait(&w->named);
}

static void worker_end(struct worker *w)
{
    sem_post(&w->ends);
    pthread_join(w->thread, NULL);
    sem_destroy(&w->named);
    sem_destroy(&w->ends);
}

/* So much in each millisecond for a while. */
static int64_t comes(struct crowd *c, unsigned things, int64_t from_ms)
{
    int64_t now = from_ms;

    for (; now < from_ms + 200; now++)
        crowd_note(c, things, now);
    return now;
}

static void policy_set(int policy)
{
    const struct sched_param none = {0};

    CHECK_OK(sched_setscheduler(0, policy, &none));
}

TEST(they_give_way_while_much_comes_together)
{
    struct crowd c = {.threads = "crowd-[a-z]*/*", .caller_too = true};
    struct worker meant, other;
    int64_t now = 1000;

    worker_begin(&meant, "crowd-io/0");
    worker_begin(&other, "another");
    now = comes(&c, 3, now);
    CHECK_EQ(sched_getscheduler(meant.id), SCHED_BATCH);
    CHECK_EQ(sched_getscheduler(other.id), SCHED_OTHER);
    CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
    now = comes(&c, 1, now);
    CHECK_EQ(sched_getscheduler(meant.id), SCHED_OTHER);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    worker_end(&meant);
    worker_end(&other);
}

TEST(the_caller_is_left_as_it_is_unless_wanted)
{
    struct crowd c = {.threads = "crowd-[a-z]*/*"};

    comes(&c, 3, 1000);
    CHECK(c.is_there);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
}

TEST(what_comes_alone_changes_nothing_however_often)
{
    struct crowd c = {.threads = "crowd-[a-z]*/*", .caller_too = true};

    comes(&c, 1, 1000);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK_EQ(crowd_sleep_ms(&c), -1);
}

TEST(when_nothing_comes_any_more_the_first_look_ends_it)
{
    struct crowd c = {.threads = "crowd-[a-z]*/*", .caller_too = true};
    int64_t now = comes(&c, 3, 1000);

    CHECK(crowd_sleep_ms(&c) > 0);
    crowd_note(&c, 0, now + crowd_sleep_ms(&c));
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK_EQ(crowd_sleep_ms(&c), -1);
}

TEST(what_the_program_has_chosen_itself_stays)
{
    struct crowd c = {.threads = "crowd-[a-z]*/*", .caller_too = true};
    struct worker meant;
    int64_t now;

    policy_set(SCHED_BATCH);
    worker_begin(&meant, "crowd-io/0");
    now = comes(&c, 3, 1000);
    comes(&c, 1, now);
    CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
    CHECK_EQ(sched_getscheduler(meant.id), SCHED_BATCH);
    worker_end(&meant);
    policy_set(SCHED_OTHER);
}

CHECK_MAIN
