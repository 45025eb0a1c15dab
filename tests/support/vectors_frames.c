/* Vectors of the two frames: bundles and answers. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "proto/refusal.h"
#include "vectors.h"

enum { OPS_MAX = 8 };

/* A bundle while it is being put together: heads, payloads, facts. */
struct draft {
    struct key_pair key;
    struct bundle_facts facts;
    struct buf head[OPS_MAX], payload[OPS_MAX];
    unsigned count;
};

static void draft_begin(struct draft *d)
{
    memset(d, 0, sizeof *d);
    d->key = wire_key(2);
    d->facts = wire_facts(&d->key);
}

static void draft_free(struct draft *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        buf_free(&d->head[i]);
        buf_free(&d->payload[i]);
    }
    d->count = 0;
}

static void draft_put(struct draft *d, const char *key, const char *value)
{
    wire_put(&d->head[d->count], &d->payload[d->count], key, bytes_text(value),
             (uint8_t)(0xa0 + d->count));
    d->count++;
}

static void draft_msg(struct draft *d, const struct msg *m)
{
    msg_encode(m, &d->head[d->count++]);
}

static void draft_hex(struct draft *d, const char *head)
{
    d->head[d->count++] = wire_hex(head);
}

static void draft_seal(struct draft *d, struct buf *frame)
{
    struct bundle_writer w = {0};
    struct hash hash;

    bundle_begin(&w);
    for (unsigned i = 0; i < d->count; i++) {
        if (bundle_add(&w, buf_bytes(&d->head[i]), buf_bytes(&d->payload[i])))
            abort();
    }
    if (bundle_finish(&w, &d->facts, &d->key, frame, &hash))
        abort();
    bundle_writer_free(&w);
}

/* --- Good bundles -------------------------------------------------------- */

static json_t *slots_of(const struct bundle_op *op)
{
    json_t *out = json_array();
    struct bytes salt, value;

    for (size_t i = 0; !slot_at(op->rows, op->payload, i, &salt, &value); i++)
        json_array_append_new(out, json_pack("{s:o, s:o}", "salt",
                                             vector_hex_of(salt), "value",
                                             vector_hex_of(value)));
    return out;
}

static json_t *op_of(const struct bundle_op *op)
{
    struct hash h = op_hash(op->head);
    json_t *out = json_object();

    vector_hex(out, "head", op->head);
    vector_hash(out, "hash", &h);
    vector_text(out, "refusal", refusal_name(op->refusal));
    if (op->refusal)
        vector_int(out, "field", op->field);
    json_object_set_new(out, "slots", slots_of(op));
    return out;
}

static unsigned class_of(const struct draft *d)
{
    return d->facts.kind == BUNDLE_ASK ? CLASS_ASK : CLASS_OPERATION;
}

static void good(json_t *file, const char *name, struct draft *d)
{
    struct buf frame = {0};
    struct bundle b = {0};
    json_t *c = vector_case(file, "good", name), *ops = json_array();

    draft_seal(d, &frame);
    if (bundle_open(&b, buf_bytes(&frame)) ||
        bundle_verify(&b, d->key.public_key) || bundle_check(&b, class_of(d)))
        abort();
    vector_text(c, "class", class_of(d) == CLASS_ASK ? "ask" : "operation");
    vector_hex(c, "public_key", bytes_of(d->key.public_key, 32));
    vector_hex(c, "frame", buf_bytes(&frame));
    vector_hex(c, "header", b.header);
    vector_hash(c, "hash", &b.hash);
    vector_hash(c, "ledger", &b.ledger);
    vector_hash(c, "agent", &b.agent);
    vector_hash(c, "root", &b.root);
    vector_int(c, "kind", b.kind);
    vector_int(c, "session", b.session);
    vector_int(c, "first_seq", b.first_seq);
    for (uint32_t i = 0; i < b.count; i++)
        json_array_append_new(ops, op_of(&b.ops[i]));
    json_object_set_new(c, "operations", ops);
    bundle_free(&b);
    buf_free(&frame);
    draft_free(d);
}

static void session_zero(json_t *file)
{
    struct hash challenge = wire_hash(6), curve = wire_hash(7);
    struct draft d;
    struct msg m;

    draft_begin(&d);
    d.facts.session = d.facts.first_seq = 0;
    d.facts.public_key = d.key.public_key;
    msg_init(&m, MSG_ENROL);
    msg_set_text(&m, FIELD_NAME, "ada");
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(d.key.public_key, 32));
    msg_set_hash(&m, FIELD_CURVE_KEY, &curve);
    draft_msg(&d, &m);
    msg_init(&m, MSG_SESSION_OPEN);
    msg_set_hash(&m, FIELD_CHALLENGE, &challenge);
    draft_msg(&d, &m);
    good(file, "session 0: enrol and open a session", &d);
}

static void transaction(json_t *file)
{
    struct buf compares = {0}, writes = {0}, rows = {0};
    uint8_t salt[2][SLOT_SALT_BYTES] = {{1}, {2}};
    static const char *const values[2] = {"first", "second"};
    static const char *const keys[2] = {"plan/1", "plan/2"};
    struct draft d;
    struct msg m, e;

    draft_begin(&d);
    msg_init(&e, MSG_COMPARE);
    msg_set_text(&e, FIELD_KEY, "plan");
    msg_set_u(&e, FIELD_REVISION, 40);
    msg_encode(&e, &compares);
    for (unsigned i = 0; i < 2; i++) {
        slot_row(&rows, salt[i], bytes_text(values[i]));
        buf_put(&d.payload[0], salt[i], SLOT_SALT_BYTES);
        buf_put(&d.payload[0], values[i], strlen(values[i]));
        msg_init(&e, MSG_WRITE);
        msg_set_text(&e, FIELD_KEY, keys[i]);
        msg_set_u(&e, FIELD_SLOT, i);
        msg_encode(&e, &writes);
    }
    msg_init(&e, MSG_WRITE);
    msg_set_text(&e, FIELD_KEY, "plan/old");
    msg_encode(&e, &writes);
    msg_init(&m, MSG_TXN);
    msg_set_text(&m, FIELD_SPACE, "lab");
    msg_set_b(&m, FIELD_SLOTS, buf_bytes(&rows));
    msg_set_list(&m, FIELD_COMPARES, 1, buf_bytes(&compares));
    msg_set_list(&m, FIELD_WRITES, 3, buf_bytes(&writes));
    draft_msg(&d, &m);
    good(file, "a transaction: one compare, two values, one delete", &d);
    buf_free(&compares);
    buf_free(&writes);
    buf_free(&rows);
}

static void asks(json_t *file)
{
    struct draft d;
    struct msg m;

    draft_begin(&d);
    d.facts.kind = BUNDLE_ASK;
    d.facts.seen = 57;
    msg_init(&m, MSG_GET);
    msg_set_text(&m, FIELD_SPACE, "lab");
    msg_set_text(&m, FIELD_KEY, "plan");
    draft_msg(&d, &m);
    msg_init(&m, MSG_PING);
    draft_msg(&d, &m);
    good(file, "two asks", &d);
}

static void labelled(json_t *file)
{
    struct buf labels = {0}, trace = {0};
    struct draft d;

    draft_begin(&d);
    pack_text(&labels, bytes_text("label"));
    pack_text(&labels, bytes_text("n\xc3\xa4"
                                  "cht"));
    pack_text(&labels, bytes_text("model"));
    pack_text(&labels, bytes_text("m-1"));
    pack_text(&trace, bytes_text("traceparent"));
    pack_text(&trace, bytes_text("00-4bf92f3577b34da6a3ce929d0e0e4736-"
                                 "00f067aa0ba902b7-01"));
    d.facts.labels = buf_bytes(&labels);
    d.facts.label_count = 2;
    d.facts.trace = buf_bytes(&trace);
    d.facts.trace_count = 1;
    d.facts.prev_hash = wire_hash(5);
    d.facts.first_seq = 300;
    d.facts.answered = 299;
    d.facts.seen = 70000;
    draft_put(&d, "plan", "");
    good(file, "labels, trace context, an empty value", &d);
    buf_free(&labels);
    buf_free(&trace);
}

static void good_bundles(json_t *file)
{
    struct draft d;

    draft_begin(&d);
    draft_put(&d, "plan", "buy milk");
    good(file, "one put", &d);
    draft_begin(&d);
    draft_put(&d, "a", "1");
    draft_put(&d, "b", "2");
    draft_put(&d, "c", "3");
    draft_put(&d, "d", "4");
    draft_put(&d, "e", "5");
    good(file, "five puts", &d);
    transaction(file);
    session_zero(file);
    asks(file);
    labelled(file);
    draft_begin(&d);
    draft_put(&d, "a", "1");
    draft_hex(&d, "8401080 2a36c616203a16b6381 00cb3ff0000000000000");
    good(file, "a delete with field 99, beside a put that is fine", &d);
    draft_begin(&d);
    draft_put(&d, "a", "1");
    d.head[0].p[2] = 99;
    good(file, "verb 99 with a payload", &d);
    draft_begin(&d);
    draft_hex(&d, "82012420"
                  "05");
    good(file, "a verb only the broker may say", &d);
}

/* --- Bad bundles --------------------------------------------------------- */

static void bad(json_t *file, const char *name, const char *step,
                const char *refusal, const struct key_pair *key,
                struct bytes frame)
{
    json_t *c = vector_case(file, "bad", name);

    vector_text(c, "class", "operation");
    vector_hex(c, "public_key", bytes_of(key->public_key, 32));
    vector_hex(c, "frame", frame);
    vector_text(c, "step", step);
    vector_text(c, "refusal", refusal);
}

/* A header with one field set to another number, truly signed, one put. */
static void bent_header(json_t *file, const char *name, const char *refusal,
                        enum field f, uint64_t u, bool put)
{
    struct key_pair key = wire_key(2);
    struct bundle_facts facts = wire_facts(&key);
    struct buf plain = {0}, header = {0}, frame = {0};
    struct buf head = {0}, payload = {0};
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct hash root;
    struct msg m;
    unsigned field;

    wire_put(&head, &payload, "plan", bytes_text("buy milk"), 1);
    root = op_hash(buf_bytes(&head));
    bundle_header_put(&plain, &facts, &root, 1);
    if (part_decode(MSG_BUNDLE_HEADER, buf_bytes(&plain), &m, &field))
        abort();
    if (put)
        msg_set_u(&m, f, u);
    else
        m.has &= ~((field_mask)1 << f);
    msg_encode(&m, &header);
    key_sign(&key, KEY_FOR_BUNDLE, &facts.ledger, buf_bytes(&header),
             signature);
    buf_put(&frame, "CHB1", 4);
    buf_put_u32(&frame, (uint32_t)header.n);
    buf_put(&frame, header.p, header.n);
    buf_put(&frame, signature, sizeof signature);
    buf_put_u32(&frame, (uint32_t)head.n);
    buf_put(&frame, head.p, head.n);
    buf_put(&frame, payload.p, payload.n);
    bad(file, name, "open", refusal, &key, buf_bytes(&frame));
    buf_free(&plain);
    buf_free(&header);
    buf_free(&frame);
    buf_free(&head);
    buf_free(&payload);
}

static void bad_headers(json_t *file)
{
    bent_header(file, "format 2", "UNSUPPORTED", FIELD_FORMAT, 2, true);
    bent_header(file, "a header field this format does not have", "UNSUPPORTED",
                FIELD_CREDIT, 1, true);
    bent_header(file, "a header without its epoch", "MALFORMED", FIELD_EPOCH, 0,
                false);
    bent_header(file, "count 0", "MALFORMED", FIELD_COUNT, 0, true);
    bent_header(file, "count 1025", "MALFORMED", FIELD_COUNT, 1025, true);
    bent_header(file, "a count beyond 32 bits", "MALFORMED", FIELD_COUNT,
                (1ULL << 32) + 1, true);
    bent_header(file, "kind 3", "MALFORMED", FIELD_KIND, 3, true);
    bent_header(file, "a number above the largest", "MALFORMED",
                FIELD_FIRST_SEQ, LIMIT_UINT_MAX_WIRE + 1, true);
    bent_header(file, "session 0 without a key", "MALFORMED", FIELD_SESSION, 0,
                true);
}

static void bad_shapes(json_t *file, struct draft *d, struct bytes frame)
{
    size_t header = get_u32(frame.p + 4), signature = 8 + header;
    size_t ops = signature + KEY_SIGNATURE_BYTES, at;
    uint32_t head = get_u32(frame.p + ops);
    struct buf b = {0};

    bad(file, "no bytes", "open", "MALFORMED", &d->key, bytes_of(NULL, 0));
    bad(file, "the magic alone", "open", "MALFORMED", &d->key,
        bytes_of(frame.p, 4));
    bad(file, "cut inside the header", "open", "MALFORMED", &d->key,
        bytes_of(frame.p, 8 + header / 2));
    bad(file, "cut inside the signature", "open", "MALFORMED", &d->key,
        bytes_of(frame.p, signature + 63));
    bad(file, "cut before the operations", "check", "MALFORMED", &d->key,
        bytes_of(frame.p, ops));
    bad(file, "cut inside a head", "check", "MALFORMED", &d->key,
        bytes_of(frame.p, ops + 10));
    bad(file, "cut inside the last payload", "check", "MALFORMED", &d->key,
        bytes_of(frame.p, frame.n - 1));
#define BENT(at_, value, name, step, refusal) \
    buf_clear(&b);                            \
    buf_put(&b, frame.p, frame.n);            \
    b.p[at_] = (uint8_t)(value);              \
    bad(file, name, step, refusal, &d->key, buf_bytes(&b))
    BENT(0, 'X', "another magic", "open", "MALFORMED");
    BENT(3, '2', "magic of another version", "open", "MALFORMED");
    BENT(6, 1, "a header longer than the limit", "open", "MALFORMED");
    BENT(signature, frame.p[signature] ^ 1, "a bit of R flipped", "verify",
         "BAD_SIGNATURE");
    BENT(ops - 2, frame.p[ops - 2] ^ 1, "a bit of S flipped", "verify",
         "BAD_SIGNATURE");
    at = ops + 4 + head - 1;
    BENT(at, frame.p[at] ^ 1, "a bit of a slot's hash flipped", "check",
         "MALFORMED");
    at = frame.n - 1;
    BENT(at, frame.p[at] ^ 1, "a bit of a payload flipped", "check",
         "MALFORMED");
    at = frame.n - strlen("buy milk") - 1;
    BENT(at, frame.p[at] ^ 1, "a bit of a salt flipped", "check", "MALFORMED");
#undef BENT
    buf_clear(&b);
    buf_put(&b, frame.p, frame.n);
    buf_put(&b, "", 1);
    bad(file, "a byte behind the end", "check", "MALFORMED", &d->key,
        buf_bytes(&b));
    buf_free(&b);
}

/* Signed for something else, or by someone else. */
static void bad_signers(json_t *file, struct bytes frame)
{
    struct key_pair key = wire_key(2), other = wire_key(3);
    struct hash ledger = wire_hash(1), elsewhere = wire_hash(8);
    struct bytes header = bytes_of(frame.p + 8, get_u32(frame.p + 4));
    struct buf b = {0};
    uint8_t *signature;

    buf_put(&b, frame.p, frame.n);
    signature = b.p + 8 + header.n;
    key_sign(&key, KEY_FOR_ANSWER, &ledger, header, signature);
    bad(file, "signed as an answer", "verify", "BAD_SIGNATURE", &key,
        buf_bytes(&b));
    key_sign(&key, KEY_FOR_BUNDLE, &elsewhere, header, signature);
    bad(file, "signed for another ledger", "verify", "BAD_SIGNATURE", &key,
        buf_bytes(&b));
    key_sign(&other, KEY_FOR_BUNDLE, &ledger, header, signature);
    bad(file, "signed by another agent", "verify", "BAD_SIGNATURE", &key,
        buf_bytes(&b));
    key_sign_note(&key, header, signature);
    bad(file, "signed without purpose and ledger", "verify", "BAD_SIGNATURE",
        &key, buf_bytes(&b));
    buf_free(&b);
}

static void bad_operations(json_t *file)
{
    static const struct {
        const char *name, *head;
    } heads[] = {
        {"an empty head", ""},
        {"a head that is no map", "90"},
        {"a head without a verb", "80"},
        {"a field twice", "84010802a17302a17303a16b"},
        {"an integer not in its shortest form", "8101cc02"},
        {"a list that claims 4 G elements", "83010802a17303ddff000000"},
        {"an unknown field that claims 4 G elements", "8201086 3ddff000000"},
        {"an unknown field nested too deep",
         "8201086391919191919191919191919191919191 9191c0"},
        {"unknown fields that descend", "8401080 2a17363c062c0"},
        {"slots that are no multiple of a row, with verb 99",
         "8201630 4c40100"},
    };
    struct buf frame = {0}, payload = {0};
    struct draft d;

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        draft_begin(&d);
        draft_hex(&d, heads[i].head);
        buf_clear(&frame);
        draft_seal(&d, &frame);
        bad(file, heads[i].name, "check", "MALFORMED", &d.key,
            buf_bytes(&frame));
        draft_free(&d);
    }
    draft_begin(&d);
    draft_put(&d, "a", "1");
    put_u32(d.head[0].p + d.head[0].n - SLOT_ROW_BYTES, UINT32_MAX);
    buf_clear(&frame);
    draft_seal(&d, &frame);
    bad(file, "a slot that claims 4 GiB", "check", "MALFORMED", &d.key,
        buf_bytes(&frame));
    draft_free(&d);
    draft_begin(&d);
    draft_put(&d, "a", "1");
    draft_put(&d, "b", "2");
    draft_seal(&d, &payload);
    buf_clear(&frame); /* the two operations swapped, payloads too */
    {
        size_t at = 8 + get_u32(payload.p + 4) + KEY_SIGNATURE_BYTES;
        size_t one = 4 + d.head[0].n, p = at + 2 * one;

        buf_put(&frame, payload.p, at);
        buf_put(&frame, payload.p + at + one, one);
        buf_put(&frame, payload.p + at, one);
        buf_put(&frame, payload.p + p + 17, 17);
        buf_put(&frame, payload.p + p, 17);
    }
    bad(file, "two operations swapped", "check", "MALFORMED", &d.key,
        buf_bytes(&frame));
    draft_free(&d);
    buf_free(&frame);
    buf_free(&payload);
}

json_t *vectors_bundles(void)
{
    json_t *file = vector_file(
        "Bundles, whole frames. Three steps: open (shape and header), verify "
        "(the signature, by public_key), check (operations, tree, payloads; "
        "class: which verbs the sender may say). bad: the step that must "
        "refuse it, and how.");
    struct buf frame = {0};
    struct draft d;

    good_bundles(file);
    bad_headers(file);
    draft_begin(&d);
    draft_put(&d, "plan", "buy milk");
    draft_seal(&d, &frame);
    bad_shapes(file, &d, buf_bytes(&frame));
    bad_signers(file, buf_bytes(&frame));
    bad_operations(file);
    draft_free(&d);
    buf_free(&frame);
    return file;
}
