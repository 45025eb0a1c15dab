/* What the files of the embedded engine share. Private to broker/ledger/. */
#ifndef CHOIR_BROKER_LEDGER_SEGMENT_H
#define CHOIR_BROKER_LEDGER_SEGMENT_H

#include <limits.h>
#include <sys/types.h>

#include "broker/base/mapped.h"
#include "broker/ledger/ledger.h"

enum {
    SEGMENT_FDS = 8,              /* earlier segments kept open */
    SEGMENT_SAMPLE_BYTES = 16384, /* from one sample to the next, at least */
    WINDOW_BYTES = 65536,
    SEGMENT_NAME_BYTES = 24,
    SEGMENTS_MAX = 1000000,
};

/* A place between two groups, and what the next one has to follow from. */
struct mark {
    uint64_t segment, offset;
    uint64_t size, epoch, time;
    struct hash group;
};

struct sample {
    uint64_t first, offset;
};

struct segment {
    uint64_t first, end; /* end of its last group; of the last segment: see
                            ledger.written */
    uint8_t nonce[SEGMENT_NONCE_BYTES];
    bool sampled;           /* samples cover all of it */
    struct sample *samples; /* owned */
    size_t sample_count, sample_cap;
    struct mapped mapped; /* see pieces.c */
};

/* A piece of a file in memory. Zero-initialised is empty. */
struct window {
    struct buf b;
    uint64_t file, at;
    size_t ahead; /* read at least that much, 0: WINDOW_BYTES */
};

/* A file that groups go to, and how much of it certainly can be written. */
struct space {
    int fd; /* -1: none */
    uint64_t allocated;
    uint64_t zeroed; /* written with zeros up to here, when that is asked */
};

struct entry_cache;
struct beside;

struct ledger {
    char *dir; /* owned */
    struct env *env;
    int lock;
    pid_t owner;
    uint64_t segment_bytes, reserve_bytes, check_bytes;
    uint32_t maps_max; /* 1 to LEDGER_MAPS_MAX */
    uint32_t mapped_max;
    bool preallocate, read_only;
    struct hash id;
    struct segment *segments; /* owned; number i + 1 */
    size_t count, cap;
    struct space current, spare;
    uint64_t spare_again; /* offset from which to try for a spare again */
    struct mark written, durable;
    struct mark before; /* the last group, if may_take_back */
    bool may_take_back;
    struct mark syncing; /* what the sync under way will make durable */
    bool is_syncing;
    int syncing_fd;
    struct beside *beside; /* owned; NULL: syncs are done here */
    struct {
        struct beside *beside; /* owned; NULL: zeros are written here */
        bool is_under_way;
        int fd;
        uint64_t from, to;
    } zeroing;                 /* of the spare */
    uint64_t earlier_bytes;    /* of all segments but the last */
    struct thinning *thinning; /* owned; NULL: none was ever asked for */
    uint64_t generation;       /* how often a segment has been replaced */
    bool sealed;
    int broken; /* the failure after which nothing more is written */
    struct {
        uint64_t number; /* 0: free */
        int fd;
        uint64_t used;
    } fds[SEGMENT_FDS];
    uint64_t clock;             /* for fds[].used */
    size_t mapped, mapped_hand; /* segments that are; where to end one */
    struct window locating;
    struct entry_cache *cache;      /* owned */
    const struct slot_hider *hider; /* borrowed; NULL: nothing is hidden */
    char trouble[LEDGER_TROUBLE_BYTES];
};

/* Say what is wrong and return code. */
int trouble_say(char trouble[LEDGER_TROUBLE_BYTES], int code,
                const char *format, ...) __attribute__((format(printf, 3, 4)));

/* From now on nothing more is written; what: was being done. Returns r. */
int ledger_broken(struct ledger *l, int r, const char *what);

/* "segment-0000000001" */
void segment_name(uint64_t number, char name[SEGMENT_NAME_BYTES]);
/* 0 for other names. */
uint64_t segment_number(const char *name);
/* dir/name; -ENAMETOOLONG. */
int path_join(char path[PATH_MAX], const char *dir, const char *name);
int segment_open(const char *dir, uint64_t number,
                 int flags); /* fd or -errno */

/* n bytes at an offset of a file, borrowed until the next call; file tells
 * files apart. Nothing at or beyond limit is read. 0; -ENODATA (beyond limit);
 * negative errno. */
int window_get(struct window *w, uint64_t file, int fd, uint64_t at, size_t n,
               uint64_t limit, const uint8_t **p);
void window_free(struct window *w);

/* --- recover.c ----------------------------------------------------------- */

/* One segment, group by group, each checked in itself and against the one
 * before. */
struct scan {
    int fd; /* borrowed */
    uint64_t length;
    struct segment_header header;
    struct mark at;     /* behind the last good group, */
    struct mark before; /* and before it */
    struct window window;
    struct group_header group;
    char why[128]; /* after CHOIR_MALFORMED, CHOIR_UNSUPPORTED */
};
/* 0; CHOIR_NOT_FOUND at the file's end; CHOIR_MALFORMED; CHOIR_UNSUPPORTED: a
 * group that is whole, but says what is not understood; negative errno. */
int scan_next(struct scan *s);

/* Read the directory: segments, seal, tail. Cuts and writes only where the
 * tail rule says so. Fills segments, written and durable. As ledger_open. */
int ledger_recover(struct ledger *l, struct ledger_head *head);

/* --- tail.c -------------------------------------------------------------- */

/* The scan stopped at s->at: does the record end here? Cuts, if it may. */
int tail_settle(struct ledger *l, struct scan *s);
/* Keep what is about to be cut in a side file, durable. */
int tail_keep(struct ledger *l, int fd, const struct mark *from, uint64_t to);
/* A side file for exactly this size that no cut entry speaks of yet? */
int tail_cut_pending(struct ledger *l, struct ledger_head *head);
/* Only zeros in [from, to)? *last: behind the last other byte. */
int zeros_from(int fd, uint64_t from, uint64_t to, uint64_t *last);
/* Zeros from there to there, durable. 0 or negative errno. */
int file_wipe(int fd, uint64_t from, uint64_t to);

/* --- seal.c -------------------------------------------------------------- */

struct seal {
    struct mark at;
    struct hash ledger;
    uint64_t last_bytes, spare_bytes;
};
/* 0; CHOIR_NOT_FOUND; CHOIR_UNSUPPORTED, -EUCLEAN with l->trouble. */
int seal_read(struct ledger *l, struct seal *seal);
int seal_write(const char *dir, const struct seal *seal);
/* Before anything in the directory changes. */
int seal_remove(struct ledger *l);

/* --- space.c ------------------------------------------------------------- */

/* Make sure that a group of n bytes, and keep bytes more, can be written: in
 * the current segment or in the spare one. 0; CHOIR_READ_ONLY; negative. */
int space_ensure(struct ledger *l, uint64_t n, uint64_t keep);
bool space_fits(const struct ledger *l, uint64_t n);
/* Make sure that the next segment can begin at once. The same. */
int space_next(struct ledger *l);
/* Begin the next segment, in the space allocated ahead. 0 or -errno. */
int segment_next(struct ledger *l);
/* Begin with the zeros of the spare that are due, or write them where nothing
 * is done beside. 0 or negative errno. */
int spare_zero(struct ledger *l);
void space_close(struct space *s);
/* Zeros that are being written beside: have they ended? 0, also if there are
 * none; -EAGAIN (never, with wait); another negative errno. */
int zeroing_end(struct ledger *l, bool wait);
void zeroing_close(struct ledger *l);
/* Remove the file allocated ahead, if there is one. */
int spare_discard(struct ledger *l);

/* --- locate.c ------------------------------------------------------------ */

int segment_add(struct ledger *l, const struct segment_header *h);
/* A group starts there. 0 or -ENOMEM. */
int sample_add(struct segment *s, uint64_t first, uint64_t offset);
/* A file to read segment `number` from, borrowed until the next call; or
 * -errno. */
int segment_fd(struct ledger *l, uint64_t number);
/* Where what is written of it ends. */
uint64_t segment_end(const struct ledger *l, uint64_t number);
/* The group that holds index (< size): where, and its header. */
int locate(struct ledger *l, uint64_t index, uint64_t *number, uint64_t *offset,
           struct group_header *g);
/* Body and header of a group at a place, checked; borrowed from w. */
int group_load(struct ledger *l, struct window *w, uint64_t number,
               uint64_t offset, struct group_header *g, struct bytes *body);
/* The same for the heads alone; payloads are neither read nor checked. */
int group_load_heads(struct ledger *l, struct window *w, uint64_t number,
                     uint64_t offset, struct group_header *g,
                     struct bytes *heads);

/* --- pieces.c ------------------------------------------------------------ */

/* Copy n bytes of segment `number`. 0; -ENODATA: it ends before; negative
 * errno. */
int segment_piece(struct ledger *l, uint64_t number, void *to, size_t n,
                  uint64_t at);
/* The same bytes are copied in a moment. */
void segment_piece_fetch(const struct ledger *l, uint64_t number, size_t n,
                         uint64_t at);
/* Its file is another one from now on, or is read no more. */
void segment_unmap(struct ledger *l, uint64_t number);

/* --- entry.c ------------------------------------------------------------- */

void entry_cache_free(struct entry_cache **cache_p);
/* Places in that segment are no longer what they were. */
void entry_cache_forget(struct entry_cache *c, uint64_t segment);
/* The same, with files and samples. */
void segment_replaced(struct ledger *l, uint64_t number, uint64_t end);

/* --- thin.c -------------------------------------------------------------- */

/* The file that is read while it is being replaced; -1: another is. */
int thinning_fd(const struct ledger *l, uint64_t number);
void thinning_close(struct ledger *l);
/* What a crash left of segments that were being replaced. 0 or -errno. */
int thinning_clear(const char *dir);

#endif
