/* What verify_rules.c and verify_learn.c know of the record so far: keys,
 * sessions, the tree. Of nobody else's concern. */
#ifndef CHOIR_TOOLS_VERIFY_RULES_H
#define CHOIR_TOOLS_VERIFY_RULES_H

#include <uthash.h>

#include "proto/missing.h"
#include "tools/verify.h"

struct author_key {
    struct author_key *next;
    uint8_t key[KEY_PUBLIC_BYTES];
    bool ended;
};

struct author {
    struct hash id;
    struct author_key *keys; /* owned; the first one first */
    bool revoked, recovers;
    uint8_t recovery[KEY_PUBLIC_BYTES];
    UT_hash_handle hh;
};

struct spoken { /* a session */
    uint64_t id;
    struct author *author;  /* borrowed */
    struct author_key *key; /* that opened it; borrowed */
    uint64_t next_seq;
    struct hash prev;
    bool ended;
    UT_hash_handle hh;
};

struct rules {
    const uint8_t *pinned;
    struct verify_counts *counts;
    char *why;
    struct signatures *signatures; /* owned */
    struct hash ledger, broker;
    uint8_t broker_key[KEY_PUBLIC_BYTES];
    uint64_t broker_seq;
    struct hash broker_prev;
    struct author *authors;  /* owned */
    struct spoken *sessions; /* owned */
    struct frontier tree;
    struct missing *missing; /* owned */
    bool by_broker;
    uint8_t key[KEY_PUBLIC_BYTES]; /* of the bundle at hand */
    struct spoken *session;        /* likewise, or NULL */
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

/* NULL if there is none. */
struct author *rules_author(struct rules *r, const struct hash *id);
struct author_key *author_key_find(struct author *a, const uint8_t *key);
struct spoken *rules_session(struct rules *r, uint64_t id);
/* What follows from an entry that was done. 0; CHOIR_BROKEN; -ENOMEM. */
int rules_learn(struct rules *r, struct said *e);

#endif
