/* The note's text is signed as it stands, its blank line excluded. */
#include "note.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "limits.h"
#include "refusal.h"

enum {
    ORIGIN_BYTES = 13 + HASH_HEX, /* with NUL */
    TEXT_MAX = 256,
    KEY_ID_BYTES = 4,
};

static void origin_of(const struct hash *ledger, char out[ORIGIN_BYTES])
{
    memcpy(out, "choir.ledger/", 13);
    hash_hex(ledger, out + 13);
}

/* First four bytes of SHA-256(name || "\n" || 0x01 || public key). */
static void key_id(const char *name, const uint8_t *public_key,
                   uint8_t out[KEY_ID_BYTES])
{
    uint8_t m[ORIGIN_BYTES - 1 + 2 + KEY_PUBLIC_BYTES];
    struct hash h;

    memcpy(m, name, ORIGIN_BYTES - 1);
    m[ORIGIN_BYTES - 1] = '\n';
    m[ORIGIN_BYTES] = 1;
    memcpy(m + ORIGIN_BYTES + 1, public_key, KEY_PUBLIC_BYTES);
    h = sha256_of(bytes_of(m, sizeof m));
    memcpy(out, h.b, KEY_ID_BYTES);
}

static int text_put(struct buf *out, const struct note *n)
{
    char origin[ORIGIN_BYTES], line[TEXT_MAX];
    int k;

    origin_of(&n->ledger, origin);
    k = snprintf(line, sizeof line, "%s\n%" PRIu64 "\n", origin, n->size);
    buf_put(out, line, (size_t)k);
    if (base64_put(out, hash_bytes(&n->root), false))
        return -ENOMEM;
    k = snprintf(line, sizeof line, "\nepoch %" PRIu64 "\n", n->epoch);
    buf_put(out, line, (size_t)k);
    return out->failed ? -ENOMEM : 0;
}

int note_put(struct buf *out, const struct note *n, const struct key_pair *key)
{
    uint8_t blob[KEY_ID_BYTES + KEY_SIGNATURE_BYTES];
    char origin[ORIGIN_BYTES], line[TEXT_MAX];
    size_t start = out->n;
    int k;

    if (text_put(out, n))
        return -ENOMEM;
    origin_of(&n->ledger, origin);
    key_id(origin, key->public_key, blob);
    key_sign_note(key, bytes_of(out->p + start, out->n - start),
                  blob + KEY_ID_BYTES);
    k = snprintf(line, sizeof line, "\n\u2014 %s ", origin);
    buf_put(out, line, (size_t)k);
    if (base64_put(out, bytes_of(blob, sizeof blob), false))
        return -ENOMEM;
    buf_put(out, "\n", 1);
    return out->failed ? -ENOMEM : 0;
}

static int body_get(struct note *n, struct cursor *c)
{
    struct bytes line, word = bytes_text("epoch ");
    struct buf root = {0};
    int r;

    if (cursor_line(c, &line) ||
        !bytes_start_with(line, bytes_text("choir.ledger/")) ||
        hash_parse_hex(&n->ledger, bytes_of(line.p + 13, line.n - 13)))
        return CHOIR_MALFORMED;
    if (cursor_line(c, &line) || bytes_decimal(line, &n->size))
        return CHOIR_MALFORMED;
    if (cursor_line(c, &line))
        return CHOIR_MALFORMED;
    r = base64_get(&root, line, false);
    if (!r && root.n == HASH_BYTES)
        memcpy(n->root.b, root.p, HASH_BYTES);
    r = r || root.n != HASH_BYTES ? CHOIR_MALFORMED : 0;
    buf_free(&root);
    if (r || cursor_line(c, &line) || !bytes_start_with(line, word))
        return CHOIR_MALFORMED;
    return bytes_decimal(bytes_of(line.p + word.n, line.n - word.n), &n->epoch);
}

/* There is one form of a tree head: the one we would write. */
static int only_form(const struct note *n, struct bytes text)
{
    struct buf form = {0};
    int r = text_put(&form, n);

    if (!r && !bytes_equal(buf_bytes(&form), text))
        r = CHOIR_MALFORMED;
    buf_free(&form);
    return r;
}

int note_get(struct note *n, struct bytes text,
             const uint8_t broker_key[KEY_PUBLIC_BYTES])
{
    struct cursor c = cursor_of(text);
    struct buf blob = {0};
    char lead[TEXT_MAX], origin[ORIGIN_BYTES];
    uint8_t id[KEY_ID_BYTES];
    struct bytes line, signed_text, word;
    int r;

    if (body_get(n, &c))
        return CHOIR_MALFORMED;
    signed_text = bytes_of(text.p, (size_t)(c.p - text.p));
    r = only_form(n, signed_text);
    if (r)
        return r;
    if (cursor_line(&c, &line) || line.n != 0 || cursor_line(&c, &line) ||
        cursor_left(&c))
        return CHOIR_MALFORMED;
    origin_of(&n->ledger, origin);
    snprintf(lead, sizeof lead, "\u2014 %s ", origin);
    word = bytes_text(lead);
    if (!bytes_start_with(line, word))
        return CHOIR_MALFORMED;
    key_id(origin, broker_key, id);
    r = base64_get(&blob, bytes_of(line.p + word.n, line.n - word.n), false);
    if (r || blob.n != KEY_ID_BYTES + KEY_SIGNATURE_BYTES)
        r = CHOIR_MALFORMED;
    else if (memcmp(blob.p, id, KEY_ID_BYTES) != 0)
        r = CHOIR_BAD_SIGNATURE;
    else
        r = key_verify_note(broker_key, signed_text, blob.p + KEY_ID_BYTES);
    buf_free(&blob);
    return r;
}
