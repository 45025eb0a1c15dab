/* Opening goes from cheap to dear, so that a stranger's garbage costs little:
 * shape and header, then one signature, then the operations. */
#include "bundle.h"

#include <errno.h>
#include <stdlib.h>

#include "pack.h"
#include "refusal.h"
#include "slots.h"

/* Hashed side by side; what they take stands on the stack. */
enum { OPS_AT_ONCE = 64 };

static const uint8_t magic[4] = {'C', 'H', 'B', '1'};

static void header_facts(struct bundle *b, const struct msg *h)
{
    b->kind = (unsigned)msg_u(h, FIELD_KIND);
    b->ledger = msg_hash(h, FIELD_LEDGER);
    b->agent = msg_hash(h, FIELD_AGENT);
    b->prev_hash = msg_hash(h, FIELD_PREV_HASH);
    b->root = msg_hash(h, FIELD_ROOT);
    b->session = msg_u(h, FIELD_SESSION);
    b->first_seq = msg_u(h, FIELD_FIRST_SEQ);
    b->answered = msg_u(h, FIELD_ANSWERED);
    b->seen = msg_u(h, FIELD_SEEN);
    b->has_seen_root = msg_has(h, FIELD_SEEN_ROOT);
    b->seen_root = msg_hash(h, FIELD_SEEN_ROOT);
    b->labels = msg_b(h, FIELD_LABELS);
    b->label_count = (uint32_t)msg_u(h, FIELD_LABELS);
    b->epoch = msg_u(h, FIELD_EPOCH);
    b->time = msg_u(h, FIELD_TIME);
    b->count = (uint32_t)msg_u(h, FIELD_COUNT);
    b->has_key = msg_has(h, FIELD_PUBLIC_KEY);
    if (b->has_key)
        memcpy(b->public_key, msg_b(h, FIELD_PUBLIC_KEY).p, KEY_PUBLIC_BYTES);
}

int bundle_open(struct bundle *b, struct bytes frame)
{
    struct cursor c = cursor_of(frame);
    struct bytes mark = cursor_take(&c, sizeof magic);
    uint32_t n = cursor_u32(&c);
    struct msg h;
    unsigned field;
    int r;

    if (c.failed || memcmp(mark.p, magic, sizeof magic) != 0 ||
        n > LIMIT_HEADER_BYTES)
        return CHOIR_MALFORMED;
    b->header = cursor_take(&c, n);
    b->signature = cursor_take(&c, KEY_SIGNATURE_BYTES).p;
    if (c.failed)
        return CHOIR_MALFORMED;
    r = part_decode(MSG_BUNDLE_HEADER, b->header, &h, &field);
    if (r)
        return r;
    if (msg_u(&h, FIELD_FORMAT) != 1)
        return CHOIR_UNSUPPORTED;
    /* no operation's number may exceed what the wire can carry back */
    if (msg_u(&h, FIELD_COUNT) - 1 >= LIMIT_BUNDLE_OPS ||
        msg_u(&h, FIELD_FIRST_SEQ) + msg_u(&h, FIELD_COUNT) - 1 >
            LIMIT_UINT_MAX_WIRE)
        return CHOIR_MALFORMED;
    header_facts(b, &h);
    if (b->kind != BUNDLE_RECORD && b->kind != BUNDLE_ASK)
        return CHOIR_MALFORMED;
    /* a session has one key; only what opens one must name it */
    if (b->has_key != (b->session == 0))
        return CHOIR_MALFORMED;
    b->hash = bundle_hash(b->header);
    b->rest = bytes_of(c.p, cursor_left(&c));
    return 0;
}

int bundle_verify(const struct bundle *b,
                  const uint8_t public_key[KEY_PUBLIC_BYTES])
{
    return key_verify_often(public_key, KEY_FOR_BUNDLE, &b->ledger, b->header,
                            b->signature);
}

static int ops_reserve(struct bundle *b)
{
    struct bundle_op *ops;
    struct hash *leaves;

    if (b->cap >= b->count)
        return 0;
    ops = realloc(b->ops, b->count * sizeof *ops);
    if (!ops)
        return -ENOMEM;
    b->ops = ops;
    leaves = realloc(b->leaves, b->count * sizeof *leaves);
    if (!leaves)
        return -ENOMEM;
    b->leaves = leaves;
    b->cap = b->count;
    return 0;
}

/* Even an operation that is not supported must say where its payload ends. */
static int op_open(struct bundle_op *op, unsigned classes)
{
    struct msg m;

    op->rows = op->space = op->key = (struct bytes){0};
    op->refusal = msg_decode(op->head, classes, &m, &op->field);
    if (op->refusal == CHOIR_UNSUPPORTED)
        return head_slots(op->head, &op->rows);
    if (op->refusal)
        return op->refusal;
    op->rows = msg_b(&m, FIELD_SLOTS);
    op->space = msg_b(&m, FIELD_SPACE);
    op->key = msg_b(&m, FIELD_KEY);
    if (classes & CLASS_OPERATION) /* nobody looks at those of asks */
        brief_keep(&op->brief, &m);
    else
        op->brief.count = BRIEF_FIELDS + 1;
    return 0;
}

int bundle_decode(struct bundle *b, unsigned classes)
{
    struct cursor c = cursor_of(b->rest);
    int r = ops_reserve(b);

    if (r)
        return r;
    for (uint32_t i = 0; i < b->count; i++) {
        struct bundle_op *op = &b->ops[i];

        op->head = cursor_take(&c, cursor_u32(&c));
        if (c.failed || op->head.n > LIMIT_HEAD_BYTES || op_open(op, classes))
            return CHOIR_MALFORMED;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        struct bundle_op *op = &b->ops[i];

        op->payload = cursor_take(&c, (size_t)slots_payload_bytes(op->rows));
    }
    return c.failed || cursor_left(&c) ? CHOIR_MALFORMED : 0;
}

/* Many at a time. */
static void ops_hash(struct bundle *b)
{
    struct hash_job jobs[OPS_AT_ONCE];

    for (uint32_t i = 0, n; i < b->count; i += n) {
        n = b->count - i < OPS_AT_ONCE ? b->count - i : OPS_AT_ONCE;
        for (uint32_t k = 0; k < n; k++)
            jobs[k] = (struct hash_job){.a = b->ops[i + k].head};
        hash_many(HASH_OP, jobs, n, &b->leaves[i]);
    }
    for (uint32_t i = 0; i < b->count; i++)
        b->ops[i].hash = b->leaves[i];
}

int bundle_covers_heads(struct bundle *b)
{
    struct hash root;

    ops_hash(b);
    root = merkle_shrink(b->leaves, b->count);
    return hash_equal(&root, &b->root) ? 0 : CHOIR_MALFORMED;
}

int bundle_covers_payloads(const struct bundle *b)
{
    struct slots slots;

    slots_begin(&slots);
    for (uint32_t i = 0; i < b->count; i++)
        if (slots_add(&slots, b->ops[i].rows, b->ops[i].payload,
                      (struct bytes){0}))
            return CHOIR_MALFORMED;
    return slots_end(&slots) ? CHOIR_MALFORMED : 0;
}

int bundle_covers(struct bundle *b)
{
    int r = bundle_covers_heads(b);

    return r ? r : bundle_covers_payloads(b);
}

int bundle_check(struct bundle *b, unsigned classes)
{
    int r = bundle_decode(b, classes);

    return r ? r : bundle_covers(b);
}

void bundle_free(struct bundle *b)
{
    free(b->ops);
    free(b->leaves);
    *b = (struct bundle){0};
}

int head_slots(struct bytes head, struct bytes *rows)
{
    struct cursor c = cursor_of(head);
    struct pack_item item;
    uint64_t n, last = 0;

    *rows = (struct bytes){0};
    if (pack_next(&c, &item) || item.kind != PACK_MAP)
        return CHOIR_MALFORMED;
    for (n = item.u; n > 0; n--) {
        if (pack_next(&c, &item) || item.kind != PACK_UINT || item.u <= last)
            return CHOIR_MALFORMED; /* no field has the number 0 */
        last = item.u;
        if (last != FIELD_SLOTS) {
            if (pack_skip(&c))
                return CHOIR_MALFORMED;
            continue;
        }
        if (pack_next(&c, &item) || item.kind != PACK_BYTES ||
            item.bytes.n % SLOT_ROW_BYTES != 0 ||
            item.bytes.n / SLOT_ROW_BYTES > LIMIT_SLOTS)
            return CHOIR_MALFORMED;
        *rows = item.bytes;
    }
    return cursor_left(&c) ? CHOIR_MALFORMED : 0;
}

uint64_t slots_payload_bytes(struct bytes rows)
{
    uint64_t n = 0;

    for (size_t at = 0; at < rows.n; at += SLOT_ROW_BYTES)
        n += SLOT_SALT_BYTES + (uint64_t)get_u32(rows.p + at);
    return n;
}

int slot_at(struct bytes rows, struct bytes payload, size_t i,
            struct bytes *salt, struct bytes *value)
{
    struct cursor c = cursor_of(payload);

    if (i >= rows.n / SLOT_ROW_BYTES)
        return CHOIR_NOT_FOUND;
    for (size_t k = 0; k <= i; k++) {
        *salt = cursor_take(&c, SLOT_SALT_BYTES);
        *value = cursor_take(&c, get_u32(rows.p + k * SLOT_ROW_BYTES));
    }
    return c.failed ? CHOIR_NOT_FOUND : 0;
}

struct hash op_hash(struct bytes head)
{
    return hash_of(HASH_OP, head);
}

struct hash bundle_hash(struct bytes header)
{
    return hash_of(HASH_BUNDLE, header);
}

void bundle_begin(struct bundle_writer *w)
{
    buf_clear(&w->copies);
    w->count = 0;
}

static int part_reserve(struct bundle_writer *w)
{
    size_t cap = w->cap ? 2 * w->cap : OPS_AT_ONCE;
    struct bundle_part *parts;
    struct hash *leaves;

    if (w->count < w->cap)
        return 0;
    parts = realloc(w->parts, cap * sizeof *parts);
    if (!parts)
        return -ENOMEM;
    w->parts = parts;
    leaves = realloc(w->leaves, cap * sizeof *leaves);
    if (!leaves)
        return -ENOMEM;
    w->leaves = leaves;
    w->cap = cap;
    return 0;
}

int bundle_lend(struct bundle_writer *w, struct bytes head,
                struct bytes payload)
{
    if (part_reserve(w))
        return -ENOMEM;
    w->parts[w->count++] = (struct bundle_part){head, payload};
    return 0;
}

int bundle_add(struct bundle_writer *w, struct bytes head, struct bytes payload)
{
    buf_put(&w->copies, head.p, head.n);
    buf_put(&w->copies, payload.p, payload.n);
    if (w->copies.failed)
        return -ENOMEM;
    return bundle_lend(w, bytes_of(NULL, head.n), bytes_of(NULL, payload.n));
}

void bundle_header_put(struct buf *out, const struct bundle_facts *f,
                       const struct hash *root, uint32_t count)
{
    struct msg h;

    msg_init(&h, MSG_BUNDLE_HEADER);
    msg_set_hash(&h, FIELD_AGENT, &f->agent);
    if (f->public_key)
        msg_set_b(&h, FIELD_PUBLIC_KEY,
                  bytes_of(f->public_key, KEY_PUBLIC_BYTES));
    msg_set_u(&h, FIELD_TIME, f->time);
    msg_set_u(&h, FIELD_SESSION, f->session);
    msg_set_hash(&h, FIELD_ROOT, root);
    msg_set_u(&h, FIELD_EPOCH, f->epoch);
    msg_set_u(&h, FIELD_FORMAT, 1);
    msg_set_hash(&h, FIELD_LEDGER, &f->ledger);
    msg_set_u(&h, FIELD_FIRST_SEQ, f->first_seq);
    msg_set_hash(&h, FIELD_PREV_HASH, &f->prev_hash);
    msg_set_u(&h, FIELD_ANSWERED, f->answered);
    msg_set_u(&h, FIELD_SEEN, f->seen);
    if (f->label_count)
        msg_set_list(&h, FIELD_LABELS, f->label_count, f->labels);
    if (f->trace_count)
        msg_set_list(&h, FIELD_TRACE, f->trace_count, f->trace);
    msg_set_u(&h, FIELD_COUNT, count);
    msg_set_u(&h, FIELD_KIND, f->kind);
    if (f->seen_root)
        msg_set_hash(&h, FIELD_SEEN_ROOT, f->seen_root);
    msg_encode(&h, out);
}

/* Copies do not move any more: where they lie. */
static void parts_settle(struct bundle_writer *w)
{
    struct cursor c = cursor_of(buf_bytes(&w->copies));

    for (size_t i = 0; i < w->count; i++) {
        struct bundle_part *part = &w->parts[i];

        if (part->head.p)
            continue;
        part->head = cursor_take(&c, part->head.n);
        part->payload = cursor_take(&c, part->payload.n);
    }
}

static int parts_root(struct bundle_writer *w, struct hash *root)
{
    struct hash_job jobs[OPS_AT_ONCE];

    for (size_t i = 0; i < w->count; i++) {
        size_t some = i % OPS_AT_ONCE + 1;

        jobs[some - 1] = (struct hash_job){.a = w->parts[i].head};
        if (some == OPS_AT_ONCE || i + 1 == w->count)
            hash_many(HASH_OP, jobs, some, &w->leaves[i + 1 - some]);
    }
    if (merkle_build(&w->tree, w->leaves, w->count))
        return -ENOMEM;
    *root = merkle_root(&w->tree);
    return 0;
}

static size_t frame_bytes(const struct bundle_writer *w)
{
    size_t n = sizeof magic + 4 + w->header.n + KEY_SIGNATURE_BYTES;

    for (size_t i = 0; i < w->count; i++)
        n += 4 + w->parts[i].head.n + w->parts[i].payload.n;
    return n;
}

static uint8_t *bytes_write(uint8_t *to, struct bytes b)
{
    if (b.n)
        memcpy(to, b.p, b.n);
    return to + b.n;
}

static uint8_t *counted_write(uint8_t *to, struct bytes b)
{
    put_u32(to, (uint32_t)b.n);
    return bytes_write(to + 4, b);
}

static void frame_write(const struct bundle_writer *w,
                        const struct bundle_facts *facts,
                        const struct key_pair *key, uint8_t *to)
{
    struct bytes header = buf_bytes(&w->header);

    to = bytes_write(to, bytes_of(magic, sizeof magic));
    to = counted_write(to, header);
    key_sign(key, KEY_FOR_BUNDLE, &facts->ledger, header, to);
    to += KEY_SIGNATURE_BYTES;
    for (size_t i = 0; i < w->count; i++)
        to = counted_write(to, w->parts[i].head);
    for (size_t i = 0; i < w->count; i++)
        to = bytes_write(to, w->parts[i].payload);
}

int bundle_finish(struct bundle_writer *w, const struct bundle_facts *facts,
                  const struct key_pair *key, struct buf *out,
                  struct hash *hash)
{
    struct hash root;
    uint8_t *frame;

    parts_settle(w);
    if (parts_root(w, &root))
        return -ENOMEM;
    buf_clear(&w->header);
    bundle_header_put(&w->header, facts, &root, (uint32_t)w->count);
    if (w->header.failed)
        return -ENOMEM;
    if (w->header.n > LIMIT_HEADER_BYTES)
        return -EMSGSIZE;
    frame = buf_grow(out, frame_bytes(w));
    if (!frame)
        return -ENOMEM;
    frame_write(w, facts, key, frame);
    *hash = bundle_hash(buf_bytes(&w->header));
    return 0;
}

void bundle_writer_free(struct bundle_writer *w)
{
    free(w->parts);
    free(w->leaves);
    merkle_free(&w->tree);
    buf_free(&w->copies);
    buf_free(&w->header);
    *w = (struct bundle_writer){0};
}
