/* What the broker says to many under one signature, and how it may not be
 * passed off as something else. */
#include "tests/check.h"

#include "proto/answer.h"
#include "proto/refusal.h"
#include "tests/support/wire.h"

enum { COUNT = 5 };

/* One cycle: a DONE to each of COUNT agents. */
struct cycle {
    struct key_pair key;
    struct buf front;
    struct answer_body body[COUNT];
    struct bytes bytes[COUNT];
    struct merkle tree;
};

static void cycle_make(struct cycle *c)
{
    struct answer_facts facts = {.ledger = wire_hash(1),
                                 .epoch = 3,
                                 .time = 1700000000000000,
                                 .size = 1000,
                                 .root = wire_hash(4)};
    struct hash leaves[COUNT];

    *c = (struct cycle){.key = wire_key(9)};
    for (unsigned i = 0; i < COUNT; i++) {
        struct hash agent = wire_hash((uint8_t)(20 + i));
        struct msg m;

        answer_begin(&c->body[i], 100 + i, &agent);
        msg_init(&m, MSG_DONE);
        msg_set_u(&m, FIELD_SEQ, i);
        msg_set_u(&m, FIELD_OUTCOME, CHOIR_OK);
        msg_set_u(&m, FIELD_REVISION, 900 + i);
        answer_add(&c->body[i], &m);
        msg_init(&m, MSG_CAUGHT_UP);
        msg_set_u(&m, FIELD_WATCH, 1);
        msg_set_u(&m, FIELD_REVISION, 900 + i);
        answer_add(&c->body[i], &m);
        c->bytes[i] = answer_end(&c->body[i]);
        leaves[i] = answer_leaf(c->bytes[i]);
    }
    CHECK_OK(merkle_build(&c->tree, leaves, COUNT));
    CHECK_OK(answer_sign(&facts, &c->tree, &c->key, &c->front));
}

static void cycle_free(struct cycle *c)
{
    for (unsigned i = 0; i < COUNT; i++)
        buf_free(&c->body[i].bytes);
    buf_free(&c->front);
    merkle_free(&c->tree);
}

static void frame_of(struct cycle *c, size_t i, struct buf *frame)
{
    buf_clear(frame);
    answer_frame(frame, buf_bytes(&c->front), &c->tree, i, c->bytes[i]);
}

static int accept(struct bytes frame, const struct key_pair *key)
{
    struct answer a;
    struct msg item;
    int r = answer_open(&a, frame);

    if (!r)
        r = answer_verify(&a, key->public_key);
    while (!r)
        r = answer_next(&a, &item);
    return r == CHOIR_NOT_FOUND ? 0 : r;
}

TEST(answer_reaches_every_agent_of_the_cycle)
{
    struct cycle c;
    struct buf frame = {0};

    cycle_make(&c);
    for (unsigned i = 0; i < COUNT; i++) {
        struct hash agent = wire_hash((uint8_t)(20 + i));
        struct answer a;
        struct msg m;

        frame_of(&c, i, &frame);
        CHECK_OK(answer_open(&a, buf_bytes(&frame)));
        CHECK_OK(answer_verify(&a, c.key.public_key));
        CHECK_EQ(a.session, 100 + i);
        CHECK(hash_equal(&a.agent, &agent));
        CHECK_EQ(a.epoch, 3);
        CHECK_EQ(a.size, 1000);
        CHECK_EQ(a.count, COUNT);
        CHECK_OK(answer_next(&a, &m));
        CHECK_EQ(m.verb, MSG_DONE);
        CHECK_EQ(msg_u(&m, FIELD_REVISION), 900 + i);
        CHECK_OK(answer_next(&a, &m));
        CHECK_EQ(m.verb, MSG_CAUGHT_UP);
        CHECK_REFUSED(answer_next(&a, &m), CHOIR_NOT_FOUND);
        CHECK_REFUSED(answer_next(&a, &m), CHOIR_NOT_FOUND);
    }
    buf_free(&frame);
    cycle_free(&c);
}

TEST(answer_rejects_truncation_at_every_length)
{
    struct cycle c;
    struct buf frame = {0};

    cycle_make(&c);
    frame_of(&c, 2, &frame);
    for (size_t n = 0; n < frame.n; n++) {
        uint8_t *cut = malloc(n ? n : 1);

        memcpy(cut, frame.p, n);
        CHECK_REFUSED(accept(bytes_of(cut, n), &c.key), CHOIR_MALFORMED);
        free(cut);
    }
    buf_put(&frame, "", 1);
    CHECK_REFUSED(accept(buf_bytes(&frame), &c.key), CHOIR_MALFORMED);
    buf_free(&frame);
    cycle_free(&c);
}

TEST(answer_rejects_any_flipped_bit)
{
    struct cycle c;
    struct buf frame = {0};

    cycle_make(&c);
    frame_of(&c, 3, &frame);
    for (size_t i = 0; i < frame.n; i++) {
        frame.p[i] ^= (uint8_t)(1u << i % 8);
        CHECK_NE(accept(buf_bytes(&frame), &c.key), 0);
        frame.p[i] ^= (uint8_t)(1u << i % 8);
    }
    CHECK_OK(accept(buf_bytes(&frame), &c.key));
    buf_free(&frame);
    cycle_free(&c);
}

TEST(answer_rejects_signature_of_another_broker)
{
    struct cycle c;
    struct buf frame = {0};
    struct key_pair other = wire_key(8);

    cycle_make(&c);
    frame_of(&c, 0, &frame);
    CHECK_REFUSED(accept(buf_bytes(&frame), &other), CHOIR_BAD_SIGNATURE);
    buf_free(&frame);
    cycle_free(&c);
}

TEST(answer_to_one_agent_cannot_be_passed_off_as_anothers)
{
    struct cycle c;
    struct buf frame = {0};

    cycle_make(&c);
    /* the body of agent 1 with the place and path of agent 0 */
    answer_frame(&frame, buf_bytes(&c.front), &c.tree, 0, c.bytes[1]);
    CHECK_REFUSED(accept(buf_bytes(&frame), &c.key), CHOIR_MALFORMED);
    /* agent 1's own frame, readdressed */
    frame_of(&c, 1, &frame);
    memset(frame.p + frame.n - c.bytes[1].n + 8, 20, HASH_BYTES);
    CHECK_REFUSED(accept(buf_bytes(&frame), &c.key), CHOIR_MALFORMED);
    buf_free(&frame);
    cycle_free(&c);
}

TEST(answer_rejects_a_path_too_short_or_too_long)
{
    struct cycle c;
    struct buf frame = {0};
    size_t path;

    cycle_make(&c);
    path = c.front.n + 8;
    for (int longer = 0; longer < 2; longer++) {
        struct buf bent = {0};
        uint32_t hashes;

        frame_of(&c, 1, &frame);
        hashes = get_u32(frame.p + path - 4);
        CHECK_EQ(hashes, 3);
        put_u32(frame.p + path - 4, longer ? hashes + 1 : hashes - 1);
        buf_put(&bent, frame.p, path);
        if (longer)
            buf_put(&bent, frame.p + path, HASH_BYTES);
        buf_put(&bent, frame.p + path + (longer ? 0 : HASH_BYTES),
                frame.n - path - (longer ? 0 : HASH_BYTES));
        CHECK_REFUSED(accept(buf_bytes(&bent), &c.key), CHOIR_MALFORMED);
        buf_free(&bent);
    }
    /* more hashes than any path may have */
    frame_of(&c, 1, &frame);
    put_u32(frame.p + path - 4, MERKLE_PATH_MAX + 1);
    CHECK_REFUSED(accept(buf_bytes(&frame), &c.key), CHOIR_MALFORMED);
    put_u32(frame.p + path - 4, UINT32_MAX);
    CHECK_REFUSED(accept(buf_bytes(&frame), &c.key), CHOIR_MALFORMED);
    buf_free(&frame);
    cycle_free(&c);
}

TEST(answer_rejects_a_position_outside_the_tree)
{
    struct cycle c;
    struct buf frame = {0};

    cycle_make(&c);
    frame_of(&c, 4, &frame);
    put_u32(frame.p + c.front.n, COUNT);
    CHECK_REFUSED(accept(buf_bytes(&frame), &c.key), CHOIR_MALFORMED);
    buf_free(&frame);
    cycle_free(&c);
}

/* A frame of one body, signed as it is. */
static void sealed(struct buf *frame, const struct key_pair *key,
                   struct bytes body)
{
    struct answer_facts facts = {.ledger = wire_hash(1), .epoch = 1};
    struct merkle tree = {0};
    struct hash leaf = answer_leaf(body);
    struct buf front = {0};

    CHECK_OK(merkle_build(&tree, &leaf, 1));
    CHECK_OK(answer_sign(&facts, &tree, key, &front));
    buf_clear(frame);
    answer_frame(frame, buf_bytes(&front), &tree, 0, body);
    buf_free(&front);
    merkle_free(&tree);
}

TEST(answer_whose_items_do_not_fill_it_is_refused)
{
    struct key_pair key = wire_key(9);
    struct hash agent = wire_hash(2);
    struct answer_body a = {0};
    struct buf frame = {0};
    struct msg m;

    msg_init(&m, MSG_CAUGHT_UP);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_REVISION, 2);
    answer_begin(&a, 1, &agent);
    answer_add(&a, &m);
    answer_end(&a);
    sealed(&frame, &key, buf_bytes(&a.bytes));
    CHECK_OK(accept(buf_bytes(&frame), &key));
    put_u32(a.bytes.p + 40, 0); /* items left over */
    sealed(&frame, &key, buf_bytes(&a.bytes));
    CHECK_REFUSED(accept(buf_bytes(&frame), &key), CHOIR_MALFORMED);
    put_u32(a.bytes.p + 40, UINT32_MAX); /* fewer than it says */
    sealed(&frame, &key, buf_bytes(&a.bytes));
    CHECK_REFUSED(accept(buf_bytes(&frame), &key), CHOIR_MALFORMED);
    put_u32(a.bytes.p + 40, 1);
    put_u32(a.bytes.p + 44, UINT32_MAX); /* an item longer than the body */
    sealed(&frame, &key, buf_bytes(&a.bytes));
    CHECK_REFUSED(accept(buf_bytes(&frame), &key), CHOIR_MALFORMED);
    buf_free(&a.bytes);
    buf_free(&frame);
}

TEST(answer_item_of_a_newer_broker_can_be_passed_over)
{
    struct key_pair key = wire_key(9);
    struct hash agent = wire_hash(2);
    struct answer_body body = {0};
    struct buf frame = {0};
    struct answer a;
    struct msg m;

    answer_begin(&body, 1, &agent);
    msg_init(&m, MSG_CAUGHT_UP);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_REVISION, 2);
    msg_set_u(&m, FIELD_CREDIT, 3); /* no such field there */
    answer_add(&body, &m);
    m.has &= ~FIELD_BIT(CREDIT);
    answer_add(&body, &m);
    sealed(&frame, &key, answer_end(&body));
    CHECK_OK(answer_open(&a, buf_bytes(&frame)));
    CHECK_REFUSED(answer_next(&a, &m), CHOIR_UNSUPPORTED);
    CHECK_OK(answer_next(&a, &m));
    CHECK_EQ(msg_u(&m, FIELD_REVISION), 2);
    CHECK_REFUSED(answer_next(&a, &m), CHOIR_NOT_FOUND);
    buf_free(&body.bytes);
    buf_free(&frame);
}

TEST(answer_of_another_format_is_unsupported)
{
    struct cycle c;
    struct buf frame = {0};
    struct answer a;
    uint8_t *at;

    cycle_make(&c);
    frame_of(&c, 0, &frame);
    at = memmem(frame.p, frame.n, "\x26\x01\x27", 3); /* format 1, ledger */
    CHECK(at != NULL);
    at[1] = 2;
    CHECK_REFUSED(answer_open(&a, buf_bytes(&frame)), CHOIR_UNSUPPORTED);
    buf_free(&frame);
    cycle_free(&c);
}

TEST(answer_may_hold_no_item_at_all)
{
    struct key_pair key = wire_key(9);
    struct hash agent = wire_hash(2);
    struct answer_body body = {0};
    struct buf frame = {0};

    answer_begin(&body, 0, &agent);
    sealed(&frame, &key, answer_end(&body));
    CHECK_OK(accept(buf_bytes(&frame), &key));
    buf_free(&body.bytes);
    buf_free(&frame);
}

CHECK_MAIN
