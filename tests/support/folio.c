#include "folio.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/refusal.h"
#include "tests/support/wire.h"

static void must(bool claim)
{
    if (!claim)
        abort();
}

struct person folio_person(uint8_t seed)
{
    struct person p = {.key = wire_key(seed)};

    p.id = agent_id(p.key.public_key);
    return p;
}

static struct folio_op op_of(const struct msg *m)
{
    struct folio_op op = {0};

    msg_encode(m, &op.head);
    return op;
}

static struct hash genesis_op(struct folio *f, struct folio_op *op)
{
    struct hash nonce = wire_hash(7);
    struct msg m;

    msg_init(&m, MSG_GENESIS);
    msg_set_hash(&m, FIELD_CHALLENGE, &nonce);
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(f->broker.key.public_key, 32));
    msg_set_hash(&m, FIELD_CURVE_KEY, &nonce);
    msg_set_u(&m, FIELD_FORMAT, 1);
    *op = op_of(&m);
    return hash_of(HASH_LEDGER, buf_bytes(&op->head));
}

void folio_begin(struct folio *f)
{
    struct folio_op op;

    memset(f, 0, sizeof *f);
    f->broker = folio_person(200);
    f->ledger = genesis_op(f, &op);
    folio_add(f, &f->broker, &op, 1);
}

void folio_free(struct folio *f)
{
    for (size_t i = 0; i < f->count; i++) {
        buf_free(&f->entries[i].header);
        buf_free(&f->entries[i].path);
        buf_free(&f->entries[i].head);
        buf_free(&f->entries[i].payload);
        buf_free(&f->entries[i].effect);
    }
    f->count = 0;
}

/* --- Saying -------------------------------------------------------------- */

static struct bundle_facts facts_of(const struct folio *f,
                                    const struct person *p)
{
    struct bundle_facts facts = {
        .kind = f->kind ? f->kind : BUNDLE_RECORD,
        .ledger = f->meant_for ? *f->meant_for : f->ledger,
        .agent = p->id,
        .session = p->session,
        .epoch = 1,
        .time = 1700000000000000,
        .first_seq = p->next_seq,
        .prev_hash = p->prev,
    };

    if (p->session == 0 && p != &f->broker && !f->names_no_key)
        facts.public_key = p->key.public_key;
    if (f->named_key)
        facts.public_key = f->named_key;
    return facts;
}

static void entry_add(struct folio *f, struct bytes header,
                      const uint8_t *signature, const struct merkle *tree,
                      size_t position, struct folio_op *op)
{
    struct folio_entry *e = &f->entries[f->count];
    struct hash path[MERKLE_PATH_MAX];

    must(f->count < FOLIO_ENTRIES);
    *e = (struct folio_entry){
        .time = 1700000000000000 + 1000 * f->count,
        .position = (uint32_t)position,
        .head = op->head,
        .payload = op->payload,
        .outcome = f->outcome,
    };
    memcpy(e->signature, signature, KEY_SIGNATURE_BYTES);
    buf_put(&e->header, header.p, header.n);
    buf_put(&e->path, path, merkle_path(tree, position, path) * HASH_BYTES);
    buf_put(&e->effect, f->effect.p, f->effect.n);
    buf_put(&e->payload, f->effect_payload.p, f->effect_payload.n);
    f->count++;
}

uint64_t folio_add(struct folio *f, struct person *p, struct folio_op *ops,
                   size_t n)
{
    struct bundle_facts facts = facts_of(f, p);
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct hash leaves[FOLIO_OPS], root;
    struct merkle tree = {0};
    struct buf header = {0};

    must(n <= FOLIO_OPS);
    for (size_t i = 0; i < n; i++)
        leaves[i] = op_hash(buf_bytes(&ops[i].head));
    must(merkle_build(&tree, leaves, n) == 0);
    root = merkle_root(&tree);
    bundle_header_put(&header, &facts, &root, (uint32_t)n);
    key_sign(f->forger ? f->forger : &p->key, KEY_FOR_BUNDLE, &f->ledger,
             buf_bytes(&header), signature);
    for (size_t i = 0; i < n; i++)
        entry_add(f, buf_bytes(&header), signature, &tree, i, &ops[i]);
    p->prev = bundle_hash(buf_bytes(&header));
    p->next_seq += p->session || p == &f->broker ? n : 0;
    merkle_free(&tree);
    buf_free(&header);
    f->forger = NULL;
    f->meant_for = NULL;
    f->named_key = NULL;
    f->names_no_key = false;
    f->kind = 0;
    f->outcome = 0;
    f->effect = f->effect_payload = (struct bytes){0};
    return f->count - n;
}

uint64_t folio_say(struct folio *f, struct person *p, const struct msg *m)
{
    struct folio_op op = op_of(m);

    return folio_add(f, p, &op, 1);
}

uint64_t folio_admit(struct folio *f, struct person *p)
{
    struct hash curve = wire_hash(9);
    struct msg m;

    msg_init(&m, MSG_ADMIT);
    msg_set_hash(&m, FIELD_AGENT, &p->id);
    msg_set_text(&m, FIELD_NAME, "ada");
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(p->key.public_key, 32));
    msg_set_hash(&m, FIELD_CURVE_KEY, &curve);
    msg_set_list(&m, FIELD_GRANTS, 0, (struct bytes){0});
    return folio_say(f, &f->broker, &m);
}

uint64_t folio_enrol(struct folio *f, struct person *p)
{
    struct hash curve = wire_hash(10);
    struct msg m;

    msg_init(&m, MSG_ENROL);
    msg_set_text(&m, FIELD_NAME, "bob");
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(p->key.public_key, 32));
    msg_set_hash(&m, FIELD_CURVE_KEY, &curve);
    return folio_say(f, p, &m);
}

uint64_t folio_session(struct folio *f, struct person *p)
{
    struct hash challenge = wire_hash(5);
    uint64_t index;
    struct msg m;

    msg_init(&m, MSG_SESSION_OPEN);
    msg_set_hash(&m, FIELD_CHALLENGE, &challenge);
    p->session = 0;
    p->next_seq = 0;
    p->prev = (struct hash){0};
    index = folio_say(f, p, &m);
    p->session = index;
    p->next_seq = 1;
    return index;
}

uint64_t folio_put(struct folio *f, struct person *p, const char *key,
                   const char *value)
{
    struct folio_op op = {0};

    wire_put(&op.head, &op.payload, key, bytes_text(value), (uint8_t)f->count);
    return folio_add(f, p, &op, 1);
}

uint64_t folio_puts(struct folio *f, struct person *p, size_t n)
{
    struct folio_op ops[FOLIO_OPS] = {0};

    must(n <= FOLIO_OPS);
    for (size_t i = 0; i < n; i++) {
        char key[] = "k0", value[] = "value 0";

        key[1] = value[6] = (char)('0' + i);
        wire_put(&ops[i].head, &ops[i].payload, key, bytes_text(value),
                 (uint8_t)(f->count + i));
    }
    return folio_add(f, p, ops, n);
}

/* --- Keys ---------------------------------------------------------------- */

/* The new key's own word. */
static void claim_set(struct msg *m, const struct folio *f,
                      const struct hash *id, const struct key_pair *key,
                      const struct hash *curve,
                      uint8_t signature[KEY_SIGNATURE_BYTES])
{
    uint8_t claim[KEY_CLAIM_BYTES];

    key_claim(claim, id, key->public_key, curve->b);
    key_sign(key, KEY_FOR_KEY, &f->ledger, bytes_of(claim, sizeof claim),
             signature);
    msg_set_b(m, FIELD_PUBLIC_KEY, bytes_of(key->public_key, 32));
    msg_set_hash(m, FIELD_CURVE_KEY, curve);
    msg_set_b(m, FIELD_SIGNATURE, bytes_of(signature, KEY_SIGNATURE_BYTES));
}

uint64_t folio_rotate(struct folio *f, struct person *p, uint8_t seed,
                      unsigned kind, const uint8_t *recovery)
{
    struct key_pair key = wire_key(seed);
    struct hash curve = wire_hash(seed);
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct msg m;

    msg_init(&m, MSG_ROTATE);
    claim_set(&m, f, &p->id, &key, &curve, signature);
    msg_set_u(&m, FIELD_KIND, kind);
    if (recovery)
        msg_set_b(&m, FIELD_RECOVERY_KEY, bytes_of(recovery, 32));
    return folio_say(f, p, &m);
}

uint64_t folio_recover(struct folio *f, struct person *p, uint8_t seed,
                       const struct key_pair *recovery)
{
    struct key_pair key = wire_key(seed);
    struct hash curve = wire_hash(seed);
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct msg m;

    msg_init(&m, MSG_RECOVER);
    claim_set(&m, f, &p->id, &key, &curve, signature);
    p->session = 0;
    p->next_seq = 0;
    p->prev = (struct hash){0};
    f->named_key = recovery->public_key;
    f->forger = recovery;
    return folio_say(f, p, &m);
}

uint64_t folio_revoke(struct folio *f, struct person *by,
                      const struct person *whom, const uint8_t *key)
{
    struct msg m;

    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &whom->id);
    if (key)
        msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(key, 32));
    return folio_say(f, by, &m);
}

/* --- The tree ------------------------------------------------------------ */

static struct hash leaf_of(const struct folio *f, uint64_t index)
{
    const struct folio_entry *s = &f->entries[index];
    struct entry e = {
        .index = index,
        .time = s->time,
        .position = s->position,
        .outcome = s->outcome,
        .head = buf_bytes(&s->head),
        .effect = buf_bytes(&s->effect),
        .bundle_hash = bundle_hash(buf_bytes(&s->header)),
    };
    unsigned field;

    must(part_decode(MSG_BUNDLE_HEADER, buf_bytes(&s->header), &e.bundle,
                     &field) == 0);
    e.session = msg_u(&e.bundle, FIELD_SESSION);
    e.seq = msg_u(&e.bundle, FIELD_FIRST_SEQ) + s->position;
    return entry_leaf(&e);
}

/* Of a full subtree, or of all of it from leaf 0. */
static struct hash root_of(const struct folio *f, uint64_t from, uint64_t n)
{
    struct frontier tree;

    frontier_init(&tree);
    for (uint64_t i = 0; i < n; i++)
        frontier_add(&tree, leaf_of(f, from + i));
    return frontier_root(&tree);
}

void folio_gap(const struct folio *f, uint64_t from, uint64_t to,
               struct buf *out)
{
    struct subtree gap[MERKLE_GAP_MAX];
    size_t n = merkle_gap(from, to, gap);

    for (size_t i = 0; i < n; i++) {
        struct hash root = root_of(f, gap[i].index << gap[i].level,
                                   (uint64_t)1 << gap[i].level);

        buf_put(out, root.b, HASH_BYTES);
    }
}

/* --- Parts and records --------------------------------------------------- */

static size_t section_put(struct buf *out, struct bytes rows,
                          struct cursor *payload, const char *marks)
{
    size_t n = rows.n / SLOT_ROW_BYTES;

    for (size_t i = 0; i < n; i++) {
        struct bytes slot = cursor_take(
            payload, SLOT_SALT_BYTES + get_u32(rows.p + i * SLOT_ROW_BYTES));

        if (!marks || marks[i] == '0')
            buf_put(out, slot.p, slot.n);
    }
    return n;
}

void folio_evidence(const struct folio *f, uint64_t index, const char *marks,
                    struct buf *out)
{
    const struct folio_entry *s = &f->entries[index];
    struct cursor c = cursor_of(buf_bytes(&s->payload));
    struct bytes rows, effect_rows = {0};
    struct buf payload = {0};
    uint8_t digits[2 * LIMIT_SLOTS];
    size_t slots;
    struct msg m;

    must(head_slots(buf_bytes(&s->head), &rows) == 0);
    must(!s->effect.n || head_slots(buf_bytes(&s->effect), &effect_rows) == 0);
    slots = section_put(&payload, rows, &c, marks);
    slots +=
        section_put(&payload, effect_rows, &c, marks ? marks + slots : NULL);
    msg_init(&m, MSG_EVIDENCE);
    msg_set_u(&m, FIELD_REVISION, index);
    msg_set_u(&m, FIELD_TIME, s->time);
    msg_set_u(&m, FIELD_OUTCOME, (uint64_t)s->outcome);
    msg_set_b(&m, FIELD_HEADER, buf_bytes(&s->header));
    msg_set_b(&m, FIELD_SIGNATURE, bytes_of(s->signature, 64));
    msg_set_u(&m, FIELD_POSITION, s->position);
    msg_set_b(&m, FIELD_PATH, buf_bytes(&s->path));
    msg_set_b(&m, FIELD_HEAD, buf_bytes(&s->head));
    msg_set_b(&m, FIELD_EFFECT, buf_bytes(&s->effect));
    if (payload.n)
        msg_set_b(&m, FIELD_PAYLOAD, buf_bytes(&payload));
    for (size_t i = 0; marks && marks[i]; i++)
        digits[i] = (uint8_t)(marks[i] - '0');
    if (marks)
        msg_set_b(&m, FIELD_MARKS, bytes_of(digits, strlen(marks)));
    msg_encode(&m, out);
    buf_free(&payload);
}

static int into_file(void *context, struct bytes bytes)
{
    struct buf *b = context;

    buf_put(b, bytes.p, bytes.n);
    return 0;
}

void folio_export_begin(struct folio_export *x, const struct folio *f,
                        const struct person *exporter,
                        const struct export_selection *what)
{
    struct note note = {.ledger = f->ledger,
                        .root = root_of(f, 0, f->count),
                        .size = f->count,
                        .epoch = 1};
    struct export_facts facts = {
        .ledger = f->ledger,
        .agent = exporter->id,
        .time = 1800000000000000,
        .selection = *what,
    };
    struct buf text = {0};

    memcpy(facts.public_key, exporter->key.public_key, KEY_PUBLIC_BYTES);
    must(note_put(&text, &note, &f->broker.key) == 0);
    facts.note = buf_bytes(&text);
    *x = (struct folio_export){.f = f};
    must(export_begin(&x->w, &facts, into_file, &x->file) == 0);
    buf_free(&text);
}

void folio_export_free(struct folio_export *x)
{
    export_writer_free(&x->w);
    buf_free(&x->file);
}

void folio_export_gap(struct folio_export *x, uint64_t to)
{
    struct buf hashes = {0};

    folio_gap(x->f, x->next, to, &hashes);
    if (hashes.n)
        must(export_gap(&x->w, buf_bytes(&hashes)) == 0);
    x->next = to;
    buf_free(&hashes);
}

void folio_export_entry(struct folio_export *x, enum export_record kind,
                        uint64_t index)
{
    struct buf part = {0};

    folio_export_gap(x, index);
    folio_evidence(x->f, index, NULL, &part);
    must(export_entry(&x->w, kind, buf_bytes(&part)) == 0);
    x->next = index + 1;
    buf_free(&part);
}

void folio_export_end(struct folio_export *x, const struct person *exporter)
{
    folio_export_gap(x, x->f->count);
    must(export_end(&x->w, &exporter->key) == 0 && !x->file.failed);
}

void folio_export(struct folio_export *x, const struct folio *f,
                  const struct person *exporter,
                  const struct export_selection *what, const char *kinds)
{
    folio_export_begin(x, f, exporter, what);
    for (size_t i = 0; kinds[i]; i++)
        if (kinds[i] == '3' || kinds[i] == '4')
            folio_export_entry(x, kinds[i] - '0', i);
    folio_export_end(x, exporter);
}
