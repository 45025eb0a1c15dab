/* Does an entry that a tap shows stand up by itself? Its bundle's signature by
 * the author's key, its place under the bundle's root, its payload against the
 * slot hashes; and, as long as none is missing from index 0 on, all of them
 * together against every tree head the broker has signed. One thread. */
#ifndef CHOIR_TOOLS_CHECK_H
#define CHOIR_TOOLS_CHECK_H

#include "agent-sdk/choir.h"
#include "proto/record.h"

struct check;

/* The public key of an agent that has not shown its own. 0; CHOIR_NOT_FOUND. */
typedef int (*check_key)(void *arg, const struct hash *agent,
                         uint8_t key[KEY_PUBLIC_BYTES]);

/* NULL: no memory. */
struct check *check_new(const struct hash *ledger, check_key key, void *arg);
void check_destroy(struct check **self_p);

/* 0; CHOIR_BROKEN; CHOIR_UNKNOWN_AGENT (nobody told its key). why: set on
 * failure, static. */
int check_entry(struct check *c, const struct choir_event *e, const char **why);
/* A tree head the broker signed: compared at once, or when the entries have
 * come so far. 0 or CHOIR_BROKEN. */
int check_head(struct check *c, uint64_t size, const struct hash *root);

/* The last size at which the tree was compared and agreed; 0: none yet, or
 * entries are missing. */
uint64_t check_agreed(const struct check *c);

#endif
