/* Who is there: connections, the sessions that speak through each, and what
 * may still be sent to them.
 *
 * A session outlives its connections; while it is bound to one, its answers
 * and events go there. The socket itself is the edge's: it hands in a
 * transport and calls connection_new and connection_gone.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_ROUTER_H
#define CHOIR_BROKER_ROUTER_H

#include <uthash.h>

#include "outbox.h"
#include "proto/bundle.h"
#include "state/state.h"

struct connection {
    uint64_t id; /* never reused; 0 is nobody */
    uint32_t agent;
    uint64_t invite; /* if agent is AGENT_NONE; 0: neither */
    struct hash challenge;
    uint64_t queued;             /* bytes in the outbox */
    uint32_t asks;               /* bundles of asks that wait to be answered */
    size_t ask_bytes;            /* and their bytes */
    struct job *stalled;         /* of those, what waits for room; cycle */
    uint64_t asks_turn, asks_us; /* spent on them in which turn */
    struct presence *presences;
    struct connection *agent_prev, *agent_next; /* of its agent */
    bool full; /* it is sent nothing that can wait until it has read */
    struct connection *full_prev, *full_next;
    void *peer; /* the edge's own */
    UT_hash_handle hh;
};

/* What agents say of themselves. */
struct labels {
    uint32_t pairs, bytes;
    uint8_t encoded[];
};

/* What the last bundle of a session, or of an agent, told besides. */
struct heard {
    uint64_t at, seen;     /* steady time, 0: never; the highest it has seen */
    struct labels *labels; /* owned; NULL: none */
};

/* A session as far as it is not in the record. The lists belong to the
 * modules named; all but leases are emptied when the connection goes. */
struct presence {
    uint64_t session;
    uint32_t agent;
    struct hash agent_id;
    struct connection *connection; /* NULL: away */
    uint64_t away_since;           /* steady time, while away */
    struct watch *watches;         /* cursor */
    struct offer *offers;          /* lease */
    struct lease *leases;          /* lease */
    struct lease *stalled;         /* lease: to be told when there is room */
    uint32_t untold;               /* of those, how many it was not told of */
    uint32_t task_bytes;           /* lease: of payloads it was told lately */
    uint32_t offer_count;          /* lease */
    bool offers_held;              /* lease: aside, too much is untold */
    struct await *awaits, *awaits_stalled; /* await */
    struct inbox *inboxes;                 /* mailbox */
    struct heard heard;                    /* from its last bundle */
    struct presence *prev, *next;          /* on its connection */
    struct presence *away_prev, *away_next;
    struct presence *agent_prev, *agent_next; /* of its agent */
    UT_hash_handle hh;
};

struct transport {
    void *arg;
    /* frame: borrowed for the call. Lost when the peer is gone. */
    void (*send)(void *arg, struct connection *c, struct bytes frame);
    /* Bytes that were sent and that the peer's host has not acknowledged. */
    uint64_t (*backlog)(void *arg, struct connection *c);
    /* Cut the peer off; connection_gone follows later. */
    void (*cut)(void *arg, struct connection *c, const char *why);
};

struct router;

/* transport: copied. NULL when out of memory. */
struct router *router_new(struct outbox *outbox,
                          const struct transport *transport);
void router_destroy(struct router **self_p);

/* A peer that the wire has authenticated. Borrowed until it is gone. NULL when
 * out of memory. */
struct connection *connection_new(struct router *r, uint32_t agent,
                                  uint64_t invite,
                                  const struct hash *challenge);
/* Its presences must have been unbound. */
void connection_free(struct router *r, struct connection *c);
struct connection *connection_find(const struct router *r, uint64_t id);
struct connection *connections_next(const struct router *r,
                                    const struct connection *after);
size_t connections_count(const struct router *r);
void connection_cut(struct router *r, struct connection *c, const char *why);

/* The session's presence, made if missing (away since `now`). NULL when out of
 * memory. */
struct presence *presence_of(struct router *r, const struct session *s,
                             const struct hash *agent_id, uint64_t now);
struct presence *presence_find(const struct router *r, uint64_t session);
void presence_bind(struct router *r, struct presence *p, struct connection *c);
void presence_unbind(struct router *r, struct presence *p, uint64_t now);
/* A bundle of the session has come in. Allocates only when its labels are
 * others than before, and without memory they stay as they were. */
void presence_heard(struct presence *p, const struct bundle *b, uint64_t now);
/* Connected, and heard of within so long? */
bool presence_is_here(const struct presence *p, uint64_t now,
                      uint64_t presence_us);
/* The session has ended. The lists must be empty. */
void presence_free(struct router *r, struct presence *p);
/* The one that has been away longest, or NULL. */
struct presence *presence_longest_away(const struct router *r);
/* What was heard of an agent whose sessions have ended since; NULL: nothing.
 * Borrowed until the next of them ends. */
const struct heard *agent_heard(const struct router *r, uint32_t agent);
/* All of an agent: the first; `agent_next` leads on. NULL: none. */
struct presence *agent_presences(const struct router *r, uint32_t agent);
struct connection *agent_connections(const struct router *r, uint32_t agent);

/* An item for a session, or, with session 0, for a connection. */
void router_say(struct router *r, struct connection *c, uint64_t session,
                const struct hash *agent, const struct msg *item);
/* The same to whoever the session is bound to; nothing if it is away. */
void presence_say(struct router *r, struct presence *p, const struct msg *item);

/* The same with the item's encoding; copied. */
void presence_say_bytes(struct router *r, struct presence *p,
                        struct bytes item);

/* May it be sent more of what can wait: events, tasks, values? Once it may
 * not, the answer stays no until router_look has seen that it has read. */
bool connection_has_room(struct router *r, struct connection *c);
/* Look at some of those without room, more of them the longer the last look
 * is ago, so that a turn costs the same however many there are. woken: for
 * each that has room again. */
typedef void (*connection_woken)(void *arg, struct connection *c);
void router_look(struct router *r, uint64_t now, connection_woken woken,
                 void *arg);
/* Is there any without room? */
bool router_waits(const struct router *r);

/* Outbox to transport; see outbox_sign and outbox_release. */
int router_sign(struct router *r, const struct answer_facts *facts,
                const struct key_pair *key);
int router_release(struct router *r, const struct answer_facts *facts,
                   const struct key_pair *key);
/* Peers cut because they took nothing in. */
uint64_t router_cut_count(const struct router *r);

#endif
