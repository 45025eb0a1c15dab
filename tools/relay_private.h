/* What the relay's files share: lanes and routes, and what is said over them.
 */
#ifndef CHOIR_TOOLS_RELAY_PRIVATE_H
#define CHOIR_TOOLS_RELAY_PRIVATE_H

#include <jansson.h>
#include <uthash.h>

#include "proto/bytes.h"
#include "relay.h"

/* Who waits for the events of a request. */
struct route {
    uint64_t request;
    struct lane *lane;
    json_t *id;     /* as the speaker gave it, or NULL */
    uint64_t token; /* the lease that ends if the outcome is OK; 0: none */
    bool stands;
    UT_hash_handle hh;
};

/* A task that came over a lane and is not answered for. */
struct held {
    uint64_t task, token, request;
    struct held *next;
};

/* Who wants to hear of the next thing that moves under a lease. */
struct moved_wait {
    uint64_t token;
    json_t *id;
    struct moved_wait *next;
};

/* A lease that was abandoned over a lane under it. */
struct ended {
    uint64_t token;
    struct ended *next;
};

struct lane {
    struct relay *relay;
    int in, out;
    uint64_t task, token;
    struct buf heard, said;
    size_t said_at;
    bool skips; /* the rest of a line that is too long */
    bool at_end, is_gone;
    struct choir_request *stuck; /* no room for it yet */
    struct route *stuck_route;
    unsigned open; /* routes that do not stand */
    struct held *held;
    struct moved_wait *waits;
    struct lane *prev, *next;
};

struct relay {
    struct choir *choir;
    struct route *routes;
    struct lane *lanes;
    unsigned count;
    struct ended *ended;
};

/* o: taken. id: the speaker's own, or NULL. */
void lane_say(struct lane *l, json_t *o, json_t *id);
void lane_refuse(struct lane *l, json_t *id, int code, const char *line);

/* --- What a lease has to do with it (relay_lease.c) ------------------------ */

/* Under a lease, what is read and written is for that task: fill in task and
 * token. False: refused, for a lease neither takes nor ends tasks. */
bool lease_fill(struct lane *l, json_t *o, const char *verb);
/* "moved" is not for the broker: what moved is known here. False: it is
 * another verb. */
bool about_moved(struct lane *l, json_t *o, const char *verb);
/* The lease that the request ends if its outcome is OK; 0: none. */
uint64_t lease_ended_by(const struct lane *l, const json_t *o,
                        const char *verb);
/* Did that outcome end the lease of its route? */
bool outcome_ends(const struct choir_event *e);
/* The lane closes. */
void waits_free(struct lane *l);

#endif
