/* Fixed little-endian layouts; nothing that can be derived is stored twice. */
#include "record.h"

#include <errno.h>

#include "refusal.h"

enum { SUM_BYTES = 16, HASHED_BYTES = 96, SUMMED_BYTES = 128 };

static const char segment_magic[9] = "CHOIRSEG";
static const char group_magic[5] = "CHGR";
static const char thin_magic[5] = "CHGT";

static void sum16(uint8_t out[SUM_BYTES], struct bytes a, struct bytes b,
                  struct bytes c)
{
    struct hash h = hash_parts(HASH_SUM, a, b, c);

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
    sum16(out + 128, bytes_of(out, 128), (struct bytes){0}, (struct bytes){0});
}

int segment_header_get(struct segment_header *s,
                       const uint8_t in[SEGMENT_HEADER_BYTES], uint32_t *format)
{
    uint8_t sum[SUM_BYTES];

    *format = get_u32(in + 8);
    if (memcmp(in, segment_magic, 8) != 0)
        return CHOIR_MALFORMED;
    sum16(sum, bytes_of(in, 128), (struct bytes){0}, (struct bytes){0});
    if (memcmp(sum, in + 128, SUM_BYTES) != 0)
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

uint64_t group_bytes(const struct group_header *g)
{
    uint64_t n = GROUP_HEADER_BYTES + g->heads_bytes + group_stored(g);

    return (n + GROUP_ALIGN - 1) / GROUP_ALIGN * GROUP_ALIGN;
}

static void header_sum(uint8_t out[SUM_BYTES],
                       const uint8_t header[GROUP_HEADER_BYTES],
                       const uint8_t nonce[SEGMENT_NONCE_BYTES],
                       uint64_t offset)
{
    uint8_t place[8];

    put_u64(place, offset);
    sum16(out, bytes_of(nonce, SEGMENT_NONCE_BYTES), bytes_of(place, 8),
          bytes_of(header, GROUP_HEADER_BYTES - SUM_BYTES));
}

int group_header_get(struct group_header *g,
                     const uint8_t in[GROUP_HEADER_BYTES],
                     const uint8_t nonce[SEGMENT_NONCE_BYTES], uint64_t offset)
{
    uint8_t sum[SUM_BYTES];

    g->thin = memcmp(in, thin_magic, 4) == 0;
    if (!g->thin && (memcmp(in, group_magic, 4) != 0 || get_u32(in + 4) != 0))
        return CHOIR_MALFORMED;
    header_sum(sum, in, nonce, offset);
    if (memcmp(sum, in + GROUP_HEADER_BYTES - SUM_BYTES, SUM_BYTES) != 0)
        return CHOIR_MALFORMED;
    g->epoch = get_u64(in + 8);
    g->first = get_u64(in + 16);
    g->count = get_u32(in + 24);
    g->bundles = get_u32(in + 28);
    g->heads_bytes = get_u64(in + 32);
    g->payload_bytes = get_u64(in + 40);
    g->thin_bytes = get_u32(in + 4);
    g->synced = get_u64(in + 48);
    g->time = get_u64(in + 56);
    memcpy(g->prev.b, in + 64, HASH_BYTES);
    memcpy(g->hash.b, in + HASHED_BYTES, HASH_BYTES);
    memcpy(g->sum, in + SUMMED_BYTES, SUM_BYTES);
    if (g->heads_bytes > UINT32_MAX || g->payload_bytes > UINT32_MAX)
        return CHOIR_MALFORMED;
    return 0;
}

int group_check_heads(const struct group_header *g,
                      const uint8_t header[GROUP_HEADER_BYTES],
                      struct bytes heads)
{
    uint8_t first[HASHED_BYTES]; /* as it was written first */
    struct hash h;

    memcpy(first, header, HASHED_BYTES);
    memcpy(first, group_magic, 4);
    put_u32(first + 4, 0);
    h = hash_parts(HASH_GROUP, bytes_of(first, HASHED_BYTES), heads,
                   (struct bytes){0});
    return heads.n == g->heads_bytes && hash_equal(&h, &g->hash)
               ? 0
               : CHOIR_MALFORMED;
}

int group_check(const struct group_header *g,
                const uint8_t header[GROUP_HEADER_BYTES], struct bytes body)
{
    uint8_t sum[SUM_BYTES];

    if (body.n != g->heads_bytes + group_stored(g))
        return CHOIR_MALFORMED;
    sum16(sum, bytes_of(header, SUMMED_BYTES), body, (struct bytes){0});
    if (memcmp(sum, g->sum, SUM_BYTES) != 0)
        return CHOIR_MALFORMED;
    return group_check_heads(g, header,
                             bytes_of(body.p, (size_t)g->heads_bytes));
}

void group_begin(struct group *g, uint64_t epoch, uint64_t first, uint64_t time)
{
    g->h = (struct group_header){
        .epoch = epoch,
        .first = first,
        .time = time,
    };
    buf_clear(&g->heads);
    buf_clear(&g->payload);
}

void group_add_bundle(struct group *g, struct bytes header,
                      const uint8_t signature[KEY_SIGNATURE_BYTES])
{
    buf_put_u32(&g->heads, (uint32_t)header.n);
    buf_put(&g->heads, header.p, header.n);
    buf_put(&g->heads, signature, KEY_SIGNATURE_BYTES);
    g->h.bundles++;
}

void group_add(struct group *g, struct bytes head, struct bytes payload,
               int outcome, struct bytes effect, struct bytes effect_payload)
{
    buf_put_u32(&g->heads, (uint32_t)head.n);
    buf_put_u32(&g->heads, (uint32_t)outcome << 24 | (uint32_t)effect.n);
    buf_put(&g->heads, head.p, head.n);
    buf_put(&g->heads, effect.p, effect.n);
    buf_put(&g->payload, payload.p, payload.n);
    buf_put(&g->payload, effect_payload.p, effect_payload.n);
    g->h.count++;
}

int group_finish(struct group *g, uint64_t synced, const struct hash *prev,
                 const uint8_t nonce[SEGMENT_NONCE_BYTES], uint64_t offset,
                 uint8_t out[GROUP_HEADER_BYTES])
{
    if (g->heads.failed || g->payload.failed)
        return -ENOMEM;
    g->h.heads_bytes = g->heads.n;
    g->h.payload_bytes = g->payload.n;
    g->h.synced = synced;
    g->h.prev = *prev;
    memcpy(out, group_magic, 4);
    put_u32(out + 4, 0);
    put_u64(out + 8, g->h.epoch);
    put_u64(out + 16, g->h.first);
    put_u32(out + 24, g->h.count);
    put_u32(out + 28, g->h.bundles);
    put_u64(out + 32, g->h.heads_bytes);
    put_u64(out + 40, g->h.payload_bytes);
    put_u64(out + 48, g->h.synced);
    put_u64(out + 56, g->h.time);
    memcpy(out + 64, prev->b, HASH_BYTES);
    g->h.hash = hash_parts(HASH_GROUP, bytes_of(out, HASHED_BYTES),
                           buf_bytes(&g->heads), (struct bytes){0});
    memcpy(out + HASHED_BYTES, g->h.hash.b, HASH_BYTES);
    sum16(g->h.sum, bytes_of(out, SUMMED_BYTES), buf_bytes(&g->heads),
          buf_bytes(&g->payload));
    memcpy(out + SUMMED_BYTES, g->h.sum, SUM_BYTES);
    header_sum(out + GROUP_HEADER_BYTES - SUM_BYTES, out, nonce, offset);
    return 0;
}

void group_free(struct group *g)
{
    buf_free(&g->heads);
    buf_free(&g->payload);
}

void group_again(uint8_t header[GROUP_HEADER_BYTES], bool thin,
                 struct bytes body, uint64_t heads_bytes,
                 const uint8_t nonce[SEGMENT_NONCE_BYTES], uint64_t offset)
{
    memcpy(header, thin ? thin_magic : group_magic, 4);
    put_u32(header + 4, thin ? (uint32_t)(body.n - heads_bytes) : 0);
    sum16(header + SUMMED_BYTES, bytes_of(header, SUMMED_BYTES), body,
          (struct bytes){0});
    header_sum(header + GROUP_HEADER_BYTES - SUM_BYTES, header, nonce, offset);
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
    e->bundle_hash =
        w->bundle_hashes ? *w->bundle_hashes++ : bundle_hash(e->header);
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

static struct hash leaf_hash(const struct leaf_of *of,
                             const struct hash *statement,
                             const struct hash *effect)
{
    uint8_t leaf[ENTRY_LEAF_BYTES];

    put_u64(leaf, of->index);
    put_u64(leaf + 8, of->time);
    memcpy(leaf + 16, of->agent->b, HASH_BYTES);
    put_u64(leaf + 48, of->session);
    put_u64(leaf + 56, of->seq);
    memcpy(leaf + 64, statement->b, HASH_BYTES);
    put_u32(leaf + 96, (uint32_t)of->outcome);
    memcpy(leaf + 100, effect->b, HASH_BYTES);
    return tree_leaf(bytes_of(leaf, sizeof leaf));
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
    uint8_t place[4];

    put_u32(place, e->position);
    statement = hash_parts(HASH_ENTRY, hash_bytes(&e->bundle_hash),
                           bytes_of(place, 4), hash_bytes(operation));
    effect = effect_hash(e->effect);
    return leaf_hash(&of, &statement, &effect);
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

    for (size_t at = 0, some; at < n; at += some) {
        some = n - at < LEAVES_AT_ONCE ? n - at : LEAVES_AT_ONCE;
        statements_of(of + at, some, statements);
        effects_of(of + at, some, effects);
        for (size_t i = 0; i < some; i++)
            leaves[at + i] =
                leaf_hash(&of[at + i], &statements[i], &effects[i]);
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

int entry_slot_salted(const struct entry *e, size_t slot, struct bytes *salted)
{
    struct bytes value = {0};
    int r = entry_slot(e, slot, &value);

    if (!r)
        *salted =
            bytes_of(value.p - SLOT_SALT_BYTES, value.n + SLOT_SALT_BYTES);
    return r;
}

/* One after the other: only a thin section needs it. */
static int thin_check(struct bytes rows, struct bytes payload,
                      struct bytes marks)
{
    for (size_t i = 0; i < marks.n; i++) {
        struct bytes row =
            bytes_of(rows.p + i * SLOT_ROW_BYTES, SLOT_ROW_BYTES);
        struct bytes salt, value;
        struct hash h;

        if (marks.p[i] != SLOT_KEPT)
            continue;
        if (slot_find(rows, payload, marks, i, &salt, &value))
            return CHOIR_MALFORMED;
        h = hash_parts(HASH_SLOT, salt, value, (struct bytes){0});
        if (memcmp(h.b, row.p + 4, HASH_BYTES) != 0)
            return CHOIR_MALFORMED;
    }
    return 0;
}

static int section_check(struct bytes rows, struct bytes payload,
                         struct bytes marks)
{
    return marks.n ? thin_check(rows, payload, marks)
                   : slots_check(rows, payload);
}

int entry_slots_check(const struct entry *e)
{
    int r = section_check(e->rows, e->payload, e->marks);

    return r ? r
             : section_check(e->effect_rows, e->effect_payload,
                             e->effect_marks);
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
