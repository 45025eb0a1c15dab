/* What a run of groups says by itself: read, decoded and hashed without knowing
 * what came before, so that any thread can do it and many can be done at once.
 * What it then takes to believe it, in order, is verify_rules.c's.
 *
 * A reading is filled (reading_add), found out (reading_run, on any thread),
 * looked at, and cleared for the next run; it keeps its memory. */
#ifndef CHOIR_TOOLS_VERIFY_READ_H
#define CHOIR_TOOLS_VERIFY_READ_H

#include "proto/record.h"

/* What is wrong with an entry by itself, in the order in which it is asked. */
enum read_fault {
    READ_RIGHT,
    READ_SLOTS,     /* a payload does not fit its hash */
    READ_OUTCOME,   /* it is none */
    READ_OPERATION, /* cannot be decoded */
    READ_EFFECT,    /* likewise */
};

/* All bytes are borrowed from the file's. */
struct read_entry {
    struct bytes head, effect;
    struct bytes rows, effect_rows, payload, effect_payload;
    struct bytes marks, effect_marks;
    uint32_t payloads; /* that are there */
    uint8_t outcome;
    uint8_t verb;  /* 0: not decoded, because it was unsupported or faulty */
    uint8_t fault; /* enum read_fault */
    bool thin;     /* a payload is missing */
};

struct read_bundle {
    struct bytes header, public_key; /* public_key: no bytes if there is none */
    const uint8_t *signature;
    struct hash hash, ledger, agent, prev_hash, root;
    uint64_t session, first_seq, epoch;
    uint64_t kind, format;
    size_t first_entry;
    uint32_t count; /* of operations; of the last one fewer may be there */
    bool fits;      /* its operations are those it was signed over */
};

struct read_group {
    struct group_header header;
    const uint8_t *bytes; /* the whole group in the file; borrowed */
    uint64_t offset;
    bool fits;  /* hash, marks, padding */
    bool whole; /* holds exactly what it says */
    size_t first_bundle, bundles, entries;
};

/* A full subtree of the ledger's tree. */
struct read_tree {
    struct subtree at;
    struct hash root;
};

struct reading {
    uint64_t first; /* index of the first entry */
    struct read_group *groups;
    struct read_bundle *bundles;
    struct read_entry *entries;
    struct hash *leaves; /* of the entries */
    struct read_tree trees[MERKLE_GAP_MAX];
    size_t group_count, bundle_count, entry_count, tree_count;
    /* room */
    size_t group_cap, bundle_cap, entry_cap, leaf_cap, operation_cap;
    struct hash *operations; /* on the way: the heads' hashes */
};

/* Nothing yet. Zero-initialised is valid. */
void reading_clear(struct reading *r);
void reading_free(struct reading *r);
/* One more group, which follows the one before: its header, and all its bytes
 * in the file, which must stay as long as the reading. 0 or -ENOMEM. */
int reading_add(struct reading *r, const struct group_header *header,
                const uint8_t *bytes, uint64_t offset);
/* Find out. After a group that does not fit or is not whole, no other one has
 * been looked at. 0 or -ENOMEM. Thread: any, one at a time. */
int reading_run(struct reading *r);
/* What missing_entry looks at of entry i; its bundle is left out. */
void reading_entry(const struct reading *r, size_t i, struct entry *out);

#endif
