/* Threads that share one piece of work: many independent items, which the caller
 * then needs one after the other. He works too where nobody has begun, so that
 * on a busy machine he never waits for somebody who has not; and what he does
 * with one item goes on beside the work at those after it. Helpers are kept off
 * the core that he was seen on last, where there are others.
 * Threads: every call comes from the same thread. */
#ifndef CHOIR_BROKER_BASE_CREW_H
#define CHOIR_BROKER_BASE_CREW_H

#include <stddef.h>

struct crew;

/* helpers: threads besides the caller, 0 or more. 0; negative errno. */
int crew_new(struct crew **out, unsigned helpers);
void crew_destroy(struct crew **self_p);
unsigned crew_helpers(const struct crew *c);

/* One item. Called from any thread of the crew, for each i at most once, mostly
 * counting up; whatever it touches must be that item's own. */
typedef void (*crew_item)(void *arg, size_t i);
/* Items 0..n-1 are there; borrowed until crew_end. 0 or -ENOMEM. */
int crew_begin(struct crew *c, crew_item item, void *arg, size_t n);
/* The same for one helper, because the caller has something else to do first;
 * by the time he needs them they should be done, or nearly so. */
int crew_hand(struct crew *c, crew_item item, void *arg, size_t n);
/* Returns when item has been called for i. */
void crew_need(struct crew *c, size_t i);
/* From here on nobody touches them; some may never have been called. */
void crew_end(struct crew *c);

#endif
