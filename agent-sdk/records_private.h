/* What sending and hearing share of the recorded half of a session. */
#ifndef CHOIR_SDK_RECORDS_PRIVATE_H
#define CHOIR_SDK_RECORDS_PRIVATE_H

#include "records.h"

enum state { SESSION_NONE, SESSION_OPENING, SESSION_OPEN };

/* A bundle on its way. */
struct sent {
    struct sent *prev, *next;
    uint64_t first_seq;
    struct hash before; /* the bundle in front of it */
    struct buf frame;
    unsigned copies; /* sent on this connection and not accounted for */
    bool elsewhere;  /* a copy went over an earlier connection */
    int64_t sent_ms;
    uint32_t count, left;
    struct op *ops[]; /* owned; NULL: answered */
};

struct records {
    enum state state;
    uint64_t session, next_seq, answered;
    struct hash last; /* newest bundle of the session */
    struct op *queue; /* not signed yet */
    size_t queued, queued_bytes;
    struct sent *sent; /* in order */
    struct buf spare;  /* a frame's memory, for the next one */
    unsigned under_way;
    size_t unanswered;   /* operations in them */
    size_t told;         /* outcomes since records_pump */
    bool keeps;          /* see records_keep */
    bool draining;       /* what is in `sent` will be signed anew */
    int64_t again_ms;    /* when to send or open again; 0: not planned */
    int64_t backoff_ms;  /* before that */
    int64_t opening_ms;  /* since when SESSION_OPENING */
    struct hash opening; /* the bundle that asks for the session */
    int trouble;
};

/* Plan to send, or to open a session, again: later each time. */
void records_backoff(struct records *r, const struct wire *w);
/* Move the operations of s that have no outcome into a list. */
void records_take_ops(struct sent *s, struct op **list);
/* Put them in front of the queue, in order. */
void records_requeue(struct records *r, struct op *ops);
/* Forget a bundle, and what it still owns. */
void records_drop(struct records *r, struct sent *s);

#endif
