/* libsodium behind the keys; hash.c has its hashes, key_known.c what it makes
 * of signatures that are looked at again and again. */
#include "key.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "key_known.h"
#include "limits.h"
#include "refusal.h"

enum { PURPOSE_BYTES = 16, LEAD_BYTES = PURPOSE_BYTES + HASH_BYTES + 8 };

static const char purposes[KEY_PURPOSE_COUNT][PURPOSE_BYTES + 1] = {
    [KEY_FOR_BUNDLE] = "choir bundle 1",
    [KEY_FOR_ANSWER] = "choir answer 1",
    [KEY_FOR_KEY] = "choir key 1",
    [KEY_FOR_EXPORT] = "choir export 1",
};

int crypto_start(void)
{
    return sodium_init() < 0 ? -EIO : 0;
}

void random_bytes(void *p, size_t n)
{
    randombytes_buf(p, n);
}

void random_stretch(void *p, size_t n)
{
    uint8_t seed[randombytes_SEEDBYTES];

    random_bytes(seed, sizeof seed);
    randombytes_buf_deterministic(p, n, seed);
    secret_wipe(seed, sizeof seed);
}

void secret_wipe(void *p, size_t n)
{
    sodium_memzero(p, n);
}

void key_pair_new(struct key_pair *k)
{
    crypto_sign_keypair(k->public_key, k->secret_key);
}

void key_pair_from_seed(struct key_pair *k, const uint8_t seed[32])
{
    crypto_sign_seed_keypair(k->public_key, k->secret_key, seed);
}

void curve_pair_new(struct curve_pair *k)
{
    crypto_box_keypair(k->public_key, k->secret_key);
}

struct hash agent_id(const uint8_t public_key[KEY_PUBLIC_BYTES])
{
    return hash_of(HASH_AGENT, bytes_of(public_key, KEY_PUBLIC_BYTES));
}

/* What is signed in fact. Bodies are headers, so they are short. */
static size_t signed_bytes(uint8_t out[LEAD_BYTES + LIMIT_HEADER_BYTES],
                           enum key_purpose purpose, const struct hash *ledger,
                           struct bytes body)
{
    memcpy(out, purposes[purpose], PURPOSE_BYTES);
    memcpy(out + PURPOSE_BYTES, ledger->b, HASH_BYTES);
    put_u64(out + PURPOSE_BYTES + HASH_BYTES, body.n);
    memcpy(out + LEAD_BYTES, body.p, body.n);
    return LEAD_BYTES + body.n;
}

void key_sign(const struct key_pair *k, enum key_purpose purpose,
              const struct hash *ledger, struct bytes body,
              uint8_t signature[KEY_SIGNATURE_BYTES])
{
    uint8_t m[LEAD_BYTES + LIMIT_HEADER_BYTES];
    size_t n;

    if (body.n > LIMIT_HEADER_BYTES)
        abort(); /* our own mistake: no header may be that long */
    n = signed_bytes(m, purpose, ledger, body);
    crypto_sign_detached(signature, NULL, m, n, k->secret_key);
}

static bool sodium_proves(const uint8_t public_key[KEY_PUBLIC_BYTES],
                          struct bytes message,
                          const uint8_t signature[KEY_SIGNATURE_BYTES])
{
    return crypto_sign_verify_detached(signature, message.p, message.n,
                                       public_key) == 0;
}

static int verify(bool (*proves)(const uint8_t *, struct bytes,
                                 const uint8_t *),
                  const uint8_t *public_key, enum key_purpose purpose,
                  const struct hash *ledger, struct bytes body,
                  const uint8_t *signature)
{
    uint8_t m[LEAD_BYTES + LIMIT_HEADER_BYTES];
    size_t n;

    if (body.n > LIMIT_HEADER_BYTES)
        return CHOIR_BAD_SIGNATURE;
    n = signed_bytes(m, purpose, ledger, body);
    return proves(public_key, bytes_of(m, n), signature) ? 0
                                                         : CHOIR_BAD_SIGNATURE;
}

int key_verify(const uint8_t public_key[KEY_PUBLIC_BYTES],
               enum key_purpose purpose, const struct hash *ledger,
               struct bytes body, const uint8_t signature[KEY_SIGNATURE_BYTES])
{
    return verify(sodium_proves, public_key, purpose, ledger, body, signature);
}

int key_verify_often(const uint8_t public_key[KEY_PUBLIC_BYTES],
                     enum key_purpose purpose, const struct hash *ledger,
                     struct bytes body,
                     const uint8_t signature[KEY_SIGNATURE_BYTES])
{
    return verify(key_known_proves, public_key, purpose, ledger, body,
                  signature);
}

void key_claim(uint8_t out[KEY_CLAIM_BYTES], const struct hash *agent,
               const uint8_t *public_key, const uint8_t *curve_key)
{
    memcpy(out, agent->b, HASH_BYTES);
    memcpy(out + HASH_BYTES, public_key, KEY_PUBLIC_BYTES);
    memcpy(out + HASH_BYTES + KEY_PUBLIC_BYTES, curve_key, KEY_CURVE_BYTES);
}

int key_check(const uint8_t public_key[KEY_PUBLIC_BYTES])
{
    return crypto_core_ed25519_is_valid_point(public_key) == 1 ? 0
                                                               : CHOIR_INVALID;
}

void key_sign_note(const struct key_pair *k, struct bytes text,
                   uint8_t signature[KEY_SIGNATURE_BYTES])
{
    crypto_sign_detached(signature, NULL, text.p, text.n, k->secret_key);
}

int key_verify_note(const uint8_t public_key[KEY_PUBLIC_BYTES],
                    struct bytes text,
                    const uint8_t signature[KEY_SIGNATURE_BYTES])
{
    return sodium_proves(public_key, text, signature) ? 0 : CHOIR_BAD_SIGNATURE;
}

static int variant(bool url)
{
    return url ? sodium_base64_VARIANT_URLSAFE_NO_PADDING
               : sodium_base64_VARIANT_ORIGINAL;
}

int base64_put(struct buf *out, struct bytes data, bool url)
{
    size_t room = sodium_base64_encoded_len(data.n, variant(url));
    uint8_t *to = buf_grow(out, room);

    if (!to)
        return -ENOMEM;
    sodium_bin2base64((char *)to, room, data.p, data.n, variant(url));
    out->n = (size_t)(to - out->p) + strlen((char *)to);
    return 0;
}

/* libsodium 1.0.18 reads 0xef as 'o': only what it would write itself is
 * base64. What is compared may be a secret. */
static int would_be_written(struct bytes data, struct bytes text, bool url)
{
    struct buf again = {0};
    int r = base64_put(&again, data, url);

    if (!r && !bytes_equal(buf_bytes(&again), text))
        r = -EINVAL;
    if (again.p)
        secret_wipe(again.p, again.cap);
    buf_free(&again);
    return r;
}

int base64_get(struct buf *out, struct bytes text, bool url)
{
    size_t before = out->n, n = 0;
    uint8_t *to = buf_grow(out, text.n + 1);
    int r = 0;

    if (!to)
        return -ENOMEM;
    if (sodium_base642bin(to, text.n + 1, (const char *)text.p, text.n, NULL,
                          &n, NULL, variant(url)) != 0)
        r = -EINVAL;
    if (!r)
        r = would_be_written(bytes_of(to, n), text, url);
    out->n = r ? before : before + n;
    return r;
}
