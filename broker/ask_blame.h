/* What the files of blame share: one key whose versions are walked back. */
#ifndef CHOIR_BROKER_ASK_BLAME_H
#define CHOIR_BROKER_ASK_BLAME_H

#include "ask_node.h"
#include "proto/places.h"

struct blame {
    struct ask *q;
    const struct key *k;
    enum merge_rule rule;
    uint64_t line; /* below it nothing is kept */

    uint64_t root, bytes; /* the version asked about, and of its value */
    bool deleted;
    const char *root_reason; /* why its value is not there */
    struct buf value;        /* of it, if it is msgpack */

    uint64_t at, before, behind; /* a version, and those before it */
    struct hash author, author_before;
    uint64_t steps;
    bool cut;           /* there was no time for what is before `at` */
    const char *reason; /* or it is no longer there */

    struct places *places;
    struct buf shares;
    struct buf named; /* uint64_t: revisions to tell of */
    struct buf told;  /* items, behind the entries */
    uint64_t count;   /* of all items */
    struct node node;
};

/* The value of the version before `at`; borrowed until the next look. p NULL:
 * there is none, as it was absent or of another type. 0; CHOIR_ERASED,
 * CHOIR_COMPACTED: it is not kept; CHOIR_OVER_LIMIT: no time; negative errno. */
int blame_back(struct blame *b, struct bytes *value);
/* `at` is that version now. */
void blame_went(struct blame *b);
/* The walk ended with that refusal. */
void blame_ended(struct blame *b, int r);
/* The answer tells of that entry, too. */
void blame_name(struct blame *b, uint64_t revision);

/* Of a counter: what each author added. from: NULL, or the version at which
 * the answer before ended. 0 or negative errno. */
int blame_shares(struct blame *b, const struct version *from);

#endif
