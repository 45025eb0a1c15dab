#include "broker/outbox.h"

#include "proto/refusal.h"
#include "tests/check.h"

struct sent {
    unsigned frames;
    uint64_t connection[4096];
    struct buf bytes[4096];
};

static void keep(void *arg, uint64_t connection, struct bytes frame,
                 size_t took)
{
    struct sent *s = arg;

    CHECK(took > 0 && took < frame.n);
    s->connection[s->frames] = connection;
    buf_put(&s->bytes[s->frames++], frame.p, frame.n);
}

static struct sent sent;
static struct key_pair key;
static struct answer_facts facts = {.epoch = 1, .size = 10};
static const struct hash ada = {{1}}, bob = {{2}};

static struct outbox *box(void)
{
    CHECK_OK(crypto_start());
    key_pair_new(&key);
    facts.size = 10;
    for (unsigned i = 0; i < sent.frames; i++)
        buf_free(&sent.bytes[i]);
    sent.frames = 0;
    return outbox_new();
}

static struct msg done(uint64_t seq)
{
    struct msg m;

    msg_init(&m, MSG_DONE);
    msg_set_u(&m, FIELD_SEQ, seq);
    msg_set_u(&m, FIELD_OUTCOME, 0);
    msg_set_u(&m, FIELD_REVISION, seq);
    return m;
}

static void add(struct outbox *o, uint64_t connection, uint64_t session,
                const struct hash *agent, uint64_t seq)
{
    struct msg m = done(seq);

    CHECK(outbox_add(o, connection, session, agent, &m) > 0);
}

/* All that is in it, as of now. */
static int leave(struct outbox *o)
{
    outbox_rests_on(o, facts.size);
    return outbox_release(o, &facts, &key, keep, &sent);
}

static uint64_t first_seq(unsigned frame)
{
    struct answer a;
    struct msg m;

    CHECK_OK(answer_open(&a, buf_bytes(&sent.bytes[frame])));
    CHECK_OK(answer_verify(&a, key.public_key));
    CHECK_OK(answer_next(&a, &m));
    return msg_u(&m, FIELD_SEQ);
}

static struct bytes body_of_frame(unsigned i)
{
    struct answer a;

    CHECK_OK(answer_open(&a, buf_bytes(&sent.bytes[i])));
    CHECK_OK(answer_verify(&a, key.public_key));
    return bytes_of(a.body.p, cursor_left(&a.body));
}

TEST(outbox_sends_each_recipient_one_frame_that_verifies)
{
    struct outbox *o = box();
    struct answer a;
    struct msg m;

    add(o, 1, 5, &ada, 1);
    add(o, 2, 6, &bob, 2);
    add(o, 1, 5, &ada, 3);
    add(o, 1, 7, &ada, 4);
    CHECK_EQ(leave(o), 3);
    CHECK_EQ(sent.frames, 3);
    CHECK_EQ(sent.connection[0], 1);
    CHECK_OK(answer_open(&a, buf_bytes(&sent.bytes[0])));
    CHECK_OK(answer_verify(&a, key.public_key));
    CHECK_EQ(a.session, 5);
    CHECK(hash_equal(&a.agent, &ada));
    CHECK_OK(answer_next(&a, &m));
    CHECK_EQ(msg_u(&m, FIELD_SEQ), 1);
    CHECK_OK(answer_next(&a, &m));
    CHECK_EQ(msg_u(&m, FIELD_SEQ), 3);
    CHECK_REFUSED(answer_next(&a, &m), CHOIR_NOT_FOUND);
    CHECK_EQ(outbox_bytes(o), 0);
    CHECK_EQ(outbox_release(o, &facts, &key, keep, &sent), 0);
    outbox_destroy(&o);
}

TEST(outbox_signs_ahead_and_sends_nothing)
{
    struct outbox *o = box();

    add(o, 1, 5, &ada, 1);
    add(o, 2, 6, &bob, 2);
    outbox_rests_on(o, facts.size);
    CHECK_OK(outbox_sign(o, &facts, &key));
    CHECK_EQ(sent.frames, 0);
    CHECK(outbox_waits(o));
    CHECK_EQ(outbox_release(o, &facts, &key, keep, &sent), 2);
    CHECK_EQ(first_seq(0), 1);
    CHECK_EQ(first_seq(1), 2);
    add(o, 1, 5, &ada, 3);
    CHECK_EQ(leave(o), 1); /* under a signature of its own */
    CHECK_EQ(first_seq(2), 3);
    outbox_destroy(&o);
}

static uint64_t size_stated(unsigned frame)
{
    struct answer a;

    CHECK_OK(answer_open(&a, buf_bytes(&sent.bytes[frame])));
    CHECK_OK(answer_verify(&a, key.public_key));
    return a.size;
}

TEST(outbox_signs_anew_what_is_not_as_it_was_signed_ahead)
{
    struct outbox *o = box();

    add(o, 1, 5, &ada, 1);
    outbox_rests_on(o, 10);
    CHECK_OK(outbox_sign(o, &facts, &key));
    add(o, 2, 6, &bob, 2); /* one more */
    CHECK_EQ(leave(o), 2);
    CHECK_EQ(first_seq(0), 1);
    CHECK_EQ(first_seq(1), 2);
    add(o, 1, 5, &ada, 3);
    outbox_rests_on(o, 10);
    CHECK_OK(outbox_sign(o, &facts, &key));
    facts.size = 11; /* other facts */
    CHECK_EQ(outbox_release(o, &facts, &key, keep, &sent), 1);
    CHECK_EQ(size_stated(2), 11);
    add(o, 1, 5, &ada, 4);
    outbox_rests_on(o, 12);
    facts.size = 12;
    CHECK_OK(outbox_sign(o, &facts, &key));
    facts.size = 11; /* not durable that far, whatever was signed */
    CHECK_EQ(outbox_release(o, &facts, &key, keep, &sent), 0);
    outbox_destroy(&o);
}

TEST(outbox_takes_an_encoded_item_for_the_same)
{
    struct outbox *o = box();
    struct buf bytes = {0};
    struct msg m = done(7);
    size_t n;

    msg_encode(&m, &bytes);
    n = outbox_add(o, 1, 1, &ada, &m);
    CHECK_EQ(outbox_add_bytes(o, 2, 1, &ada, buf_bytes(&bytes)), n);
    CHECK_EQ(outbox_bytes(o), 2 * n);
    CHECK_EQ(leave(o), 2);
    CHECK(bytes_equal(body_of_frame(0), body_of_frame(1)));
    buf_free(&bytes);
    outbox_destroy(&o);
}

TEST(outbox_holds_everything_until_the_record_is_durable)
{
    struct outbox *o = box();

    add(o, 1, 5, &ada, 1);
    outbox_rests_on(o, 11);
    CHECK_EQ(outbox_release(o, &facts, &key, keep, &sent), 0);
    CHECK_EQ(sent.frames, 0);
    facts.size = 11;
    CHECK_EQ(outbox_release(o, &facts, &key, keep, &sent), 1);
    CHECK_EQ(sent.frames, 1);
    outbox_destroy(&o);
}

TEST(outbox_holds_what_nobody_has_said_the_basis_of)
{
    struct outbox *o = box();

    add(o, 1, 5, &ada, 1);
    CHECK_EQ(outbox_release(o, &facts, &key, keep, &sent), 0);
    CHECK(outbox_waits(o));
    CHECK_EQ(leave(o), 1);
    CHECK(!outbox_waits(o));
    outbox_destroy(&o);
}

TEST(outbox_lets_only_the_durable_part_leave)
{
    struct outbox *o = box();

    add(o, 1, 5, &ada, 1);
    outbox_rests_on(o, 10);
    add(o, 1, 5, &ada, 2);
    add(o, 2, 6, &bob, 3);
    outbox_rests_on(o, 12);
    add(o, 1, 5, &ada, 4);
    CHECK_EQ(outbox_release(o, &facts, &key, keep, &sent), 1);
    CHECK_EQ(first_seq(0), 1);
    facts.size = 11;
    CHECK_EQ(outbox_release(o, &facts, &key, keep, &sent), 0);
    facts.size = 12;
    CHECK_EQ(outbox_release(o, &facts, &key, keep, &sent), 2);
    CHECK_EQ(first_seq(1), 2);
    CHECK_EQ(first_seq(2), 3);
    CHECK_EQ(leave(o), 1);
    CHECK_EQ(first_seq(3), 4);
    outbox_destroy(&o);
}

TEST(outbox_grows_while_a_part_of_it_waits)
{
    struct outbox *o = box();

    for (uint64_t i = 1; i <= 3000; i++) {
        add(o, i % 7, i % 300, &ada, i);
        if (i % 10 == 0)
            outbox_rests_on(o, i);
        if (i % 50 == 0) {
            facts.size = i - 25;
            CHECK(outbox_release(o, &facts, &key, keep, &sent) > 0);
        }
    }
    facts.size = 3000;
    leave(o);
    CHECK_EQ(sent.frames, 3000);
    for (unsigned i = 0; i < sent.frames; i++)
        CHECK_EQ(first_seq(i), i + 1);
    CHECK_EQ(outbox_bytes(o), 0);
    outbox_destroy(&o);
}

TEST(outbox_never_mixes_two_agents_in_one_frame)
{
    struct outbox *o = box();

    add(o, 1, 0, &ada, 1);
    add(o, 1, 0, &bob, 2);
    CHECK_EQ(leave(o), 2);
    outbox_destroy(&o);
}

TEST(outbox_begins_another_frame_when_one_is_long)
{
    static uint8_t value[100000];
    struct outbox *o = box();
    struct msg m;

    msg_init(&m, MSG_REPLY);
    msg_set_u(&m, FIELD_ASK, 1);
    msg_set_u(&m, FIELD_OUTCOME, 0);
    msg_set_b(&m, FIELD_VALUE, bytes_of(value, sizeof value));
    for (int i = 0; i < 7; i++)
        CHECK(outbox_add(o, 1, 5, &ada, &m) > sizeof value);
    CHECK_EQ(leave(o), 3);
    outbox_destroy(&o);
}

TEST(outbox_finds_its_way_among_many_recipients)
{
    struct outbox *o = box();

    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 4000; i++)
            add(o, i % 40 + 1, i % 1000, &ada, i);
    }
    CHECK_EQ(leave(o), 1000);
    outbox_destroy(&o);
}

CHECK_MAIN
