/* The ledger's tree on disk, so that a proof costs a few reads: the hash of
 * every leaf, and the root of every full subtree of 2^8, 2^16, ... leaves, a
 * file each (`tree-0`, `tree-8`, ...). Each file is C2SP's tiles of that level
 * (c2sp.org/tlog-tiles), one after the other.
 *
 * The files are derived from the record and synced by nobody: whoever takes a
 * proof from here climbs it to a root he knows, and has them made anew when it
 * does not lead there.
 * Thread: ledger thread only. */
#ifndef CHOIR_BROKER_LEDGER_TREE_H
#define CHOIR_BROKER_LEDGER_TREE_H

#include "proto/merkle.h"

/* A proof of consistency has at most one hash more than a path. */
enum { TREE_PROOF_MAX = 65 };

struct tree;

/* What is in the directory, up to `size` leaves: later ones are dropped. *out:
 * owned, set on 0. 0 or a negative errno. */
int tree_open(struct tree **out, const char *dir, uint64_t size);
/* Writes nothing. Accepts NULL. */
void tree_close(struct tree **self_p);

/* Leaves it holds, those not written yet included. */
uint64_t tree_size(const struct tree *t);
/* Add n leaves to the frontier, and to the tree as well if that holds exactly
 * the leaves before them (a tree that fell behind stays there until the missing
 * ones are added). t may be NULL. */
void tree_add(struct tree *t, struct frontier *f, const struct hash *leaves,
              size_t n);
/* Write what was added. 0, or a negative errno: then that is lost, and the
 * tree has fallen behind. */
int tree_write(struct tree *t);
/* Forget all leaves from `size` on. 0 or a negative errno. */
int tree_cut(struct tree *t, uint64_t size);

/* All of these read what was written. size: up to tree_size. path: nearest
 * sibling first, as merkle_climb takes it. 0; -EINVAL for numbers that do not
 * fit together; -EUCLEAN when the files are shorter than they were; another
 * negative errno. */
int tree_frontier(const struct tree *t, uint64_t size, struct frontier *f);
int tree_root(const struct tree *t, uint64_t size, struct hash *root);
int tree_at(const struct tree *t, uint64_t index, struct hash *leaf);
int tree_path(const struct tree *t, uint64_t index, uint64_t size,
              struct hash path[TREE_PROOF_MAX], size_t *n);
/* RFC 6962 2.1.2, from the tree of `old` >= 1 leaves to that of `size`. */
int tree_consistency(const struct tree *t, uint64_t old, uint64_t size,
                     struct hash path[TREE_PROOF_MAX], size_t *n);

#endif
