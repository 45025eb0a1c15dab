/* The keys of a replica: the newest version of each, found by hash and walked
 * in the order of their bytes.
 *
 * A version never changes and is shared by counting, so that whoever reads one
 * may keep it while the map moves on. Who reads and who writes a map is kept
 * apart by its owner. */
#ifndef CHOIR_SDK_REPLICA_MAP_H
#define CHOIR_SDK_REPLICA_MAP_H

#include <stdbool.h>

#include "proto/hash.h"

/* What a look-up touches stands in front, so that it is one line of cache for
 * a key of usual length. */
struct version {
    uint32_t holders; /* atomic */
    uint32_t key_bytes, value_bytes;
    bool has_type, is_gone, is_erased;
    uint64_t revision, time;
    struct place *place; /* in the order; the map's own */
    char text[]; /* key, value and type, a NUL behind each; 32 bytes: agent */
};

static inline const char *version_value(const struct version *v)
{
    return v->text + v->key_bytes + 1;
}

/* NULL if there is none. */
static inline const char *version_type(const struct version *v)
{
    return v->has_type ? version_value(v) + v->value_bytes + 1 : NULL;
}
const uint8_t *version_agent(const struct version *v);

/* What a version is made of; copied. is_erased: its value was, and all that is
 * known is that it is there: it is found, and in no list. */
struct version_parts {
    struct bytes key, value, type; /* type.n 0: none */
    uint64_t revision, time;
    struct hash agent;
    bool is_erased;
};
/* Held once. NULL: no memory. */
struct version *version_new(const struct version_parts *parts);
/* Any thread. version_release: NULL is allowed. */
void version_hold(struct version *v);
void version_release(struct version *v);

struct replica_map;

/* NULL: no memory. */
struct replica_map *replica_map_new(void);
/* NULL is allowed. Versions that others hold stay. */
void replica_map_destroy(struct replica_map **map);

/* Owned by the map. NULL: there is none. */
struct version *replica_map_find(const struct replica_map *map,
                                 struct bytes key);
/* What stands at that key, gone or not, is of this revision; 0: nothing is
 * known of it. */
uint64_t replica_map_revision(const struct replica_map *map, struct bytes key);
/* Make room for n more keys, so that what follows is short: a larger table is
 * filled here, where readers may still read, and taken up by the next change.
 * 0 or -ENOMEM. */
int replica_map_reserve(struct replica_map *map, size_t n);
/* Put v there instead of what is there, after reserve. Takes v.
 * 0; -ENOMEM, and v is released. */
int replica_map_put(struct replica_map *map, struct version *v);
/* Take the key out, if it is there. */
void replica_map_remove(struct replica_map *map, struct bytes key);
/* Note that it is gone as of that revision, so that what is older and arrives
 * later does not bring it back; until replica_map_forget_gone. 0 or -ENOMEM. */
int replica_map_gone(struct replica_map *map, struct bytes key,
                     uint64_t revision);
void replica_map_forget_gone(struct replica_map *map);

/* The keys behind `after` (no bytes: from the first), in order, with their
 * revisions as proto/keyset.h has them: as many as fit into max and bytes_max.
 * last: of them, the last one; owned by the map. True: more follow. */
bool replica_map_run(const struct replica_map *map, struct bytes after,
                     size_t max, size_t bytes_max, struct buf *run,
                     struct bytes *last);

/* Keys that are there; and bytes of all it keeps. */
size_t replica_map_keys(const struct replica_map *map);
size_t replica_map_bytes(const struct replica_map *map);

/* All that begin with prefix, in order, each held once more for the caller.
 * versions: owned, an array of *count, to be freed; NULL if there is none.
 * 0 or -ENOMEM. */
int replica_map_cut(const struct replica_map *map, struct bytes prefix,
                    struct version ***versions, size_t *count);

#endif
