#include "broker/base/thread.h"

#include <signal.h>

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

CHECK_MAIN
