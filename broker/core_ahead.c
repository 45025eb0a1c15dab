/* A lone bundle on its way to the disk ahead of its proof (ADR 17): decided and
 * written, while nothing has followed from it. Its signature is checked while
 * the disk is at work; then the state moves on, or all of it is taken back.
 *
 * What may go ahead is what can be decided as a whole before any of it takes
 * effect: puts of keys that are written once each. */
#include <errno.h>
#include <uthash.h>

#include "core_private.h"
#include "proto/refusal.h"

enum {
    AHEAD_OPS = 256, /* at most */
    AHEAD_PLACES = 1024,
    AHEAD_IN_A_ROW = 63, /* then one the other way: the house is kept there */
};

/* --- Which --------------------------------------------------------------- */

/* The first one of its key in the bundle? places: of those before it. */
static bool key_is_new(const struct bundle *b, uint16_t places[AHEAD_PLACES],
                       uint32_t position)
{
    const struct bundle_op *op = &b->ops[position];
    unsigned at;

    HASH_VALUE(op->key.p, op->key.n, at);
    for (at %= AHEAD_PLACES; places[at]; at = (at + 1) % AHEAD_PLACES) {
        const struct bundle_op *other = &b->ops[places[at] - 1];

        if (bytes_equal(op->key, other->key) &&
            bytes_equal(op->space, other->space))
            return false;
    }
    places[at] = (uint16_t)(position + 1);
    return true;
}

static bool is_plain_put(const struct core *c, const struct bundle_op *op)
{
    struct msg m;

    return op->refusal == 0 && op->key.n && brief_read(&op->brief, &m) &&
           m.verb == MSG_PUT && !msg_has(&m, FIELD_ID) &&
           policy_of(c->state->policies, op->space, op->key) == RULE_NONE;
}

static bool are_plain_puts(const struct core *c, const struct bundle *b)
{
    uint16_t places[AHEAD_PLACES] = {0};

    if (b->count > AHEAD_OPS)
        return false;
    for (uint32_t i = 0; i < b->count; i++)
        if (!is_plain_put(c, &b->ops[i]) || !key_is_new(b, places, i))
            return false;
    return true;
}

/* Would it be accepted as it stands, if its signature is good? */
static bool is_next(struct core *c, const struct bundle *b,
                    const struct session *s)
{
    return b->epoch == c->state->epoch && b->first_seq == s->next_seq &&
           hash_equal(&b->prev_hash, &s->prev_hash) &&
           b->answered < s->next_seq && !core_window_full(s, b) &&
           (!b->has_seen_root ||
            core_has_grown_from(c, b->seen + 1, &b->seen_root));
}

bool core_may_precede(struct core *c, const struct bundle *b,
                      const struct sender *sender)
{
    uint64_t behind = c->state->size + b->count;
    struct session *s;
    const uint8_t *key;

    if (c->ahead.in_a_row++ == AHEAD_IN_A_ROW || c->said.count ||
        c->group.h.count || core_snapshot_due(c) ||
        behind - c->state->checkpoint >= c->config->checkpoint_entries ||
        core_signer(c, b, sender, &s, &key) || !s || !is_next(c, b, s) ||
        !are_plain_puts(c, b)) {
        c->ahead.in_a_row = 0;
        return false;
    }
    return true;
}

/* --- There and back ------------------------------------------------------ */

int core_send_ahead(struct core *c, const struct bundle *b,
                    const struct sender *sender, struct accepted *out)
{
    c->ahead.bundle = b;
    c->ahead.agent = sender->agent;
    out->index = c->state->size;
    c->ahead.leaves = core_leaves_of(b, out->index);
    group_add_bundle(&c->group, b->header, b->signature);
    c->ahead.leaves.at = c->group.heads.n;
    decide_fetch(c->state, b);
    c->values.merged = c->values.looked = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct bundle_op *op = &b->ops[i];
        struct decide_facts facts = {
            .index = c->state->size + i,
            .time = c->time,
            .agent = sender->agent,
            .session = b->session,
            .payload = op->payload,
            .values = &c->values,
        };
        struct msg m, effect;
        int r;

        brief_read(&op->brief, &m);
        r = decide(c->state, &m, &facts, &effect, &c->scratch);
        if (r < 0)
            return r;
        buf_clear(&c->effect);
        if (effect.has)
            msg_encode(&effect, &c->effect);
        group_add(&c->group, op->head, op->payload, r, buf_bytes(&c->effect),
                  (struct bytes){0});
    }
    return 0;
}

bool core_is_ahead(const struct core *c)
{
    return c->ahead.bundle != NULL;
}

int core_take_back(struct core *c)
{
    int r = ledger_take_back(c->ledger);

    if (!r && c->ahead.agent < c->allowance_count)
        c->allowances[c->ahead.agent].bytes +=
            (double)core_frame_bytes(c->ahead.bundle);
    c->ahead.bundle = NULL;
    if (r)
        return r;
    c->boundary_count--;
    c->unsynced_bytes -= c->boundaries[c->boundary_count].bytes;
    c->counters.entries -= c->group.h.count;
    c->counters.groups--;
    c->group_written = false;
    group_begin(&c->group, c->state->epoch, c->state->size, c->time);
    return 0;
}

/* One operation whose outcome and effect stand in the group. */
static int follow_one(struct core *c, uint32_t position, struct cursor *heads,
                      core_told told, void *arg)
{
    const struct bundle *b = c->ahead.bundle;
    const struct bundle_op *op = &b->ops[position];
    uint32_t head = cursor_u32(heads), word = cursor_u32(heads);
    struct msg m, effect;
    struct evolve_op step = {
        .index = c->state->size,
        .time = c->time,
        .agent = c->ahead.agent,
        .session = b->session,
        .head = op->head,
        .op = &m,
        .outcome = (int)(word >> 24),
        .effect = &effect,
        .bundle = &b->hash,
    };
    struct bytes encoded;
    unsigned field;

    cursor_take(heads, head);
    encoded = cursor_take(heads, word & 0xffffff);
    msg_init(&effect, MSG_EFFECT);
    if (heads->failed ||
        (encoded.n && part_decode(MSG_EFFECT, encoded, &effect, &field)))
        return -EUCLEAN;
    brief_read(&op->brief, &m);
    return core_step(c, b, position, &step, encoded, told, arg);
}

int core_follow(struct core *c, core_told told, void *arg)
{
    const struct bundle *b = c->ahead.bundle;
    const struct leaves *leaves = &c->ahead.leaves;
    struct evolve_bundle turn = core_turn_of(b, leaves->first);
    struct cursor heads = cursor_of(
        bytes_of(c->group.heads.p + leaves->at, c->group.heads.n - leaves->at));
    int r = evolve_bundle(c->state, &turn);

    c->counters.bundles++;
    buf_clear(&c->values.payload); /* nothing of it is merged */
    for (uint32_t i = 0; !r && i < b->count; i++)
        r = follow_one(c, i, &heads, told, arg);
    c->ahead.bundle = NULL;
    return r ? r : core_leaves(c, leaves, &b->ops->hash, sizeof *b->ops);
}
