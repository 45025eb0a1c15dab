/* Fixed little-endian layouts; nothing that can be derived is stored twice. */
#include "record.h"

#include "refusal.h"
#include "slots.h"

enum { SUM_BYTES = 16, SUMMED_BYTES = SEGMENT_HEADER_BYTES - SUM_BYTES };

static const char segment_magic[9] = "CHOIRSEG";

static void sum16(uint8_t out[SUM_BYTES], struct bytes b)
{
    struct hash h = hash_of(HASH_SUM, b);

    memcpy(out, h.b, SUM_BYTES);
}

void segment_header_put(uint8_t out[SEGMENT_HEADER_BYTES],
                        const struct segment_header *s)
{
    memset(out, 0, SEGMENT_HEADER_BYTES);
    memcpy(out, segment_magic, 8);
    put_u32(out + 8, s->thin ? RECORD_FORMAT_THIN : RECORD_FORMAT);
    memcpy(out + 16, s->ledger.b, HASH_BYTES);
    put_u64(out + 48, s->number);
    put_u64(out + 56, s->first);
    put_u64(out + 64, s->epoch);
    memcpy(out + 72, s->nonce, SEGMENT_NONCE_BYTES);
    memcpy(out + 88, s->prev_group.b, HASH_BYTES);
    sum16(out + SUMMED_BYTES, bytes_of(out, SUMMED_BYTES));
}

int segment_header_get(struct segment_header *s,
                       const uint8_t in[SEGMENT_HEADER_BYTES], uint32_t *format)
{
    uint8_t sum[SUM_BYTES];

    *format = get_u32(in + 8);
    if (memcmp(in, segment_magic, 8) != 0)
        return CHOIR_MALFORMED;
    sum16(sum, bytes_of(in, SUMMED_BYTES));
    if (memcmp(sum, in + SUMMED_BYTES, SUM_BYTES) != 0)
        return CHOIR_MALFORMED;
    if (*format != RECORD_FORMAT && *format != RECORD_FORMAT_THIN)
        return CHOIR_UNSUPPORTED;
    s->thin = *format == RECORD_FORMAT_THIN;
    memcpy(s->ledger.b, in + 16, HASH_BYTES);
    s->number = get_u64(in + 48);
    s->first = get_u64(in + 56);
    s->epoch = get_u64(in + 64);
    memcpy(s->nonce, in + 72, SEGMENT_NONCE_BYTES);
    memcpy(s->prev_group.b, in + 88, HASH_BYTES);
    return 0;
}

void group_walk_begin(struct group_walk *w, const struct group_header *g,
                      struct bytes body)
{
    struct cursor c = cursor_of(body);
    struct bytes heads = cursor_take(&c, (size_t)g->heads_bytes);

    w->heads = cursor_of(heads);
    w->heads.failed = c.failed; /* shorter than it says */
    w->payload = c;
    w->heads_only = group_stored(g) && body.n == g->heads_bytes;
    w->thin = g->thin && !w->heads_only;
    w->marks = cursor_of((struct bytes){0});
    if (w->thin) {
        w->marks = cursor_of(cursor_take(&w->payload, cursor_u32(&w->payload)));
        w->heads.failed |= w->payload.failed;
    }
    w->index = g->first;
    w->time = g->time;
    w->bundles = g->bundles;
    w->entries = g->count;
    w->left = 0;
    w->bundle_hashes = NULL;
    w->unhashed = false;
    w->decoded = NULL;
    w->at.hider = NULL;
}

static int walk_bundle(struct group_walk *w)
{
    struct entry *e = &w->at;
    uint64_t count;
    unsigned field;

    e->header = cursor_take(&w->heads, cursor_u32(&w->heads));
    e->signature = cursor_take(&w->heads, KEY_SIGNATURE_BYTES).p;
    if (w->heads.failed ||
        part_decode(MSG_BUNDLE_HEADER, e->header, &e->bundle, &field))
        return CHOIR_MALFORMED;
    count = msg_u(&e->bundle, FIELD_COUNT);
    if (count == 0 || count > LIMIT_BUNDLE_OPS || count > w->entries)
        return CHOIR_MALFORMED;
    if (w->bundle_hashes)
        e->bundle_hash = *w->bundle_hashes++;
    else if (!w->unhashed)
        e->bundle_hash = bundle_hash(e->header);
    e->count = (uint32_t)count;
    e->session = msg_u(&e->bundle, FIELD_SESSION);
    w->left = e->count;
    w->entries -= e->count;
    w->bundles--;
    return 0;
}

uint64_t slots_kept_bytes(struct bytes rows, struct bytes marks)
{
    uint64_t n = 0;

    if (!marks.n)
        return slots_payload_bytes(rows);
    for (size_t i = 0; i < marks.n; i++) {
        if (marks.p[i] == SLOT_KEPT)
            n += SLOT_SALT_BYTES +
                 (uint64_t)get_u32(rows.p + i * SLOT_ROW_BYTES);
    }
    return n;
}

static bool marks_fit(struct bytes marks)
{
    for (size_t i = 0; i < marks.n; i++) {
        if (marks.p[i] > SLOT_COMPACTED)
            return false;
    }
    return true;
}

/* What decodes has its slots where head_slots finds them. */
static int walk_slots(struct group_walk *w, struct bytes head, bool effect,
                      struct bytes *rows)
{
    struct entry_decoded *d = w->decoded;
    unsigned field;
    int code;

    if (!d)
        return head_slots(head, rows);
    if (effect)
        code = d->effect_code =
            part_decode(MSG_EFFECT, head, &d->effect, &field);
    else
        code = d->head_code =
            msg_decode(head, CLASS_BROKER | CLASS_OPERATION, &d->head, &field);
    if (code)
        return head_slots(head, rows);
    *rows = msg_b(effect ? &d->effect : &d->head, FIELD_SLOTS);
    return 0;
}

static int walk_payload(struct group_walk *w, struct bytes head, bool effect,
                        struct bytes *rows, struct bytes *payload,
                        struct bytes *marks)
{
    uint64_t n;

    *rows = *payload = *marks = (struct bytes){0};
    if (head.n == 0)
        return 0;
    if (walk_slots(w, head, effect, rows))
        return CHOIR_MALFORMED;
    if (w->heads_only)
        return 0;
    if (w->thin)
        *marks = cursor_take(&w->marks, rows->n / SLOT_ROW_BYTES);
    if (w->marks.failed || !marks_fit(*marks))
        return CHOIR_MALFORMED;
    n = slots_kept_bytes(*rows, *marks);
    *payload = cursor_take(&w->payload, (size_t)n);
    return w->payload.failed ? CHOIR_MALFORMED : 0;
}

int group_walk_next(struct group_walk *w, const struct entry **entry)
{
    struct entry *e = &w->at;
    uint32_t n, word;

    if (w->left == 0) {
        if (w->bundles == 0)
            return w->entries || w->heads.failed || cursor_left(&w->heads) ||
                           cursor_left(&w->payload) || cursor_left(&w->marks)
                       ? CHOIR_MALFORMED
                       : CHOIR_NOT_FOUND;
        if (walk_bundle(w))
            return CHOIR_MALFORMED;
    }
    n = cursor_u32(&w->heads);
    word = cursor_u32(&w->heads);
    e->outcome = (int)(word >> 24);
    e->head = cursor_take(&w->heads, n);
    e->effect = cursor_take(&w->heads, word & 0xffffff);
    if (w->heads.failed ||
        walk_payload(w, e->head, false, &e->rows, &e->payload, &e->marks) ||
        walk_payload(w, e->effect, true, &e->effect_rows, &e->effect_payload,
                     &e->effect_marks))
        return CHOIR_MALFORMED;
    e->position = e->count - w->left;
    e->seq = msg_u(&e->bundle, FIELD_FIRST_SEQ) + e->position;
    e->index = w->index++;
    e->time = w->time;
    w->left--;
    *entry = e;
    return 0;
}

/* Most effects are empty: H("effect/1", nothing). */
static const struct hash effect_empty = {
    {0xe0, 0x52, 0x3e, 0x92, 0x91, 0x52, 0x05, 0xf1, 0x05, 0x5a, 0x30,
     0xac, 0x2f, 0x88, 0x2f, 0xf4, 0xc9, 0x99, 0x36, 0x82, 0x5f, 0x7c,
     0xd5, 0xd6, 0xc3, 0xca, 0xae, 0x3e, 0xe1, 0x95, 0x0d, 0xf0}};

struct hash effect_hash(struct bytes effect)
{
    return effect.n ? hash_of(HASH_EFFECT, effect) : effect_empty;
}

struct hash entry_leaf(const struct entry *e)
{
    struct hash operation = op_hash(e->head);

    return entry_leaf_of(e, &operation);
}

static void leaf_put(uint8_t leaf[ENTRY_LEAF_BYTES], const struct leaf_of *of,
                     const struct hash *statement, const struct hash *effect)
{
    put_u64(leaf, of->index);
    put_u64(leaf + 8, of->time);
    memcpy(leaf + 16, of->agent->b, HASH_BYTES);
    put_u64(leaf + 48, of->session);
    put_u64(leaf + 56, of->seq);
    memcpy(leaf + 64, statement->b, HASH_BYTES);
    put_u32(leaf + 96, (uint32_t)of->outcome);
    memcpy(leaf + 100, effect->b, HASH_BYTES);
}

struct hash entry_leaf_of(const struct entry *e, const struct hash *operation)
{
    struct hash agent = msg_hash(&e->bundle, FIELD_AGENT), statement, effect;
    struct leaf_of of = {
        .index = e->index,
        .time = e->time,
        .session = e->session,
        .seq = e->seq,
        .agent = &agent,
        .outcome = e->outcome,
    };
    uint8_t place[4], leaf[ENTRY_LEAF_BYTES];

    put_u32(place, e->position);
    statement = hash_parts(HASH_ENTRY, hash_bytes(&e->bundle_hash),
                           bytes_of(place, 4), hash_bytes(operation));
    effect = effect_hash(e->effect);
    leaf_put(leaf, &of, &statement, &effect);
    return tree_leaf(bytes_of(leaf, sizeof leaf));
}

enum { LEAVES_AT_ONCE = 64 };

static void statements_of(const struct leaf_of *of, size_t n, struct hash *out)
{
    uint8_t placed[LEAVES_AT_ONCE][4 + HASH_BYTES];
    struct hash_job jobs[LEAVES_AT_ONCE];

    for (size_t i = 0; i < n; i++) {
        put_u32(placed[i], of[i].position);
        memcpy(placed[i] + 4, of[i].operation->b, HASH_BYTES);
        jobs[i].a = hash_bytes(of[i].bundle);
        jobs[i].b = bytes_of(placed[i], sizeof placed[i]);
    }
    hash_many(HASH_ENTRY, jobs, n, out);
}

static void effects_of(const struct leaf_of *of, size_t n, struct hash *out)
{
    struct hash_job jobs[LEAVES_AT_ONCE];
    struct hash some[LEAVES_AT_ONCE];
    size_t k = 0;

    for (size_t i = 0; i < n; i++)
        if (of[i].effect.n)
            jobs[k++] = (struct hash_job){.a = of[i].effect};
    hash_many(HASH_EFFECT, jobs, k, some);
    k = 0;
    for (size_t i = 0; i < n; i++)
        out[i] = of[i].effect.n ? some[k++] : effect_empty;
}

void entry_leaves(const struct leaf_of *of, size_t n, struct hash *leaves)
{
    struct hash statements[LEAVES_AT_ONCE], effects[LEAVES_AT_ONCE];
    uint8_t data[LEAVES_AT_ONCE][ENTRY_LEAF_BYTES];

    for (size_t at = 0, some; at < n; at += some) {
        some = n - at < LEAVES_AT_ONCE ? n - at : LEAVES_AT_ONCE;
        statements_of(of + at, some, statements);
        effects_of(of + at, some, effects);
        for (size_t i = 0; i < some; i++)
            leaf_put(data[i], &of[at + i], &statements[i], &effects[i]);
        tree_leaves(data[0], ENTRY_LEAF_BYTES, some, leaves + at);
    }
}

/* --- What is there of an entry's payloads --------------------------------- */

static int slot_find(struct bytes rows, struct bytes payload,
                     struct bytes marks, size_t i, struct bytes *salt,
                     struct bytes *value)
{
    struct cursor c = cursor_of(payload);

    if (i >= rows.n / SLOT_ROW_BYTES)
        return CHOIR_NOT_FOUND;
    if (marks.n && marks.p[i] != SLOT_KEPT)
        return marks.p[i] == SLOT_ERASED      ? CHOIR_ERASED
               : marks.p[i] == SLOT_COMPACTED ? CHOIR_COMPACTED
                                              : CHOIR_NOT_FOUND;
    for (size_t k = 0; k <= i; k++) {
        if (marks.n && marks.p[k] != SLOT_KEPT)
            continue;
        *salt = cursor_take(&c, SLOT_SALT_BYTES);
        *value = cursor_take(&c, get_u32(rows.p + k * SLOT_ROW_BYTES));
    }
    return c.failed ? CHOIR_NOT_FOUND : 0;
}

int entry_slot(const struct entry *e, size_t slot, struct bytes *value)
{
    struct bytes salt;

    if (e->hider && e->hider->hides(e->hider->arg, e->index, slot))
        return CHOIR_ERASED;
    if (slot >= SLOT_EFFECT)
        return slot_find(e->effect_rows, e->effect_payload, e->effect_marks,
                         slot - SLOT_EFFECT, &salt, value);
    return slot_find(e->rows, e->payload, e->marks, slot, &salt, value);
}

size_t entry_slots(const struct entry *e)
{
    return (e->rows.n + e->effect_rows.n) / SLOT_ROW_BYTES;
}

uint8_t entry_slot_put(const struct entry *e, size_t n, struct buf *payload)
{
    size_t own = e->rows.n / SLOT_ROW_BYTES;
    struct bytes value;

    switch (entry_slot(e, n < own ? n : SLOT_EFFECT + n - own, &value)) {
    case CHOIR_OK: break;
    case CHOIR_ERASED: return SLOT_ERASED;
    default: return SLOT_COMPACTED;
    }
    if (payload)
        buf_put(payload, value.p - SLOT_SALT_BYTES, value.n + SLOT_SALT_BYTES);
    return SLOT_KEPT;
}

int entry_slots_check(const struct entry *e)
{
    struct slots s;

    slots_begin(&s);
    if (slots_add(&s, e->rows, e->payload, e->marks) ||
        slots_add(&s, e->effect_rows, e->effect_payload, e->effect_marks))
        return CHOIR_MALFORMED;
    return slots_end(&s);
}

static bool any_missing(struct bytes marks)
{
    for (size_t i = 0; i < marks.n; i++) {
        if (marks.p[i] != SLOT_KEPT)
            return true;
    }
    return false;
}

static bool any_hidden(const struct entry *e, struct bytes rows, size_t first)
{
    for (size_t i = 0; e->hider && i < rows.n / SLOT_ROW_BYTES; i++) {
        if (e->hider->hides(e->hider->arg, e->index, first + i))
            return true;
    }
    return false;
}

bool entry_is_thin(const struct entry *e)
{
    return any_missing(e->marks) || any_missing(e->effect_marks) ||
           any_hidden(e, e->rows, 0) ||
           any_hidden(e, e->effect_rows, SLOT_EFFECT);
}
