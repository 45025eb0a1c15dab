/* What the read sets of this broker are made of. A node is a key or a prefix that
 * somebody read; it knows the rows of all sets that did. A set finds its own row
 * by the node. */
#ifndef CHOIR_BROKER_READSET_PRIVATE_H
#define CHOIR_BROKER_READSET_PRIVATE_H

#include <uthash.h>
#include <utlist.h>

#include "filter.h"
#include "readset.h"

enum {
    NAME_BYTES = 2 + LIMIT_NAME_BYTES + LIMIT_KEY_BYTES,
    WORDS = LIMIT_KEY_BYTES / 64 + 1,
};

struct node {
    struct row *rows; /* of all sets */
    size_t space_bytes, bytes;
    uint64_t hash; /* for the filter */
    UT_hash_handle hh;
    char name[]; /* 'k' or 'p', space, NUL, key or prefix */
};

struct row {
    struct node *node;
    struct readset *set;
    uint64_t revision, at, seen;
    uint64_t chain; /* of a listing that goes on: its first page's cut */
    struct row *prev, *next; /* of the node */
    UT_hash_handle hh;       /* of the set, by node */
};

struct move {
    uint64_t prev_revision, revision;
    struct hash agent;
    bool deleted;
    size_t space_bytes, bytes;
    UT_hash_handle hh;
    char name[]; /* as of a node */
};

struct readset {
    uint64_t token;
    uint32_t agent;
    void *owner;
    uint64_t newest; /* that moved and is not answered */
    uint64_t beyond; /* moves that were not kept one by one */
    struct row *rows;
    struct move *moves;
};

struct readsets {
    readset_may may;
    void *arg;
    struct node *nodes;
    uint64_t bytes;
    uint64_t *agents; /* bytes of each, by number */
    size_t agents_cap;
    struct filter keys, prefixes;
    size_t lengths[LIMIT_KEY_BYTES + 1]; /* prefix nodes of each */
    uint64_t used[WORDS];                /* lengths that have any */
};

static inline struct bytes name_space(const char *name, size_t space_bytes)
{
    return bytes_of(name + 1, space_bytes);
}

static inline struct bytes name_text(const char *name, size_t space_bytes,
                                     size_t n)
{
    return bytes_of(name + 2 + space_bytes, n - 2 - space_bytes);
}

static inline struct bytes node_text(const struct node *node)
{
    return name_text(node->name, node->space_bytes, node->bytes);
}

static inline bool node_is_prefix(const struct node *node)
{
    return node->name[0] == 'p';
}

/* --- readset_nodes.c: what was read, by name -------------------------------- */

/* Its length; 0: it is too long to be a name. */
size_t readset_name_put(char out[NAME_BYTES], bool is_prefix,
                        struct bytes space, struct bytes name);
/* NULL: nobody read it. */
struct node *readset_node_named(const struct readsets *all, const char *name,
                                size_t n);
/* Made if it is not there; NULL when out of memory. */
struct node *readset_node_of(struct readsets *all, const char *name, size_t n,
                             size_t space_bytes);
/* Freed with its last row. */
void readset_node_leave(struct readsets *all, struct node *node);
/* The next prefix of that name, from *length on, that somebody listed; NULL: no
 * more. name begins with 'p'. */
struct node *readset_prefix_next(const struct readsets *all, char *name,
                                 size_t space_bytes, size_t key_bytes,
                                 size_t *length);

/* --- readset.c: rows, and what they cost ------------------------------------ */

/* To the set's agent; to give back, the negative as size_t. */
void readset_charge(struct readsets *all, struct readset *set, size_t bytes);
/* NULL: the set has no such row. */
struct row *readset_row_find(const struct readsets *all,
                             const struct readset *set, const char *name,
                             size_t n);
/* Made if it is not there. 0; CHOIR_OVER_LIMIT; -ENOMEM. */
int readset_row_of(struct readsets *all, struct readset *set,
                   const struct reading *reading, uint64_t bytes_max,
                   struct row **out);

/* --- readset_moves.c: what moved under a set -------------------------------- */

/* A version came behind `was`, which had been read. 0 or -ENOMEM. */
int readset_move_note(struct readsets *all, struct readset *set,
                      const struct version_made *v, uint64_t was);
/* The key was looked at again, or all keys under the prefix were. */
void readset_moves_settle(struct readsets *all, struct readset *set,
                          const struct reading *r);
void readset_move_free(struct readsets *all, struct readset *set,
                       struct move *move);

#endif
