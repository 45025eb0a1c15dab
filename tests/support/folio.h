/* A small ledger in memory, whose entries may be as false as a test wants them,
 * and exports of it, record by record. Everything is reproducible. */
#ifndef CHOIR_TESTS_SUPPORT_FOLIO_H
#define CHOIR_TESTS_SUPPORT_FOLIO_H

#include "proto/export.h"

enum { FOLIO_ENTRIES = 200, FOLIO_OPS = 8 };

struct person {
    struct key_pair key; /* that signs */
    struct hash id;
    uint64_t session, next_seq; /* session 0: there is none */
    struct hash prev;
};

struct folio_entry {
    uint64_t time;
    struct buf header, path, head, payload, effect; /* owned */
    uint8_t signature[KEY_SIGNATURE_BYTES];
    uint32_t position;
    int outcome;
};

struct folio {
    struct person broker;
    struct hash ledger;
    struct folio_entry entries[FOLIO_ENTRIES];
    size_t count;
    /* What the next bundle gets instead of what it should; then they are 0
     * again. */
    const struct key_pair *forger; /* signs it */
    const struct hash *meant_for;  /* another ledger */
    const uint8_t *named_key;      /* by its header */
    bool names_no_key;
    unsigned kind;
    int outcome;
    struct bytes effect, effect_payload;
};

/* An operation: its head, and the payload section that its slots demand. */
struct folio_op {
    struct buf head, payload; /* the folio frees them */
};

/* With a genesis. */
void folio_begin(struct folio *f);
void folio_free(struct folio *f);

/* Keys from that seed; nothing is said yet. */
struct person folio_person(uint8_t seed);
/* One bundle in p's session, or in session 0; the index of the first. */
uint64_t folio_add(struct folio *f, struct person *p, struct folio_op *ops,
                   size_t n);
uint64_t folio_say(struct folio *f, struct person *p, const struct msg *op);
/* By the broker, by p, by p. */
uint64_t folio_admit(struct folio *f, struct person *p);
uint64_t folio_enrol(struct folio *f, struct person *p);
uint64_t folio_session(struct folio *f, struct person *p);
uint64_t folio_put(struct folio *f, struct person *p, const char *key,
                   const char *value);
/* n puts, "k0" = "value 0" and so on, in one bundle. */
uint64_t folio_puts(struct folio *f, struct person *p, size_t n);
/* A new key, from that seed, said with the old one, which p then still signs
 * with. kind as in the operation; recovery: or NULL. */
uint64_t folio_rotate(struct folio *f, struct person *p, uint8_t seed,
                      unsigned kind, const uint8_t *recovery);
/* With the recovery key, outside of sessions. */
uint64_t folio_recover(struct folio *f, struct person *p, uint8_t seed,
                       const struct key_pair *recovery);
/* key: or NULL, the agent. */
uint64_t folio_revoke(struct folio *f, struct person *by,
                      const struct person *whom, const uint8_t *key);

/* --- Exports ------------------------------------------------------------- */

struct folio_export {
    const struct folio *f;
    struct export_writer w; /* owned */
    struct buf file;        /* owned */
    uint64_t next;          /* index that the tree has reached */
};

/* The tree head is one of all entries. */
void folio_export_begin(struct folio_export *x, const struct folio *f,
                        const struct person *exporter,
                        const struct export_selection *what);
void folio_export_free(struct folio_export *x);
/* The gap up to there, if there is one. */
void folio_export_gap(struct folio_export *x, uint64_t to);
/* The same, and the entry. */
void folio_export_entry(struct folio_export *x, enum export_record kind,
                        uint64_t index);
void folio_export_end(struct folio_export *x, const struct person *exporter);
/* Begin to end: entries with '3' or '4' in kinds, a character an entry, are in
 * it, all others are not. */
void folio_export(struct folio_export *x, const struct folio *f,
                  const struct person *exporter,
                  const struct export_selection *what, const char *kinds);

/* The part `evidence`. marks: a digit for each slot, which are then left out of
 * the payload unless 0; or NULL. Appended. */
void folio_evidence(const struct folio *f, uint64_t index, const char *marks,
                    struct buf *out);
/* The hashes of a gap. Appended. */
void folio_gap(const struct folio *f, uint64_t from, uint64_t to,
               struct buf *out);

#endif
