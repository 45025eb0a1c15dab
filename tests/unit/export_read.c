/* A reader of exports accepts what is true, and refuses entries and payloads
 * that are not; what stands around them is in export_order.c, who may say it in
 * export_authors.c. */
#include "tests/check.h"

#include <errno.h>

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

/* --- What is true -------------------------------------------------------- */

TEST(reader_accepts_a_range_and_says_what_it_saw)
{
    struct export_selection range = {
        .kind = EXPORT_OF_RANGE, .from = 4, .to = 8};

    begin();
    hearing_export_of(&h, &h.ada, &range, "444-3333");
    hearing_passes(&h);
    CHECK_EQ(report()->entries, 4);
    CHECK_EQ(report()->identities, 3);
    CHECK_EQ(report()->bundles, 5);
    CHECK_EQ(report()->agents, 2);
    CHECK_EQ(report()->sessions, 1);
    CHECK_EQ(report()->payloads, 3);
    CHECK_EQ(report()->bytes, h.x.file.n);
    CHECK_EQ(report()->note.size, 11);
    CHECK_EQ(report()->facts.selection.from, 4);
    CHECK_EQ(report()->facts.selection.to, 8);
    CHECK_EQ(report()->first_time, h.f.entries[4].time);
    CHECK_EQ(report()->last_time, h.f.entries[7].time);
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
            hearing_export_of(&h, &h.ada, &what[k], kinds[i]);
            if (kinds[i][1] == '-')
                hearing_fails(&h,
                              "its exporter's key is not shown to be valid");
            else
                hearing_passes(&h);
            CHECK_EQ(report()->facts.selection.kind, what[k].kind);
        }
    }
    end();
}

TEST(reader_takes_pieces_of_any_length)
{
    begin();
    hearing_export(&h, "444-3--4433");
    for (size_t piece = 1; piece < 300; piece++)
        CHECK_OK(hearing_judge(&h, buf_bytes(&h.x.file), piece));
    end();
}

TEST(reader_without_a_pinned_key_calls_nothing_pinned)
{
    begin();
    hearing_export(&h, "444-3");
    h.options.broker_key = NULL;
    hearing_passes(&h);
    CHECK_NOT(report()->pinned);
    CHECK_MEM(report()->broker_key, h.f.broker.key.public_key,
              KEY_PUBLIC_BYTES);
    end();
}

TEST(reader_asks_for_one_signature_of_a_bundle)
{
    begin();
    hearing_export(&h, "4443-33");
    hearing_passes(&h);
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
    h.options.signature = ask_signature;
    h.options.context = &asked;
    hearing_export(&h, "444----4433");
    hearing_passes(&h);
    CHECK_EQ(asked.times, 7);
    CHECK_EQ(asked.index, 10);
    asked.answer = CHOIR_BROKEN;
    hearing_fails_at(&h, 0, "a signature is forged");
    asked.answer = -ENOMEM;
    CHECK_EQ(hearing_judge(&h, buf_bytes(&h.x.file), SIZE_MAX), -ENOMEM);
    end();
}

/* --- Payloads ------------------------------------------------------------ */

/* An export of entry 3 with that evidence; whatever is made of it is freed. */
static void export_entry_3(void (*change)(struct buf *part))
{
    struct buf part = {0};

    folio_export_free(&h.x);
    folio_export_begin(&h.x, &h.f, &h.ada, &named);
    for (uint64_t i = 0; i < 3; i++)
        folio_export_entry(&h.x, EXPORT_IDENTITY, i);
    change(&part);
    CHECK_OK(export_entry(&h.x.w, EXPORT_ENTRY, buf_bytes(&part)));
    h.x.next = 4;
    folio_export_end(&h.x, &h.ada);
    buf_free(&part);
}

static const char *marks;

static void with_marks(struct buf *part)
{
    folio_evidence(&h.f, 3, marks, part);
}

TEST(reader_accepts_payloads_that_are_marked_and_counts_them)
{
    begin();
    marks = "1";
    export_entry_3(with_marks);
    hearing_passes(&h);
    CHECK_EQ(report()->erased, 1);
    CHECK_EQ(report()->payloads, 0);
    marks = "2";
    export_entry_3(with_marks);
    hearing_passes(&h);
    CHECK_EQ(report()->compacted, 1);
    marks = "3";
    export_entry_3(with_marks);
    hearing_passes(&h);
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
        hearing_fails_at(&h, 3, bad_payload);
    }
    marks = "";
    export_entry_3(with_marks);
    hearing_fails_at(&h, 3, bad_evidence);
    end();
}

static void (*edit)(struct msg *m);

static void edited(struct buf *part)
{
    struct buf old = {0};
    unsigned field;
    struct msg m;

    folio_evidence(&h.f, 3, NULL, &old);
    CHECK_OK(part_decode(MSG_EVIDENCE, buf_bytes(&old), &m, &field));
    edit(&m);
    msg_encode(&m, part);
    buf_free(&old);
}

static void fails_edited(void (*how)(struct msg *m), const char *why)
{
    edit = how;
    export_entry_3(edited);
    hearing_fails_at(&h, 3, why);
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
    h.f.effect = buf_bytes(&effect);
    h.f.effect_payload = buf_bytes(&section);
    folio_put(&h.f, &h.ada, "k", "mine");
    hearing_export(&h, "444--------3");
    hearing_passes(&h);
    CHECK_EQ(report()->payloads, 2);
    h.f.entries[11].payload.p[h.f.entries[11].payload.n - 1] ^= 1;
    hearing_export(&h, "444--------3");
    hearing_fails_at(&h, 11, bad_payload);
    buf_free(&effect);
    buf_free(&section);
    buf_free(&rows);
    end();
}

/* --- Entries ------------------------------------------------------------- */

static void with_key(struct msg *m)
{
    msg_set_b(m, FIELD_PUBLIC_KEY, bytes_of(h.ada.key.public_key, 32));
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
    hearing_fails(&h, bad_evidence);
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
    hearing_fails(&h, bad_tree);
    edit = put_denied;
    export_entry_3(edited);
    hearing_fails(&h, bad_tree);
    CHECK_NOT(report()->at.has_index);
    CHECK_EQ(report()->at.record, h.x.w.records - 1);
    end();
}

TEST(reader_refuses_an_operation_that_is_none)
{
    struct folio_op op = {0};

    begin();
    buf_put(&op.head, "\x81\x01\xcc\xfa", 4); /* a verb that there is not */
    folio_add(&h.f, &h.ada, &op, 1);
    hearing_export(&h, "444--------3");
    hearing_fails_at(&h, 11, "an operation that cannot be read");
    memset(&op, 0, sizeof op);
    buf_put(&op.head, "\x81\x01\xcc\xfa", 4);
    h.f.outcome = CHOIR_UNSUPPORTED;
    folio_add(&h.f, &h.ada, &op, 1);
    hearing_export(&h, "444---------3");
    hearing_passes(&h);
    end();
}

TEST(reader_lets_nothing_else_pass_for_an_identity)
{
    static const char why[] = "an entry that says whose a key is, and does not";
    struct folio_op op = {0};

    begin();
    hearing_export(&h, "4444");
    hearing_fails_at(&h, 3, why);
    h.f.outcome = CHOIR_DENIED;
    folio_session(&h.f, &h.ada);
    hearing_export(&h, "444--------4");
    hearing_fails_at(&h, 11, why);
    hearing_export(&h, "444--------3");
    hearing_passes(&h);
    folio_session(&h.f, &h.ada);
    buf_put(&op.head, "\x81\x01\xcc\xfa", 4);
    h.f.outcome = CHOIR_UNSUPPORTED;
    folio_add(&h.f, &h.ada, &op, 1);
    hearing_export(&h, "444---------44");
    hearing_fails_at(&h, 13, "an operation that cannot be read");
    end();
}

TEST(reader_refuses_a_forged_signature)
{
    begin();
    h.f.forger = &h.bob.key;
    folio_put(&h.f, &h.ada, "k", "not hers");
    hearing_export(&h, "444--------3");
    hearing_fails_at(&h, 11, "a signature is forged");
    end();
}

TEST(reader_refuses_another_bundle_signature_of_the_same_bundle)
{
    begin();
    h.f.entries[5].signature[40] ^= 1;
    hearing_export(&h, "444333");
    hearing_fails_at(&h, 5, "a signature is forged");
    end();
}

CHECK_MAIN
