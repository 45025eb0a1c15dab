/* What the files about single entries share: where the entries of groups are
 * that were asked for. */
#ifndef CHOIR_BROKER_LEDGER_ENTRY_INSIDE_H
#define CHOIR_BROKER_LEDGER_ENTRY_INSIDE_H

#include "broker/ledger/segment.h"

struct bundle_place {
    uint32_t header, first; /* offset in heads; number of its first entry */
};

struct entry_place {
    uint32_t head, payload; /* offsets in heads and in payloads */
};

/* Where everything of one group is. */
struct group_map {
    uint64_t segment, offset, first, time;
    bool used; /* since the hand last came by */
    uint32_t count, bundle_count, heads_bytes, payload_bytes;
    struct entry_place *entries;  /* owned; one more than there are */
    struct bundle_place *bundles; /* owned; the same */
    /* Of a thin group: marks of all slots, and which is each entry's first. */
    uint8_t *marks;        /* owned */
    uint32_t *entry_marks; /* owned */
};

/* An entry's own bytes, where the file has them. */
struct entry_pieces {
    uint64_t head_at, payload_at;
    /* Head, effect and the two words before them; maybe the header of the next
     * bundle behind. */
    uint32_t head, payload;
    struct bytes marks; /* borrowed from the map */
};

/* An entry that was read and checked ahead, without its bundle. */
struct entry_ahead {
    uint64_t time;
    int outcome;
    struct bytes head, effect, rows, effect_rows;
    struct bytes payload, effect_payload, marks, effect_marks;
};

struct entry_cache {
    struct group_map *maps[LEDGER_MAPS_MAX]; /* owned, ascending */
    uint64_t firsts[LEDGER_MAPS_MAX];        /* what they begin with */
    size_t count, places, hand;
    uint64_t loaded;
    struct window window;
    struct buf bundle, entry; /* what walk.at borrows from */
    struct group_walk walk;
    uint64_t at_first; /* walk.at's bundle: its group, its number there */
    uint32_t at_bundle;
    bool at_valid;
    struct {
        size_t n, next; /* next: the one behind that which was asked for last */
        uint64_t indices[LEDGER_AHEAD_MAX];
        struct entry_ahead entries[LEDGER_AHEAD_MAX];
        struct buf bytes; /* what they borrow from */
    } ahead;
};

/* --- entry_map.c --------------------------------------------------------- */

/* The map of the group that holds index, if it is remembered, or NULL. */
struct group_map *map_find(const struct entry_cache *c, uint64_t index);
/* Likewise, made if need be. Others may be dropped for it. 0 or negative errno,
 * with trouble. */
int map_get(struct ledger *l, uint64_t index, struct group_map **out);
struct entry_pieces map_pieces(const struct group_map *m, uint64_t index);

/* --- entry_ahead.c ------------------------------------------------------- */

/* Make walk.at that entry if it was read ahead. */
bool ahead_take(struct entry_cache *c, uint64_t index);

/* --- entry.c ------------------------------------------------------------- */

/* Make the walk stand in no bundle, but before an entry of one. */
void bundle_omit(struct entry_cache *c);
/* The entry of which the pieces begin at p, without its bundle. 0 or
 * CHOIR_MALFORMED; payloads are not checked. */
int entry_parse(struct entry_cache *c, const struct group_map *m,
                uint64_t index, const struct entry_pieces *pieces,
                const uint8_t *p, const struct entry **e);

#endif
