/* Which of several ways to do the same thing is the quickest here, where that
 * depends on the machine: found by trying. Each is taken some times in a row,
 * then the one that took the least, and now and then all are tried again. What a
 * way takes is the mean of its times but the slowest, which others are behind. */
#ifndef CHOIR_BROKER_BASE_TRIAL_H
#define CHOIR_BROKER_BASE_TRIAL_H

#include <stdint.h>

enum {
    TRIAL_WAYS = 3,     /* at most */
    TRIAL_LOOKS = 32,   /* times in a row that each is tried, */
    TRIAL_COUNTED = 28, /* of which the quickest count */
    TRIAL_KEPT = 4096,  /* times until they are tried again */
};

struct trial {
    unsigned ways;
    unsigned best;  /* of the last round */
    unsigned tried; /* the one that is tried; as many as there are: none */
    unsigned count; /* times that it was taken, or the best one since */
    uint64_t took_us[TRIAL_LOOKS], sum_us[TRIAL_WAYS];
};

/* ways: 2 to TRIAL_WAYS. Another one than the best so far must take less than
 * nineteen twentieths of its time to be taken instead. */
void trial_init(struct trial *t, unsigned ways);
/* From 0 on; the same until trial_took. */
unsigned trial_way(const struct trial *t);
/* It was taken. */
void trial_took(struct trial *t, uint64_t us);

#endif
