/* tools/json: what JSON can say exactly, and what it must not pretend to. */
#include "tests/check.h"

#include "proto/limits.h"
#include "tools/json.h"

static json_t *parse(const char *text)
{
    json_t *o = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    assert_non_null(o);
    return o;
}

/* To msgpack and back gives the same. */
static bool round_trips(const char *text)
{
    json_t *in = parse(text), *out;
    struct buf packed = {0};
    bool same;

    assert_int_equal(msgpack_from_json(in, &packed), 0);
    out = msgpack_to_json(buf_bytes(&packed));
    same = out && json_equal(in, out);
    buf_free(&packed);
    json_decref(in);
    json_decref(out);
    return same;
}

static json_t *unpacked(const char *bytes, size_t n)
{
    return msgpack_to_json(bytes_of(bytes, n));
}
#define UNPACKED(bytes) unpacked(bytes, sizeof(bytes) - 1)

TEST(json_survives_msgpack)
{
    assert_true(round_trips("9007199254740991"));
    assert_true(round_trips("-9007199254740991"));
    assert_true(round_trips("9223372036854775807"));
    assert_true(round_trips("[0, -1, 127, 128, 255, 65536, 4294967296]"));
    assert_true(round_trips("1.5"));
    assert_true(round_trips("[1.0, 1]"));
    assert_true(round_trips("null"));
    assert_true(round_trips("[true, false]"));
    assert_true(round_trips("\"\""));
    assert_true(round_trips("{\"\": {}, \"é\": [\"\\u20ac\"], \"b\": []}"));
}

static json_t *nested(int depth)
{
    json_t *o = json_integer(1);

    while (--depth > 0) {
        json_t *outer = json_array();

        json_array_append_new(outer, o);
        o = outer;
    }
    return o;
}

TEST(json_nested_to_the_limit_becomes_msgpack)
{
    struct buf packed = {0};
    json_t *in = nested(LIMIT_DEPTH), *out;

    assert_int_equal(msgpack_from_json(in, &packed), 0);
    out = msgpack_to_json(buf_bytes(&packed));
    assert_true(json_equal(in, out));
    json_decref(in);
    json_decref(out);
    buf_free(&packed);
}

TEST(json_nested_beyond_the_limit_is_refused)
{
    struct buf packed = {0};
    json_t *in = nested(LIMIT_DEPTH + 1);

    assert_int_equal(msgpack_from_json(in, &packed), CHOIR_INVALID);
    json_decref(in);
    buf_free(&packed);
}

TEST(msgpack_that_json_cannot_say_stays_bytes)
{
    assert_null(UNPACKED("\xc4\x01x"));              /* binary */
    assert_null(UNPACKED("\xd4\x01x"));              /* extension */
    assert_null(UNPACKED("\x81\x01\x01"));           /* key: number */
    assert_null(UNPACKED("\x82\xa1k\x01\xa1k\x02")); /* key twice */
    assert_null(UNPACKED("\xcf\xff\xff\xff\xff\xff\xff\xff\xff")); /* 2^64-1 */
    assert_null(UNPACKED("\xcb\x7f\xf0\0\0\0\0\0\0")); /* infinity */
    assert_null(UNPACKED("\xa1\xff"));                 /* no UTF-8 */
    assert_null(UNPACKED("\xa1\0"));                   /* NUL */
}

TEST(msgpack_that_lies_is_refused_before_msgpack_c_sees_it)
{
    assert_null(UNPACKED(""));
    assert_null(UNPACKED("\xdd\xff\xff\xff\xff\0"));
    assert_null(UNPACKED("\x92\x01"));
    assert_null(UNPACKED("\x01\x01"));
    assert_null(UNPACKED("\xcc\x01")); /* not the shortest form */
}

/* The member that holds `n` bytes of that type, as JSON text. */
static void shown(const char *bytes, size_t n, const char *type, char out[128])
{
    json_t *o = json_object();
    char *text;

    bytes_to_json(o, "value", bytes_of(bytes, n), type);
    text = json_dumps(o, JSON_COMPACT);
    snprintf(out, 128, "%s", text);
    free(text);
    json_decref(o);
}

TEST(bytes_are_shown_in_the_form_that_holds_them)
{
    char text[128];

    shown("h\xc3\xa9", 3, NULL, text);
    assert_string_equal(text, "{\"value\":\"h\xc3\xa9\"}");
    shown("", 0, NULL, text);
    assert_string_equal(text, "{\"value\":\"\"}");
    shown("a\0b", 3, NULL, text);
    assert_string_equal(text, "{\"value_base64\":\"YQBi\"}");
    shown("\xff", 1, "text/plain", text);
    assert_string_equal(text, "{\"value_base64\":\"/w==\"}");
    shown("\x01", 1, JSON_TYPE, text);
    assert_string_equal(text, "{\"value_json\":1}");
    shown("\x01", 1, "text/plain", text);
    assert_string_equal(text, "{\"value\":\"\\u0001\"}");
    shown("\xc1", 1, JSON_TYPE, text); /* says it is msgpack and is not */
    assert_string_equal(text, "{\"value_base64\":\"wQ==\"}");
}

static int taken(const char *text, struct buf *out, bool *is_msgpack)
{
    json_t *o = parse(text);
    char why[WHY_BYTES];
    int r = bytes_from_json(o, "value", out, is_msgpack, why);

    json_decref(o);
    return r;
}

TEST(bytes_are_taken_in_each_form)
{
    struct buf b = {0};
    bool is_msgpack;

    assert_int_equal(taken("{}", &b, &is_msgpack), 0);
    assert_int_equal(taken("{\"value\":\"a\\u0000b\"}", &b, &is_msgpack), 1);
    assert_int_equal(b.n, 3);
    assert_false(is_msgpack);
    buf_clear(&b);
    assert_int_equal(taken("{\"value_base64\":\"AP8=\"}", &b, &is_msgpack), 1);
    assert_memory_equal(b.p, "\0\xff", 2);
    buf_clear(&b);
    assert_int_equal(taken("{\"value_json\":null}", &b, &is_msgpack), 1);
    assert_true(is_msgpack);
    assert_memory_equal(b.p, "\xc0", 1);
    buf_free(&b);
}

TEST(bytes_in_a_wrong_form_are_refused)
{
    struct buf b = {0};
    bool is_msgpack;

    assert_int_equal(taken("{\"value\":1}", &b, &is_msgpack), CHOIR_INVALID);
    assert_int_equal(taken("{\"value_base64\":\"AP8\"}", &b, &is_msgpack),
                     CHOIR_INVALID);
    assert_int_equal(taken("{\"value_base64\":[]}", &b, &is_msgpack),
                     CHOIR_INVALID);
    assert_int_equal(
        taken("{\"value\":\"a\",\"value_json\":1}", &b, &is_msgpack),
        CHOIR_INVALID);
    buf_free(&b);
}

TEST(names_of_rights_and_codes_are_known)
{
    assert_int_equal(rights_of_names("read,write"), 3);
    assert_int_equal(rights_of_names("none"), 0);
    assert_int_equal(rights_of_names("all"), 127);
    assert_int_equal(rights_of_names("read,"), -1);
    assert_int_equal(rights_of_names("rea"), -1);
    assert_int_equal(code_of_name("OK"), 0);
    assert_int_equal(code_of_name("CONFLICT"), CHOIR_CONFLICT);
    assert_int_equal(code_of_name("UNKNOWN"), -1);
    assert_int_equal(code_of_name("frob"), -1);
}

CHECK_MAIN
