/* What becomes of an operation: a pure function of the state and a few facts.
 * It changes nothing; evolve does, from outcome and effect alone. */
#ifndef CHOIR_BROKER_DECIDE_H
#define CHOIR_BROKER_DECIDE_H

#include "proto/bundle.h"
#include "state/state.h"

/* FIELD_KIND of a give_up: what the task's end is owed to. */
enum { GIVE_UP_DEADLINE = 1, GIVE_UP_NEED = 2, GIVE_UP_PARENT = 3 };

struct decide_facts {
    uint64_t index; /* the entry it will be */
    uint64_t time;  /* of the group */
    uint32_t agent; /* number of the author; AGENT_NONE while joining */
    uint64_t session;
    uint64_t invite;           /* invitation of the connection; 0: none */
    const uint8_t *public_key; /* of the author, in session 0 */
};

/* Outcome (>= 0, with effect filled in) or a negative errno. scratch: holds
 * what effect borrows, cleared at the start. effect is a MSG_EFFECT; it is
 * empty when effect->has is 0. */
int decide(const struct state *s, const struct msg *op,
           const struct decide_facts *facts, struct msg *effect,
           struct buf *scratch);

/* Its own task, or one whose queue it works on or administers? */
bool task_visible(const struct agent *a, const struct task *t);

/* The bundle's operations are about to be decided: have what they look at come
 * closer, for all of them at once. Changes nothing. b: checked. */
void decide_fetch(const struct state *s, const struct bundle *b);

#endif
