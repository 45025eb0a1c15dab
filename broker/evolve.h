/* How the state moves on: from a recorded entry, and from nothing else. Reads
 * no payload, clock, limit or configuration, so that a replay under any later
 * release gives the same state. */
#ifndef CHOIR_BROKER_EVOLVE_H
#define CHOIR_BROKER_EVOLVE_H

#include "proto/record.h"
#include "state/state.h"

/* One entry. head and effect: decoded, or NULL to have it done here. 0;
 * -ENOMEM; -EUCLEAN when the entry cannot follow from the state: then the
 * record and the state do not belong together. */
int evolve(struct state *s, const struct entry *entry);

#endif
