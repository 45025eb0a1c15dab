/* Memory for very many small things of one owner: next to each other, without
 * a head of their own, in few large pieces of huge pages.
 *
 * That is for the time after a snapshot's fork, when each page that is written
 * to costs a fault: ten million keys lie on two hundred thousand pages of the
 * usual size. And finding a key misses the processor's table of pages less.
 *
 * What is given back is used again for things of the same size, never for
 * others. Few things take few pages: pieces are small at first.
 * Thread: one. */
#ifndef CHOIR_BROKER_STATE_ARENA_H
#define CHOIR_BROKER_STATE_ARENA_H

#include <stddef.h>

enum { ARENA_THING_MAX = 4096 }; /* bytes */

struct arena;

/* NULL when out of memory. */
struct arena *arena_new(void);

/* And all that was taken from it. Accepts NULL. */
void arena_destroy(struct arena **self_p);

/* Up to ARENA_THING_MAX bytes, aligned to 8, not zeroed; NULL when there is no
 * memory. Borrowed until arena_give or arena_destroy. */
void *arena_take(struct arena *a, size_t bytes);

/* With the size that it was taken with. */
void arena_give(struct arena *a, void *thing, size_t bytes);

#endif
