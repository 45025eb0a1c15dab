/* Two threads that hand one piece of work to and fro, kept on one core while
 * there is no more of it than that. Waking a thread on the core one runs on is
 * a switch, 3 us; on a core that sleeps it is an interrupt and 20 to 40 us, and
 * the kernel prefers the core that sleeps. Nothing of it is gained once both
 * have something to do at a time, or others want the core: how long the caller
 * waits for it when his sleep is over is looked at, and then they are let go for
 * a while.
 *
 * The caller is kept only while it sleeps, unless it says that it stays: threads
 * and processes it starts would be kept as well. Never where it may not be. One
 * caller at a time. */
#ifndef CHOIR_PROTO_NEAR_H
#define CHOIR_PROTO_NEAR_H

#include <sched.h>
#include <stdint.h>

struct near;

/* With the thread of this process of that name, as fnmatch(3) has it; it is
 * sought when it is wanted first. *out is owned.
 * Where there is none, or but one core, or the kernel does not tell how long
 * threads wait, nothing is ever kept. 0 or -ENOMEM. */
int near_new(struct near **out, const char *name);
void near_destroy(struct near **self_p);

/* Before the caller sleeps. Both stay on that core; -1: the other one may go
 * where it likes again, and near_wake is not needed. now_us: steady time. */
void near_sleep(struct near *n, int core, uint64_t now_us);
/* After it; errno stays. The caller may go where it likes again, */
void near_wake(struct near *n);
/* or stays where it is, since whoever wakes it in between would have it run
 * beside himself: until near_wake, or until near_sleep lets go. */
void near_stay(struct near *n);
/* Where a caller who stays may be otherwise; borrowed. NULL: it is free. */
const cpu_set_t *near_cores(const struct near *n);

#endif
