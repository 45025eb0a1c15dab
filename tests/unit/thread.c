#include "broker/base/thread.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"

static void *blocked(void *arg)
{
    pthread_sigmask(SIG_SETMASK, NULL, arg);
    return NULL;
}

TEST(thread_hears_no_signal_and_its_maker_still_does)
{
    sigset_t theirs, ours;
    pthread_t thread;

    sigemptyset(&theirs);
    CHECK_OK(thread_start(&thread, blocked, &theirs));
    CHECK_OK(pthread_join(thread, NULL));
    CHECK_EQ(sigismember(&theirs, SIGTERM), 1);
    CHECK_EQ(sigismember(&theirs, SIGINT), 1);
    CHECK_OK(pthread_sigmask(SIG_SETMASK, NULL, &ours));
    CHECK_EQ(sigismember(&ours, SIGTERM), 0);
}

/* --- Where threads may be ------------------------------------------------- */

static cpu_set_t all;

static void bind_to_one(void)
{
    cpu_set_t one;

    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
    thread_kept(&all);
}

static void unbind(void)
{
    CHECK_OK(sched_setaffinity(0, sizeof all, &all));
    thread_kept(NULL);
}

/* One that looks where it may be when its maker is done. */
static struct {
    pthread_t thread;
    int waits_for[2];
    cpu_set_t cores;
} looker;

static void *look(void *arg)
{
    char c;

    CHECK_EQ(read(looker.waits_for[0], &c, 1), 1);
    CHECK_OK(thread_cores(&looker.cores));
    return arg;
}

static void looker_begin(void)
{
    CHECK_OK(pipe(looker.waits_for));
    CHECK_OK(thread_start(&looker.thread, look, NULL));
}

static void looker_end(void)
{
    CHECK_EQ(write(looker.waits_for[1], "", 1), 1);
    CHECK_OK(pthread_join(looker.thread, NULL));
    close(looker.waits_for[0]);
    close(looker.waits_for[1]);
}

TEST(thread_is_not_kept_where_its_maker_is)
{
    cpu_set_t said;

    bind_to_one();
    CHECK_OK(thread_cores(&said));
    CHECK(CPU_EQUAL(&said, &all));
    looker_begin();
    looker_end();
    CHECK(CPU_EQUAL(&looker.cores, &all));
    unbind();
}

TEST(thread_is_where_its_maker_may_be_when_nothing_was_said)
{
    cpu_set_t one;

    bind_to_one();
    thread_kept(NULL);
    CHECK_OK(sched_getaffinity(0, sizeof one, &one));
    looker_begin();
    looker_end();
    CHECK(CPU_EQUAL(&looker.cores, &one));
    unbind();
}

TEST(thread_s_processes_are_free)
{
    int status;
    pid_t child;

    bind_to_one();
    child = fork();
    if (child == 0) {
        cpu_set_t its;

        thread_forked();
        _exit(sched_getaffinity(0, sizeof its, &its) || !CPU_EQUAL(&its, &all));
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    unbind();
}

TEST(thread_is_kept_off_the_core_of_a_maker_who_is_kept_himself)
{
    struct aside a;
    cpu_set_t its;

    aside_init(&a);
    bind_to_one();
    looker_begin();
    aside_keep(&a, &looker.thread, 1);
    CHECK_OK(pthread_getaffinity_np(looker.thread, sizeof its, &its));
    if (CPU_COUNT(&all) > 1) {
        CHECK_EQ(CPU_COUNT(&its), CPU_COUNT(&all) - 1);
        CHECK_NOT(CPU_ISSET((size_t)sched_getcpu(), &its));
    }
    aside_free(&a, &looker.thread, 1);
    looker_end();
    CHECK(CPU_EQUAL(&looker.cores, &all));
    unbind();
}

CHECK_MAIN
