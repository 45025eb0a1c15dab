/* A worker in a hall that reads under its lease: what the tests of read sets
 * share. Space "main", queue "jobs". */
#ifndef CHOIR_TESTS_SUPPORT_READER_H
#define CHOIR_TESTS_SUPPORT_READER_H

#include "tests/support/hall.h"

/* stale: of the task; 0: none is named. Returns the task. */
uint64_t reader_submit(struct guest *g, unsigned stale);
/* Take the next task; its lease. */
struct lease_held {
    uint64_t task, token, attempt;
    const struct msg *item; /* the task; until guest_forget */
};
struct lease_held reader_work(struct guest *g);

/* Read under the lease; the reply. */
const struct msg *reader_get(struct guest *g, const struct lease_held *l,
                             const char *key);
const struct msg *reader_list(struct guest *g, const struct lease_held *l,
                              const char *prefix);

/* A row of a read set, appended. space, seen: NULL, 0: without. */
void row_key(struct buf *rows, const char *key, uint64_t revision);
void row_prefix(struct buf *rows, const char *prefix, uint64_t revision);
void row_put(struct buf *rows, const char *space, const char *name,
             bool is_prefix, uint64_t revision, uint64_t seen);

/* Complete, with a read set of n rows in slot 1, or with n 0 without one. The
 * outcome; *effect: of the DONE, if it has one. */
int reader_complete(struct guest *g, const struct lease_held *l,
                    const struct buf *rows, uint64_t n, struct msg *effect);
/* The outcome. revision 0: none is named. */
int reader_heed(struct guest *g, const struct lease_held *l, unsigned kind,
                uint64_t revision);
/* An operation was said before: settle, and its outcome. */
int reader_outcome(struct guest *g, struct msg *effect);

#endif
