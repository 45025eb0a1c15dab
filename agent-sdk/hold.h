/* The time after which what callers put in is held back no longer. Nearly every
 * hold ends before it, and a timer of the kernel that is set and taken back
 * costs as much as a signature; so once callers have kept it often enough, and
 * holds follow each other closely, the timer is a later one that several of them
 * share. Who is late then is waited for so long once, and to the microsecond
 * again afterwards.
 *
 * One thread at a time. Times are of CLOCK_MONOTONIC. */
#ifndef CHOIR_SDK_HOLD_H
#define CHOIR_SDK_HOLD_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HOLD_CLOSE_US = 5000, /* so soon after each other */
    HOLD_TRUSTED = 16,    /* after so many holds that ended in time */
    HOLD_LATE_US = 5000,  /* it is looked at so much later at most */
};

struct hold {
    int fd;            /* readable: call hold_look */
    int64_t due_us;    /* 0: nothing is held */
    int64_t timed_us;  /* when fd will be readable; 0: it will not */
    int64_t before_us; /* when the one before was due */
    unsigned kept;     /* holds in a row, close together, that ended in time */
};

/* 0 or -errno. hold_close: any state after hold_open. */
int hold_open(struct hold *h);
void hold_close(struct hold *h);

int64_t hold_clock_us(void);
/* Something is held, until due_us; the last call counts. */
void hold_begin(struct hold *h, int64_t due_us);
/* It is not any more. Without effect if nothing was. */
void hold_end(struct hold *h);
/* fd was readable: is the time over? It ends the hold. */
bool hold_look(struct hold *h);

#endif
