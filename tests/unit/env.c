/* broker/base/env: the world as an input. */
#include "tests/check.h"

#include "broker/base/env.h"

TEST(env_clocks_of_the_machine_go_on)
{
    struct env *env = env_real_new();
    uint64_t steady = env_steady_us(env);

    CHECK(env_wall_us(env) > UINT64_C(1700000000000000));
    CHECK(steady > 0);
    while (env_steady_us(env) == steady)
        ;
    CHECK(env_steady_us(env) > steady);
    env_destroy(&env);
    CHECK_NULL(env);
    env_destroy(&env);
    env_destroy(NULL);
}

TEST(env_random_bytes_of_the_machine_differ_each_time)
{
    struct env *env = env_real_new();
    unsigned char a[32] = {0};
    unsigned char b[32] = {0};

    CHECK_OK(env_random(env, a, sizeof(a)));
    CHECK_OK(env_random(env, b, sizeof(b)));
    CHECK(memcmp(a, b, sizeof(a)));
    env_destroy(&env);
}

TEST(env_simulated_stands_still_until_moved)
{
    struct env *env = env_sim_new(1);
    uint64_t wall = env_wall_us(env);
    uint64_t steady = env_steady_us(env);

    CHECK_EQ(env_wall_us(env), wall);
    env_sim_advance_us(env, 250);
    CHECK_EQ(env_wall_us(env), wall + 250);
    CHECK_EQ(env_steady_us(env), steady + 250);
    env_destroy(&env);
}

TEST(env_simulated_wall_clock_jumps_and_the_steady_one_does_not)
{
    struct env *env = env_sim_new(1);
    uint64_t steady = env_steady_us(env);

    env_sim_set_wall_us(env, 5);
    CHECK_EQ(env_wall_us(env), 5);
    CHECK_EQ(env_steady_us(env), steady);
    env_destroy(&env);
}

TEST(env_simulated_random_bytes_follow_from_the_seed)
{
    struct env *one = env_sim_new(7);
    struct env *same = env_sim_new(7);
    struct env *other = env_sim_new(8);
    unsigned char a[29];
    unsigned char b[29];
    unsigned char c[29];

    CHECK_OK(env_random(one, a, sizeof(a)));
    CHECK_OK(env_random(same, b, sizeof(b)));
    CHECK_OK(env_random(other, c, sizeof(c)));
    CHECK_MEM(a, b, sizeof(a));
    CHECK(memcmp(a, c, sizeof(a)));
    CHECK_OK(env_random(one, b, sizeof(b)));
    CHECK(memcmp(a, b, sizeof(a)));
    env_destroy(&one);
    env_destroy(&same);
    env_destroy(&other);
}

CHECK_MAIN
