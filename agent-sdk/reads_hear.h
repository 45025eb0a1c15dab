/* What the outcomes of operations and asks say about read sets. Engine only.
 */
#ifndef CHOIR_SDK_READS_HEAR_H
#define CHOIR_SDK_READS_HEAR_H

#include "reads.h"
#include "request.h"

/* op, which speaks for a lease, has its outcome. item: the message it came in,
 * or NULL. */
void reads_hear(struct reads *r, const struct op *op, int code,
                uint64_t revision, const struct msg *item);
/* Did that STALE end the lease, as a nak would have? */
bool stale_ended(const struct msg *item);
/* Does that HEED, once it is accepted? */
bool op_abandons(const struct op *op);

#endif
