/* Vectors of what the broker says: answers, notes, and the armour it hands
 * out. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/armour.h"
#include "proto/note.h"
#include "proto/refusal.h"
#include "vectors.h"

enum { AGENTS = 5 };

/* One cycle's answers to AGENTS agents, two items each. */
struct cycle {
    struct key_pair key;
    struct answer_facts facts;
    struct answer_body body[AGENTS];
    struct bytes bytes[AGENTS];
    struct merkle tree;
    struct buf front;
};

static void cycle_make(struct cycle *c)
{
    struct hash leaves[AGENTS];

    memset(c, 0, sizeof *c);
    c->key = wire_key(9);
    c->facts = (struct answer_facts){.ledger = wire_hash(1),
                                     .epoch = 1,
                                     .time = 1700000000000000,
                                     .size = 1000,
                                     .root = wire_hash(4)};
    for (unsigned i = 0; i < AGENTS; i++) {
        struct hash agent = wire_hash((uint8_t)(0x20 + i));
        struct msg m;

        answer_begin(&c->body[i], 100 + i, &agent);
        msg_init(&m, MSG_DONE);
        msg_set_u(&m, FIELD_SEQ, 1);
        msg_set_u(&m, FIELD_OUTCOME, CHOIR_OK);
        msg_set_u(&m, FIELD_REVISION, 900 + i);
        answer_add(&c->body[i], &m);
        msg_init(&m, MSG_CAUGHT_UP);
        msg_set_u(&m, FIELD_WATCH, 1);
        msg_set_u(&m, FIELD_REVISION, 900 + i);
        answer_add(&c->body[i], &m);
        c->bytes[i] = answer_end(&c->body[i]);
        leaves[i] = answer_leaf(c->bytes[i]);
    }
    if (merkle_build(&c->tree, leaves, AGENTS) ||
        answer_sign(&c->facts, &c->tree, &c->key, &c->front))
        abort();
}

static void cycle_free(struct cycle *c)
{
    for (unsigned i = 0; i < AGENTS; i++)
        buf_free(&c->body[i].bytes);
    merkle_free(&c->tree);
    buf_free(&c->front);
}

static void good_answer(json_t *file, const char *name,
                        const struct key_pair *key, struct bytes frame)
{
    json_t *c = vector_case(file, "good", name), *items = json_array();
    struct answer a;
    struct cursor at;

    if (answer_open(&a, frame) || answer_verify(&a, key->public_key))
        abort();
    vector_hex(c, "broker_key", bytes_of(key->public_key, 32));
    vector_hex(c, "frame", frame);
    vector_hash(c, "ledger", &a.ledger);
    vector_int(c, "epoch", a.epoch);
    vector_int(c, "time", a.time);
    vector_int(c, "size", a.size);
    vector_hash(c, "root", &a.root);
    vector_int(c, "session", a.session);
    vector_hash(c, "agent", &a.agent);
    at = a.body;
    for (uint32_t i = 0; i < a.items; i++)
        json_array_append_new(items,
                              vector_hex_of(cursor_take(&at, cursor_u32(&at))));
    json_object_set_new(c, "items", items);
}

static void bad_answer(json_t *file, const char *name, const char *step,
                       const char *refusal, const struct key_pair *key,
                       struct bytes frame)
{
    json_t *c = vector_case(file, "bad", name);

    vector_hex(c, "broker_key", bytes_of(key->public_key, 32));
    vector_hex(c, "frame", frame);
    vector_text(c, "step", step);
    vector_text(c, "refusal", refusal);
}

static void frame_of(struct cycle *c, size_t i, struct buf *frame)
{
    buf_clear(frame);
    answer_frame(frame, buf_bytes(&c->front), &c->tree, i, c->bytes[i]);
}

static void bad_frames(json_t *file, struct cycle *c)
{
    size_t path = c->front.n + 8;
    size_t signature = c->front.n - KEY_SIGNATURE_BYTES;
    struct buf f = {0}, bent = {0};
    struct key_pair other = wire_key(8);
    uint8_t *format;

    frame_of(c, 1, &f);
#define BAD(name, step, refusal) \
    bad_answer(file, name, step, refusal, &c->key, buf_bytes(&f))
    bad_answer(file, "no bytes", "open", "MALFORMED", &c->key,
               (struct bytes){0});
    bad_answer(file, "cut inside the path", "open", "MALFORMED", &c->key,
               bytes_of(f.p, path + 40));
    bad_answer(file, "cut inside an item", "open", "MALFORMED", &c->key,
               bytes_of(f.p, f.n - 1));
    bad_answer(file, "another broker's key", "verify", "BAD_SIGNATURE", &other,
               buf_bytes(&f));
    f.p[signature] ^= 1;
    BAD("a bit of R flipped", "verify", "BAD_SIGNATURE");
    f.p[signature] ^= 1, f.p[0] = 'X';
    BAD("another magic", "open", "MALFORMED");
    f.p[0] = 'C', f.p[path] ^= 1;
    BAD("a bit of the path flipped", "open", "MALFORMED");
    f.p[path] ^= 1, f.p[f.n - 1] ^= 1;
    BAD("a bit of an item flipped", "open", "MALFORMED");
    f.p[f.n - 1] ^= 1, f.p[path - 8] = 0;
    BAD("another position", "open", "MALFORMED");
    f.p[path - 8] = AGENTS;
    BAD("a position outside the tree", "open", "MALFORMED");
    f.p[path - 8] = 1, put_u32(f.p + path - 4, 2);
    BAD("a path one shorter than it is", "open", "MALFORMED");
    put_u32(f.p + path - 4, 33);
    BAD("a path longer than any", "open", "MALFORMED");
    frame_of(c, 1, &f);
    memset(f.p + f.n - c->bytes[1].n + 8, 0x20, HASH_BYTES);
    BAD("readdressed to another agent", "open", "MALFORMED");
    buf_clear(&f);
    answer_frame(&f, buf_bytes(&c->front), &c->tree, 0, c->bytes[1]);
    BAD("one agent's message under another's path", "open", "MALFORMED");
    frame_of(c, 0, &f);
    format = memmem(f.p, f.n, "\x26\x01\x27", 3);
    if (!format)
        abort();
    format[1] = 2;
    BAD("format 2", "open", "UNSUPPORTED");
#undef BAD
    buf_free(&f);
    buf_free(&bent);
}

/* A frame of one body alone, truly signed. */
static void seal(struct buf *frame, const struct cycle *c, struct bytes body)
{
    struct merkle tree = {0};
    struct hash leaf = answer_leaf(body);
    struct buf front = {0};

    if (merkle_build(&tree, &leaf, 1) ||
        answer_sign(&c->facts, &tree, &c->key, &front))
        abort();
    buf_clear(frame);
    answer_frame(frame, buf_bytes(&front), &tree, 0, body);
    buf_free(&front);
    merkle_free(&tree);
}

static void bad_items(json_t *file, struct cycle *c)
{
    struct buf f = {0}, body = {0};

#define BAD(name, refusal)         \
    seal(&f, c, buf_bytes(&body)); \
    bad_answer(file, name, "items", refusal, &c->key, buf_bytes(&f))
    buf_put(&body, c->bytes[0].p, c->bytes[0].n);
    body.p[40] = 1;
    BAD("fewer items than there are bytes", "MALFORMED");
    body.p[40] = 3;
    BAD("more items than there are bytes", "MALFORMED");
    body.p[40] = 2, put_u32(body.p + 44, UINT32_MAX);
    BAD("an item longer than the body", "MALFORMED");
    put_u32(body.p + 44, get_u32(c->bytes[0].p + 44));
    body.p[50] = 0x63;
    BAD("an item of a newer broker", "UNSUPPORTED");
#undef BAD
    buf_free(&f);
    buf_free(&body);
}

/* A body of more than one piece: replies of 8, 308, 608 and so on bytes. */
static struct buf long_body(void)
{
    struct hash agent = wire_hash(0x20);
    struct answer_body body = {0};
    uint8_t value[2048];

    answer_begin(&body, 100, &agent);
    for (unsigned i = 0; i < 7; i++) {
        struct msg m;

        for (size_t k = 0; k < sizeof value; k++)
            value[k] = (uint8_t)(k + i);
        msg_init(&m, MSG_REPLY);
        msg_set_u(&m, FIELD_ASK, i + 1);
        msg_set_u(&m, FIELD_OUTCOME, CHOIR_OK);
        msg_set_b(&m, FIELD_VALUE, bytes_of(value, 8 + 300 * i));
        answer_add(&body, &m);
    }
    answer_end(&body);
    return body.bytes;
}

/* Cut or filled up to that length; the count of items is that of an empty
 * one. */
static void body_resize(struct buf *body, size_t n)
{
    put_u32(body->p + 40, 0);
    body->n = n;
}

static void good_long(json_t *file, struct cycle *c)
{
    struct buf f = {0}, body = long_body();

    seal(&f, c, buf_bytes(&body));
    good_answer(file, "a body of seven pieces", &c->key, buf_bytes(&f));
    buf_free(&f);
    buf_free(&body);
}

/* The leaf is signed as it is given. */
static void bad_leaf(json_t *file, const char *name, struct cycle *c,
                     struct hash leaf, struct bytes body)
{
    struct merkle tree = {0};
    struct buf front = {0}, f = {0};

    if (merkle_build(&tree, &leaf, 1) ||
        answer_sign(&c->facts, &tree, &c->key, &front))
        abort();
    answer_frame(&f, buf_bytes(&front), &tree, 0, body);
    bad_answer(file, name, "open", "MALFORMED", &c->key, buf_bytes(&f));
    buf_free(&front);
    buf_free(&f);
    merkle_free(&tree);
}

static void bad_long(json_t *file, struct cycle *c)
{
    struct buf body = long_body(), bent = {0};
    struct hash leaf = answer_leaf(buf_bytes(&body)), pieces[2];
    size_t first = 44 + 4 + get_u32(body.p + 44), second;

    second = 4 + get_u32(body.p + first);
#define BAD(name) bad_leaf(file, name, c, leaf, buf_bytes(&bent))
    buf_put(&bent, body.p, 44);
    buf_put(&bent, body.p + first, second);
    buf_put(&bent, body.p + 44, first - 44);
    buf_put(&bent, body.p + first + second, body.n - first - second);
    BAD("two items exchanged in a body of seven pieces");
    memmove(bent.p + 44, bent.p + 44 + second, bent.n - 44 - second);
    bent.n -= second;
    put_u32(bent.p + 40, 6);
    BAD("an item dropped, and the count with it");
    buf_clear(&bent);
    buf_put(&bent, body.p, body.n);
    memcpy(bent.p + 1016, body.p + 2032, 1016);
    memcpy(bent.p + 2032, body.p + 1016, 1016);
    BAD("two pieces exchanged");
    bent.n = 2032;
    BAD("cut between two pieces");
    leaf = hash_of(HASH_ANSWER, buf_bytes(&body));
    bad_leaf(file, "a long body hashed as one message", c, leaf,
             buf_bytes(&body));
    body_resize(&body, 1016);
    pieces[0] = hash_of(HASH_PIECE, buf_bytes(&body));
    leaf = hash_of(HASH_PIECES, bytes_of(pieces, HASH_BYTES));
    bad_leaf(file, "a body of 1016 bytes hashed in pieces", c, leaf,
             buf_bytes(&body));
    body_resize(&body, 1017);
    pieces[0] = hash_of(HASH_PIECE, bytes_of(body.p, 1015));
    pieces[1] = hash_of(HASH_PIECE, bytes_of(body.p + 1015, 2));
    leaf = hash_of(HASH_PIECES, bytes_of(pieces, sizeof pieces));
    bad_leaf(file, "a body of 1017 bytes cut a byte early", c, leaf,
             buf_bytes(&body));
#undef BAD
    buf_free(&body);
    buf_free(&bent);
}

json_t *vectors_answers(void)
{
    json_t *file = vector_file(
        "Answers, whole frames. Three steps: open (shape, header, path to "
        "the root), verify (the signature, by broker_key), items (each of "
        "them a message of class item). bad: the step that must refuse it, "
        "and how; an item that is UNSUPPORTED may be passed over.");
    struct cycle c;
    struct buf f = {0};

    cycle_make(&c);
    for (unsigned i = 0; i < AGENTS; i += 2) {
        char name[48];

        frame_of(&c, i, &f);
        snprintf(name, sizeof name, "answer %u of a cycle of %u", i, AGENTS);
        good_answer(file, name, &c.key, buf_bytes(&f));
    }
    seal(&f, &c, c.bytes[0]);
    good_answer(file, "alone in its cycle: an empty path", &c.key,
                buf_bytes(&f));
    good_long(file, &c);
    bad_frames(file, &c);
    bad_items(file, &c);
    bad_long(file, &c);
    cycle_free(&c);
    buf_free(&f);
    return file;
}

/* --- Notes --------------------------------------------------------------- */

static json_t *note_case(json_t *file, const char *list, const char *name,
                         const struct key_pair *key, const char *text)
{
    json_t *c = vector_case(file, list, name);

    vector_hex(c, "broker_key", bytes_of(key->public_key, 32));
    vector_text(c, "text", text);
    return c;
}

static char *note_text(const struct note *n, const struct key_pair *key)
{
    struct buf out = {0};

    if (note_put(&out, n, key))
        abort();
    buf_put(&out, "", 1);
    return (char *)out.p;
}

/* The note with one byte replaced. */
static void note_bent(json_t *file, const char *name, const char *text,
                      const char *at, char c, const char *refusal)
{
    struct key_pair key = wire_key(9);
    char *copy = strdup(text);

    copy[at - text] = c;
    vector_text(note_case(file, "bad", name, &key, copy), "refusal", refusal);
    free(copy);
}

json_t *vectors_notes(void)
{
    json_t *file = vector_file(
        "Signed tree heads (C2SP tlog-checkpoint). bad: the refusal.");
    static const uint64_t sizes[] = {1, 1000, LIMIT_UINT_MAX_WIRE};
    struct key_pair key = wire_key(9), other = wire_key(8);
    struct note n = {.ledger = wire_hash(1), .root = wire_hash(4)};
    char *text, *cut;
    const char *line;
    json_t *c;

    for (unsigned i = 0; i < 3; i++) {
        n.size = sizes[i];
        n.epoch = i + 1;
        text = note_text(&n, &key);
        c = note_case(file, "good", "a tree head", &key, text);
        vector_hash(c, "ledger", &n.ledger);
        vector_int(c, "size", n.size);
        vector_hash(c, "root", &n.root);
        vector_int(c, "epoch", n.epoch);
        free(text);
    }
    n.size = 1000, n.epoch = 1;
    text = note_text(&n, &key);
    c = note_case(file, "bad", "another broker's key", &other, text);
    vector_text(c, "refusal", "BAD_SIGNATURE");
    line = strchr(text, '\n') + 1;
    note_bent(file, "another size", text, line, '2', "BAD_SIGNATURE");
    note_bent(file, "a size with a leading zero", text, line, '0', "MALFORMED");
    note_bent(file, "a size that is no number", text, line, 'x', "MALFORMED");
    line = strchr(line, '\n') + 1;
    note_bent(file, "another root", text, line, 'C', "BAD_SIGNATURE");
    note_bent(file, "a root that is no base64", text, line, '*', "MALFORMED");
    note_bent(file, "another origin", text, text, 'X', "MALFORMED");
    note_bent(file, "another ledger in the text", text, text + 13, 'a',
              "MALFORMED");
    line = strstr(text, "\xe2\x80\x94");
    note_bent(file, "another dash", text, line + 2, '\x93', "MALFORMED");
    line = strchr(line, '/') + 66;
    note_bent(file, "another key id", text, line, *line == 'A' ? 'B' : 'A',
              "BAD_SIGNATURE");
    note_bent(file, "a bit of the signature flipped", text, line + 20,
              line[20] == 'A' ? 'B' : 'A', "BAD_SIGNATURE");
    cut = strdup(text);
    cut[strlen(cut) - 1] = 0;
    c = note_case(file, "bad", "without its last line feed", &key, cut);
    vector_text(c, "refusal", "MALFORMED");
    *strstr(cut, "\xe2\x80\x94") = 0;
    c = note_case(file, "bad", "without a signature", &key, cut);
    vector_text(c, "refusal", "MALFORMED");
    free(cut);
    cut = malloc(2 * strlen(text) + 1);
    strcpy(cut, text);
    strcat(cut, strstr(text, "\xe2\x80\x94"));
    c = note_case(file, "bad", "signed twice", &key, cut);
    vector_text(c, "refusal", "MALFORMED");
    free(cut);
    free(text);
    return file;
}

/* --- Armour -------------------------------------------------------------- */

static void armour_good(json_t *file, const char *name, const struct msg *m)
{
    struct buf line = {0}, bytes = {0};
    json_t *c = vector_case(file, "good", name);

    msg_encode(m, &bytes);
    if (armour_put(&line, m))
        abort();
    buf_put(&line, "", 1);
    vector_text(c, "part", message_row(m->verb)->name);
    vector_text(c, "text", (char *)line.p);
    vector_hex(c, "bytes", buf_bytes(&bytes));
    buf_free(&line);
    buf_free(&bytes);
}

static void armour_bad(json_t *file, const char *name, const char *text,
                       const char *refusal)
{
    json_t *c = vector_case(file, "bad", name);

    vector_text(c, "part", "invitation");
    vector_text(c, "text", text);
    vector_text(c, "refusal", refusal);
}

json_t *vectors_armour(void)
{
    json_t *file = vector_file(
        "Invitations and identities as one line of text, and the message "
        "inside. bad: read as an invitation.");
    struct hash a = wire_hash(1), b = wire_hash(2), k = wire_hash(3);
    struct key_pair key = wire_key(2);
    struct msg m;

    msg_init(&m, MSG_INVITATION);
    msg_set_hash(&m, FIELD_CURVE_KEY, &a);
    msg_set_hash(&m, FIELD_SECRET, &b);
    msg_set_hash(&m, FIELD_LEDGER, &k);
    msg_set_text(&m, FIELD_URL, "tcp://127.0.0.1:7777");
    msg_set_hash(&m, FIELD_BROKER_KEY, &a);
    msg_set_hash(&m, FIELD_BROKER_CURVE, &b);
    armour_good(file, "an invitation", &m);
    msg_init(&m, MSG_IDENTITY);
    msg_set_text(&m, FIELD_NAME, "ada");
    msg_set_b(&m, FIELD_SECRET, bytes_of(key.secret_key, KEY_SECRET_BYTES));
    msg_set_hash(&m, FIELD_CURVE_KEY, &a);
    msg_set_hash(&m, FIELD_VALUE, &b);
    msg_set_hash(&m, FIELD_LEDGER, &k);
    msg_set_hash(&m, FIELD_BROKER_KEY, &a);
    msg_set_hash(&m, FIELD_BROKER_CURVE, &b);
    msg_set_text(&m, FIELD_URL, "tcp://127.0.0.1:7777");
    armour_good(file, "an identity", &m);
    armour_bad(file, "nothing", "", "MALFORMED");
    armour_bad(file, "a comment alone", "# choir-invite-1:\n", "MALFORMED");
    armour_bad(file, "another word", "choir-identity-1:gA", "MALFORMED");
    armour_bad(file, "no base64", "choir-invite-1:***", "MALFORMED");
    armour_bad(file, "padding", "choir-invite-1:gA==", "MALFORMED");
    armour_bad(file, "bits left over", "choir-invite-1:gB", "MALFORMED");
    armour_bad(file, "fields are missing", "choir-invite-1:gA", "MALFORMED");
    armour_bad(file, "an unknown field", "choir-invite-1:gWPA", "UNSUPPORTED");
    return file;
}
