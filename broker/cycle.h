/* One turn of the broker, without a socket: frames go in, everything that
 * follows from them is decided, recorded, and told.
 *
 *   cycle_begin -> cycle_take ... -> cycle_end
 *
 * What arrived together is one group, one sync and one signature.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_CYCLE_H
#define CHOIR_BROKER_CYCLE_H

#include "ask.h"

struct cycle;

/* Borrowed for the life of the cycle. transport and more: copied. */
struct cycle_options {
    struct core *core;
    struct env *env;
    const struct config *config;
    struct transport transport;
    status_source more; /* counters of whoever owns the socket; may be NULL */
    void *more_arg;
};

/* NULL when out of memory. */
struct cycle *cycle_new(const struct cycle_options *options);
void cycle_destroy(struct cycle **self_p);

/* A peer whose CURVE key was proven: an enrolled agent, or whoever holds an
 * invitation. NULL when out of memory. */
struct connection *cycle_connect(struct cycle *c, uint32_t agent,
                                 uint64_t invite, const struct hash *challenge);
void cycle_disconnect(struct cycle *c, struct connection *connection);

void cycle_begin(struct cycle *c);
/* One frame. 0; a positive code when it was not authentic or no frame at all,
 * and was dropped; negative errno: the daemon must exit. */
int cycle_take(struct cycle *c, struct connection *from, struct bytes frame);
/* Enough for one group? */
bool cycle_full(const struct cycle *c);
/* Decide, record, tell. 0, or negative errno: the daemon must exit. */
int cycle_end(struct cycle *c);

/* Steady time at which the next cycle has something to do without any frame;
 * 0: at once; UINT64_MAX: nothing known. */
uint64_t cycle_next(const struct cycle *c);

/* From now on work is neither taken nor given. */
void cycle_drain(struct cycle *c);
/* Something that is not recorded, for taps and the log. */
void cycle_notice(struct cycle *c, const char *text, const struct hash *agent,
                  uint64_t count, int outcome);

#endif
