/* Payload slots that were erased: what readers must no longer be shown, what
 * rewriting has to take out, and what decisions must not be made from, whether
 * or not it is still on the disk. They are kept for good: a bit a slot, in
 * pages of 256 entries, so that half of a ledger costs little.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_ERASURE_H
#define CHOIR_BROKER_STATE_ERASURE_H

#include "digest.h"
#include "index.h"
#include "proto/bytes.h"

struct erasure;

/* NULL when out of memory. digest: borrowed. */
struct erasure *erasure_new(struct digest *digest);
void erasure_destroy(struct erasure **self_p);

/* Was that slot of that entry erased? slot: from
 * SLOT_EFFECT on of the effect. O(log pages); at once where there are none. */
bool erasure_has(const struct erasure *e, uint64_t index, size_t slot);
/* Slots there are: it only rises. */
uint64_t erasure_count(const struct erasure *e);
/* Of entries first <= i < end. O(log pages + those pages). */
uint64_t erasure_between(const struct erasure *e, uint64_t first, uint64_t end);

/* To erase a slot again changes nothing. 0; -ENOMEM; -EINVAL for a slot that
 * no entry can have. By evolve alone. */
int erasure_add(struct erasure *e, uint64_t index, size_t slot);

/* One record a page, in order of entries; and back: 0, -ENOMEM, or
 * CHOIR_MALFORMED. put returns 0 or a negative errno, which save passes on. */
typedef int (*erasure_sink)(void *to, struct bytes record);
int erasure_save(const struct erasure *e, erasure_sink put, void *to);
int erasure_load(struct erasure *e, struct bytes record);

#endif
