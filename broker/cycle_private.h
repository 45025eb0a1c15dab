/* What the files of cycle share: bundles that change the record, bundles that
 * ask, and the turn around both. */
#ifndef CHOIR_BROKER_CYCLE_PRIVATE_H
#define CHOIR_BROKER_CYCLE_PRIVATE_H

#include "base/trial.h"
#include "cycle.h"

/* Outcomes of the bundle that is being applied. */
struct telling {
    struct cycle *c;
    const struct accepted *accepted;
    bool plain; /* all done, and nothing worth telling besides */
    uint32_t count;
    struct told {
        int outcome;
        uint64_t index;
        size_t at, bytes; /* of the effect, in effects */
    } list[LIMIT_BUNDLE_OPS];
    struct buf effects;
};

/* A bundle of asks on its way; it keeps its frame. */
struct job {
    uint64_t connection, session;
    struct buf frame;
    struct bundle bundle;
    uint32_t at; /* the next to be answered */
    struct job *prev, *next;
};

/* Outcomes that are repeated but were not in the record yet. */
struct repeat {
    uint64_t connection, session, first_seq, index;
    uint32_t count;
    struct hash agent;
    struct repeat *prev, *next;
};

/* A frame that has arrived, opened; kept from turn to turn for its memory. */
struct opened {
    struct bundle bundle;
    struct proof proof;
    bool is_wanted; /* the proof */
};

/* The proof of a lone frame, in pieces for the crew. */
enum { PIECE_SIGNATURE, PIECE_PAYLOADS, PIECE_HEADS, PIECES };
struct lone_proof {
    struct opened *opened;
    int results[PIECES];
};

struct cycle {
    struct core *core;
    struct env *env;
    const struct config *config;
    struct outbox *outbox;
    struct router *router;
    struct cursors *cursors;
    struct leases *leases;
    struct awaits *awaits;
    struct inboxes *inboxes;
    uint64_t turn;
    struct asks *asks;
    struct job *jobs, *spare; /* spare: a list of `spares`, by next */
    unsigned spares;
    struct repeat *repeats;
    struct crew *crew;
    struct opened *opened;
    size_t opened_cap;
    struct telling telling;
    struct {
        enum lone_way always;    /* or by trial */
        struct trial trials[2];  /* of few operations, of many */
        struct trial *trial;     /* the turn's; NULL: it is none of them */
        enum lone_way way;       /* then */
        struct arrival *arrival; /* is ahead of its proof; NULL: none is */
        struct opened *opened;   /* then */
        bool is_helped;          /* the crew proves it, */
        struct lone_proof proof; /* a piece at a time */
    } lone;
    struct accepted accepted; /* what became of the last bundle */
    size_t frames, bytes;     /* of this turn */
    size_t unsynced_frames;   /* since the last sync began */
    unsigned overlap;         /* syncs for which they still go on beside */
    uint64_t began_us;        /* steady time of this turn */
    uint64_t synced_us;       /* when the last sync here ended */
    bool draining, jobs_ready, beside;
    bool sync_due;        /* here, once everything is ready to leave */
    uint64_t end_retry;   /* steady time; sessions cannot be ended before */
    uint64_t lapse_retry; /* nor keys */
    int error;            /* from inside a callback */
};

static inline const struct state *cycle_state(const struct cycle *c)
{
    return core_state(c->core);
}

static inline struct sender cycle_sender(const struct connection *from,
                                         const struct proof *proof)
{
    return (struct sender){from->agent, from->invite, &from->challenge, proof};
}

/* --- cycle.c ------------------------------------------------------------- */

/* The session's presence, which has just sent that bundle, on that connection
 * unless it is NULL. NULL when there is no such session or no memory. */
struct presence *session_bind(struct cycle *c, uint64_t id,
                              const struct bundle *b,
                              struct connection *connection);
/* The session is no more. reason: told to the peer, unless NULL. */
void session_over(struct cycle *c, uint64_t session, const char *reason);

/* In the midst of a turn: if a sync that went on beside has ended, let out what
 * waited for it, so that its peers go on while the turn does. 0 or negative
 * errno. */
int let_out(struct cycle *c);

/* --- cycle_arrive.c ------------------------------------------------------ */

void opened_free(struct cycle *c);

/* The frame was opened. As cycle_take. */
int take_one(struct cycle *c, struct arrival *a, struct opened *o);

/* --- cycle_lone.c -------------------------------------------------------- */

/* A frame that came alone into a turn with nothing else to do? */
bool is_lone(struct cycle *c, const struct arrival *a, const struct opened *o);
/* 0 or negative errno. */
int take_lone(struct cycle *c, struct arrival *a, struct opened *o);
/* Core has left it ahead of its proof: until lone_prove. */
void lone_leave(struct cycle *c, struct arrival *a, struct opened *o);
/* It has been appended, and the disk begins: now it is proven, if there is
 * one. again: it was not left as it was, and something may have to be appended
 * instead. 0 or negative errno. */
int lone_prove(struct cycle *c, bool *again);
/* How the turn's sync is done. */
enum sync_by lone_sync(const struct cycle *c);
/* The turn has failed: nothing of it is proven any more. */
void lone_drop(struct cycle *c);
/* The turn's answers have left, and have they waited for its sync? */
void lone_end(struct cycle *c, bool was_synced);
/* Before all others. */
void lone_begin(struct cycle *c, enum lone_way always);

/* --- cycle_record.c ------------------------------------------------------ */

/* A bundle of kind RECORD. As cycle_take. */
int take_record(struct cycle *c, struct arrival *a, struct opened *o);
/* What was left ahead is proven. As cycle_take. */
int record_follows(struct cycle *c, struct connection *from,
                   const struct bundle *b);
/* An operation that writes keys was applied: watches and leases hear of it. 0
 * or negative errno. */
int change_applied(struct cycle *c, const struct bundle_op *op,
                   const struct hash *agent, uint64_t index,
                   struct bytes effect);
/* Outcomes that could not be repeated before the commit. 0 or negative. */
int answer_repeats(struct cycle *c);
/* Tell why a bundle is not taken. As cycle_take. */
int turn_away(struct cycle *c, const struct bundle *b, struct connection *to,
              const struct accepted *why);

/* --- cycle_lapse.c ------------------------------------------------------- */

/* Before the commit: end keys whose time is up. 0 or negative errno. */
int cycle_lapse(struct cycle *c);
/* Steady time at which it has something to do; UINT64_MAX: none known. */
uint64_t cycle_lapse_next(const struct cycle *c);

/* --- cycle_ask.c --------------------------------------------------------- */

/* A bundle of kind ASK; it is kept until it is answered, and so is its frame.
 * As cycle_take. */
int take_ask(struct cycle *c, struct connection *from, struct opened *o,
             struct bytes frame);
/* After the commit, as many as there is room for. 0 or negative errno. */
int answer_asks(struct cycle *c);
/* The connection has room again, or goes. */
void asks_wake(struct cycle *c, struct connection *connection);
void jobs_free(struct cycle *c);

#endif
