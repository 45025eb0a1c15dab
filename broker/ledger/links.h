/* Which entries rest on which: an index beside the record, from what was used
 * to whoever used it.
 *
 * Links of the newest entries are in memory, a bounded number; older
 * ones are in runs, files of links sorted by what they point to, `links-A-B`
 * for the entries A to B-1. Runs are written once, synced, renamed and never
 * changed; neighbours are merged, so that there are few. What no run holds is
 * read back from the record by whoever keeps the index: all of it is derived,
 * and may be lost at any time.
 * Thread: ledger thread only; it writes runs on one of its own. */
#ifndef CHOIR_BROKER_LEDGER_LINKS_H
#define CHOIR_BROKER_LEDGER_LINKS_H

#include "proto/hash.h"

struct links;

/* to: an entry; or an agent, or the name of a list, as links_agent and
 * links_list make it. from: the entry that rests on it. */
struct link {
    uint64_t to, from;
    uint64_t value; /* the kind's own */
    unsigned kind;
};

static inline uint64_t links_agent(uint32_t agent)
{
    return (uint64_t)1 << 62 | agent;
}
/* Of a hash; two lists of one name must be told apart by who looks. */
static inline uint64_t links_list(const struct hash *name)
{
    return (uint64_t)1 << 63 | get_u64(name->b) >> 1;
}

/* The leaf of that entry: 0 or an error, then what rests on it is made anew. */
typedef int (*links_leaf)(void *arg, uint64_t index, struct hash *leaf);
struct links_options {
    const char *dir;
    struct hash ledger;
    uint64_t size;   /* of the record: runs beyond it are removed */
    links_leaf leaf; /* of the entries of that record */
    void *arg;
    size_t tail; /* links in a run; 0: as many as usual */
};

/* *out: owned, set on 0. 0 or a negative errno. */
int links_open(struct links **out, const struct links_options *o);
/* Waits for the thread. Accepts NULL. */
void links_close(struct links **self_p);

/* Runs are written beside, by a thread. Until then the caller waits. */
void links_beside(struct links *l);

/* Entries it has the links of, all from 0 on. */
uint64_t links_size(const struct links *l);
/* Runs, for status and tests. */
size_t links_runs(const struct links *l);
/* Is there no room for more, until links_tend has made some? */
bool links_full(const struct links *l);
/* The links of that entry follow. False: they are not wanted, as it is not the
 * next one, or there is no room (l may be NULL). */
bool links_entry(struct links *l, uint64_t index);
/* Of the entry at hand. Out of memory: it is behind from there on. */
void links_add(struct links *l, uint64_t to, unsigned kind, uint64_t value);
/* The entry is its author's; up to LINKS_ROW_MAX in a row are one link, whose
 * value is how many they are. */
enum { LINKS_ROW_MAX = 1024 };
void links_author(struct links *l, uint32_t agent, unsigned kind);

/* Write what has become durable, when it is enough (or in any case: all).
 * 0; a negative errno: links_size may have gone back. */
int links_tend(struct links *l, uint64_t durable, bool all);
/* Forget everything and remove the files. 0 or negative errno. */
int links_reset(struct links *l);

/* Links to `to` with from > after, in order of from; up to max, and *more if there
 * are. Those of one entry are not torn apart if they are fewer than max. Returns
 * how many, or a negative errno: -EUCLEAN for a file that is damaged. */
int links_find(struct links *l, uint64_t to, uint64_t after, struct link *out,
               int max, bool *more);

#endif
