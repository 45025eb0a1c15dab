/* What an export shows: entries with their evidence, and of what lies between
 * them the hashes alone. All of it is about the tree of one size, so that an
 * answer says the same however often it is asked for. */
#include <errno.h>

#include "ask_private.h"
#include "proto/export.h"
#include "proto/refusal.h"

enum {
    ENTRIES_MAX = 256,
    ANSWER_BYTES = 1 << 20, /* then no further entry is told */
    STEPS_AHEAD = 256,      /* entries read over rather than sought */
    WITHOUT_PAYLOADS = 1,
};

int ask_entry(struct ask *q, uint64_t index, const struct entry **e)
{
    struct asks *a = q->a;
    uint64_t at;
    int r = 0;

    if (!a->proof_reader)
        r = ledger_reader_open(a->ledger, index, &a->proof_reader);
    at = r ? 0 : ledger_reader_index(a->proof_reader);
    if (!r && (at > index || index - at > STEPS_AHEAD))
        r = ledger_reader_seek(a->proof_reader, index);
    do {
        r = r ? r : ledger_reader_next(a->proof_reader, e);
    } while (!r && (*e)->index < index);
    return r;
}

/* --- Who may see it ------------------------------------------------------- */

int ask_may_see(struct ask *q, const struct entry *e)
{
    struct tap *tap = q->a->tap;
    int r;

    if (bytes_equal(msg_b(&e->bundle, FIELD_AGENT), hash_bytes(&q->agent->id)))
        return 0;
    r = tap_may(tap, e, q->agent, RIGHT_TAP);
    return r > 0 ? tap_may(tap, e, q->agent, RIGHT_READ) : r;
}

int ask_may_export(struct ask *q, const struct entry *e)
{
    return export_identifies(e, head_verb(e->head)) ? 0 : ask_may_see(q, e);
}

/* --- One of them ---------------------------------------------------------- */

/* The head's slots, then the effect's: marks if one is missing, payload if one
 * is there. */
static int slots_put(struct ask *q, const struct entry *e, bool shown,
                     struct msg *m, uint8_t marks[2 * LIMIT_SLOTS])
{
    size_t n = entry_slots(e);
    struct buf *payload = &q->a->part;
    bool missing = false;

    buf_clear(payload);
    for (size_t i = 0; i < n; i++) {
        marks[i] = entry_slot_put(e, i, shown ? payload : NULL);
        if (marks[i] == SLOT_KEPT && !shown)
            marks[i] = SLOT_LEFT_OUT;
        missing = missing || marks[i] != SLOT_KEPT;
    }
    if (missing)
        msg_set_b(m, FIELD_MARKS, bytes_of(marks, n));
    if (payload->n)
        msg_set_b(m, FIELD_PAYLOAD, buf_bytes(payload));
    return payload->failed ? -ENOMEM : 0;
}

/* Its values may be read, all of them, are wanted, and fit into a part, in
 * which there is less than a megabyte besides. */
static int payload_put(struct ask *q, const struct entry *e, struct msg *m,
                       uint8_t marks[2 * LIMIT_SLOTS])
{
    const uint64_t most = LIMIT_BUNDLE_BYTES - (1 << 20);
    bool wanted = msg_u(q->op, FIELD_KIND) != WITHOUT_PAYLOADS &&
                  (uint64_t)e->payload.n + e->effect_payload.n <= most;
    int r =
        wanted ? tap_may(q->a->tap, e, q->agent, RIGHT_READ) : CHOIR_NOT_FOUND;

    return r < 0 ? r : slots_put(q, e, r == 0, m, marks);
}

static void item_put(struct ask *q, uint64_t kind, uint64_t revision,
                     struct bytes value)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_u(&item, FIELD_KIND, kind);
    msg_set_u(&item, FIELD_REVISION, revision);
    msg_set_b(&item, FIELD_VALUE, value);
    msg_encode(&item, &q->a->items);
}

static int evidence_put(struct ask *q, const struct entry *e)
{
    uint8_t marks[2 * LIMIT_SLOTS];
    struct buf *text = &q->a->text;
    struct msg m;
    int r = tap_evidence(q->a->tap, e, &m);

    if (!r)
        r = payload_put(q, e, &m, marks);
    if (r)
        return r;
    m.verb = MSG_EVIDENCE;
    buf_clear(text);
    msg_encode(&m, text);
    item_put(q, EXPORT_ENTRY, e->index, buf_bytes(text));
    return text->failed ? -ENOMEM : 0;
}

static int gap_put(struct ask *q, uint64_t from, uint64_t to, uint64_t *items)
{
    struct buf *part = &q->a->part;
    int r;

    buf_clear(part);
    r = core_gap(q->a->with.core, &q->a->gaps, from, to, part);
    if (r || !part->n)
        return r;
    item_put(q, EXPORT_GAP, from, buf_bytes(part));
    ++*items;
    return 0;
}

/* --- All of them ---------------------------------------------------------- */

/* Those asked for: named one by one, or so many from one on. */
struct wanted {
    struct bytes named;
    uint64_t first, count;
};

static uint64_t wanted_at(const struct wanted *w, uint64_t i)
{
    return w->named.n ? get_u64(w->named.p + 8 * i) : w->first + i;
}

static int wanted_get(const struct ask *q, uint64_t size, struct wanted *w)
{
    uint64_t next = msg_u(q->op, FIELD_PREV);

    w->named = msg_b(q->op, FIELD_VALUE);
    w->first = msg_u(q->op, FIELD_REVISION);
    w->count = w->named.n / 8;
    if (!msg_has(q->op, FIELD_VALUE) && msg_has(q->op, FIELD_REVISION))
        w->count = msg_has(q->op, FIELD_COUNT) ? msg_u(q->op, FIELD_COUNT) : 1;
    else if (msg_has(q->op, FIELD_REVISION) || msg_has(q->op, FIELD_COUNT))
        return CHOIR_INVALID;
    if (w->named.n % 8 || w->count > ENTRIES_MAX || next > size)
        return CHOIR_INVALID;
    for (uint64_t i = 0; i < w->count; i++) {
        uint64_t at = wanted_at(w, i);

        if (at >= size)
            return CHOIR_FUTURE;
        if (at < next)
            return CHOIR_INVALID;
        next = at + 1;
    }
    return 0;
}

/* One that may not be seen ends the answer, or is the answer. */
static int entries_put(struct ask *q, const struct wanted *w, uint64_t *told,
                       uint64_t *items)
{
    uint64_t next = msg_u(q->op, FIELD_PREV);
    int r = 0;

    for (*told = 0; *told < w->count; ++*told) {
        uint64_t at = wanted_at(w, *told);
        const struct entry *e;

        if (q->a->items.n >= ANSWER_BYTES)
            return 0;
        r = ask_entry(q, at, &e);
        if (!r)
            r = ask_may_export(q, e);
        if (r == CHOIR_NOT_FOUND && *told)
            return 0;
        if (r == CHOIR_NOT_FOUND)
            msg_set_u(q->reply, FIELD_REVISION, at);
        if (!r)
            r = gap_put(q, next, at, items);
        if (!r)
            r = evidence_put(q, e);
        if (r)
            return r;
        ++*items;
        next = at + 1;
    }
    return w->count ? 0 : gap_put(q, next, q->a->gaps.size, items);
}

/* Nothing but a tree head: what all further asks are about. */
static int head_put(struct ask *q)
{
    struct core *core = q->a->with.core;
    uint64_t size = core_size(core);
    int r = core_gaps_begin(core, size, &q->a->gaps);

    if (r)
        return r;
    if (core_note(core, size, &q->a->gaps.root, &q->a->text))
        return -ENOMEM;
    msg_set_u(q->reply, FIELD_SIZE, size);
    msg_set_b(q->reply, FIELD_TEXT, buf_bytes(&q->a->text));
    return 0;
}

int ask_entries(struct ask *q)
{
    uint64_t size = msg_u(q->op, FIELD_SIZE), told, items = 0;
    struct wanted w;
    int r;

    if (!msg_has(q->op, FIELD_SIZE))
        return head_put(q);
    r = core_gaps_begin(q->a->with.core, size, &q->a->gaps);
    if (!r)
        r = wanted_get(q, size, &w);
    if (!r)
        r = entries_put(q, &w, &told, &items);
    if (r)
        return r;
    msg_set_u(q->reply, FIELD_COUNT, told);
    msg_set_list(q->reply, FIELD_ITEMS, items, buf_bytes(&q->a->items));
    return q->a->items.failed ? -ENOMEM : 0;
}
