/* How writes are merged: for each space, prefixes of keys with their rules.
 * The longest prefix decides.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_POLICY_H
#define CHOIR_BROKER_STATE_POLICY_H

#include "digest.h"
#include "proto/schema.h"

struct policies;

struct policies *policies_new(struct digest *digest);
void policies_destroy(struct policies **self_p);

/* RULE_NONE where no prefix fits. O(1) in a space without any, and else one
 * look-up for each length that its prefixes have. */
enum merge_rule policy_of(const struct policies *p, struct bytes space,
                          struct bytes key);
/* Of that very prefix; RULE_NONE: it has none. */
enum merge_rule policy_at(const struct policies *p, struct bytes space,
                          struct bytes prefix);
/* Some in some space? */
bool policies_any(const struct policies *p);
size_t policies_count(const struct policies *p, struct bytes space);

/* Those of a space in order: the first whose prefix is greater than `after`,
 * or with after.p NULL the first. False: no more. prefix: borrowed until the
 * next change. */
bool policies_next(const struct policies *p, struct bytes space,
                   struct bytes after, struct bytes *prefix,
                   enum merge_rule *rule);

/* By evolve alone. RULE_NONE takes the prefix's row away. 0; -ENOMEM; -EINVAL
 * for names or rules beyond proto/. */
int policy_set(struct policies *p, struct bytes space, struct bytes prefix,
               enum merge_rule rule);

/* As context_save and context_load. */
typedef int (*policies_sink)(void *to, struct bytes record);
int policies_save(const struct policies *p, policies_sink put, void *to);
int policies_load(struct policies *p, struct bytes record);

#endif
