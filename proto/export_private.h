/* What the two halves of the reader share: export_read.c, export_entry.c. */
#ifndef CHOIR_PROTO_EXPORT_PRIVATE_H
#define CHOIR_PROTO_EXPORT_PRIVATE_H

#include "authors.h"
#include "export.h"

struct export_reader {
    struct export_options options;
    struct export_report report;
    int failure;
    bool ended;
    struct hash *trusted;    /* owned, sorted; or NULL */
    struct authors *authors; /* owned */
    struct hash_run digest;
    struct buf in, head; /* owned: what has no end yet; the head's body */
    struct frontier tree;
    struct hash gap[MERKLE_GAP_MAX]; /* that the next entry ends */
    size_t gap_hashes;
    /* The bundle of the entry before. */
    bool has_bundle;
    struct hash bundle;
    uint8_t signature[KEY_SIGNATURE_BYTES];
};

/* CHOIR_BROKEN. */
int export_broken(struct export_reader *r, const char *sentence);
/* Bring the tree to that index, by the gap that was read, if there is one. 0;
 * CHOIR_BROKEN. */
int export_reach(struct export_reader *r, uint64_t index);
bool export_trusts(const struct export_reader *r, const struct hash *agent);
/* A record EXPORT_ENTRY or EXPORT_IDENTITY. 0; CHOIR_BROKEN; -ENOMEM. */
int export_entry_take(struct export_reader *r, enum export_record kind,
                      struct bytes body);

#endif
