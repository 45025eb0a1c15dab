/* Answers are verified once for all that hang under one signature: what that
 * must not let through. */
#include "agent-sdk/verify.h"

#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/wire.h"

static struct hash agent;

/* One answer of a cycle of its own, to `agent`, at that size of the ledger. */
static void answer_make(struct buf *frame, const struct key_pair *key,
                        uint64_t size)
{
    struct answer_facts facts = {.ledger = wire_hash(1),
                                 .epoch = 1,
                                 .time = 1700000000000000,
                                 .size = size,
                                 .root = wire_hash(4)};
    struct answer_body body = {0};
    struct merkle tree = {0};
    struct buf front = {0};
    struct hash leaf;
    struct bytes b;
    struct msg m;

    agent = wire_hash(20);
    answer_begin(&body, 7, &agent);
    msg_init(&m, MSG_CAUGHT_UP);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_REVISION, size);
    answer_add(&body, &m);
    b = answer_end(&body);
    leaf = answer_leaf(b);
    CHECK_OK(merkle_build(&tree, &leaf, 1));
    CHECK_OK(answer_sign(&facts, &tree, key, &front));
    buf_clear(frame);
    answer_frame(frame, buf_bytes(&front), &tree, 0, b);
    buf_free(&body.bytes);
    buf_free(&front);
    merkle_free(&tree);
}

static struct verifier verifier_of(const struct key_pair *key)
{
    struct verifier v = {.ledger = wire_hash(1), .agent = wire_hash(20)};

    memcpy(v.broker_key, key->public_key, KEY_PUBLIC_BYTES);
    return v;
}

static uint8_t *signature_of(struct buf *frame)
{
    return frame->p + 8 + get_u32(frame->p + 4);
}

static int opens(struct verifier *v, const struct buf *frame)
{
    struct answer a;

    return verifier_open(v, buf_bytes(frame), &a);
}

TEST(verifier_takes_what_its_broker_has_signed_as_often_as_it_comes)
{
    struct key_pair key = wire_key(30);
    struct verifier one = verifier_of(&key), other = verifier_of(&key);
    struct buf frame = {0};

    answer_make(&frame, &key, 1000);
    CHECK_OK(opens(&one, &frame));
    CHECK_OK(opens(&one, &frame));
    CHECK_OK(opens(&other, &frame));
    answer_make(&frame, &key, 1001);
    CHECK_OK(opens(&one, &frame));
    CHECK_EQ(one.seen.size, 1001);
    verifier_free(&one);
    verifier_free(&other);
    buf_free(&frame);
}

/* A handle that refused it ends; the next one of the process hears it again. */
TEST(verifier_refuses_a_false_signature_however_often_it_comes)
{
    struct key_pair key = wire_key(31);
    struct verifier one = verifier_of(&key), other = verifier_of(&key);
    struct buf frame = {0};

    answer_make(&frame, &key, 1000);
    CHECK_OK(opens(&one, &frame));
    answer_make(&frame, &key, 1001);
    signature_of(&frame)[0] ^= 1;
    for (int i = 0; i < 2; i++) {
        CHECK_REFUSED(opens(&one, &frame), CHOIR_BROKEN);
        CHECK_REFUSED(opens(&other, &frame), CHOIR_BROKEN);
    }
    CHECK_EQ(one.seen.size, 1000);
    verifier_free(&one);
    verifier_free(&other);
    buf_free(&frame);
}

TEST(verifier_refuses_another_header_under_the_last_ones_signature)
{
    struct key_pair key = wire_key(32);
    struct verifier one = verifier_of(&key), other = verifier_of(&key);
    struct buf frame = {0}, next = {0};

    answer_make(&frame, &key, 1000);
    answer_make(&next, &key, 1001);
    CHECK_EQ(next.n, frame.n);
    memcpy(signature_of(&next), signature_of(&frame), KEY_SIGNATURE_BYTES);
    CHECK_OK(opens(&one, &frame));
    CHECK_REFUSED(opens(&one, &next), CHOIR_BROKEN);
    CHECK_REFUSED(opens(&other, &next), CHOIR_BROKEN);
    verifier_free(&one);
    verifier_free(&other);
    buf_free(&frame);
    buf_free(&next);
}

TEST(verifier_takes_nothing_that_was_verified_under_another_key)
{
    struct key_pair key = wire_key(33), pinned = wire_key(34);
    struct verifier one = verifier_of(&key), other = verifier_of(&pinned);
    struct buf frame = {0};

    answer_make(&frame, &key, 1000);
    CHECK_OK(opens(&one, &frame));
    CHECK_REFUSED(opens(&other, &frame), CHOIR_BROKEN);
    verifier_free(&one);
    verifier_free(&other);
    buf_free(&frame);
}

CHECK_MAIN
