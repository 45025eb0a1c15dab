/* Things that are due at some time, the earliest first: a binary heap of
 * timers that lie inside what they are about.
 * Thread: one. */
#ifndef CHOIR_BROKER_TIMERS_H
#define CHOIR_BROKER_TIMERS_H

#include <stddef.h>
#include <stdint.h>

/* Zero-initialised: not set. Must not move while it is set. */
struct timer {
    uint64_t due_us; /* of env_steady_us */
    size_t place;    /* in the heap, from 1; 0: not set */
};

/* Zero-initialised: empty. */
struct timers {
    struct timer **heap; /* owned; the timers are not */
    size_t count, cap;
};

/* Set, or set anew. 0 or -ENOMEM. */
int timer_set(struct timers *t, struct timer *timer, uint64_t due_us);
/* Harmless when it is not set. */
void timer_clear(struct timers *t, struct timer *timer);
/* Takes out one that is due at `now`; NULL: none is. */
struct timer *timers_take(struct timers *t, uint64_t now);
/* When the earliest is due; UINT64_MAX: none. */
uint64_t timers_next(const struct timers *t);
void timers_free(struct timers *t);

/* The struct of that type whose member `name` the timer is. */
#define TIMER_OWNER(timer, type, name) \
    ((type *)(void *)((char *)(timer)-offsetof(type, name)))

#endif
