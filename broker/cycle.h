/* One turn of the broker, without a socket: frames go in, everything that
 * follows from them is decided, recorded, and told.
 *
 *   cycle_begin -> cycle_take ... -> cycle_end
 *
 * What arrived together is one group. What was appended while a sync was under
 * way shares the next one, and one signature.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_CYCLE_H
#define CHOIR_BROKER_CYCLE_H

#include "ask.h"

struct cycle;
struct crew;

/* How a lone bundle is proven and made durable: one after the other; written,
 * then proven while a thread syncs, on whatever core; the same on another core,
 * which helps to prove a large one, too. */
enum lone_way { LONE_BY_TRIAL, LONE_PROVEN, LONE_BESIDE, LONE_ASIDE };

/* Borrowed for the life of the cycle. transport and more: copied. */
struct cycle_options {
    struct core *core;
    struct env *env;
    const struct config *config;
    struct transport transport;
    struct crew *crew;  /* who helps to verify; NULL: nobody */
    bool beside;        /* syncs may go on beside, see ledger_beside; whoever
                    asked for them calls cycle_settle when one has ended */
    enum lone_way lone; /* by trial: what is quickest on this machine */
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

/* 0, or negative errno: the daemon must exit. */
int cycle_begin(struct cycle *c);
/* Frames, in the order of their arrival. What can be proven about each without
 * the others is proven on any core, beside what is decided about those before
 * it. What has become durable meanwhile is let out. 0, or negative errno: the
 * daemon must exit. */
struct arrival {
    struct connection *from;
    struct bytes frame; /* borrowed for the call */
    int code; /* set: 0, or why it was dropped: not authentic, or no frame */
    bool is_lone; /* the only one of this turn: it is there until cycle_end has
                     returned, and only then code is set for good */
};
int cycle_take_all(struct cycle *c, struct arrival *list, size_t n);
/* One frame. 0; the code when it was dropped; negative errno. */
int cycle_take(struct cycle *c, struct connection *from, struct bytes frame);
/* Enough for one group? */
bool cycle_full(const struct cycle *c);
/* Must a sync end before more is taken? */
bool cycle_blocked(const struct cycle *c);
/* Decide, record, tell. 0, or negative errno: the daemon must exit. */
int cycle_end(struct cycle *c);

/* Between two turns: if a sync that went on beside has ended, let out what
 * waited for it, and begin the next one. As cycle_end. */
int cycle_settle(struct cycle *c);
/* Is there anything that waits to be let out? */
bool cycle_waits(const struct cycle *c);

/* Was there no more than one frame in the turn that has ended, and none that
 * came while the disk was waited for? */
bool cycle_was_alone(const struct cycle *c);

/* Steady time at which the next cycle has something to do without any frame;
 * 0: at once; UINT64_MAX: nothing known. */
uint64_t cycle_next(const struct cycle *c);

/* From now on work is neither taken nor given. */
void cycle_drain(struct cycle *c);
/* Something that is not recorded, for taps and the log. */
void cycle_notice(struct cycle *c, const char *text, const struct hash *agent,
                  uint64_t count, int outcome);

#endif
