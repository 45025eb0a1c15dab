/* Inboxes: sessions that read an agent's mailbox or a topic, each a place in a
 * box and a credit. What waits is told in order, then what comes, after the
 * commit and with the body from the record; without credit or room an inbox
 * costs nothing and stays where it is. What is told stays in the mailbox until
 * it is acknowledged, so another inbox is told it again.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_MAILBOX_H
#define CHOIR_BROKER_MAILBOX_H

#include "ledger/ledger.h"
#include "router.h"

struct inboxes;

/* Borrowed until destroyed. NULL when out of memory. */
struct inboxes *inboxes_new(const struct state *state, struct ledger *ledger,
                            struct router *router);
/* Presences must be without inboxes, or gone. */
void inboxes_destroy(struct inboxes **self_p);

struct inbox_request {
    uint64_t number;           /* the asker's; one already there is replaced */
    struct bytes space, topic; /* topic: empty for its own mailbox */
    uint64_t from, credit;     /* from: first revision to tell */
};
/* An agent may have limit_max. 0; CHOIR_INVALID (names); CHOIR_DENIED;
 * CHOIR_OVER_LIMIT; -ENOMEM. */
int inbox_open(struct inboxes *i, struct presence *p,
               const struct inbox_request *request, uint64_t limit_max);
/* More credit. 0 or CHOIR_NOT_FOUND. told: the revision up to which everything
 * has been told. */
int inbox_credit(struct inboxes *i, struct presence *p, uint64_t number,
                 uint64_t credit, uint64_t *told);
int inbox_close(struct inboxes *i, struct presence *p, uint64_t number);
/* The session's connection has room again. */
void inboxes_wake(struct inboxes *i, struct presence *p);
/* All of the session's. */
void inboxes_drop(struct inboxes *i, struct presence *p);
/* Its grants have changed: end what is no longer allowed. */
void inboxes_recheck(struct inboxes *i, struct presence *p);

/* A send or a completion was just applied. Cheap when nobody reads. */
void inboxes_touch(struct inboxes *i, const struct msg *op);
/* After the commit: tell, within bounds. 0 or negative errno (-EUCLEAN:
 * damage). */
int inboxes_pump(struct inboxes *i);
/* Is there more to tell at once? */
bool inboxes_ready(const struct inboxes *i);
uint64_t inboxes_count(const struct inboxes *i);

#endif
