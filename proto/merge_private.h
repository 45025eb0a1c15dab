/* What the files of merge share, and places.c with them. */
#ifndef CHOIR_PROTO_MERGE_PRIVATE_H
#define CHOIR_PROTO_MERGE_PRIVATE_H

#include "merge.h"

/* The order of bytes, a prefix first. */
int merge_compare(struct bytes a, struct bytes b);
/* The next whole item of something pack_valid. */
struct bytes merge_next(struct cursor *c);

struct merge_pair {
    struct bytes key, value; /* encoded */
};
/* A map taken apart. */
struct merge_map {
    struct merge_pair *pairs; /* owned, free; by key */
    size_t count;
};
/* 0; CHOIR_NOT_FOUND: it is whole, being no map, or one with a key twice or
 * with very many; -ENOMEM. p NULL is a map without keys. map: to be freed
 * whatever is returned. */
int merge_map_make(struct merge_map *map, struct bytes value);
/* By key, for qsort and bsearch. */
int merge_pair_compare(const void *a, const void *b);
/* One step of a JSON pointer (RFC 6901); bytes it takes, also when there is no
 * room for it. key: encoded. */
size_t merge_step_put(char *to, size_t room, struct bytes key);

/* Three-way, of whole msgpack values. As merge_values. */
int merge_maps(const struct merge_inputs *in, struct buf *out,
               struct merge_clashes *clashes);

#endif
