/* From the record to the state: every entry from the state's size on is
 * evolved. What can be said of an entry without the state (does its group fit
 * its hash, what is its leaf) is found out by a thread beside this one, a
 * batch ahead.
 *
 * Checked are the chain of groups, their heads and lengths, and each
 * checkpoint's digest; payloads are when they are read, and signatures were
 * when the bundles came in (choir verify checks both again). */
#ifndef CHOIR_BROKER_REPLAY_H
#define CHOIR_BROKER_REPLAY_H

#include "ledger/ledger.h"
#include "state/state.h"

/* Nobody else may use the ledger meanwhile. 0, or a negative errno with a
 * sentence in trouble where there is more to say than the errno does. */
int replay_record(struct state *s, struct ledger *l, char trouble[512]);

#endif
