/* JSON as requests, driven by the rows of proto/schema.h: a new field needs
 * nothing here. */
#include "json.h"

#include <errno.h>

#include "proto/schema.h"

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

static int choice_of_name(unsigned field, const char *name)
{
    for (int i = 1; choice_name(field, (unsigned)i); i++)
        if (strcmp(choice_name(field, (unsigned)i), name) == 0)
            return i;
    return -1;
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
    if (field == FIELD_RULE && s &&
        merge_rule_number(bytes_text(s)) != RULE_END)
        return merge_rule_number(bytes_text(s));
#define X(upper, number, text)                            \
    if (field == FIELD_KIND && s && strcmp(s, text) == 0) \
        return number;
    SEND_KINDS(X)
#undef X
    if ((field == FIELD_STALE || field == FIELD_KIND) && s)
        return choice_of_name(field, s);
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

bool is_msgpack_alone(const char *verb)
{
    return strcmp(verb, "append") == 0 || strcmp(verb, "incr") == 0;
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
    const json_t *text = json_object_get(o, "value");
    json_t *any = NULL;
    int r;

    const struct message_row *row = message_row(message_verb(bytes_text(verb)));
    bool given = json_object_get(o, "value") ||
                 json_object_get(o, "value_json") ||
                 json_object_get(o, "value_base64");

    if (!given && row && row->need >> FIELD_SLOTS & 1)
        return passed_on(m, choir_request_slot(m->r, "", 0, NULL));
    if (!is_msgpack_alone(verb))
        return slot_set(m, o, false);
    /* the bytes of a "type" would have no place: say it is known */
    any = json_pack("{s:n}", "type");
    if (text)
        json_object_set(any, "value_json", (json_t *)(uintptr_t)text);
    if (json_object_get(o, "value_json"))
        json_object_set(any, "value_json", json_object_get(o, "value_json"));
    if (json_object_get(o, "value_base64"))
        json_object_set(any, "value_base64",
                        json_object_get(o, "value_base64"));
    r = slot_set(m, any, false);
    json_decref(any);
    return r;
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
