/* The decoder and the encoder that walk the table. */
#include "schema.h"

#include <errno.h>

#include "pack.h"
#include "refusal.h"

#define B(name) FIELD_BIT(name)

static const struct field_row fields[FIELD_END] = {
#define X(number, name, text, kind, max, what) \
    [number] = {text, KIND_##kind, (uint64_t)(max), what},
    FIELDS(X)
#undef X
};

static const struct message_row messages[256] = {
#define X(name, verb, text, class, need, may) \
    [verb] = {text, CLASS_##class, need, may},
    MESSAGES(X)
#undef X
};

const struct field_row *field_row(unsigned number)
{
    return number < FIELD_END && fields[number].name ? &fields[number] : NULL;
}

const struct message_row *message_row(unsigned verb)
{
    return verb < 256 && messages[verb].name ? &messages[verb] : NULL;
}

unsigned field_number(struct bytes name)
{
    for (unsigned i = 0; i < FIELD_END; i++) {
        if (fields[i].name && bytes_equal(bytes_text(fields[i].name), name))
            return i;
    }
    return 0;
}

unsigned message_verb(struct bytes name)
{
    for (unsigned i = 0; i < 256; i++) {
        if (messages[i].name && bytes_equal(bytes_text(messages[i].name), name))
            return i;
    }
    return 0;
}

const char *right_name(unsigned bit)
{
    switch (bit) {
#define X(name, number, text) \
    case number: return text;
        RIGHTS(X)
#undef X
    default: return "unknown";
    }
}

const char *task_state_name(unsigned state)
{
    switch (state) {
#define X(name, number, text, final) \
    case number: return text;
        TASK_STATES(X)
#undef X
    default: return "unknown";
    }
}

const char *merge_rule_name(unsigned rule)
{
    switch (rule) {
#define X(name, number, text) \
    case number: return text;
        MERGE_RULES(X)
#undef X
    default: return "unknown";
    }
}

unsigned merge_rule_number(struct bytes name)
{
    unsigned rule = 0;

    while (rule < RULE_END &&
           !bytes_equal(bytes_text(merge_rule_name(rule)), name))
        rule++;
    return rule;
}

bool task_state_final(unsigned state)
{
    switch (state) {
#define X(name, number, text, final) \
    case number: return final;
        TASK_STATES(X)
#undef X
    default: return false;
    }
}

static int fields_decode(struct cursor *c, struct msg *m, unsigned classes,
                         unsigned *unknown, int depth);

static int list_decode(struct cursor *c, const struct field_row *row,
                       struct value *v, unsigned *unknown, int depth)
{
    struct pack_item item;
    const uint8_t *start;

    if (depth == 0 || pack_next(c, &item) || item.kind != PACK_ARRAY ||
        item.u > LIMIT_LIST_ITEMS)
        return CHOIR_MALFORMED;
    start = c->p;
    v->u = item.u;
    for (uint64_t i = 0; i < item.u; i++) {
        struct msg element;
        int r;

        element.verb = (enum message)row->max;
        r = fields_decode(c, &element, CLASS_PART, unknown, depth - 1);
        if (r)
            return r;
    }
    v->bytes = bytes_of(start, (size_t)(c->p - start));
    return 0;
}

static bool label(const struct pack_item *item)
{
    return item->kind == PACK_TEXT && item->bytes.n <= LIMIT_LABEL_BYTES &&
           bytes_utf8(item->bytes);
}

static int labels_decode(struct cursor *c, const struct field_row *row,
                         struct value *v)
{
    struct pack_item item;
    struct bytes last = {0};
    const uint8_t *start;

    if (pack_next(c, &item) || item.kind != PACK_MAP || item.u > row->max)
        return CHOIR_MALFORMED;
    start = c->p;
    v->u = item.u;
    for (uint64_t i = 0; i < v->u; i++) {
        struct bytes name;
        size_t n;
        int order;

        if (pack_next(c, &item) || !label(&item))
            return CHOIR_MALFORMED;
        name = item.bytes;
        n = name.n < last.n ? name.n : last.n;
        order = n ? memcmp(last.p, name.p, n) : 0;
        if (i && (order > 0 || (order == 0 && last.n >= name.n)))
            return CHOIR_MALFORMED; /* ascending, so never twice */
        last = name;
        if (pack_next(c, &item) || !label(&item))
            return CHOIR_MALFORMED;
    }
    v->bytes = bytes_of(start, (size_t)(c->p - start));
    return 0;
}

static bool fits(const struct field_row *row, const struct pack_item *item)
{
    size_t n = item->bytes.n;

    switch (row->kind) {
    case KIND_UINT: return item->kind == PACK_UINT && item->u <= row->max;
    case KIND_TEXT:
        return item->kind == PACK_TEXT && n <= row->max &&
               bytes_utf8(item->bytes);
    case KIND_BYTES: return item->kind == PACK_BYTES && n <= row->max;
    case KIND_HASH: return item->kind == PACK_BYTES && n == HASH_BYTES;
    case KIND_SIGNATURE: return item->kind == PACK_BYTES && n == 64;
    case KIND_SLOTS:
        return item->kind == PACK_BYTES && n % SLOT_ROW_BYTES == 0 &&
               n / SLOT_ROW_BYTES <= row->max;
    default: return false;
    }
}

static int value_decode(struct cursor *c, const struct field_row *row,
                        struct value *v, unsigned *unknown, int depth)
{
    struct pack_item item;

    if (row->kind == KIND_LIST)
        return list_decode(c, row, v, unknown, depth);
    if (row->kind == KIND_LABELS)
        return labels_decode(c, row, v);
    if (pack_next(c, &item) || !fits(row, &item))
        return CHOIR_MALFORMED;
    v->u = item.u;
    v->bytes = item.bytes;
    return 0;
}

/* The verb decides which fields are known; it comes first because field
 * numbers ascend. */
static int verb_decode(struct cursor *c, struct msg *m, unsigned classes,
                       unsigned *unknown)
{
    struct pack_item item;
    const struct message_row *row;

    if (pack_next(c, &item) || item.kind != PACK_UINT || item.u != FIELD_VERB)
        return CHOIR_MALFORMED;
    if (pack_next(c, &item) || item.kind != PACK_UINT)
        return CHOIR_MALFORMED;
    row = item.u < 256 ? message_row((unsigned)item.u) : NULL;
    if (!row || !(row->class & classes)) {
        *unknown = FIELD_VERB;
        return CHOIR_UNSUPPORTED;
    }
    m->verb = (enum message)item.u;
    return 0;
}

/* A field's number is one byte, unless it is none of ours. */
static int number_next(struct cursor *c, uint64_t *number)
{
    struct pack_item item;

    if (cursor_left(c) && *c->p <= 0x7f) {
        *number = *c->p++;
        return 0;
    }
    if (pack_next(c, &item) || item.kind != PACK_UINT)
        return CHOIR_MALFORMED;
    *number = item.u;
    return 0;
}

static int fields_decode(struct cursor *c, struct msg *m, unsigned classes,
                         unsigned *unknown, int depth)
{
    const struct message_row *row;
    struct pack_item item;
    uint64_t last = 0, n, number;
    field_mask known;

    if (pack_next(c, &item) || item.kind != PACK_MAP)
        return CHOIR_MALFORMED;
    n = item.u;
    m->has = 0;
    if (!(classes & CLASS_PART)) {
        int r = n ? verb_decode(c, m, classes, unknown) : CHOIR_MALFORMED;

        if (r)
            return r;
        last = FIELD_VERB;
        n--;
    }
    row = message_row(m->verb);
    known = row->need | row->may;
    while (n--) {
        int r;

        if (number_next(c, &number) || number <= last)
            return CHOIR_MALFORMED;
        last = number;
        if (last >= FIELD_END || !(known >> last & 1)) {
            *unknown = last < 255 ? (unsigned)last : 255;
            return CHOIR_UNSUPPORTED;
        }
        r = value_decode(c, &fields[last], &m->v[last], unknown, depth);
        if (r)
            return r;
        m->has |= (field_mask)1 << last;
    }
    return (m->has & row->need) == row->need ? 0 : CHOIR_MALFORMED;
}

int msg_decode(struct bytes b, unsigned classes, struct msg *m, unsigned *field)
{
    struct cursor c = cursor_of(b);
    int r;

    *field = 0;
    r = fields_decode(&c, m, classes & ~(unsigned)CLASS_PART, field, 2);
    return r ? r : cursor_left(&c) ? CHOIR_MALFORMED : 0;
}

int part_decode(enum message part, struct bytes b, struct msg *m,
                unsigned *field)
{
    struct cursor c = cursor_of(b);
    int r;

    *field = 0;
    m->verb = part;
    r = fields_decode(&c, m, CLASS_PART, field, 2);
    return r ? r : cursor_left(&c) ? CHOIR_MALFORMED : 0;
}

struct hash msg_hash(const struct msg *m, enum field f)
{
    struct hash out = {{0}};

    if (msg_has(m, f))
        memcpy(out.b, m->v[f].bytes.p, HASH_BYTES);
    return out;
}

struct list msg_list(const struct msg *m, enum field f)
{
    struct bytes none = {(const uint8_t *)"", 0};

    return (struct list){
        .c = cursor_of(msg_has(m, f) ? m->v[f].bytes : none),
        .left = msg_u(m, f),
        .part = fields[f].kind == KIND_LIST ? (enum message)fields[f].max : 0,
    };
}

bool list_next(struct list *at, struct msg *element)
{
    unsigned unknown;

    if (at->left == 0)
        return false;
    at->left--;
    element->verb = at->part;
    return fields_decode(&at->c, element, CLASS_PART, &unknown, 2) == 0;
}

bool labels_next(struct list *at, struct bytes *name, struct bytes *text)
{
    struct pack_item a, b;

    if (at->left == 0)
        return false;
    at->left--;
    if (pack_next(&at->c, &a) || pack_next(&at->c, &b))
        return false;
    *name = a.bytes;
    *text = b.bytes;
    return true;
}

size_t msg_slots(const struct msg *m)
{
    return msg_b(m, FIELD_SLOTS).n / SLOT_ROW_BYTES;
}

uint32_t msg_slot_bytes(const struct msg *m, size_t i)
{
    return get_u32(m->v[FIELD_SLOTS].bytes.p + i * SLOT_ROW_BYTES);
}

static void value_encode(struct buf *out, const struct field_row *row,
                         const struct value *v)
{
    switch (row->kind) {
    case KIND_UINT: pack_uint(out, v->u); return;
    case KIND_TEXT: pack_text(out, v->bytes); return;
    case KIND_LIST:
        pack_array(out, v->u);
        buf_put(out, v->bytes.p, v->bytes.n);
        return;
    case KIND_LABELS:
        pack_map(out, v->u);
        buf_put(out, v->bytes.p, v->bytes.n);
        return;
    default: pack_bytes(out, v->bytes);
    }
}

size_t msg_encode(const struct msg *m, struct buf *out)
{
    size_t slots_at = 0;
    bool part = messages[m->verb].class == CLASS_PART;
    field_mask has = m->has & ~FIELD_BIT(VERB);
    size_t n = (size_t)__builtin_popcountll((uint64_t)has) +
               (size_t)__builtin_popcountll((uint64_t)(has >> 64));

    pack_map(out, part ? n : n + 1);
    if (!part) {
        pack_uint(out, FIELD_VERB);
        pack_uint(out, m->verb);
    }
    for (unsigned half = 0; half < 128; half += 64) {
        uint64_t bits = (uint64_t)(has >> half);

        for (; bits; bits &= bits - 1) {
            unsigned f = half + (unsigned)__builtin_ctzll(bits);

            pack_uint(out, f);
            value_encode(out, &fields[f], &m->v[f]);
            if (f == FIELD_SLOTS)
                slots_at = out->n - m->v[f].bytes.n;
        }
    }
    return slots_at;
}

void slot_row(struct buf *rows, const uint8_t salt[SLOT_SALT_BYTES],
              struct bytes payload)
{
    struct hash h = hash_parts(HASH_SLOT, bytes_of(salt, SLOT_SALT_BYTES),
                               payload, (struct bytes){0});

    buf_put_u32(rows, (uint32_t)payload.n);
    buf_put(rows, h.b, HASH_BYTES);
}
