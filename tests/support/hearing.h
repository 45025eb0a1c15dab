/* An export of a small ledger, and the reader that judges it: what the tests of
 * proto/export.h's reader share. */
#ifndef CHOIR_TESTS_SUPPORT_HEARING_H
#define CHOIR_TESTS_SUPPORT_HEARING_H

#include "proto/export.h"
#include "tests/support/folio.h"

struct hearing {
    struct folio f;
    struct folio_export x;
    struct person ada, bob, eve; /* eve has said nothing */
    struct export_options options;
    struct export_reader *reader; /* owned: of the last judgement */
};

/* Entries that were named. */
extern const struct export_selection named;

/* 0 genesis, 1 admit ada, 2 her session, 3-6 four puts of one bundle, 7 bob
 * enrols, 8 his session, 9 his put, 10 ada's. The broker is pinned. */
void hearing_begin(struct hearing *h);
void hearing_end(struct hearing *h);

/* An export by ada of those entries, as folio_export has it. */
void hearing_export(struct hearing *h, const char *kinds);
/* By anyone, of anything. */
void hearing_export_of(struct hearing *h, const struct person *exporter,
                       const struct export_selection *what, const char *kinds);
/* A record with that entry, without a gap before it. */
void hearing_entry(struct hearing *h, enum export_record kind, uint64_t index);

/* What the reader says of the file, told in pieces of that length. */
int hearing_judge(struct hearing *h, struct bytes file, size_t piece);
const struct export_report *hearing_report(const struct hearing *h);
/* The test fails unless the file passes, or fails with that sentence; at: then
 * at that entry. */
void hearing_passes(struct hearing *h);
void hearing_fails(struct hearing *h, const char *why);
void hearing_fails_at(struct hearing *h, uint64_t index, const char *why);

#endif
