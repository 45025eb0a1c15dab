/* What is built here is built by proto's own writers; what must be wrong is
 * made wrong by the test. */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void wire_start(void)
{
    if (crypto_start())
        abort();
}

struct key_pair wire_key(uint8_t seed)
{
    struct key_pair k;
    uint8_t s[32];

    memset(s, seed, sizeof s);
    key_pair_from_seed(&k, s);
    return k;
}

struct hash wire_hash(uint8_t fill)
{
    struct hash h;

    memset(h.b, fill, sizeof h.b);
    return h;
}

void wire_put(struct buf *head, struct buf *payload, const char *key,
              struct bytes value, uint8_t salt)
{
    uint8_t salts[SLOT_SALT_BYTES];
    struct buf rows = {0};
    struct msg m;

    memset(salts, salt, sizeof salts);
    slot_row(&rows, salts, value);
    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "lab");
    msg_set_text(&m, FIELD_KEY, key);
    msg_set_b(&m, FIELD_SLOTS, buf_bytes(&rows));
    msg_encode(&m, head);
    buf_put(payload, salts, sizeof salts);
    buf_put(payload, value.p, value.n);
    buf_free(&rows);
}

struct bundle_facts wire_facts(const struct key_pair *key)
{
    return (struct bundle_facts){
        .kind = BUNDLE_RECORD,
        .ledger = wire_hash(1),
        .agent = agent_id(key->public_key),
        .session = 7,
        .first_seq = 1,
        .epoch = 1,
        .time = 1700000000000000,
    };
}

void wire_bundle(struct buf *frame, const struct key_pair *key, uint32_t n)
{
    struct bundle_writer w = {0};
    struct bundle_facts facts = wire_facts(key);
    struct hash hash;

    bundle_begin(&w);
    for (uint32_t i = 0; i < n; i++) {
        struct buf head = {0}, payload = {0};
        char name[24], value[24];

        snprintf(name, sizeof name, "key/%u", i);
        snprintf(value, sizeof value, "value %u", i);
        wire_put(&head, &payload, name, bytes_text(value), (uint8_t)i);
        if (bundle_add(&w, buf_bytes(&head), buf_bytes(&payload)))
            abort();
        buf_free(&head);
        buf_free(&payload);
    }
    if (bundle_finish(&w, &facts, key, frame, &hash))
        abort();
    bundle_writer_free(&w);
}

struct buf wire_hex(const char *hex)
{
    struct buf out = {0};
    unsigned half = 0, v = 0;

    for (; *hex; hex++) {
        if (*hex == ' ' || *hex == '\n')
            continue;
        v = v << 4 | (unsigned)(*hex <= '9' ? *hex - '0' : *hex - 'a' + 10);
        if (half++ % 2) {
            uint8_t byte = (uint8_t)v;

            buf_put(&out, &byte, 1);
        }
    }
    return out;
}
