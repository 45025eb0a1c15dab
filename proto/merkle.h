/* Two trees of the same shape (RFC 6962, 2.1: split at the largest power of
 * two below n): the tree of a bundle's operations or a cycle's answers, whose
 * nodes are BLAKE2b, and the ledger's own, whose nodes are SHA-256. */
#ifndef CHOIR_PROTO_MERKLE_H
#define CHOIR_PROTO_MERKLE_H

#include "hash.h"

typedef struct hash (*merkle_node)(const struct hash *l, const struct hash *r);

/* BLAKE2b node, for bundles and answers: H("node/1", left || right). */
struct hash merkle_blake(const struct hash *l, const struct hash *r);

/* The root over n >= 1 leaves, which are lost. */
struct hash merkle_shrink(struct hash *leaves, size_t n);

/* Longest path a tree of 2^32 leaves can need. */
enum { MERKLE_PATH_MAX = 32 };

/* A whole small tree, kept so that paths are cheap. Zero-initialised is
 * empty; one tree may be rebuilt many times without allocating again. */
struct merkle {
    struct hash *nodes; /* owned: levels one after the other, leaves first */
    size_t count, cap;
};

/* Build over n >= 1 leaves. 0 or -ENOMEM. */
int merkle_build(struct merkle *m, const struct hash *leaves, size_t n);
struct hash merkle_root(const struct merkle *m);
/* Path of leaf i, nearest sibling first. Returns its length. */
size_t merkle_path(const struct merkle *m, size_t i,
                   struct hash path[MERKLE_PATH_MAX]);
void merkle_free(struct merkle *m);

/* The root that leaf i of n and its path lead to. CHOIR_MALFORMED when the
 * path has not exactly the length that i and n demand. */
int merkle_climb(merkle_node node, struct hash leaf, uint64_t i, uint64_t n,
                 const uint8_t *path, size_t path_hashes, struct hash *root);

/* The ledger's tree as its right edge alone: the roots of the full subtrees,
 * largest first. O(log n) memory; leaves can only be appended. */
struct frontier {
    uint64_t size;
    unsigned depth;
    struct hash edge[64];
};

void frontier_init(struct frontier *f);
void frontier_add(struct frontier *f, struct hash leaf);
/* The same for many, level by level, which takes half the time. nodes: the
 * first place is free, n leaves are behind it; they are overwritten. full: told
 * of each level above the leaves the roots of those subtrees that have become
 * full, from left to right; borrowed for the call. NULL: nobody. */
typedef void (*frontier_full)(void *arg, unsigned level,
                              const struct hash *roots, size_t n);
void frontier_add_many(struct frontier *f, struct hash *nodes, size_t n,
                       frontier_full full, void *arg);
struct hash frontier_root(const struct frontier *f);
/* Append 2^level leaves at once, by their root. 0; CHOIR_MALFORMED: no such
 * subtree begins behind the last leaf, or it would end beyond 2^53. */
int frontier_add_node(struct frontier *f, unsigned level, struct hash node);

/* A full subtree: leaves index << level up to (index + 1) << level. */
struct subtree {
    uint64_t index;
    unsigned level;
};
/* The most that a gap can need. */
enum { MERKLE_GAP_MAX = 128 };
/* Leaves from..to-1 as the largest full subtrees that tile them, from left to
 * right: what frontier_add_node takes, one after the other, to get from
 * size `from` to size `to`. Returns how many; 0 unless from < to. */
size_t merkle_gap(uint64_t from, uint64_t to,
                  struct subtree out[MERKLE_GAP_MAX]);

/* Does the path (RFC 6962, 2.1.2) show that the tree of `old` leaves with that
 * root is how the one of `size` leaves began? Trees of one size are consistent
 * by an empty path and equal roots, and so is one of 0 leaves with any. 0;
 * CHOIR_MALFORMED: the path has another length than the sizes demand;
 * CHOIR_BROKEN: it does not. */
int merkle_consistent(uint64_t old, const struct hash *old_root, uint64_t size,
                      const struct hash *root, const uint8_t *path,
                      size_t path_hashes);

#endif
