/* Walking over the keys of a space as one agent sees them. What it may not read
 * is not there, and costs nothing either: however many such keys lie between,
 * they are passed over at once.
 *
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_READABLE_H
#define CHOIR_BROKER_READABLE_H

#include "state/state.h"

/* The first key under the prefix from `from` on, or after it if exclusive, that
 * the agent may read and whose newest version is after `revision`. NULL: there
 * is none. */
const struct key *readable_next(const struct state *s, const struct agent *a,
                                struct bytes space, struct bytes prefix,
                                struct bytes from, bool exclusive,
                                uint64_t revision);

#endif
