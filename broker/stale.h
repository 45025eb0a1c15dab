/* What the record says of a completion whose read set had changed.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STALE_H
#define CHOIR_BROKER_STALE_H

#include "ledger/ledger.h"
#include "state/state.h"

struct stale_facts {
    bool flagged; /* it was accepted all the same */
    uint64_t count;
};
/* Of the completion at that entry. 0 or negative errno. */
int stale_facts_of(struct ledger *l, uint64_t index, struct stale_facts *out);

/* If the entry is a completion of that task, refused as STALE, put what had changed, as far as the
 * reader may read it, into FIELD_ITEMS of m, and how much it was in all into
 * FIELD_COUNT. space: of the task. keep: cleared; holds the items. 0 or
 * negative errno. */
int stale_items(const struct entry *e, uint64_t task,
                const struct agent *reader, struct bytes space,
                struct buf *keep, struct msg *m);

#endif
