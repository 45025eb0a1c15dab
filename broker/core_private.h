/* What the parts of the core share: open, accept and commit are files of their
 * own, the object is one. */
#ifndef CHOIR_BROKER_CORE_PRIVATE_H
#define CHOIR_BROKER_CORE_PRIVATE_H

#include <sys/types.h>

#include "core.h"
#include "decide.h"
#include "evolve.h"
#include "ledger/snapshot.h"
#include "ledger/tree.h"
#include "linking.h"
#include "reclaim.h"

/* The broker's operations of this cycle that are not signed yet. */
struct said {
    struct buf heads, effects; /* one after the other */
    struct said_op {
        uint32_t head_bytes, effect_bytes;
    } * ops;
    size_t count, cap;
    uint64_t first; /* index of the first */
    struct merkle tree;
    struct hash *leaves;
};

/* What one agent may still add to the ledger now. */
struct allowance {
    double bytes;
    uint64_t at; /* steady time it was last filled */
};

/* Entries of the group that is being filled, found as they are looked for. */
struct pending {
    struct group_walk walk;
    uint64_t first;              /* of the group it is about */
    size_t heads_at, payload_at; /* where the walk goes on */
    struct buf places;           /* struct pending_place of each */
};

struct pending_place {
    size_t head, payload; /* offsets */
    uint32_t head_bytes, effect_bytes;
    int outcome;
};

/* A bundle whose operations stand in the group, from `at` in its heads on. */
struct leaves {
    uint64_t first; /* index of its first entry */
    uint64_t session, first_seq;
    struct hash agent, bundle;
    size_t at;
    uint32_t count;
};

struct core {
    const struct config *config;
    struct env *env;
    struct ledger *ledger;
    struct state *state;
    struct hash broker;
    struct key_pair key;
    struct curve_pair curve;

    uint64_t time;   /* of this cycle */
    uint64_t steady; /* when it began */
    struct group group;
    bool group_written; /* and only the tree has not followed */
    struct said said;
    struct buf scratch, head, effect, header;
    struct decide_values values;
    struct pending pending;
    uint64_t merged; /* bytes that merging added, in this cycle */

    core_observed observed; /* or NULL */
    void *observed_arg;
    struct buf observed_rows;

    struct {                         /* written ahead of its proof */
        const struct bundle *bundle; /* borrowed; NULL: none is */
        uint32_t agent;
        struct leaves leaves;
        unsigned in_a_row; /* bundles that went ahead */
    } ahead;

    uint64_t told_again;       /* operations, in this cycle */
    const struct msg *told_op; /* borrowed while it is told */

    struct hash durable_root;
    uint64_t durable_size;
    struct boundary { /* behind an appended group */
        uint64_t size, bytes;
        struct hash root;
    } * boundaries; /* not yet durable, oldest first */
    size_t boundary_count, boundary_cap;
    uint64_t unsynced_bytes;

    uint64_t *asks; /* last ask of the session in that slot: id, number */
    size_t ask_slots;
    struct allowance *allowances; /* by agent number */
    size_t allowance_count;

    struct {
        struct buf bundles;    /* struct leaves of each, in order */
        struct buf operations; /* their op_hashes, one after the other */
    } leaves;                  /* that have not joined the tree yet */

    struct tree *tree;
    bool tree_is_whole, tree_troubled;
    bool tree_past_begun;
    struct frontier tree_past; /* of what is read back, while it is not */
    struct ledger_reader *tree_reader;
    uint64_t tree_again; /* steady time; not to be tried before */

    struct linking links;
    bool links_beside, links_troubled;
    struct ledger_reader *links_reader; /* of what is read back */
    uint64_t links_again; /* steady time; not to be tried before */

    struct {                   /* steady times */
        uint64_t others;       /* when somebody wanted something */
        uint64_t begun, again; /* of slices that are read back */
    } behind;

    uint64_t compact_segments, compact_again; /* looked at; steady time */
    struct {                    /* payloads given back, segment by segment */
        struct reclaim *plan;   /* NULL: nothing under way */
        uint64_t segment;       /* the next one */
        bool all;               /* each of them has to be looked at */
        uint64_t line, planned; /* sums of lines: done, of the plan */
        uint64_t erased, planned_erased; /* slots likewise */
        uint64_t seen_line, seen_erased; /* when last looked at */
        uint64_t seen_at,
            since;         /* steady times of the last and the first change */
        uint64_t rests_on; /* entries that must be durable before */
        uint64_t *taken;   /* by segment: erased slots it was written without */
        uint64_t taken_count, taking; /* taking: in the one under way */
        uint64_t again;               /* steady time; not to be tried before */
        uint64_t bytes;               /* given back since the start */
        bool held;                    /* a child reads the record */
    } reclaim;

    struct erase_walk *erasing; /* NULL: none is gone through */
    uint64_t erase_again;       /* steady time; not to be tried before */

    struct walk *snapshot_walk; /* NULL: none under way */
    unsigned snapshot_keys;     /* of a slice of it */
    bool snapshot_beside;
    pid_t snapshot_child;
    uint64_t snapshot_begun, snapshot_again; /* steady times */
    uint64_t snapshot_size; /* entries in the last one that was begun */
    struct core_counters counters;
};

/* Has somebody wanted something a moment ago? Then he gets most of the time. */
bool core_others(const struct core *c, uint64_t now);
/* What lags behind reads a slice of the record back, if it may now: what `read`
 * gives, or 0. */
int core_slice(struct core *c, int (*read)(struct core *c));
/* Is there something to read back, for the tree's files or the links? */
bool core_tree_lags(const struct core *c);
bool core_links_lag(const struct core *c);

/* Sign what the broker said so far and give it its place in the group; an
 * agent's bundle may follow. 0 or negative errno. */
int core_flush(struct core *c);
/* A checkpoint entry, in a bundle of its own: it states the tree before it. */
int core_checkpoint(struct core *c);
/* Bytes the group will have if `more` bytes of heads and payloads join it. */
uint64_t core_group_bytes(const struct core *c, uint64_t more);
/* Remember what has become durable, for answers. */
void core_note_durable(struct core *c);
/* Has so much been added since entry `since`, that it is time again? */
static inline bool core_due(const struct core *c, uint64_t since)
{
    return c->state->size - since >= c->config->checkpoint_entries;
}

/* --- core_accept.c ------------------------------------------------------- */

/* What it is charged with. */
uint64_t core_frame_bytes(const struct bundle *b);
/* Whose key must have signed it: the session's agent's, or in session 0 the
 * one it names. 0 or a turn-away. */
int core_signer(const struct core *c, const struct bundle *b,
                const struct sender *sender, struct session **session,
                const uint8_t **key);
/* Is there no room for what it would leave unanswered? */
bool core_window_full(const struct session *s, const struct bundle *b);

/* --- core_apply.c -------------------------------------------------------- */

/* As core_accept, whose last step it is. */
int core_apply(struct core *c, const struct bundle *b,
               const struct sender *sender, core_told told, void *arg,
               struct accepted *out);
/* What it is to its session, and its leaves, if that is its first entry. */
struct evolve_bundle core_turn_of(const struct bundle *b, uint64_t index);
struct leaves core_leaves_of(const struct bundle *b, uint64_t index);
/* An operation that was decided takes effect and is told. 0 or negative. */
int core_step(struct core *c, const struct bundle *b, uint32_t position,
              const struct evolve_op *step, struct bytes effect, core_told told,
              void *arg);

/* --- core_ahead.c -------------------------------------------------------- */

/* Decide it, into the group. 0 or negative errno. */
int core_send_ahead(struct core *c, const struct bundle *b,
                    const struct sender *sender, struct accepted *out);

/* --- core_leaves.c ------------------------------------------------------- */

/* Its leaves join the tree when it grows. operations: op_hash of each, `stride`
 * bytes apart. 0 or -ENOMEM. */
int core_leaves(struct core *c, const struct leaves *l,
                const struct hash *operations, size_t stride);
/* The tree grows by what waits, up to state->size; nobody may look at it
 * before. A group that was written is ended. 0 or negative errno. */
int core_grow(struct core *c);
void core_leaves_free(struct core *c);

/* --- core_values.c ------------------------------------------------------- */

void core_values_open(struct core *c);
void core_values_close(struct core *c);
/* Bytes that merging may add to this bundle, at most. */
uint64_t core_merge_room(const struct core *c, const struct bundle *b);
/* --- core_tree.c --------------------------------------------------------- */

void core_tree_close(struct core *c);
/* State and record stand at the same entry: write what came, or read back some
 * of what is missing. */
void core_tree_follow(struct core *c);

/* --- core_links.c -------------------------------------------------------- */

/* It was decided: what it rests on. payload: its section. */
void core_links_note(struct core *c, const struct evolve_op *step,
                     struct bytes payload);
/* As core_tree_follow. */
void core_links_follow(struct core *c);
/* Write all that is durable: a clean stop. */
void core_links_keep(struct core *c);
void core_links_close(struct core *c);

/* --- core_compact.c ------------------------------------------------------ */

/* Draw the line anew, if the configuration wants it further on: an entry.
 * 0; CHOIR_READ_ONLY; negative errno. */
int core_compact(struct core *c);

/* --- core_reclaim.c ------------------------------------------------------ */

/* Go on giving space back, if there is something to give. 0 or negative errno.
 */
int core_reclaim(struct core *c);
void core_reclaim_close(struct core *c);

/* --- core_erase.c -------------------------------------------------------- */

void core_erase_close(struct core *c);

/* --- core_snapshot.c ----------------------------------------------------- */

/* Write the state beside the record: at once if `here`, else in slices or in a
 * child. State and disk stand at the same entry. */
int core_snapshot(struct core *c, bool here);
bool core_snapshot_due(const struct core *c);
/* Give it up, if one is under way. */
void core_snapshot_end(struct core *c);
/* What a snapshot of the state as it is now rests on. */
struct snapshot_facts core_snapshot_facts(const struct core *c);
/* snapshot_put for state_save and context_save_begin. */
int core_snapshot_put(void *writer, struct bytes record);

/* --- core_walk.c --------------------------------------------------------- */

/* Begin to write the state as it is now, in slices. 0; -EFBIG: there is too
 * much in it beside keys; another negative errno. */
int core_walk_begin(struct core *c);
/* A slice, if it may be now. 0: written; -EAGAIN: it goes on; another negative
 * errno: it is given up. One is under way. */
int core_walk_on(struct core *c);
/* Steady time of the next slice; UINT64_MAX: there is none. */
uint64_t core_walk_next(const struct core *c);
/* Waits for the disk if it comes to that. Nothing if none is under way. */
void core_walk_end(struct core *c);

#endif
