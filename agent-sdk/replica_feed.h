/* What the files of the thread that keeps a replica share. */
#ifndef CHOIR_SDK_REPLICA_FEED_H
#define CHOIR_SDK_REPLICA_FEED_H

#include "replica.h"

enum {
    FEED_CREDIT = 256, /* changes the broker may send ahead */
    MARK_SOON_MS = 10, /* somebody waits, and it was not far enough */
};

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
/* Send, once there is room. *q is used up. 0; -ECANCELED; its code. */
int feed_send(struct feed *f, struct choir_request **q, uint64_t *id);
/* Its next event. 0; CHOIR_TIMEOUT; -ECANCELED; CHOIR_EPOCH_CHANGED; what ended
 * the handle. */
int feed_take(struct feed *f, uint64_t id, int64_t deadline,
              struct choir_event **event);
/* What the event says, as this thread's error: the end of the feed. */
int feed_event_code(const struct choir_event *e);
/* One event of the watch. 0; CHOIR_TIMEOUT; why it is over. */
int feed_hear(struct feed *f, int64_t deadline);
/* Ask how far the watch has come. */
void feed_ask_mark(struct feed *f);
/* 0; CHOIR_OVER_LIMIT: contents are more than the replica may hold. */
int feed_room_check(const struct choir_replica *r,
                    const struct replica_map *map);
/* How far it is complete, from now on. With the lock held. */
void feed_complete_set(struct choir_replica *r, uint64_t revision);

/* --- replica_load.c ------------------------------------------------------ */

/* Everything there is, until it can be read. 0; what ended the feed. */
int feed_load(struct feed *f);

/* --- replica_check.c ----------------------------------------------------- */

/* It begins to be followed: the first page is due in a while. */
void check_begin(struct feed *f);
/* If it is time, compare a page with the broker. 0; CHOIR_DIVERGED; what ended
 * the feed. */
int check_page(struct feed *f);

#endif
