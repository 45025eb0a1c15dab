/* The frames of connections cost page faults once, unless the program has told
 * its malloc otherwise. */
#include <malloc.h>

#include "agent-sdk/connection_context.h"
#include "tests/check.h"
#include "tests/support/faults.h"

enum { FRAMES = 32, TRIM_BYTES = 131072 };

/* As libzmq's thread has it, which libc gives an arena of its own. */
static long load(void)
{
    struct context *c = context_take("tcp://127.0.0.1:1");
    long n = faults_of_load_in_thread(FRAMES);

    context_drop(c);
    return n;
}

static bool load_is_steady(void)
{
    return load() < FAULTS_ROUNDS;
}

TEST(frames_of_a_connection_fault_once)
{
    if (MALLOC_IS_GLIBC)
        CHECK(apart(load_is_steady));
}

static bool program_is_heeded(void)
{
    return mallopt(M_TRIM_THRESHOLD, TRIM_BYTES) == 1 &&
           load() > FAULTS_ROUNDS * FRAMES;
}

TEST(a_connection_leaves_malloc_as_the_program_has_set_it)
{
    if (MALLOC_IS_GLIBC)
        CHECK(apart(program_is_heeded));
}

CHECK_MAIN
