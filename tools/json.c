/* Driven by the rows of proto/schema.h: a new field needs nothing here. */
#include "json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include <msgpack.h>

#include "proto/key.h"
#include "proto/pack.h"
#include "proto/schema.h"

/* --- msgpack --------------------------------------------------------------- */

static json_t *from_object(const msgpack_object *o);

static json_t *from_text(const msgpack_object_str *s)
{
    const char *p = s->size ? s->ptr : ""; /* msgpack-c says NULL for "" */

    return bytes_utf8(bytes_of(p, s->size)) ? json_stringn(p, s->size) : NULL;
}

static json_t *from_array(const msgpack_object_array *array)
{
    json_t *out = json_array();

    for (uint32_t i = 0; i < array->size; i++) {
        if (json_array_append_new(out, from_object(&array->ptr[i]))) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* Two equal keys would lose one of their values. */
static bool map_add(json_t *out, const msgpack_object_kv *pair)
{
    json_t *key = pair->key.type == MSGPACK_OBJECT_STR
                      ? from_text(&pair->key.via.str)
                      : NULL;
    const char *name = key ? json_string_value(key) : NULL;
    bool added = name && !json_object_get(out, name) &&
                 !json_object_set_new(out, name, from_object(&pair->val));

    json_decref(key);
    return added;
}

static json_t *from_map(const msgpack_object_map *map)
{
    json_t *out = json_object();

    for (uint32_t i = 0; i < map->size; i++) {
        if (!map_add(out, &map->ptr[i])) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *from_object(const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_NIL: return json_null();
    case MSGPACK_OBJECT_BOOLEAN: return json_boolean(o->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return o->via.u64 <= INT64_MAX ? json_integer((json_int_t)o->via.u64)
                                       : NULL;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER: return json_integer(o->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return isfinite(o->via.f64) ? json_real(o->via.f64) : NULL;
    case MSGPACK_OBJECT_STR: return from_text(&o->via.str);
    case MSGPACK_OBJECT_ARRAY: return from_array(&o->via.array);
    case MSGPACK_OBJECT_MAP: return from_map(&o->via.map);
    default: return NULL;
    }
}

/* The strict reader goes first: msgpack-c allocates what a header claims. */
json_t *msgpack_to_json(struct bytes b)
{
    msgpack_unpacked u;
    size_t at = 0;
    json_t *out = NULL;

    if (!pack_valid(b))
        return NULL;
    msgpack_unpacked_init(&u);
    if (msgpack_unpack_next(&u, (const char *)b.p, b.n, &at) ==
        MSGPACK_UNPACK_SUCCESS)
        out = from_object(&u.data);
    msgpack_unpacked_destroy(&u);
    return out;
}

static int buf_write(void *data, const char *p, size_t n)
{
    struct buf *out = data;

    buf_put(out, p, n);
    return out->failed ? -1 : 0;
}

static int to_msgpack(msgpack_packer *p, const json_t *v, int depth);

static int pack_string(msgpack_packer *p, const char *s, size_t n)
{
    msgpack_pack_str(p, n);
    return msgpack_pack_str_body(p, s, n);
}

static int pack_object(msgpack_packer *p, const json_t *v, int depth)
{
    const char *key;
    json_t *member, *object = (json_t *)(uintptr_t)v;
    int r = 0;

    msgpack_pack_map(p, json_object_size(v));
    json_object_foreach(object, key, member)
    {
        pack_string(p, key, strlen(key));
        if (!r)
            r = to_msgpack(p, member, depth);
    }
    return r;
}

static int pack_list(msgpack_packer *p, const json_t *v, int depth)
{
    int r = 0;

    msgpack_pack_array(p, json_array_size(v));
    for (size_t i = 0; i < json_array_size(v) && !r; i++)
        r = to_msgpack(p, json_array_get(v, i), depth);
    return r;
}

static int to_msgpack(msgpack_packer *p, const json_t *v, int depth)
{
    if (depth == 0)
        return CHOIR_INVALID;
    switch (json_typeof(v)) {
    case JSON_OBJECT: return pack_object(p, v, depth - 1);
    case JSON_ARRAY: return pack_list(p, v, depth - 1);
    case JSON_STRING:
        return pack_string(p, json_string_value(v), json_string_length(v));
    case JSON_INTEGER: return msgpack_pack_int64(p, json_integer_value(v));
    case JSON_REAL: return msgpack_pack_double(p, json_real_value(v));
    case JSON_TRUE: return msgpack_pack_true(p);
    case JSON_FALSE: return msgpack_pack_false(p);
    case JSON_NULL: return msgpack_pack_nil(p);
    }
    return CHOIR_INVALID;
}

int msgpack_from_json(const json_t *value, struct buf *out)
{
    msgpack_packer p;
    int r;

    msgpack_packer_init(&p, out, buf_write);
    r = to_msgpack(&p, value, LIMIT_DEPTH);
    return out->failed ? -ENOMEM : r;
}

/* --- Bytes ----------------------------------------------------------------- */

static void member_set(json_t *o, const char *name, const char *suffix,
                       json_t *value)
{
    char full[LIMIT_NAME_BYTES + 16];

    snprintf(full, sizeof full, "%s%s", name, suffix);
    json_object_set_new(o, full, value);
}

static const json_t *member_get(const json_t *o, const char *name,
                                const char *suffix)
{
    char full[LIMIT_NAME_BYTES + 16];

    snprintf(full, sizeof full, "%s%s", name, suffix);
    return json_object_get(o, full);
}

void bytes_to_json(json_t *o, const char *name, struct bytes b,
                   const char *type)
{
    json_t *value =
        type && strcmp(type, JSON_TYPE) == 0 ? msgpack_to_json(b) : NULL;
    struct buf text = {0};

    if (value) {
        member_set(o, name, "_json", value);
    } else if (bytes_utf8(b)) {
        member_set(o, name, "",
                   json_stringn(b.n ? (const char *)b.p : "", b.n));
    } else {
        if (!base64_put(&text, b, false))
            member_set(o, name, "_base64",
                       json_stringn((const char *)text.p, text.n));
        buf_free(&text);
    }
}

static struct bytes string_bytes(const json_t *v)
{
    return bytes_of(json_string_value(v), json_string_length(v));
}

static int bytes_wrong(char *why, const char *name, const char *what)
{
    snprintf(why, WHY_BYTES, "INVALID field=%s: %s", name, what);
    return CHOIR_INVALID;
}

static int from_base64(const json_t *v, const char *name, struct buf *out,
                       char *why)
{
    int r =
        json_is_string(v) ? base64_get(out, string_bytes(v), false) : -EINVAL;

    if (r == -EINVAL)
        return bytes_wrong(why, name, "_base64 takes base64 with padding");
    return r ? r : 1;
}

int bytes_from_json(const json_t *o, const char *name, struct buf *out,
                    bool *is_msgpack, char why[WHY_BYTES])
{
    const json_t *text = member_get(o, name, "");
    const json_t *any = member_get(o, name, "_json");
    const json_t *base64 = member_get(o, name, "_base64");
    int r;

    *is_msgpack = any != NULL;
    if (!text && !any && !base64)
        return 0;
    if (!!text + !!any + !!base64 > 1)
        return bytes_wrong(why, name, "is given in more than one form");
    if (base64)
        return from_base64(base64, name, out, why);
    if (any) {
        r = msgpack_from_json(any, out);
        return r > 0 ? bytes_wrong(why, name, "_json is nested too deep")
               : r   ? r
                     : 1;
    }
    if (!json_is_string(text))
        return bytes_wrong(why, name,
                           "takes a string; use _json for anything else");
    buf_put(out, json_string_value(text), json_string_length(text));
    return out->failed ? -ENOMEM : 1;
}

/* --- Names ----------------------------------------------------------------- */

int code_of_name(const char *name)
{
    for (int code = 0; code < 256; code++)
        if (strcmp(choir_code_name(code), name) == 0 &&
            strcmp(name, "UNKNOWN") != 0)
            return code;
    return -1;
}

static int right_of_name(const char *name, size_t n)
{
    if (n == 3 && memcmp(name, "all", n) == 0)
        return (int)field_row(FIELD_RIGHTS)->max;
    if (n == 4 && memcmp(name, "none", n) == 0)
        return 0;
#define X(upper, bit, text)                              \
    if (n == strlen(text) && memcmp(name, text, n) == 0) \
        return bit;
    RIGHTS(X)
#undef X
    return -1;
}

int rights_of_names(const char *names)
{
    int sum = 0;

    for (;;) {
        size_t n = strcspn(names, ",");
        int right = right_of_name(names, n);

        if (right < 0)
            return -1;
        sum |= right;
        if (!names[n])
            return sum;
        names += n + 1;
    }
}

static json_t *rights_to_json(uint64_t rights)
{
    json_t *out = json_array();

#define X(upper, bit, text) \
    if (rights & bit)       \
        json_array_append_new(out, json_string(text));
    RIGHTS(X)
#undef X
    return out;
}

/* --- Events ---------------------------------------------------------------- */

/* In versions and changes of a key the kind says what happened. */
static bool tells_versions(const struct choir_event *top)
{
    const char *name = choir_event_name(top);

    return strcmp(name, "change") == 0 ||
           (strcmp(name, "reply") == 0 &&
            strcmp(choir_event_verb(top), "log") == 0);
}

static json_t *number_to_json(const struct choir_event *top,
                              const struct choir_field *f)
{
    const struct message_row *row;

    switch (field_number(bytes_text(f->name))) {
    case FIELD_OUTCOME: return json_string(choir_code_name((int)f->number));
    case FIELD_STATE: return json_string(choir_state_name((unsigned)f->number));
    case FIELD_RIGHTS: return rights_to_json(f->number);
    case FIELD_OPERATION:
        row = message_row((unsigned)f->number);
        return row ? json_string(row->name)
                   : json_integer((json_int_t)f->number);
    case FIELD_KIND:
        if (tells_versions(top))
            return json_string(f->number ? "delete" : "put");
        break;
    default: break;
    }
    return json_integer((json_int_t)f->number);
}

static json_t *fields_to_json(const struct choir_event *top,
                              const struct choir_event *e, json_t *out);

static json_t *list_to_json(const struct choir_event *top,
                            const struct choir_event *e, const char *name)
{
    json_t *out = json_array();

    for (size_t i = 0; i < choir_event_count(e, name); i++)
        json_array_append_new(
            out,
            fields_to_json(top, choir_event_item(e, name, i), json_object()));
    return out;
}

static json_t *labels_to_json(const struct choir_event *e, const char *field)
{
    json_t *out = json_object();
    const char *name, *text;

    for (size_t i = 0; choir_event_label(e, field, i, &name, &text); i++)
        json_object_set_new(out, name, json_string(text));
    return out;
}

static void field_to_json(const struct choir_event *top,
                          const struct choir_event *e,
                          const struct choir_field *f, json_t *out)
{
    const char *type = choir_event_text(e, "type");
    json_t *v = NULL;

    switch (f->kind) {
    case CHOIR_KIND_UINT: v = number_to_json(top, f); break;
    case CHOIR_KIND_TEXT: v = json_stringn(f->text, f->bytes); break;
    case CHOIR_KIND_HASH: v = json_string(f->text); break;
    case CHOIR_KIND_LIST: v = list_to_json(top, e, f->name); break;
    case CHOIR_KIND_LABELS: v = labels_to_json(e, f->name); break;
    case CHOIR_KIND_PART:
        v = fields_to_json(top, choir_event_item(e, f->name, 0), json_object());
        if (strcmp(f->name, "head") == 0)
            json_object_set_new(
                v, "op",
                json_string(choir_event_name(choir_event_item(e, "head", 0))));
        break;
    case CHOIR_KIND_BYTES:
        if (!f->bytes && strcmp(f->name, "effect") == 0)
            return; /* always a message, never a text */
        bytes_to_json(out, f->name, bytes_of(f->data, f->bytes),
                      strcmp(f->name, "value") == 0 ? type : NULL);
        return;
    }
    json_object_set_new(out, f->name, v);
}

static json_t *fields_to_json(const struct choir_event *top,
                              const struct choir_event *e, json_t *out)
{
    struct choir_field f;

    for (size_t i = 0; choir_event_field(e, i, &f); i++)
        field_to_json(top, e, &f, out);
    return out;
}

json_t *event_to_json(const struct choir_event *e)
{
    const char *name = choir_event_name(e);
    bool is_answer = strcmp(name, "done") == 0 || strcmp(name, "reply") == 0;
    json_t *out = json_object();

    if (is_answer)
        json_object_set_new(out, "outcome",
                            json_string(choir_code_name(choir_event_code(e))));
    else
        json_object_set_new(out, "event", json_string(name));
    fields_to_json(e, e, out);
    if (is_answer) /* a failure of ours is no field of the message */
        json_object_set_new(out, "outcome",
                            json_string(choir_code_name(choir_event_code(e))));
    if (choir_event_code(e))
        json_object_set_new(out, "explain",
                            json_string(choir_event_explain(e)));
    /* The connection's own bookkeeping means nothing to the speaker. */
    json_object_del(out, "seq");
    json_object_del(out, "ask");
    json_object_del(out, "watch");
    return out;
}

/* --- Requests -------------------------------------------------------------- */

struct maker {
    struct choir_request *r;
    char *why;
};

static int wrong(struct maker *m, int code, const char *name, const char *what)
{
    snprintf(m->why, WHY_BYTES, "%s field=%s: %s", choir_code_name(code), name,
             what);
    return code;
}

/* What the library says is already a whole line. */
static int passed_on(struct maker *m, int code)
{
    if (code)
        snprintf(m->why, WHY_BYTES, "%s", choir_error_text());
    return code;
}

static int rights_join(const json_t *v, char *out, size_t n)
{
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *s = json_string_value(json_array_get(v, i));

        if (!s || strlen(out) + strlen(s) + 2 > n)
            return -1;
        if (i)
            strcat(out, ",");
        strcat(out, s);
    }
    return rights_of_names(out[0] ? out : "none");
}

/* A number that stands there by its name; -1: it does not. */
static int64_t number_by_name(unsigned field, const json_t *v)
{
    char names[128];
    const char *s = json_string_value(v);

    if (field == FIELD_RIGHTS)
        return json_is_array(v) ? rights_join(v, names, sizeof names)
               : s              ? rights_of_names(s)
                                : -1;
    for (unsigned state = 0; field == FIELD_STATE && s && state < 256; state++)
        if (strcmp(choir_state_name(state), s) == 0 && task_state_name(state))
            return state;
    return -1;
}

static int integer_set(struct maker *m, const char *name, const json_t *v)
{
    if (json_integer_value(v) < 0)
        return wrong(m, CHOIR_INVALID, name, "is below zero");
    return passed_on(
        m, choir_request_uint(m->r, name, (uint64_t)json_integer_value(v)));
}

static int string_set(struct maker *m, const char *name, const json_t *v)
{
    const char *s = json_string_value(v);

    if (strlen(s) != json_string_length(v))
        return wrong(m, CHOIR_INVALID, name, "holds a NUL character");
    return passed_on(m, choir_request_text(m->r, name, s));
}

static int list_set(struct maker *m, const char *name, const json_t *v);

static int field_set(struct maker *m, const char *json_name, const json_t *v)
{
    const char *name =
        strcmp(json_name, "operation_id") == 0 ? "id" : json_name;
    unsigned f = field_number(bytes_text(name));
    int64_t number;

    if (!f || f == FIELD_VERB)
        return wrong(m, CHOIR_UNSUPPORTED, json_name, "there is no such field");
    number = number_by_name(f, v);
    if (number >= 0)
        return passed_on(m, choir_request_uint(m->r, name, (uint64_t)number));
    switch (json_typeof(v)) {
    case JSON_NULL: return 0;
    case JSON_INTEGER: return integer_set(m, name, v);
    case JSON_STRING: return string_set(m, name, v);
    case JSON_ARRAY: return list_set(m, name, v);
    default:
        return wrong(m, CHOIR_INVALID, json_name,
                     "takes a whole number, a string or a list");
    }
}

static bool is_value(const char *name)
{
    return strcmp(name, "value") == 0 || strcmp(name, "value_json") == 0 ||
           strcmp(name, "value_base64") == 0;
}

/* A value becomes the next slot, and msgpack says so in "type". */
static int slot_set(struct maker *m, const json_t *o, bool is_element)
{
    struct buf value = {0};
    bool is_msgpack;
    unsigned slot;
    int r = bytes_from_json(o, "value", &value, &is_msgpack, m->why);

    if (r != 1) {
        buf_free(&value);
        return r;
    }
    r = passed_on(m,
                  choir_request_slot(m->r, value.p ? (const void *)value.p : "",
                                     value.n, &slot));
    buf_free(&value);
    if (!r && is_element)
        r = passed_on(m, choir_request_uint(m->r, "slot", slot));
    if (!r && is_msgpack && !json_object_get(o, "type"))
        r = passed_on(m, choir_request_text(m->r, "type", JSON_TYPE));
    return r;
}

static int fields_set(struct maker *m, const json_t *o, bool is_top)
{
    json_t *object = (json_t *)(uintptr_t)o, *v;
    const char *name;
    int r = 0;

    json_object_foreach(object, name, v)
    {
        if (is_top && (strcmp(name, "op") == 0 || strcmp(name, "id") == 0))
            continue;
        if (!r && !is_value(name))
            r = field_set(m, name, v);
    }
    return r;
}

static int list_set(struct maker *m, const char *name, const json_t *v)
{
    int r = 0;

    for (size_t i = 0; i < json_array_size(v) && !r; i++) {
        const json_t *o = json_array_get(v, i);

        if (!json_is_object(o))
            return wrong(m, CHOIR_INVALID, name, "is a list of objects");
        r = passed_on(m, choir_request_begin(m->r, name));
        if (!r)
            r = fields_set(m, o, false);
        if (!r)
            r = slot_set(m, o, true);
        if (!r)
            r = passed_on(m, choir_request_end(m->r));
    }
    return r;
}

/* Some verbs are their value: without one it is empty. */
static int first_slot(struct maker *m, const char *verb, const json_t *o)
{
    const struct message_row *row = message_row(message_verb(bytes_text(verb)));
    bool given = json_object_get(o, "value") ||
                 json_object_get(o, "value_json") ||
                 json_object_get(o, "value_base64");

    if (!given && row && row->need >> FIELD_SLOTS & 1)
        return passed_on(m, choir_request_slot(m->r, "", 0, NULL));
    return slot_set(m, o, false);
}

int request_from_json(struct choir *c, const json_t *o,
                      struct choir_request **r, char why[WHY_BYTES])
{
    const char *verb = json_string_value(json_object_get(o, "op"));
    struct maker m = {.why = why};
    int code;

    *r = NULL;
    if (!verb)
        return wrong(&m, CHOIR_INVALID, "op", "names the verb, as a string");
    m.r = choir_request_new(c, verb);
    if (!m.r)
        return passed_on(&m, choir_error_code());
    code = first_slot(&m, verb, o);
    if (!code)
        code = fields_set(&m, o, true);
    if (code)
        choir_request_free(&m.r);
    *r = m.r;
    return code;
}

void json_line(FILE *out, const json_t *o)
{
    json_dumpf(o, out, JSON_COMPACT);
    fputc('\n', out);
    fflush(out);
}
