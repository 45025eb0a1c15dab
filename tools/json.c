/* Bytes and names as JSON; the only reader and writer of msgpack values. */
#include "json.h"

#include <errno.h>
#include <math.h>

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

const char *choice_name(unsigned field, unsigned number)
{
    static const char *const stale[] = {"reject", "flag", "requeue"};
    static const char *const heed[] = {"refresh", "ignore", "abandon"};

    if (number < 1 || number > 3)
        return NULL;
    return field == FIELD_STALE  ? stale[number - 1]
           : field == FIELD_KIND ? heed[number - 1]
                                 : NULL;
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

void json_line(FILE *out, const json_t *o)
{
    json_dumpf(o, out, JSON_COMPACT);
    fputc('\n', out);
    fflush(out);
}
