/* Standing requests: watch, tap, inbox, work, await. Each knows how to begin again
 * after a reconnect so that its events go on without a gap or a double.
 * Engine only. */
#ifndef CHOIR_SDK_STANDING_H
#define CHOIR_SDK_STANDING_H

#include "table.h"
#include "wire.h"

struct standing {
    UT_hash_handle hh;
    uint64_t id;
    enum message verb;
    struct buf head; /* owned: as the caller wrote it */
    uint64_t next;   /* revision it has not delivered yet */
    uint64_t task;   /* await: which */
    uint64_t had;    /* await: partial results it has delivered */
    bool partials;   /* await: it wants them */
    uint64_t credit; /* what the broker may still send */
    uint64_t more;   /* credit the broker has not been told of */
    bool is_due;     /* it is to be told */
    bool withdrawn;  /* work: not only more, but first of all less */
    bool opened;     /* the first reply has been passed on */
    bool caught_up;  /* that was passed on */
    bool marks;      /* ... and is, each time it is told how far it has come */
    char *line;      /* queue and space of a work, for comparison */
};

struct standings {
    struct standing *all;
    size_t awaits;
};

/* Is that verb a standing request? */
bool standing_verb(enum message verb);
/* From the caller's op, which stays its own. NULL: no memory, or another one
 * works that queue already. */
struct standing *standing_new(struct standings *all, const struct op *op);
struct standing *standing_find(struct standings *all, uint64_t id);
void standing_remove(struct standings *all, struct standing *s);
void standings_free(struct standings *all);
/* The op that opens it, or opens it again. NULL: no memory. */
struct op *standing_op(struct standing *s, struct wire *w);
/* The op that tells of its credit: that of work. Likewise. */
struct op *standing_credit_op(struct standing *s, struct wire *w);
/* An item that belongs to standing requests. Items of unknown ones are
 * dropped; an unknown task is given back. */
void standing_item(struct standings *all, struct wire *w,
                   const struct msg *item);
/* The broker's reply to a credit of a watch: how far it has come. */
void standing_mark(struct standings *all, struct wire *w, const struct op *op,
                   const struct msg *reply);
/* It ends with that code. Removes it. */
void standing_end(struct standings *all, struct standing *s, struct wire *w,
                  int code, const char *line);
/* Lease lost: tell its request, once. */
void standing_lease_lost(struct standings *all, struct wire *w,
                         const struct msg *item);

#endif
