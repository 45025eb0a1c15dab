/* Vectors of the record: segment headers, groups, entries and their leaves.
 */
#include <stdlib.h>

#include "proto/record.h"
#include "proto/refusal.h"
#include "vectors.h"

static const uint8_t nonce[SEGMENT_NONCE_BYTES] = {9, 8, 7, 6, 5, 4, 3, 2,
                                                   1, 0, 1, 2, 3, 4, 5, 6};

static json_t *segment_case(json_t *file, const char *list, const char *name,
                            const uint8_t *bytes, size_t n)
{
    json_t *c = vector_case(file, list, name);

    vector_text(c, "kind", "segment");
    vector_hex(c, "bytes", bytes_of(bytes, n));
    return c;
}

static void segments(json_t *file)
{
    struct segment_header s = {.ledger = wire_hash(1),
                               .number = 2,
                               .first = 41,
                               .epoch = 1,
                               .prev_group = wire_hash(6)};
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    struct hash sum;
    json_t *c;

    memcpy(s.nonce, nonce, sizeof nonce);
    segment_header_put(bytes, &s);
    c = segment_case(file, "good", "a segment's header", bytes, sizeof bytes);
    vector_hash(c, "ledger", &s.ledger);
    vector_int(c, "number", s.number);
    vector_int(c, "first", s.first);
    vector_int(c, "epoch", s.epoch);
    vector_hex(c, "nonce", bytes_of(nonce, sizeof nonce));
    vector_hash(c, "prev_group", &s.prev_group);
    bytes[56] ^= 1;
    vector_text(
        segment_case(file, "bad", "a bit of it flipped", bytes, sizeof bytes),
        "refusal", "MALFORMED");
    bytes[56] ^= 1;
    put_u32(bytes + 8, 3);
    sum = hash_of(HASH_SUM, bytes_of(bytes, 128));
    memcpy(bytes + 128, sum.b, 16);
    vector_text(segment_case(file, "bad", "format 3, its sum right", bytes,
                             sizeof bytes),
                "refusal", "UNSUPPORTED");
}

/* A real bundle of n puts goes into the group, with outcomes; the second
 * entry has an effect with a slot of its own. */
static void add_bundle(struct group *g, uint32_t n, struct bytes effect,
                       struct bytes kept)
{
    struct key_pair key = wire_key(2);
    struct buf frame = {0};
    struct bundle b = {0};

    wire_bundle(&frame, &key, n);
    if (bundle_open(&b, buf_bytes(&frame)) || bundle_check(&b, CLASS_OPERATION))
        abort();
    group_add_bundle(g, b.header, b.signature);
    for (uint32_t i = 0; i < n; i++) {
        bool second = i == 1;

        group_add(g, b.ops[i].head, b.ops[i].payload,
                  i == 2 ? CHOIR_CONFLICT : CHOIR_OK,
                  second ? effect : (struct bytes){0},
                  second ? kept : (struct bytes){0});
    }
    bundle_free(&b);
    buf_free(&frame);
}

static void group_make(struct group *g, uint8_t header[GROUP_HEADER_BYTES],
                       uint64_t offset, struct buf *body)
{
    struct buf effect = {0}, kept = {0}, rows = {0};
    uint8_t salt[SLOT_SALT_BYTES] = {8};
    struct hash prev = wire_hash(6);
    struct msg e;

    slot_row(&rows, salt, bytes_text("merged"));
    buf_put(&kept, salt, sizeof salt);
    buf_put(&kept, "merged", 6);
    msg_init(&e, MSG_EFFECT);
    msg_set_u(&e, FIELD_PREV, 12);
    msg_set_b(&e, FIELD_SLOTS, buf_bytes(&rows));
    msg_encode(&e, &effect);
    group_begin(g, 1, 41, 1700000000000000);
    add_bundle(g, 3, buf_bytes(&effect), buf_bytes(&kept));
    add_bundle(g, 1, (struct bytes){0}, (struct bytes){0});
    if (group_finish(g, 40, &prev, nonce, offset, header))
        abort();
    buf_put(body, g->heads.p, g->heads.n);
    buf_put(body, g->payload.p, g->payload.n);
    buf_free(&effect);
    buf_free(&kept);
    buf_free(&rows);
}

static json_t *entries_of(const struct group_header *h, struct bytes body)
{
    json_t *out = json_array();
    struct group_walk w;
    const struct entry *e;

    group_walk_begin(&w, h, body);
    while (group_walk_next(&w, &e) == 0) {
        struct hash leaf = entry_leaf(e);
        json_t *c = json_object();

        vector_int(c, "index", e->index);
        vector_int(c, "session", e->session);
        vector_int(c, "seq", e->seq);
        vector_int(c, "position", e->position);
        vector_int(c, "outcome", (uint64_t)e->outcome);
        vector_hex(c, "head", e->head);
        vector_hex(c, "effect", e->effect);
        vector_hex(c, "payload", e->payload);
        vector_hex(c, "effect_payload", e->effect_payload);
        vector_hash(c, "leaf", &leaf);
        json_array_append_new(out, c);
    }
    return out;
}

static json_t *group_case(json_t *file, const char *list, const char *name,
                          uint64_t offset, const uint8_t *header,
                          struct bytes body)
{
    json_t *c = vector_case(file, list, name);

    vector_text(c, "kind", "group");
    vector_hex(c, "nonce", bytes_of(nonce, sizeof nonce));
    vector_int(c, "offset", offset);
    vector_hex(c, "header", bytes_of(header, GROUP_HEADER_BYTES));
    vector_hex(c, "body", body);
    return c;
}

/* A group whose sums and hash are right, and whose body still lies. */
static void lying_group(json_t *file, const char *name,
                        void (*lie)(struct group *))
{
    struct group g = {0};
    uint8_t header[GROUP_HEADER_BYTES];
    struct buf body = {0};
    struct hash prev = wire_hash(6);

    group_begin(&g, 1, 41, 1);
    add_bundle(&g, 2, (struct bytes){0}, (struct bytes){0});
    lie(&g);
    if (group_finish(&g, 40, &prev, nonce, 144, header))
        abort();
    buf_put(&body, g.heads.p, g.heads.n);
    buf_put(&body, g.payload.p, g.payload.n);
    vector_text(group_case(file, "bad", name, 144, header, buf_bytes(&body)),
                "refusal", "MALFORMED");
    group_free(&g);
    buf_free(&body);
}

static void lie_count(struct group *g)
{
    g->h.count++;
}

static void lie_bundles(struct group *g)
{
    g->h.bundles++;
}

static void lie_payload(struct group *g)
{
    g->payload.n--;
}

static void lie_no_payload(struct group *g)
{
    g->payload.n = 0;
}

static void lie_tail(struct group *g)
{
    buf_put(&g->payload, "", 1);
}

static void groups(json_t *file)
{
    struct group g = {0};
    struct group_header h;
    uint8_t header[GROUP_HEADER_BYTES];
    struct buf body = {0};
    json_t *c;

    group_make(&g, header, 144, &body);
    if (group_header_get(&h, header, nonce, 144) ||
        group_check(&h, header, buf_bytes(&body)))
        abort();
    c = group_case(file, "good", "two bundles, four entries", 144, header,
                   buf_bytes(&body));
    vector_int(c, "epoch", h.epoch);
    vector_int(c, "first", h.first);
    vector_int(c, "count", h.count);
    vector_int(c, "bundles", h.bundles);
    vector_int(c, "synced", h.synced);
    vector_int(c, "time", h.time);
    vector_hash(c, "prev", &h.prev);
    vector_hash(c, "hash", &h.hash);
    json_object_set_new(c, "entries", entries_of(&h, buf_bytes(&body)));
#define BAD(name, offset)                                                \
    vector_text(                                                         \
        group_case(file, "bad", name, offset, header, buf_bytes(&body)), \
        "refusal", "MALFORMED")
    BAD("at another offset", 152);
    header[48] ^= 1;
    BAD("a bit of the header flipped", 144);
    header[48] ^= 1, body.p[20] ^= 1;
    BAD("a bit of the heads flipped", 144);
    body.p[20] ^= 1, body.p[body.n - 1] ^= 1;
    BAD("a bit of the payloads flipped", 144);
    body.p[body.n - 1] ^= 1, body.n--;
    BAD("a body one byte short", 144);
#undef BAD
    group_free(&g);
    buf_free(&body);
    lying_group(file, "a count too many", lie_count);
    lying_group(file, "a bundle too many", lie_bundles);
    lying_group(file, "payloads shorter than the slots say", lie_payload);
    lying_group(file, "no payloads at all", lie_no_payload);
    lying_group(file, "payloads longer than the slots say", lie_tail);
}

json_t *vectors_record(void)
{
    json_t *file = vector_file(
        "Segment headers and groups of docs/ledger-format.md; body is heads "
        "then payloads, without padding. leaf: the entry's leaf hash in the "
        "ledger's tree. bad: the refusal.");

    segments(file);
    groups(file);
    return file;
}
