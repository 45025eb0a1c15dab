/* The engine of a handle, in turns. One thread at a time: whoever holds the
 * handle's turn. */
#ifndef CHOIR_SDK_ENGINE_H
#define CHOIR_SDK_ENGINE_H

#include "asks.h"
#include "handle.h"
#include "records.h"

/* What intake_drain calls them, and our own. */
enum { WAKE_BIT = 1, HOLD_BIT = 2, TIMER_BIT = 4 };

struct engine {
    struct choir *c;
    struct connection *connection;
    struct wire wire;
    struct records *records;
    struct asks *asks;
    bool was_up;      /* ever */
    bool hello_sent;  /* on this connection */
    bool is_welcome;  /* likewise */
    int64_t begin_ms; /* when to connect again */
    int64_t backoff_ms;
    int64_t hello_ms;
    int64_t look_ms; /* when to look for what nobody expects; 0: never */
    int64_t saved_ms;
    struct checkpoint saved; /* what was stored last */
    uint64_t asked_session;  /* the session the asks know of */
    struct told_limit limits[LIMITS_MAX];
    unsigned limit_count;
    bool limits_new;
    bool has_more;     /* callers put in something while we were busy */
    bool has_news;     /* the last turn told something */
    bool has_heard;    /* the last turn received a frame */
    bool is_held;      /* until its descriptor says that it is over */
    struct seat seat;  /* its fd is the connection's */
    struct near *near; /* a caller who waits, and libzmq's thread */
    int timer_fd;
    int64_t timer_ms; /* when it will be readable; 0: never */
    int ended;
    char *line;
};

/* Do all there is to do and tell what became of it. readable: what
 * connection_poll found; 0: nothing was looked at. */
void engine_turn(struct engine *e, unsigned readable);
/* For answers to records, and for nothing else? */
bool engine_waits_for_answers(const struct engine *e);
/* Take everything that callers have put in. */
void engine_hear_callers(struct engine *e);
/* How long until a turn is due though nothing happens; 0: now; -1: never. */
int engine_timeout_ms(const struct engine *e);
/* Publish what became of things. Takes the handle's lock. */
void engine_tell(struct engine *e);
/* Store the newest checkpoint, now or if it is time; the first at once. */
void engine_seen_store(struct engine *e, bool now);

#endif
