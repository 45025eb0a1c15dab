/* The promise at length: fifty kills, every failpoint among them.
 * test-timeout: 900 */
#include "tests/support/crash_run.h"

#include "tests/check.h"

TEST(killed_fifty_times_the_broker_loses_and_doubles_nothing)
{
    CHECK(crash_run(50, true));
}

CHECK_MAIN
