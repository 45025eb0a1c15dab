/* Payload slots that were erased and may still be on the disk: what readers
 * must no longer be shown, and what rewriting has to take out. A bit a slot, in
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

/* Was that slot of that entry erased, and not yet taken out? slot: from
 * SLOT_EFFECT on of the effect. O(log pages); at once where there are none. */
bool erasure_has(const struct erasure *e, uint64_t index, size_t slot);
/* Slots there are; 0: nothing has to be taken out. */
uint64_t erasure_count(const struct erasure *e);

/* To erase a slot again changes nothing. 0; -ENOMEM; -EINVAL for a slot that
 * no entry can have. By evolve alone. */
int erasure_add(struct erasure *e, uint64_t index, size_t slot);
/* All slots of entries below `upto` are off the disk: forget them. By evolve
 * alone. Exact to the entry. */
void erasure_forget(struct erasure *e, uint64_t upto);

/* One record a page, in order of entries; and back: 0, -ENOMEM, or
 * CHOIR_MALFORMED. put returns 0 or a negative errno, which save passes on. */
typedef int (*erasure_sink)(void *to, struct bytes record);
int erasure_save(const struct erasure *e, erasure_sink put, void *to);
int erasure_load(struct erasure *e, struct bytes record);

#endif
