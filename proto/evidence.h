/* What shows, without the ledger, that an entry is its author's word and stands
 * in the ledger: the part `evidence`, and the receipt around it. */
#ifndef CHOIR_PROTO_EVIDENCE_H
#define CHOIR_PROTO_EVIDENCE_H

#include "note.h"
#include "record.h"

/* An entry's evidence, decoded. All of it borrows from the bytes. */
struct evidence {
    struct entry e; /* payload, marks: as told, see entry_split_payload */
    struct bytes path;
    const uint8_t *public_key; /* of the author, as told; or NULL */
};

/* 0 or CHOIR_MALFORMED: not the part, or not an entry. */
int evidence_get(struct evidence *out, struct bytes part);

/* The pieces of its proof. 0, or CHOIR_BROKEN with *why set (static).
 * place: the operation hangs under the root its bundle states, by that path.
 * payload: it has the hashes that the operation states; an absent one fits,
 * if no marks say what is missing.
 * author: the bundle is signed for that ledger by that key. */
int entry_check_place(const struct entry *e, struct bytes path,
                      const char **why);
int entry_check_payload(const struct entry *told, const char **why);
int entry_check_author(const struct entry *e, const struct hash *ledger,
                       const uint8_t key[KEY_PUBLIC_BYTES], const char **why);
/* `payload` of an entry that was told is both sections: its own, then its
 * effect's, and `marks` those of both. Sets rows, payloads and marks of each.
 * 0, CHOIR_MALFORMED. */
int entry_split_payload(struct entry *e);

/* A receipt is a C2SP tlog-proof (c2sp.org/tlog-proof): index, path in the
 * ledger's tree and signed tree head as text that other people's verifiers
 * read, the evidence as its extra data. */
struct receipt {
    uint64_t index;
    struct bytes extra, path, note; /* in `room`; extra: an evidence part */
    struct buf room;                /* owned */
};

enum { RECEIPT_BYTES_MAX = 32 << 20 };

/* Append one. 0 or -ENOMEM. */
int receipt_put(struct buf *out, uint64_t index, struct bytes path,
                struct bytes evidence, struct bytes note);
/* Read one, checking its form alone. Free in any case. 0; CHOIR_MALFORMED;
 * -ENOMEM. */
int receipt_get(struct receipt *out, struct bytes text);
void receipt_free(struct receipt *r);

/* Everything that one receipt can prove under that broker key: the tree head
 * is the broker's, the entry's leaf is in that tree, the operation is its
 * author's, whose key is the one that his id is the hash of. ledger: if not
 * NULL, the one it must be of. 0; CHOIR_MALFORMED, CHOIR_BAD_SIGNATURE,
 * CHOIR_WRONG_LEDGER, CHOIR_UNKNOWN_AGENT (proven to be in the ledger, but the
 * author's key is not his first one and cannot be proven from here),
 * CHOIR_BROKEN, each with *why; -ENOMEM. evidence, note: set on 0 and
 * CHOIR_UNKNOWN_AGENT. */
int receipt_check(const struct receipt *r,
                  const uint8_t broker_key[KEY_PUBLIC_BYTES],
                  const struct hash *ledger, struct evidence *evidence,
                  struct note *note, const char **why);

#endif
