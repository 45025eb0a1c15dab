/* The signed unit: a header, one signature, and 1..1024 operations, each of
 * which has its own place in the tree whose root the header states.
 *
 *   "CHB1"  u32 header bytes  header  signature (64)
 *   count x ( u32 head bytes  head )
 *   count x payload section: for each slot of the head, salt (16) payload
 *
 * A bundle of kind RECORD changes the ledger; one of kind ASK only reads and
 * is never recorded. Both are signed alike. */
#ifndef CHOIR_PROTO_BUNDLE_H
#define CHOIR_PROTO_BUNDLE_H

#include "brief.h"
#include "key.h"
#include "merkle.h"
#include "schema.h"

/* --- Opening what arrived ------------------------------------------------ */

struct bundle_op {
    struct bytes head;       /* borrowed from the frame */
    struct bytes rows;       /* its slots' rows */
    struct bytes payload;    /* its whole payload section */
    struct hash hash;        /* op_hash of the head */
    struct bytes space, key; /* of the head, or no bytes */
    int refusal;             /* 0, or CHOIR_UNSUPPORTED */
    unsigned field;          /* which field or verb (1) is not supported */
    struct brief brief;      /* the head, decoded, if there is no refusal */
};

/* An opened bundle; `ops` is owned and reused from frame to frame. Zero-
 * initialised is valid. Everything else is borrowed from the frame. */
struct bundle {
    struct bytes header;
    const uint8_t *signature;
    unsigned kind;
    struct hash ledger, agent, prev_hash, root;
    uint64_t session, first_seq, answered, seen, epoch, time;
    uint32_t count;
    struct bytes labels; /* encoded pairs */
    uint32_t label_count;
    bool has_seen_root; /* of the tree of seen + 1 entries */
    struct hash seen_root;
    bool has_key; /* only in session 0 */
    uint8_t public_key[KEY_PUBLIC_BYTES];
    struct hash hash;  /* of the header: the bundle's name */
    struct bytes rest; /* operations, not yet looked at */
    struct bundle_op *ops;
    struct hash *leaves; /* owned: scratch for the tree */
    size_t cap;
};

/* Step 1, cheap: outer shape and header. Nothing is proven yet.
 * 0, CHOIR_MALFORMED, CHOIR_UNSUPPORTED, -ENOMEM. */
int bundle_open(struct bundle *b, struct bytes frame);
/* Step 2: the signature, by the key the session was opened with.
 * 0 or CHOIR_BAD_SIGNATURE. */
int bundle_verify(const struct bundle *b,
                  const uint8_t public_key[KEY_PUBLIC_BYTES]);
/* Step 3: operations, payloads and tree against the header. Decodes each head
 * strictly. classes: which operations the sender may name at all.
 * 0, CHOIR_MALFORMED, -ENOMEM. */
int bundle_check(struct bundle *b, unsigned classes);
/* Its two halves: what the bytes say, which sets all of ops but their hashes,
 * as bundle_check; and whether the header covers them, 0 or CHOIR_MALFORMED.
 * Between the two nothing is proven by the signature but the header. */
int bundle_decode(struct bundle *b, unsigned classes);
int bundle_covers(struct bundle *b);
/* The halves of that, which two threads may do at the same time: heads against
 * the header, which sets the hashes; payloads against the heads. */
int bundle_covers_heads(struct bundle *b);
int bundle_covers_payloads(const struct bundle *b);
void bundle_free(struct bundle *b);

/* The slots of any head or effect, even one with fields unknown to us: their
 * rows, or no bytes. CHOIR_MALFORMED unless it is a map with ascending
 * integer keys. */
int head_slots(struct bytes head, struct bytes *rows);
/* Bytes of the payload section those rows demand. */
uint64_t slots_payload_bytes(struct bytes rows);
/* Slot i of a payload section. 0, or CHOIR_NOT_FOUND. */
int slot_at(struct bytes rows, struct bytes payload, size_t i,
            struct bytes *salt, struct bytes *value);

struct hash op_hash(struct bytes head);
struct hash bundle_hash(struct bytes header);

/* --- Making one ---------------------------------------------------------- */

/* Collects operations, then signs them once. Zero-initialised is valid; reset
 * and reuse. */
struct bundle_writer {
    struct bundle_part {
        struct bytes head, payload; /* the head's p is NULL: both are copied */
    } * parts;
    struct hash *leaves;
    struct merkle tree;
    struct buf copies, header;
    size_t count, cap;
};

struct bundle_facts {
    unsigned kind;
    struct hash ledger, agent, prev_hash;
    uint64_t session, first_seq, answered, seen, epoch, time;
    const uint8_t *public_key;    /* 32 bytes, in session 0; else NULL */
    const struct hash *seen_root; /* of the tree of seen + 1 entries, or NULL */
    struct bytes labels, trace;   /* encoded pairs; may be empty */
    unsigned label_count, trace_count;
};

void bundle_begin(struct bundle_writer *w);
/* One operation: its encoded head and its payload section, which are copied.
 * 0 or -ENOMEM. */
int bundle_add(struct bundle_writer *w, struct bytes head,
               struct bytes payload);
/* The same; they are borrowed until bundle_finish has returned. */
int bundle_lend(struct bundle_writer *w, struct bytes head,
                struct bytes payload);
/* Append the frame to out. *hash: the bundle's hash. 0; -ENOMEM; -EMSGSIZE
 * when labels and trace make the header longer than LIMIT_HEADER_BYTES: then
 * out is as it was. */
int bundle_finish(struct bundle_writer *w, const struct bundle_facts *facts,
                  const struct key_pair *key, struct buf *out,
                  struct hash *hash);
void bundle_writer_free(struct bundle_writer *w);

/* The header alone, encoded; bundle_finish uses it, and so does the broker,
 * whose own operations go straight into the record. */
void bundle_header_put(struct buf *out, const struct bundle_facts *facts,
                       const struct hash *root, uint32_t count);

#endif
