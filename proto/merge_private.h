/* What the two files of merge share. */
#ifndef CHOIR_PROTO_MERGE_PRIVATE_H
#define CHOIR_PROTO_MERGE_PRIVATE_H

#include "merge.h"

/* The order of bytes, a prefix first. */
int merge_compare(struct bytes a, struct bytes b);
/* The next whole item of something pack_valid. */
struct bytes merge_next(struct cursor *c);

/* Three-way, of whole msgpack values. As merge_values. */
int merge_maps(const struct merge_inputs *in, struct buf *out,
               struct merge_clashes *clashes);

#endif
