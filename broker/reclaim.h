/* Which payloads the record need not keep: those that were erased, and the
 * versions of keys that were superseded at or below the compaction line of
 * their space.
 *
 * A plan is made from the state at one moment and then used by the thread that
 * thins segments, from the last one back to the first. What supersedes a
 * version is known by then, as it lies in the same segment or a later one; of
 * each key at most one version is remembered at a time. */
#ifndef CHOIR_BROKER_RECLAIM_H
#define CHOIR_BROKER_RECLAIM_H

#include "ledger/ledger.h"
#include "state/state.h"

struct reclaim;

/* Versions that a live lease may have read stay: those that were current when
 * its task was submitted. least: see ledger_thinner. NULL when out of memory.
 */
struct reclaim *reclaim_new(const struct state *s, uint64_t least);
void reclaim_destroy(struct reclaim **self_p);

/* Erased slots of entries first <= i < end that it knows of. */
uint64_t reclaim_erased(const struct reclaim *r, uint64_t first, uint64_t end);

/* For ledger_thin_begin. Borrowed. */
const struct ledger_thinner *reclaim_thinner(const struct reclaim *r);

#endif
