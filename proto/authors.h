/* Who may say what in a ledger: its agents, their keys and the sessions that
 * these opened, learned from the entries in order. The rules are "Bundles and
 * who may say them" of docs/ledger-format.md.
 *
 * Signatures are not checked here but for those inside of operations: the
 * caller is told which key must have signed. */
#ifndef CHOIR_PROTO_AUTHORS_H
#define CHOIR_PROTO_AUTHORS_H

#include "key.h"
#include "schema.h"

struct authors;

/* What a bundle's header says, its hash, and the index of its first operation:
 * what ended behind that still counted for all of it. */
struct author_bundle {
    struct hash ledger, agent, hash;
    uint64_t session, kind, format, first;
    struct bytes public_key; /* or no bytes; borrowed for the call */
};

/* all: every entry will be told. If not, as in an export, what ends a session,
 * a key or an agent that is not known passes. NULL when out of memory. */
struct authors *authors_new(bool all);
void authors_destroy(struct authors **self_p);

/* Below: 0; CHOIR_BROKEN with *why set (static); -ENOMEM. */

/* Before anything else: the head of entry 0. */
int authors_genesis(struct authors *a, struct bytes head, const char **why);
/* The bundle that the next entries are of. */
int authors_bundle(struct authors *a, const struct author_bundle *b,
                   const char **why);
/* May its author say that? */
int authors_may_say(const struct authors *a, enum message verb,
                    const char **why);
/* An entry of it with outcome OK; of verbs that are not heeded it need not be
 * told. */
bool authors_heed(enum message verb);
int authors_learn(struct authors *a, uint64_t index, const struct msg *op,
                  const char **why);

/* Has that agent that key, and may it be used, after all that was told? */
int authors_key_fits(const struct authors *a, const struct hash *agent,
                     const uint8_t key[KEY_PUBLIC_BYTES], const char **why);

/* Of the bundle at hand: the key that must have signed it, and whether it is
 * the broker's. Borrowed. */
const uint8_t *authors_key(const struct authors *a);
bool authors_by_broker(const struct authors *a);
/* What the next bundle of the same session, or of the broker, must say. It is
 * the caller's to check and to move on. Borrowed; zeros in session 0. */
struct author_chain {
    uint64_t next_seq;
    struct hash prev;
};
struct author_chain *authors_chain(struct authors *a);

/* After the genesis. Borrowed. */
const struct hash *authors_ledger(const struct authors *a);
const uint8_t *authors_broker_key(const struct authors *a);
/* How many were learned. */
uint64_t authors_agents(const struct authors *a);
uint64_t authors_sessions(const struct authors *a);

#endif
