#include "tests/support/scribe.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/note.h"

static void must(bool claim)
{
    if (!claim)
        abort();
}

void scribe_init(struct scribe *s)
{
    uint8_t seed[32] = {1};

    must(crypto_start() == 0);
    *s = (struct scribe){.epoch = 1, .time = 1700000000000000, .next_seq = 1};
    key_pair_from_seed(&s->broker, seed);
    seed[0] = 2;
    key_pair_from_seed(&s->agent, seed);
    s->broker_id = agent_id(s->broker.public_key);
    s->agent_id = agent_id(s->agent.public_key);
    frontier_init(&s->tree);
}

void scribe_free(struct scribe *s)
{
    group_free(&s->g);
    bundle_writer_free(&s->w);
}

void scribe_begin(struct scribe *s)
{
    group_begin(&s->g, s->epoch, s->tree.size, ++s->time);
}

/* Bring the tree up to the last entry of the group at hand. */
static void absorb(struct scribe *s)
{
    struct group_header h = s->g.h;
    struct buf body = {0};
    struct group_walk walk;
    const struct entry *e;

    h.heads_bytes = s->g.heads.n;
    h.payload_bytes = s->g.payload.n;
    buf_put(&body, s->g.heads.p, s->g.heads.n);
    buf_put(&body, s->g.payload.p, s->g.payload.n);
    group_walk_begin(&walk, &h, buf_bytes(&body));
    while (group_walk_next(&walk, &e) == 0)
        if (e->index == s->tree.size)
            frontier_add(&s->tree, entry_leaf(e));
    must(s->tree.size == s->g.h.first + s->g.h.count);
    buf_free(&body);
}

struct op {
    struct buf head, payload;
};

static struct op op_of(const struct msg *m)
{
    struct op op = {0};

    msg_encode(m, &op.head);
    return op;
}

static void add(struct scribe *s, struct bundle_facts *f, const struct op *ops,
                uint32_t n, const struct key_pair *key, struct hash *hash)
{
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct hash leaves[1024], root;
    struct merkle tree = {0};
    struct buf header = {0};

    f->kind = BUNDLE_RECORD;
    f->ledger = s->ledger;
    f->epoch = s->epoch;
    f->time = s->time;
    for (uint32_t i = 0; i < n; i++)
        leaves[i] = op_hash(buf_bytes(&ops[i].head));
    must(merkle_build(&tree, leaves, n) == 0);
    root = merkle_root(&tree);
    merkle_free(&tree);
    bundle_header_put(&header, f, &root, n);
    key_sign(key, KEY_FOR_BUNDLE, &s->ledger, buf_bytes(&header), signature);
    *hash = bundle_hash(buf_bytes(&header));
    group_add_bundle(&s->g, buf_bytes(&header), signature);
    for (uint32_t i = 0; i < n; i++) {
        group_add(&s->g, buf_bytes(&ops[i].head), buf_bytes(&ops[i].payload), 0,
                  (struct bytes){0}, (struct bytes){0});
    }
    buf_free(&header);
    absorb(s);
}

static void ops_free(struct op *ops, uint32_t n)
{
    while (n--) {
        buf_free(&ops[n].head);
        buf_free(&ops[n].payload);
    }
}

void scribe_broker(struct scribe *s, const struct msg *m)
{
    struct op op = op_of(m);
    struct bundle_facts f = {
        .agent = s->broker_id,
        .prev_hash = s->broker_prev,
        .first_seq = s->broker_seq,
    };

    add(s, &f, &op, 1, &s->broker, &s->broker_prev);
    s->broker_seq++;
    ops_free(&op, 1);
}

static void genesis_op(struct scribe *s)
{
    struct msg m;
    struct buf head = {0};
    struct hash nonce = {{7}};

    msg_init(&m, MSG_GENESIS);
    msg_set_hash(&m, FIELD_CHALLENGE, &nonce);
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(s->broker.public_key, 32));
    msg_set_hash(&m, FIELD_CURVE_KEY, &nonce);
    msg_set_u(&m, FIELD_FORMAT, 1);
    msg_encode(&m, &head);
    s->ledger = hash_of(HASH_LEDGER, buf_bytes(&head));
    buf_free(&head);
    scribe_broker(s, &m);
}

static void admit_op(struct scribe *s)
{
    struct hash curve = {{9}};
    struct msg m;

    msg_init(&m, MSG_ADMIT);
    msg_set_hash(&m, FIELD_AGENT, &s->agent_id);
    msg_set_text(&m, FIELD_NAME, "ada");
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(s->agent.public_key, 32));
    msg_set_hash(&m, FIELD_CURVE_KEY, &curve);
    msg_set_list(&m, FIELD_GRANTS, 0, (struct bytes){0});
    scribe_broker(s, &m);
}

static void session_op(struct scribe *s)
{
    struct bundle_facts f = {.agent = s->agent_id,
                             .public_key = s->agent.public_key};
    struct hash challenge = {{5}};
    struct msg m;
    struct op op;

    msg_init(&m, MSG_SESSION_OPEN);
    msg_set_hash(&m, FIELD_CHALLENGE, &challenge);
    op = op_of(&m);
    s->session = s->tree.size;
    add(s, &f, &op, 1, &s->agent, &s->prev);
    ops_free(&op, 1);
}

void scribe_genesis(struct scribe *s)
{
    scribe_begin(s);
    genesis_op(s);
    admit_op(s);
    session_op(s);
}

static struct op put_op(uint64_t k, size_t bytes)
{
    struct buf payload = {0}, rows = {0};
    uint8_t salt[SLOT_SALT_BYTES] = {3};
    char key[32];
    struct msg m;
    struct op op;

    for (size_t i = 0; i < bytes; i++)
        buf_put(&payload, &(uint8_t){(uint8_t)(k + i)}, 1);
    slot_row(&rows, salt, buf_bytes(&payload));
    snprintf(key, sizeof key, "key/%llu", (unsigned long long)k);
    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, key);
    msg_set_b(&m, FIELD_SLOTS, buf_bytes(&rows));
    op = op_of(&m);
    buf_put(&op.payload, salt, sizeof salt);
    buf_put(&op.payload, payload.p, payload.n);
    buf_free(&payload);
    buf_free(&rows);
    return op;
}

void scribe_puts(struct scribe *s, uint32_t n, size_t bytes)
{
    struct bundle_facts f = {
        .agent = s->agent_id,
        .session = s->session,
        .first_seq = s->next_seq,
        .prev_hash = s->prev,
    };
    struct op *ops = calloc(n, sizeof *ops);

    must(ops != NULL);
    for (uint32_t i = 0; i < n; i++)
        ops[i] = put_op(s->tree.size + i, bytes);
    add(s, &f, ops, n, s->forge ? &s->broker : &s->agent, &s->prev);
    s->forge = false;
    s->next_seq += n;
    ops_free(ops, n);
    free(ops);
}

void scribe_checkpoint(struct scribe *s)
{
    struct note note = {.ledger = s->ledger,
                        .root = frontier_root(&s->tree),
                        .size = s->tree.size,
                        .epoch = s->epoch};
    struct hash digest = {{4}};
    struct buf text = {0};
    struct msg m;

    must(note_put(&text, &note, &s->broker) == 0);
    msg_init(&m, MSG_CHECKPOINT);
    msg_set_u(&m, FIELD_SIZE, note.size);
    msg_set_hash(&m, FIELD_ROOT, &note.root);
    msg_set_hash(&m, FIELD_DIGEST, &digest);
    msg_set_b(&m, FIELD_TEXT, buf_bytes(&text));
    scribe_broker(s, &m);
    buf_free(&text);
}

void scribe_group(struct scribe *s, uint32_t n, size_t bytes)
{
    scribe_begin(s);
    scribe_puts(s, n, bytes);
}
