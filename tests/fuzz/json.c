/* Values that agents wrote, shown as JSON, and JSON that people wrote, made
 * into values. What is shown as JSON can be read back. */
#include <jansson.h>

#include "tests/fuzz/fuzz.h"
#include "tools/json.h"

static void shown(struct bytes b)
{
    json_t *o = msgpack_to_json(b), *back;
    struct buf again = {0};
    char *text;

    if (!o)
        return;
    text = json_dumps(o, JSON_ENCODE_ANY);
    if (!text)
        abort();
    back = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!back || msgpack_from_json(back, &again))
        abort();
    free(text);
    json_decref(back);
    json_decref(o);
    buf_free(&again);
}

static void made(struct bytes b)
{
    json_t *o = json_loadb((const char *)b.p, b.n,
                           JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    struct buf value = {0};

    if (o && msgpack_from_json(o, &value) == 0)
        shown(buf_bytes(&value));
    json_decref(o);
    buf_free(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shown(bytes_of(data, size));
    made(bytes_of(data, size));
    return 0;
}
