/* The promise at length: fifty kills, every failpoint among them.
 * test-timeout: 900 */
#include "tests/support/crash_run.h"

#include "tests/check.h"
#include "tests/support/daemon.h"

TEST(killed_fifty_times_the_broker_loses_and_doubles_nothing)
{
    CHECK(crash_run("kill", 50, CRASH_ALL_POINTS));
}

TEST(fifty_times_without_power_it_loses_and_doubles_nothing)
{
    if (test_patience() > 1)
        skip();
    CHECK(crash_run("power", 50, CRASH_ALL_POINTS | CRASH_POWER));
}

CHECK_MAIN
