/* The promise: nothing acknowledged is ever lost, and nothing happens twice.
 * test-timeout: 240 */
#include "tests/support/crash_run.h"

#include "tests/check.h"
#include "tests/support/daemon.h"

TEST(killed_five_times_the_broker_loses_and_doubles_nothing)
{
    CHECK(crash_run("kill", 5, 0));
}

/* Killing a process takes nothing from the disk; losing power does. */
TEST(losing_power_costs_nothing_that_was_acknowledged)
{
    if (test_patience() > 1)
        skip(); /* a preload and a sanitizer do not go together */
    CHECK(crash_run("power", 5, CRASH_POWER));
}

/* That the test before could fail. What follows is to go wrong. */
TEST(a_disk_that_only_says_it_has_synced_is_found_out)
{
    if (test_patience() > 1)
        skip();
    CHECK_NOT(crash_run("lie", 5, CRASH_POWER | CRASH_LIE));
}

/* A first start that dies anywhere leaves nothing that a second one cannot
 * begin with. */
TEST(a_first_start_that_dies_is_begun_again)
{
    static const char *const points[] = {
        "core.genesis.keys", "core.genesis.record",  "file_synced:1",
        "file_renamed:1",    "file_synced:2",        "file_renamed:2",
        "file_synced:3",     "ledger.segment.headed"};
    struct daemon d;

    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        daemon_init(&d, "first");
        d.program = "failpoint/choird";
        if (daemon_start(&d, points[i]) == 0)
            daemon_kill(&d);
        if (daemon_start(&d, NULL) != 0)
            fail_msg("choird does not start after dying at %s", points[i]);
        CHECK_EQ(daemon_stop(&d), 0);
        dir_remove(d.dir);
    }
}

CHECK_MAIN
