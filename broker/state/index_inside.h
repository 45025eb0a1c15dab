/* What the files of the index share: its nodes, and how one is searched. For
 * them alone.
 *
 * Fences: all keys below a node lie in [low, high), the separators nearest to
 * it on the way down, and so does every key that is looked for there. What the
 * two fences share is therefore shared by all of them and never compared:
 * node->skip. The outermost nodes have no fence on one side; they skip what
 * their own keys share, and what is looked for is compared with that first
 * (node->open).
 *
 * The four bytes after it are kept as node->hints, and only where hints are
 * equal is a key itself read. Hints beyond the last are all ones, so that a
 * search reads them without looking where they end. */
#ifndef CHOIR_BROKER_STATE_INDEX_INSIDE_H
#define CHOIR_BROKER_STATE_INDEX_INSIDE_H

#include <endian.h>
#include <string.h>

#include "broker/state/index.h"

#define FANOUT 64u
#define HINT_NONE UINT32_MAX
/* Longer keys are looked for again. */
#define MISSED_MAX 96u
/* A node has at least two children, and 2^32 leaves do not fit in memory. */
#define DEPTH_MAX 32

struct node {
    uint16_t n; /* keys; an inner node has one child more */
    uint16_t skip;
    bool leaf, open, stamped;
    uint32_t hints[FANOUT];
    struct index_key *keys[FANOUT]; /* leaf: borrowed; inner: owned */
    union {
        struct node *next;                 /* leaf: in order */
        struct node *children[FANOUT + 1]; /* inner */
    };
};

/* A leaf is allocated without the room for children. Behind either stand the
 * stamps, in an index that has them. */
#define LEAF_BYTES (offsetof(struct node, next) + sizeof(struct node *))

/* One for each key of a leaf, or the newest below each child. */
static inline uint64_t *node_stamps(const struct node *node)
{
    size_t at = node->leaf ? LEAF_BYTES : sizeof(struct node);

    return (uint64_t *)(void *)((char *)(uintptr_t)node + at);
}

struct index {
    struct node *root; /* NULL while nothing was ever inserted */
    size_t count;
    size_t bytes;
    bool stamped;
    /* The key that was found or inserted last, and the way to it: most keys
     * are looked for several times in a row. NULL: not known. */
    struct index_key *last;
    /* Or the way to where a key would be that was just not found: it is looked
     * for once more and then inserted. */
    bool missed;
    uint16_t missed_len;
    unsigned char missed_bytes[MISSED_MAX];
    uint32_t depth; /* steps of the path; the last is in the leaf */
    struct step {
        struct node *node;
        uint32_t at;
    } path[DEPTH_MAX];
};

struct sought {
    const unsigned char *bytes;
    size_t len;
};

/* Was it looked for last, and not there? */
static inline bool index_missed(const struct index *index,
                                const struct sought *sought)
{
    return index->missed && index->missed_len == sought->len &&
           !memcmp(index->missed_bytes, sought->bytes, sought->len);
}

/* No bytes at all may come as NULL, to which not even 0 may be added. */
static inline struct sought sought_of(const void *bytes, size_t len)
{
    return (struct sought){bytes ? bytes : "", len};
}

/* Padding with zeros keeps the order: a key that ends is below one that goes
 * on, and where the other goes on with zeros the hints are equal and the keys
 * are read. */
static inline uint32_t hint_of(const unsigned char *bytes, size_t len,
                               size_t skip)
{
    uint32_t hint = 0;

    if (len >= skip + 4) {
        memcpy(&hint, bytes + skip, 4);
        return be32toh(hint);
    }
    for (size_t i = 0; i < 4; i++)
        hint = hint << 8 | (skip + i < len ? bytes[skip + i] : 0u);
    return hint;
}

/* How many hints are below this one. Without a branch: first which sixteen,
 * then how many of them. */
static inline uint32_t hints_below(const uint32_t *hints, uint32_t hint)
{
    unsigned sixteens =
        0u + (hints[15] < hint) + (hints[31] < hint) + (hints[47] < hint);
    const uint32_t *few = hints + 16 * sixteens;
    uint32_t rank = 16 * sixteens;

    for (uint32_t i = 0; i < 16; i++)
        rank += few[i] < hint;
    return rank;
}

/* Does what is sought begin as all keys of an open node do? Below or above
 * them, if it does not. */
static inline int node_begins(const struct node *node,
                              const struct sought *sought)
{
    size_t len = sought->len < node->skip ? sought->len : node->skip;
    int order = node->n ? memcmp(sought->bytes, node->keys[0]->bytes, len) : 0;

    return order ? order : sought->len < node->skip ? -1 : 0;
}

/* How many of the node's keys are below what is sought, or equal to it where
 * `including`. *equal: one of them is. */
static inline uint32_t node_rank(const struct node *node,
                                 const struct sought *sought, bool including,
                                 bool *equal)
{
    size_t skip = node->skip;
    uint32_t hint, low, high;

    *equal = false;
    if (node->open && skip) {
        int order = node_begins(node, sought);

        if (order)
            return order < 0 ? 0 : node->n;
    }
    hint = hint_of(sought->bytes, sought->len, skip);
    low = hints_below(node->hints, hint);
    if (low >= node->n || node->hints[low] != hint)
        return low;
    high = hint == HINT_NONE ? node->n : hints_below(node->hints, hint + 1);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct index_key *key = node->keys[middle];
        int order = index_compare(key->bytes + skip, key->len - skip,
                                  sought->bytes + skip, sought->len - skip);

        *equal |= order == 0;
        if (order < (including ? 1 : 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A separator equal to the key stands for what begins with it: to the right. */
static inline uint32_t child_rank(const struct node *node,
                                  const struct sought *sought)
{
    bool equal;

    return node_rank(node, sought, true, &equal);
}

static inline size_t shared_len(const struct index_key *a,
                                const struct index_key *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    size_t i = 0;

    while (i < len && a->bytes[i] == b->bytes[i])
        i++;
    return i;
}

/* NULL: unbounded on that side. */
struct fences {
    const struct index_key *low;
    const struct index_key *high;
};

static inline struct fences child_fences(const struct node *node, uint32_t at,
                                         struct fences fences)
{
    if (at > 0)
        fences.low = node->keys[at - 1];
    if (at < node->n)
        fences.high = node->keys[at];
    return fences;
}

/* The newest stamp of all below. */
static inline uint64_t node_newest(const struct node *node)
{
    const uint64_t *stamps = node_stamps(node);
    uint32_t n = node->leaf ? node->n : node->n + 1u;
    uint64_t newest = 0;

    for (uint32_t i = 0; i < n; i++)
        newest = stamps[i] > newest ? stamps[i] : newest;
    return newest;
}

#endif
