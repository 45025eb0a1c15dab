/* What the files of cursor share: where watches stand, and what they are. */
#ifndef CHOIR_BROKER_CURSOR_PRIVATE_H
#define CHOIR_BROKER_CURSOR_PRIVATE_H

#include "cursor.h"
#include "cursor_spots.h"
#include "fresh.h"
#include "past.h"
#include "tally.h"
#include "tap.h"

enum { SPOT_KEY_MAX = LIMIT_NAME_BYTES + 1 + LIMIT_KEY_BYTES };

enum stand { PARKED, LEVEL, BEHIND, STALLED };

/* A polynomial of the bytes so far, so that the hash of a longer prefix is one
 * step from that of a shorter. Its argument is drawn at random: nobody can
 * choose prefixes that meet in one place. */
static inline uint64_t spot_hash_step(uint64_t argument, uint64_t h, char byte)
{
    const uint64_t prime = ((uint64_t)1 << 61) - 1;
    unsigned __int128 x =
        (unsigned __int128)h * argument + (unsigned char)byte + 1;
    uint64_t r = ((uint64_t)x & prime) + (uint64_t)(x >> 61);

    return r >= prime ? r - prime : r;
}

struct watch_id {
    uint64_t session, number;
};

struct watch {
    struct watch_id id;
    struct presence *p;
    uint64_t next, credit, opened_at;
    uint64_t skipped; /* notices, of a tap, since the last one it got */
    bool caught_up, tap, values, gaps;
    enum stand stand;
    struct spot *spot;             /* while LEVEL, unless a tap */
    struct watch *prev, *next_in;  /* of its spot, of taps or of those behind */
    struct watch *p_prev, *p_next; /* of its presence */
    struct watch *t_prev, *t_next; /* of all taps */
    UT_hash_handle hh;             /* by id */
    size_t space_bytes, prefix_bytes;
    char key[]; /* space, NUL, prefix */
};

struct cursors {
    const struct state *state;
    struct ledger *ledger;
    struct router *router;
    struct ledger_reader *reader;
    struct tap *tap;
    struct past *past;
    struct fresh *again; /* changes as they were told, for watch 0 */
    struct spots spots;
    uint64_t hash_argument;
    struct watch *all;
    struct watch *taps, *behind; /* taps: level ones */
    struct watch *all_taps;
    size_t behind_count;
    uint32_t lengths[LIMIT_KEY_BYTES + 1]; /* spots by length of prefix */
    uint16_t used[LIMIT_KEY_BYTES + 1];    /* the lengths in use */
    size_t used_count;
    struct tally per_agent; /* watches */
    bool ready;
    struct change list[LIMIT_TXN_WRITES]; /* of the entry in hand */
    size_t count;
    struct buf items;
    struct buf shared; /* a change for watch 0, for all of a spot; or empty */
    size_t shared_at;  /* where the watch's number stands in it */
    struct buf own;    /* and for the watch being told */
    struct buf about;  /* scratch of again_keep */
    struct cursor_counters counters;
};

static inline struct bytes watch_space(const struct watch *w)
{
    return bytes_of(w->key, w->space_bytes);
}

static inline struct bytes watch_prefix(const struct watch *w)
{
    return bytes_of(w->key + w->space_bytes + 1, w->prefix_bytes);
}

static inline const struct agent *watch_agent(const struct cursors *c,
                                              const struct watch *w)
{
    return agent_by_number(c->state->agents, w->p->agent);
}

/* --- cursor_open.c -------------------------------------------------------- */

/* Was what it still has to be told compacted? */
bool watch_compacted(const struct cursors *c, const struct watch *w);
/* It is over. */
void watch_end(struct cursors *c, struct watch *w, int outcome);

/* --- cursor_stand.c: where a watch stands -------------------------------- */

/* The hash of a key's (space, NUL, prefix) first n bytes. */
uint64_t spot_hash(const struct cursors *c, const char *key, size_t n);
void stand_nowhere(struct cursors *c, struct watch *w);
/* Reads on from w->next: at once, or when it has credit, or its connection
 * room. */
void stand_behind(struct cursors *c, struct watch *w);
/* 0 or -ENOMEM. */
int stand_level(struct cursors *c, struct watch *w);

/* --- cursor_tell.c: what a watch is told --------------------------------- */

void say_caught_up(struct cursors *c, struct watch *w);

/* The entry whose changes are in c->list; task: 0 or the one it completes.
 * many: it goes to all watches of a spot, now or later; c->shared has been
 * cleared before the first. */
struct happening {
    const struct entry *e;
    const struct hash *author;
    uint64_t task;
    bool many;
};
/* 0: told, or none of its business; -EAGAIN: no credit, or its peer is full:
 * it stands at this revision; -ENOMEM. */
int change_tell(struct cursors *c, struct watch *w, const struct happening *h);
/* A change that was encoded for watch 0. 0, -EAGAIN, -ENOMEM likewise. */
int change_say(struct cursors *c, struct watch *w, struct bytes shared,
               size_t number_at);

/* --- cursor_again.c: what was told a moment ago -------------------------- */

/* Should the entry whose changes are in c->list be kept? */
bool again_wants(const struct cursors *c, const struct entry *e);
/* Keep it, as it is in c->shared. */
void again_keep(struct cursors *c, const struct entry *e, struct bytes space);
/* Tell a watch of the entry at w->next. 0, -EAGAIN, -ENOMEM as change_tell;
 * CHOIR_NOT_FOUND: it has to be read. */
int again_tell(struct cursors *c, struct watch *w);

#endif
