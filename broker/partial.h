/* Partial results of a task, read from the record: each names the one before
 * it, so the state holds no more than the last.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_PARTIAL_H
#define CHOIR_BROKER_PARTIAL_H

#include "ledger/ledger.h"
#include "proto/schema.h"
#include "state/state.h"

/* Append the entries (u64 each) of those after the first `had` ones, oldest
 * first. Costs one look per partial result, up to partials_per_task_max. 0 or
 * negative errno. */
int partials_after(struct ledger *l, const struct task *t, uint32_t had,
                   struct buf *entries);
/* One of them as MSG_PARTIAL_TOLD. m borrows from the ledger until it is read
 * again. 0 or negative errno. */
int partial_read(struct ledger *l, uint64_t index, struct msg *m);

#endif
