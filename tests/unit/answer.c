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

/* --- Leaves of long bodies ------------------------------------------------ */

/* As proto/README.md says it, piece by piece. */
static struct hash leaf_as_specified(struct bytes body)
{
    struct buf hashes = {0};
    struct hash leaf;

    if (body.n <= 1016)
        return hash_of(HASH_ANSWER, body);
    for (size_t at = 0; at < body.n; at += 1016) {
        size_t left = body.n - at;
        struct hash h = hash_of(
            HASH_PIECE, bytes_of(body.p + at, left < 1016 ? left : 1016));

        buf_put(&hashes, h.b, HASH_BYTES);
    }
    leaf = hash_of(HASH_PIECES, buf_bytes(&hashes));
    buf_free(&hashes);
    return leaf;
}

TEST(answer_leaf_is_as_specified_for_every_length)
{
    enum { LONGEST = 130 * ANSWER_PIECE };
    static uint8_t data[LONGEST];

    for (size_t i = 0; i < LONGEST; i++)
        data[i] = (uint8_t)(i * 31 + i / 256);
    for (size_t n = 0; n <= LONGEST;
         n += n < 3 * ANSWER_PIECE || n % ANSWER_PIECE > ANSWER_PIECE - 3 ||
                      n % ANSWER_PIECE < 2
                  ? 1
                  : ANSWER_PIECE / 2 - 2) {
        struct hash is = answer_leaf(bytes_of(data, n));
        struct hash wanted = leaf_as_specified(bytes_of(data, n));

        if (!hash_equal(&is, &wanted))
            fail_msg("another leaf of %zu bytes", n);
    }
}

TEST(answer_leaves_are_those_of_each_body)
{
    static uint8_t data[300000];
    struct bytes bodies[ANSWER_LEAVES_MAX];
    struct hash leaves[ANSWER_LEAVES_MAX];
    struct buf scratch = {0};
    uint32_t dice = 1;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 31 + i / 256);
    for (unsigned round = 0; round < 200; round++) {
        size_t n = round % (ANSWER_LEAVES_MAX + 1);

        for (size_t i = 0; i < n; i++) {
            size_t longest = (size_t)100 << (dice >> 20) % 9;

            dice = dice * 1103515245 + 12345;
            bodies[i] = bytes_of(data + (dice >> 24), (dice >> 8) % longest);
            if (round == 199 && i % 9 == 0) /* more than a window of pieces */
                bodies[i].n = 200000;
        }
        CHECK_OK(answer_leaves(bodies, n, &scratch, leaves));
        for (size_t i = 0; i < n; i++) {
            struct hash one = answer_leaf(bodies[i]);

            CHECK(hash_equal(&leaves[i], &one));
        }
    }
    buf_free(&scratch);
}

/* Replies of many sizes, as they lie in a body. */
enum { LONG_ITEMS = 24 };
struct long_body {
    struct buf head;             /* session, agent, count */
    struct buf item[LONG_ITEMS]; /* with its length */
};

static void long_make(struct long_body *l)
{
    struct hash agent = wire_hash(2);
    struct answer_body a = {0};

    *l = (struct long_body){0};
    for (uint32_t i = 0; i < LONG_ITEMS; i++) {
        static uint8_t value[900];
        struct msg m;

        memset(value, (int)i, sizeof value);
        answer_begin(&a, 1, &agent);
        msg_init(&m, MSG_REPLY);
        msg_set_u(&m, FIELD_ASK, i + 1);
        msg_set_u(&m, FIELD_OUTCOME, CHOIR_OK);
        msg_set_b(&m, FIELD_VALUE, bytes_of(value, i * 37 % sizeof value));
        answer_add(&a, &m);
        buf_put(&l->item[i], a.bytes.p + 44, a.bytes.n - 44);
    }
    buf_put(&l->head, a.bytes.p, 40);
    buf_free(&a.bytes);
}

static void long_free(struct long_body *l)
{
    buf_free(&l->head);
    for (size_t i = 0; i < LONG_ITEMS; i++)
        buf_free(&l->item[i]);
}

/* The body of these items, by number. */
static struct buf long_body_of(const struct long_body *l, const unsigned *which,
                               uint32_t n)
{
    struct buf body = {0};

    buf_put(&body, l->head.p, l->head.n);
    buf_put_u32(&body, n);
    for (uint32_t i = 0; i < n; i++)
        buf_put(&body, l->item[which[i]].p, l->item[which[i]].n);
    return body;
}

static struct buf whole_body_of(const struct long_body *l)
{
    unsigned which[LONG_ITEMS];

    for (unsigned i = 0; i < LONG_ITEMS; i++)
        which[i] = i;
    return long_body_of(l, which, LONG_ITEMS);
}

/* A frame as the broker signed it, with another body in its place. */
static int accept_instead(const struct key_pair *key, struct bytes is_signed,
                          struct bytes instead)
{
    struct buf frame = {0};
    int r;

    sealed(&frame, key, is_signed);
    CHECK_OK(accept(buf_bytes(&frame), key));
    frame.n -= is_signed.n;
    buf_put(&frame, instead.p, instead.n);
    r = accept(buf_bytes(&frame), key);
    buf_free(&frame);
    return r;
}

#define CHECK_NOT_TAKEN_FOR(body, which, n)                           \
    do {                                                              \
        struct buf bent_ = long_body_of(&l, which, n);                \
        CHECK_REFUSED(                                                \
            accept_instead(&key, buf_bytes(body), buf_bytes(&bent_)), \
            CHOIR_MALFORMED);                                         \
        buf_free(&bent_);                                             \
    } while (0)

TEST(answer_whose_items_are_exchanged_dropped_or_doubled_is_refused)
{
    struct key_pair key = wire_key(9);
    unsigned which[LONG_ITEMS + 1];
    struct long_body l;
    struct buf body;

    long_make(&l);
    for (unsigned i = 0; i < LONG_ITEMS; i++)
        which[i] = i;
    body = long_body_of(&l, which, LONG_ITEMS);
    CHECK(body.n > 5 * ANSWER_PIECE);
    for (unsigned i = 0; i + 1 < LONG_ITEMS; i++) {
        which[i] = i + 1, which[i + 1] = i; /* exchanged */
        CHECK_NOT_TAKEN_FOR(&body, which, LONG_ITEMS);
        which[i + 1] = i + 1; /* doubled, and one dropped for it */
        CHECK_NOT_TAKEN_FOR(&body, which, LONG_ITEMS);
        memmove(which + i, which + i + 1, /* dropped */
                (LONG_ITEMS - i - 1) * sizeof *which);
        CHECK_NOT_TAKEN_FOR(&body, which, LONG_ITEMS - 1);
        for (unsigned k = 0; k <= LONG_ITEMS; k++)
            which[k] = k <= i ? k : k - 1; /* doubled */
        CHECK_NOT_TAKEN_FOR(&body, which, LONG_ITEMS + 1);
        for (unsigned k = 0; k < LONG_ITEMS; k++)
            which[k] = k;
    }
    CHECK_NOT_TAKEN_FOR(&body, which,
                        LONG_ITEMS - 1); /* the last one dropped */
    CHECK_NOT_TAKEN_FOR(&body, which, 0);
    buf_free(&body);
    long_free(&l);
}

/* Two items become one, one becomes two, and the bytes between them move from
 * one to the other: the same bytes but for lengths and count. */
TEST(answer_whose_items_are_divided_otherwise_is_refused)
{
    struct key_pair key = wire_key(9);
    struct long_body l;
    struct buf body, bent = {0};
    size_t at = 44;

    long_make(&l);
    body = whole_body_of(&l);
    for (unsigned i = 0; i + 1 < LONG_ITEMS; at += l.item[i++].n) {
        uint32_t n = get_u32(body.p + at);

        for (int kind = 0; kind < 3; kind++) {
            buf_clear(&bent);
            buf_put(&bent, body.p, body.n);
            if (kind == 0) { /* its last byte is the next one's first */
                memmove(bent.p + at + 4 + n + 3, bent.p + at + 4 + n, 4);
                put_u32(bent.p + at, n - 1);
            } else if (kind == 1) { /* it swallows the next one */
                put_u32(bent.p + at, n + (uint32_t)l.item[i + 1].n);
                put_u32(bent.p + 40, LONG_ITEMS - 1);
            } else { /* an empty one comes before it */
                put_u32(bent.p + at, 0);
                put_u32(bent.p + 40, LONG_ITEMS + 1);
            }
            CHECK_REFUSED(
                accept_instead(&key, buf_bytes(&body), buf_bytes(&bent)),
                CHOIR_MALFORMED);
        }
    }
    buf_free(&body);
    buf_free(&bent);
    long_free(&l);
}

TEST(answer_whose_pieces_are_exchanged_dropped_or_doubled_is_refused)
{
    struct key_pair key = wire_key(9);
    struct long_body l;
    struct buf body, bent = {0};
    size_t whole;

    long_make(&l);
    body = whole_body_of(&l);
    whole = body.n / ANSWER_PIECE;
    for (size_t i = 0; i < whole; i++) {
        size_t at = i * ANSWER_PIECE, next = (i + 1) % whole * ANSWER_PIECE;

        for (int kind = 0; kind < 4; kind++) {
            buf_clear(&bent);
            buf_put(&bent, body.p, kind == 3 ? at : body.n);
            if (kind == 0) { /* exchanged */
                memcpy(bent.p + at, body.p + next, ANSWER_PIECE);
                memcpy(bent.p + next, body.p + at, ANSWER_PIECE);
            } else if (kind == 1) { /* dropped */
                memmove(bent.p + at, bent.p + at + ANSWER_PIECE,
                        bent.n - at - ANSWER_PIECE);
                bent.n -= ANSWER_PIECE;
            } else if (kind == 2) { /* doubled */
                bent.n = at + ANSWER_PIECE;
                buf_put(&bent, body.p + at, body.n - at);
            } /* or it ends there */
            CHECK_REFUSED(
                accept_instead(&key, buf_bytes(&body), buf_bytes(&bent)),
                CHOIR_MALFORMED);
        }
    }
    buf_free(&body);
    buf_free(&bent);
    long_free(&l);
}

TEST(answer_rejects_any_flipped_bit_of_a_long_body)
{
    struct key_pair key = wire_key(9);
    struct buf body, frame = {0};
    struct long_body l;

    long_make(&l);
    body = whole_body_of(&l);
    sealed(&frame, &key, buf_bytes(&body));
    for (size_t i = frame.n - body.n; i < frame.n; i++) {
        frame.p[i] ^= (uint8_t)(1u << i % 8);
        CHECK_REFUSED(accept(buf_bytes(&frame), &key), CHOIR_MALFORMED);
        frame.p[i] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t n = frame.n - body.n; n < frame.n; n++)
        CHECK_REFUSED(accept(bytes_of(frame.p, n), &key), CHOIR_MALFORMED);
    CHECK_OK(accept(buf_bytes(&frame), &key));
    buf_free(&body);
    buf_free(&frame);
    long_free(&l);
}

/* A frame whose root is this leaf, whatever its body. */
static int accept_leaf(const struct key_pair *key, struct hash leaf,
                       struct bytes body)
{
    struct answer_facts facts = {.ledger = wire_hash(1), .epoch = 1};
    struct merkle tree = {0};
    struct buf front = {0}, frame = {0};
    struct answer a;
    int r;

    CHECK_OK(merkle_build(&tree, &leaf, 1));
    CHECK_OK(answer_sign(&facts, &tree, key, &front));
    answer_frame(&frame, buf_bytes(&front), &tree, 0, body);
    r = answer_open(&a, buf_bytes(&frame));
    buf_free(&front);
    buf_free(&frame);
    merkle_free(&tree);
    return r;
}

/* Neither kind of leaf stands for the other, nor for anything it is made of. */
TEST(answer_leaf_of_one_kind_never_stands_for_the_other)
{
    struct key_pair key = wire_key(9);
    static uint8_t data[3 * 1016]; /* session, agent and count of zeros */
    struct bytes long_one = bytes_of(data, sizeof data);
    struct bytes short_one = bytes_of(data, 1016);
    struct hash pieces[3], leaf;
    struct bytes list = bytes_of(pieces, sizeof pieces);

    for (size_t i = 0; i < 3; i++)
        pieces[i] = hash_of(HASH_PIECE, bytes_of(data + i * 1016, 1016));
    leaf = hash_of(HASH_PIECES, list);
    CHECK_OK(accept_leaf(&key, leaf, long_one));
    /* the list of hashes, given out as a body */
    CHECK_REFUSED(accept_leaf(&key, leaf, list), CHOIR_MALFORMED);
    /* a long body as one message, a short one as a piece or a list of one */
    leaf = hash_of(HASH_ANSWER, long_one);
    CHECK_REFUSED(accept_leaf(&key, leaf, long_one), CHOIR_MALFORMED);
    CHECK_REFUSED(accept_leaf(&key, pieces[0], short_one), CHOIR_MALFORMED);
    leaf = hash_of(HASH_PIECES, bytes_of(pieces, HASH_BYTES));
    CHECK_REFUSED(accept_leaf(&key, leaf, short_one), CHOIR_MALFORMED);
    /* cut elsewhere */
    pieces[0] = hash_of(HASH_PIECE, bytes_of(data, 1015));
    pieces[1] = hash_of(HASH_PIECE, bytes_of(data + 1015, 1017));
    leaf = hash_of(HASH_PIECES, list);
    CHECK_REFUSED(accept_leaf(&key, leaf, long_one), CHOIR_MALFORMED);
    /* joined as a tree */
    for (size_t i = 0; i < 3; i++)
        pieces[i] = hash_of(HASH_PIECE, bytes_of(data + i * 1016, 1016));
    leaf = merkle_shrink(pieces, 3);
    CHECK_REFUSED(accept_leaf(&key, leaf, long_one), CHOIR_MALFORMED);
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
