/* How two writes of one key become one value: bytes in, bytes out.
 *
 * The broker computes with it, and whoever verifies a record computes it
 * again, so the result is a function of rule and inputs alone and never
 * changes with a release. proto/README.md says the rules in words. Work and
 * memory are O(n log n) and O(n) of the inputs, nesting is capped. */
#ifndef CHOIR_PROTO_MERGE_H
#define CHOIR_PROTO_MERGE_H

#include "bytes.h"
#include "schema.h"

enum {
    MERGE_PATHS_MAX = 8, /* clashes that are named */
    MERGE_PATH_BYTES = 256,
    /* Of one map or set: more are not taken apart. */
    MERGE_ITEMS_MAX = 65536,
};

/* Values that merge are of this media type. */
#define MERGE_TYPE "application/msgpack"

/* Which side of a clash is taken; the broker takes none. */
enum merge_side { MERGE_NO_SIDE, MERGE_THEIRS, MERGE_YOURS };

/* p NULL: there is none. All borrowed. */
struct merge_inputs {
    struct bytes base;   /* what yours was made from */
    struct bytes theirs; /* what is there */
    struct bytes yours;
    enum merge_side side; /* of RULE_MERGE */
};

struct merge_clashes {
    uint64_t count;
    /* JSON pointers (RFC 6901) of the first ones, cut behind a whole step. */
    char paths[MERGE_PATHS_MAX][MERGE_PATH_BYTES];
    const char *why; /* for a person; static, NULL after 0 */
};

/* Append the value to out; on any other result out is as it was, but for its
 * room.
 * 0
 * CHOIR_CONFLICT    both changed the same; clashes says where
 * CHOIR_INVALID     a value is not of the kind that the rule is for
 * CHOIR_OVER_LIMIT  a counter leaves 64 bits, a set MERGE_ITEMS_MAX
 * -ENOMEM */
int merge_values(enum merge_rule rule, const struct merge_inputs *in,
                 struct buf *out, struct merge_clashes *clashes);

/* A whole number of 64 bits. p NULL is 0. */
bool merge_number(struct bytes value, int64_t *n);

/* An array of that one element. */
void merge_one(struct buf *out, struct bytes element);

#endif
