/* One thread of the library turns the engines of all handles of the process.
 * It sleeps until one of them has something to do, then gives each that has a
 * turn, one after the other, before it looks again: what came for many handles
 * together costs one wake-up, and of those that wait for answers alone it has one
 * at a time told. It is there while a seat is taken.
 *
 * Any thread, unless it says otherwise. */
#ifndef CHOIR_SDK_HUB_H
#define CHOIR_SDK_HUB_H

#include <uthash.h>

#include "expected.h"
#include "process.h"

enum turn_for {
    TURN_DUE,      /* fd has not been looked at */
    TURN_READABLE, /* it was */
    TURN_LOOK,     /* hub_expects kept it from telling, it may be time */
};

/* A place in it. fd, turn and of: set before hub_join; the rest is the hub's.
 */
struct seat {
    int fd; /* readable: a turn is due */
    /* In the hub's thread, one seat at a time. It must not block: all others
     * wait. True: another turn is due, whatever fd says. */
    bool (*turn)(void *of, enum turn_for why);
    void *of;

    UT_hash_handle hh;
    struct seat *prev, *next; /* of those that are due */
    struct hub *hub;
    uint64_t number; /* never used again in this process */
    bool is_due, is_readable, is_taken;
    bool is_looked_at; /* though fd did not tell of anything */
    struct expectation expectation;
};

/* Its first turn is due at once. 0 or -errno. */
int hub_join(struct seat *s);
/* When it returns no turn of s is under way, and none will come. Not in a
 * turn. Nothing, if s is not in a hub. */
void hub_leave(struct seat *s);
/* A turn is due. It comes though fd is not readable, or not watched. */
void hub_due(struct seat *s);
/* What the seat waits for after a turn, whoever made it, and whether something
 * came in that. True: fd need not be made to tell of what comes, a TURN_LOOK will
 * be made in time. */
bool hub_expects(struct seat *s, enum expects what, bool has_heard);
/* Would hub_due have to wake it? A hint: it may be otherwise at once. */
bool hub_sleeps(struct seat *s);
/* Is it the only one? */
bool hub_is_alone(struct seat *s);
/* Look at fd, or do not, for a while; it is looked at first. Calls that say the
 * opposite must not meet. */
void hub_watch(struct seat *s, bool looks);

#endif
