/* The shared context's newest versions: for each space an ordered map from
 * keys to where their value stands in the record. Values and past versions
 * are in the record; a deleted key stays as a tombstone, so that "absent" has
 * a revision too.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_CONTEXT_H
#define CHOIR_BROKER_STATE_CONTEXT_H

#include "context_ttl.h"
#include "digest.h"
#include "index.h"

struct key {
    uint64_t revision; /* of this version, deletion included */
    uint64_t created;  /* first revision since it was last absent; 0: it is */
    uint32_t agent;    /* number of the writer */
    uint32_t bytes;    /* of the value */
    uint8_t slot;      /* of entry `revision`; SLOT_EFFECT on: its effect's */
    bool deleted;
    bool
        lapses; /* has a row in context_ttl.h; said there alone, not in this record */
    struct index_key name;
};

static inline struct bytes key_name(const struct key *k)
{
    return bytes_of(k->name.bytes, k->name.len);
}

struct context;

struct context *context_new(struct digest *digest);
void context_destroy(struct context **self_p);

/* The newest version, tombstones included, or NULL. Borrowed. */
const struct key *context_find(const struct context *c, struct bytes space,
                               struct bytes name);
/* Live keys and tombstones, over all spaces. */
size_t context_count(const struct context *c);

/* In order: the first key of the space that is >= from and begins with
 * prefix, or NULL. `exclusive`: greater than from. O(log n). */
const struct key *context_next(const struct context *c, struct bytes space,
                               struct bytes prefix, struct bytes from,
                               bool exclusive);
/* Newest revision of anything under prefix, tombstones included; 0: none.
 * O(log n), however much is under it. */
uint64_t context_prefix_revision(const struct context *c, struct bytes space,
                                 struct bytes prefix);

/* The same, but only keys, tombstones included, that changed after that
 * revision. O(log n), however many did not. */
const struct key *context_next_newer(const struct context *c,
                                     struct bytes space, struct bytes prefix,
                                     struct bytes from, bool exclusive,
                                     uint64_t revision);

/* Keys that end by themselves. Borrowed. */
const struct ttls *context_ttls(const struct context *c);

/* Several keys will be looked for or put in a moment, those of a bundle: their
 * memory is fetched for all at once, which hides most of the wait for it where
 * there are many keys. Changes nothing. */
struct context_name {
    struct bytes space, key;
};
void context_fetch(const struct context *c, const struct context_name *names,
                   size_t n);

/* --- Changes; by evolve alone -------------------------------------------- */

/* 0; -ENOMEM; -EINVAL for names beyond proto/limits.h. */
int context_put(struct context *c, struct bytes space, struct bytes name,
                uint64_t revision, uint32_t agent, uint8_t slot,
                uint32_t bytes);
/* 0; -ENOENT when there is nothing to delete. */
int context_delete(struct context *c, struct bytes space, struct bytes name,
                   uint64_t revision, uint32_t agent);

/* The newest version ends by itself, at that time of the record; any later one
 * takes that back. 0; -ENOMEM; -ENOENT when there is none. */
int context_lapse_at(struct context *c, struct bytes space, struct bytes name,
                     uint64_t due);

/* One record for each key, spaces and keys in order (when they end is for
 * ttls_save to say, behind them); and back, either kind: 0, -ENOMEM, or
 * CHOIR_MALFORMED for a record that save cannot have written or that was
 * there before. put returns 0 or a negative errno, which save passes on. */
typedef int (*context_sink)(void *to, struct bytes record);
int context_save(const struct context *c, context_sink put, void *to);
int context_load(struct context *c, struct bytes record);

/* The same of the keys as they are now, while changes go on: those that change
 * before it is their turn are given to put at that moment, so in no order. size:
 * above all revisions that there are, and not above any to come. One at a time;
 * to: borrowed until it is over. */
void context_save_begin(struct context *c, uint64_t size, context_sink put,
                        void *to);
/* Look at up to n keys more, n > 1. 0; CHOIR_NOT_FOUND: that was all, and it is
 * over; a negative errno, of put too where a change called it: likewise. */
int context_save_step(struct context *c, unsigned n);
/* It is over. Nothing if none is under way. */
void context_save_end(struct context *c);

#endif
