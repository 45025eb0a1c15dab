/* Groups and segments as bytes: what was written is what is read, and what
 * lies is refused. */
#include "tests/check.h"

#include "proto/record.h"
#include "proto/refusal.h"
#include "tests/support/wire.h"

static const uint8_t nonce[SEGMENT_NONCE_BYTES] = "segment nonce..";
static const uint64_t offset = SEGMENT_HEADER_BYTES;

struct made {
    struct group g;
    uint8_t header[GROUP_HEADER_BYTES];
    struct buf body;
};

/* A bundle's header and signature only; what the group keeps of it. */
static void add_bundle(struct group *g, uint32_t count, uint64_t first_seq)
{
    struct key_pair key = wire_key(2);
    struct bundle_facts facts = wire_facts(&key);
    struct hash root = wire_hash(5);
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct buf header = {0};

    facts.first_seq = first_seq;
    bundle_header_put(&header, &facts, &root, count);
    key_sign(&key, KEY_FOR_BUNDLE, &facts.ledger, buf_bytes(&header),
             signature);
    group_add_bundle(g, buf_bytes(&header), signature);
    buf_free(&header);
}

static void add_put(struct group *g, const char *key, const char *value,
                    int outcome, struct bytes effect, struct bytes kept)
{
    struct buf head = {0}, payload = {0};

    wire_put(&head, &payload, key, bytes_text(value), 3);
    group_add(g, buf_bytes(&head), buf_bytes(&payload), outcome, effect, kept);
    buf_free(&head);
    buf_free(&payload);
}

static void finish(struct made *m)
{
    struct hash prev = wire_hash(6);

    CHECK_OK(group_finish(&m->g, 40, &prev, nonce, offset, m->header));
    buf_clear(&m->body);
    buf_put(&m->body, m->g.heads.p, m->g.heads.n);
    buf_put(&m->body, m->g.payload.p, m->g.payload.n);
}

/* Two bundles, three entries; the second has an effect with a slot. */
static void make(struct made *m)
{
    struct buf effect = {0}, kept = {0}, rows = {0};
    struct msg e;
    uint8_t salt[SLOT_SALT_BYTES] = {8};

    *m = (struct made){0};
    slot_row(&rows, salt, bytes_text("merged"));
    buf_put(&kept, salt, sizeof salt);
    buf_put(&kept, "merged", 6);
    msg_init(&e, MSG_EFFECT);
    msg_set_u(&e, FIELD_PREV, 12);
    msg_set_b(&e, FIELD_SLOTS, buf_bytes(&rows));
    msg_encode(&e, &effect);
    group_begin(&m->g, 1, 41, 1700000000000000);
    add_bundle(&m->g, 2, 5);
    add_put(&m->g, "a", "one", CHOIR_OK, (struct bytes){0}, (struct bytes){0});
    add_put(&m->g, "b", "two", CHOIR_OK, buf_bytes(&effect), buf_bytes(&kept));
    add_bundle(&m->g, 1, 7);
    add_put(&m->g, "c", "", CHOIR_CONFLICT, (struct bytes){0},
            (struct bytes){0});
    finish(m);
    buf_free(&effect);
    buf_free(&kept);
    buf_free(&rows);
}

static void made_free(struct made *m)
{
    group_free(&m->g);
    buf_free(&m->body);
}

/* Walk to the end; the entries seen, or the refusal below zero. */
static int walk(const struct group_header *h, struct bytes body)
{
    struct group_walk w;
    const struct entry *e;
    int n = 0, r;

    group_walk_begin(&w, h, body);
    while (!(r = group_walk_next(&w, &e)))
        n++;
    return r == CHOIR_NOT_FOUND ? n : -r;
}

TEST(group_says_what_was_put_in)
{
    struct made m;
    struct group_header h;
    struct group_walk w;
    const struct entry *e;
    struct bytes salt, value;

    make(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    CHECK_OK(group_check(&h, m.header, buf_bytes(&m.body)));
    CHECK_EQ(h.epoch, 1);
    CHECK_EQ(h.first, 41);
    CHECK_EQ(h.count, 3);
    CHECK_EQ(h.bundles, 2);
    CHECK_EQ(h.synced, 40);
    CHECK_EQ(group_bytes(&h) % GROUP_ALIGN, 0);
    group_walk_begin(&w, &h, buf_bytes(&m.body));
    CHECK_OK(group_walk_next(&w, &e));
    CHECK_EQ(e->index, 41);
    CHECK_EQ(e->seq, 5);
    CHECK_EQ(e->position, 0);
    CHECK_EQ(e->session, 7);
    CHECK_EQ(e->outcome, CHOIR_OK);
    CHECK_OK(slot_at(e->rows, e->payload, 0, &salt, &value));
    CHECK(bytes_equal(value, bytes_text("one")));
    CHECK_EQ(e->effect.n, 0);
    CHECK_OK(group_walk_next(&w, &e));
    CHECK_EQ(e->index, 42);
    CHECK_EQ(e->seq, 6);
    CHECK_EQ(e->position, 1);
    CHECK_OK(slot_at(e->effect_rows, e->effect_payload, 0, &salt, &value));
    CHECK(bytes_equal(value, bytes_text("merged")));
    CHECK_OK(group_walk_next(&w, &e));
    CHECK_EQ(e->index, 43);
    CHECK_EQ(e->seq, 7);
    CHECK_EQ(e->position, 0);
    CHECK_EQ(e->outcome, CHOIR_CONFLICT);
    CHECK_OK(slot_at(e->rows, e->payload, 0, &salt, &value));
    CHECK_EQ(value.n, 0);
    CHECK_REFUSED(group_walk_next(&w, &e), CHOIR_NOT_FOUND);
    CHECK_REFUSED(group_walk_next(&w, &e), CHOIR_NOT_FOUND);
    made_free(&m);
}

TEST(group_header_rejects_any_flipped_bit)
{
    struct made m;
    struct group_header h;

    make(&m);
    for (size_t i = 0; i < 8 * GROUP_HEADER_BYTES; i++) {
        m.header[i / 8] ^= (uint8_t)(1u << i % 8);
        CHECK_REFUSED(group_header_get(&h, m.header, nonce, offset),
                      CHOIR_MALFORMED);
        m.header[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    made_free(&m);
}

TEST(group_header_holds_only_at_its_place_in_its_segment)
{
    static const uint8_t other[SEGMENT_NONCE_BYTES] = "another segment";
    struct made m;
    struct group_header h;

    make(&m);
    CHECK_REFUSED(group_header_get(&h, m.header, other, offset),
                  CHOIR_MALFORMED);
    CHECK_REFUSED(group_header_get(&h, m.header, nonce, offset + 8),
                  CHOIR_MALFORMED);
    made_free(&m);
}

TEST(group_body_rejects_any_flipped_bit_and_any_other_length)
{
    struct made m;
    struct group_header h;

    make(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    for (size_t i = 0; i < m.body.n; i++) {
        m.body.p[i] ^= (uint8_t)(1u << i % 8);
        CHECK_REFUSED(group_check(&h, m.header, buf_bytes(&m.body)),
                      CHOIR_MALFORMED);
        m.body.p[i] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t n = 0; n < m.body.n; n++)
        CHECK_REFUSED(group_check(&h, m.header, bytes_of(m.body.p, n)),
                      CHOIR_MALFORMED);
    made_free(&m);
}

/* The same group without the first payload, which was erased. */
static void make_thin(struct made *m)
{
    static const uint8_t marks[] = {4, 0, 0, 0, SLOT_ERASED, 0, 0, 0};
    size_t heads, gone = SLOT_SALT_BYTES + 3; /* "one" */

    make(m);
    heads = m->g.heads.n;
    buf_clear(&m->body);
    buf_put(&m->body, m->g.heads.p, heads);
    buf_put(&m->body, marks, sizeof marks);
    buf_put(&m->body, m->g.payload.p + gone, m->g.payload.n - gone);
    group_again(m->header, true, buf_bytes(&m->body), heads, nonce, offset);
}

/* No head knows a mark: one that was bent must not pass for an erasure. */
TEST(thin_group_rejects_any_flipped_bit_and_any_other_length)
{
    struct made m;
    struct group_header h;

    make_thin(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    CHECK_OK(group_check(&h, m.header, buf_bytes(&m.body)));
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), 3);
    for (size_t i = 0; i < 8 * m.body.n; i++) {
        m.body.p[i / 8] ^= (uint8_t)(1u << i % 8);
        CHECK_REFUSED(group_check(&h, m.header, buf_bytes(&m.body)),
                      CHOIR_MALFORMED);
        m.body.p[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    m.body.p[h.heads_bytes + 4] = SLOT_COMPACTED;
    CHECK_REFUSED(group_check(&h, m.header, buf_bytes(&m.body)),
                  CHOIR_MALFORMED);
    m.body.p[h.heads_bytes + 4] = SLOT_ERASED;
    for (size_t n = 0; n < m.body.n; n++)
        CHECK_REFUSED(group_check(&h, m.header, bytes_of(m.body.p, n)),
                      CHOIR_MALFORMED);
    made_free(&m);
}

/* One payload where another of the same length should be, both well formed. */
TEST(group_rejects_payloads_that_were_exchanged)
{
    struct made m;
    struct group_header h;
    uint8_t *first, other[SLOT_SALT_BYTES + 3];

    make(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    first = m.body.p + h.heads_bytes;
    memcpy(other, first, sizeof other);
    memcpy(first, first + sizeof other, sizeof other);
    memcpy(first + sizeof other, other, sizeof other);
    CHECK_OK(group_check_outline(&h, m.header, buf_bytes(&m.body)));
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), 3);
    CHECK_REFUSED(group_check(&h, m.header, buf_bytes(&m.body)),
                  CHOIR_MALFORMED);
    made_free(&m);
}

TEST(group_is_walked_by_its_heads_alone)
{
    struct made m;
    struct group_header h;
    struct group_walk w;
    const struct entry *e;

    make(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    group_walk_begin(&w, &h, bytes_of(m.body.p, h.heads_bytes));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(group_walk_next(&w, &e));
        CHECK_EQ(e->payload.n, 0);
        CHECK_EQ(e->rows.n, SLOT_ROW_BYTES);
    }
    CHECK_REFUSED(group_walk_next(&w, &e), CHOIR_NOT_FOUND);
    made_free(&m);
}

TEST(group_walk_never_reads_beyond_a_cut_body)
{
    struct made m;
    struct group_header h;

    make(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    for (size_t n = 0; n < m.body.n; n++) {
        uint8_t *cut = malloc(n ? n : 1);

        if (n == h.heads_bytes) {
            free(cut);
            continue;
        }
        memcpy(cut, m.body.p, n);
        CHECK_EQ(walk(&h, bytes_of(cut, n)), -CHOIR_MALFORMED);
        free(cut);
    }
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), 3);
    made_free(&m);
}

TEST(group_walk_refuses_payloads_shorter_or_longer_than_the_slots_say)
{
    struct made m;
    struct group_header h;

    make(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    h.payload_bytes--;
    CHECK_EQ(walk(&h, bytes_of(m.body.p, m.body.n - 1)), -CHOIR_MALFORMED);
    h.payload_bytes = 0; /* "there are none" is not "they were left out" */
    CHECK_EQ(walk(&h, bytes_of(m.body.p, h.heads_bytes)), -CHOIR_MALFORMED);
    buf_put(&m.body, "", 1);
    h.payload_bytes = m.body.n - h.heads_bytes;
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), -CHOIR_MALFORMED);
    made_free(&m);
}

TEST(group_walk_refuses_counts_that_disagree)
{
    struct made m;
    struct group_header h;

    make(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    h.count = 2;
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), -CHOIR_MALFORMED);
    h.count = 4;
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), -CHOIR_MALFORMED);
    h.count = 3, h.bundles = 1;
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), -CHOIR_MALFORMED);
    h.bundles = 3;
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), -CHOIR_MALFORMED);
    h.bundles = 0;
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), -CHOIR_MALFORMED);
    made_free(&m);
}

TEST(group_walk_refuses_a_bundle_whose_count_needs_more_than_32_bits)
{
    struct made m = {0};
    struct key_pair key = wire_key(2);
    struct bundle_facts facts = wire_facts(&key);
    struct hash root = wire_hash(5);
    struct buf plain = {0}, header = {0};
    uint8_t signature[KEY_SIGNATURE_BYTES] = {0};
    struct group_header h;
    struct msg b;
    unsigned field;

    bundle_header_put(&plain, &facts, &root, 1);
    CHECK_OK(part_decode(MSG_BUNDLE_HEADER, buf_bytes(&plain), &b, &field));
    msg_set_u(&b, FIELD_COUNT, (1ULL << 32) + 1);
    msg_encode(&b, &header);
    group_begin(&m.g, 1, 1, 1);
    group_add_bundle(&m.g, buf_bytes(&header), signature);
    add_put(&m.g, "a", "one", CHOIR_OK, (struct bytes){0}, (struct bytes){0});
    finish(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), -CHOIR_MALFORMED);
    buf_free(&plain);
    buf_free(&header);
    made_free(&m);
}

TEST(group_of_nothing_is_walked_to_its_end)
{
    struct made m = {0};
    struct group_header h;

    group_begin(&m.g, 1, 1, 1);
    finish(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    CHECK_OK(group_check(&h, m.header, buf_bytes(&m.body)));
    CHECK_EQ(walk(&h, buf_bytes(&m.body)), 0);
    made_free(&m);
}

TEST(group_hash_covers_heads_but_not_payloads)
{
    struct made m;
    struct group_header h;
    struct hash before;

    make(&m);
    before = m.g.h.hash;
    m.g.payload.p[0] ^= 1; /* as an erased payload would be */
    finish(&m);
    CHECK(hash_equal(&before, &m.g.h.hash));
    m.g.heads.p[m.g.heads.n - 1] ^= 1;
    finish(&m);
    CHECK_NOT(hash_equal(&before, &m.g.h.hash));
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    made_free(&m);
}

TEST(segment_header_says_what_was_put_in_and_rejects_any_flipped_bit)
{
    struct segment_header s = {.ledger = wire_hash(1),
                               .number = 2,
                               .first = 100,
                               .epoch = 1,
                               .prev_group = wire_hash(3)},
                          got;
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    uint32_t format;

    memcpy(s.nonce, nonce, sizeof nonce);
    segment_header_put(bytes, &s);
    CHECK_OK(segment_header_get(&got, bytes, &format));
    CHECK_EQ(format, RECORD_FORMAT);
    CHECK_EQ(got.number, 2);
    CHECK_EQ(got.first, 100);
    CHECK_EQ(got.epoch, 1);
    CHECK(hash_equal(&got.ledger, &s.ledger));
    CHECK(hash_equal(&got.prev_group, &s.prev_group));
    CHECK_MEM(got.nonce, nonce, sizeof nonce);
    for (size_t i = 0; i < 8 * SEGMENT_HEADER_BYTES; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        CHECK_REFUSED(segment_header_get(&got, bytes, &format),
                      CHOIR_MALFORMED);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

TEST(segment_of_a_newer_format_is_refused_by_its_number)
{
    struct segment_header s = {.number = 1}, got;
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    uint32_t format;
    struct hash h;

    segment_header_put(bytes, &s);
    put_u32(bytes + 8, 7);
    h = hash_of(HASH_SUM, bytes_of(bytes, 128));
    memcpy(bytes + 128, h.b, 16);
    CHECK_REFUSED(segment_header_get(&got, bytes, &format), CHOIR_UNSUPPORTED);
    CHECK_EQ(format, 7);
}

TEST(entry_leaf_of_an_empty_effect_is_that_of_no_bytes)
{
    struct hash known = effect_hash((struct bytes){0});
    struct hash now = hash_of(HASH_EFFECT, (struct bytes){0});

    CHECK(hash_equal(&known, &now));
}

TEST(entry_leaf_commits_to_everything_it_lists)
{
    struct made m;
    struct group_header h;
    struct group_walk w;
    const struct entry *e;
    struct entry other;
    struct hash leaf, changed;
    uint8_t head[64];

    make(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    group_walk_begin(&w, &h, buf_bytes(&m.body));
    CHECK_OK(group_walk_next(&w, &e));
    leaf = entry_leaf(e);
#define CHANGES(statement)                      \
    do {                                        \
        other = *e;                             \
        statement;                              \
        changed = entry_leaf(&other);           \
        CHECK_NOT(hash_equal(&leaf, &changed)); \
    } while (0)
    CHANGES(other.index++);
    CHANGES(other.time++);
    CHANGES(other.session++);
    CHANGES(other.seq++);
    CHANGES(other.position++);
    CHANGES(other.bundle_hash.b[31] ^= 1);
    CHANGES(other.outcome = CHOIR_DENIED);
    CHANGES(other.effect = bytes_text("x"));
    CHANGES(other.head = bytes_of(memset(head, 0, 64), 64));
    CHANGES(other.bundle.v[FIELD_AGENT].bytes.p = memset(head, 1, 64));
#undef CHANGES
    other = *e;
    changed = entry_leaf(&other);
    CHECK(hash_equal(&leaf, &changed));
    made_free(&m);
}

TEST(entry_leaves_are_those_of_each_entry)
{
    enum { N = 150 };
    struct leaf_of of[N];
    struct hash agent, operations[N], leaves[N], leaf;
    struct group_header h;
    struct group_walk w;
    const struct entry *e;
    struct entry other;
    struct made m;

    make(&m);
    CHECK_OK(group_header_get(&h, m.header, nonce, offset));
    group_walk_begin(&w, &h, buf_bytes(&m.body));
    CHECK_OK(group_walk_next(&w, &e));
    other = *e;
    agent = msg_hash(&e->bundle, FIELD_AGENT);
    for (unsigned i = 0; i < N; i++) {
        operations[i] = hash_of(HASH_OP, bytes_of(&i, sizeof i));
        of[i] = (struct leaf_of){
            .index = i * 3,
            .time = i * 5,
            .session = i * 7,
            .seq = i * 11,
            .agent = &agent,
            .bundle = &e->bundle_hash,
            .operation = &operations[i],
            .effect = i % 3 ? bytes_of(m.header, i) : (struct bytes){0},
            .position = i,
            .outcome = i % 2 ? CHOIR_DENIED : 0,
        };
    }
    entry_leaves(of, N, leaves);
    for (unsigned i = 0; i < N; i++) {
        other.index = i * 3;
        other.time = i * 5;
        other.session = i * 7;
        other.seq = i * 11;
        other.effect = of[i].effect;
        other.position = i;
        other.outcome = of[i].outcome;
        leaf = entry_leaf_of(&other, &operations[i]);
        CHECK_MEM(leaves[i].b, leaf.b, HASH_BYTES);
    }
    made_free(&m);
}

CHECK_MAIN
