/* Where the broker and our identity are found: the one rule, for choir_open,
 * choir_join and `choir doctor` alike. Any thread. */
#ifndef CHOIR_SDK_FIND_H
#define CHOIR_SDK_FIND_H

#include "choir.h"
#include "identity.h"

/* What the options and the environment come to. */
struct found {
    char name[NAME_BYTES];
    char space[NAME_BYTES];
    char url[URL_BYTES];     /* "" : nobody said */
    char path[PATH_BYTES];   /* of the identity; "" : not known yet */
    char store[PATH_BYTES];  /* the directory of identities */
    char invite[PATH_BYTES]; /* of the local invitation */
    bool is_local;           /* `local` is readable and speaks for url */
    bool has_identity;       /* `identity` was loaded from path */
    struct invitation local;
    struct identity identity;
    struct buf steps; /* the text of choir_discover */
};

/* Look. 0: has_identity, or is_local and so enrolment is possible.
 * CHOIR_NO_IDENTITY; CHOIR_INVALID; -EACCES, ...: the error line is set.
 * found: found_free in any case. */
int find_broker(const struct choir_options *options, struct found *f);
/* Where the identity of f->name for that ledger stands: sets f->path. */
int find_path(struct found *f, const struct hash *ledger);
void found_free(struct found *f);

#endif
