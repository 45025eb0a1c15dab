/* What the tasks in hand were made from: for each lease of a handle, which
 * version of which key was read under it, and which listings were made. A
 * completion carries these rows, so that the broker can say whether they still
 * hold; what the broker did not see asked (replicas, before its restart) is
 * told to it.
 *
 * A row says: as of revision `at`, the key was at `revision` (0: absent), or
 * the prefix looked like this. The later reading of the same replaces the
 * earlier. Our own writes raise a row, unless somebody else's came between
 * reading and writing: then it stays as it was read, and is stale.
 *
 * Guarded by a lock of its own: any thread. Without memory, or beyond
 * LIMIT_LIST_ITEMS rows, rows are widened to prefixes: more may then be found
 * stale, never less. */
#ifndef CHOIR_SDK_READS_H
#define CHOIR_SDK_READS_H

#include "proto/schema.h"

struct reads;

/* NULL: no memory. */
struct reads *reads_new(void);
void reads_destroy(struct reads **self_p);

/* A lease begins in that space, and ends. */
void reads_begin(struct reads *r, uint64_t task, uint64_t token,
                 struct bytes space);
void reads_end(struct reads *r, uint64_t token);
/* Its task; 0: there is no such lease. */
uint64_t reads_task(struct reads *r, uint64_t token);

/* One look at a key or a prefix. All of these pass over tokens that
 * are not there. */
struct look {
    struct bytes space, name;
    uint64_t revision; /* the key's version; 0: absent */
    uint64_t at;       /* the revision as of which that was so */
};
/* unseen: the broker does not know of it. True: nothing was to be told to it
 * before, and now there is (see reads_op). */
bool reads_key(struct reads *r, uint64_t token, const struct look *k,
               bool unseen);
/* A page of a listing: what it was asked to begin after, and where the next
 * one would begin; without bytes: it was the first, the last. Only a listing
 * that was seen to its end replaces an earlier one. */
bool reads_page(struct reads *r, uint64_t token, const struct look *prefix,
                struct bytes asked_after, struct bytes told_after, bool unseen);
/* Our own write of a key. at: its revision; revision: likewise, 0: deleted. */
void reads_wrote(struct reads *r, uint64_t token, const struct look *k);

/* Rows moved, as item MOVED says, or STALE in an effect. True: there was
 * something in it that had not been told before. */
bool reads_moved(struct reads *r, uint64_t token, uint64_t revision,
                 struct list items);
/* What moved and is neither answered nor read again, as an item MOVED,
 * appended. revision: up to which it was told. False: nothing. */
bool reads_pending(struct reads *r, uint64_t token, uint64_t *revision,
                   struct buf *item);
/* The last completion that was found stale, by its entry; 0: none was. */
void reads_stale_set(struct reads *r, uint64_t token, uint64_t entry);
uint64_t reads_stale(struct reads *r, uint64_t token);
/* The newest revision that was told to have moved; 0: none was. */
uint64_t reads_told(struct reads *r, uint64_t token);
/* It was answered up to there. ignored: what moved may stay as it was read. */
void reads_heeded(struct reads *r, uint64_t token, bool ignored,
                  uint64_t revision);

/* The rows as part READ_SET, appended, in at most so many bytes. Returns how
 * many rows; 0: none, and nothing appended. */
size_t reads_encode(struct reads *r, uint64_t token, size_t bytes_max,
                    struct buf *part);
/* The next ask READS with rows that the broker does not know; false: it knows
 * all of them. rows: scratch, in which m's list stays. */
bool reads_next(struct reads *r, struct msg *m, struct buf *rows);
/* Is there one? Cheap. */
bool reads_unseen(const struct reads *r);
/* The broker has forgotten everything. */
void reads_again(struct reads *r);

#endif
