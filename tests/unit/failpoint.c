/* broker/base/failpoint, compiled in here whatever the build is. */
#include "tests/check.h"

#ifndef CHOIR_FAILPOINTS
#define CHOIR_FAILPOINTS
#endif
#include "broker/base/failpoint.c"

#include <sys/wait.h>

/* The exit status of a child that passes `a` four times and then `b`. */
static int child_with(const char *names)
{
    int status = 0;
    pid_t child = fork();

    if (!child) {
        if (names)
            setenv("CHOIR_FAILPOINT", names, 1);
        for (int i = 1; i <= 4; i++) {
            if (FAILPOINT_ACTIVE("torn"))
                _exit(i);
            FAILPOINT("a");
        }
        FAILPOINT("b");
        _exit(50);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(failpoint_does_nothing_unless_named)
{
    unsetenv("CHOIR_FAILPOINT");
    CHECK_EQ(child_with(NULL), 50);
    CHECK_EQ(child_with(""), 50);
    CHECK_EQ(child_with("c,aa,a:0"), 50);
}

TEST(failpoint_dies_as_if_killed)
{
    CHECK_EQ(child_with("a"), 137);
    CHECK_EQ(child_with("x,b"), 137);
}

TEST(failpoint_waits_for_the_pass_that_was_asked_for)
{
    CHECK_EQ(child_with("a:4"), 137);
    CHECK_EQ(child_with("a:5"), 50);
    CHECK_EQ(child_with("torn:3"), 3);
    CHECK_EQ(child_with("a:4,torn:2"), 2);
}

CHECK_MAIN
