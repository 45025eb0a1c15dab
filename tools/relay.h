/* docs/pipe.md: lines of JSON from any number of speakers, over one handle.
 * A speaker has a lane; `choir pipe` has one, `choir work` one for each
 * connection to the sockets of the commands it runs.
 *
 * The owner polls: relay_poll, poll, relay_after; and hands every event of
 * the handle to relay_event. Nothing here blocks. One thread. */
#ifndef CHOIR_TOOLS_RELAY_H
#define CHOIR_TOOLS_RELAY_H

#include <poll.h>
#include <stdbool.h>

#include "agent-sdk/choir.h"

struct relay;
struct lane;

enum { RELAY_LANES_MAX = 256 };

/* c: borrowed until destroyed. NULL: no memory. */
struct relay *relay_new(struct choir *c);
void relay_destroy(struct relay **self_p);

/* A speaker. in, out: closed with the lane unless they are standard streams;
 * may be the same. task, token: the lease its writes are under, 0: none; then
 * it neither takes tasks nor ends that one.
 * NULL: no memory, or RELAY_LANES_MAX are open. */
struct lane *lane_open(struct relay *r, int in, int out, uint64_t task,
                       uint64_t token);
/* Tasks that came over it go back by nak, its watches end. */
void lane_close(struct lane **self_p);
/* It says nothing more. */
bool lane_at_end(const struct lane *l);
/* It has said and been told everything, or it is gone. */
bool lane_ended(const struct lane *l);
/* All lanes under that lease, closed. */
void relay_close_lease(struct relay *r, uint64_t token);

/* Something moved under that lease, or it is over: who waits to hear it. */
void relay_moved(struct relay *r, uint64_t token);
/* The next lease that was abandoned over a lane under it; false: none. */
bool relay_lease_over(struct relay *r, uint64_t *token);

/* Fill in what is waited for: at most 2 * RELAY_LANES_MAX. Returns how many;
 * relay_after takes the same ones. Lanes that ended and have a lease are
 * closed there. */
size_t relay_poll(struct relay *r, struct pollfd *fds);
void relay_after(struct relay *r, const struct pollfd *fds, size_t n);

/* Is one lane so far behind that no more events should be fetched? */
bool relay_full(const struct relay *r);
/* e: taken if it was for one of the lanes, and then true. */
bool relay_event(struct relay *r, struct choir_event **e);

#endif
