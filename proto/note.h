/* C2SP signed notes of the form tlog-checkpoint: the tree head as text that
 * other people's verifiers read (c2sp.org/tlog-checkpoint, signed-note).
 *
 *   choir.ledger/<ledger id in hex>
 *   <entries>
 *   <tree head in base64>
 *   epoch <epoch>
 *   <empty line>
 *   — choir.ledger/<ledger id> <base64 of 4-byte key id || signature>
 */
#ifndef CHOIR_PROTO_NOTE_H
#define CHOIR_PROTO_NOTE_H

#include "key.h"

struct note {
    struct hash ledger, root;
    uint64_t size, epoch;
};

/* Append the signed note. 0 or -ENOMEM. */
int note_put(struct buf *out, const struct note *n, const struct key_pair *key);
/* Read and verify. 0; CHOIR_MALFORMED; CHOIR_BAD_SIGNATURE; -ENOMEM. */
int note_get(struct note *n, struct bytes text,
             const uint8_t broker_key[KEY_PUBLIC_BYTES]);

#endif
