/* What recording, widening and telling share of a read set. */
#ifndef CHOIR_SDK_READS_PRIVATE_H
#define CHOIR_SDK_READS_PRIVATE_H

#include <pthread.h>
#include <uthash.h>

#include "reads.h"

enum {
    ROWS_MAX = LIMIT_LIST_ITEMS,
    ROWS_BYTES_MAX = 256 << 10, /* of a set: a slot takes it, a head does not */
    NAME_MAX_BYTES = 1 + LIMIT_NAME_BYTES + 1 + LIMIT_KEY_BYTES,
};

struct row {
    UT_hash_handle hh;
    struct row *prev, *next; /* of prefixes */
    uint64_t revision, at;
    uint64_t own;       /* our last write of it; 0: none */
    uint64_t moved;     /* it was told to be there; 0: it was not */
    uint64_t seen;      /* what moved up to there is to be ignored */
    uint64_t chain;     /* of a listing that goes on: its first page's cut, */
    char *after;        /* owned: and where it goes on; NULL: it does not */
    struct hash writer; /* of `moved` */
    bool is_prefix, is_unread, is_unseen, own_gone, moved_gone;
    size_t space_bytes, name_bytes;
    char name[]; /* kind, space, NUL, text: the key of the hash */
};

struct read_set {
    UT_hash_handle hh;
    uint64_t token, task;
    char space[LIMIT_NAME_BYTES + 1];
    struct row *rows, *prefixes;
    size_t bytes;
    bool is_wide; /* rows were widened */
    bool is_lost; /* a row was lost: all of it is stale */
    uint64_t told, answered;
    uint64_t stale; /* entry of the last completion that was */
    size_t unseen;
};

struct reads {
    pthread_mutex_t lock;
    struct read_set *sets;
    size_t unseen; /* atomic: rows, of all sets */
};

static inline struct bytes row_space(const struct row *row)
{
    return bytes_of(row->name + 1, row->space_bytes);
}
static inline struct bytes row_text(const struct row *row)
{
    return bytes_of(row->name + row->space_bytes + 2,
                    row->name_bytes - row->space_bytes - 2);
}

/* With the lock held. NULL: there is none. */
struct read_set *reads_find(struct reads *r, uint64_t token);
struct row *row_find(struct read_set *set, bool is_prefix, struct bytes space,
                     struct bytes text);
/* Found or made; NULL: it cannot exist, or no memory, and then the set is
 * lost. */
struct row *row_get(struct read_set *set, bool is_prefix, struct bytes space,
                    struct bytes text);
void row_remove(struct reads *r, struct read_set *set, struct row *row);
void row_unseen(struct reads *r, struct read_set *set, struct row *row,
                bool unseen);
/* Does our own write stand, with nobody else's between it and the reading? */
bool row_is_ours(const struct row *row);
/* The version that the row demands. */
uint64_t row_revision(const struct row *row);
/* The lowest cut of a listing that covers that key; 0: none does. */
uint64_t cover_of(const struct read_set *set, struct bytes space,
                  struct bytes key);
/* Fewer rows and bytes than so many, by widening. */
void reads_widen(struct reads *r, struct read_set *set, size_t rows,
                 size_t bytes);

#endif
