/* Exports: what the writer writes, byte by byte. What a reader refuses is in
 * export_read.c. */
#include "tests/check.h"

#include <errno.h>

#include "proto/export.h"
#include "tests/support/wire.h"

static int into_buf(void *context, struct bytes bytes)
{
    struct buf *b = context;

    buf_put(b, bytes.p, bytes.n);
    return b->failed ? -ENOMEM : 0;
}

static struct export_facts facts_of(const struct key_pair *key)
{
    struct export_facts f = {
        .ledger = wire_hash(1),
        .agent = agent_id(key->public_key),
        .time = 5,
        .note = bytes_text("a tree head"),
        .selection = {.kind = EXPORT_OF_RANGE, .from = 3, .to = 9},
    };

    memcpy(f.public_key, key->public_key, KEY_PUBLIC_BYTES);
    return f;
}

static struct bytes record_next(struct cursor *c, uint32_t kind)
{
    CHECK_EQ(cursor_u32(c), kind);
    return cursor_take(c, cursor_u32(c));
}

static struct msg decoded(enum message part, struct bytes b)
{
    unsigned field;
    struct msg m;

    CHECK_OK(part_decode(part, b, &m, &field));
    return m;
}

TEST(export_writes_records_and_signs_all_before_the_last)
{
    struct key_pair key = wire_key(3);
    struct export_facts facts = facts_of(&key);
    struct export_writer w;
    struct buf file = {0};
    struct hash due, got;
    struct cursor c;
    struct msg m;
    size_t before;

    CHECK_OK(export_begin(&w, &facts, into_buf, &file));
    CHECK_OK(export_entry(&w, EXPORT_IDENTITY, bytes_text("an entry")));
    CHECK_OK(export_gap(&w, hash_bytes(&facts.ledger)));
    CHECK_OK(export_entry(&w, EXPORT_ENTRY, bytes_text("another")));
    before = file.n;
    CHECK_OK(export_end(&w, &key));
    c = cursor_of(buf_bytes(&file));
    CHECK(bytes_equal(cursor_take(&c, 4), bytes_text("CHE1")));
    m = decoded(MSG_EXPORT_HEAD, record_next(&c, EXPORT_HEAD));
    CHECK_EQ(msg_u(&m, FIELD_FORMAT), 1);
    CHECK_EQ(msg_u(&m, FIELD_KIND), EXPORT_OF_RANGE);
    CHECK_EQ(msg_u(&m, FIELD_REVISION), 3);
    CHECK_EQ(msg_u(&m, FIELD_SIZE), 9);
    CHECK(
        bytes_equal(record_next(&c, EXPORT_IDENTITY), bytes_text("an entry")));
    CHECK_EQ(record_next(&c, EXPORT_GAP).n, HASH_BYTES);
    CHECK(bytes_equal(record_next(&c, EXPORT_ENTRY), bytes_text("another")));
    m = decoded(MSG_EXPORT_END, record_next(&c, EXPORT_END));
    due = hash_of(HASH_EXPORT, bytes_of(file.p, before));
    got = msg_hash(&m, FIELD_DIGEST);
    CHECK(hash_equal(&due, &got));
    CHECK_EQ(msg_u(&m, FIELD_SIZE), before);
    CHECK_EQ(msg_u(&m, FIELD_COUNT), 4);
    CHECK_OK(key_verify(key.public_key, KEY_FOR_EXPORT, &facts.ledger,
                        hash_bytes(&due), msg_b(&m, FIELD_SIGNATURE).p));
    CHECK_EQ(cursor_left(&c), 0);
    CHECK_NOT(c.failed);
    export_writer_free(&w);
    buf_free(&file);
}

TEST(export_says_in_its_head_what_was_asked_for)
{
    static const struct {
        enum export_kind kind;
        enum field has[2];
    } kinds[] = {
        {EXPORT_OF_KEY, {FIELD_SPACE, FIELD_KEY}},
        {EXPORT_OF_TASK, {FIELD_TASK, FIELD_KIND}},
        {EXPORT_OF_RANGE, {FIELD_REVISION, FIELD_SIZE}},
        {EXPORT_OF_SPACE, {FIELD_SPACE, FIELD_KIND}},
        {EXPORT_OF_AGENT, {FIELD_HOLDER, FIELD_KIND}},
        {EXPORT_OF_NAMED, {FIELD_KIND, FIELD_KIND}},
    };
    static const enum field every[] = {FIELD_SPACE, FIELD_KEY,
                                       FIELD_TASK,  FIELD_REVISION,
                                       FIELD_SIZE,  FIELD_HOLDER};
    struct key_pair key = wire_key(3);
    struct export_facts facts = facts_of(&key);
    struct export_writer w;
    struct buf file = {0};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct cursor c;
        struct msg m;

        buf_clear(&file);
        facts.selection.kind = kinds[i].kind;
        CHECK_OK(export_begin(&w, &facts, into_buf, &file));
        c = cursor_of(bytes_of(file.p + 4, file.n - 4));
        m = decoded(MSG_EXPORT_HEAD, record_next(&c, EXPORT_HEAD));
        for (size_t k = 0; k < sizeof every / sizeof *every; k++)
            CHECK_EQ(msg_has(&m, every[k]), every[k] == kinds[i].has[0] ||
                                                every[k] == kinds[i].has[1]);
        export_writer_free(&w);
    }
    buf_free(&file);
}

static int no_space(void *context, struct bytes bytes)
{
    uint64_t *left = context;

    if (*left < bytes.n)
        return -ENOSPC;
    *left -= bytes.n;
    return 0;
}

TEST(export_hands_on_what_its_sink_says)
{
    struct key_pair key = wire_key(3);
    struct export_facts facts = facts_of(&key);
    struct export_writer w;
    uint64_t room = 4;

    CHECK_EQ(export_begin(&w, &facts, no_space, &room), -ENOSPC);
    export_writer_free(&w);
    room = 4000;
    CHECK_OK(export_begin(&w, &facts, no_space, &room));
    room = 9;
    CHECK_EQ(export_entry(&w, EXPORT_ENTRY, bytes_text("too long")), -ENOSPC);
    export_writer_free(&w);
}

TEST(export_refuses_a_record_that_a_reader_would_refuse)
{
    struct key_pair key = wire_key(3);
    struct export_facts facts = facts_of(&key);
    struct bytes big = {facts.ledger.b, EXPORT_RECORD_BYTES_MAX + 1};
    struct export_writer w;
    uint64_t room = 4000, left;

    CHECK_OK(export_begin(&w, &facts, no_space, &room));
    left = room;
    CHECK_EQ(export_entry(&w, EXPORT_ENTRY, big), -EMSGSIZE);
    CHECK_EQ(room, left);
    export_writer_free(&w);
}

CHECK_MAIN
