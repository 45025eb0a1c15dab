/* Keys that are met again and again: what they sign is proven with a table of
 * the key's own (ed25519.h), everything else by libsodium. Who asks cannot tell
 * which, but for the time.
 *
 * A key is known after libsodium has accepted KEY_KNOWN_AFTER signatures of it
 * while it was one of the KEYS_KNOWN_MAX met last. What a table does not prove
 * goes to libsodium; should that ever accept it, the tables are wrong on this
 * machine, and none is used any more in this process.
 * Thread: any; across fork, too. Whoever finds another one at it, or in a child
 * of fork the lock held for ever, asks libsodium. */
#ifndef CHOIR_PROTO_KEY_KNOWN_H
#define CHOIR_PROTO_KEY_KNOWN_H

#include "key.h"

enum { KEY_KNOWN_AFTER = 16, KEYS_KNOWN_MAX = 256 };

/* libsodium's verdict on these bytes. */
bool key_known_proves(const uint8_t public_key[KEY_PUBLIC_BYTES],
                      struct bytes message,
                      const uint8_t signature[KEY_SIGNATURE_BYTES]);

/* For tests and whoever wants to see: keys that have a table, and proofs that
 * tables have made. */
struct keys_known {
    unsigned keys;
    uint64_t proofs;
    bool are_off; /* a table was wrong */
};
struct keys_known keys_known(void);

#endif
