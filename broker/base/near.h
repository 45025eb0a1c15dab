/* Two threads that hand one piece of work to and fro, kept on one core while
 * there is no more of it than that. Waking a thread on the core one runs on is
 * a switch, 3 us; on a core that sleeps it is an interrupt and 20 to 40 us, and
 * the kernel prefers the core that sleeps. Nothing of it is gained once both
 * have something to do at a time, or others want the core: how long they wait
 * for it is looked at, and then they are let go for a while.
 *
 * The caller is kept only while it sleeps, so that threads and processes it
 * starts are free.
 * Thread: one and the same, the caller. */
#ifndef CHOIR_BROKER_BASE_NEAR_H
#define CHOIR_BROKER_BASE_NEAR_H

#include <stdbool.h>
#include <stdint.h>

struct near;

/* With the thread of this process whose name begins like that; it is sought
 * when it is wanted first. *out is owned.
 * Where there is none, or but one core, or the kernel does not tell how long
 * threads wait, nothing is ever kept. 0 or -ENOMEM. */
int near_new(struct near **out, const char *name);
void near_destroy(struct near **self_p);

/* Before the caller sleeps. keep: both stay on its core; else the other one may
 * go where it likes again. now_us: steady time. */
void near_sleep(struct near *n, bool keep, uint64_t now_us);
/* After it; errno stays. */
void near_wake(struct near *n);

#endif
