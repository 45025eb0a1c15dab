/* Exports whose records, gaps, head or end are wrong. */
#include "tests/check.h"

#include "proto/refusal.h"
#include "tests/support/hearing.h"
#include "tests/support/wire.h"

static struct hearing h;

static void begin(void)
{
    hearing_begin(&h);
}

static void end(void)
{
    hearing_end(&h);
}

static const struct export_report *report(void)
{
    return hearing_report(&h);
}

static const char bad_tree[] =
    "its entries are not in the tree that the broker signed";

/* --- Order and gaps ------------------------------------------------------ */

/* Records as the test wants them; a gap of exactly the hashes due. */
static void begin_records(void)
{
    begin();
    folio_export_begin(&h.x, &h.f, &h.ada, &named);
}

TEST(reader_refuses_entries_out_of_order)
{
    static const char why[] =
        "an entry that does not come after the one before it";

    begin_records();
    for (uint64_t i = 0; i < 4; i++)
        hearing_entry(&h, EXPORT_ENTRY, i);
    hearing_entry(&h, EXPORT_ENTRY, 3);
    hearing_fails_at(&h, 3, why);
    CHECK_EQ(report()->at.record, 5);
    end();
    begin_records();
    hearing_entry(&h, EXPORT_ENTRY, 1);
    hearing_fails_at(&h, 1, "the first entry is not a genesis");
    end();
}

TEST(reader_refuses_gaps_that_are_not_due)
{
    struct hash one = wire_hash(1);
    struct bytes hash = hash_bytes(&one);
    static uint8_t many[(MERKLE_GAP_MAX + 1) * HASH_BYTES];

    begin_records();
    CHECK_OK(export_gap(&h.x.w, hash));
    hearing_entry(&h, EXPORT_ENTRY, 0);
    hearing_fails_at(&h, 0, "a gap where nothing is left out");
    end();
    begin_records();
    hearing_entry(&h, EXPORT_ENTRY, 0);
    hearing_entry(&h, EXPORT_ENTRY, 2);
    hearing_fails_at(&h, 2, "entries are left out, and no gap tells of them");
    end();
    begin_records();
    hearing_entry(&h, EXPORT_ENTRY, 0);
    CHECK_OK(export_gap(&h.x.w, hash));
    hearing_entry(&h, EXPORT_ENTRY, 3);
    hearing_fails_at(&h, 3, "a gap has not as many hashes as what is left out");
    end();
    begin_records();
    CHECK_OK(export_gap(&h.x.w, hash));
    CHECK_OK(export_gap(&h.x.w, hash));
    hearing_fails(&h, "two gaps, one behind the other");
    CHECK_EQ(report()->at.record, 2);
    end();
    for (size_t i = 0; i < 3; i++) {
        begin_records();
        CHECK_OK(export_gap(&h.x.w, bytes_of(many, i == 0   ? 0
                                                   : i == 1 ? 33
                                                            : sizeof many)));
        hearing_fails(&h, "a gap of a length that none has");
        end();
    }
}

TEST(reader_refuses_a_last_gap_that_is_not_there)
{
    begin_records();
    for (uint64_t i = 0; i < 4; i++)
        hearing_entry(&h, EXPORT_ENTRY, i);
    CHECK_OK(export_end(&h.x.w, &h.ada.key));
    hearing_fails(&h, "entries are left out, and no gap tells of them");
    end();
}

TEST(reader_refuses_another_hash_in_a_gap)
{
    struct buf gap = {0};

    begin_records();
    for (uint64_t i = 0; i < 4; i++)
        hearing_entry(&h, EXPORT_ENTRY, i);
    folio_gap(&h.f, 4, 11, &gap);
    gap.p[5] ^= 1;
    CHECK_OK(export_gap(&h.x.w, buf_bytes(&gap)));
    CHECK_OK(export_end(&h.x.w, &h.ada.key));
    hearing_fails(&h, bad_tree);
    buf_free(&gap);
    end();
}

TEST(reader_refuses_entries_beyond_the_tree_head)
{
    begin_records(); /* of 11 entries */
    folio_put(&h.f, &h.ada, "k", "too late");
    for (uint64_t i = 0; i < 12; i++)
        hearing_entry(&h, EXPORT_ENTRY, i);
    hearing_fails_at(&h, 11, "an entry beyond the tree head's size");
    end();
}

static void range_fails(uint64_t from, uint64_t to, const char *kinds,
                        const char *why)
{
    struct export_selection range = {
        .kind = EXPORT_OF_RANGE, .from = from, .to = to};

    hearing_export_of(&h, &h.ada, &range, kinds);
    hearing_fails(&h, why);
}

TEST(reader_refuses_a_range_that_is_not_whole)
{
    static const char why[] = "entries of the range are missing";

    begin();
    range_fails(4, 8, "444-33-3", why);
    CHECK_EQ(report()->at.index, 7);
    range_fails(4, 8, "444-333", why);
    CHECK_NOT(report()->at.has_index);
    range_fails(4, 8, "444--333", why);
    CHECK_EQ(report()->at.index, 5);
    range_fails(3, 11, "4443333443", why);
    range_fails(3, 12, "44433334433", "a range beyond the tree head's size");
    CHECK_EQ(report()->at.index, 0);
    range_fails(4, 4, "444-3333", "a range of nothing");
    CHECK_EQ(report()->at.record, 0);
    range_fails(5, 4, "444-3333", "a range of nothing");
    end();
}

/* --- Head ---------------------------------------------------------------- */

static void head_with(void (*how)(struct msg *m), const char *why)
{
    struct buf head = {0};
    unsigned field;
    struct msg m;
    uint32_t n;

    folio_export_free(&h.x);
    folio_export_begin(&h.x, &h.f, &h.ada, &named);
    n = get_u32(h.x.file.p + 8);
    CHECK_OK(
        part_decode(MSG_EXPORT_HEAD, bytes_of(h.x.file.p + 12, n), &m, &field));
    how(&m);
    msg_encode(&m, &head);
    h.x.file.n = 8;
    buf_put_u32(&h.x.file, (uint32_t)head.n);
    buf_put(&h.x.file, head.p, head.n);
    for (uint64_t i = 0; i < 3; i++)
        folio_export_entry(&h.x, EXPORT_IDENTITY, i);
    folio_export_end(&h.x, &h.ada);
    hearing_fails(&h, why);
    buf_free(&head);
}

static void of_kind_0(struct msg *m)
{
    msg_set_u(m, FIELD_KIND, 0);
}
static void of_kind_7(struct msg *m)
{
    msg_set_u(m, FIELD_KIND, 7);
}
static void of_a_key(struct msg *m)
{
    msg_set_u(m, FIELD_KIND, 1);
}
static void of_a_task_too(struct msg *m)
{
    msg_set_u(m, FIELD_TASK, 1);
}
static void of_format_2(struct msg *m)
{
    msg_set_u(m, FIELD_FORMAT, 2);
}
static void without_text(struct msg *m)
{
    m->has &= ~((field_mask)1 << FIELD_TEXT);
}
static void with_another_note(struct msg *m)
{
    msg_set_text(m, FIELD_TEXT, "not a tree head");
}
static void of_another_ledger(struct msg *m)
{
    static struct hash other = {{3}};

    msg_set_hash(m, FIELD_LEDGER, &other);
}

TEST(reader_refuses_a_head_that_is_none)
{
    static const char asked[] = "its head does not say what was asked for";

    begin();
    head_with(of_kind_0, asked);
    head_with(of_kind_7, asked);
    head_with(of_a_key, asked);
    head_with(of_a_task_too, asked);
    head_with(of_format_2, "a format that this version does not know");
    head_with(without_text, "its head does not follow the specification");
    head_with(with_another_note, "its tree head is not signed by the broker");
    head_with(of_another_ledger, "the genesis is not that of its ledger");
    end();
}

/* A head that the key of the same broker signed, for another ledger. */
TEST(reader_refuses_a_tree_head_of_another_ledger)
{
    struct note note = {.ledger = wire_hash(1), .size = 11, .epoch = 1};
    struct buf text = {0};
    struct export_facts facts;

    begin();
    CHECK_OK(note_put(&text, &note, &h.f.broker.key));
    facts = (struct export_facts){.ledger = h.f.ledger,
                                  .agent = h.ada.id,
                                  .note = buf_bytes(&text),
                                  .selection = named};
    folio_export_begin(&h.x, &h.f, &h.ada, &named);
    export_writer_free(&h.x.w);
    buf_clear(&h.x.file);
    CHECK_OK(export_begin(&h.x.w, &facts, h.x.w.sink, &h.x.file));
    hearing_entry(&h, EXPORT_ENTRY, 0);
    hearing_fails_at(&h, 0, "its tree head is not signed by the broker");
    buf_free(&text);
    end();
}

TEST(reader_refuses_another_broker_than_the_pinned_one)
{
    begin();
    hearing_export(&h, "444-3");
    h.options.broker_key = h.eve.key.public_key;
    hearing_fails_at(&h, 0, "the broker's key is not the one that was pinned");
    CHECK_NOT(report()->pinned);
    end();
}

TEST(reader_refuses_a_first_entry_that_is_no_genesis)
{
    static const char why[] = "the first entry is not a genesis";

    begin();
    h.f.entries[0].outcome = CHOIR_DENIED;
    hearing_export(&h, "444");
    hearing_fails_at(&h, 0, why);
    buf_clear(&h.f.entries[0].head);
    buf_put(&h.f.entries[0].head, h.f.entries[3].head.p, h.f.entries[3].head.n);
    h.f.entries[0].outcome = 0;
    folio_export_free(&h.x);
    folio_export_begin(&h.x, &h.f, &h.ada, &named);
    CHECK_OK(export_end(&h.x.w, &h.ada.key));
    hearing_fails(&h, "there is no genesis in it");
    end();
}

/* --- End ----------------------------------------------------------------- */

TEST(reader_refuses_a_file_that_is_cut_off_anywhere)
{
    begin();
    hearing_export(&h, "444-3--44-3");
    for (size_t n = 0; n < h.x.file.n; n++) {
        CHECK_REFUSED(hearing_judge(&h, bytes_of(h.x.file.p, n), SIZE_MAX),
                      CHOIR_BROKEN);
        CHECK_STR(report()->why, "it is cut off");
    }
    end();
}

TEST(reader_refuses_what_follows_the_end)
{
    begin();
    hearing_export(&h, "444-3");
    buf_put(&h.x.file, "", 1);
    hearing_fails(&h, "something follows its end");
    end();
}

TEST(reader_refuses_what_is_not_an_export)
{
    begin();
    buf_put(&h.x.file, "CHE2", 4);
    hearing_fails(&h, "it is not an export");
    CHECK_REFUSED(hearing_judge(&h, bytes_text("X"), 1), CHOIR_BROKEN);
    h.x.file.p[3] = '1';
    buf_put_u32(&h.x.file, EXPORT_GAP);
    buf_put_u32(&h.x.file, 0);
    hearing_fails(&h, "it does not begin with a head");
    end();
}

TEST(reader_refuses_records_that_are_not_due)
{
    static const uint32_t kinds[] = {0, EXPORT_HEAD, 6, UINT32_MAX};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        begin_records();
        buf_put_u32(&h.x.file, kinds[i]);
        buf_put_u32(&h.x.file, 0);
        hearing_fails(&h, "a record of a kind that is not due");
        end();
    }
    begin_records();
    buf_put_u32(&h.x.file, EXPORT_ENTRY);
    buf_put_u32(&h.x.file, EXPORT_RECORD_BYTES_MAX + 1);
    hearing_fails(&h, "a record that is too long");
    end();
    begin_records();
    buf_put_u32(&h.x.file, EXPORT_END);
    buf_put_u32(&h.x.file, 0);
    hearing_fails(&h, "its end does not follow the specification");
    end();
}

/* The end again, changed, signed by that key over what it then says. */
static void end_with(enum field field, const struct key_pair *key,
                     const char *why)
{
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct hash digest;
    struct buf part = {0};
    struct msg m;

    begin_records();
    for (uint64_t i = 0; i < 3; i++)
        folio_export_entry(&h.x, EXPORT_IDENTITY, i);
    folio_export_gap(&h.x, 11);
    digest = hash_run_now(&h.x.w.digest);
    msg_init(&m, MSG_EXPORT_END);
    msg_set_u(&m, FIELD_SIZE, h.x.w.bytes + (field == FIELD_SIZE));
    msg_set_u(&m, FIELD_COUNT, h.x.w.records + (field == FIELD_COUNT));
    digest.b[0] ^= field == FIELD_DIGEST;
    msg_set_hash(&m, FIELD_DIGEST, &digest);
    key_sign(key, field == FIELD_VERB ? KEY_FOR_BUNDLE : KEY_FOR_EXPORT,
             &h.f.ledger, hash_bytes(&digest), signature);
    msg_set_b(&m, FIELD_SIGNATURE, bytes_of(signature, sizeof signature));
    msg_encode(&m, &part);
    buf_put_u32(&h.x.file, EXPORT_END);
    buf_put_u32(&h.x.file, (uint32_t)part.n);
    buf_put(&h.x.file, part.p, part.n);
    if (why)
        hearing_fails(&h, why);
    else
        hearing_passes(&h);
    buf_free(&part);
    end();
}

TEST(reader_refuses_an_end_that_does_not_fit)
{
    struct key_pair hers = wire_key(1), other = wire_key(2);

    end_with(FIELD_TEXT, &hers, NULL);
    end_with(FIELD_SIZE, &hers, "its end counts other bytes or records");
    end_with(FIELD_COUNT, &hers, "its end counts other bytes or records");
    end_with(FIELD_DIGEST, &hers, "its end states another digest");
    end_with(FIELD_VERB, &hers, "its exporter's signature does not fit");
    end_with(FIELD_TEXT, &other, "its exporter's signature does not fit");
}

CHECK_MAIN
