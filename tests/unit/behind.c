/* What lags behind the record catches up at others' leisure. */
#include <stdio.h>
#include <unistd.h>

#include "broker/core_private.h"
#include "tests/check.h"
#include "tests/support/rig.h"

static struct rig rig;
static struct actor ada;

static uint64_t now(void)
{
    return env_steady_us(rig.env);
}

static uint64_t takes_us;
static unsigned slices;

static int read_one(struct core *c)
{
    (void)c;
    env_sim_advance_us(rig.env, takes_us);
    slices++;
    return 0;
}

/* Could a slice be read? It takes so long. */
static bool slice(uint64_t us)
{
    unsigned before = slices;

    takes_us = us;
    CHECK_OK(core_slice(rig.core, read_one));
    return slices > before;
}

/* A record of which the tree's files and the links know nothing. */
static void begin(void)
{
    char path[300];

    rig_open(&rig);
    actor_join(&rig, &ada, "ada", "team", RIGHT_READ | RIGHT_WRITE);
    snprintf(path, sizeof path, "%s/tree-0", rig.dir);
    for (unsigned i = 0; i < 700; i++) /* more than is read when it opens */
        CHECK_OK(actor_put(&rig, &ada, "team", "k", "v", NULL));
    CHECK_OK(core_tend(rig.core));
    CHECK_OK(unlink(path));
    CHECK_OK(rig_reopen(&rig, false));
    env_sim_advance_us(rig.env, 1000000);
    CHECK(core_tree_lags(rig.core));
}

TEST(a_quarter_of_the_time_while_somebody_wants_something)
{
    begin();
    core_heard(rig.core);
    CHECK(slice(100));
    CHECK(!slice(100));
    CHECK_EQ(core_behind_next(rig.core), now() + 300);
    env_sim_advance_us(rig.env, 299);
    CHECK(!slice(100));
    env_sim_advance_us(rig.env, 1);
    CHECK(slice(100));
    CHECK(!slice(100));
    rig_close(&rig);
}

TEST(all_the_time_while_nobody_does)
{
    begin();
    CHECK_EQ(core_behind_next(rig.core), 0);
    CHECK(slice(100));
    CHECK_EQ(core_behind_next(rig.core), 0);
    CHECK(slice(100));
    core_heard(rig.core);
    env_sim_advance_us(rig.env, 300);
    CHECK(slice(9000)); /* was due, and takes long */
    CHECK(!slice(100));
    env_sim_advance_us(rig.env, 700);
    CHECK_EQ(core_behind_next(rig.core), 0);
    CHECK(slice(100));
    rig_close(&rig);
}

TEST(who_has_to_wait_reads_nothing)
{
    begin();
    core_heard(rig.core);
    CHECK(slice(100));
    CHECK_OK(core_tend(rig.core));
    CHECK(core_tree_lags(rig.core));
    CHECK(core_behind(rig.core) > 100);
    env_sim_advance_us(rig.env, 300);
    CHECK_OK(core_tend(rig.core));
    CHECK(!core_tree_lags(rig.core));
    CHECK_OK(core_tend(rig.core));
    CHECK_EQ(core_behind_next(rig.core), UINT64_MAX);
    CHECK_EQ(core_behind(rig.core), 0);
    rig_close(&rig);
}

CHECK_MAIN
