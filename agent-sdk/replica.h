/* What the two sides of a replica share: those who read it (replica.c) and the
 * thread that keeps it (replica_feed.c). */
#ifndef CHOIR_SDK_REPLICA_H
#define CHOIR_SDK_REPLICA_H

#include "handle.h"
#include "replica_map.h"

struct choir_replica {
    struct choir_replica *prev, *next; /* of the handle, under its lock */
    /* fixed once open */
    struct choir *c;
    char *prefix, *space; /* owned */
    size_t bytes_max;
    int mark_ms, check_ms;
    unsigned forks; /* of the process that opened it */
    pthread_t thread;

    /* Locks, in the order in which they are taken: contents change, or are
     * listed, under `writing`; `reading` is held for writing only as long as
     * one change takes, so that a long listing holds up no reader. */
    pthread_mutex_t writing;
    pthread_rwlock_t reading;
    struct replica_map *map; /* NULL: not loaded yet, or ended */

    /* under the handle's lock */
    uint64_t watch; /* request */
    bool stop;
    bool is_loaded; /* once */
    int ended;      /* the code, or 0 */
    char *line;     /* its text */
    uint64_t complete;
    int64_t heard_ms;    /* what was known to exist then is in; 0: never */
    int64_t asked_ms;    /* a mark was asked for then, when the ledger was */
    uint64_t asked_size; /* known to be so large; 0: none is under way */
    int64_t mark_ms_last;
    uint64_t wanted; /* somebody waits for that revision */
    unsigned waiting;
    uint64_t loads;
};

/* Under the handle's lock: are all its replicas complete up to there, or over?
 * Those that are not are asked for it. */
bool replicas_complete(struct choir *c, uint64_t revision);
/* The request of its watch, sent; its first reply is still to come. */
int replica_watch(struct choir_replica *r, int timeout_ms, uint64_t *watch);
/* Under the handle's lock: ask how far it is complete. */
void replica_ask_mark(struct choir_replica *r);
/* The thread. The watch has been agreed to. */
void *replica_feed(void *replica);

#endif
