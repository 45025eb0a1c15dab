/* Vectors of exports: of one small ledger, whose broker's and agents' keys do
 * what keys do. */
#include "folio.h"
#include "proto/refusal.h"
#include "vectors.h"

struct scene {
    struct folio f;
    struct person ada, bob;
    json_t *file;
};

static const struct export_selection named = {.kind = EXPORT_OF_NAMED};
static const struct export_selection range = {
    .kind = EXPORT_OF_RANGE, .from = 3, .to = 8};
static const struct export_selection of_key = {
    .kind = EXPORT_OF_KEY,
    .space = {(const uint8_t *)"lab", 3},
    .key = {(const uint8_t *)"k", 1}};

/* 0 genesis, 1 admit ada, 2 her session, 3-5 three puts of one bundle, 6 bob
 * enrols, 7 his session, 8 his put, 9 ada's new key, 10 a session with it, 11
 * a put in it. */
static void scene_begin(struct scene *s)
{
    struct key_pair recovery = wire_key(0x30);

    folio_begin(&s->f);
    s->ada = folio_person(0x02);
    s->bob = folio_person(0x03);
    folio_admit(&s->f, &s->ada);
    folio_session(&s->f, &s->ada);
    folio_puts(&s->f, &s->ada, 3);
    folio_enrol(&s->f, &s->bob);
    folio_session(&s->f, &s->bob);
    folio_put(&s->f, &s->bob, "k", "bob's");
    folio_rotate(&s->f, &s->ada, 0x04, 1, recovery.public_key);
    s->ada.key = wire_key(0x04);
    folio_session(&s->f, &s->ada);
    folio_put(&s->f, &s->ada, "k", "ada's");
}

static json_t *export_case(struct scene *s, const char *list, const char *name,
                           const struct folio_export *x)
{
    json_t *c = vector_case(s->file, list, name);

    vector_hex(c, "broker_key", bytes_of(s->f.broker.key.public_key, 32));
    vector_hex(c, "bytes", buf_bytes(&x->file));
    return c;
}

static void count_say(json_t *c, const char *key, const char *kinds, char kind)
{
    uint64_t n = 0;

    for (; *kinds; kinds++)
        n += *kinds == kind;
    vector_int(c, key, n);
}

static void good(struct scene *s, const char *name,
                 const struct export_selection *what, const char *kinds)
{
    struct folio_export x;
    json_t *c;

    folio_export(&x, &s->f, &s->ada, what, kinds);
    c = export_case(s, "good", name, &x);
    vector_int(c, "size", s->f.count);
    count_say(c, "entries", kinds, '3');
    count_say(c, "identities", kinds, '4');
    vector_int(c, "missing", 0);
    folio_export_free(&x);
}

static void good_marked(struct scene *s, const char *name, const char *marks)
{
    struct folio_export x;
    struct buf part = {0};
    json_t *c;

    folio_export_begin(&x, &s->f, &s->bob, &named);
    for (uint64_t i = 0; i < 8; i++)
        if (i == 0 || i > 5)
            folio_export_entry(&x, EXPORT_IDENTITY, i);
    folio_evidence(&s->f, 8, marks, &part);
    export_entry(&x.w, EXPORT_ENTRY, buf_bytes(&part));
    x.next = 9;
    folio_export_end(&x, &s->bob);
    c = export_case(s, "good", name, &x);
    vector_int(c, "size", s->f.count);
    vector_int(c, "entries", 1);
    vector_int(c, "identities", 3);
    vector_int(c, "missing", 1);
    buf_free(&part);
    folio_export_free(&x);
}

/* --- What must be refused ------------------------------------------------ */

static void bad_at(struct scene *s, const char *name,
                   const struct folio_export *x, uint64_t record,
                   uint64_t offset)
{
    json_t *c = export_case(s, "bad", name, x);

    vector_text(c, "refusal", refusal_name(CHOIR_BROKEN));
    vector_int(c, "record", record);
    vector_int(c, "offset", offset);
}

/* Where record n of the file begins. */
static uint64_t offset_of(const struct folio_export *x, uint64_t n)
{
    uint64_t at = 4;

    for (; n; n--)
        at += 8 + get_u32(x->file.p + at + 4);
    return at;
}

static void bad_in(struct scene *s, const char *name,
                   const struct folio_export *x, uint64_t record)
{
    bad_at(s, name, x, record, offset_of(x, record));
}

static void bad(struct scene *s, const char *name,
                const struct person *exporter,
                const struct export_selection *what, const char *kinds,
                uint64_t record)
{
    struct folio_export x;

    folio_export(&x, &s->f, exporter, what, kinds);
    bad_in(s, name, &x, record);
    folio_export_free(&x);
}

/* kinds "444-" and so on: record 0 is the head, then entries, gaps between. */
static void bad_selections(struct scene *s)
{
    struct person stranger = folio_person(0x40), old = s->ada;

    old.key = wire_key(0x02);
    bad(s, "an entry that says whose a key is, and does not", &s->bob, &named,
        "4444--44", 4);
    bad(s, "a session that is not there", &s->bob, &named, "4-----4-3", 5);
    bad(s, "an enrolment that is not there", &s->bob, &named, "4------43", 3);
    bad(s, "a rotation that is not there", &s->bob, &named, "444---44--43", 8);
    bad(s, "a range with a hole", &s->bob, &range, "44433-33", 7);
    bad(s, "a range whose end is missing", &s->bob, &range, "4443333", 9);
    bad(s, "exported by one who is not there", &s->ada, &named, "4-----44", 6);
    bad(s, "exported by a stranger", &stranger, &named, "444------43", 8);
    bad(s, "exported with a key that has ended", &old, &named, "444------44",
        8);
    bad(s, "exported by the broker", &s->f.broker, &named, "444------44", 8);
}

/* Something is changed in the file, and all is signed again. */
static void bad_records(struct scene *s)
{
    struct folio_export x;
    struct buf gap = {0};

    folio_export(&x, &s->f, &s->bob, &named, "4-----443");
    x.file.n -= 7;
    bad_in(s, "cut off", &x, 7);
    x.file.n += 7;
    buf_put(&x.file, "", 1);
    bad_at(s, "a byte behind the end", &x, 8, x.file.n - 1);
    folio_export_free(&x);

    folio_export_begin(&x, &s->f, &s->bob, &named);
    folio_export_entry(&x, EXPORT_IDENTITY, 0);
    folio_export_entry(&x, EXPORT_ENTRY, 1);
    x.next = 1;
    folio_export_entry(&x, EXPORT_ENTRY, 1);
    bad_in(s, "an entry twice", &x, 3);
    folio_export_free(&x);

    folio_export_begin(&x, &s->f, &s->bob, &named);
    folio_export_entry(&x, EXPORT_IDENTITY, 0);
    x.next = 6;
    folio_export_entry(&x, EXPORT_IDENTITY, 6);
    bad_in(s, "no gap where entries are left out", &x, 2);
    folio_export_free(&x);

    folio_export_begin(&x, &s->f, &s->bob, &named);
    folio_export_entry(&x, EXPORT_IDENTITY, 0);
    folio_gap(&s->f, 1, 6, &gap);
    gap.p[gap.n - 1] ^= 1;
    export_gap(&x.w, buf_bytes(&gap));
    x.next = 6;
    folio_export_entry(&x, EXPORT_IDENTITY, 6);
    folio_export_end(&x, &s->bob);
    bad_in(s, "another hash in a gap", &x, 5);
    folio_export_free(&x);
    buf_free(&gap);
}

static void bad_entry(struct scene *s, const char *name, const char *marks,
                      enum field without, bool spoil)
{
    struct buf part = {0}, again = {0};
    struct folio_export x;
    unsigned field;
    struct msg m;

    folio_export_begin(&x, &s->f, &s->bob, &named);
    folio_export_entry(&x, EXPORT_IDENTITY, 0);
    folio_export_entry(&x, EXPORT_IDENTITY, 6);
    folio_export_entry(&x, EXPORT_IDENTITY, 7);
    folio_evidence(&s->f, 8, marks, &part);
    part_decode(MSG_EVIDENCE, buf_bytes(&part), &m, &field);
    if (without)
        m.has &= ~((field_mask)1 << without);
    if (spoil)
        part.p[msg_b(&m, FIELD_PAYLOAD).p - part.p + SLOT_SALT_BYTES] ^= 1;
    msg_encode(&m, &again);
    export_entry(&x.w, EXPORT_ENTRY, buf_bytes(&again));
    x.next = 9;
    folio_export_end(&x, &s->bob);
    bad_in(s, name, &x, 5);
    buf_free(&part);
    buf_free(&again);
    folio_export_free(&x);
}

/* The broker itself puts entries into its record that it must not. */
static void bad_operators(struct scene *s)
{
    struct person ada = s->ada;
    struct key_pair old = wire_key(0x02);

    s->f.forger = &s->f.broker.key;
    folio_put(&s->f, &s->ada, "k", "the broker's"); /* 12 */
    bad(s, "a forged signature", &s->bob, &named, "444---44-44-3", 11);
    ada.session = s->bob.session;
    folio_put(&s->f, &ada, "k", "in his session"); /* 13 */
    bad(s, "another agent's session", &s->bob, &named, "444---44-44--3", 11);
    ada.session = 2;
    ada.key = old;
    folio_put(&s->f, &ada, "k", "with her old key"); /* 14 */
    bad(s, "said with a key that has ended", &s->bob, &named, "444---44-44---3",
        11);
    folio_put(&s->f, &s->f.broker, "k", "an agent's to say"); /* 15 */
    bad(s, "the broker says what is not its own to say", &s->bob, &named,
        "4-----44-------3", 6);
}

json_t *vectors_exports(void)
{
    struct scene s = {.file = vector_file(
                          "Whole files, checked with the broker's key pinned. "
                          "bad: the record that must be named, and where it "
                          "begins.")};

    scene_begin(&s);
    good(&s, "a range", &range, "44433333-4");
    good(&s, "a key, across a rotation", &of_key, "444---443443");
    good(&s, "all that there is", &named, "333333333333");
    good(&s, "nothing but who exports it", &named, "444------4");
    good_marked(&s, "a payload erased", "1");
    good_marked(&s, "a payload compacted", "2");
    good_marked(&s, "a payload left out", "3");
    bad_selections(&s);
    bad_records(&s);
    bad_entry(&s, "a payload missing without a mark", NULL, FIELD_PAYLOAD,
              false);
    bad_entry(&s, "a payload missing with a mark for another slot", "30", 0,
              false);
    bad_entry(&s, "a mark that says nothing", "0", 0, false);
    bad_entry(&s, "another payload", NULL, 0, true);
    bad_operators(&s);
    folio_free(&s.f);
    return s.file;
}
