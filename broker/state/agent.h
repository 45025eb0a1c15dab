/* Who is who, and what each may do: agents, their keys, their grants, and the
 * invitations that are still open.
 *
 * An agent's id is the hash of its first public key; its number is its place
 * in the order of enrolment, which is how the rest of the state refers to it.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_AGENT_H
#define CHOIR_BROKER_STATE_AGENT_H

#include "digest.h"
#include "proto/key.h"
#include "proto/schema.h"

enum { AGENT_NONE = 0 }; /* numbers start at 1; 1 is the broker */

struct grant {
    char space[LIMIT_NAME_BYTES + 1]; /* "*": every space */
    bool queue;                       /* scope names a queue, not a prefix */
    bool prefix;
    char *scope; /* owned; "" unless queue or prefix */
    unsigned rights;
};

/* One of an agent's keys, with the CURVE key that belongs to it. */
struct agent_key {
    uint8_t public_key[KEY_PUBLIC_BYTES];
    uint8_t curve_key[KEY_CURVE_BYTES];
    uint64_t from, until; /* entries; until 0: it is valid */
    uint64_t suspect;     /* what it said from there on is doubtful; 0: not */
};

enum { AGENT_KEYS_MAX = 64 }; /* of one agent, ended ones included */

struct agent {
    uint32_t number;
    struct hash id;
    uint8_t public_key[KEY_PUBLIC_BYTES]; /* the first: its id is the hash */
    uint8_t curve_key[KEY_CURVE_BYTES];   /* the first, likewise */
    struct agent_key *keys; /* by slot, the first included; NULL: that alone */
    unsigned key_count;     /* 0: that alone */
    uint8_t *recovery;      /* public key; NULL: none */
    char name[LIMIT_NAME_BYTES + 1];
    uint64_t enrolled; /* its entry */
    uint64_t revoked;  /* 0: not */
    struct grant *grants;
    size_t grant_count;
    /* Charged to it; messages: those it sent that are still kept. */
    uint32_t sessions, leases, open_tasks, marks, messages;
};

struct invite {
    uint64_t index;
    uint8_t curve_key[KEY_CURVE_BYTES];
    uint64_t uses_left, expires;
    struct buf grants; /* encoded elements of FIELD_GRANTS */
    uint64_t grant_count;
};

struct agents;

struct agents *agents_new(struct digest *digest);
void agents_destroy(struct agents **self_p);

size_t agents_count(const struct agents *a);
/* Borrowed until the agents are destroyed; NULL if there is none. */
struct agent *agent_by_number(const struct agents *a, uint32_t number);
struct agent *agent_by_id(const struct agents *a, const struct hash *id);
struct agent *agent_by_name(const struct agents *a, struct bytes name);
struct agent *agent_by_curve(const struct agents *a, const uint8_t *curve_key);
struct invite *invite_by_curve(const struct agents *a,
                               const uint8_t *curve_key);
struct invite *invite_by_index(const struct agents *a, uint64_t index);

/* The one function that decides: may the agent do `right` in the space, on
 * this key (or prefix) or queue? key and queue: one of them, or neither (p
 * NULL; "" is the prefix of every key) for what concerns a whole space, which
 * only a grant of the whole space reaches. A prefix is bytes: one that ends in
 * '/' reaches no sibling. Deny by default; a revoked agent may nothing. */
bool agent_may(const struct agent *a, enum right right, struct bytes space,
               struct bytes key, struct bytes queue);
/* What it may not do on this key of the space: where is the next that it may?
 * All keys behind it that it may stand at or behind *scope. False: none is. */
bool agent_may_behind(const struct agent *a, enum right right,
                      struct bytes space, struct bytes key,
                      struct bytes *scope);
/* Some right in some part of the space? */
bool agent_may_somewhere(const struct agent *a, enum right right);
/* Any right in any part of this one? */
bool agent_belongs(const struct agent *a, struct bytes space);

/* --- Changes; all by evolve ---------------------------------------------- */

/* 0 or -ENOMEM throughout, and what is said beside it. */

/* The agent's number is agents_count() after it. -EEXIST when key, name or
 * CURVE key is another's, revoked ones included; -EINVAL for a name beyond
 * proto/limits.h. */
int agent_enrol(struct agents *a, uint64_t index, struct bytes name,
                const uint8_t *public_key, const uint8_t *curve_key);
/* grants: elements of FIELD_GRANTS. Each sets the rights of its place; 0
 * takes them away. -EINVAL for one of both a prefix and a queue. */
int agent_grant(struct agents *a, struct agent *agent, struct list grants);
void agent_revoke(struct agents *a, struct agent *agent, uint64_t index);

/* Keys. A slot is a key's number among its agent's, from 0; it stays. */

/* Valid or ended: its slot, or -1. */
int agent_key_slot(const struct agent *agent, const uint8_t *public_key);
/* NULL: it has ended, or so has the agent, or there is none. */
const uint8_t *agent_key_valid(const struct agent *agent, unsigned slot);
unsigned agent_keys_valid(const struct agent *agent);
const uint8_t *agent_curve(const struct agent *agent, unsigned slot);
/* -EEXIST when the CURVE key is in use. */
int agent_key_add(struct agents *a, struct agent *agent, uint64_t index,
                  const uint8_t *public_key, const uint8_t *curve_key);
int agent_key_end(struct agents *a, struct agent *agent, unsigned slot,
                  uint64_t index);
int agent_curve_set(struct agents *a, struct agent *agent, unsigned slot,
                    const uint8_t *curve_key);
int agent_recovery_set(struct agents *a, struct agent *agent,
                       const uint8_t *public_key);
int agent_key_suspect(struct agents *a, struct agent *agent, unsigned slot,
                      uint64_t since);

/* -EEXIST when the CURVE key is another's; -EINVAL without uses. */
int invite_add(struct agents *a, uint64_t index, const uint8_t *curve_key,
               uint64_t uses, uint64_t expires, uint64_t grant_count,
               struct bytes grants);
/* One use less; at none it is forgotten. */
void invite_use(struct agents *a, struct invite *invite);
/* Those whose `expires` is not above `now`. Costs nothing when there is none
 * among them. */
void invites_forget(struct agents *a, uint64_t now);
/* No invitation expires before that time; UINT64_MAX if there is none. */
uint64_t invites_earliest(const struct agents *a);

/* Operation ids: (agent, id) -> the entry that had it first, or 0. outcome:
 * of that entry; may be NULL. */
uint64_t operation_id_find(const struct agents *a, uint32_t agent,
                           struct bytes id, int *outcome);
/* index: above that of every other. -EEXIST; -EINVAL. */
int operation_id_add(struct agents *a, uint32_t agent, struct bytes id,
                     uint64_t index, int outcome);
/* Forget those of entries up to index. */
void operation_ids_forget(struct agents *a, uint64_t index);
/* The oldest kept one's index, or 0. */
uint64_t operation_ids_oldest(const struct agents *a);

/* --- Snapshot ------------------------------------------------------------ */

/* Everything as records for a snapshot: agents by number, their grants,
 * invitations and operation ids in the order they were made. put returns 0 or
 * a negative errno, which save passes on. */
typedef int (*snapshot_sink)(void *to, struct bytes record);
int agents_save(const struct agents *a, snapshot_sink put, void *to);
/* And back: 0, -ENOMEM, or CHOIR_MALFORMED for a record that save cannot have
 * written after those before it. What is charged to an agent stays 0. */
int agents_load(struct agents *a, struct bytes record);
/* After the last one: before, no agent is found by its CURVE key. The same. */
int agents_load_end(struct agents *a);
/* Iterate in order of number. */
const struct agent *agents_next(const struct agents *a,
                                const struct agent *after);

#endif
