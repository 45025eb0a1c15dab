/* How the state moves on: from what the record keeps, and from nothing else.
 * Reads no payload, clock, limit or configuration, so that a replay under any
 * later release gives the same state.
 *
 * A running broker calls the three steps as it goes; a replay calls evolve()
 * for each entry, which puts them in the same order. Any failure but -ENOMEM
 * is -EUCLEAN: record and state do not belong together. */
#ifndef CHOIR_BROKER_EVOLVE_H
#define CHOIR_BROKER_EVOLVE_H

#include "proto/record.h"
#include "state/state.h"

/* FIELD_KIND of a forget: up to its revision; invitations: by its time. */
enum {
    FORGET_TASKS = 1,
    FORGET_IDS = 2,
    FORGET_INVITES = 3,
    FORGET_TOPICS = 4, /* their messages */
};

/* A bundle was accepted. For an agent's: before its first operation; for the
 * broker's own: after its last, because the broker signs at the end. */
struct evolve_bundle {
    uint64_t session, first_seq, answered, index;
    uint32_t count;
    bool broker;
    struct hash hash;
};
int evolve_bundle(struct state *s, const struct evolve_bundle *bundle);

/* One operation, with what was decided. Moves size and time on. */
struct evolve_op {
    uint64_t index, time;
    uint32_t agent; /* number of the author; AGENT_NONE while joining */
    uint64_t session;
    struct bytes head;    /* as signed */
    const struct msg *op; /* decoded; NULL if outcome is UNSUPPORTED */
    int outcome;
    const struct msg *effect;
    const struct hash *bundle; /* in session 0 */
    const uint8_t *public_key; /* in session 0 */
};
int evolve_op(struct state *s, const struct evolve_op *op);

/* One recorded entry: all of it, its leaf included. A checkpoint entry is
 * compared with the state before it counts: -EUCLEAN on a mismatch. */
int evolve(struct state *s, const struct entry *entry);
/* The same for whoever has made its leaf (entry_leaf) already. */
int evolve_with(struct state *s, const struct entry *entry,
                const struct hash *leaf);

#endif
