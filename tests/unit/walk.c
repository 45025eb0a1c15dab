/* A snapshot in slices: of one moment, whatever comes between them. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/core_private.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/rig.h"

/* Each slice takes so long. */
static uint64_t takes_us;
static struct rig rig;

static int step_in_time(struct context *c, unsigned n)
{
    env_sim_advance_us(rig.env, takes_us);
    return context_save_step(c, n);
}
#define context_save_step(c, n) step_in_time(c, n)
#include "broker/core_walk.c"
#undef context_save_step

enum { KEYS = 30 };

static struct actor ada;

static void put(unsigned i)
{
    char key[16];

    snprintf(key, sizeof key, "key/%02u", i);
    CHECK_OK(actor_put(&rig, &ada, "team", key, "v", NULL));
}

static void begin(void)
{
    uint64_t task;

    takes_us = 0;
    rig_open(&rig);
    rig.snapshot_keys = 4;
    CHECK_OK(rig_reopen(&rig, true));
    actor_join(&rig, &ada, "ada", "team",
               RIGHT_READ | RIGHT_WRITE | RIGHT_SUBMIT | RIGHT_WORK);
    for (unsigned i = 0; i < KEYS; i++)
        put(i);
    CHECK_OK(actor_submit(&rig, &ada, "q", &task));
}

static void end(void)
{
    actor_free(&ada);
    rig_close(&rig);
}

/* What the file says of itself; its size, or 0 if it cannot be used. */
static uint64_t file_size(struct hash *digest)
{
    struct snapshot_reader *r;
    struct snapshot_facts facts;
    char trouble[LEDGER_TROUBLE_BYTES];

    if (snapshot_open(&r, rig.dir, &facts, trouble))
        return 0;
    snapshot_close(&r);
    *digest = facts.digest;
    return facts.size;
}

static uint64_t written(void)
{
    return core_counters(rig.core)->snapshots;
}

static void tend_to_the_end(void)
{
    uint64_t before = written();

    while (rig.core->snapshot_walk || rig.core->snapshot_child) {
        CHECK_OK(core_tend(rig.core));
        sched_yield();
    }
    CHECK_EQ(written(), before + 1);
}

static void same_after_a_crash(void)
{
    struct hash before = state_digest(rig_state(&rig)), after;

    CHECK_OK(rig_reopen(&rig, false));
    after = state_digest(rig_state(&rig));
    CHECK(hash_equal(&before, &after));
}

TEST(a_snapshot_is_of_the_moment_it_was_begun_at)
{
    struct hash digest, said;
    uint64_t size, task;
    unsigned slices = 0;

    begin();
    size = core_size(rig.core);
    digest = state_digest(rig_state(&rig));
    CHECK_OK(core_snapshot(rig.core, false));
    for (; rig.core->snapshot_walk; slices++) {
        put(slices * 7 % (2 * KEYS)); /* old ones and new ones */
        put(KEYS - 1 - slices % KEYS);
        CHECK_OK(actor_submit(&rig, &ada, "q", &task));
        CHECK_OK(core_tend(rig.core));
    }
    CHECK(slices > 5);
    CHECK_EQ(written(), 1);
    CHECK_EQ(file_size(&said), size);
    CHECK(hash_equal(&digest, &said));
    same_after_a_crash();
    end();
}

TEST(a_snapshot_under_way_is_not_begun_again)
{
    struct hash said;
    uint64_t size;

    begin();
    size = core_size(rig.core);
    rig.config->checkpoint_entries = 1;
    CHECK(core_snapshot_due(rig.core));
    CHECK_OK(core_snapshot(rig.core, false));
    CHECK_NOT(core_snapshot_due(rig.core));
    put(1);
    CHECK_OK(core_snapshot(rig.core, false));
    tend_to_the_end();
    CHECK_EQ(file_size(&said), size);
    CHECK(core_snapshot_due(rig.core));
    end();
}

TEST(who_wants_something_gets_nineteen_twentieths_of_the_time)
{
    uint64_t now;

    begin();
    CHECK_EQ(core_walk_next(rig.core), UINT64_MAX);
    CHECK_OK(core_snapshot(rig.core, false));
    env_sim_advance_us(rig.env, 1000000);
    CHECK_EQ(core_walk_next(rig.core), 0); /* nobody does */
    takes_us = 100;
    core_heard(rig.core);
    CHECK_EQ(core_walk_on(rig.core), -EAGAIN);
    now = env_steady_us(rig.env);
    CHECK_EQ(core_behind_next(rig.core), now + 1900);
    env_sim_advance_us(rig.env, 1899);
    CHECK_EQ(core_walk_on(rig.core), -EAGAIN);
    CHECK_EQ(env_steady_us(rig.env), now + 1899); /* no slice */
    env_sim_advance_us(rig.env, 1);
    CHECK_EQ(core_walk_on(rig.core), -EAGAIN);
    CHECK_EQ(env_steady_us(rig.env), now + 2000);
    env_sim_advance_us(rig.env, 1000000);
    CHECK_EQ(core_behind_next(rig.core), 0);
    end();
}

TEST(a_snapshot_that_is_not_finished_is_none)
{
    struct hash said;
    uint64_t size;

    begin();
    CHECK_OK(rig_reopen(&rig, true));
    size = file_size(&said);
    put(1);
    CHECK_OK(core_snapshot(rig.core, false));
    CHECK_OK(core_tend(rig.core));
    same_after_a_crash();
    CHECK_EQ(file_size(&said), size); /* the old one */
    put(2);
    CHECK_OK(core_snapshot(rig.core, false));
    CHECK_OK(core_tend(rig.core));
    CHECK_OK(rig_reopen(&rig, true)); /* writes one at once */
    CHECK(file_size(&said) > size);
    end();
}

TEST(a_snapshot_that_cannot_be_written_leaves_the_old_one)
{
    char path[300];
    struct hash said;
    uint64_t size;

    begin();
    CHECK_OK(rig_reopen(&rig, true));
    size = file_size(&said);
    snprintf(path, sizeof path, "%s/state.snapshot.new", rig.dir);
    CHECK_OK(mkdir(path, 0700));
    put(1);
    CHECK_OK(core_snapshot(rig.core, false));
    CHECK_NULL(rig.core->snapshot_walk);
    CHECK_OK(core_tend(rig.core));
    CHECK_EQ(written(), 0);
    CHECK_EQ(file_size(&said), size);
    CHECK_OK(rmdir(path));
    end();
}

static void until_the_disk(void)
{
    CHECK(rig.core->snapshot_walk != NULL);
    while (!rig.core->snapshot_walk->has_thread) {
        CHECK_OK(core_tend(rig.core));
        CHECK(rig.core->snapshot_walk != NULL);
    }
}

TEST(a_thread_waits_for_the_disk)
{
    struct hash said;
    uint64_t size;

    begin();
    size = core_size(rig.core);
    core_snapshots_beside(rig.core);
    CHECK_OK(core_snapshot(rig.core, false));
    until_the_disk();
    CHECK_EQ(core_walk_next(rig.core), UINT64_MAX);
    put(1);
    tend_to_the_end();
    CHECK_EQ(file_size(&said), size);
    CHECK_OK(core_snapshot(rig.core, false));
    until_the_disk();
    same_after_a_crash(); /* which waits for it */
    end();
}

/* More keys that end by themselves than are kept at once. */
static void fill(struct context *c)
{
    char key[16];

    for (unsigned i = 0; i <= OTHER_RECORDS; i++) {
        snprintf(key, sizeof key, "ttl/%06u", i);
        CHECK_OK(
            context_put(c, bytes_text("team"), bytes_text(key), 1, 2, 0, 1));
        CHECK_OK(
            context_lapse_at(c, bytes_text("team"), bytes_text(key), 1000000));
    }
}

TEST(too_much_beside_the_keys_is_written_by_a_child)
{
    struct hash digest, said;
    uint64_t size;

    begin();
    fill(rig.core->state->context);
    size = core_size(rig.core);
    digest = state_digest(rig_state(&rig));
    CHECK_OK(core_snapshot(rig.core, false));
    CHECK_NULL(rig.core->snapshot_walk);
    CHECK(rig.core->snapshot_child > 0);
    put(1);
    tend_to_the_end();
    CHECK_EQ(file_size(&said), size);
    CHECK(hash_equal(&digest, &said));
    end();
}

CHECK_MAIN
