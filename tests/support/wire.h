/* Small pieces of the wire for tests: reproducible keys, messages, bundles.
 * crypto_start() runs before main in every program that uses these. */
#ifndef CHOIR_TESTS_WIRE_H
#define CHOIR_TESTS_WIRE_H

#include "proto/answer.h"
#include "proto/bundle.h"

/* From a seed of 32 times this byte. */
struct key_pair wire_key(uint8_t seed);
/* 32 times this byte. */
struct hash wire_hash(uint8_t fill);

/* Head and payload section of a put into space "lab"; the salt is 16 times
 * the byte. Appended. */
void wire_put(struct buf *head, struct buf *payload, const char *key,
              struct bytes value, uint8_t salt);

/* Facts of a bundle of kind RECORD in session 7, from number 1, of this key
 * in ledger wire_hash(1), epoch 1. */
struct bundle_facts wire_facts(const struct key_pair *key);

/* A whole frame of n puts, "key/0" = "value 0" and so on, appended. */
void wire_bundle(struct buf *frame, const struct key_pair *key, uint32_t n);

/* Bytes of hex digits; blanks are passed over. Owned by the caller. */
struct buf wire_hex(const char *hex);

#endif
