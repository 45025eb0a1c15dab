/* What becomes of an operation: a pure function of the state and a few facts.
 * It changes nothing; evolve does, from outcome and effect alone. */
#ifndef CHOIR_BROKER_DECIDE_H
#define CHOIR_BROKER_DECIDE_H

#include "ledger/ledger.h"
#include "proto/bundle.h"
#include "state/state.h"

/* FIELD_KIND of a give_up: what the task's end is owed to. */
enum { GIVE_UP_DEADLINE = 1, GIVE_UP_NEED = 2, GIVE_UP_PARENT = 3 };

/* Bytes that may go into the merges of one bundle: what it costs the others to
 * wait for it. */
enum { MERGE_BYTES_MAX = 64 << 20 };

/* A version of a key as the record has it. */
struct decide_version {
    bool deleted;
    bool msgpack;  /* its media type says so */
    uint64_t prev; /* revision of the one before; 0: none */
    size_t slot;   /* of its entry; unless deleted */
    bool merged;
    size_t operand; /* if merged: the slot of what was said */
    uint64_t base;  /* likewise: what it was made from, besides prev; 0: none */
};

/* Where values come from and go to: the one way in which a decision sees
 * payloads. What it sees depends on the record alone, so that it can be decided
 * again. */
struct decide_values {
    /* Append to value, unless it is NULL, what entry `revision` gave that key. 0;
     * CHOIR_NOT_FOUND: it gave it none; CHOIR_COMPACTED or CHOIR_ERASED: it did,
     * and the value is no longer kept; negative errno. */
    int (*version)(void *arg, struct bytes space, struct bytes key,
                   uint64_t revision, struct decide_version *out,
                   struct buf *value);
    void *arg;
    /* What is merged in one bundle is bounded: bytes that went in so far. Moved
     * on by decide; 0 when a bundle begins. */
    uint64_t merged;
    /* The same for what completions were made from: rows and keys looked at. */
    uint64_t looked;
    struct buf rows, payload;              /* of the effect's slots; owned */
    struct buf base, theirs, yours, value; /* scratch; owned */
    bool lacking; /* set when something was no longer kept */
};

void decide_values_free(struct decide_values *v);

/* What an entry says of a key, for `version`; value: appended to. Reads l when
 * the entry is of a task, so it must not be borrowed from ledger_entry after
 * that. In core_values.c, for all who decide. */
int entry_version(const struct state *s, struct ledger *l,
                  const struct entry *e, struct bytes space, struct bytes key,
                  struct decide_version *out, struct buf *value);

struct decide_facts {
    uint64_t index; /* the entry it will be */
    uint64_t time;  /* of the group */
    uint32_t agent; /* number of the author; AGENT_NONE while joining */
    uint64_t session;
    uint64_t invite;           /* invitation of the connection; 0: none */
    const uint8_t *public_key; /* of the author, in session 0 */
    struct bytes payload;      /* the operation's section */
    struct decide_values *values;
    /* Of a completion: what was seen to be read under the lease, encoded parts
     * `compare`. */
    struct bytes observed;
    uint64_t observed_count;
};

/* What a completion does not carry of that, and so goes into its effect, in
 * bytes; OVER_LIMIT names it. */
enum { READS_BEYOND_BYTES_MAX = 6144 };
extern const char reads_beyond_limit[];

/* Rows and keys that the completions of one bundle may have looked at before
 * one more is refused; OVER_LIMIT names it. */
enum { READS_BUNDLE_MAX = 1 << 18 };
extern const char reads_bundle_limit[];

/* What an erasure's effect may list, in bytes; OVER_LIMIT names it. */
enum { ERASED_BYTES_MAX = 12 << 10 };

/* Outcome (>= 0, with effect filled in) or a negative errno. scratch: holds
 * what effect borrows besides values->rows, cleared at the start. The payload
 * section of the effect's own slots is then in values->payload. effect is a MSG_EFFECT; it is
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
