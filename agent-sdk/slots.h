/* The hashes of slots. A request is encoded with room for them; they are filled
 * in for all operations of a bundle at once, when it is signed, because many
 * hashes side by side cost a quarter of as many one by one (hash_many). */
#ifndef CHOIR_SDK_SLOTS_H
#define CHOIR_SDK_SLOTS_H

#include "request.h"

/* A row without its hash; for a payload of so many bytes. */
void slots_row(struct buf *rows, size_t bytes);
/* Fill in the hashes of one payload section, now. */
void slots_hash_rows(struct buf *rows, struct bytes payload);
/* Those of the first `count` ops in a list that are bare. */
void slots_hash(struct op *ops, size_t count);

#endif
