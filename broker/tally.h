/* How much of something each agent has that no entry keeps: watches, tasks
 * awaited. Thread: state thread only. */
#ifndef CHOIR_BROKER_TALLY_H
#define CHOIR_BROKER_TALLY_H

#include <stddef.h>
#include <stdint.h>

struct tally { /* zeros: nobody has any */
    uint32_t *counts;
    size_t cap;
};

/* One more for the agent of that number. 0; CHOIR_OVER_LIMIT, it has `most`
 * already; -ENOMEM. */
int tally_add(struct tally *t, uint32_t agent, uint64_t most);
/* One less; it must have been added. */
void tally_sub(struct tally *t, uint32_t agent);
void tally_free(struct tally *t);

#endif
