/* From the record to the state: every entry from the state's size on is
 * evolved. What can be said of an entry without the state (does its group fit
 * its hash, what is its leaf) is found out by a thread beside this one, a
 * batch ahead.
 *
 * Checked are the chain of groups, their heads and lengths, and each
 * checkpoint's digest; payloads are when they are read, and signatures were
 * when the bundles came in (choir verify checks both again), but for the last
 * group's after a crash, which may have come before (ADR 17). */
#ifndef CHOIR_BROKER_REPLAY_H
#define CHOIR_BROKER_REPLAY_H

#include "ledger/ledger.h"
#include "state/state.h"

/* Nobody else may use the ledger meanwhile. 0; CHOIR_BAD_SIGNATURE: only the
 * last group is left, and it must be cut; or a negative errno with a sentence
 * in trouble where there is more to say than the errno does. */
int replay_record(struct state *s, struct ledger *l, char trouble[512]);

/* A bundle that came alone may be in the record before it was proven: it is all
 * that ledger_unproven's group holds. Is its signature good, by the state before
 * it, and do its heads make up its root? Payloads are proven by the group. */
bool replay_proves(const struct state *s, const struct group_header *g,
                   struct bytes heads);

#endif
