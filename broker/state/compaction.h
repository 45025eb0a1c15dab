/* Compaction lines: for a space, or for all of them, the revision below which
 * the past need not be kept. At the line and above everything is as it was;
 * below it only what is newest there has to be there.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_COMPACTION_H
#define CHOIR_BROKER_STATE_COMPACTION_H

#include "digest.h"
#include "index.h"
#include "proto/bytes.h"

struct compaction;

/* NULL when out of memory. digest: borrowed. */
struct compaction *compaction_new(struct digest *digest);
void compaction_destroy(struct compaction **self_p);

/* The line that holds for the space, the one of all spaces included; 0: none.
 * space: empty for that of all spaces alone. O(log spaces). */
uint64_t compaction_line(const struct compaction *c, struct bytes space);

/* Of all lines: it rises when one of them does. */
uint64_t compaction_sum(const struct compaction *c);

/* Lines only rise; to say a lower one changes nothing. 0; -ENOMEM; -EINVAL for
 * a name beyond proto/limits.h. By evolve alone. */
int compaction_raise(struct compaction *c, struct bytes space, uint64_t line);

/* One record a line, the one of all spaces first; and back: 0, -ENOMEM, or
 * CHOIR_MALFORMED. put returns 0 or a negative errno, which save passes on. */
typedef int (*compaction_sink)(void *to, struct bytes record);
int compaction_save(const struct compaction *c, compaction_sink put, void *to);
int compaction_load(struct compaction *c, struct bytes record);

#endif
