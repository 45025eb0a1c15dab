/* Keys: Ed25519 for what an agent says, CURVE (X25519) for the wire. The two
 * are independent; the first certifies the second at enrolment.
 *
 * crypto_start() once per process before anything else here or in hash.h. */
#ifndef CHOIR_PROTO_KEY_H
#define CHOIR_PROTO_KEY_H

#include "hash.h"

enum {
    KEY_PUBLIC_BYTES = 32,
    KEY_SECRET_BYTES = 64,
    KEY_SIGNATURE_BYTES = 64,
    KEY_CURVE_BYTES = 32,
};

/* What a signature is for: its first bytes, so that one kind can never be
 * taken for another. 16 bytes each, padded with zeros. */
enum key_purpose {
    KEY_FOR_BUNDLE,
    KEY_FOR_ANSWER,
    KEY_FOR_KEY, /* a new key says whose it is: key_claim() */
    KEY_FOR_EXPORT,
    KEY_PURPOSE_COUNT
};

struct key_pair {
    uint8_t public_key[KEY_PUBLIC_BYTES];
    uint8_t secret_key[KEY_SECRET_BYTES];
};

struct curve_pair {
    uint8_t public_key[KEY_CURVE_BYTES];
    uint8_t secret_key[KEY_CURVE_BYTES];
};

/* 0, or -EIO when libsodium cannot start. Thread-safe, idempotent. */
int crypto_start(void);
/* From the kernel's generator. */
void random_bytes(void *p, size_t n);
/* As unpredictable, by ChaCha20 from 32 of those: for many at once. The kernel
 * gives 256 bytes a call and takes a microsecond for 64 of them. */
void random_stretch(void *p, size_t n);
/* Overwrite a secret so that the compiler may not leave it out. */
void secret_wipe(void *p, size_t n);

void key_pair_new(struct key_pair *k);
/* From a 32-byte seed, for vectors and simulations. */
void key_pair_from_seed(struct key_pair *k, const uint8_t seed[32]);
void curve_pair_new(struct curve_pair *k);

/* The agent (or broker) whose first public key this is: H("agent/1", key). */
struct hash agent_id(const uint8_t public_key[KEY_PUBLIC_BYTES]);

/* Sign: purpose (16) || ledger id (32) || length of body (u64 LE) || body. */
void key_sign(const struct key_pair *k, enum key_purpose purpose,
              const struct hash *ledger, struct bytes body,
              uint8_t signature[KEY_SIGNATURE_BYTES]);
/* 0 or CHOIR_BAD_SIGNATURE; by libsodium alone. */
int key_verify(const uint8_t public_key[KEY_PUBLIC_BYTES],
               enum key_purpose purpose, const struct hash *ledger,
               struct bytes body, const uint8_t signature[KEY_SIGNATURE_BYTES]);
/* The same verdict, a third of the time for a key that is met again and again
 * (key_known.h): for what comes over the wire. */
int key_verify_often(const uint8_t public_key[KEY_PUBLIC_BYTES],
                     enum key_purpose purpose, const struct hash *ledger,
                     struct bytes body,
                     const uint8_t signature[KEY_SIGNATURE_BYTES]);

/* What a new key of an agent signs for KEY_FOR_KEY: agent id || public key ||
 * CURVE key. */
enum { KEY_CLAIM_BYTES = 96 };
void key_claim(uint8_t out[KEY_CLAIM_BYTES], const struct hash *agent,
               const uint8_t *public_key, const uint8_t *curve_key);

/* A public key that libsodium accepts for verification (on the curve, of the
 * main subgroup). 0 or CHOIR_INVALID. */
int key_check(const uint8_t public_key[KEY_PUBLIC_BYTES]);

/* Signature over bytes as they are, for C2SP signed notes only. */
void key_sign_note(const struct key_pair *k, struct bytes text,
                   uint8_t signature[KEY_SIGNATURE_BYTES]);
int key_verify_note(const uint8_t public_key[KEY_PUBLIC_BYTES],
                    struct bytes text,
                    const uint8_t signature[KEY_SIGNATURE_BYTES]);

/* Base64: the URL alphabet without padding in armour, the standard one with
 * padding in notes. Appends to out / reads text; 0 or -EINVAL, -ENOMEM. */
int base64_put(struct buf *out, struct bytes data, bool url);
int base64_get(struct buf *out, struct bytes text, bool url);

#endif
