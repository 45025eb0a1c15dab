/* Where in a value something stands, and since when it has been so.
 *
 * The places of a map are the paths in it, down to what is no map; those of an
 * array its elements. They are named as JSON pointers (RFC 6901). Whoever has
 * the versions of a value, newest first, settles here which one each place is
 * from. Pure: bytes in, numbers out; O(n log n) of what is compared. */
#ifndef CHOIR_PROTO_PLACES_H
#define CHOIR_PROTO_PLACES_H

#include "merge.h"

struct places;

/* Up to `most` places of the value, behind the one named `after` (empty: from
 * the first). rule: RULE_SET: an array's element is the same wherever it
 * stands; else it is the same as long as all before it are.
 * A map is one place if it is empty, has a key twice or very many, keys that
 * are neither all texts nor all whole numbers, or paths longer than a key.
 * *out: owned, set on 0; value: borrowed until places_free. *more: there are
 * more behind them.
 * 0; CHOIR_NOT_FOUND: the value is neither a map nor an array, or empty;
 * CHOIR_INVALID: no place is named so; -ENOMEM. */
int places_make(struct places **out, enum merge_rule rule, struct bytes value,
                struct bytes after, size_t most, bool *more);
void places_free(struct places **self_p);

/* Those that are not settled yet. */
size_t places_open(const struct places *p);
/* What is not the same in an earlier value (p NULL: there was none, or another
 * kind) is settled: it is of `revision`, which is not 0. 0 or -ENOMEM. */
int places_settle(struct places *p, struct bytes earlier, uint64_t revision);

/* One after the other from *at = 0 on, until false. name: borrowed until the
 * next call. revision: 0 if it is open. */
bool places_next(struct places *p, size_t *at, struct bytes *name,
                 uint64_t *revision);

#endif
