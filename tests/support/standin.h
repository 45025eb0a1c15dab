/* A broker to play tricks with: it keeps no record, but speaks the protocol
 * over a real CURVE socket in a thread of its own, counts what it is told, and
 * misbehaves on request. For tests of the SDK only. */
#ifndef CHOIR_TESTS_SUPPORT_STANDIN_H
#define CHOIR_TESTS_SUPPORT_STANDIN_H

#include <stdbool.h>
#include <stdint.h>

struct standin;

/* What it does to the next answer it sends. */
enum standin_trick {
    TRICK_NONE,
    TRICK_BAD_SIGNATURE,
    TRICK_OTHER_LEDGER,
    TRICK_OTHER_RECIPIENT,
    TRICK_GARBAGE,
    TRICK_SHRUNK,    /* its ledger is smaller than it was */
    TRICK_FORKED,    /* as large as before, with another root */
    TRICK_TWO_PARTS, /* a message of two frames */
};

/* In directory dir: listens there, writes local.invite. Aborts on failure. */
struct standin *standin_start(const char *dir);
void standin_stop(struct standin **s);

/* Each takes effect before it returns. */
void standin_trick(struct standin *s, enum standin_trick trick);
/* Turn away the next n recorded bundles (-1: until told otherwise). */
void standin_turn_away(struct standin *s, int code, int n);
/* The same for bundles of asks. */
void standin_turn_asks_away(struct standin *s, int code, int n);
/* Accept, but swallow the answers of the next n bundles. */
void standin_swallow(struct standin *s, int n);
/* Say nothing at all, to anything. */
void standin_mute(struct standin *s, bool mute);
/* Answer every recorded bundle twice. */
void standin_repeat(struct standin *s, bool repeat);
/* Forget every session, as after a long time. */
void standin_end_sessions(struct standin *s);
/* Break all connections and listen again, as a restart would; down_ms between.
 */
void standin_restart(struct standin *s, int down_ms);
/* Swallow the answers to lists. */
void standin_hold_lists(struct standin *s, bool hold);
/* Values before that revision are no longer kept, and every key that changed
 * was there at revision 1. */
void standin_compact(struct standin *s, uint64_t revision);
/* End every watch with that code. */
void standin_end_watches(struct standin *s, int code);
/* Refuse everybody's CURVE key (ZAP 400). */
void standin_refuse_keys(struct standin *s, bool refuse);
/* A restore: new epoch, `size` entries kept. */
void standin_restore(struct standin *s, uint64_t size);
/* From entry `at` on its ledger is another one than it was. */
void standin_branch(struct standin *s, uint64_t at);
/* Too busy for the next n proofs of growth. */
void standin_busy_proofs(struct standin *s, int n);
/* Hand out a task in that queue to whoever has credit. Its number. */
uint64_t standin_task(struct standin *s, const char *queue);
/* Tell heartbeats that this lease is gone. */
void standin_lose_lease(struct standin *s, uint64_t task);

/* Tell whoever holds the task that key moved from revision prev to another. */
void standin_move(struct standin *s, uint64_t task, const char *key,
                  uint64_t prev, uint64_t revision);
/* Refuse the next n completions as STALE, because `plan` moved from 5 to 900. */
void standin_stale(struct standin *s, int n);
/* Replies to credit say that watches are told up to there, and caught_up
 * likewise; 0: up to the end. */
void standin_hold_marks(struct standin *s, uint64_t revision);
/* Answer FENCED when a read set is told. */
void standin_fence_reads(struct standin *s);
/* Say of the next n digests that they are not the same. */
void standin_diverge(struct standin *s, int n);
/* The read set of the last completion, and what asks READS told since the last
 * hello, as rows_text writes them. Borrowed until the next call. */
const char *standin_read_set(struct standin *s);
const char *standin_told_reads(struct standin *s);
/* The last heed, as "kind revision". */
const char *standin_heed(struct standin *s);

/* What has been counted so far. */
struct standin_counts {
    unsigned hellos, sessions, enrolments;
    unsigned bundles;    /* of kind RECORD, copies included */
    unsigned operations; /* applied, each once */
    unsigned duplicates; /* bundles that came again after being accepted */
    unsigned equivocations;
    unsigned asks, heartbeats, naks, completes, heeds;
    unsigned digests;
    unsigned leased;     /* gets, lists and logs that named a lease */
    unsigned bad;        /* bundles that fail a check no honest client fails */
    unsigned watches;    /* opened */
    uint64_t watch_from; /* where the last watch to be opened began */
    uint64_t size;
};
struct standin_counts standin_counts(struct standin *s);

#endif
