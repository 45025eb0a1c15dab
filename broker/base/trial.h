/* Which of several ways to do the same thing is the quickest here, where that
 * depends on the machine: found by trying. Each is taken some times in a row, all
 * of them in turn and some rounds of that, because machines are slower at times;
 * then the one that took the least, and now and then all are tried again. What a
 * way takes is the mean of its times but the slowest, which others are behind. */
#ifndef CHOIR_BROKER_BASE_TRIAL_H
#define CHOIR_BROKER_BASE_TRIAL_H

#include <stdint.h>

enum {
    TRIAL_WAYS = 3,   /* at most */
    TRIAL_ROW = 8,    /* times in a row that each is tried, */
    TRIAL_ROUNDS = 4, /* so often; */
    TRIAL_LOOKS = TRIAL_ROW * TRIAL_ROUNDS,
    TRIAL_COUNTED = 24, /* of them, the quickest */
    TRIAL_KEPT = 4096,  /* times until they are tried again */
};

struct trial {
    unsigned ways;
    unsigned best;  /* of those that were tried last */
    unsigned tried; /* times, of all ways together; all of them: none is */
    unsigned kept;  /* times that the best was taken since */
    uint64_t took_us[TRIAL_WAYS][TRIAL_LOOKS];
};

/* ways: 2 to TRIAL_WAYS. best: which is, as far as the caller knows. Another one
 * than the best so far must take less than nine tenths of its time to be taken
 * instead. */
void trial_init(struct trial *t, unsigned ways, unsigned best);
/* From 0 on; the same until trial_took. */
unsigned trial_way(const struct trial *t);
/* It was taken. */
void trial_took(struct trial *t, uint64_t us);

#endif
