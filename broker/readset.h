/* What was read under live leases, as far as the broker saw it, and what of it
 * moved since. From a key that is written to those who read it, or a prefix of
 * it, leads an index: a write that concerns nobody costs a look-up for the key
 * and one for each length that a prefix in use has.
 *
 * Volatile: after a restart whoever holds a lease tells its set anew.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_READSET_H
#define CHOIR_BROKER_READSET_H

#include "proto/bytes.h"
#include "proto/hash.h"
#include "proto/limits.h"

enum {
    READSET_ROWS_MAX = LIMIT_LIST_ITEMS, /* of one lease */
    READSET_MOVES_MAX = 256,             /* kept one by one for one lease */
};

struct readsets;
struct readset; /* of one lease */

/* may: may that agent know of that key? What it may not read does not move. NULL: of every key. NULL when out of memory. */
typedef bool (*readset_may)(void *arg, uint32_t agent, struct bytes space,
                            struct bytes key);
struct readsets *readsets_new(readset_may may, void *arg);
/* Its sets must be gone. */
void readsets_destroy(struct readsets **self_p);
/* Bytes that all sets take, and those of one agent. */
uint64_t readsets_bytes(const struct readsets *all);
uint64_t readsets_agent_bytes(const struct readsets *all, uint32_t agent);
/* Is anything read under any lease? */
bool readsets_any(const struct readsets *all);

/* Made when something is noted first. token: of its lease; agent: number of
 * who is charged; owner: handed back by readset_hit. NULL: no memory. */
struct readset *readset_new(struct readsets *all, uint64_t token,
                            uint32_t agent, void *owner);
void readset_free(struct readsets *all, struct readset **set_p);
size_t readset_rows(const struct readset *set);

/* One reading. */
struct reading {
    struct bytes space, name; /* borrowed */
    bool is_prefix;
    uint64_t revision; /* key: its version, 0: absent; prefix: the cut */
    uint64_t at;       /* revision as of which that was so */
    uint64_t seen;     /* what moved up to there is to be ignored */
};

/* A later look at the same replaces an earlier one, and settles what had moved
 * up to then. bytes_max: of the agent. 0; CHOIR_OVER_LIMIT: not noted;
 * -ENOMEM. */
int readset_note(struct readsets *all, struct readset *set,
                 const struct reading *reading, uint64_t bytes_max);
/* One page of several. first: nothing was asked to come after; last: nothing
 * follows. Only a listing that was seen to its end replaces an earlier one. */
int readset_note_page(struct readsets *all, struct readset *set,
                      const struct reading *reading, bool first, bool last,
                      uint64_t bytes_max);

/* A version of a key. */
struct version_made {
    struct bytes space, key; /* borrowed */
    uint64_t revision, prev;
    struct hash agent;
    bool deleted;
    uint64_t token; /* of the lease it was made under, or 0 */
};

/* May anybody have read it? */
bool readsets_concern(const struct readsets *all, struct bytes space,
                      struct bytes key);
/* It was made. hit: for each set in which it moved something; own writes move
 * nothing. 0 or -ENOMEM. */
typedef void (*readset_hit)(void *arg, void *owner);
int readsets_made(struct readsets *all, const struct version_made *v,
                  readset_hit hit, void *arg);
/* The same for one set alone: it stood before the set was told. */
int readset_made(struct readsets *all, struct readset *set,
                 const struct version_made *v);

/* What moved: the newest revision (0: nothing is pending), how many keys, and
 * the first of them. */
struct readset_move {
    struct bytes space, key; /* borrowed until the set changes */
    uint64_t prev, revision;
    struct hash agent;
    bool deleted;
};
uint64_t readset_pending(const struct readset *set, uint64_t *count);
/* *at: NULL to start. False: that was the last. */
bool readset_move_next(const struct readset *set, const void **at,
                       struct readset_move *out);
/* Answered up to that revision. ignore: what moved counts as read. */
int readset_heed(struct readsets *all, struct readset *set, uint64_t revision,
                 bool ignore);

/* Every row; *at: NULL to start. */
bool readset_next(const struct readset *set, const void **at,
                  struct reading *out);

#endif
