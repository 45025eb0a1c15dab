/* What an entry rests on, said once: for the index of links, which is kept from
 * it, and for whoever walks the record back. */
#ifndef CHOIR_BROKER_LINKING_H
#define CHOIR_BROKER_LINKING_H

#include "ledger/links.h"
#include "proto/schema.h"

/* Kinds of links besides LINK_KINDS, for the index alone. */
enum {
    LINK_DONE = 100,   /* completion -> its task */
    LINK_AUTHOR = 101, /* entries -> the agent that said them */
    LINK_LENGTH = 102, /* first use of a prefix of `value` bytes */
};

/* An entry whose outcome is OK, decoded. */
struct linked {
    const struct msg *op, *effect;
    struct bytes space; /* of its task, when it has a read set */
    struct bytes reads; /* read_set, encoded; none: it carries none, or it is
                           no longer there */
};

/* One thing it rests on. */
struct rests {
    unsigned kind;
    uint64_t on;                /* an entry; of LISTED: as of which */
    struct bytes space, prefix; /* of LISTED */
};
/* false: no more is wanted. */
typedef bool (*rests_told)(void *arg, const struct rests *r);

/* Does it say something that others may rest on? */
bool linking_concerns(unsigned verb);
/* All that it names; twice, if it does so. */
void linking_walk(const struct linked *e, rests_told told, void *arg);

/* The index, and which lengths the prefixes in it have. */
struct linking {
    struct links *links; /* owned; NULL: none */
    uint64_t lengths[(LIMIT_KEY_BYTES + 64) / 64];
};

/* After links_open or a reset. 0 or negative errno. */
int linking_load(struct linking *l);
/* Add the entry's, for which links_entry was true. */
void linking_add(struct linking *l, const struct linked *e, uint32_t agent);
/* Where who listed that prefix is found. */
uint64_t linking_list(struct bytes space, struct bytes prefix);
bool linking_has_length(const struct linking *l, size_t bytes);

#endif
