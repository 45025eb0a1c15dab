/* Fields are copied into one arena and referred to by offset, because the
 * arena moves while it grows. */
#include "request.h"

#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "event.h"
#include "names.h"
#include "process.h"
#include "proto/bundle.h"
#include "proto/key.h"
#include "proto/refusal.h"
#include "shelf.h"
#include "slots.h"

/* A list field is named by at most four messages' rows. */
enum { LISTS_MAX = 4, ROOM_KEPT = 4096 };

/* More than that is hashed by its caller's thread, not the engine's. */
enum { BARE_BYTES = 4096 };

struct list_field {
    unsigned field;
    uint64_t count;
    struct buf elements;
};

struct choir_request {
    const struct message_row *row; /* of m */
    struct msg m, element;
    size_t at[FIELD_END], element_at[FIELD_END]; /* offsets of bytes */
    struct buf arena, rows, payload, head;
    struct list_field lists[LISTS_MAX], *open;
    bool is_bare;   /* the head was encoded without its slots' hashes, */
    size_t rows_at; /* which belong there */
    int error;
    char *line; /* owned: what the first failed setter said */
};

static struct shelf requests;

static void request_destroy(void *request)
{
    struct choir_request *r = request;

    buf_free(&r->arena);
    buf_free(&r->rows);
    buf_free(&r->payload);
    buf_free(&r->head);
    free(r);
}

__attribute__((constructor)) static void requests_open(void)
{
    shelf_open(&requests, request_destroy);
}

__attribute__((destructor)) static void requests_close(void)
{
    shelf_close(&requests);
}

/* Room for the usual next one is kept, a large value's is not. */
static void room_keep(struct buf *b)
{
    if (b->cap > ROOM_KEPT)
        buf_free(b);
    buf_clear(b);
}

static void request_reset(struct choir_request *r)
{
    for (int i = 0; i < LISTS_MAX && r->lists[i].field; i++) {
        buf_free(&r->lists[i].elements);
        r->lists[i] = (struct list_field){0};
    }
    room_keep(&r->arena);
    room_keep(&r->rows);
    room_keep(&r->payload);
    room_keep(&r->head);
    free(r->line);
    r->line = NULL;
    r->open = NULL;
    r->error = 0;
}

static int fail(struct choir_request *r, int code)
{
    if (!r->error) {
        r->error = code;
        r->line = strdup(choir_error_text());
    }
    return code;
}

static bool is_ours(unsigned verb)
{
    switch (verb) {
    case MSG_SESSION_OPEN:
    case MSG_SESSION_CLOSE:
    case MSG_ENROL:
    case MSG_CREDIT:
    case MSG_UNWATCH: return true;
    default: return false;
    }
}

struct choir_request *choir_request_new(struct choir *c, const char *verb)
{
    unsigned v = name_verb(verb);
    const struct message_row *row = message_row(v);
    struct choir_request *r;

    (void)c;
    if (!row || !(row->class & (CLASS_OPERATION | CLASS_ASK)) || is_ours(v)) {
        error_set(CHOIR_UNSUPPORTED, 0,
                  "verb=%s: there is no such request, or the library makes "
                  "it by itself",
                  verb);
        return NULL;
    }
    r = shelf_take(&requests);
    if (!r)
        r = calloc(1, sizeof *r);
    if (!r) {
        error_set(-ENOMEM, 0, NULL);
        return NULL;
    }
    r->row = row;
    msg_init(&r->m, v);
    return r;
}

enum message request_verb(const struct choir_request *r)
{
    return r->m.verb;
}

bool request_has(const struct choir_request *r, enum field f)
{
    return msg_has(&r->m, f);
}

uint64_t request_token(const struct choir_request *r)
{
    return msg_u(&r->m, FIELD_TOKEN);
}

size_t request_slots(const struct choir_request *r)
{
    return r->rows.n / SLOT_ROW_BYTES;
}

/* The field's number in the message that is being set, or 0. */
static unsigned field_of(struct choir_request *r, const char *name,
                         const struct field_row **row)
{
    const struct message_row *message =
        r->open ? message_row(r->element.verb) : r->row;
    unsigned f = name_field(name);

    if (f > FIELD_VERB && f != FIELD_SLOTS &&
        ((message->need | message->may) >> f & 1)) {
        *row = field_row(f);
        return f;
    }
    fail(r, error_set(CHOIR_UNSUPPORTED, 0,
                      "verb=%s field=%s: %s has no such field", r->row->name,
                      name, message->name));
    return 0;
}

static int wrong_kind(struct choir_request *r, const char *field,
                      const char *wanted)
{
    return fail(r, error_set(CHOIR_INVALID, 0, "verb=%s field=%s: %s",
                             r->row->name, field, wanted));
}

static int too_much(struct choir_request *r, const char *field, uint64_t size,
                    uint64_t limit)
{
    return fail(r, error_set(CHOIR_OVER_LIMIT, 0,
                             "verb=%s field=%s size=%llu limit=%llu",
                             r->row->name, field, (unsigned long long)size,
                             (unsigned long long)limit));
}

int choir_request_uint(struct choir_request *r, const char *field,
                       uint64_t value)
{
    const struct field_row *row;
    unsigned f = field_of(r, field, &row);

    if (!f)
        return CHOIR_UNSUPPORTED;
    if (row->kind != KIND_UINT)
        return wrong_kind(r, field, "does not take a number");
    if (value > row->max)
        return too_much(r, field, value, row->max);
    msg_set_u(r->open ? &r->element : &r->m, f, value);
    return 0;
}

static int set_bytes(struct choir_request *r, unsigned f, const void *p,
                     size_t n)
{
    size_t at = r->arena.n;

    buf_put(&r->arena, p, n);
    if (r->arena.failed)
        return fail(r, error_set(-ENOMEM, 0, NULL));
    if (r->open) {
        msg_set_b(&r->element, f, bytes_of(NULL, n));
        r->element_at[f] = at;
    } else {
        msg_set_b(&r->m, f, bytes_of(NULL, n));
        r->at[f] = at;
    }
    return 0;
}

static int set_hex(struct choir_request *r, unsigned f, const char *field,
                   const char *text)
{
    struct hash h;

    if (hash_parse_hex(&h, bytes_text(text)))
        return wrong_kind(r, field, "takes 64 hex digits");
    return set_bytes(r, f, h.b, HASH_BYTES);
}

int choir_request_text(struct choir_request *r, const char *field,
                       const char *text)
{
    const struct field_row *row;
    unsigned f = field_of(r, field, &row);

    if (!f)
        return CHOIR_UNSUPPORTED;
    if (row->kind == KIND_HASH)
        return set_hex(r, f, field, text);
    if (row->kind != KIND_TEXT)
        return wrong_kind(r, field, "does not take a text");
    if (strlen(text) > row->max)
        return too_much(r, field, strlen(text), row->max);
    if (!bytes_utf8(bytes_text(text)))
        return wrong_kind(r, field, "is not UTF-8");
    return set_bytes(r, f, text, strlen(text));
}

int choir_request_bytes(struct choir_request *r, const char *field,
                        const void *p, size_t bytes)
{
    const struct field_row *row;
    unsigned f = field_of(r, field, &row);

    if (!f)
        return CHOIR_UNSUPPORTED;
    if (row->kind == KIND_HASH && bytes != HASH_BYTES)
        return wrong_kind(r, field, "takes 32 bytes");
    if (row->kind == KIND_SIGNATURE && bytes != KEY_SIGNATURE_BYTES)
        return wrong_kind(r, field, "takes 64 bytes");
    if (row->kind != KIND_BYTES && row->kind != KIND_HASH &&
        row->kind != KIND_SIGNATURE)
        return wrong_kind(r, field, "does not take bytes");
    if (row->kind == KIND_BYTES && bytes > row->max)
        return too_much(r, field, bytes, row->max);
    return set_bytes(r, f, p, bytes);
}

int choir_request_slot(struct choir_request *r, const void *p, size_t bytes,
                       unsigned *slot)
{
    const struct message_row *row = r->row;
    size_t n = r->rows.n / SLOT_ROW_BYTES;
    uint8_t salt[SLOT_SALT_BYTES];

    if (!((row->need | row->may) >> FIELD_SLOTS & 1))
        return fail(r, error_set(CHOIR_UNSUPPORTED, 0,
                                 "verb=%s: carries no payload", row->name));
    if (n == LIMIT_SLOTS)
        return too_much(r, "slots", n + 1, LIMIT_SLOTS);
    if (bytes > LIMIT_BUNDLE_BYTES - LIMIT_HEAD_BYTES)
        return too_much(r, "value", bytes,
                        LIMIT_BUNDLE_BYTES - LIMIT_HEAD_BYTES);
    salt_next(salt);
    slots_row(&r->rows, bytes);
    buf_put(&r->payload, salt, sizeof salt);
    buf_put(&r->payload, p, bytes);
    if (r->rows.failed || r->payload.failed)
        return fail(r, error_set(-ENOMEM, 0, NULL));
    if (slot)
        *slot = (unsigned)n;
    return 0;
}

int choir_request_begin(struct choir_request *r, const char *list)
{
    const struct field_row *row;
    unsigned f = field_of(r, list, &row), i = 0;

    if (!f)
        return CHOIR_UNSUPPORTED;
    if (row->kind != KIND_LIST || r->open)
        return wrong_kind(r, list, "is not a list that can begin here");
    while (r->lists[i].field && r->lists[i].field != f)
        if (++i == LISTS_MAX)
            return wrong_kind(r, list, "is one list too many");
    if (r->lists[i].count == LIMIT_LIST_ITEMS)
        return too_much(r, list, LIMIT_LIST_ITEMS + 1, LIMIT_LIST_ITEMS);
    r->lists[i].field = f;
    r->open = &r->lists[i];
    msg_init(&r->element, (enum message)row->max);
    return 0;
}

static unsigned first_field(field_mask fields)
{
    uint64_t low = (uint64_t)fields;

    return (unsigned)(low ? __builtin_ctzll(low)
                          : 64 + __builtin_ctzll((uint64_t)(fields >> 64)));
}

/* Offsets become pointers once nothing moves any more. */
static void settle(struct msg *m, const size_t *at, const struct buf *arena)
{
    for (field_mask left = m->has; left; left &= left - 1) {
        unsigned f = first_field(left);
        enum field_kind kind = field_row(f)->kind;

        if (kind == KIND_TEXT || kind == KIND_BYTES || kind == KIND_HASH ||
            kind == KIND_SIGNATURE)
            m->v[f].bytes.p = arena->p + at[f];
    }
}

static int needs_check(struct choir_request *r, const struct msg *m)
{
    const struct message_row *row = message_row(m->verb);
    field_mask missing = row->need & ~m->has;

    if (!missing)
        return 0;
    return fail(r, error_set(CHOIR_INVALID, 0, "verb=%s field=%s: %s needs it",
                             r->row->name,
                             field_row(first_field(missing))->name, row->name));
}

int choir_request_end(struct choir_request *r)
{
    int e;

    if (!r->open)
        return fail(r, error_set(CHOIR_INVALID, 0, "verb=%s: no list has begun",
                                 r->row->name));
    e = needs_check(r, &r->element);
    if (!e) {
        settle(&r->element, r->element_at, &r->arena);
        msg_encode(&r->element, &r->open->elements);
        r->open->count++;
        if (r->open->elements.failed)
            e = fail(r, error_set(-ENOMEM, 0, NULL));
    }
    r->open = NULL;
    return e;
}

void choir_request_free(struct choir_request **self_p)
{
    struct choir_request *r = self_p ? *self_p : NULL;

    if (!r)
        return;
    *self_p = NULL;
    request_reset(r);
    if (!shelf_put(&requests, r))
        request_destroy(r);
}

void op_decode(const struct op *op, struct msg *m)
{
    unsigned field;

    if (msg_decode(buf_bytes(&op->head), CLASS_OPERATION | CLASS_ASK, m,
                   &field))
        msg_init(m, op->verb);
}

struct op *op_new(uint64_t id, const struct msg *m)
{
    struct op *op = calloc(1, sizeof *op);

    if (!op)
        return NULL;
    op->id = id;
    op->verb = m->verb;
    op->token = msg_u(m, FIELD_TOKEN);
    op->has_id = msg_has(m, FIELD_ID);
    msg_encode(m, &op->head);
    if (op->head.failed) {
        op_free(op);
        return NULL;
    }
    return op;
}

void op_free(struct op *op)
{
    if (!op)
        return;
    buf_free(&op->head);
    buf_free(&op->payload);
    choir_event_free(&op->event);
    free(op);
}

static void fetch(const void *p, size_t bytes)
{
    for (size_t at = 0; p && at < bytes; at += 64)
        __builtin_prefetch((const char *)p + at, 1);
}

void ops_fetch(struct op *const *ops, size_t n, size_t at)
{
    const struct op *op = at + 4 < n ? ops[at + 4] : NULL;

    fetch(op, sizeof *op);
    op = at + 2 < n ? ops[at + 2] : NULL;
    if (op)
        fetch(op->event, sizeof *op->event);
}

void op_reset(struct op *op)
{
    struct buf head = op->head, payload = op->payload;

    room_keep(&head);
    room_keep(&payload);
    choir_event_free(&op->event);
    *op = (struct op){.head = head, .payload = payload};
}

/* What the caller left out, and what was collected beside the message. */
static int put_together(struct choir_request *r, const char *space)
{
    const struct message_row *row = r->row;
    field_mask fields = row->need | row->may;

    if ((fields >> FIELD_SPACE & 1) && !msg_has(&r->m, FIELD_SPACE) &&
        set_bytes(r, FIELD_SPACE, space, strlen(space)))
        return -ENOMEM;
    settle(&r->m, r->at, &r->arena);
    for (int i = 0; i < LISTS_MAX && r->lists[i].field; i++)
        msg_set_list(&r->m, r->lists[i].field, r->lists[i].count,
                     buf_bytes(&r->lists[i].elements));
    r->is_bare = r->rows.n && r->payload.n <= BARE_BYTES;
    if (r->rows.n && !r->is_bare)
        slots_hash_rows(&r->rows, buf_bytes(&r->payload));
    if (r->rows.n || (row->need >> FIELD_SLOTS & 1))
        msg_set_b(&r->m, FIELD_SLOTS, buf_bytes(&r->rows));
    return 0;
}

int request_encode(struct choir_request *r, const char *space)
{
    if (r->open)
        return error_set(CHOIR_INVALID, 0, "verb=%s field=%s: has not ended",
                         r->row->name, field_row(r->open->field)->name);
    if (r->error)
        return error_line(r->error, 0, r->line ? r->line : "ENOMEM");
    if (put_together(r, space))
        return -ENOMEM;
    if (needs_check(r, &r->m))
        return CHOIR_INVALID;
    buf_clear(&r->head);
    r->rows_at = msg_encode(&r->m, &r->head);
    if (r->head.failed)
        return error_set(-ENOMEM, 0, NULL);
    if (r->head.n > LIMIT_HEAD_BYTES)
        return too_much(r, "head", r->head.n, LIMIT_HEAD_BYTES);
    return 0;
}

size_t request_bytes(const struct choir_request *r)
{
    return r->head.n + r->payload.n;
}

static void swap(struct buf *a, struct buf *b)
{
    struct buf c = *a;

    *a = *b;
    *b = c;
}

void request_give(struct choir_request *r, struct op *op)
{
    op->verb = r->m.verb;
    op->token = msg_u(&r->m, FIELD_TOKEN);
    op->has_id = msg_has(&r->m, FIELD_ID);
    op->is_bare = r->is_bare;
    op->rows_at = r->rows_at;
    op->rows_bytes = r->rows.n;
    swap(&op->head, &r->head);
    swap(&op->payload, &r->payload);
}
