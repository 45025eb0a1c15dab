/* The state checkpoint's container: one flat, checksummed file, written in
 * order and read once front to back. What the records mean is the caller's.
 * docs/ledger-format.md has the layout.
 *
 * Deleting the file is harmless: the state is then replayed from the record.
 * Usable in a forked child: no locks, no logging, nothing shared.
 *
 * Threads: any; one object, one thread. */
#ifndef CHOIR_BROKER_LEDGER_SNAPSHOT_H
#define CHOIR_BROKER_LEDGER_SNAPSHOT_H

#include "broker/ledger/ledger.h"
#include "proto/merkle.h"

#define SNAPSHOT_NAME "state.snapshot"

enum { SNAPSHOT_RECORD_MAX = 64 << 20 };

/* What the state was projected from. The caller compares: a snapshot of
 * another ledger, or larger than the record, is not to be used; the latter
 * proves that the record has lost something. */
struct snapshot_facts {
    struct hash ledger;
    uint64_t epoch, size, time; /* entries 0..size-1 are in it; all durable */
    struct hash group;          /* hash of the group that ends at size */
    struct hash digest;         /* of the state */
    struct frontier tree;       /* over those entries; tree.size == size */
};

struct snapshot_writer;
struct snapshot_reader;

/* Begin to write DIR/state.snapshot; the old file stays until commit.
 * 0 or negative errno. */
int snapshot_begin(struct snapshot_writer **out, const char *dir,
                   const struct snapshot_facts *facts) LEDGER_MUST_CHECK;
/* One record of up to SNAPSHOT_RECORD_MAX bytes (may be empty), copied.
 * 0 or negative errno (-EFBIG). */
int snapshot_put(struct snapshot_writer *w,
                 struct bytes record) LEDGER_MUST_CHECK;
/* Sync and rename into place; durable on 0. Frees the writer either way. */
int snapshot_commit(struct snapshot_writer **w_p) LEDGER_MUST_CHECK;
/* Leaves the old file. Accepts NULL. */
void snapshot_abort(struct snapshot_writer **w_p);

/* Open DIR/state.snapshot and read its facts; trouble gets a text for a person
 * when it cannot be used, with what to do.
 * 0; CHOIR_NOT_FOUND (there is none); CHOIR_UNSUPPORTED (newer format);
 * -EUCLEAN (damaged); another negative errno. */
int snapshot_open(struct snapshot_reader **out, const char *dir,
                  struct snapshot_facts *facts,
                  char trouble[LEDGER_TROUBLE_BYTES]) LEDGER_MUST_CHECK;
/* The next record, already checked; borrowed until the next call.
 * 0; CHOIR_NOT_FOUND at the end, when the whole file has been checked;
 * -EUCLEAN with trouble (the buffer given to open). */
int snapshot_next(struct snapshot_reader *r,
                  struct bytes *record) LEDGER_MUST_CHECK;
void snapshot_close(struct snapshot_reader **r_p);

#endif
