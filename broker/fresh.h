/* What new entries are about to be asked for: payloads of tasks that were
 * submitted a moment ago, changes that a watch was told. Whoever gets one then
 * is told it from memory, instead of having it read back from the record. The
 * oldest make room; what is not here is read.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_FRESH_H
#define CHOIR_BROKER_FRESH_H

#include "proto/bytes.h"

enum {
    FRESH_BYTES = 4 << 20,
    FRESH_VALUE_MAX = 65536, /* larger ones are read back */
    FRESH_ROWS = 16384,
};

struct fresh;

/* Takes no room before there is something. NULL when out of memory. */
struct fresh *fresh_new(void);
void fresh_destroy(struct fresh **self_p);

/* Would it be kept? Entries must come in order. */
bool fresh_wants(const struct fresh *f, uint64_t entry);
/* Copied. Of a task, slot 0. */
void fresh_put(struct fresh *f, uint64_t entry, struct bytes value,
               struct bytes type);
/* Borrowed until the next is put. */
bool fresh_get(const struct fresh *f, uint64_t entry, struct bytes *value,
               struct bytes *type);

#endif
