/* Someone sets the clock: the record never goes back in time, no lease ends
 * early or never, and no task waits for a time that was a mistake. */
#include "broker/cycle.h"
#include "tests/check.h"
#include "tests/support/rig.h"

#define SECOND UINT64_C(1000000)
#define YEAR (365 * 86400 * SECOND)

enum { LEASE_S = 30 }; /* choird's default */

static struct rig rig;
static struct actor ada;
static struct cycle *cycle;
static uint64_t task, token;

static void send_nowhere(void *arg, struct connection *c, struct bytes frame)
{
    (void)arg, (void)c, (void)frame;
}

static uint64_t no_backlog(void *arg, struct connection *c)
{
    (void)arg, (void)c;
    return 0;
}

static void cut_nobody(void *arg, struct connection *c, const char *why)
{
    (void)arg, (void)c, (void)why;
}

/* A task that ada works on. */
static void begin(void)
{
    struct cycle_options o = {
        .transport = {NULL, send_nowhere, no_backlog, cut_nobody}};

    rig_open(&rig);
    actor_join(&rig, &ada, "ada", "team",
               RIGHT_READ | RIGHT_WRITE | RIGHT_SUBMIT | RIGHT_WORK);
    CHECK_OK(actor_submit(&rig, &ada, "jobs", &task));
    CHECK_OK(rig_claim(&rig, &ada, task, &token));
    o.core = rig.core;
    o.env = rig.env;
    o.config = rig.config;
    cycle = cycle_new(&o);
    CHECK(cycle);
}

static void end(void)
{
    cycle_destroy(&cycle);
    actor_free(&ada);
    rig_close(&rig);
}

static void turn(void)
{
    CHECK_OK(cycle_begin(cycle));
    CHECK_OK(cycle_end(cycle));
}

static void set_clock(uint64_t wall_us)
{
    env_sim_set_wall_us(rig.env, wall_us);
    turn();
}

static unsigned state_now(void)
{
    return task_by_id(rig_state(&rig)->tasks, task)->state;
}

static int put(void)
{
    return actor_put(&rig, &ada, "team", "k", "v", NULL);
}

TEST(a_clock_set_forward_ends_no_lease)
{
    begin();
    set_clock(env_wall_us(rig.env) + 10 * YEAR);
    CHECK_OK(put());
    turn();
    CHECK_EQ(state_now(), TASK_WORKING);
    end();
}

TEST(a_clock_set_back_keeps_no_lease_alive)
{
    begin();
    set_clock(env_wall_us(rig.env) - 10 * YEAR);
    env_sim_advance_us(rig.env, (LEASE_S - 1) * SECOND);
    turn();
    CHECK_EQ(state_now(), TASK_WORKING);
    env_sim_advance_us(rig.env, 2 * SECOND);
    turn();
    CHECK_EQ(state_now(), TASK_QUEUED);
    end();
}

TEST(a_clock_that_went_astray_and_back_leaves_time_running)
{
    uint64_t before, now = env_wall_us((begin(), rig.env));

    set_clock(now + YEAR);
    CHECK_OK(put());
    before = rig_state(&rig)->time;
    set_clock(now);
    CHECK_OK(put());
    CHECK(rig_state(&rig)->time >= before);
    env_sim_advance_us(rig.env, 60 * SECOND);
    CHECK_OK(put());
    CHECK(rig_state(&rig)->time >= before + 30 * SECOND);
    CHECK(rig_state(&rig)->time < before + 120 * SECOND);
    end();
}

TEST(a_restart_after_the_clock_was_set_back_goes_on)
{
    uint64_t before;

    begin();
    before = rig_state(&rig)->time;
    cycle_destroy(&cycle);
    env_sim_set_wall_us(rig.env, SECOND);
    CHECK_OK(rig_reopen(&rig, false));
    CHECK_OK(put());
    CHECK(rig_state(&rig)->time >= before);
    end();
}

CHECK_MAIN
