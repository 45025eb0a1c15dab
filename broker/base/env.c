/* Clocks and random bytes; see env.h. */
#include "broker/base/env.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SIM_WALL_START_US UINT64_C(1735689600000000)
#define SIM_STEADY_START_US UINT64_C(1000000)

struct env {
    bool simulated;
    uint64_t wall_us;
    uint64_t steady_us;
    uint64_t random_state;
};

static uint64_t clock_us(clockid_t id)
{
    struct timespec ts;

    /* Both clocks exist on every Linux we build for, and a broker without a
     * clock cannot keep a lease. */
    if (clock_gettime(id, &ts))
        abort();
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* splitmix64 (Steele, Lea, Flood 2014): one word of state, every seed good. */
static uint64_t sim_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void sim_random(struct env *env, unsigned char *bytes, size_t len)
{
    while (len) {
        uint64_t word = sim_next(&env->random_state);
        size_t n = len < sizeof(word) ? len : sizeof(word);

        memcpy(bytes, &word, n);
        bytes += n;
        len -= n;
    }
}

static int real_random(unsigned char *bytes, size_t len)
{
    while (len) {
        ssize_t n = getrandom(bytes, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

struct env *env_real_new(void)
{
    return calloc(1, sizeof(struct env));
}

struct env *env_sim_new(uint64_t seed)
{
    struct env *env = calloc(1, sizeof(*env));

    if (!env)
        return NULL;
    env->simulated = true;
    env->wall_us = SIM_WALL_START_US;
    env->steady_us = SIM_STEADY_START_US;
    env->random_state = seed;
    return env;
}

void env_destroy(struct env **self_p)
{
    if (!self_p)
        return;
    free(*self_p);
    *self_p = NULL;
}

uint64_t env_wall_us(const struct env *env)
{
    return env->simulated ? env->wall_us : clock_us(CLOCK_REALTIME);
}

uint64_t env_steady_us(const struct env *env)
{
    return env->simulated ? env->steady_us : clock_us(CLOCK_BOOTTIME);
}

int env_random(struct env *env, void *bytes, size_t len)
{
    if (!env->simulated)
        return real_random(bytes, len);
    sim_random(env, bytes, len);
    return 0;
}

void env_sim_advance_us(struct env *env, uint64_t us)
{
    assert(env->simulated);
    env->wall_us += us;
    env->steady_us += us;
}

void env_sim_set_wall_us(struct env *env, uint64_t us)
{
    assert(env->simulated);
    env->wall_us = us;
}
