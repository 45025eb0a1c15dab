/* The table itself, and the codec that walks it. */
#include "tests/check.h"

#include "proto/pack.h"
#include "proto/refusal.h"
#include "proto/schema.h"
#include "tests/support/wire.h"

TEST(schema_every_list_holds_a_part)
{
    for (unsigned f = 0; f < FIELD_END; f++) {
        const struct field_row *row = field_row(f);

        if (!row || row->kind != KIND_LIST)
            continue;
        CHECK(message_row((unsigned)row->max) != NULL);
        CHECK_EQ(message_row((unsigned)row->max)->class, CLASS_PART);
    }
}

TEST(schema_no_part_of_a_list_holds_a_list)
{
    /* so the depth of any message is bounded by the table itself */
    for (unsigned f = 0; f < FIELD_END; f++) {
        const struct field_row *row = field_row(f);
        const struct message_row *part;

        if (!row || row->kind != KIND_LIST)
            continue;
        part = message_row((unsigned)row->max);
        for (unsigned inner = 0; inner < FIELD_END; inner++) {
            if ((part->need | part->may) >> inner & 1)
                CHECK_NE(field_row(inner)->kind, KIND_LIST);
        }
    }
}

TEST(schema_every_message_names_fields_that_exist)
{
    for (unsigned v = 0; v < 256; v++) {
        const struct message_row *row = message_row(v);

        if (!row)
            continue;
        CHECK((row->need & row->may) == 0);
        CHECK(((row->need | row->may) & FIELD_BIT(VERB)) == 0);
        for (unsigned f = 0; f < 128; f++) {
            if ((row->need | row->may) >> f & 1)
                CHECK(field_row(f) != NULL);
        }
    }
}

TEST(schema_names_are_unique_and_lead_back)
{
    for (unsigned f = 0; f < FIELD_END; f++) {
        if (field_row(f))
            CHECK_EQ(field_number(bytes_text(field_row(f)->name)), f);
    }
    for (unsigned v = 0; v < 256; v++) {
        if (message_row(v))
            CHECK_EQ(message_verb(bytes_text(message_row(v)->name)), v);
    }
    CHECK_EQ(field_number(bytes_text("nonsense")), 0);
    CHECK_EQ(message_verb(bytes_text("nonsense")), 0);
    CHECK_NULL(field_row(0));
    CHECK_NULL(field_row(FIELD_END));
    CHECK_NULL(message_row(0));
    CHECK_NULL(message_row(256));
}

static int decode_hex(const char *hex, unsigned classes, unsigned *field)
{
    struct buf b = wire_hex(hex);
    struct msg m;
    int r = msg_decode(buf_bytes(&b), classes, &m, field);

    buf_free(&b);
    return r;
}

TEST(schema_says_which_field_it_does_not_know)
{
    unsigned field;

    CHECK_REFUSED(decode_hex("84010802a17303a16b6301", CLASS_OPERATION, &field),
                  CHOIR_UNSUPPORTED);
    CHECK_EQ(field, 99);
    CHECK_REFUSED(decode_hex("810163", CLASS_OPERATION, &field),
                  CHOIR_UNSUPPORTED);
    CHECK_EQ(field, FIELD_VERB);
    /* a number that no byte holds is told as 255 */
    CHECK_REFUSED(decode_hex("820102cd1000c0", CLASS_OPERATION, &field),
                  CHOIR_UNSUPPORTED);
    CHECK_EQ(field, 255);
}

TEST(schema_refuses_a_verb_of_a_class_not_asked_for)
{
    unsigned field;

    CHECK_OK(decode_hex("81014f", CLASS_ASK, &field)); /* ping */
    CHECK_REFUSED(decode_hex("81014f", CLASS_OPERATION, &field),
                  CHOIR_UNSUPPORTED);
    CHECK_OK(decode_hex("810102", CLASS_OPERATION | CLASS_ASK, &field));
    /* a part is never a message of its own, whoever asks */
    CHECK_REFUSED(decode_hex("8101cc c9", CLASS_PART, &field),
                  CHOIR_UNSUPPORTED);
}

TEST(schema_grants_are_rows_of_space_and_rights)
{
    struct buf rows = {0}, bytes = {0};
    struct hash agent = wire_hash(3);
    struct msg m, row, got;
    struct list at;
    unsigned field;

    msg_init(&row, MSG_GRANT_ROW);
    msg_set_text(&row, FIELD_SPACE, "lab");
    msg_set_u(&row, FIELD_RIGHTS, RIGHT_READ | RIGHT_WRITE);
    msg_set_text(&row, FIELD_PREFIX, "plan/");
    msg_encode(&row, &rows);
    msg_encode(&row, &rows);
    msg_init(&m, MSG_GRANT);
    msg_set_hash(&m, FIELD_AGENT, &agent);
    msg_set_list(&m, FIELD_GRANTS, 2, buf_bytes(&rows));
    msg_encode(&m, &bytes);
    CHECK_OK(msg_decode(buf_bytes(&bytes), CLASS_OPERATION, &got, &field));
    at = msg_list(&got, FIELD_GRANTS);
    for (int i = 0; i < 2; i++) {
        CHECK(list_next(&at, &row));
        CHECK_EQ(msg_u(&row, FIELD_RIGHTS), 3);
        CHECK(bytes_equal(msg_b(&row, FIELD_PREFIX), bytes_text("plan/")));
    }
    CHECK_NOT(list_next(&at, &row));
    CHECK_NOT(list_next(&at, &row));
    buf_free(&rows);
    buf_free(&bytes);
}

TEST(schema_list_longer_than_the_limit_is_refused)
{
    struct buf b = {0}, rows = {0};
    struct msg m, row;
    unsigned field;

    msg_init(&row, MSG_ITEM);
    for (int i = 0; i < LIMIT_LIST_ITEMS + 1; i++)
        msg_encode(&row, &rows);
    msg_init(&m, MSG_HEARTBEAT);
    msg_set_list(&m, FIELD_ITEMS, LIMIT_LIST_ITEMS,
                 bytes_of(rows.p, LIMIT_LIST_ITEMS));
    msg_encode(&m, &b);
    CHECK_OK(msg_decode(buf_bytes(&b), CLASS_ASK, &m, &field));
    buf_clear(&b);
    msg_init(&m, MSG_HEARTBEAT);
    msg_set_list(&m, FIELD_ITEMS, LIMIT_LIST_ITEMS + 1, buf_bytes(&rows));
    msg_encode(&m, &b);
    CHECK_REFUSED(msg_decode(buf_bytes(&b), CLASS_ASK, &m, &field),
                  CHOIR_MALFORMED);
    buf_free(&b);
    buf_free(&rows);
}

TEST(schema_field_at_its_limit_is_read_and_beyond_it_refused)
{
    char text[LIMIT_KEY_BYTES + 1];
    struct buf b = {0};
    struct msg m;
    unsigned field;

    memset(text, 'k', sizeof text);
    for (size_t n = LIMIT_KEY_BYTES; n <= sizeof text; n++) {
        msg_init(&m, MSG_GET);
        msg_set_text(&m, FIELD_SPACE, "lab");
        msg_set_b(&m, FIELD_KEY, bytes_of(text, n));
        buf_clear(&b);
        msg_encode(&m, &b);
        CHECK_EQ(msg_decode(buf_bytes(&b), CLASS_ASK, &m, &field),
                 n > LIMIT_KEY_BYTES ? CHOIR_MALFORMED : 0);
    }
    buf_free(&b);
}

TEST(schema_labels_are_walked_in_order)
{
    struct buf pairs = {0}, bytes = {0};
    struct key_pair key = wire_key(2);
    struct bundle_facts facts = wire_facts(&key);
    struct hash root = wire_hash(9);
    struct bytes name, text;
    struct list at;
    struct msg m;
    unsigned field;

    pack_text(&pairs, bytes_text("a"));
    pack_text(&pairs, bytes_text("1"));
    pack_text(&pairs, bytes_text("aa"));
    pack_text(&pairs, (struct bytes){0});
    facts.labels = buf_bytes(&pairs);
    facts.label_count = 2;
    bundle_header_put(&bytes, &facts, &root, 1);
    CHECK_OK(part_decode(MSG_BUNDLE_HEADER, buf_bytes(&bytes), &m, &field));
    at = msg_list(&m, FIELD_LABELS);
    CHECK(labels_next(&at, &name, &text));
    CHECK(bytes_equal(name, bytes_text("a")));
    CHECK(labels_next(&at, &name, &text));
    CHECK(bytes_equal(name, bytes_text("aa")));
    CHECK_EQ(text.n, 0);
    CHECK_NOT(labels_next(&at, &name, &text));
    at = msg_list(&m, FIELD_TRACE); /* not there */
    CHECK_NOT(labels_next(&at, &name, &text));
    buf_free(&pairs);
    buf_free(&bytes);
}

TEST(schema_message_says_its_slots)
{
    struct buf rows = {0};
    uint8_t salt[SLOT_SALT_BYTES] = {0};
    struct msg m;

    msg_init(&m, MSG_PUT);
    CHECK_EQ(msg_slots(&m), 0);
    slot_row(&rows, salt, (struct bytes){0});
    slot_row(&rows, salt, bytes_text("seven!!"));
    msg_set_b(&m, FIELD_SLOTS, buf_bytes(&rows));
    CHECK_EQ(msg_slots(&m), 2);
    CHECK_EQ(msg_slot_bytes(&m, 1), 7);
    buf_free(&rows);
}

TEST(schema_absent_field_reads_as_nothing)
{
    struct hash zeros = wire_hash(0), got;
    struct msg m;

    msg_init(&m, MSG_PUT);
    got = msg_hash(&m, FIELD_AGENT);
    CHECK(hash_equal(&got, &zeros));
    CHECK_EQ(msg_u(&m, FIELD_TASK), 0);
    CHECK_EQ(msg_b(&m, FIELD_KEY).n, 0);
}

TEST(schema_task_states_and_rights_have_names)
{
    CHECK_STR(task_state_name(TASK_QUEUED), "queued");
    CHECK_STR(task_state_name(TASK_DEAD), "dead");
    CHECK_STR(task_state_name(99), "unknown");
    CHECK_NOT(task_state_final(TASK_WORKING));
    CHECK(task_state_final(TASK_COMPLETED));
    CHECK_NOT(task_state_final(99));
    CHECK_STR(right_name(RIGHT_ADMIN), "admin");
    CHECK_STR(right_name(3), "unknown");
}

CHECK_MAIN
