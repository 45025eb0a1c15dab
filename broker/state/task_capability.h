/* Sets of capabilities: what a task takes, what a worker has. Packed, a set is
 * its names, ascending and each with a NUL behind it, so that equal sets are
 * equal bytes. */
#ifndef CHOIR_BROKER_STATE_TASK_CAPABILITY_H
#define CHOIR_BROKER_STATE_TASK_CAPABILITY_H

#include "proto/schema.h"

enum { CAPABILITIES_BYTES = LIMIT_CAPABILITIES * (LIMIT_NAME_BYTES + 1) };

struct capabilities {
    size_t n;
    char packed[CAPABILITIES_BYTES];
};

/* FIELD_CAPABILITIES of a message; without it the empty set. 0;
 * CHOIR_OVER_LIMIT (LIMIT_CAPABILITIES); CHOIR_INVALID: an element is no name,
 * or says more than one, or comes twice. */
int capabilities_read(const struct msg *m, struct capabilities *out);
/* Does whoever has the one set have all of the other? */
bool capabilities_cover(struct bytes have, struct bytes want);
/* Is it as capabilities_read packs one? */
bool capabilities_sound(struct bytes packed);

static inline struct bytes capabilities_bytes(const struct capabilities *c)
{
    return bytes_of(c->packed, c->n);
}

#endif
