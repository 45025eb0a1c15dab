/* What verify_rules.c and verify_learn.c know of the record so far: who may say
 * what, and the tree. Of nobody else's concern. */
#ifndef CHOIR_TOOLS_VERIFY_RULES_H
#define CHOIR_TOOLS_VERIFY_RULES_H

#include "proto/authors.h"
#include "proto/missing.h"
#include "tools/verify.h"

struct rules {
    const uint8_t *pinned;
    struct verify_counts *counts;
    char *why;
    struct signatures *signatures; /* owned */
    struct authors *authors;       /* owned */
    struct frontier tree;
    struct missing *missing; /* owned */
};

/* An entry, the bundle it is of, and where both were read. All borrowed. */
struct said {
    uint64_t index;
    const struct reading *reading;
    const struct read_bundle *bundle;
    const struct read_entry *entry;
    const struct msg *m; /* when it is learned from */
};

/* CHOIR_BROKEN, and why. */
int rules_broken(struct rules *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The tree over the entries up to that one: whole subtrees where they fit. */
void rules_tree_reach(struct rules *r, const struct reading *x, uint64_t size);

/* --- verify_learn.c ------------------------------------------------------ */

/* What follows from an entry that was done. 0; CHOIR_BROKEN; -ENOMEM. */
int rules_learn(struct rules *r, struct said *e);

#endif
