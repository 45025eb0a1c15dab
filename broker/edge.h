/* The socket: encrypted and mutually authenticated connections, who is let in,
 * and what a peer may cost before it is cut off. Everything behind it is
 * cycle's.
 * Thread: one, that of the state. */
#ifndef CHOIR_BROKER_EDGE_H
#define CHOIR_BROKER_EDGE_H

#include "core.h"

struct edge;

/* All borrowed until closed. */
struct edge_options {
    struct core *core;
    struct env *env;
    const struct config *config;
    int also; /* a descriptor: see edge_turn; -1: none */
};

enum { EDGE_TROUBLE_BYTES = 512, EDGE_URL_BYTES = 257 };

/* Listens when it returns. 0, or a negative errno with a sentence. */
int edge_open(struct edge **out, const struct edge_options *options,
              char trouble[EDGE_TROUBLE_BYTES]);
/* What is under way gets up to linger_ms to leave. The core must live. */
void edge_close(struct edge **self_p, unsigned linger_ms);

/* How many endpoints there are, and the one with that number as a client on
 * this host names it: ports resolved, "any address" made local. Borrowed. */
size_t edge_url_count(const struct edge *e);
const char *edge_url(const struct edge *e, size_t i);

/* Wait until something arrives, a timer is due or `also` is readable, then do
 * one cycle. *also_ready: whether it is. `most_ms`: longest wait, -1: as long
 * as it takes. 0, or negative errno: the daemon must exit. */
int edge_turn(struct edge *e, int most_ms, bool *also_ready);

/* Neither take work nor give it any more. */
void edge_drain(struct edge *e);
/* Did the last turn handle a frame, or does something wait to leave? */
bool edge_was_busy(const struct edge *e);

#endif
