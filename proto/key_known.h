/* Keys that are met again and again: what they sign is proven with a table of
 * the key's own (ed25519.h), everything else by libsodium. Who asks cannot tell
 * which, but for the time.
 *
 * A key is known after libsodium has accepted KEY_KNOWN_AFTER signatures of it
 * while it was one of the strangers met last; a known one only makes room for
 * another that is to be known. There is room for KEYS_KNOWN_MAX of each, four in
 * a set; a table is 50 KiB.
 *
 * What a table does not prove goes to libsodium, so a signature of a known key
 * that is false costs a third more than one of a stranger. Should libsodium
 * accept it, the table is wrong, or libsodium has become more lenient than a
 * table: no other one is taken in hand in this process then.
 * Threads: any. Whoever finds another one at it asks libsodium, and so does a
 * child of fork in which the lock is held for ever. */
#ifndef CHOIR_PROTO_KEY_KNOWN_H
#define CHOIR_PROTO_KEY_KNOWN_H

#include "key.h"

enum { KEY_KNOWN_AFTER = 16, KEYS_KNOWN_MAX = 256 };

/* libsodium's verdict on these bytes. */
bool key_known_proves(const uint8_t public_key[KEY_PUBLIC_BYTES],
                      struct bytes message,
                      const uint8_t signature[KEY_SIGNATURE_BYTES]);

/* For tests and whoever wants to see: keys that have a table, and proofs that
 * tables have made. Not in a child of fork. */
struct keys_known {
    unsigned keys;
    uint64_t proofs;
    bool are_off; /* a table was wrong */
};
struct keys_known keys_known(void);

#endif
