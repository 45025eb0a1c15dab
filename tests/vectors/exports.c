/* The committed exports through the reader: good ones pass and hold what the
 * case says, bad ones are refused at the record it names. */
#include "tests/check.h"

#include <jansson.h>

#include "proto/export.h"
#include "proto/refusal.h"
#include "tests/support/vectors.h"

static uint64_t number(json_t *c, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(c, key));
}

static struct buf hex(json_t *c, const char *key)
{
    return wire_hex(json_string_value(json_object_get(c, key)));
}

static int judge(json_t *c, struct export_report *report)
{
    struct buf file = hex(c, "bytes"), key = hex(c, "broker_key");
    struct export_options options = {.broker_key = key.p};
    struct export_reader *r = export_reader_new(&options);
    int code;

    CHECK(r != NULL);
    export_read(r, buf_bytes(&file));
    code = export_read_end(r);
    *report = *export_report(r);
    export_reader_destroy(&r);
    buf_free(&file);
    buf_free(&key);
    return code;
}

static void is(json_t *c, const char *key, uint64_t got)
{
    if (number(c, key) != got)
        fail_msg("%s: %s is %d", json_string_value(json_object_get(c, "name")),
                 key, (int)got);
}

static void good(json_t *c)
{
    struct export_report r;

    if (judge(c, &r))
        fail_msg("%s: %s", json_string_value(json_object_get(c, "name")),
                 r.why);
    CHECK(r.pinned);
    is(c, "size", r.note.size);
    is(c, "entries", r.entries);
    is(c, "identities", r.identities);
    is(c, "missing", r.erased + r.compacted + r.left_out);
}

static void bad(json_t *c)
{
    struct export_report r;

    CHECK_REFUSED(judge(c, &r), CHOIR_BROKEN);
    CHECK_STR(json_string_value(json_object_get(c, "refusal")),
              refusal_name(CHOIR_BROKEN));
    is(c, "record", r.at.record);
    is(c, "offset", r.at.offset);
}

TEST(vectors_of_exports)
{
    json_error_t error;
    json_t *file = json_load_file(VECTORS_DIR "/exports.json", 0, &error), *c;
    size_t i;

    if (!file)
        fail_msg("%s:%d: %s", error.source, error.line, error.text);
    json_array_foreach(json_object_get(file, "good"), i, c) good(c);
    json_array_foreach(json_object_get(file, "bad"), i, c) bad(c);
    CHECK(i > 20);
    json_decref(file);
}

CHECK_MAIN
