/* The other direction: everything that leaves the broker in one cycle, to
 * however many agents, hangs under one root that it signs once.
 *
 *   "CHA1"  u32 header bytes  header  signature (64)
 *   u32 position  u32 hashes  hashes x 32  body
 *
 * body: session u64, agent id (32), u32 items, items x ( u32 bytes  message ).
 * The header also states tree size and tree head at the durable index, so
 * that every answer is a checkpoint of the ledger. */
#ifndef CHOIR_PROTO_ANSWER_H
#define CHOIR_PROTO_ANSWER_H

#include "key.h"
#include "merkle.h"
#include "schema.h"

/* --- Making a cycle's answers -------------------------------------------- */

/* One message to one agent while it is being collected. */
struct answer_body {
    struct buf bytes;
    uint32_t items;
};
void answer_begin(struct answer_body *a, uint64_t session,
                  const struct hash *agent);
void answer_add(struct answer_body *a, const struct msg *item);
/* Fills in the count; the body is then final. */
struct bytes answer_end(struct answer_body *a);

struct answer_facts {
    struct hash ledger;
    uint64_t epoch, time;
    uint64_t size;    /* entries that are durable */
    struct hash root; /* the ledger's tree over them */
};

/* Sign once for a tree over all bodies of the cycle: append header and
 * signature, as they stand in front of every frame, to out. */
int answer_sign(const struct answer_facts *facts, const struct merkle *tree,
                const struct key_pair *key, struct buf *out);

/* A body's leaf. One of more than ANSWER_PIECE bytes is hashed in pieces of so
 * many, side by side, and they together: docs/adr/0012. */
enum { ANSWER_PIECE = 1016 }; /* with its tag: eight blocks */
struct hash answer_leaf(struct bytes body);
/* Of many bodies, up to ANSWER_LEAVES_MAX. scratch: the caller's, used anew
 * each time. 0 or -ENOMEM. */
enum { ANSWER_LEAVES_MAX = 64 };
int answer_leaves(const struct bytes *bodies, size_t n, struct buf *scratch,
                  struct hash *leaves);
/* One whole frame: the signed front, leaf i's path, its body. */
void answer_frame(struct buf *out, struct bytes front,
                  const struct merkle *tree, size_t i, struct bytes body);

/* --- Opening one --------------------------------------------------------- */

struct answer {
    struct bytes header;
    const uint8_t *signature;
    struct hash ledger, root, answers, agent;
    uint64_t epoch, time, size, count, session;
    uint32_t items;
    struct cursor body; /* walk with answer_next */
};

/* Shape, path and root; the signature is answer_verify's. Two frames with
 * equal headers need one verification only. 0, CHOIR_MALFORMED,
 * CHOIR_UNSUPPORTED. */
int answer_open(struct answer *a, struct bytes frame);
int answer_verify(const struct answer *a,
                  const uint8_t broker_key[KEY_PUBLIC_BYTES]);
/* The next item. 0; CHOIR_NOT_FOUND at the end; CHOIR_MALFORMED;
 * CHOIR_UNSUPPORTED (an item of a newer broker: the caller may go on). */
int answer_next(struct answer *a, struct msg *item);

#endif
