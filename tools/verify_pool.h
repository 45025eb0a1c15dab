/* Work that stands alone, done on all cores while its owner goes on: checking a
 * signature, reading and hashing a stretch of a file.
 *
 * A job is handed over whole: from pool_give until pool_wait has returned, what
 * it points to is the pool's, and no two jobs may share what one of them
 * writes. Results are taken in the order the owner waits in, so what is found
 * does not depend on how many threads there are. How it is used:
 *
 *   struct slice {
 *       struct pool_job job;        first, so that run finds the rest
 *       ... what goes in, what comes out, room that is used again ...
 *   } ring[N];
 *
 *   fill ring[i]; pool_give(pool, &ring[i].job); go on with ring[i + 1], and
 *   when the ring is full, pool_wait(pool, &ring[oldest].job) and judge it.
 *
 * With pool_width(pool) jobs and a few more under way, every core has work.
 * tools/verify_signatures.c does this for signatures, and can be used as it is:
 * signatures_new(pool), signatures_add for each, signatures_settle at the end.
 *
 * Threads: every call comes from the thread that made the pool. */
#ifndef CHOIR_TOOLS_VERIFY_POOL_H
#define CHOIR_TOOLS_VERIFY_POOL_H

#include <stdbool.h>

struct pool;

/* run: called once, by any thread of the pool or within pool_wait; it may touch
 * what belongs to its job and nothing else. The rest is the pool's own. */
struct pool_job {
    void (*run)(struct pool_job *job);
    struct pool_job *next;
    bool done;
};

/* helpers: threads beside the caller's, 0 or more; one that cannot be made is
 * done without. NULL when out of memory. */
struct pool *pool_new(unsigned helpers);
/* One thread for each core, the caller's among them. */
struct pool *pool_for_all_cores(void);
/* Waits for what has begun; what has not is never run. Accepts NULL. */
void pool_destroy(struct pool **self_p);
/* Threads that work, the caller's among them. */
unsigned pool_width(const struct pool *p);

/* job: the pool's until pool_wait has returned for it. Jobs begin in the order
 * they were given in. */
void pool_give(struct pool *p, struct pool_job *job);
/* Returns when it is done; the caller works meanwhile, on this or on others. */
void pool_wait(struct pool *p, struct pool_job *job);

#endif
