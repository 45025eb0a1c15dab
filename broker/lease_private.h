/* What the files of lease share: leases, and the offers they go to. */
#ifndef CHOIR_BROKER_LEASE_PRIVATE_H
#define CHOIR_BROKER_LEASE_PRIVATE_H

#include "fresh.h"
#include "lease.h"
#include "timers.h"

enum {
    /* Leases a session has and was not told of, before it gets another: their
     * payloads may be large, and their time runs. More than the first, if
     * payloads as large as lately make so many bytes at the most. */
    LEASE_UNTOLD_MIN = 64,
    LEASE_UNTOLD_BYTES = 1 << 20,
    /* What one turn hands out, and ends, at the most: whoever waits for a put
     * does not wait for ten thousand of either. */
    LEASE_CLAIMS_MAX = 1024,
    LEASE_ENDS_MAX = 256,
    /* Likewise of what follows from tasks that have ended, and of deadlines. */
    LEASE_SETTLED_MAX = 1024,
};

/* Workers of a queue that have the same capabilities. */
struct crowd {
    struct line *line;
    struct offer *ready;       /* the next in turn first */
    struct offer *stalled;     /* their peers take nothing more just now */
    size_t offers;             /* in all */
    struct crowd *prev, *next; /* the next in turn first */
    size_t capability_bytes;
    char capability[]; /* packed */
};

struct line { /* a queue with at least one offer */
    struct crowd *crowds;
    size_t crowd_count;
    struct timer wake; /* for tasks whose time has not come */
    bool touched;
    struct line *prev, *next; /* touched ones */
    UT_hash_handle hh;
    size_t space_bytes, key_bytes;
    char key[]; /* space, NUL, queue, NUL */
};

enum offer_stand { OFFER_READY, OFFER_STALLED, OFFER_FULL };

struct offer {
    struct presence *p;
    struct crowd *crowd;
    uint64_t credit;
    enum offer_stand stand;
    struct offer *prev, *next;     /* where it stands */
    struct offer *p_prev, *p_next; /* of its presence */
};

struct lease {
    uint64_t task, token, lease_ms;
    const struct queue *queue; /* of the task, which lives as long */
    struct presence *p; /* whose session has it; NULL: that session ended */
    uint32_t agent;
    bool undelivered, stalled; /* stalled: until its connection has room */
    bool task_due, input_due;  /* what it is to be told */
    bool listed;               /* while a work ask is looked at */
    bool rests;                /* until there is input: its clock stands */
    uint64_t input;            /* entry of what was given under it; 0: none */
    uint64_t input_told;       /* of that, to this connection */
    struct readset *reads;     /* NULL: nothing was read under it */
    bool moved;                /* and the holder is to be told */
    struct lease *m_prev, *m_next;
    struct timer end;
    struct lease *prev, *next;     /* undelivered, in all or of its presence */
    struct lease *p_prev, *p_next; /* of its presence */
    UT_hash_handle hh;             /* by task */
};

struct leases {
    struct core *core;
    struct env *env;
    const struct config *config;
    struct router *router;
    struct awaits *awaits;
    struct lease *leases, *undelivered, *moved;
    struct readsets *reads;
    struct line *lines, *touched;
    struct offer **full;  /* offers at their agent's limit, by its number */
    size_t full_count;    /* room there */
    unsigned claims_left; /* in this turn */
    uint64_t limit_seen;  /* of leases an agent may have */
    uint64_t settle_at;   /* steady time; UINT64_MAX: nothing to settle */
    struct timers ends, wakes;
    struct fresh *fresh;
    struct buf payload, type, progress, input; /* of the task being told */
    struct buf moves;
    struct lease_counters counters;
};

static inline const struct state *leases_state(const struct leases *l)
{
    return core_state(l->core);
}

/* --- lease.c: what is held ----------------------------------------------- */

struct lease *lease_find(const struct leases *l, uint64_t task);
/* The holder hears why; the lease is gone. */
void lease_take(struct leases *l, struct lease *lease, const char *reason);
/* Of a task that was just claimed, or is from the state. NULL: no memory. */
struct lease *lease_new(struct leases *l, const struct task *t);

/* --- lease_offer.c: who gets what ---------------------------------------- */

/* Something happened that may let the queue's tasks be handed out. */
void queue_touch(struct leases *l, const struct queue *q);
/* Its peer may take something again. */
void offers_wake(struct leases *l, struct presence *p);
/* One of the agent's leases is over. */
void offers_wake_full(struct leases *l, uint32_t agent);
/* Tasks whose time has come. */
void lines_wake(struct leases *l, uint64_t now);
/* Hand out to the touched lines. 0 or negative errno. */
int lines_match(struct leases *l);

/* --- lease_settle.c: ends that are the broker's to say --------------------- */

/* Deadlines that have passed, and what follows from tasks that have ended. 0
 * or negative errno. */
int leases_settle(struct leases *l);

/* --- lease_reads.c: what was read ---------------------------------------- */

void lease_reads_free(struct leases *l, struct lease *lease);
/* Something of it moved and was not answered: tell the holder, again. */
void lease_moved_due(struct leases *l, struct lease *lease);
/* For readsets_new. */
bool lease_may_read(void *leases, uint32_t agent, struct bytes space,
                    struct bytes key);
/* The holder has answered. 0 or -ENOMEM. */
int lease_heeded(struct leases *l, struct lease *lease, const struct msg *heed);
/* 0 or negative errno. */
int leases_tell_moved(struct leases *l);

/* --- lease_tell.c: telling the holder ------------------------------------ */

void delivery_due(struct leases *l, struct lease *lease);
/* It has the task, but not what was given since. */
void delivery_due_input(struct leases *l, struct lease *lease);
void delivery_clear(struct leases *l, struct lease *lease);
/* Is there so much that it was not told of that it gets no more? */
bool untold_is_much(const struct presence *p);
/* One less that the session was not told of. */
void untold_less(struct leases *l, struct presence *p);
/* Its connection has room, or is another, or none. */
void delivery_unstall(struct leases *l, struct lease *lease);

#endif
