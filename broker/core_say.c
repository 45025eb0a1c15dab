/* What the broker itself says: operations of its own, which join the group in a
 * bundle that it signs, and the checkpoints among them. */
#include <errno.h>
#include <stdlib.h>

#include "core_private.h"
#include "proto/note.h"
#include "proto/refusal.h"

enum {
    BROKER = 1,
    SAID_MAX = LIMIT_BUNDLE_OPS,
    SAID_HASHED = 64,
};

static int said_keep(struct said *s, struct bytes head, struct bytes effect)
{
    if (s->count == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        struct said_op *ops = realloc(s->ops, cap * sizeof *ops);
        struct hash *leaves;

        if (!ops)
            return -ENOMEM;
        s->ops = ops;
        leaves = realloc(s->leaves, cap * sizeof *leaves);
        if (!leaves)
            return -ENOMEM;
        s->leaves = leaves;
        s->cap = cap;
    }
    s->ops[s->count] = (struct said_op){(uint32_t)head.n, (uint32_t)effect.n};
    s->count++;
    buf_put(&s->heads, head.p, head.n);
    buf_put(&s->effects, effect.p, effect.n);
    return s->heads.failed || s->effects.failed ? -ENOMEM : 0;
}

/* Room for one more, and may this one use the reserve? */
static int say_room(struct core *c, const struct msg *op, size_t bytes)
{
    uint64_t want = core_group_bytes(c, bytes);
    int r = ledger_room(c->ledger, want);

    if (r != CHOIR_READ_ONLY)
        return r;
    switch (op->verb) {
    case MSG_SESSION_END:
    case MSG_EQUIVOCATE:
    case MSG_CHECKPOINT:
    case MSG_COMPACT:
    case MSG_ERASED:
        return ledger_free(c->ledger) >= want ? 0 : CHOIR_READ_ONLY;
    default: return CHOIR_READ_ONLY;
    }
}

int core_say(struct core *c, const struct msg *op, uint64_t *index)
{
    struct decide_facts facts = {
        .index = c->state->size,
        .time = c->time,
        .agent = BROKER,
    };
    struct evolve_op step = {
        .index = facts.index,
        .time = facts.time,
        .agent = BROKER,
        .op = op,
    };
    struct msg effect;
    int r = c->said.count == SAID_MAX ? core_flush(c) : 0;

    if (r)
        return r;
    r = decide(c->state, op, &facts, &effect, &c->scratch);
    if (r)
        return r; /* it no longer applies: nothing to record */
    buf_clear(&c->head);
    buf_clear(&c->effect);
    msg_encode(op, &c->head);
    if (effect.has)
        msg_encode(&effect, &c->effect);
    r = say_room(c, op, c->head.n + c->effect.n + 8);
    if (r)
        return r;
    if (c->said.count == 0)
        c->said.first = facts.index;
    r = said_keep(&c->said, buf_bytes(&c->head), buf_bytes(&c->effect));
    if (r)
        return r;
    step.head = buf_bytes(&c->head);
    step.effect = &effect;
    *index = facts.index;
    c->counters.outcomes[CHOIR_OK]++;
    r = evolve_op(c->state, &step);
    if (!r)
        core_links_note(c, &step, (struct bytes){0});
    return r;
}

void core_said(const struct core *c, struct bytes *head, struct bytes *effect)
{
    *head = buf_bytes(&c->head);
    *effect = buf_bytes(&c->effect);
}

static void said_header(struct core *c, uint8_t signature[KEY_SIGNATURE_BYTES])
{
    struct hash root = merkle_root(&c->said.tree);
    struct bundle_facts facts = {
        .kind = BUNDLE_RECORD,
        .ledger = c->state->ledger,
        .agent = c->broker,
        .prev_hash = c->state->broker_prev,
        .first_seq = c->state->broker_seq,
        .seen = c->said.first ? c->said.first - 1 : 0,
        .epoch = c->state->epoch,
        .time = c->time,
        .public_key = c->key.public_key,
    };

    buf_clear(&c->header);
    bundle_header_put(&c->header, &facts, &root, (uint32_t)c->said.count);
    key_sign(&c->key, KEY_FOR_BUNDLE, &c->state->ledger, buf_bytes(&c->header),
             signature);
}

/* Side by side, which takes a quarter of the time. */
static void said_hash(struct said *s)
{
    struct cursor heads = cursor_of(buf_bytes(&s->heads));
    struct hash_job jobs[SAID_HASHED];

    for (size_t i = 0, n; i < s->count; i += n) {
        n = s->count - i < SAID_HASHED ? s->count - i : SAID_HASHED;
        for (size_t k = 0; k < n; k++)
            jobs[k] = (struct hash_job){
                .a = cursor_take(&heads, s->ops[i + k].head_bytes)};
        hash_many(HASH_OP, jobs, n, s->leaves + i);
    }
}

/* Each operation with its effect into the group, each leaf on to the tree. */
static int said_place(struct core *c, const struct hash *bundle)
{
    struct cursor heads = cursor_of(buf_bytes(&c->said.heads));
    struct cursor effects = cursor_of(buf_bytes(&c->said.effects));
    struct bytes none = {0};
    struct leaves leaves = {
        .first = c->said.first,
        .first_seq = c->state->broker_seq,
        .agent = c->broker,
        .bundle = *bundle,
        .at = c->group.heads.n,
        .count = (uint32_t)c->said.count,
    };

    for (size_t i = 0; i < c->said.count; i++) {
        struct bytes head = cursor_take(&heads, c->said.ops[i].head_bytes);
        struct bytes effect =
            cursor_take(&effects, c->said.ops[i].effect_bytes);

        group_add(&c->group, head, none, CHOIR_OK, effect, none);
    }
    return core_leaves(c, &leaves, c->said.leaves, sizeof *c->said.leaves);
}

int core_flush(struct core *c)
{
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct evolve_bundle b = {
        .first_seq = c->state->broker_seq,
        .index = c->said.first,
        .count = (uint32_t)c->said.count,
        .broker = true,
    };
    int r;

    if (c->said.count == 0)
        return 0;
    said_hash(&c->said);
    r = merkle_build(&c->said.tree, c->said.leaves, c->said.count);
    if (r)
        return r;
    said_header(c, signature);
    b.hash = bundle_hash(buf_bytes(&c->header));
    group_add_bundle(&c->group, buf_bytes(&c->header), signature);
    r = said_place(c, &b.hash);
    c->said.count = 0;
    buf_clear(&c->said.heads);
    buf_clear(&c->said.effects);
    return r ? r : evolve_bundle(c->state, &b);
}

int core_checkpoint(struct core *c)
{
    struct hash digest, root;
    struct note note;
    struct buf text = {0};
    struct msg m;
    uint64_t index;
    int r = core_flush(c);

    if (!r)
        r = core_grow(c);
    if (r)
        return r;
    digest = state_digest(c->state);
    root = frontier_root(&c->state->tree);
    note = (struct note){
        .ledger = c->state->ledger,
        .root = root,
        .size = c->state->size,
        .epoch = c->state->epoch,
    };
    r = note_put(&text, &note, &c->key);
    if (!r) {
        msg_init(&m, MSG_CHECKPOINT);
        msg_set_u(&m, FIELD_SIZE, note.size);
        msg_set_hash(&m, FIELD_ROOT, &root);
        msg_set_hash(&m, FIELD_DIGEST, &digest);
        msg_set_b(&m, FIELD_TEXT, buf_bytes(&text));
        r = core_say(c, &m, &index);
    }
    buf_free(&text);
    return r ? r : core_flush(c);
}
