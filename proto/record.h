/* The record's bytes: segments, groups, entries, leaves. Parsing and building
 * only; files are broker/ledger's. docs/ledger-format.md is the specification.
 *
 * A group is what one commit wrote: whole bundles, each operation with the
 * outcome and effect the broker gave it. Heads and payloads lie apart, so
 * that payloads can be given back without moving heads. */
#ifndef CHOIR_PROTO_RECORD_H
#define CHOIR_PROTO_RECORD_H

#include "bundle.h"

enum {
    RECORD_FORMAT = 1,
    RECORD_FORMAT_THIN = 2, /* of a segment with thin groups */
    SEGMENT_HEADER_BYTES = 144,
    SEGMENT_NONCE_BYTES = 16,
    GROUP_HEADER_BYTES = 160,
    GROUP_ALIGN = 8,
    ENTRY_LEAF_BYTES = 132,
};

struct segment_header {
    struct hash ledger;
    uint64_t number; /* 1, 2, ... */
    uint64_t first;  /* index of its first entry */
    uint64_t epoch;
    uint8_t nonce[SEGMENT_NONCE_BYTES];
    struct hash prev_group; /* last group of the segment before; or zeros */
    bool thin;              /* it was written again, and payloads left out */
};

void segment_header_put(uint8_t out[SEGMENT_HEADER_BYTES],
                        const struct segment_header *s);
/* 0; CHOIR_MALFORMED; CHOIR_UNSUPPORTED (a newer format; *format says which).
 */
int segment_header_get(struct segment_header *s,
                       const uint8_t in[SEGMENT_HEADER_BYTES],
                       uint32_t *format);

struct group_header {
    uint64_t epoch, first, heads_bytes, payload_bytes;
    bool thin; /* payloads are missing: marks come first, one for each slot */
    uint32_t thin_bytes; /* then: what is stored behind the heads */
    uint64_t synced;     /* entries known durable when this group was written */
    uint64_t time;       /* of every entry in it; never decreases */
    uint32_t count, bundles;
    struct hash prev; /* hash of the group before */
    struct hash hash; /* of this header's first 96 bytes and the heads */
    uint8_t sum[16];  /* of a thin group's marks */
};

/* Bytes behind the heads. */
static inline uint64_t group_stored(const struct group_header *g)
{
    return g->thin ? g->thin_bytes : g->payload_bytes;
}
/* Bytes in the file, padding included. */
uint64_t group_bytes(const struct group_header *g);

/* The header alone. Its checksum covers nonce and offset, so that no payload
 * can pass for a header. 0 or CHOIR_MALFORMED. */
int group_header_get(struct group_header *g,
                     const uint8_t in[GROUP_HEADER_BYTES],
                     const uint8_t nonce[SEGMENT_NONCE_BYTES], uint64_t offset);
/* The hash against the heads alone: what the chain of groups says. 0 or
 * CHOIR_MALFORMED. */
int group_check_heads(const struct group_header *g,
                      const uint8_t header[GROUP_HEADER_BYTES],
                      struct bytes heads);
/* The same, and the marks of a thin group. Payloads are not looked at: whoever
 * walks the group compares them (entry_slots_check). body: heads then what is
 * stored of payloads. 0 or CHOIR_MALFORMED. */
int group_check_outline(const struct group_header *g,
                        const uint8_t header[GROUP_HEADER_BYTES],
                        struct bytes body);
/* The same, and that it can be walked and each payload that is there fits its
 * slot's hash: so every byte is proven. 0 or CHOIR_MALFORMED; CHOIR_UNSUPPORTED:
 * the heads are proven, as they were written, but say what is not understood. */
int group_check(const struct group_header *g,
                const uint8_t header[GROUP_HEADER_BYTES], struct bytes body);

/* --- Building a group ---------------------------------------------------- */

/* Zero-initialised is valid; begin and reuse. */
struct group {
    struct group_header h;
    struct buf heads, payload;
};

void group_begin(struct group *g, uint64_t epoch, uint64_t first,
                 uint64_t time);
/* A bundle; its operations follow with group_add, in order. */
void group_add_bundle(struct group *g, struct bytes header,
                      const uint8_t signature[KEY_SIGNATURE_BYTES]);
/* One operation with what became of it. payload: its section; effect_payload:
 * the section of the effect's own slots, mostly empty. */
void group_add(struct group *g, struct bytes head, struct bytes payload,
               int outcome, struct bytes effect, struct bytes effect_payload);
/* Set synced, prev and hash, and write the header as it stands at that place
 * of that segment. -ENOMEM if an earlier step failed. */
int group_finish(struct group *g, uint64_t synced, const struct hash *prev,
                 const uint8_t nonce[SEGMENT_NONCE_BYTES], uint64_t offset,
                 uint8_t out[GROUP_HEADER_BYTES]);
void group_free(struct group *g);

/* --- Groups that lose payloads ------------------------------------------- */

/* Why a payload is missing: what its slot's mark says. The last one is for
 * exports alone and is never on disk. */
enum slot_mark {
    SLOT_KEPT = 0,
    SLOT_ERASED = 1,
    SLOT_COMPACTED = 2,
    SLOT_LEFT_OUT = 3,
};
/* Bytes of a section without those slots. */
uint64_t slots_kept_bytes(struct bytes rows, struct bytes marks);

/* The header of a group that is written again, at another place or with less:
 * what the chain's hash covers stays as it was. body: heads, then what is
 * stored; thin: that begins with marks. */
void group_again(uint8_t header[GROUP_HEADER_BYTES], bool thin,
                 struct bytes body, uint64_t heads_bytes,
                 const uint8_t nonce[SEGMENT_NONCE_BYTES], uint64_t offset);

/* --- Walking a group ----------------------------------------------------- */

/* Payloads that are still stored and must not be shown: they are as if ERASED.
 */
struct slot_hider {
    bool (*hides)(const void *arg, uint64_t index, size_t slot);
    const void *arg;
};

struct entry {
    uint64_t index, time;
    struct bytes header; /* its bundle's */
    const uint8_t *signature;
    struct msg bundle; /* that header, decoded */
    struct hash bundle_hash;
    uint32_t position, count; /* in its bundle */
    uint64_t seq, session;
    struct bytes head, effect;
    int outcome;
    struct bytes rows, effect_rows;       /* slots */
    struct bytes payload, effect_payload; /* their sections */
    /* One for each slot, or none: then all payloads are there. Of one that is
     * not, the section holds neither salt nor payload. */
    struct bytes marks, effect_marks;
    const struct slot_hider *hider; /* borrowed; NULL: nothing is hidden */
};

struct entry_decoded {
    int head_code, effect_code; /* what the decoder says of each */
    struct msg head, effect;    /* effect: only if there is one */
};

struct group_walk {
    struct cursor heads, payload, marks;
    uint64_t index, time;
    bool heads_only, thin;
    uint32_t bundles, entries; /* of the group, still to come */
    uint32_t left;             /* entries of this bundle */
    /* For whoever walks a group again: its bundles' hashes, borrowed. NULL:
     * they are computed. */
    const struct hash *bundle_hashes;
    bool unhashed; /* they are not wanted: entries have none */
    /* For whoever wants heads and effects decoded, too: borrowed, for the entry
     * at hand. NULL: they are only passed over. */
    struct entry_decoded *decoded;
    struct entry at;
};

/* body: heads then payloads, as group_check takes it. With payloads left out
 * (body is heads only) entries have no payload. The counts of the header and
 * of the bundles must agree, and every byte must belong to an entry. */
void group_walk_begin(struct group_walk *w, const struct group_header *g,
                      struct bytes body);
/* The next entry, borrowed until the next call. 0; CHOIR_NOT_FOUND at the
 * end; CHOIR_MALFORMED. */
int group_walk_next(struct group_walk *w, const struct entry **entry);

/* The value in that slot, from SLOT_EFFECT on of the effect. 0;
 * CHOIR_NOT_FOUND: there is no such slot, or it was left out of an export;
 * CHOIR_ERASED; CHOIR_COMPACTED. */
int entry_slot(const struct entry *e, size_t slot, struct bytes *value);
/* How many there are, its own and then its effect's; and of one of these what
 * is there appended to payload, salt and value, if it is not NULL. SLOT_KEPT, or
 * what has become of it. */
size_t entry_slots(const struct entry *e);
uint8_t entry_slot_put(const struct entry *e, size_t n, struct buf *payload);
/* Do all payloads that are there fit their hashes? 0 or CHOIR_MALFORMED. */
int entry_slots_check(const struct entry *e);
/* Is a payload of it missing, or hidden? */
bool entry_is_thin(const struct entry *e);

/* The entry's leaf of the ledger's tree: SHA-256(0 || the 132 bytes that
 * docs/ledger-format.md lists). */
struct hash entry_leaf(const struct entry *e);
/* The same for whoever has the head's op_hash already; e->head is not read. */
struct hash entry_leaf_of(const struct entry *e, const struct hash *operation);
/* Many at once, several times as quick where hash_many is. All is borrowed. */
struct leaf_of {
    uint64_t index, time, session, seq;
    const struct hash *agent, *bundle, *operation;
    struct bytes effect;
    uint32_t position; /* in its bundle */
    int outcome;
};
void entry_leaves(const struct leaf_of *of, size_t n, struct hash *leaves);
struct hash effect_hash(struct bytes effect);

#endif
