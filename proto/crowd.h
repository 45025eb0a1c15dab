/* Much that comes together: then each thread is woken in bursts, and a burst
 * is cheaper if whoever makes it is not interrupted by whoever takes it. So as
 * long as it goes on, threads that only take and pass on are scheduled as
 * SCHED_BATCH: they have the same share of the processor, and do not interrupt
 * others when they wake up. What comes alone finds them as they were (ADR 16).
 * Thread: one and the same, the caller. */
#ifndef CHOIR_PROTO_CROWD_H
#define CHOIR_PROTO_CROWD_H

#include <stdbool.h>
#include <stdint.h>

struct crowd {
    const char
        *threads; /* of this process: their names, as fnmatch(3) has it */
    bool caller_too;
    int64_t since_ms; /* this look's beginning */
    unsigned together;
    bool is_there, is_changed;
};

/* The caller has woken up, and so many things have come. now_ms: steady
 * time. errno stays. */
void crowd_note(struct crowd *c, unsigned things, int64_t now_ms);
/* How long the caller may sleep at most, so as to note that nothing comes any
 * more; -1: for ever. */
int crowd_sleep_ms(const struct crowd *c);

#endif
