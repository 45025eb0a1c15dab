/* The volatile side of tasks: who waits for work, whose lease ends when, and
 * telling holders what they got and lost. What lasts are the broker's own
 * entries (claim, expire) and those of the agents; this module decides when to
 * make the first and follows the others.
 *
 * Credit and deadlines are not in the record: after a restart workers offer
 * themselves again, and every live lease has its full length.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_LEASE_H
#define CHOIR_BROKER_LEASE_H

#include "await.h"
#include "core.h"
#include "readset.h"
#include "router.h"

struct leases;

enum {
    LEASE_OFFERS_MAX = 256, /* queues one session may ask for work from */
    LEASE_CROWDS_MAX = 64,  /* sets of capabilities of a queue's workers */
};

struct lease_counters {
    uint64_t live, offers, claims, expired, delivered, given_up;
    uint64_t moved;   /* times that holders were told what moved */
    uint64_t unnoted; /* readings beyond a limit */
};

/* Picks up the working tasks of the state; the router must know its sessions
 * by then. Borrowed until destroyed. NULL when
 * out of memory. */
struct leases *leases_new(struct core *core, struct env *env,
                          const struct config *config, struct router *router,
                          struct awaits *awaits);
/* Presences must have been dropped, or be gone. */
void leases_destroy(struct leases **self_p);

/* Ask `work`: credit tasks of that queue are wanted, no more, and only such as
 * take none but FIELD_CAPABILITIES; what the session holds of it and does not
 * list in FIELD_ITEMS is delivered again. over: set with CHOIR_OVER_LIMIT.
 * 0, CHOIR_DENIED, CHOIR_INVALID, CHOIR_OVER_LIMIT, -ENOMEM. */
struct lease_limit {
    const char *name;
    uint64_t limit, size;
};
int lease_offer(struct leases *l, struct presence *p, const struct msg *work,
                struct lease_limit *over);
/* Ask `heartbeat`: extends, appends an item for each lease that is lost to
 * `lost` and counts them. */
void lease_heartbeat(struct leases *l, struct presence *p,
                     const struct msg *heartbeat, struct buf *lost,
                     uint64_t *lost_count);
/* The session is away: nothing more is given to it. */
void leases_drop(struct leases *l, struct presence *p);
/* It is over: its leases run on, and the agent's next session may take them up
 * by a heartbeat. */
void leases_orphan(struct leases *l, struct presence *p);

/* A task was just submitted, with that payload section: whoever gets it soon is
 * told it from memory. */
void lease_submitted(struct leases *l, const struct msg *submit,
                     struct bytes payload, uint64_t index);
/* An operation on a task was just applied with outcome OK. 0 or -ENOMEM. */
int lease_applied(struct leases *l, const struct msg *op, uint64_t index);

/* A completion was refused as STALE; its effect may have ended the lease. 0 or
 * -ENOMEM. */
int lease_stale(struct leases *l, const struct msg *op,
                const struct msg *effect);

/* --- What is read under leases; see readset.h ----------------------------- */

/* The lease that an ask names, if it is the asker's and live; NULL: it names
 * none. 0; CHOIR_INVALID: task or token alone; CHOIR_FENCED. */
int lease_of_ask(struct leases *l, const struct presence *p,
                 const struct msg *ask, struct lease **out);
/* Note it. 0; CHOIR_OVER_LIMIT: it is not noted; -ENOMEM. page: NULL, or of a
 * listing. */
struct read_page {
    bool first, last;
};
int lease_read(struct leases *l, struct lease *lease,
               const struct reading *reading, const struct read_page *page);
/* Are there as many as one lease may have? */
bool lease_reads_full(const struct lease *lease);
/* Ask `reads`: the holder tells its set; what moved already is told back. */
int lease_reads_told(struct leases *l, struct lease *lease,
                     const struct msg *reads);
/* What a new entry changed, for whoever read it. concerned: may anybody have?
 * 0 or negative errno. */
bool leases_concerned(const struct leases *l, const struct bundle_op *op);
int leases_changed(struct leases *l, const struct entry *e,
                   const struct hash *agent);
/* For core_observe. */
uint64_t leases_observed(void *leases, uint64_t task, uint64_t token,
                         struct buf *rows);

/* Before the commit: end what is due, hand out what waits (not while
 * draining), both by entries, within bounds. 0 or negative errno. */
int leases_match(struct leases *l, bool draining);
/* After the commit: tell holders what they got, as far as their connections
 * take it; the rest when they have room. 0 or negative errno. */
int leases_deliver(struct leases *l);
/* The session's connection has room again. */
void leases_wake(struct leases *l, struct presence *p);
/* Steady time at which match has something to do; UINT64_MAX: none known. */
uint64_t leases_next(const struct leases *l);

/* The session's leases, one after another; after: NULL for the first. Borrowed
 * until one ends. */
const struct lease *lease_next(const struct presence *p,
                               const struct lease *after);
uint64_t lease_task(const struct lease *lease);
/* Of what was read under it, how much has moved and was not answered. */
uint64_t lease_stale_reads(const struct lease *lease);

const struct lease_counters *lease_counters(const struct leases *l);

#endif
