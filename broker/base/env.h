/* The world as an input: clocks and random bytes, real or simulated.
 *
 * Nothing above this floor reads a clock or draws a random byte by itself, so
 * the whole broker runs under simulated time from one seed.
 *
 * Threads: a real env may be shared by all threads; a simulated one belongs to
 * one thread. */
#ifndef CHOIR_BROKER_BASE_ENV_H
#define CHOIR_BROKER_BASE_ENV_H

#include <stddef.h>
#include <stdint.h>

struct env;

/* The kernel's clocks and getrandom(2). Owned by the caller; NULL when out of
 * memory. */
struct env *env_real_new(void);

/* A world that stands still until it is moved, with random bytes that are a
 * function of seed. Starts at wall 2025-01-01T00:00:00Z, steady 1 s. Owned by
 * the caller; NULL when out of memory. */
struct env *env_sim_new(uint64_t seed);

/* Accepts NULL and a pointer to NULL. */
void env_destroy(struct env **self_p);

/* Microseconds since 1970, as people set it: it may jump both ways. For what
 * is shown and recorded, never for durations. */
uint64_t env_wall_us(const struct env *env);

/* Microseconds of a clock that never goes back and goes on while the machine
 * sleeps (CLOCK_BOOTTIME). For leases, timers and idle times. Its zero means
 * nothing and changes with each boot. */
uint64_t env_steady_us(const struct env *env);

/* Fill bytes[0..len) with unpredictable bytes (predictable ones if simulated).
 * Returns 0, or a negative errno: then the bytes must not be used. */
int env_random(struct env *env, void *bytes, size_t len)
    __attribute__((warn_unused_result));

/* Simulated worlds only: let time pass, on both clocks. */
void env_sim_advance_us(struct env *env, uint64_t us);

/* Simulated worlds only: someone sets the wall clock; the steady one goes on
 * as if nothing had happened. */
void env_sim_set_wall_us(struct env *env, uint64_t us);

#endif
