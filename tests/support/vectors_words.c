/* Vectors of what everything else is made of: msgpack items and messages. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "vectors.h"

static const struct {
    const char *name, *bytes;
} good_items[] = {
    {"nil", "c0"},
    {"false", "c2"},
    {"true", "c3"},
    {"zero", "00"},
    {"largest in one byte", "7f"},
    {"smallest of uint 8", "cc80"},
    {"largest of uint 8", "ccff"},
    {"smallest of uint 16", "cd0100"},
    {"smallest of uint 32", "ce00010000"},
    {"smallest of uint 64", "cf0000000100000000"},
    {"largest integer on the wire", "cf001fffffffffffff"},
    {"largest uint 64: fine in a value, in no field", "cfffffffffffffffff"},
    {"minus one", "ff"},
    {"smallest in one byte", "e0"},
    {"largest of int 8", "d0df"},
    {"largest of int 16", "d1ff7f"},
    {"largest of int 32", "d2ffff7fff"},
    {"largest of int 64", "d3ffffffff7fffffff"},
    {"float 32", "ca3fc00000"},
    {"float 64", "cb3ff8000000000000"},
    {"empty text", "a0"},
    {"text of 31 bytes", "bf6162636465666768696a6b6c6d6e6f70717273747576"
                         "7778797a6162636465"},
    {"empty bytes", "c400"},
    {"bytes", "c403000102"},
    {"empty array", "90"},
    {"array", "93010203"},
    {"empty map", "80"},
    {"map", "8201020304"},
    {"map with equal keys: fine in a value, in no message", "8201020103"},
    {"fixed extension", "d40500"},
    {"extension of 3 bytes", "c70305000102"},
    {"nested as deep as may be", "9191919191919191919191919191"
                                 "91"
                                 "c0"},
};

static const struct {
    const char *name, *bytes;
} bad_items[] = {
    {"nothing", ""},
    {"the byte without a meaning", "c1"},
    {"uint 8 for one byte", "cc7f"},
    {"uint 16 for uint 8", "cd00ff"},
    {"uint 32 for uint 16", "ce0000ffff"},
    {"uint 64 for uint 32", "cf00000000ffffffff"},
    {"int 8 for a positive number", "d001"},
    {"int 8 for one byte", "d0e0"},
    {"int 16 for int 8", "d1ff80"},
    {"int 32 for int 16", "d2ffff8000"},
    {"int 64 for int 32", "d3ffffffff80000000"},
    {"text 8 for 31 bytes", "d91f6162636465666768696a6b6c6d6e6f70717273747576"
                            "7778797a6162636465"},
    {"text 16 for 1 byte", "da000161"},
    {"text 32 for 1 byte", "db0000000161"},
    {"bytes 16 for 1 byte", "c5000161"},
    {"bytes 32 for 1 byte", "c60000000161"},
    {"array 16 for 1 element", "dc000101"},
    {"array 32 for 1 element", "dd0000000101"},
    {"map 16 for 1 pair", "de00010101"},
    {"map 32 for 1 pair", "df000000010101"},
    {"extension 8 for a fixed length", "c7010500"},
    {"extension 16 for 3 bytes", "c8000305000102"},
    {"text cut short", "a361"},
    {"text without its length", "d9"},
    {"uint 64 cut short", "cf0000000100"},
    {"float cut short", "ca3fc000"},
    {"array cut short", "920"
                        "1"},
    {"map cut short", "8101"},
    {"extension without its type", "d4"},
    {"bytes that claim 4 GiB", "c6ffffffff00"},
    {"array that claims 4 G elements", "ddff000000"},
    {"map that claims 4 G pairs", "dfff000000"},
    {"one level too deep", "9191919191919191919191919191"
                           "9191"
                           "c0"},
    {"two items", "0101"},
};

json_t *vectors_items(void)
{
    json_t *file = vector_file("One strict msgpack item each, as pack.h "
                               "reads it: good is well formed and nothing "
                               "follows it, bad is MALFORMED.");

    for (size_t i = 0; i < sizeof good_items / sizeof *good_items; i++)
        vector_text(vector_case(file, "good", good_items[i].name), "bytes",
                    good_items[i].bytes);
    for (size_t i = 0; i < sizeof bad_items / sizeof *bad_items; i++) {
        json_t *c = vector_case(file, "bad", bad_items[i].name);

        vector_text(c, "bytes", bad_items[i].bytes);
        vector_text(c, "refusal", "MALFORMED");
    }
    return file;
}

/* --- Messages ------------------------------------------------------------ */

/* A sample's bytes live until the message is encoded. */
static struct buf pool[64];
static size_t pooled;

static struct buf *pool_buf(void)
{
    if (pooled == sizeof pool / sizeof *pool)
        abort();
    return &pool[pooled++];
}

static void pool_clear(void)
{
    while (pooled)
        buf_free(&pool[--pooled]);
}

static uint64_t sample_number(unsigned f, uint64_t max)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     127,
                                     128,
                                     255,
                                     256,
                                     65535,
                                     65536,
                                     0xffffffff,
                                     0x100000000,
                                     LIMIT_UINT_MAX_WIRE};
    uint64_t v = edges[f % (sizeof edges / sizeof *edges)];

    return v < max ? v : max;
}

static void sample(struct msg *m, json_t *fields, enum message verb,
                   field_mask which);

static void sample_list(struct msg *m, json_t *fields, enum field f,
                        const struct field_row *row)
{
    const struct message_row *part = message_row((unsigned)row->max);
    struct buf *elements = pool_buf();
    json_t *list = json_array();

    for (int all = 0; all < 2; all++) {
        json_t *inner = json_object();
        struct msg e;

        sample(&e, inner, (enum message)row->max,
               all ? part->need | part->may : part->need);
        msg_encode(&e, elements);
        json_array_append_new(list, inner);
    }
    msg_set_list(m, f, 2, buf_bytes(elements));
    json_object_set_new(fields, row->name, list);
}

static void sample_labels(struct msg *m, json_t *fields, enum field f,
                          const char *name)
{
    struct buf *pairs = pool_buf();

    pack_text(pairs, bytes_text("label"));
    pack_text(pairs, bytes_text("night shift"));
    pack_text(pairs, bytes_text("model"));
    pack_text(pairs, bytes_text("m-1"));
    msg_set_list(m, f, 2, buf_bytes(pairs));
    json_object_set_new(
        fields, name,
        json_pack("{s:s, s:s}", "label", "night shift", "model", "m-1"));
}

static void sample_bytes(struct msg *m, json_t *fields, enum field f,
                         const char *name, size_t n)
{
    struct buf *b = pool_buf();
    uint8_t *p = buf_grow(b, n);

    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(f + i);
    msg_set_b(m, f, buf_bytes(b));
    vector_hex(fields, name, buf_bytes(b));
}

static void sample_field(struct msg *m, json_t *fields, enum field f)
{
    const struct field_row *row = field_row(f);
    struct buf *rows;
    static const uint8_t salt[SLOT_SALT_BYTES] = {1, 2, 3};

    switch (row->kind) {
    case KIND_UINT:
        msg_set_u(m, f, sample_number(f, row->max));
        vector_int(fields, row->name, msg_u(m, f));
        return;
    case KIND_TEXT:
        msg_set_text(m, f, row->name);
        vector_text(fields, row->name, row->name);
        return;
    case KIND_BYTES: sample_bytes(m, fields, f, row->name, 3); return;
    case KIND_HASH: sample_bytes(m, fields, f, row->name, HASH_BYTES); return;
    case KIND_SIGNATURE: sample_bytes(m, fields, f, row->name, 64); return;
    case KIND_SLOTS:
        rows = pool_buf();
        slot_row(rows, salt, bytes_text("value"));
        msg_set_b(m, f, buf_bytes(rows));
        vector_hex(fields, row->name, buf_bytes(rows));
        return;
    case KIND_LIST: sample_list(m, fields, f, row); return;
    case KIND_LABELS: sample_labels(m, fields, f, row->name); return;
    }
}

static void sample(struct msg *m, json_t *fields, enum message verb,
                   field_mask which)
{
    msg_init(m, verb);
    for (unsigned f = 0; f < FIELD_END; f++) {
        if (which >> f & 1)
            sample_field(m, fields, (enum field)f);
    }
}

static const char *class_name(unsigned class)
{
    switch (class) {
    case CLASS_OPERATION: return "operation";
    case CLASS_BROKER: return "broker";
    case CLASS_ASK: return "ask";
    case CLASS_ITEM: return "item";
    default: return "part";
    }
}

static void message_case(json_t *file, unsigned verb, field_mask which,
                         const char *how)
{
    const struct message_row *row = message_row(verb);
    struct buf *bytes = pool_buf();
    json_t *fields = json_object(), *c;
    char name[64];
    struct msg m;

    snprintf(name, sizeof name, "%s with %s", row->name, how);
    sample(&m, fields, (enum message)verb, which);
    msg_encode(&m, bytes);
    c = vector_case(file, "good", name);
    vector_text(c, "class", class_name(row->class));
    vector_text(c, "message", row->name);
    vector_hex(c, "bytes", buf_bytes(bytes));
    json_object_set_new(c, "fields", fields);
    pool_clear();
}

static const struct {
    const char *name, *class, *message, *bytes, *refusal;
    unsigned field;
} bad_messages[] = {
    {"no bytes", "operation", "", "", "MALFORMED", 0},
    {"a map without a verb", "operation", "", "80", "MALFORMED", 0},
    {"an array", "operation", "", "90", "MALFORMED", 0},
    {"the verb is not first", "operation", "", "8202a1730102", "MALFORMED", 0},
    {"the verb twice", "operation", "", "8201020102", "MALFORMED", 0},
    {"the verb not in its shortest form", "operation", "", "8101cc02",
     "MALFORMED", 0},
    {"a field number not in its shortest form", "operation", "", "81cc0102",
     "MALFORMED", 0},
    {"field numbers that descend", "operation", "", "83010803a16b02a173",
     "MALFORMED", 0},
    {"a field twice", "operation", "", "84010802a17302a17303a16b", "MALFORMED",
     0},
    {"a field that is needed is missing", "operation", "", "82010802a173",
     "MALFORMED", 0},
    {"bytes where text belongs", "operation", "", "83010802a17303c4016b",
     "MALFORMED", 0},
    {"text with NUL", "operation", "", "83010802a17303a26b00", "MALFORMED", 0},
    {"text that is not UTF-8", "operation", "", "83010802a17303a1ff",
     "MALFORMED", 0},
    {"an overlong NUL in text", "operation", "", "83010802a17303a2c080",
     "MALFORMED", 0},
    {"a surrogate in text", "operation", "", "83010802a17303a3eda080",
     "MALFORMED", 0},
    {"a byte behind the end", "operation", "", "83010802a17303a16bc0",
     "MALFORMED", 0},
    {"nil where text belongs", "operation", "", "83010802a17303c0", "MALFORMED",
     0},
    {"a negative integer", "operation", "", "84010802a17303a16b06ff",
     "MALFORMED", 0},
    {"an integer above the largest", "operation", "",
     "84010802a17303a16b06cf0020000000000000", "MALFORMED", 0},
    {"a float for an integer", "operation", "",
     "84010802a17303a16b06ca3f800000", "MALFORMED", 0},
    {"a field with the number 0", "operation", "", "82010800c0", "MALFORMED",
     0},
    {"an unknown field", "operation", "", "84010802a17303a16b6301",
     "UNSUPPORTED", 99},
    {"a field of other messages", "operation", "", "84010802a17303a16b0ca171",
     "UNSUPPORTED", 12},
    {"an unknown verb", "operation", "", "810163", "UNSUPPORTED", 1},
    {"a verb of another class", "operation", "",
     "82012420"
     "05",
     "UNSUPPORTED", 1},
    {"a list longer than its bytes", "operation", "",
     "830109"
     "02a173"
     "0b"
     "dd00100000",
     "MALFORMED", 0},
    {"an element with an unknown field", "operation", "",
     "830109"
     "02a173"
     "0b"
     "91"
     "82"
     "03a16b"
     "6301",
     "UNSUPPORTED", 99},
    {"an element that lacks what it needs", "operation", "",
     "830109"
     "02a173"
     "0b"
     "91"
     "80",
     "MALFORMED", 0},
    {"a hash of 31 bytes", "operation", "",
     "8201011bc41f"
     "00000000000000000000000000000000"
     "000000000000000000000000000000",
     "MALFORMED", 0},
    {"slots that are no multiple of a row", "operation", "",
     "84010702a17303a16b04c40100", "MALFORMED", 0},
    {"a part with a verb", "part", "compare",
     "820101"
     "1c05",
     "UNSUPPORTED", 1},
    {"labels that descend", "part", "labels", "82a162a0a161a0", "MALFORMED", 0},
    {"a label twice", "part", "labels", "82a161a0a161a0", "MALFORMED", 0},
    {"a label's value that is no text", "part", "labels", "81a16101",
     "MALFORMED", 0},
    {"seventeen labels", "part", "labels",
     "de0011"
     "a161a0"
     "a162a0"
     "a163a0"
     "a164a0"
     "a165a0"
     "a166a0"
     "a167a0"
     "a168a0"
     "a169a0"
     "a16aa0"
     "a16ba0"
     "a16ca0"
     "a16da0"
     "a16ea0"
     "a16fa0"
     "a170a0"
     "a171a0",
     "MALFORMED", 0},
};

/* Labels stand only in a header: one with these in place of its own. */
static void bad_labels(json_t *c, const char *labels)
{
    struct key_pair key = wire_key(2);
    struct bundle_facts facts = wire_facts(&key);
    struct hash root = wire_hash(5);
    struct buf plain = {0}, header = {0}, raw = wire_hex(labels);
    size_t map = labels[0] == 'd' ? 3 : 1;
    struct msg m;
    unsigned field;

    bundle_header_put(&plain, &facts, &root, 1);
    if (part_decode(MSG_BUNDLE_HEADER, buf_bytes(&plain), &m, &field))
        abort();
    msg_set_list(&m, FIELD_LABELS, map == 3 ? 17 : labels[1] - '0',
                 bytes_of(raw.p + map, raw.n - map));
    msg_encode(&m, &header);
    vector_text(c, "message", "bundle_header");
    vector_hex(c, "bytes", buf_bytes(&header));
    buf_free(&plain);
    buf_free(&header);
    buf_free(&raw);
}

json_t *vectors_messages(void)
{
    json_t *file = vector_file(
        "Messages of proto/schema.h. good: bytes and the fields they hold "
        "(bytes, hashes and slots in hex). bad: the refusal, and for "
        "UNSUPPORTED the number of the field (1: the verb). A part is known "
        "from where it stands, so its message is named.");

    for (unsigned verb = 0; verb < 256; verb++) {
        const struct message_row *row = message_row(verb);

        if (!row)
            continue;
        message_case(file, verb, row->need, "what it needs");
        if (row->may)
            message_case(file, verb, row->need | row->may, "all it may have");
    }
    for (size_t i = 0; i < sizeof bad_messages / sizeof *bad_messages; i++) {
        json_t *c = vector_case(file, "bad", bad_messages[i].name);

        vector_text(c, "class", bad_messages[i].class);
        if (strcmp(bad_messages[i].message, "labels") == 0) {
            bad_labels(c, bad_messages[i].bytes);
        } else {
            if (bad_messages[i].message[0])
                vector_text(c, "message", bad_messages[i].message);
            vector_text(c, "bytes", bad_messages[i].bytes);
        }
        vector_text(c, "refusal", bad_messages[i].refusal);
        if (strcmp(bad_messages[i].refusal, "UNSUPPORTED") == 0)
            vector_int(c, "field", bad_messages[i].field);
    }
    return file;
}
