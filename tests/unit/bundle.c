/* What a stranger can do to a bundle, and what must refuse it. */
#include "tests/check.h"

#include <errno.h>

#include "proto/bundle.h"
#include "proto/pack.h"
#include "proto/refusal.h"
#include "tests/support/wire.h"

/* The first step that refuses the frame, as broker and readers go. */
static int admit(struct bytes frame, const struct key_pair *key)
{
    struct bundle b = {0};
    int r = bundle_open(&b, frame);

    if (!r)
        r = bundle_verify(&b, key->public_key);
    if (!r)
        r = bundle_check(&b, CLASS_OPERATION);
    bundle_free(&b);
    return r;
}

struct made {
    struct key_pair key;
    struct buf frame;
};

static struct made make(uint32_t n)
{
    struct made m = {.key = wire_key(2)};

    wire_bundle(&m.frame, &m.key, n);
    return m;
}

/* One operation under these facts. */
static int seal(struct buf *frame, const struct bundle_facts *facts,
                const struct key_pair *key, struct bytes head,
                struct bytes payload)
{
    struct bundle_writer w = {0};
    struct hash hash;
    int r;

    bundle_begin(&w);
    CHECK_OK(bundle_add(&w, head, payload));
    r = bundle_finish(&w, facts, key, frame, &hash);
    bundle_writer_free(&w);
    return r;
}

/* A bundle whose header is exactly these bytes, signed, one put behind it. */
static void seal_header(struct buf *frame, const struct key_pair *key,
                        struct bytes header)
{
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct hash ledger = wire_hash(1);

    buf_put(frame, "CHB1", 4);
    buf_put_u32(frame, (uint32_t)header.n);
    buf_put(frame, header.p, header.n);
    key_sign(key, KEY_FOR_BUNDLE, &ledger, header, signature);
    buf_put(frame, signature, sizeof signature);
}

static void header_with(struct buf *header, const struct key_pair *key,
                        enum field f, uint64_t u)
{
    struct bundle_facts facts = wire_facts(key);
    struct hash root = wire_hash(9);
    struct buf plain = {0};
    struct msg m;
    unsigned field;

    bundle_header_put(&plain, &facts, &root, 1);
    CHECK_OK(part_decode(MSG_BUNDLE_HEADER, buf_bytes(&plain), &m, &field));
    msg_set_u(&m, f, u);
    msg_encode(&m, header);
    buf_free(&plain);
}

static int open_with(enum field f, uint64_t u)
{
    struct key_pair key = wire_key(2);
    struct buf header = {0}, frame = {0};
    struct bundle b = {0};
    int r;

    header_with(&header, &key, f, u);
    seal_header(&frame, &key, buf_bytes(&header));
    r = bundle_open(&b, buf_bytes(&frame));
    bundle_free(&b);
    buf_free(&header);
    buf_free(&frame);
    return r;
}

TEST(bundle_is_admitted_and_says_what_was_put_in)
{
    struct made m = make(3);
    struct bundle b = {0};
    struct hash agent = agent_id(m.key.public_key), ledger = wire_hash(1);

    CHECK_OK(bundle_open(&b, buf_bytes(&m.frame)));
    CHECK_OK(bundle_verify(&b, m.key.public_key));
    CHECK_OK(bundle_check(&b, CLASS_OPERATION));
    CHECK_EQ(b.count, 3);
    CHECK_EQ(b.session, 7);
    CHECK_EQ(b.first_seq, 1);
    CHECK_EQ(b.kind, BUNDLE_RECORD);
    CHECK(hash_equal(&b.agent, &agent));
    CHECK(hash_equal(&b.ledger, &ledger));
    for (unsigned i = 0; i < 3; i++) {
        struct bytes salt, value;
        struct hash own;
        char wanted[16];

        snprintf(wanted, sizeof wanted, "value %u", i);
        own = op_hash(b.ops[i].head);
        CHECK(hash_equal(&b.ops[i].hash, &own));
        CHECK_OK(b.ops[i].refusal);
        CHECK_OK(slot_at(b.ops[i].rows, b.ops[i].payload, 0, &salt, &value));
        CHECK_EQ(salt.n, SLOT_SALT_BYTES);
        CHECK(bytes_equal(value, bytes_text(wanted)));
        CHECK_REFUSED(
            slot_at(b.ops[i].rows, b.ops[i].payload, 1, &salt, &value),
            CHOIR_NOT_FOUND);
    }
    bundle_free(&b);
    buf_free(&m.frame);
}

TEST(bundle_of_every_size_up_to_the_limit_is_admitted)
{
    static const uint32_t sizes[] = {1, 2, 5, 64, 1023, LIMIT_BUNDLE_OPS};

    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct made m = make(sizes[i]);

        CHECK_OK(admit(buf_bytes(&m.frame), &m.key));
        buf_free(&m.frame);
    }
}

TEST(bundle_with_more_operations_than_the_limit_is_refused)
{
    struct made m = make(LIMIT_BUNDLE_OPS + 1);

    CHECK_REFUSED(admit(buf_bytes(&m.frame), &m.key), CHOIR_MALFORMED);
    buf_free(&m.frame);
}

TEST(bundle_rejects_truncation_at_every_length)
{
    struct made m = make(3);

    for (size_t n = 0; n < m.frame.n; n++) {
        /* its own allocation, so that a sanitizer sees a read beyond it */
        uint8_t *cut = malloc(n ? n : 1);

        memcpy(cut, m.frame.p, n);
        CHECK_REFUSED(admit(bytes_of(cut, n), &m.key), CHOIR_MALFORMED);
        free(cut);
    }
    buf_free(&m.frame);
}

TEST(bundle_rejects_bytes_behind_its_end)
{
    struct made m = make(2);

    buf_put(&m.frame, "", 1);
    CHECK_REFUSED(admit(buf_bytes(&m.frame), &m.key), CHOIR_MALFORMED);
    buf_free(&m.frame);
}

TEST(bundle_rejects_any_flipped_bit)
{
    struct made m = make(2);

    for (size_t i = 0; i < m.frame.n; i++) {
        m.frame.p[i] ^= (uint8_t)(1u << i % 8);
        CHECK_NE(admit(buf_bytes(&m.frame), &m.key), 0);
        m.frame.p[i] ^= (uint8_t)(1u << i % 8);
    }
    CHECK_OK(admit(buf_bytes(&m.frame), &m.key));
    buf_free(&m.frame);
}

TEST(bundle_rejects_flipped_signature_bit)
{
    struct made m = make(1);
    size_t at = 8 + get_u32(m.frame.p + 4);

    for (size_t i = 0; i < KEY_SIGNATURE_BYTES; i++) {
        m.frame.p[at + i] ^= 4;
        CHECK_REFUSED(admit(buf_bytes(&m.frame), &m.key), CHOIR_BAD_SIGNATURE);
        m.frame.p[at + i] ^= 4;
    }
    buf_free(&m.frame);
}

TEST(bundle_rejects_signature_of_another_key)
{
    struct made m = make(1);
    struct key_pair other = wire_key(3);

    CHECK_REFUSED(admit(buf_bytes(&m.frame), &other), CHOIR_BAD_SIGNATURE);
    buf_free(&m.frame);
}

TEST(bundle_rejects_signature_made_for_another_ledger)
{
    struct key_pair key = wire_key(2);
    struct hash other = wire_hash(8);
    struct bundle_facts facts = wire_facts(&key);
    struct buf header = {0}, frame = {0};
    struct hash root = wire_hash(9);
    size_t at;

    bundle_header_put(&header, &facts, &root, 1);
    seal_header(&frame, &key, buf_bytes(&header));
    at = frame.n - KEY_SIGNATURE_BYTES;
    key_sign(&key, KEY_FOR_BUNDLE, &other, buf_bytes(&header), frame.p + at);
    CHECK_REFUSED(admit(buf_bytes(&frame), &key), CHOIR_BAD_SIGNATURE);
    buf_free(&header);
    buf_free(&frame);
}

TEST(bundle_rejects_signature_made_for_an_answer)
{
    struct key_pair key = wire_key(2);
    struct hash ledger = wire_hash(1), root = wire_hash(9);
    struct bundle_facts facts = wire_facts(&key);
    struct buf header = {0}, frame = {0};

    bundle_header_put(&header, &facts, &root, 1);
    seal_header(&frame, &key, buf_bytes(&header));
    key_sign(&key, KEY_FOR_ANSWER, &ledger, buf_bytes(&header),
             frame.p + frame.n - KEY_SIGNATURE_BYTES);
    CHECK_REFUSED(admit(buf_bytes(&frame), &key), CHOIR_BAD_SIGNATURE);
    buf_free(&header);
    buf_free(&frame);
}

TEST(bundle_header_of_another_format_is_unsupported)
{
    CHECK_OK(open_with(FIELD_FORMAT, 1));
    CHECK_REFUSED(open_with(FIELD_FORMAT, 2), CHOIR_UNSUPPORTED);
    CHECK_REFUSED(open_with(FIELD_FORMAT, 0), CHOIR_UNSUPPORTED);
}

TEST(bundle_header_with_unknown_field_is_unsupported)
{
    CHECK_REFUSED(open_with(FIELD_CREDIT, 1), CHOIR_UNSUPPORTED);
}

TEST(bundle_of_no_operations_is_refused)
{
    CHECK_REFUSED(open_with(FIELD_COUNT, 0), CHOIR_MALFORMED);
}

TEST(bundle_count_is_not_cut_to_32_bits)
{
    CHECK_REFUSED(open_with(FIELD_COUNT, (1ULL << 32) + 1), CHOIR_MALFORMED);
}

TEST(bundle_of_unknown_kind_is_refused)
{
    CHECK_OK(open_with(FIELD_KIND, BUNDLE_ASK));
    CHECK_REFUSED(open_with(FIELD_KIND, 0), CHOIR_MALFORMED);
    CHECK_REFUSED(open_with(FIELD_KIND, 3), CHOIR_MALFORMED);
}

TEST(bundle_numbers_may_not_pass_the_largest_integer)
{
    CHECK_OK(open_with(FIELD_FIRST_SEQ, LIMIT_UINT_MAX_WIRE));
    CHECK_REFUSED(open_with(FIELD_FIRST_SEQ, LIMIT_UINT_MAX_WIRE + 1),
                  CHOIR_MALFORMED);

    struct key_pair key = wire_key(2);
    struct bundle_facts facts = wire_facts(&key);
    struct hash root = wire_hash(9);
    struct buf header = {0}, frame = {0};
    struct bundle b = {0};

    facts.first_seq = LIMIT_UINT_MAX_WIRE;
    bundle_header_put(&header, &facts, &root, 2);
    seal_header(&frame, &key, buf_bytes(&header));
    CHECK_REFUSED(bundle_open(&b, buf_bytes(&frame)), CHOIR_MALFORMED);
    buf_free(&header);
    buf_free(&frame);
}

TEST(bundle_of_session_zero_must_carry_its_key_and_no_other_may)
{
    struct key_pair key = wire_key(2);
    struct bundle_facts facts = wire_facts(&key);
    struct buf head = {0}, payload = {0}, frame = {0};
    struct bundle b = {0};

    wire_put(&head, &payload, "k", bytes_text("v"), 1);
    facts.public_key = key.public_key;
    CHECK_OK(seal(&frame, &facts, &key, buf_bytes(&head), buf_bytes(&payload)));
    CHECK_REFUSED(bundle_open(&b, buf_bytes(&frame)), CHOIR_MALFORMED);
    facts.session = 0;
    buf_clear(&frame);
    CHECK_OK(seal(&frame, &facts, &key, buf_bytes(&head), buf_bytes(&payload)));
    CHECK_OK(bundle_open(&b, buf_bytes(&frame)));
    CHECK_MEM(b.public_key, key.public_key, KEY_PUBLIC_BYTES);
    facts.public_key = NULL;
    buf_clear(&frame);
    CHECK_OK(seal(&frame, &facts, &key, buf_bytes(&head), buf_bytes(&payload)));
    CHECK_REFUSED(bundle_open(&b, buf_bytes(&frame)), CHOIR_MALFORMED);
    buf_free(&head);
    buf_free(&payload);
    buf_free(&frame);
}

TEST(bundle_header_longer_than_the_limit_is_refused)
{
    struct buf frame = {0};
    struct bundle b = {0};

    buf_put(&frame, "CHB1", 4);
    buf_put_u32(&frame, LIMIT_HEADER_BYTES + 1);
    memset(buf_grow(&frame, 8192), 0x80, 8192);
    CHECK_REFUSED(bundle_open(&b, buf_bytes(&frame)), CHOIR_MALFORMED);
    buf_free(&frame);
}

TEST(bundle_writer_refuses_labels_that_make_the_header_too_long)
{
    struct key_pair key = wire_key(2);
    struct bundle_facts facts = wire_facts(&key);
    struct buf labels = {0}, frame = {0}, head = {0}, payload = {0};
    char text[LIMIT_LABEL_BYTES];

    memset(text, 'x', sizeof text);
    for (uint8_t i = 0; i < LIMIT_LABELS; i++) {
        text[0] = (char)('a' + i);
        pack_text(&labels, bytes_of(text, sizeof text));
        pack_text(&labels, bytes_of(text, sizeof text));
    }
    facts.labels = buf_bytes(&labels);
    facts.label_count = LIMIT_LABELS;
    wire_put(&head, &payload, "k", bytes_text("v"), 1);
    buf_put(&frame, "before", 6);
    CHECK_EQ(seal(&frame, &facts, &key, buf_bytes(&head), buf_bytes(&payload)),
             -EMSGSIZE);
    CHECK_EQ(frame.n, 6);
    buf_free(&labels);
    buf_free(&frame);
    buf_free(&head);
    buf_free(&payload);
}

/* One operation, admitted by its own key; refusal and field of the op. */
static int admit_one(struct bytes head, struct bytes payload, int *refusal,
                     unsigned *field)
{
    struct key_pair key = wire_key(2);
    struct bundle_facts facts = wire_facts(&key);
    struct buf frame = {0};
    struct bundle b = {0};
    int r;

    CHECK_OK(seal(&frame, &facts, &key, head, payload));
    r = bundle_open(&b, buf_bytes(&frame));
    if (!r)
        r = bundle_verify(&b, key.public_key);
    if (!r)
        r = bundle_check(&b, CLASS_OPERATION);
    if (!r) {
        *refusal = b.ops[0].refusal;
        *field = b.ops[0].field;
    }
    bundle_free(&b);
    buf_free(&frame);
    return r;
}

static int admit_hex(const char *hex, const char *payload, int *refusal,
                     unsigned *field)
{
    struct buf head = wire_hex(hex);
    int r = admit_one(buf_bytes(&head), bytes_text(payload), refusal, field);

    buf_free(&head);
    return r;
}

TEST(bundle_names_the_field_it_does_not_know_and_stays_whole)
{
    int refusal = 0;
    unsigned field = 0;

    /* a delete with a field 99 that holds a nested map with a float */
    CHECK_OK(admit_hex("84 01 08 02 a3 6c6162 03 a1 6b 63 "
                       "81 00 cb 3ff0000000000000",
                       "", &refusal, &field));
    CHECK_EQ(refusal, CHOIR_UNSUPPORTED);
    CHECK_EQ(field, 99);
}

TEST(bundle_names_an_unknown_verb_and_still_finds_its_payload)
{
    struct buf head = {0}, payload = {0};
    int refusal = 0;
    unsigned field = 0;

    wire_put(&head, &payload, "k", bytes_text("v"), 1);
    head.p[2] = 99;
    CHECK_OK(
        admit_one(buf_bytes(&head), buf_bytes(&payload), &refusal, &field));
    CHECK_EQ(refusal, CHOIR_UNSUPPORTED);
    CHECK_EQ(field, FIELD_VERB);
    payload.p[20 % payload.n] ^= 1;
    CHECK_REFUSED(
        admit_one(buf_bytes(&head), buf_bytes(&payload), &refusal, &field),
        CHOIR_MALFORMED);
    buf_free(&head);
    buf_free(&payload);
}

TEST(bundle_of_an_agent_may_not_name_what_only_the_broker_says)
{
    int refusal = 0;
    unsigned field = 0;

    /* session_end, in all its fields */
    CHECK_OK(admit_hex("82 01 24 20 05", "", &refusal, &field));
    CHECK_EQ(refusal, CHOIR_UNSUPPORTED);
    CHECK_EQ(field, FIELD_VERB);
    /* get, an ask */
    CHECK_OK(admit_hex("83 01 41 02 a1 73 03 a1 6b", "", &refusal, &field));
    CHECK_EQ(refusal, CHOIR_UNSUPPORTED);
}

TEST(bundle_rejects_a_head_that_is_not_strict)
{
    int refusal;
    unsigned field;
    static const char *const bad[] = {
        "",                                 /* nothing */
        "80",                               /* no verb */
        "90",                               /* not a map */
        "82 02 a1 73 01 02",                /* the verb not first */
        "82 01 02 01 02",                   /* twice */
        "81 01 cc 02",                      /* not the shortest form */
        "81 cc 01 02",                      /* neither */
        "83 01 08 03 a1 6b 02 a1 73",       /* fields not ascending */
        "83 01 08 02 a1 73 02 a1 73",       /* a field twice */
        "82 01 08 02 a1 73",                /* key is missing */
        "83 01 08 02 a1 73 03 c4 01 6b",    /* bytes for text */
        "83 01 08 02 a1 73 03 a2 6b 00",    /* NUL in text */
        "83 01 08 02 a1 73 03 a1 ff",       /* not UTF-8 */
        "83 01 08 02 a1 73 03 a1 6b c0",    /* something behind it */
        "83 01 08 02 a1 73 03 c0",          /* nil */
        "83 01 08 02 a1 73 03 dd ff000000", /* count bomb */
        "83 01 08 02 a1 73 63 dd ff000000", /* in an unknown field */
        "84 01 08 02 a1 73 63 c0 62 c0",    /* unknown fields descending */
        "82 01 08 63 "
        "9191919191919191919191919191919191919191 c0", /* depth bomb */
    };

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (admit_hex(bad[i], "", &refusal, &field) != CHOIR_MALFORMED)
            fail_msg("%s was not refused", bad[i]);
    }
}

TEST(bundle_rejects_a_head_longer_than_the_limit)
{
    struct buf head = {0};
    struct buf text = {0};
    int refusal;
    unsigned field;

    memset(buf_grow(&text, LIMIT_HEAD_BYTES), 'x', LIMIT_HEAD_BYTES);
    pack_map(&head, 2);
    pack_uint(&head, 1);
    pack_uint(&head, MSG_SESSION_CLOSE);
    pack_uint(&head, 99); /* unknown, so only the length can refuse it */
    pack_text(&head, bytes_of(text.p, LIMIT_HEAD_BYTES - 7));
    CHECK_EQ(head.n, LIMIT_HEAD_BYTES);
    CHECK_OK(admit_one(buf_bytes(&head), (struct bytes){0}, &refusal, &field));
    buf_clear(&head);
    pack_map(&head, 2);
    pack_uint(&head, 1);
    pack_uint(&head, MSG_SESSION_CLOSE);
    pack_uint(&head, 99);
    pack_text(&head, bytes_of(text.p, LIMIT_HEAD_BYTES - 6));
    CHECK_REFUSED(
        admit_one(buf_bytes(&head), (struct bytes){0}, &refusal, &field),
        CHOIR_MALFORMED);
    buf_free(&head);
    buf_free(&text);
}

TEST(bundle_rejects_a_slot_whose_hash_does_not_fit)
{
    struct buf head = {0}, payload = {0};
    int refusal;
    unsigned field;

    wire_put(&head, &payload, "k", bytes_text("value"), 1);
    CHECK_OK(
        admit_one(buf_bytes(&head), buf_bytes(&payload), &refusal, &field));
    for (size_t i = 0; i < payload.n; i++) { /* salt and value alike */
        payload.p[i] ^= 1;
        CHECK_REFUSED(
            admit_one(buf_bytes(&head), buf_bytes(&payload), &refusal, &field),
            CHOIR_MALFORMED);
        payload.p[i] ^= 1;
    }
    payload.n--;
    CHECK_REFUSED(
        admit_one(buf_bytes(&head), buf_bytes(&payload), &refusal, &field),
        CHOIR_MALFORMED);
    buf_free(&head);
    buf_free(&payload);
}

TEST(bundle_rejects_slots_that_claim_more_than_there_is)
{
    struct buf head = {0}, rows = {0};
    struct msg m;
    int refusal;
    unsigned field;

    for (unsigned i = 0; i < LIMIT_SLOTS; i++) { /* 256 GiB in all */
        buf_put_u32(&rows, UINT32_MAX);
        memset(buf_grow(&rows, HASH_BYTES), 7, HASH_BYTES);
    }
    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "lab");
    msg_set_text(&m, FIELD_KEY, "k");
    msg_set_b(&m, FIELD_SLOTS, buf_bytes(&rows));
    msg_encode(&m, &head);
    CHECK_EQ(slots_payload_bytes(buf_bytes(&rows)),
             LIMIT_SLOTS * (16ULL + UINT32_MAX));
    CHECK_REFUSED(
        admit_one(buf_bytes(&head), bytes_text("short"), &refusal, &field),
        CHOIR_MALFORMED);
    buf_free(&head);
    buf_free(&rows);
}

TEST(bundle_rejects_operations_in_another_order)
{
    struct made m = make(2);
    size_t at = 8 + get_u32(m.frame.p + 4) + KEY_SIGNATURE_BYTES;
    uint32_t n = get_u32(m.frame.p + at);
    struct buf swapped = {0};

    CHECK_EQ(n, get_u32(m.frame.p + at + 4 + n));
    buf_put(&swapped, m.frame.p, at);
    buf_put(&swapped, m.frame.p + at + 4 + n, 4 + n);
    buf_put(&swapped, m.frame.p + at, 4 + n);
    buf_put(&swapped, m.frame.p + at + 2 * (4 + n),
            m.frame.n - at - 2 * (4 + n));
    CHECK_REFUSED(admit(buf_bytes(&swapped), &m.key), CHOIR_MALFORMED);
    buf_free(&swapped);
    buf_free(&m.frame);
}

TEST(bundle_rejects_an_operation_of_another_bundle)
{
    struct made a = make(1);
    struct buf other = {0}, head = {0}, payload = {0};
    size_t at = 8 + get_u32(a.frame.p + 4) + KEY_SIGNATURE_BYTES;

    wire_put(&head, &payload, "plan", bytes_text("v"), 1);
    buf_put(&other, a.frame.p, at); /* header and signature of the first */
    buf_put_u32(&other, (uint32_t)head.n);
    buf_put(&other, head.p, head.n);
    buf_put(&other, payload.p, payload.n);
    CHECK_REFUSED(admit(buf_bytes(&other), &a.key), CHOIR_MALFORMED);
    buf_free(&other);
    buf_free(&head);
    buf_free(&payload);
    buf_free(&a.frame);
}

TEST(bundle_is_reused_from_a_large_frame_to_a_small_one)
{
    struct made large = make(100), small = make(1);
    struct bundle b = {0};

    for (int round = 0; round < 2; round++) {
        CHECK_OK(bundle_open(&b, buf_bytes(&large.frame)));
        CHECK_OK(bundle_check(&b, CLASS_OPERATION));
        CHECK_OK(bundle_open(&b, buf_bytes(&small.frame)));
        CHECK_OK(bundle_check(&b, CLASS_OPERATION));
        CHECK_EQ(b.count, 1);
    }
    bundle_free(&b);
    buf_free(&large.frame);
    buf_free(&small.frame);
}

TEST(bundle_hash_is_the_same_for_writer_and_reader)
{
    struct key_pair key = wire_key(2);
    struct bundle_facts facts = wire_facts(&key);
    struct bundle_writer w = {0};
    struct buf head = {0}, payload = {0}, frame = {0};
    struct bundle b = {0};
    struct hash hash;

    wire_put(&head, &payload, "k", bytes_text("v"), 1);
    bundle_begin(&w);
    CHECK_OK(bundle_add(&w, buf_bytes(&head), buf_bytes(&payload)));
    CHECK_OK(bundle_finish(&w, &facts, &key, &frame, &hash));
    CHECK_OK(bundle_open(&b, buf_bytes(&frame)));
    CHECK(hash_equal(&hash, &b.hash));
    bundle_writer_free(&w);
    buf_free(&head);
    buf_free(&payload);
    buf_free(&frame);
}

CHECK_MAIN
