/* The record: append-only, durable, owned by one process at a time.
 *
 * This is all that the broker knows about where its record lives, kept small
 * enough for an engine on other machines: acquire (open) gives epoch and head,
 * append writes one whole group, sync makes it durable, readers read it.
 * segment.c is the engine of files; docs/ledger-format.md says what they hold.
 *
 * Indices and sizes count entries from 0: a ledger of size N holds the entries
 * 0..N-1. Errors: 0; a negative errno is our own trouble, and after one from
 * append, sync or seal nothing is known about what is on disk: the caller
 * exits and opens again. Positive codes are CHOIR_*.
 *
 * Threads: the ledger thread only, readers included. */
#ifndef CHOIR_BROKER_LEDGER_LEDGER_H
#define CHOIR_BROKER_LEDGER_LEDGER_H

#include "broker/base/env.h"
#include "proto/record.h"

#define LEDGER_MUST_CHECK __attribute__((warn_unused_result))

struct ledger;
struct ledger_reader;

enum {
    LEDGER_TROUBLE_BYTES = 512,
    LEDGER_SEGMENT_DEFAULT = 64 << 20,
    LEDGER_RESERVE_DEFAULT = 1 << 20,
    LEDGER_MAPS_MAX = 32768,
    LEDGER_MAPPED_DEFAULT = 1024,
    LEDGER_AHEAD_MAX = 64,
    LEDGER_CHECK_DEFAULT = 256 << 20,
};

/* Numbers that are 0 stand for the defaults above. */
struct ledger_options {
    const char *dir;        /* exists; borrowed for the call */
    struct env *env;        /* random nonces; borrowed until close */
    uint64_t segment_bytes; /* a segment's file, unless one group is larger */
    uint64_t reserve_bytes; /* what ledger_room keeps back, see there */
    uint64_t check_bytes;   /* a record up to this size is checked whole at
                               open; of a larger one the last segment and the
                               chain of segment headers */
    uint32_t maps_max;      /* groups whose entries' places are remembered; 0:
                               LEDGER_MAPS_MAX */
    uint32_t mapped_max;    /* segments whose files stay mapped once they were
                               read from; 0: LEDGER_MAPPED_DEFAULT */
    bool preallocate;       /* write zeros ahead, besides allocating */
    bool read_only;         /* look, and change nothing: no lock is taken, a
                               torn tail stays where it is and is not read;
                               append, room and seal must not be called */
};

/* What open found. */
struct ledger_head {
    struct hash ledger;
    uint64_t size;     /* entries, all durable; at least 1 */
    uint64_t epoch;    /* of the last group */
    uint64_t time;     /* of the last group */
    struct hash group; /* hash of the last group */
    bool was_sealed;   /* the last stop was clean */
    /* A crash left bytes that were never known durable: they now lie in a side
     * file and the caller records a cut entry. Reported again until something
     * is appended. cut_at is then the size. */
    bool cut;
    uint64_t cut_at, cut_bytes;
    char trouble[LEDGER_TROUBLE_BYTES]; /* for a person, when open failed */
};

/* Make a ledger in a directory without one: its first segment with the genesis
 * group in it (first 0; filled by the caller, finished here), all or nothing.
 * 0; -EEXIST: there is one already; negative errno. */
int ledger_create(const struct ledger_options *options,
                  const struct hash *ledger,
                  struct group *genesis) LEDGER_MUST_CHECK;

/* Take the directory for this process, recover the tail, and stand ready to
 * append. *out: owned, set on 0 alone. head is always filled as far as known.
 * 0
 * CHOIR_NOT_FOUND    no ledger in the directory
 * CHOIR_UNSUPPORTED  written by a newer format, named in trouble
 * -EUCLEAN           damage; trouble names segment, offset, index and reason
 * -EBUSY             another process has it; trouble names its pid
 * another negative errno, with trouble. */
int ledger_open(struct ledger **out, const struct ledger_options *options,
                struct ledger_head *head) LEDGER_MUST_CHECK;

/* Will a group of up to that many bytes (group_bytes) fit into space that is
 * allocated, and leave reserve_bytes for what the broker itself must record?
 * Tries to allocate the next segment ahead. Ask before a cycle is applied; ask
 * again later, and writing resumes by itself when there is room.
 * 0; CHOIR_READ_ONLY; negative errno. */
int ledger_room(struct ledger *l, uint64_t bytes) LEDGER_MUST_CHECK;

/* Bytes of groups that certainly fit without allocating, the reserve included:
 * what the broker's own entries may still use while READ_ONLY. */
uint64_t ledger_free(const struct ledger *l);

/* Append one group. It was begun with first = size and filled by the caller;
 * synced, prev and hash are set here. Readable at once, durable only once
 * ledger_durable() is beyond its last index. Removes the seal.
 * 0; negative errno (-ENOSPC when ledger_room was not asked or not heeded). */
int ledger_append(struct ledger *l, struct group *g) LEDGER_MUST_CHECK;

/* The group that was appended last is none: nothing of it has left. Waits for
 * the disk; then the record is as before, on disk, too. At most once after
 * each append; else -EINVAL. 0 or another negative errno. */
int ledger_take_back(struct ledger *l) LEDGER_MUST_CHECK;
/* After ledger_open: the first entry of the last group, if the broker may have
 * died before that was proven; else the size. */
uint64_t ledger_unproven(const struct ledger *l);
/* It is not authentic: it goes the way of what a crash has torn, and head says
 * so. Before anything else is done with the ledger. 0 or negative errno. */
int ledger_cut_unproven(struct ledger *l,
                        struct ledger_head *head) LEDGER_MUST_CHECK;

/* Make everything appended durable: one fdatasync, and before it the end of
 * one that is under way. 0 or negative errno. */
int ledger_sync(struct ledger *l) LEDGER_MUST_CHECK;
/* The disk begins to write what a sync will wait for; nothing is durable by
 * that. What is done before the sync costs no time as long as the disk takes.
 * 0 or negative errno. */
int ledger_sync_ahead(struct ledger *l) LEDGER_MUST_CHECK;

/* From now on threads of its own wait for the disk: syncs may go on while the
 * ledger thread appends what comes next, and zeros are written ahead. *fd:
 * readable when a sync of ledger_sync_begin has ended; closed with the ledger.
 * 0 or negative errno. */
int ledger_beside(struct ledger *l, int *fd) LEDGER_MUST_CHECK;
/* The disk has a moment: zeros for the next segment that are due may be begun
 * with, beside. Without ledger_beside, ledger_room writes them. 0 or negative
 * errno. */
int ledger_zeros_ahead(struct ledger *l) LEDGER_MUST_CHECK;
/* Begin to make durable what is appended by now. None may be under way. */
int ledger_sync_begin(struct ledger *l) LEDGER_MUST_CHECK;
/* The same for a caller who then works on and comes back with ledger_sync: the
 * disk begins at once, and a thread on another core than his, if there is one,
 * waits for it; without ledger_beside, as ledger_sync_ahead. */
int ledger_sync_aside(struct ledger *l) LEDGER_MUST_CHECK;
bool ledger_syncing(const struct ledger *l);
/* 0: it has ended, and ledger_durable has moved; -EAGAIN: it goes on; another
 * negative errno: it failed. */
int ledger_sync_end(struct ledger *l) LEDGER_MUST_CHECK;

uint64_t ledger_size(const struct ledger *l);    /* entries appended */
uint64_t ledger_durable(const struct ledger *l); /* entries known durable */
uint64_t ledger_bytes(const struct ledger *l);   /* of all segments, used */
uint64_t ledger_segments(const struct ledger *l);
/* The first entry of segment `number`, from 1 on; of one more than there are:
 * the entries there are. */
uint64_t ledger_segment_first(const struct ledger *l, uint64_t number);

/* What has to stay of the past; 0: as much as you like. */
struct ledger_keep {
    uint64_t entries, bytes, since; /* since: time of the oldest, us */
};
/* The first entry of the newest segment behind which there is more than one of
 * them asks for; 0: none. Whole segments, as space is given back by them.
 * 0 or negative errno. */
int ledger_surplus(struct ledger *l, const struct ledger_keep *keep,
                   uint64_t *upto) LEDGER_MUST_CHECK;
/* Hash of the last group appended. */
struct hash ledger_group(const struct ledger *l);

/* --- Reading ------------------------------------------------------------- */

/* One entry by index, appended ones included: the caller gates by durable.
 * Two small pieces of a mapped file; heads are checked against their group's
 * hash once, payloads against the slot hashes each time.
 * *e: borrowed until the next ledger_entry. 0; CHOIR_NOT_FOUND (index >=
 * size); -EUCLEAN (damage), negative errno. */
int ledger_entry(struct ledger *l, uint64_t index,
                 const struct entry **e) LEDGER_MUST_CHECK;

/* The same without its bundle: what is said in the bundle's header (author,
 * session, seq, position, header, signature) is not set. Fewer reads. */
int ledger_body(struct ledger *l, uint64_t index,
                const struct entry **e) LEDGER_MUST_CHECK;

/* These will be asked for in a moment, by ledger_body, best in that order: they
 * are read and checked together, which costs a fraction, up to
 * LEDGER_AHEAD_MAX. A hint: whatever is wrong with one is said when it is asked
 * for. They are remembered until the next call. */
void ledger_ahead(struct ledger *l, const uint64_t *indices, size_t n);

/* From now on entries that are read say of these slots that they are ERASED,
 * although they are stored and checked. h: borrowed; NULL: of none. */
void ledger_hide(struct ledger *l, const struct slot_hider *h);

/* Bytes of groups that the two above have read to check them, since the
 * ledger was opened: what they cost beside a few reads. */
uint64_t ledger_loaded(const struct ledger *l);

/* Entries in order, from index on; every group is checked as it is read. A
 * reader at the end holds no buffer, and next goes on when more is appended.
 * Owned by the caller; closed before the ledger. */
int ledger_reader_open(struct ledger *l, uint64_t index,
                       struct ledger_reader **out) LEDGER_MUST_CHECK;
int ledger_reader_seek(struct ledger_reader *r,
                       uint64_t index) LEDGER_MUST_CHECK;
/* *e: borrowed until the next call on this reader. 0; CHOIR_NOT_FOUND at the
 * end; -EUCLEAN; negative errno. */
int ledger_reader_next(struct ledger_reader *r,
                       const struct entry **e) LEDGER_MUST_CHECK;
/* For a replay, which needs no values: the next group's header and its heads,
 * borrowed until the next call, checked by its hash and the one before it.
 * Payloads are not read: each is checked when it is. The first is the group
 * that holds the index sought. Not within a group that next has begun
 * (-EINVAL). Otherwise as next. */
int ledger_reader_group(struct ledger_reader *r, struct group_header *g,
                        struct bytes *heads) LEDGER_MUST_CHECK;
/* Index that next would give. */
uint64_t ledger_reader_index(const struct ledger_reader *r);
void ledger_reader_close(struct ledger_reader **r_p);

/* Hash of the group that ends just before entry `index` (up to size), to
 * compare a snapshot with the history it claims to continue.
 * 0; CHOIR_NOT_FOUND: no group ends there; negative errno. */
int ledger_group_before(struct ledger *l, uint64_t index,
                        struct hash *group) LEDGER_MUST_CHECK;

/* What the last -EUCLEAN, READ_ONLY or failed call was about, for a person.
 * Borrowed until the next call. */
const char *ledger_trouble(const struct ledger *l);

/* --- Giving payloads back ------------------------------------------------ */

/* What the record may lose, asked for by a thread of its own while the ledger
 * thread goes on. */
struct ledger_thinner {
    void *arg;
    /* Each entry of the segment that is looked at, in order; payloads are not
     * there. 0 or negative errno. */
    int (*look)(void *arg, const struct entry *e);
    /* Then each again, to change the marks of its slots, those of the effect
     * behind its own: what is kept may become ERASED or COMPACTED. */
    void (*mark)(void *arg, const struct entry *e, uint8_t *marks,
                 uint8_t *effect_marks);
    uint64_t least; /* bytes that must come back, unless something is erased */
};
struct ledger_thinned {
    uint64_t bytes; /* of the segment's file, given back */
    bool erased;
};

/* Begin with segment `number`. One that is not the last is written again
 * without what may go, synced, and takes the place of the old one, atomically;
 * where something was erased the old bytes are overwritten before they are
 * given back. Of the last one entries are only looked at. t: the thread's until
 * end. Not while a child reads (backup): it knows only the old places.
 * 0 or negative errno. */
int ledger_thin_begin(struct ledger *l, uint64_t number,
                      const struct ledger_thinner *t) LEDGER_MUST_CHECK;
/* Nor while such a child reads, which may have begun since.
 * -EAGAIN: it goes on (never, with wait). 0: done, maybe with nothing given
 * back. -ENOSPC: no room for the copy. Another negative errno: it failed. */
int ledger_thin_end(struct ledger *l, bool wait,
                    struct ledger_thinned *out) LEDGER_MUST_CHECK;
bool ledger_thinning(const struct ledger *l);
/* Begin the next segment now, so that what is in the last one can be thinned.
 * 0; CHOIR_READ_ONLY; negative errno. */
int ledger_roll(struct ledger *l) LEDGER_MUST_CHECK;

/* --- Ending and copying -------------------------------------------------- */

/* A clean stop: sync, then write the seal; from then on any damage anywhere is
 * fatal at open. Appending later takes the seal away again. */
int ledger_seal(struct ledger *l) LEDGER_MUST_CHECK;
/* Closes files and gives up the directory; seals nothing. Accepts NULL. */
void ledger_close(struct ledger **l_p);

/* In a forked child, before anything else: the child ends with its parent and
 * does not keep the directory. Then it may read, back up or write a snapshot
 * and must _exit. */
void ledger_child(struct ledger *l);

/* Copy everything durable into the directory `to` (made if missing, refused
 * with -ENOTEMPTY unless empty) as a sealed ledger, read it back and check it.
 * Safe in a forked child while the parent goes on appending.
 * 0; negative errno, with ledger_trouble. */
int ledger_backup(struct ledger *l, const char *to) LEDGER_MUST_CHECK;

#endif
