/* Watches: every change under a prefix from revision R on, exactly once, in
 * order, whole.
 *
 * A watch that is level with the record is found by what happens: an index by
 * space and prefix leads from a changed key to the watches concerned, so one
 * that nothing concerns costs nothing. One that is behind (it began in the
 * past, has no credit, or its peer reads slowly) is only the number of the
 * next revision, and reads on from the record a piece per cycle.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_CURSOR_H
#define CHOIR_BROKER_CURSOR_H

#include "base/env.h"
#include "changes.h"
#include "router.h"

struct cursors;

struct cursor_counters {
    uint64_t watches, live, taps, changes, entries_read;
};

/* Borrowed until destroyed. NULL when out of memory. */
struct cursors *cursors_new(const struct state *state, struct ledger *ledger,
                            struct router *router, struct env *env);
/* Presences must be without watches, or gone. */
void cursors_destroy(struct cursors **self_p);

struct watch_request {
    uint64_t number;            /* the asker's; one already there is replaced */
    struct bytes space, prefix; /* of a watch */
    uint64_t revision, credit;
    bool tap, values;
    bool gaps; /* of a watch: leave out what was compacted */
};
/* 0; CHOIR_DENIED; CHOIR_FUTURE; CHOIR_COMPACTED; CHOIR_OVER_LIMIT (limit_max); -ENOMEM. */
int watch_open(struct cursors *c, struct presence *p,
               const struct watch_request *request, uint64_t limit_max);
/* More credit. 0 or CHOIR_NOT_FOUND.
 * told: set to the revision up to which everything has been said to it, so
 * that a watch that nothing concerns can know how far it has come. */
int watch_credit(struct cursors *c, struct presence *p, uint64_t number,
                 uint64_t credit, uint64_t *told);
int watch_close(struct cursors *c, struct presence *p, uint64_t number);
/* The session's connection has room again. */
void watches_wake(struct cursors *c, struct presence *p);
/* All of the session's. */
void watches_drop(struct cursors *c, struct presence *p);
/* Its grants have changed: end what is no longer allowed. */
void watches_recheck(struct cursors *c, struct presence *p);

/* Is there any watch whom a change of that key could concern? No key: of one
 * that is not known yet. */
bool cursors_concerned(const struct cursors *c, struct bytes space,
                       struct bytes key);
/* Something was just applied: tell whom it concerns. The entry needs index,
 * time, outcome, head, effect, rows and payload. 0 or negative errno. */
int cursors_live(struct cursors *c, const struct entry *e,
                 const struct hash *author);
/* Read on from the record for those behind, within bounds. After the commit.
 * 0 or negative errno (-EUCLEAN: damage). */
int cursors_pump(struct cursors *c);
/* Would pump have something to do at once; or at some time? */
bool cursors_ready(const struct cursors *c);
bool cursors_wait(const struct cursors *c);

/* For taps alone: what is not in the record. author: may be NULL. */
void cursors_notice(struct cursors *c, uint64_t time, const char *text,
                    const struct hash *agent, uint64_t count, int outcome);

const struct cursor_counters *cursor_counters(const struct cursors *c);

#endif
