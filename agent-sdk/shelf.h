/* Things of one kind that a thread let go of, kept for its next ones, so that
 * a program in its stride allocates nothing. Each thread has its own, so there
 * is no lock; what a thread leaves when it ends is destroyed.
 *
 * shelf_open and shelf_close: once, when the library is loaded and unloaded.
 * The others: any thread. */
#ifndef CHOIR_SDK_SHELF_H
#define CHOIR_SDK_SHELF_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { SHELF_THINGS = 64 }; /* of one kind and one thread */

struct shelf {
    pthread_key_t key;
    atomic_bool is_open; /* at the program's end others may still use it */
    void (*destroy)(void *thing);
};

/* Without a key the shelf stays closed: it is always empty, and always full. */
void shelf_open(struct shelf *s, void (*destroy)(void *thing));
void shelf_close(struct shelf *s);
/* Owned by the caller, as it was put; or NULL. */
void *shelf_take(struct shelf *s);
/* True: taken. False: there is no room, it is still the caller's. */
bool shelf_put(struct shelf *s, void *thing);

#endif
