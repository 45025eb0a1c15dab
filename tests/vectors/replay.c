/* Every committed vector through the code: good must pass and say what the
 * case says, bad must be refused at its step and by its name. */
#include "tests/check.h"

#include <jansson.h>

#include "proto/armour.h"
#include "proto/note.h"
#include "proto/pack.h"
#include "proto/record.h"
#include "proto/refusal.h"
#include "tests/support/vectors.h"

/* --- A case -------------------------------------------------------------- */

typedef void (*case_fn)(json_t *c);

static json_t *running; /* named when a check fails */

static const char *text(json_t *c, const char *key)
{
    const char *s = json_string_value(json_object_get(c, key));

    if (!s)
        fail_msg("%s: no %s",
                 json_string_value(json_object_get(running, "name")), key);
    return s;
}

static uint64_t number(json_t *c, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(c, key));
}

static void expect(bool claim, const char *what)
{
    if (!claim)
        fail_msg("%s: %s", json_string_value(json_object_get(running, "name")),
                 what);
}

/* Bytes of a case live until it is done. */
static struct buf kept[256];
static size_t kept_count;

static struct bytes hex_of(const char *s)
{
    struct buf *b = &kept[kept_count++];

    expect(kept_count < 256, "too many fields");
    *b = wire_hex(s);
    return buf_bytes(b);
}

static struct bytes hex(json_t *c, const char *key)
{
    return hex_of(text(c, key));
}

static void is_hex(json_t *c, const char *key, struct bytes got)
{
    if (!bytes_equal(hex(c, key), got))
        fail_msg("%s: %s differs",
                 json_string_value(json_object_get(running, "name")), key);
}

static void is_hash(json_t *c, const char *key, const struct hash *got)
{
    is_hex(c, key, hash_bytes(got));
}

static void is_number(json_t *c, const char *key, uint64_t got)
{
    if (number(c, key) != got)
        fail_msg("%s: %s differs",
                 json_string_value(json_object_get(running, "name")), key);
}

static void is_refusal(json_t *c, int got)
{
    if (strcmp(text(c, "refusal"), refusal_name(got)) != 0)
        fail_msg("%s: %s instead of %s", text(running, "name"),
                 refusal_name(got), text(c, "refusal"));
}

static void replay(const char *subject, case_fn good, case_fn bad)
{
    char path[128];
    json_error_t error;
    json_t *file, *c;
    size_t i;

    snprintf(path, sizeof path, VECTORS_DIR "/%s.json", subject);
    file = json_load_file(path, 0, &error);
    if (!file)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    for (int b = 0; b < 2; b++) {
        json_array_foreach(json_object_get(file, b ? "bad" : "good"), i, c)
        {
            running = c;
            (b ? bad : good)(c);
            while (kept_count)
                buf_free(&kept[--kept_count]);
        }
    }
    json_decref(file);
}

/* --- Items and messages -------------------------------------------------- */

static void item_good(json_t *c)
{
    expect(pack_valid(hex(c, "bytes")), "refused");
}

static void item_bad(json_t *c)
{
    expect(!pack_valid(hex(c, "bytes")), "not refused");
}

TEST(vectors_of_items)
{
    replay("items", item_good, item_bad);
}

static unsigned class_named(const char *name)
{
    return strcmp(name, "operation") == 0 ? CLASS_OPERATION
           : strcmp(name, "broker") == 0  ? CLASS_BROKER
           : strcmp(name, "ask") == 0     ? CLASS_ASK
           : strcmp(name, "item") == 0    ? CLASS_ITEM
                                          : CLASS_PART;
}

static int message_read(json_t *c, struct msg *m, unsigned *field)
{
    unsigned class = class_named(text(c, "class"));

    if (class == CLASS_PART)
        return part_decode(
            (enum message)message_verb(bytes_text(text(c, "message"))),
            hex(c, "bytes"), m, field);
    return msg_decode(hex(c, "bytes"), class, m, field);
}

static size_t field_count(const struct msg *m)
{
    size_t n = 0;

    for (unsigned f = 0; f < FIELD_END; f++)
        n += msg_has(m, (enum field)f);
    return n;
}

static void fields_equal(json_t *fields, const struct msg *m);

static void list_equal(json_t *wanted, const struct msg *m, enum field f)
{
    struct list at = msg_list(m, f);
    struct msg element;
    json_t *e;
    size_t i;

    expect(json_array_size(wanted) == at.left, "length of list differs");
    json_array_foreach(wanted, i, e)
    {
        expect(list_next(&at, &element), "list ends early");
        fields_equal(e, &element);
    }
}

static void labels_equal(json_t *wanted, const struct msg *m, enum field f)
{
    struct list at = msg_list(m, f);
    struct bytes name, value;
    size_t n = 0;

    for (; labels_next(&at, &name, &value); n++) {
        json_t *w = json_object_getn(wanted, (const char *)name.p, name.n);

        expect(bytes_equal(bytes_text(json_string_value(w)), value),
               "label differs");
    }
    expect(n == json_object_size(wanted), "labels differ");
}

static void fields_equal(json_t *fields, const struct msg *m)
{
    const char *name;
    json_t *v;

    expect(json_object_size(fields) == field_count(m), "other fields");
    json_object_foreach(fields, name, v)
    {
        enum field f = (enum field)field_number(bytes_text(name));

        expect(f && msg_has(m, f), name);
        switch (field_row(f)->kind) {
        case KIND_UINT:
            expect((uint64_t)json_integer_value(v) == msg_u(m, f), name);
            break;
        case KIND_TEXT:
            expect(bytes_equal(bytes_text(json_string_value(v)), msg_b(m, f)),
                   name);
            break;
        case KIND_LIST: list_equal(v, m, f); break;
        case KIND_LABELS: labels_equal(v, m, f); break;
        default:
            expect(bytes_equal(hex_of(json_string_value(v)), msg_b(m, f)),
                   name);
        }
    }
}

static void message_good(json_t *c)
{
    struct buf again = {0};
    struct msg m;
    unsigned field;

    expect(message_read(c, &m, &field) == 0, "refused");
    expect(strcmp(message_row(m.verb)->name, text(c, "message")) == 0,
           "another message");
    fields_equal(json_object_get(c, "fields"), &m);
    msg_encode(&m, &again);
    is_hex(c, "bytes", buf_bytes(&again));
    buf_free(&again);
}

static void message_bad(json_t *c)
{
    struct msg m;
    unsigned field;

    is_refusal(c, message_read(c, &m, &field));
    if (json_object_get(c, "field"))
        is_number(c, "field", field);
}

TEST(vectors_of_messages)
{
    replay("messages", message_good, message_bad);
}

/* --- Keys, hashes, trees ------------------------------------------------- */

static int signature_check(json_t *c)
{
    enum key_purpose p = strcmp(text(c, "purpose"), "bundle") == 0
                             ? KEY_FOR_BUNDLE
                             : KEY_FOR_ANSWER;
    struct hash ledger;

    memcpy(ledger.b, hex(c, "ledger").p, HASH_BYTES);
    return key_verify(hex(c, "public_key").p, p, &ledger, hex(c, "body"),
                      hex(c, "signature").p);
}

static void key_good(json_t *c)
{
    struct key_pair k;
    struct hash id;

    key_pair_from_seed(&k, hex(c, "seed").p);
    is_hex(c, "public_key", bytes_of(k.public_key, 32));
    id = agent_id(k.public_key);
    is_hash(c, "agent", &id);
    expect(signature_check(c) == 0, "refused");
}

static void refused_signature(json_t *c)
{
    is_refusal(c, signature_check(c));
}

TEST(vectors_of_keys)
{
    replay("keys", key_good, refused_signature);
}

static void hash_good(json_t *c)
{
    static const char *const tags[] = {
#define X(name, tag) [HASH_##name] = tag,
        HASH_TAGS(X)
#undef X
    };
    const char *kind = text(c, "kind");
    struct hash h, l, r;

    if (strcmp(kind, "slot") == 0) {
        struct buf row = {0};

        slot_row(&row, hex(c, "salt").p, hex(c, "value"));
        is_hex(c, "row", buf_bytes(&row));
        buf_free(&row);
        return;
    }
    h = tree_empty();
    if (strcmp(kind, "leaf") == 0)
        h = tree_leaf(hex(c, "data"));
    if (strcmp(kind, "node") == 0) {
        memcpy(l.b, hex(c, "data").p, HASH_BYTES);
        memcpy(r.b, hex(c, "data").p + HASH_BYTES, HASH_BYTES);
        h = tree_node(&l, &r);
    }
    for (int t = 0; strcmp(kind, "tagged") == 0 && t < HASH_TAG_COUNT; t++) {
        if (strcmp(tags[t], text(c, "tag")) == 0)
            h = hash_of((enum hash_tag)t, hex(c, "data"));
    }
    is_hash(c, "hash", &h);
}

static void none_bad(json_t *c)
{
    (void)c;
    expect(false, "no case of this kind is bad");
}

TEST(vectors_of_hashes)
{
    replay("hashes", hash_good, none_bad);
}

static struct bytes path_of(json_t *path, struct buf *out)
{
    json_t *h;
    size_t i;

    buf_clear(out);
    json_array_foreach(path, i, h)
    {
        struct bytes b = hex_of(json_string_value(h));

        buf_put(out, b.p, b.n);
    }
    return buf_bytes(out);
}

static void ledger_tree_good(json_t *c)
{
    struct frontier f;
    struct hash root;
    json_t *d;
    size_t i;

    frontier_init(&f);
    json_array_foreach(json_object_get(c, "data"), i, d)
        frontier_add(&f, tree_leaf(hex_of(json_string_value(d))));
    root = frontier_root(&f);
    is_hash(c, "root", &root);
}

static void tree_good(json_t *c)
{
    json_t *leaves = json_object_get(c, "leaves"), *leaf;
    size_t n = json_array_size(leaves), i;
    struct buf path = {0};

    if (strcmp(text(c, "kind"), "sha256") == 0) {
        ledger_tree_good(c);
        return;
    }
    json_array_foreach(leaves, i, leaf)
    {
        struct bytes p =
            path_of(json_array_get(json_object_get(c, "paths"), i), &path);
        struct hash h, root;

        memcpy(h.b, hex_of(json_string_value(leaf)).p, HASH_BYTES);
        expect(merkle_climb(merkle_blake, h, i, n, p.p, p.n / HASH_BYTES,
                            &root) == 0,
               "path refused");
        is_hash(c, "root", &root);
    }
    buf_free(&path);
}

static void tree_bad(json_t *c)
{
    struct buf path = {0};
    struct bytes p = path_of(json_object_get(c, "path"), &path);
    struct hash leaf, root;
    int r;

    memcpy(leaf.b, hex(c, "leaf").p, HASH_BYTES);
    r = merkle_climb(merkle_blake, leaf, number(c, "position"),
                     number(c, "count"), p.p, p.n / HASH_BYTES, &root);
    if (!r && !bytes_equal(hash_bytes(&root), hex(c, "root")))
        r = CHOIR_MALFORMED;
    is_refusal(c, r);
    buf_free(&path);
}

TEST(vectors_of_trees)
{
    replay("trees", tree_good, tree_bad);
}

/* --- Frames -------------------------------------------------------------- */

static void slots_equal(json_t *wanted, const struct bundle_op *op)
{
    struct bytes salt, value;
    json_t *slot;
    size_t i;

    json_array_foreach(wanted, i, slot)
    {
        expect(slot_at(op->rows, op->payload, i, &salt, &value) == 0,
               "slot is missing");
        is_hex(slot, "salt", salt);
        is_hex(slot, "value", value);
    }
    expect(slot_at(op->rows, op->payload, i, &salt, &value) != 0,
           "slot too many");
}

static void bundle_good(json_t *c)
{
    struct bundle b = {0};
    json_t *op;
    size_t i;

    expect(bundle_open(&b, hex(c, "frame")) == 0, "open refused");
    expect(bundle_verify(&b, hex(c, "public_key").p) == 0, "verify refused");
    expect(bundle_check(&b, class_named(text(c, "class"))) == 0,
           "check refused");
    is_hex(c, "header", b.header);
    is_hash(c, "hash", &b.hash);
    is_hash(c, "ledger", &b.ledger);
    is_hash(c, "agent", &b.agent);
    is_hash(c, "root", &b.root);
    is_number(c, "kind", b.kind);
    is_number(c, "session", b.session);
    is_number(c, "first_seq", b.first_seq);
    expect(json_array_size(json_object_get(c, "operations")) == b.count,
           "another count");
    json_array_foreach(json_object_get(c, "operations"), i, op)
    {
        struct hash h = op_hash(b.ops[i].head);

        is_hex(op, "head", b.ops[i].head);
        is_hash(op, "hash", &h);
        is_refusal(op, b.ops[i].refusal);
        is_number(op, "field", b.ops[i].field);
        slots_equal(json_object_get(op, "slots"), &b.ops[i]);
    }
    bundle_free(&b);
}

static void bundle_bad(json_t *c)
{
    struct bundle b = {0};
    const char *step = "open";
    int r = bundle_open(&b, hex(c, "frame"));

    if (!r)
        step = "verify", r = bundle_verify(&b, hex(c, "public_key").p);
    if (!r)
        step = "check", r = bundle_check(&b, class_named(text(c, "class")));
    is_refusal(c, r);
    expect(strcmp(step, text(c, "step")) == 0, "at another step");
    bundle_free(&b);
}

TEST(vectors_of_bundles)
{
    replay("bundles", bundle_good, bundle_bad);
}

static void answer_good(json_t *c)
{
    json_t *items = json_object_get(c, "items"), *item;
    struct answer a;
    size_t i;

    expect(answer_open(&a, hex(c, "frame")) == 0, "open refused");
    expect(answer_verify(&a, hex(c, "broker_key").p) == 0, "verify refused");
    is_hash(c, "ledger", &a.ledger);
    is_hash(c, "root", &a.root);
    is_hash(c, "agent", &a.agent);
    is_number(c, "epoch", a.epoch);
    is_number(c, "time", a.time);
    is_number(c, "size", a.size);
    is_number(c, "session", a.session);
    json_array_foreach(items, i, item)
    {
        struct buf again = {0};
        struct msg m;

        expect(answer_next(&a, &m) == 0, "item refused");
        msg_encode(&m, &again);
        expect(bytes_equal(hex_of(json_string_value(item)), buf_bytes(&again)),
               "item differs");
        buf_free(&again);
    }
    expect(a.items == 0, "another number of items");
}

static void answer_bad(json_t *c)
{
    const char *step = "open";
    struct answer a;
    struct msg m;
    int r = answer_open(&a, hex(c, "frame"));

    if (!r)
        step = "verify", r = answer_verify(&a, hex(c, "broker_key").p);
    if (!r)
        step = "items";
    while (!r)
        r = answer_next(&a, &m);
    is_refusal(c, r);
    expect(strcmp(step, text(c, "step")) == 0, "at another step");
}

TEST(vectors_of_answers)
{
    replay("answers", answer_good, answer_bad);
}

/* --- Text ---------------------------------------------------------------- */

static void note_good(json_t *c)
{
    struct note n;

    expect(note_get(&n, bytes_text(text(c, "text")), hex(c, "broker_key").p) ==
               0,
           "refused");
    is_hash(c, "ledger", &n.ledger);
    is_hash(c, "root", &n.root);
    is_number(c, "size", n.size);
    is_number(c, "epoch", n.epoch);
}

static void note_bad(json_t *c)
{
    struct note n;

    is_refusal(
        c, note_get(&n, bytes_text(text(c, "text")), hex(c, "broker_key").p));
}

TEST(vectors_of_notes)
{
    replay("notes", note_good, note_bad);
}

static int armour_read(json_t *c, struct buf *bytes, struct msg *m)
{
    enum message part = (enum message)message_verb(bytes_text(text(c, "part")));

    return armour_get(bytes_text(text(c, "text")), part, bytes, m);
}

static void armour_good(json_t *c)
{
    struct buf bytes = {0}, line = {0};
    struct msg m;

    expect(armour_read(c, &bytes, &m) == 0, "refused");
    is_hex(c, "bytes", buf_bytes(&bytes));
    expect(armour_put(&line, &m) == 0, "not written");
    expect(bytes_equal(bytes_text(text(c, "text")), buf_bytes(&line)),
           "written otherwise");
    buf_free(&bytes);
    buf_free(&line);
}

static void armour_bad(json_t *c)
{
    struct buf bytes = {0};
    struct msg m;

    is_refusal(c, armour_read(c, &bytes, &m));
    buf_free(&bytes);
}

TEST(vectors_of_armour)
{
    replay("armour", armour_good, armour_bad);
}

/* --- The record ---------------------------------------------------------- */

static int segment_read(json_t *c, struct segment_header *s)
{
    uint32_t format;

    return segment_header_get(s, hex(c, "bytes").p, &format);
}

static int group_read(json_t *c, struct group_header *h)
{
    struct bytes header = hex(c, "header");
    int r =
        group_header_get(h, header.p, hex(c, "nonce").p, number(c, "offset"));

    if (!r)
        r = group_check(h, header.p, hex(c, "body"));
    return r == CHOIR_UNSUPPORTED ? CHOIR_MALFORMED : r; /* torn or not */
}

static void segment_good(json_t *c)
{
    struct segment_header s;

    expect(segment_read(c, &s) == 0, "refused");
    is_hash(c, "ledger", &s.ledger);
    is_hash(c, "prev_group", &s.prev_group);
    is_hex(c, "nonce", bytes_of(s.nonce, sizeof s.nonce));
    is_number(c, "number", s.number);
    is_number(c, "first", s.first);
    is_number(c, "epoch", s.epoch);
}

static void entry_equal(json_t *c, const struct entry *e)
{
    struct hash leaf = entry_leaf(e);

    is_number(c, "index", e->index);
    is_number(c, "session", e->session);
    is_number(c, "seq", e->seq);
    is_number(c, "position", e->position);
    is_number(c, "outcome", (uint64_t)e->outcome);
    is_hex(c, "head", e->head);
    is_hex(c, "effect", e->effect);
    is_hex(c, "payload", e->payload);
    is_hex(c, "effect_payload", e->effect_payload);
    is_hash(c, "leaf", &leaf);
}

static void group_good(json_t *c)
{
    struct group_header h;
    struct group_walk w;
    const struct entry *e;
    json_t *entry;
    size_t i;

    expect(group_read(c, &h) == 0, "refused");
    is_number(c, "epoch", h.epoch);
    is_number(c, "first", h.first);
    is_number(c, "count", h.count);
    is_number(c, "bundles", h.bundles);
    is_number(c, "synced", h.synced);
    is_number(c, "time", h.time);
    is_hash(c, "prev", &h.prev);
    is_hash(c, "hash", &h.hash);
    group_walk_begin(&w, &h, hex(c, "body"));
    json_array_foreach(json_object_get(c, "entries"), i, entry)
    {
        expect(group_walk_next(&w, &e) == 0, "entry refused");
        entry_equal(entry, e);
    }
    expect(group_walk_next(&w, &e) == CHOIR_NOT_FOUND, "another end");
}

static void record_good(json_t *c)
{
    if (strcmp(text(c, "kind"), "segment") == 0)
        segment_good(c);
    else
        group_good(c);
}

static void record_bad(json_t *c)
{
    struct segment_header s;
    struct group_header h;
    struct group_walk w;
    const struct entry *e;
    int r;

    if (strcmp(text(c, "kind"), "segment") == 0) {
        is_refusal(c, segment_read(c, &s));
        return;
    }
    r = group_read(c, &h);
    if (!r) {
        group_walk_begin(&w, &h, hex(c, "body"));
        while (!r)
            r = group_walk_next(&w, &e);
    }
    is_refusal(c, r);
}

TEST(vectors_of_the_record)
{
    replay("record", record_good, record_bad);
}

CHECK_MAIN
