/* Entries as a tap shows them: with the evidence, and only to whoever may see
 * them.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_TAP_H
#define CHOIR_BROKER_TAP_H

#include "changes.h"

struct tap;

/* Borrowed until destroyed. NULL when out of memory. */
struct tap *tap_new(const struct state *state, struct ledger *ledger);
void tap_destroy(struct tap **self_p);

/* The entry as an ENTRY item but for its watch. What m borrows lives until the
 * next call or as long as the entry. values: payloads too, where the agent may
 * read them. 0; CHOIR_NOT_FOUND: not for this agent; negative errno. */
int tap_entry(struct tap *t, const struct entry *e, const struct agent *agent,
              bool values, struct msg *m);

/* The evidence alone, whoever may see it. Borrows likewise. 0 or negative
 * errno. */
int tap_evidence(struct tap *t, const struct entry *e, struct msg *m);

/* May the agent see the entry at all? right: RIGHT_TAP, or RIGHT_READ for its
 * payload. 0, CHOIR_NOT_FOUND, negative errno. */
int tap_may(struct tap *t, const struct entry *e, const struct agent *agent,
            enum right right);

#endif
