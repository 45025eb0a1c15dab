/* Ed25519 signatures of a key that is met again and again, proven with a table
 * of that key's multiples: a third of what a key takes that was never seen.
 *
 * It says yes to what libsodium's crypto_sign_verify_detached says yes to, and
 * to nothing else. Whoever hears no asks libsodium: see key_known.h, which
 * is the only user. docs/adr/0019 has the reasons.
 *
 * Not constant in time: keys, messages and signatures are public. Any thread.
 * Source: RFC 8032. */
#ifndef CHOIR_PROTO_ED25519_H
#define CHOIR_PROTO_ED25519_H

#include "bytes.h"

enum { ED25519_KEY_BYTES = 32, ED25519_SIGNATURE_BYTES = 64 };

struct ed25519_table; /* 50 KiB */

/* It takes what eight proofs take. NULL: no memory, a key that libsodium would
 * refuse (no point of the curve, of small order, or written in another form), or
 * a compiler without integers of 128 bits. */
struct ed25519_table *ed25519_table_new(const uint8_t key[ED25519_KEY_BYTES]);
void ed25519_table_free(struct ed25519_table *t);

bool ed25519_proves(const struct ed25519_table *t, struct bytes message,
                    const uint8_t signature[ED25519_SIGNATURE_BYTES]);

/* The point s B - h A as it is written, A being the table's key: what a
 * signature's first half is compared with. s and h: below the group's order.
 * false: it has small order (8 times it is nothing), and proves nothing. */
bool ed25519_difference(const struct ed25519_table *t, const uint8_t s[32],
                        const uint8_t h[32], uint8_t out[32]);

#endif
