/* A reader of exports: it accepts what is true, and of everything that it must
 * refuse says what, and where. */
#include "tests/check.h"

#include <errno.h>

#include "proto/export.h"
#include "proto/refusal.h"
#include "tests/support/folio.h"
#include "tests/support/wire.h"

static struct folio f;
static struct folio_export x;
static struct person ada, bob, eve;
static struct export_reader *reader;
static struct export_options options;

static const struct export_selection named = {.kind = EXPORT_OF_NAMED};

/* 0 genesis, 1 admit ada, 2 her session, 3-6 four puts of one bundle, 7 bob
 * enrols, 8 his session, 9 his put, 10 ada's. */
static void begin(void)
{
    folio_begin(&f);
    ada = folio_person(1);
    bob = folio_person(2);
    eve = folio_person(3);
    folio_admit(&f, &ada);
    folio_session(&f, &ada);
    folio_puts(&f, &ada, 4);
    folio_enrol(&f, &bob);
    folio_session(&f, &bob);
    folio_put(&f, &bob, "k", "bob's");
    folio_put(&f, &ada, "k", "ada's");
    options = (struct export_options){.broker_key = f.broker.key.public_key};
}

static void end(void)
{
    export_reader_destroy(&reader);
    folio_export_free(&x);
    folio_free(&f);
}

static void export_of(const char *kinds)
{
    folio_export_free(&x);
    folio_export(&x, &f, &ada, &named, kinds);
}

static int judge_in(struct bytes file, size_t piece)
{
    int r = 0;

    export_reader_destroy(&reader);
    reader = export_reader_new(&options);
    CHECK(reader != NULL);
    for (size_t at = 0; at < file.n && !r; at += piece)
        r = export_read(
            reader,
            bytes_of(file.p + at, file.n - at < piece ? file.n - at : piece));
    return export_read_end(reader);
}

static int judge(void)
{
    return judge_in(buf_bytes(&x.file), SIZE_MAX);
}

static const struct export_report *report(void)
{
    return export_report(reader);
}

static void passes(void)
{
    int r = judge();

    if (r)
        fail_msg("%d: %s, record %d, entry %d", r, report()->why,
                 (int)report()->at.record, (int)report()->at.index);
}

static void fails(const char *why)
{
    int r = judge();

    if (r != CHOIR_BROKEN || strcmp(report()->why, why) != 0)
        fail_msg("%d: %s, and not: %s", r, report()->why, why);
}

/* The same, at an entry. */
static void fails_at(uint64_t index, const char *why)
{
    fails(why);
    CHECK(report()->at.has_index);
    CHECK_EQ(report()->at.index, index);
}

/* --- What is true -------------------------------------------------------- */

TEST(reader_accepts_a_range_and_says_what_it_saw)
{
    struct export_selection range = {
        .kind = EXPORT_OF_RANGE, .from = 4, .to = 8};

    begin();
    folio_export(&x, &f, &ada, &range, "444-3333");
    passes();
    CHECK_EQ(report()->entries, 4);
    CHECK_EQ(report()->identities, 3);
    CHECK_EQ(report()->bundles, 5);
    CHECK_EQ(report()->agents, 2);
    CHECK_EQ(report()->sessions, 1);
    CHECK_EQ(report()->payloads, 3);
    CHECK_EQ(report()->bytes, x.file.n);
    CHECK_EQ(report()->note.size, 11);
    CHECK_EQ(report()->facts.selection.from, 4);
    CHECK_EQ(report()->facts.selection.to, 8);
    CHECK_EQ(report()->first_time, f.entries[4].time);
    CHECK_EQ(report()->last_time, f.entries[7].time);
    CHECK(report()->pinned);
    end();
}

TEST(reader_accepts_every_selection_that_has_its_identities)
{
    static const char *const kinds[] = {
        "33333333333", "444----4433", "4443333---3", "444----44-3",
        "3-------",    "4443333443",  "444-3",       "3443--3",
    };
    static const struct export_selection what[] = {
        {.kind = EXPORT_OF_KEY,
         .space = {(const uint8_t *)"lab", 3},
         .key = {(const uint8_t *)"k", 1}},
        {.kind = EXPORT_OF_TASK, .task = 9},
        {.kind = EXPORT_OF_SPACE, .space = {(const uint8_t *)"lab", 3}},
        {.kind = EXPORT_OF_AGENT, .agent = {{7}}},
        {.kind = EXPORT_OF_NAMED},
    };

    begin();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        for (size_t k = 0; k < sizeof what / sizeof *what; k++) {
            folio_export_free(&x);
            folio_export(&x, &f, &ada, &what[k], kinds[i]);
            if (kinds[i][1] == '-')
                fails("its exporter's key is not shown to be valid");
            else
                passes();
            CHECK_EQ(report()->facts.selection.kind, what[k].kind);
        }
    }
    end();
}

TEST(reader_takes_pieces_of_any_length)
{
    begin();
    export_of("444-3--4433");
    for (size_t piece = 1; piece < 300; piece++)
        CHECK_OK(judge_in(buf_bytes(&x.file), piece));
    end();
}

TEST(reader_without_a_pinned_key_calls_nothing_pinned)
{
    begin();
    export_of("444-3");
    options.broker_key = NULL;
    passes();
    CHECK_NOT(report()->pinned);
    CHECK_MEM(report()->broker_key, f.broker.key.public_key, KEY_PUBLIC_BYTES);
    end();
}

TEST(reader_asks_for_one_signature_of_a_bundle)
{
    begin();
    export_of("4443-33");
    passes();
    CHECK_EQ(report()->bundles, 4);
    end();
}

struct asked {
    unsigned times;
    int answer;
    uint64_t index;
};

static int ask_signature(void *context, const uint8_t *key,
                         const struct hash *ledger, struct bytes header,
                         const uint8_t *signature,
                         const struct export_place *at)
{
    struct asked *asked = context;

    CHECK_OK(key_verify(key, KEY_FOR_BUNDLE, ledger, header, signature));
    asked->index = at->index;
    asked->times++;
    return asked->answer;
}

TEST(reader_lets_another_check_signatures)
{
    struct asked asked = {0};

    begin();
    options.signature = ask_signature;
    options.context = &asked;
    export_of("444----4433");
    passes();
    CHECK_EQ(asked.times, 7);
    CHECK_EQ(asked.index, 10);
    asked.answer = CHOIR_BROKEN;
    fails_at(0, "a signature is forged");
    asked.answer = -ENOMEM;
    CHECK_EQ(judge(), -ENOMEM);
    end();
}

/* --- Payloads ------------------------------------------------------------ */

/* An export of entry 3 with that evidence; whatever is made of it is freed. */
static void export_entry_3(void (*change)(struct buf *part))
{
    struct buf part = {0};

    folio_export_free(&x);
    folio_export_begin(&x, &f, &ada, &named);
    for (uint64_t i = 0; i < 3; i++)
        folio_export_entry(&x, EXPORT_IDENTITY, i);
    change(&part);
    CHECK_OK(export_entry(&x.w, EXPORT_ENTRY, buf_bytes(&part)));
    x.next = 4;
    folio_export_end(&x, &ada);
    buf_free(&part);
}

static const char *marks;

static void with_marks(struct buf *part)
{
    folio_evidence(&f, 3, marks, part);
}

TEST(reader_accepts_payloads_that_are_marked_and_counts_them)
{
    begin();
    marks = "1";
    export_entry_3(with_marks);
    passes();
    CHECK_EQ(report()->erased, 1);
    CHECK_EQ(report()->payloads, 0);
    marks = "2";
    export_entry_3(with_marks);
    passes();
    CHECK_EQ(report()->compacted, 1);
    marks = "3";
    export_entry_3(with_marks);
    passes();
    CHECK_EQ(report()->left_out, 1);
    end();
}

static const char bad_payload[] =
    "a payload does not fit its hash, or is not there as its marks say";
static const char bad_evidence[] =
    "an entry that does not follow the specification";

TEST(reader_refuses_marks_that_do_not_fit)
{
    static const char *const wrong[] = {"0", "4", "11", "10"};

    begin();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        marks = wrong[i];
        export_entry_3(with_marks);
        fails_at(3, bad_payload);
    }
    marks = "";
    export_entry_3(with_marks);
    fails_at(3, bad_evidence);
    end();
}

static void (*edit)(struct msg *m);

static void edited(struct buf *part)
{
    struct buf old = {0};
    unsigned field;
    struct msg m;

    folio_evidence(&f, 3, NULL, &old);
    CHECK_OK(part_decode(MSG_EVIDENCE, buf_bytes(&old), &m, &field));
    edit(&m);
    msg_encode(&m, part);
    buf_free(&old);
}

static void fails_edited(void (*how)(struct msg *m), const char *why)
{
    edit = how;
    export_entry_3(edited);
    fails_at(3, why);
}

static void without_payload(struct msg *m)
{
    m->has &= ~((field_mask)1 << FIELD_PAYLOAD);
}

static void with_empty_payload(struct msg *m)
{
    msg_set_b(m, FIELD_PAYLOAD, (struct bytes){0});
}

static void with_short_payload(struct msg *m)
{
    m->v[FIELD_PAYLOAD].bytes.n--;
}

static void with_other_payload(struct msg *m)
{
    static uint8_t other[64];
    struct bytes b = msg_b(m, FIELD_PAYLOAD);

    CHECK(b.n < sizeof other);
    memcpy(other, b.p, b.n);
    other[b.n - 1] ^= 1;
    msg_set_b(m, FIELD_PAYLOAD, bytes_of(other, b.n));
}

static void with_marks_besides(struct msg *m)
{
    msg_set_b(m, FIELD_MARKS, bytes_of("\1", 1));
}

TEST(reader_refuses_payloads_that_do_not_fit)
{
    begin();
    fails_edited(without_payload, bad_payload);
    fails_edited(with_empty_payload, bad_evidence);
    fails_edited(with_short_payload, bad_payload);
    fails_edited(with_other_payload, bad_payload);
    fails_edited(with_marks_besides, bad_payload);
    end();
}

/* A merged value stands in the effect, behind the operation's own. */
TEST(reader_checks_the_payloads_of_effects)
{
    struct buf effect = {0}, section = {0}, rows = {0};
    uint8_t salt[SLOT_SALT_BYTES] = {8};
    struct msg m;

    begin();
    slot_row(&rows, salt, bytes_text("merged"));
    msg_init(&m, MSG_EFFECT);
    msg_set_b(&m, FIELD_SLOTS, buf_bytes(&rows));
    msg_encode(&m, &effect);
    buf_put(&section, salt, sizeof salt);
    buf_put(&section, "merged", 6);
    f.effect = buf_bytes(&effect);
    f.effect_payload = buf_bytes(&section);
    folio_put(&f, &ada, "k", "mine");
    export_of("444--------3");
    passes();
    CHECK_EQ(report()->payloads, 2);
    f.entries[11].payload.p[f.entries[11].payload.n - 1] ^= 1;
    export_of("444--------3");
    fails_at(11, bad_payload);
    buf_free(&effect);
    buf_free(&section);
    buf_free(&rows);
    end();
}

/* --- Entries ------------------------------------------------------------- */

static void with_key(struct msg *m)
{
    msg_set_b(m, FIELD_PUBLIC_KEY, bytes_of(ada.key.public_key, 32));
}

static void without_path(struct msg *m)
{
    msg_set_b(m, FIELD_PATH, (struct bytes){0});
}

static void at_position_4(struct msg *m)
{
    msg_set_u(m, FIELD_POSITION, 4); /* of 4 */
}

static void with_turnaway(struct msg *m)
{
    msg_set_u(m, FIELD_OUTCOME, CHOIR_BUSY);
}

static void with_odd_effect(struct msg *m)
{
    msg_set_b(m, FIELD_EFFECT, bytes_of("\x81\x01\x01", 3));
}

TEST(reader_refuses_evidence_that_is_none)
{
    begin();
    fails_edited(with_key, bad_evidence);
    edit = at_position_4;
    export_entry_3(edited);
    fails(bad_evidence);
    CHECK_NOT(report()->at.has_index);
    fails_edited(without_path, "its operation is not under its bundle's root");
    fails_edited(with_turnaway, "an outcome that is none");
    fails_edited(with_odd_effect, "an effect that cannot be read");
    end();
}

static void put_later(struct msg *m)
{
    msg_set_u(m, FIELD_TIME, msg_u(m, FIELD_TIME) + 1);
}

static void put_denied(struct msg *m)
{
    msg_set_u(m, FIELD_OUTCOME, CHOIR_DENIED);
}

static const char bad_tree[] =
    "its entries are not in the tree that the broker signed";

TEST(reader_refuses_what_the_tree_does_not_hold)
{
    begin();
    edit = put_later;
    export_entry_3(edited);
    fails(bad_tree);
    edit = put_denied;
    export_entry_3(edited);
    fails(bad_tree);
    CHECK_NOT(report()->at.has_index);
    CHECK_EQ(report()->at.record, x.w.records - 1);
    end();
}

TEST(reader_refuses_an_operation_that_is_none)
{
    struct folio_op op = {0};

    begin();
    buf_put(&op.head, "\x81\x01\xcc\xfa", 4); /* a verb that there is not */
    folio_add(&f, &ada, &op, 1);
    export_of("444--------3");
    fails_at(11, "an operation that cannot be read");
    memset(&op, 0, sizeof op);
    buf_put(&op.head, "\x81\x01\xcc\xfa", 4);
    f.outcome = CHOIR_UNSUPPORTED;
    folio_add(&f, &ada, &op, 1);
    export_of("444---------3");
    passes();
    end();
}

TEST(reader_lets_nothing_else_pass_for_an_identity)
{
    static const char why[] = "an entry that says whose a key is, and does not";
    struct folio_op op = {0};

    begin();
    export_of("4444");
    fails_at(3, why);
    f.outcome = CHOIR_DENIED;
    folio_session(&f, &ada);
    export_of("444--------4");
    fails_at(11, why);
    export_of("444--------3");
    passes();
    folio_session(&f, &ada);
    buf_put(&op.head, "\x81\x01\xcc\xfa", 4);
    f.outcome = CHOIR_UNSUPPORTED;
    folio_add(&f, &ada, &op, 1);
    export_of("444---------44");
    fails_at(13, "an operation that cannot be read");
    end();
}

TEST(reader_refuses_a_forged_signature)
{
    begin();
    f.forger = &bob.key;
    folio_put(&f, &ada, "k", "not hers");
    export_of("444--------3");
    fails_at(11, "a signature is forged");
    end();
}

TEST(reader_refuses_another_bundle_signature_of_the_same_bundle)
{
    begin();
    f.entries[5].signature[40] ^= 1;
    export_of("444333");
    fails_at(5, "a signature is forged");
    end();
}

/* --- Order and gaps ------------------------------------------------------ */

/* Records as the test wants them; a gap of exactly the hashes due. */
static void begin_records(void)
{
    begin();
    folio_export_begin(&x, &f, &ada, &named);
}

static void entry_alone(enum export_record kind, uint64_t index)
{
    struct buf part = {0};

    folio_evidence(&f, index, NULL, &part);
    CHECK_OK(export_entry(&x.w, kind, buf_bytes(&part)));
    buf_free(&part);
}

TEST(reader_refuses_entries_out_of_order)
{
    static const char why[] =
        "an entry that does not come after the one before it";

    begin_records();
    for (uint64_t i = 0; i < 4; i++)
        entry_alone(EXPORT_ENTRY, i);
    entry_alone(EXPORT_ENTRY, 3);
    fails_at(3, why);
    CHECK_EQ(report()->at.record, 5);
    end();
    begin_records();
    entry_alone(EXPORT_ENTRY, 1);
    fails_at(1, "the first entry is not a genesis");
    end();
}

TEST(reader_refuses_gaps_that_are_not_due)
{
    struct hash h = wire_hash(1);
    struct bytes hash = hash_bytes(&h);
    static uint8_t many[(MERKLE_GAP_MAX + 1) * HASH_BYTES];

    begin_records();
    CHECK_OK(export_gap(&x.w, hash));
    entry_alone(EXPORT_ENTRY, 0);
    fails_at(0, "a gap where nothing is left out");
    end();
    begin_records();
    entry_alone(EXPORT_ENTRY, 0);
    entry_alone(EXPORT_ENTRY, 2);
    fails_at(2, "entries are left out, and no gap tells of them");
    end();
    begin_records();
    entry_alone(EXPORT_ENTRY, 0);
    CHECK_OK(export_gap(&x.w, hash));
    entry_alone(EXPORT_ENTRY, 3);
    fails_at(3, "a gap has not as many hashes as what is left out");
    end();
    begin_records();
    CHECK_OK(export_gap(&x.w, hash));
    CHECK_OK(export_gap(&x.w, hash));
    fails("two gaps, one behind the other");
    CHECK_EQ(report()->at.record, 2);
    end();
    for (size_t i = 0; i < 3; i++) {
        begin_records();
        CHECK_OK(export_gap(&x.w, bytes_of(many, i == 0   ? 0
                                                 : i == 1 ? 33
                                                          : sizeof many)));
        fails("a gap of a length that none has");
        end();
    }
}

TEST(reader_refuses_a_last_gap_that_is_not_there)
{
    begin_records();
    for (uint64_t i = 0; i < 4; i++)
        entry_alone(EXPORT_ENTRY, i);
    CHECK_OK(export_end(&x.w, &ada.key));
    fails("entries are left out, and no gap tells of them");
    end();
}

TEST(reader_refuses_another_hash_in_a_gap)
{
    struct buf gap = {0};

    begin_records();
    for (uint64_t i = 0; i < 4; i++)
        entry_alone(EXPORT_ENTRY, i);
    folio_gap(&f, 4, 11, &gap);
    gap.p[5] ^= 1;
    CHECK_OK(export_gap(&x.w, buf_bytes(&gap)));
    CHECK_OK(export_end(&x.w, &ada.key));
    fails(bad_tree);
    buf_free(&gap);
    end();
}

TEST(reader_refuses_entries_beyond_the_tree_head)
{
    begin_records(); /* of 11 entries */
    folio_put(&f, &ada, "k", "too late");
    for (uint64_t i = 0; i < 12; i++)
        entry_alone(EXPORT_ENTRY, i);
    fails_at(11, "an entry beyond the tree head's size");
    end();
}

static void range_fails(uint64_t from, uint64_t to, const char *kinds,
                        const char *why)
{
    struct export_selection range = {
        .kind = EXPORT_OF_RANGE, .from = from, .to = to};

    folio_export_free(&x);
    folio_export(&x, &f, &ada, &range, kinds);
    fails(why);
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

    folio_export_free(&x);
    folio_export_begin(&x, &f, &ada, &named);
    n = get_u32(x.file.p + 8);
    CHECK_OK(
        part_decode(MSG_EXPORT_HEAD, bytes_of(x.file.p + 12, n), &m, &field));
    how(&m);
    msg_encode(&m, &head);
    x.file.n = 8;
    buf_put_u32(&x.file, (uint32_t)head.n);
    buf_put(&x.file, head.p, head.n);
    for (uint64_t i = 0; i < 3; i++)
        folio_export_entry(&x, EXPORT_IDENTITY, i);
    folio_export_end(&x, &ada);
    fails(why);
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
    CHECK_OK(note_put(&text, &note, &f.broker.key));
    facts = (struct export_facts){.ledger = f.ledger,
                                  .agent = ada.id,
                                  .note = buf_bytes(&text),
                                  .selection = named};
    folio_export_begin(&x, &f, &ada, &named);
    export_writer_free(&x.w);
    buf_clear(&x.file);
    CHECK_OK(export_begin(&x.w, &facts, x.w.sink, &x.file));
    entry_alone(EXPORT_ENTRY, 0);
    fails_at(0, "its tree head is not signed by the broker");
    buf_free(&text);
    end();
}

TEST(reader_refuses_another_broker_than_the_pinned_one)
{
    begin();
    export_of("444-3");
    options.broker_key = eve.key.public_key;
    fails_at(0, "the broker's key is not the one that was pinned");
    CHECK_NOT(report()->pinned);
    end();
}

TEST(reader_refuses_a_first_entry_that_is_no_genesis)
{
    static const char why[] = "the first entry is not a genesis";

    begin();
    f.entries[0].outcome = CHOIR_DENIED;
    export_of("444");
    fails_at(0, why);
    buf_clear(&f.entries[0].head);
    buf_put(&f.entries[0].head, f.entries[3].head.p, f.entries[3].head.n);
    f.entries[0].outcome = 0;
    folio_export_free(&x);
    folio_export_begin(&x, &f, &ada, &named);
    CHECK_OK(export_end(&x.w, &ada.key));
    fails("there is no genesis in it");
    end();
}

/* --- End ----------------------------------------------------------------- */

TEST(reader_refuses_a_file_that_is_cut_off_anywhere)
{
    begin();
    export_of("444-3--44-3");
    for (size_t n = 0; n < x.file.n; n++) {
        CHECK_REFUSED(judge_in(bytes_of(x.file.p, n), SIZE_MAX), CHOIR_BROKEN);
        CHECK_STR(report()->why, "it is cut off");
    }
    end();
}

TEST(reader_refuses_what_follows_the_end)
{
    begin();
    export_of("444-3");
    buf_put(&x.file, "", 1);
    fails("something follows its end");
    end();
}

TEST(reader_refuses_what_is_not_an_export)
{
    begin();
    buf_put(&x.file, "CHE2", 4);
    fails("it is not an export");
    CHECK_REFUSED(judge_in(bytes_text("X"), 1), CHOIR_BROKEN);
    x.file.p[3] = '1';
    buf_put_u32(&x.file, EXPORT_GAP);
    buf_put_u32(&x.file, 0);
    fails("it does not begin with a head");
    end();
}

TEST(reader_refuses_records_that_are_not_due)
{
    static const uint32_t kinds[] = {0, EXPORT_HEAD, 6, UINT32_MAX};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        begin_records();
        buf_put_u32(&x.file, kinds[i]);
        buf_put_u32(&x.file, 0);
        fails("a record of a kind that is not due");
        end();
    }
    begin_records();
    buf_put_u32(&x.file, EXPORT_ENTRY);
    buf_put_u32(&x.file, EXPORT_RECORD_BYTES_MAX + 1);
    fails("a record that is too long");
    end();
    begin_records();
    buf_put_u32(&x.file, EXPORT_END);
    buf_put_u32(&x.file, 0);
    fails("its end does not follow the specification");
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
        folio_export_entry(&x, EXPORT_IDENTITY, i);
    folio_export_gap(&x, 11);
    digest = hash_run_now(&x.w.digest);
    msg_init(&m, MSG_EXPORT_END);
    msg_set_u(&m, FIELD_SIZE, x.w.bytes + (field == FIELD_SIZE));
    msg_set_u(&m, FIELD_COUNT, x.w.records + (field == FIELD_COUNT));
    digest.b[0] ^= field == FIELD_DIGEST;
    msg_set_hash(&m, FIELD_DIGEST, &digest);
    key_sign(key, field == FIELD_VERB ? KEY_FOR_BUNDLE : KEY_FOR_EXPORT,
             &f.ledger, hash_bytes(&digest), signature);
    msg_set_b(&m, FIELD_SIGNATURE, bytes_of(signature, sizeof signature));
    msg_encode(&m, &part);
    buf_put_u32(&x.file, EXPORT_END);
    buf_put_u32(&x.file, (uint32_t)part.n);
    buf_put(&x.file, part.p, part.n);
    if (why)
        fails(why);
    else
        passes();
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

TEST(reader_refuses_an_exporter_whose_key_is_not_shown)
{
    static const char why[] = "its exporter's key is not shown to be valid";
    struct person not_ada;

    begin();
    folio_export(&x, &f, &bob, &named, "444-3");
    fails(why);
    folio_export_free(&x);
    not_ada = ada;
    not_ada.key = eve.key;
    folio_export(&x, &f, &not_ada, &named, "444-3");
    fails(why);
    folio_export_free(&x);
    folio_export(&x, &f, &f.broker, &named, "444-3");
    fails(why);
    folio_export_free(&x);
    folio_revoke(&f, &bob, &ada, NULL);
    folio_export(&x, &f, &ada, &named, "444-3--44--4");
    fails(why);
    folio_export_free(&x);
    folio_export(&x, &f, &bob, &named, "444-3--44--4");
    passes();
    end();
}

TEST(reader_trusts_only_whom_it_is_told_to)
{
    struct hash both[2];

    begin();
    both[0] = bob.id;
    both[1] = ada.id;
    export_of("444-3--4433");
    options.trusted = both;
    options.trusted_count = 2;
    passes();
    options.trusted = &both[1];
    options.trusted_count = 1;
    fails_at(9, "its author is not an agent you trust");
    export_of("444-3--44-3"); /* his session does no harm */
    passes();
    options.trusted = &both[0];
    export_of("344");
    fails("its exporter is not an agent you trust");
    options.trusted_count = 0;
    fails("its exporter is not an agent you trust");
    end();
}

/* --- Keys ---------------------------------------------------------------- */

TEST(reader_follows_keys_as_they_change)
{
    struct key_pair recovery = wire_key(77);

    begin();
    folio_rotate(&f, &ada, 11, 1, recovery.public_key); /* 11 */
    ada.key = wire_key(11);
    folio_session(&f, &ada);                /* 12 */
    folio_put(&f, &ada, "k", "new key");    /* 13 */
    folio_recover(&f, &ada, 12, &recovery); /* 14 */
    ada.key = wire_key(12);
    folio_session(&f, &ada);                /* 15 */
    folio_put(&f, &ada, "k", "newest key"); /* 16 */
    export_of("4443-------4434-3");
    fails_at(16, "a bundle in a session that was never opened");
    export_of("4443-------443443");
    passes();
    export_of("4443--------43443");
    fails_at(12, "a bundle names a key that is not its author's");
    export_of("4443----------4");
    fails_at(14, "a bundle names a key that is not its author's");
    end();
}

TEST(reader_refuses_what_an_ended_key_says)
{
    begin();
    folio_rotate(&f, &ada, 11, 1, NULL); /* 11 */
    folio_put(&f, &ada, "k", "old key"); /* 12 */
    export_of("444--------4");
    fails("its exporter's key is not shown to be valid");
    export_of("444--------43");
    fails_at(12, "a bundle in a session that has ended");
    end();
}

/* The broker goes on with a bundle that ends its own key. */
TEST(reader_accepts_the_rest_of_a_bundle_that_ends_its_key)
{
    struct folio_op ops[3] = {0};
    struct msg m;

    begin();
    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &ada.id);
    wire_put(&ops[0].head, &ops[0].payload, "k", bytes_text("1"), 1);
    msg_encode(&m, &ops[1].head);
    wire_put(&ops[2].head, &ops[2].payload, "k", bytes_text("2"), 1);
    folio_add(&f, &ada, ops, 3); /* 11 to 13 */
    folio_put(&f, &ada, "k", "too late");
    folio_export(&x, &f, &bob, &named, "444----44--343");
    passes();
    folio_export_free(&x);
    folio_export(&x, &f, &bob, &named, "444----44--3433");
    fails_at(14, "a bundle in a session that has ended");
    end();
}

CHECK_MAIN
