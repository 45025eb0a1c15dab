/* Lists and messages within an event are events of their own, made when they
 * are first asked for and freed with it. */
#include "event.h"

#include <errno.h>
#include <stdlib.h>

#include "names.h"
#include "proto/refusal.h"
#include "shelf.h"

enum { RAW_KEPT = 1024 }; /* a usual answer; values are larger */

struct event_text {
    struct event_text *next;
    unsigned field;
    char s[];
};

/* The messages of one field. */
struct event_child {
    struct event_child *next;
    unsigned field;
    size_t count, room;
    struct part {
        struct choir_event e; /* its m is the one here */
        struct msg m;
    } parts[];
};

static struct shelf blanks, messages, singles;

static void event_destroy(void *event)
{
    struct choir_event *e = event;

    buf_free(&e->raw);
    free(e);
}

__attribute__((constructor)) static void events_open(void)
{
    shelf_open(&blanks, event_destroy);
    shelf_open(&messages, free);
    shelf_open(&singles, free);
}

__attribute__((destructor)) static void events_close(void)
{
    shelf_close(&blanks);
    shelf_close(&messages);
    shelf_close(&singles);
}

struct choir_event *event_blank(void)
{
    struct choir_event *e = shelf_take(&blanks);

    return e ? e : calloc(1, sizeof *e);
}

void event_set(struct choir_event *e, uint64_t request, enum message verb,
               enum message kind, int code)
{
    e->request = request;
    e->verb = verb;
    e->kind = kind;
    e->code = code;
}

struct choir_event *event_new(uint64_t request, enum message verb,
                              enum message kind, int code)
{
    struct choir_event *e = event_blank();

    if (e)
        event_set(e, request, verb, kind, code);
    return e;
}

int event_keep(struct choir_event *e, const struct msg *item)
{
    msg_encode(item, &e->raw);
    return e->raw.failed ? -ENOMEM : 0;
}

int event_keep_bytes(struct choir_event *e, struct bytes item)
{
    buf_put(&e->raw, item.p, item.n);
    return e->raw.failed ? -ENOMEM : 0;
}

void event_line(struct choir_event *e, const char *line)
{
    free(e->line);
    e->line = strdup(line);
}

static void content_free(struct choir_event *e);

static void child_free(struct event_child *child)
{
    for (size_t i = 0; i < child->count; i++)
        content_free(&child->parts[i].e);
    if (child->room > 1 || !shelf_put(&singles, child))
        free(child);
}

static void content_free(struct choir_event *e)
{
    while (e->texts) {
        struct event_text *t = e->texts;

        e->texts = t->next;
        free(t);
    }
    while (e->children) {
        struct event_child *child = e->children;

        e->children = child->next;
        child_free(child);
    }
    buf_free(&e->subject);
    free(e->line);
}

/* Blank again, with the memory of what came. */
static void event_reset(struct choir_event *e)
{
    struct buf raw = e->raw;

    content_free(e);
    if (e->m && !shelf_put(&messages, e->m))
        free(e->m);
    if (raw.cap > RAW_KEPT)
        buf_free(&raw);
    buf_clear(&raw);
    *e = (struct choir_event){.raw = raw};
}

void choir_event_free(struct choir_event **self_p)
{
    if (!self_p || !*self_p)
        return;
    event_reset(*self_p);
    if (!shelf_put(&blanks, *self_p))
        event_destroy(*self_p);
    *self_p = NULL;
}

/* What is asked for is remembered in the event, const or not: it belongs to
 * one thread. */
static struct choir_event *own(const struct choir_event *e)
{
    return (struct choir_event *)(uintptr_t)e;
}

static void message_make(const struct choir_event *e, struct msg *m)
{
    unsigned field;

    if (e->raw.n && !msg_decode(buf_bytes(&e->raw), CLASS_ITEM, m, &field))
        return;
    msg_init(m, e->kind);
    msg_set_u(m, FIELD_OUTCOME, (uint64_t)(e->code < 0 ? 0 : e->code));
    if (e->revision)
        msg_set_u(m, FIELD_REVISION, e->revision);
    if (e->seq)
        msg_set_u(m, FIELD_SEQ, e->seq);
}

/* NULL when memory is short: then nothing is there. */
const struct msg *event_message(const struct choir_event *e)
{
    struct msg *m;

    if (e->is_read)
        return e->m;
    m = shelf_take(&messages);
    if (!m)
        m = malloc(sizeof *m);
    if (!m)
        return NULL;
    message_make(e, m);
    own(e)->m = m;
    own(e)->is_read = true;
    return m;
}

static const struct msg *with(const struct choir_event *e, unsigned f)
{
    const struct msg *m = event_message(e);

    return m && f > FIELD_VERB && msg_has(m, f) ? m : NULL;
}

const char *choir_event_name(const struct choir_event *e)
{
    return message_row(e->kind)->name;
}

uint64_t choir_event_request(const struct choir_event *e)
{
    return e->request;
}

const char *choir_event_verb(const struct choir_event *e)
{
    const struct message_row *row = message_row(e->verb);

    return row ? row->name : "";
}

int choir_event_code(const struct choir_event *e)
{
    return e->code;
}

bool choir_event_last(const struct choir_event *e)
{
    return e->last;
}

bool choir_event_has(const struct choir_event *e, const char *field)
{
    return with(e, name_field(field)) != NULL;
}

uint64_t choir_event_uint(const struct choir_event *e, const char *field)
{
    unsigned f = name_field(field);
    const struct msg *m = with(e, f);

    return m && field_row(f)->kind == KIND_UINT ? msg_u(m, f) : 0;
}

static const char *text_keep(const struct choir_event *e, unsigned f,
                             struct bytes b)
{
    struct event_text *t = malloc(sizeof *t + b.n + 1);

    if (!t)
        return NULL;
    t->field = f;
    memcpy(t->s, b.p, b.n);
    t->s[b.n] = '\0';
    t->next = e->texts;
    own(e)->texts = t;
    return t->s;
}

static const char *text_of(const struct choir_event *e, unsigned f)
{
    const struct msg *m = with(e, f);
    struct hash h;
    char hex[HASH_HEX];

    if (!m)
        return NULL;
    for (struct event_text *t = e->texts; t; t = t->next)
        if (t->field == f)
            return t->s;
    switch (field_row(f)->kind) {
    case KIND_TEXT: return text_keep(e, f, msg_b(m, f));
    case KIND_HASH:
        h = msg_hash(m, f);
        hash_hex(&h, hex);
        return text_keep(e, f, bytes_text(hex));
    default: return NULL;
    }
}

const char *choir_event_text(const struct choir_event *e, const char *field)
{
    return text_of(e, name_field(field));
}

const void *choir_event_bytes(const struct choir_event *e, const char *field,
                              size_t *bytes)
{
    unsigned f = name_field(field);
    const struct msg *m = with(e, f);
    struct bytes b;

    *bytes = 0;
    if (!m || field_row(f)->kind == KIND_UINT ||
        field_row(f)->kind == KIND_LIST || field_row(f)->kind == KIND_LABELS)
        return NULL;
    b = msg_b(m, f);
    *bytes = b.n;
    return b.p ? (const void *)b.p : "";
}

const void *choir_event_value(const struct choir_event *e, size_t *bytes)
{
    return choir_event_bytes(e, "value", bytes);
}

/* A message that stands in a field as bytes. 0 if it is one. */
static int part_open(unsigned f, struct bytes b, struct msg *m)
{
    unsigned field;

    switch (f) {
    case FIELD_EFFECT: return part_decode(MSG_EFFECT, b, m, &field);
    case FIELD_HEADER: return part_decode(MSG_BUNDLE_HEADER, b, m, &field);
    case FIELD_HEAD:
        return msg_decode(b, CLASS_OPERATION | CLASS_BROKER, m, &field);
    default: return CHOIR_UNSUPPORTED;
    }
}

static void part_ready(struct part *p)
{
    p->e = (struct choir_event){.kind = p->m.verb, .m = &p->m, .is_read = true};
}

static void child_fill(struct event_child *child, const struct msg *m)
{
    struct list at = msg_list(m, child->field);

    if (field_row(child->field)->kind != KIND_LIST) {
        child->count = !part_open(child->field, msg_b(m, child->field),
                                  &child->parts[0].m);
    } else {
        while (child->count < child->room &&
               list_next(&at, &child->parts[child->count].m))
            child->count++;
    }
    for (size_t i = 0; i < child->count; i++)
        part_ready(&child->parts[i]);
}

static struct event_child *child_new(unsigned f, size_t room)
{
    struct event_child *child = room > 1 ? NULL : shelf_take(&singles);

    room = room ? room : 1;
    if (!child)
        child = malloc(sizeof *child + room * sizeof child->parts[0]);
    if (!child)
        return NULL;
    child->field = f;
    child->room = room;
    child->count = 0;
    return child;
}

static const struct event_child *children_of(const struct choir_event *e,
                                             unsigned f)
{
    const struct msg *m = with(e, f);
    struct event_child *child;

    if (!m)
        return NULL;
    for (child = e->children; child; child = child->next)
        if (child->field == f)
            return child;
    child =
        child_new(f, field_row(f)->kind == KIND_LIST ? (size_t)m->v[f].u : 1);
    if (!child)
        return NULL;
    child_fill(child, m);
    child->next = e->children;
    own(e)->children = child;
    return child;
}

static bool holds_messages(unsigned f)
{
    return f == FIELD_EFFECT || f == FIELD_HEADER || f == FIELD_HEAD ||
           (field_row(f) && field_row(f)->kind == KIND_LIST);
}

size_t choir_event_count(const struct choir_event *e, const char *field)
{
    unsigned f = name_field(field);
    const struct event_child *child =
        holds_messages(f) ? children_of(e, f) : NULL;

    return child ? child->count : 0;
}

const struct choir_event *choir_event_item(const struct choir_event *e,
                                           const char *field, size_t i)
{
    unsigned f = name_field(field);
    const struct event_child *child =
        holds_messages(f) ? children_of(e, f) : NULL;

    return child && i < child->count ? &child->parts[i].e : NULL;
}

/* Pairs have no field number of their own: above all others, by place. */
static unsigned pair_key(unsigned f, size_t i, unsigned which)
{
    return FIELD_END + f * 64 + (unsigned)i * 2 + which;
}

static const char *pair_text(const struct choir_event *e, unsigned key,
                             struct bytes b)
{
    for (struct event_text *t = e->texts; t; t = t->next)
        if (t->field == key)
            return t->s;
    return text_keep(e, key, b);
}

bool choir_event_label(const struct choir_event *e, const char *field, size_t i,
                       const char **name, const char **text)
{
    unsigned f = name_field(field);
    const struct msg *m = with(e, f);
    struct bytes a = {0}, b = {0};
    struct list at;

    if (!m || field_row(f)->kind != KIND_LABELS || i >= m->v[f].u)
        return false;
    at = msg_list(m, f);
    for (size_t k = 0; k <= i; k++)
        if (!labels_next(&at, &a, &b))
            return false;
    *name = pair_text(e, pair_key(f, i, 0), a);
    *text = pair_text(e, pair_key(f, i, 1), b);
    return *name && *text;
}

static void field_fill(const struct choir_event *e, const struct msg *m,
                       unsigned f, struct choir_field *out)
{
    const struct field_row *row = field_row(f);

    *out = (struct choir_field){.name = row->name};
    switch (row->kind) {
    case KIND_UINT:
        out->kind = CHOIR_KIND_UINT;
        out->number = msg_u(m, f);
        return;
    case KIND_LIST:
    case KIND_LABELS:
        out->kind =
            row->kind == KIND_LIST ? CHOIR_KIND_LIST : CHOIR_KIND_LABELS;
        out->number = m->v[f].u;
        return;
    default: break;
    }
    out->data = choir_event_bytes(e, row->name, &out->bytes);
    out->kind = row->kind == KIND_TEXT   ? CHOIR_KIND_TEXT
                : row->kind == KIND_HASH ? CHOIR_KIND_HASH
                                         : CHOIR_KIND_BYTES;
    if (out->kind != CHOIR_KIND_BYTES)
        out->text = text_of(e, f);
    else if (choir_event_count(e, row->name))
        out->kind = CHOIR_KIND_PART;
}

bool choir_event_field(const struct choir_event *e, size_t i,
                       struct choir_field *field)
{
    const struct msg *m = event_message(e);

    for (unsigned f = FIELD_VERB + 1; m && f < FIELD_END; f++) {
        if (!(m->has >> f & 1) || i-- > 0)
            continue;
        field_fill(e, m, f, field);
        return true;
    }
    return false;
}
