/* What an entry of an export must fulfil, in the order in which
 * docs/export-format.md names it. */
#include "export_private.h"
#include "refusal.h"

/* The genesis says which ledger it is and with which key the tree head, that
 * the export's head brought, must be signed. */
static int genesis_take(struct export_reader *r, const struct entry *e)
{
    struct export_report *report = &r->report;
    const struct export_facts *f = &report->facts;
    const uint8_t *pinned = r->options.broker_key;
    int code;

    if (e->index != 0)
        return export_broken(r, "the first entry is not a genesis");
    code = authors_genesis(r->authors, e->head, &report->why);
    if (code)
        return code;
    if (!hash_equal(authors_ledger(r->authors), &f->ledger))
        return export_broken(r, "the genesis is not that of its ledger");
    memcpy(report->broker_key, authors_broker_key(r->authors),
           KEY_PUBLIC_BYTES);
    if (pinned && memcmp(pinned, report->broker_key, KEY_PUBLIC_BYTES) != 0)
        return export_broken(r,
                             "the broker's key is not the one that was pinned");
    report->pinned = pinned != NULL;
    code = note_get(&report->note, f->note, report->broker_key);
    if (code < 0)
        return code;
    if (code || !hash_equal(&report->note.ledger, &f->ledger))
        return export_broken(r, "its tree head is not signed by the broker");
    return f->selection.to > report->note.size /* of a range */
               ? export_broken(r, "a range beyond the tree head's size")
               : 0;
}

/* Entries of a bundle follow one another: its signature is checked once. */
static int signature_take(struct export_reader *r, const struct entry *e)
{
    const struct hash *ledger = authors_ledger(r->authors);
    const struct export_options *o = &r->options;
    const uint8_t *key = authors_key(r->authors);
    int code;

    if (r->has_bundle && hash_equal(&r->bundle, &e->bundle_hash) &&
        memcmp(r->signature, e->signature, KEY_SIGNATURE_BYTES) == 0)
        return 0;
    code = o->signature ? o->signature(o->context, key, ledger, e->header,
                                       e->signature, &r->report.at)
                        : key_verify(key, KEY_FOR_BUNDLE, ledger, e->header,
                                     e->signature);
    if (code)
        return code < 0 ? code : export_broken(r, "a signature is forged");
    r->has_bundle = true;
    r->bundle = e->bundle_hash;
    memcpy(r->signature, e->signature, KEY_SIGNATURE_BYTES);
    r->report.bundles++;
    return 0;
}

static int bundle_take(struct export_reader *r, const struct entry *e)
{
    struct author_bundle b = {
        .ledger = msg_hash(&e->bundle, FIELD_LEDGER),
        .agent = msg_hash(&e->bundle, FIELD_AGENT),
        .hash = e->bundle_hash,
        .session = e->session,
        .kind = msg_u(&e->bundle, FIELD_KIND),
        .format = msg_u(&e->bundle, FIELD_FORMAT),
        .first = e->index - e->position,
        .public_key = msg_b(&e->bundle, FIELD_PUBLIC_KEY),
    };
    int code = authors_bundle(r->authors, &b, &r->report.why);

    return code ? code : signature_take(r, e);
}

bool export_identifies(const struct entry *e, unsigned verb)
{
    switch (verb) {
    case MSG_GENESIS:
    case MSG_ADMIT:
    case MSG_ENROL:
    case MSG_SESSION_OPEN:
    case MSG_ROTATE:
    case MSG_RECOVER:
    case MSG_REVOKE:
    case MSG_SUSPECT: return e->outcome == CHOIR_OK;
    default: return false;
    }
}

/* What was refused as unsupported may be anything; all else is decoded. */
static int operation_take(struct export_reader *r, enum export_record kind,
                          const struct entry *e)
{
    struct msg m, effect;
    unsigned field;
    int code;

    if (refusal_class(e->outcome) != REFUSAL_OUTCOME)
        return export_broken(r, "an outcome that is none");
    if (e->index == 0 && e->outcome != CHOIR_OK)
        return export_broken(r, "the first entry is not a genesis");
    if (e->outcome == CHOIR_UNSUPPORTED && kind == EXPORT_ENTRY)
        return 0;
    if (msg_decode(e->head, CLASS_BROKER | CLASS_OPERATION, &m, &field))
        return export_broken(r, "an operation that cannot be read");
    if (e->effect.n && part_decode(MSG_EFFECT, e->effect, &effect, &field))
        return export_broken(r, "an effect that cannot be read");
    if (kind == EXPORT_IDENTITY && !export_identifies(e, m.verb))
        return export_broken(r, "an entry that says whose a key is, and does "
                                "not");
    code = authors_may_say(r->authors, m.verb, &r->report.why);
    if (!code && e->outcome == CHOIR_OK)
        code = authors_learn(r->authors, e->index, &m, &r->report.why);
    return code;
}

static void marks_count(struct export_report *report, struct bytes rows,
                        struct bytes marks)
{
    uint64_t *counts[] = {&report->payloads, &report->erased,
                          &report->compacted, &report->left_out};

    for (size_t i = 0; i < rows.n / SLOT_ROW_BYTES; i++)
        ++*counts[marks.n ? marks.p[i] : SLOT_KEPT];
}

static int payload_take(struct export_reader *r, struct entry *e)
{
    struct export_report *report = &r->report;

    if (entry_split_payload(e) || entry_slots_check(e))
        return export_broken(r, "a payload does not fit its hash, or is not "
                                "there as its marks say");
    marks_count(report, e->rows, e->marks);
    marks_count(report, e->effect_rows, e->effect_marks);
    report->payload_bytes += e->payload.n + e->effect_payload.n;
    return 0;
}

static void entry_count(struct export_reader *r, enum export_record kind,
                        const struct entry *e)
{
    struct export_report *report = &r->report;

    report->agents = authors_agents(r->authors);
    report->sessions = authors_sessions(r->authors);
    if (kind == EXPORT_IDENTITY) {
        report->identities++;
        return;
    }
    if (report->entries++ == 0)
        report->first_time = e->time;
    report->last_time = e->time;
}

static int author_take(struct export_reader *r, enum export_record kind,
                       const struct entry *e)
{
    struct hash author = msg_hash(&e->bundle, FIELD_AGENT);

    return kind == EXPORT_IDENTITY || authors_by_broker(r->authors) ||
                   export_trusts(r, &author)
               ? 0
               : export_broken(r, "its author is not an agent you trust");
}

static int entry_check(struct export_reader *r, enum export_record kind,
                       struct evidence *v)
{
    struct entry *e = &v->e;
    int code = r->tree.size == 0 ? genesis_take(r, e) : 0;

    if (!code)
        code = export_reach(r, e->index);
    if (!code && e->index >= r->report.note.size)
        code = export_broken(r, "an entry beyond the tree head's size");
    if (!code)
        code = entry_check_place(e, v->path, &r->report.why);
    if (!code)
        code = bundle_take(r, e);
    if (!code)
        code = operation_take(r, kind, e);
    return code ? code : payload_take(r, e);
}

/* Each is written in one way only. */
static bool evidence_is_plain(const struct evidence *v)
{
    const struct entry *e = &v->e;

    return !v->public_key && !(e->payload.p && !e->payload.n) &&
           !(e->marks.p && !e->marks.n) && e->position <= e->index &&
           e->count <= LIMIT_BUNDLE_OPS;
}

int export_entry_take(struct export_reader *r, enum export_record kind,
                      struct bytes body)
{
    struct evidence v;
    int code;

    code = evidence_get(&v, body);
    r->report.at.index = v.e.index;
    r->report.at.has_index = !code;
    if (code || !evidence_is_plain(&v))
        return export_broken(r, "an entry that does not follow the "
                                "specification");
    code = entry_check(r, kind, &v);
    if (!code)
        code = author_take(r, kind, &v.e);
    if (code)
        return code;
    frontier_add(&r->tree, entry_leaf(&v.e));
    entry_count(r, kind, &v.e);
    return r->options.entry
               ? r->options.entry(r->options.entry_context, kind, &v.e)
               : 0;
}
