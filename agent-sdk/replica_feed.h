/* What the files of the thread that keeps a replica share. */
#ifndef CHOIR_SDK_REPLICA_FEED_H
#define CHOIR_SDK_REPLICA_FEED_H

#include "replica.h"

struct feed {
    struct choir_replica *r;
    struct choir *c;
    struct replica_map *loading; /* NULL: what comes is live */
    uint64_t told;               /* all changes up to there have come */
    bool knows_epoch;
    uint64_t epoch;  /* in which it was loaded */
    int64_t soon_ms; /* until the next mark while somebody waits */
    struct check {
        int64_t due_ms,
            wait_ms; /* the next page, and the one after; -1: none */
        char after[LIMIT_KEY_BYTES + 1]; /* where that begins */
        size_t after_bytes;
    } check;
};

/* A request about the replica's space. NULL as choir_request_new. */
struct choir_request *feed_request(struct choir_replica *r, const char *verb);
/* Send, and take the one reply. 0; its code; what ended the feed. */
int feed_ask(struct feed *f, struct choir_request **q, struct choir_event **e);

/* It begins to be followed: the first page is due in a while. */
void check_begin(struct feed *f);
/* If it is time, compare a page with the broker. 0; CHOIR_DIVERGED; what ended
 * the feed. */
int check_page(struct feed *f);

#endif
