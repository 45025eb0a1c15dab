/* Threads that share one piece of work: many independent items, done when all
 * are done. The caller works too, so that on a busy machine it never waits for
 * somebody who has not begun.
 * Threads: every call comes from the same thread. */
#ifndef CHOIR_BROKER_BASE_CREW_H
#define CHOIR_BROKER_BASE_CREW_H

#include <stddef.h>

struct crew;

/* helpers: threads besides the caller, 0 or more. 0; negative errno. */
int crew_new(struct crew **out, unsigned helpers);
void crew_destroy(struct crew **self_p);
unsigned crew_helpers(const struct crew *c);

/* One item. Called from any thread of the crew, for each i once, in no
 * particular order; whatever it touches must be that item's own. */
typedef void (*crew_item)(void *arg, size_t i);
/* Returns when item has been called for 0..n-1. */
void crew_run(struct crew *c, crew_item item, void *arg, size_t n);

#endif
