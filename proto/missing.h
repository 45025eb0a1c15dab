/* Which payloads of a ledger are missing, and do its own entries permit it?
 *
 * Fed with every entry in order; it remembers what is missing until it is known
 * what superseded it, and until the end which line had to allow that. Reads
 * heads and effects alone. docs/ledger-format.md has the rule. */
#ifndef CHOIR_PROTO_MISSING_H
#define CHOIR_PROTO_MISSING_H

#include "record.h"

struct missing;

/* NULL when out of memory. */
struct missing *missing_new(void);
void missing_destroy(struct missing **self_p);

/* Is there anything to learn from an entry of that verb of which no payload is
 * missing? Otherwise it need not be told. */
bool missing_wants(const struct missing *m, unsigned verb);
/* 0; CHOIR_BROKEN: something is missing that can never be permitted; -ENOMEM.
 */
int missing_entry(struct missing *m, const struct entry *e);
/* After the last: 0; CHOIR_BROKEN, and *index is an entry of which something is
 * missing without permission. */
int missing_end(const struct missing *m, uint64_t *index);

#endif
