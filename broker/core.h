/* The heart of the daemon: ledger and state, moved together.
 *
 *   open -> begin -> accept ... -> broker operations -> append -> begin -> ...
 *
 * A cycle is what arrived together: every accepted bundle of it becomes part
 * of one group, and one sync makes all groups durable that were appended while
 * the last one was under way. Nothing that rests on an entry may leave before
 * core_durable() is beyond it.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_CORE_H
#define CHOIR_BROKER_CORE_H

#include "base/config.h"
#include "base/env.h"
#include "ledger/ledger.h"
#include "proto/answer.h"
#include "proto/bundle.h"
#include "state/state.h"

struct core;

struct core_options {
    const struct config *config; /* borrowed for the core's life */
    struct env *env;             /* borrowed likewise */
    uint64_t reserve_bytes;      /* of the ledger, see there; 0: the usual */
    unsigned snapshot_keys; /* looked at together, 2 or more; 0: likewise */
};

/* Open the data directory: create it and write the genesis if it is empty,
 * recover the tail, load the snapshot, replay the rest, compare digests,
 * append what the recovery itself has to say (cut, epoch, rules). The broker's
 * and the admin's identity files are made here on first start.
 * 0, or a negative errno with a sentence in trouble. */
int core_open(struct core **out, const struct core_options *o,
              char trouble[512]);
/* Checkpoint entry, snapshot, seal. */
int core_close_clean(struct core *c);
void core_destroy(struct core **self_p);

const struct state *core_state(const struct core *c);
struct ledger *core_ledger(struct core *c);
const struct key_pair *core_key(const struct core *c);
const struct curve_pair *core_curve(const struct core *c);
/* Time of the running cycle: never decreases. */
uint64_t core_time(const struct core *c);

/* --- One cycle ----------------------------------------------------------- */

void core_begin(struct core *c);

/* What became of a bundle of kind RECORD. */
struct accepted {
    int turnaway;   /* 0: accepted, now or earlier; else its code */
    bool duplicate; /* accepted earlier: outcomes are in the record */
    uint64_t index; /* of its first operation */
    uint64_t limit, size;
    const char *field; /* of the limit, or NULL; static */
    uint64_t session;  /* opened by it, or 0 */
    bool ends_session; /* the session is over */
    bool is_ahead;     /* of its proof */
};
/* told: called for each operation in order, with outcome and encoded effect
 * (borrowed for the call). */
typedef void (*core_told)(void *arg, const struct bundle *b, uint32_t position,
                          int outcome, uint64_t index, struct bytes effect);

/* While an operation is told: the payload section of its effect, borrowed. */
struct bytes core_merged(const struct core *c);
/* Likewise the operation, decoded; NULL: of a duplicate. */
const struct msg *core_told_op(const struct core *c);

/* What was found out about a bundle ahead of its turn, on whatever core was
 * free: its signature under the key that seemed to be the right one, and its
 * contents. It counts only if that is still the key when its turn comes. */
struct proof {
    bool is_made;
    bool may_follow; /* as core_may_precede said */
    uint8_t key[KEY_PUBLIC_BYTES];
    int signature; /* of bundle_verify */
    int contents;  /* of bundle_check, or bundle_covers, if the signature is
                      good */
};

/* Who sent it, as the wire proved it. */
struct sender {
    uint32_t agent;  /* by its CURVE key; AGENT_NONE: an invitation */
    uint64_t invite; /* then this one */
    const struct hash *challenge; /* of its connection */
    const struct proof *proof;    /* of its bundle, made ahead; or NULL */
};

/* Is a proof worth making? Then its key is set. */
bool core_prepare(const struct core *c, const struct bundle *b,
                  const struct sender *sender, struct proof *proof);
/* Make it. classes: of the bundle's kind. Touches nothing but the two.
 * Thread: any. */
void proof_make(struct proof *proof, struct bundle *b, unsigned classes);

/* A bundle that was opened, not yet verified: session, key, signature,
 * operations, order, room; then each operation is decided and evolved.
 * 0 (see *out), or a negative errno: the daemon must exit. */
int core_accept(struct core *c, struct bundle *b, const struct sender *sender,
                core_told told, void *arg, struct accepted *out);
/* May the bundle, the first of its cycle, be decided and written ahead of its
 * proof? It has been decoded. If that is said in its proof (may_follow),
 * core_accept leaves it ahead: it and its frame must stay, and until one of the
 * next two is called nobody may look at the state or say anything; core_append
 * and core_sync_ahead are what may be called. */
bool core_may_precede(struct core *c, const struct bundle *b,
                      const struct sender *sender);
/* Is it in the group? Else it was turned away, unproven: take it again. */
bool core_is_ahead(const struct core *c);
/* It has been appended, and its proof is good: its operations take effect and
 * are told as by core_accept. */
int core_follow(struct core *c, core_told told, void *arg);
/* It is not good: everything is as if it had never come, on disk, too. Both: 0,
 * or a negative errno: the daemon must exit. */
int core_take_back(struct core *c);
/* The same checks for a bundle of kind ASK: who asks is proven, its numbers
 * are fresh; b->ops is then filled in. Turn-away code, 0, or negative. */
int core_check_ask(struct core *c, struct bundle *b,
                   const struct sender *sender, struct session **session);

/* Who knows what was read under a lease, in memory alone: append parts
 * `compare` to rows, return how many; asked at each completion. */
typedef uint64_t (*core_observed)(void *arg, uint64_t task, uint64_t token,
                                  struct buf *rows);
void core_observe(struct core *c, core_observed observed, void *arg);

/* One operation of the broker's own; it joins this cycle's broker bundle and
 * is evolved at once. *index: its entry. 0, CHOIR_READ_ONLY, negative. */
int core_say(struct core *c, const struct msg *op, uint64_t *index);

/* What it has just said, borrowed until it says more. */
void core_said(const struct core *c, struct bytes *head, struct bytes *effect);

/* Write what the cycle accepted (nothing, if nothing was): appended, not yet
 * durable. Appends checkpoint entries; when a snapshot is due it syncs, too,
 * and starts one. */
int core_append(struct core *c);
/* Wait until all that was appended is durable. */
int core_sync(struct core *c);
/* Both. */
int core_commit(struct core *c);
/* The disk begins with what core_sync will wait for: here it is only told to
 * write; beside a thread syncs, wherever the kernel has it run; aside that is
 * on another core. 0 or negative errno. */
enum sync_by { SYNC_HERE, SYNC_BESIDE, SYNC_ASIDE };
int core_sync_ahead(struct core *c, enum sync_by by);

/* Syncing while the next cycles go on, if ledger_beside was called; else
 * begin does it all. Begin: nothing happens if all is durable or one is under
 * way. End: nothing happens unless one has ended; then core_durable moves. */
int core_sync_begin(struct core *c);
int core_sync_end(struct core *c);
bool core_syncing(const struct core *c);
/* Appended and not yet durable. */
uint64_t core_unsynced_bytes(const struct core *c);

/* Entries that are durable; entries in all. */
uint64_t core_durable(const struct core *c);
uint64_t core_size(const struct core *c);
/* Facts for this cycle's answer header: durable size and tree head. */
void core_answer_facts(const struct core *c, struct answer_facts *facts);
/* The same as they will be once all that was appended is durable. */
void core_answer_facts_ahead(const struct core *c, struct answer_facts *facts);

/* --- Proofs -------------------------------------------------------------- */

struct core_proof {
    struct hash path[65]; /* nearest sibling first */
    size_t hashes;
    struct hash root, old_root; /* of the sizes asked for */
};
/* That the tree of `old` entries is how the one of `size` began; both up to
 * core_size, and what leaves must rest on that. 0; CHOIR_FUTURE for sizes that
 * are not there; CHOIR_BUSY while the tree's files are made anew; negative
 * errno. */
int core_prove_growth(struct core *c, uint64_t old, uint64_t size,
                      struct core_proof *out);
/* Did the tree of `size` entries that somebody says he was shown have that
 * root? True as well while that cannot be told. */
bool core_has_grown_from(struct core *c, uint64_t size,
                         const struct hash *root);
/* That the leaf is entry `index` of the tree of `size` entries, whose root is
 * then old_root. Likewise. */
int core_prove_entry(struct core *c, uint64_t index, struct hash leaf,
                     uint64_t size, struct core_proof *out);
/* What lies between entries that are shown, in the tree of `size` entries. */
struct core_gaps {
    uint64_t size, at;
    struct hash root;
    struct hash path[65]; /* of entry `at`, when has_path */
    size_t hashes;
    bool has_path;
};
/* Likewise. */
int core_gaps_begin(struct core *c, uint64_t size, struct core_gaps *g);
/* Append the roots of the largest subtrees that tile the entries from..to-1,
 * from left to right, as merkle_gap lists them; none unless from < to. to: up
 * to the size. Likewise, or -ENOMEM. */
int core_gap(struct core *c, struct core_gaps *g, uint64_t from, uint64_t to,
             struct buf *out);
/* Sign a tree head, as a note; appended to text. 0 or -ENOMEM. */
int core_note(struct core *c, uint64_t size, const struct hash *root,
              struct buf *text);

/* --- What rests on what --------------------------------------------------- */

struct link;
struct linking;
/* The index, if it knows all entries; else NULL: later. */
const struct linking *core_links(const struct core *c);
/* As links_find, but -EAGAIN: a file of it was damaged, and it is made anew.
 * There must be one. */
int core_links_find(struct core *c, uint64_t to, uint64_t after,
                    struct link *out, int max, bool *more);
/* Its files are written by a thread. */
void core_links_beside(struct core *c);

/* Reload of what outcomes depend on; becomes an entry when it differs. */
int core_rules(struct core *c, const struct config *config);

/* Go on with what is to be erased, a bounded part, by entries of this cycle, of
 * which they are the first; is there something to go on with? 0 or negative
 * errno. */
int core_erase(struct core *c);
bool core_erases(const struct core *c);

/* A child reads the record as it is now: nothing of it is replaced meanwhile.
 */
void core_hold(struct core *c, bool held);
/* Is there space to give back, so that core_tend should be called soon? */
bool core_reclaims(const struct core *c);
/* Bytes of the record's files given back since the start. */
uint64_t core_reclaimed(const struct core *c);

/* Somebody wants something: what lags behind the record, the tree's files and
 * the links, leaves most of the time to him. */
void core_heard(struct core *c);
/* Entries that it has yet to read back. */
uint64_t core_behind(const struct core *c);
/* Steady time at which it reads on, or a snapshot goes on; UINT64_MAX: nothing
 * lags, and none is under way. */
uint64_t core_behind_next(const struct core *c);

/* From now on a thread waits for the disk where a snapshot ends. */
void core_snapshots_beside(struct core *c);

/* What can wait until the disk is at work: has the tree and its files follow,
 * goes on with a snapshot that is under way, gives space back, never waiting;
 * call it after each append. 0 or negative errno. */
int core_tend(struct core *c);

/* Counters for status. */
struct core_counters {
    uint64_t entries, groups, syncs, bundles, duplicates, turned_away;
    uint64_t outcomes[64];
    uint64_t bad_signatures, snapshots;
};
const struct core_counters *core_counters(const struct core *c);

#endif
