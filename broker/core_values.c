/* What a decision may see of the record: values of a key's versions, of the
 * cycle that is not yet appended, too. */
#include <errno.h>
#include <stdlib.h>

#include "changes.h"
#include "core_private.h"
#include "proto/merge.h"
#include "proto/refusal.h"

/* --- Entries of the group that is being filled ---------------------------- */

/* The group's buffers grow and move: the walk goes on from offsets. */
static void walk_resume(struct pending *p, struct group *g)
{
    p->walk.heads =
        cursor_of(bytes_of(g->heads.p + p->heads_at, g->heads.n - p->heads_at));
    p->walk.payload = cursor_of(
        bytes_of(g->payload.p + p->payload_at, g->payload.n - p->payload_at));
}

static void pending_begin(struct pending *p, const struct group *g)
{
    struct bytes none = {0};

    group_walk_begin(&p->walk, &g->h, none);
    p->walk.heads_only = false;
    p->walk.bundles = p->walk.entries = UINT32_MAX;
    p->first = g->h.first;
    p->heads_at = p->payload_at = 0;
    buf_clear(&p->places);
}

/* One entry more, where it begins. */
static int pending_step(struct pending *p, struct group *g)
{
    struct pending_place place;
    const struct entry *e;

    walk_resume(p, g);
    if (group_walk_next(&p->walk, &e))
        return -EUCLEAN;
    p->heads_at = g->heads.n - cursor_left(&p->walk.heads);
    p->payload_at = g->payload.n - cursor_left(&p->walk.payload);
    place = (struct pending_place){
        .head = p->heads_at - e->effect.n - e->head.n,
        .payload = p->payload_at - e->effect_payload.n - e->payload.n,
        .head_bytes = (uint32_t)e->head.n,
        .effect_bytes = (uint32_t)e->effect.n,
        .outcome = e->outcome,
    };
    buf_put(&p->places, &place, sizeof place);
    return p->places.failed ? -ENOMEM : 0;
}

/* Head, effect and payloads of an entry that is only in the group. */
static int pending_entry(struct core *c, uint64_t index, struct entry *e)
{
    struct pending *p = &c->pending;
    struct group *g = &c->group;
    const struct pending_place *at;
    uint64_t i = index - g->h.first;
    uint8_t *payload;

    if (p->first != g->h.first || p->heads_at > g->heads.n)
        pending_begin(p, g);
    while (p->places.n / sizeof *at <= i) {
        int r = pending_step(p, g);

        if (r)
            return r;
    }
    at = (const struct pending_place *)(const void *)p->places.p + i;
    payload = g->payload.p + at->payload;
    *e = (struct entry){
        .index = index,
        .outcome = at->outcome,
        .hider = &c->state->hider,
        .head = bytes_of(g->heads.p + at->head, at->head_bytes),
        .effect =
            bytes_of(g->heads.p + at->head + at->head_bytes, at->effect_bytes),
    };
    if (head_slots(e->head, &e->rows) ||
        (e->effect.n && head_slots(e->effect, &e->effect_rows)))
        return -EUCLEAN;
    e->payload = bytes_of(payload, (size_t)slots_payload_bytes(e->rows));
    e->effect_payload = bytes_of(payload + e->payload.n,
                                 (size_t)slots_payload_bytes(e->effect_rows));
    return 0;
}

/* --- Versions ------------------------------------------------------------- */

/* Does it concern that space? A completion's is its task's. */
static int of_space(const struct state *s, struct ledger *l,
                    const struct changes *walk, struct bytes space)
{
    struct place place;
    int r;

    if (msg_has(&walk->head, FIELD_SPACE))
        return bytes_equal(msg_b(&walk->head, FIELD_SPACE), space)
                   ? 0
                   : CHOIR_NOT_FOUND;
    r = task_place(s, l, msg_u(&walk->head, FIELD_TASK), &place);
    return r                                             ? r
           : bytes_equal(bytes_text(place.space), space) ? 0
                                                         : CHOIR_NOT_FOUND;
}

int entry_version(const struct state *s, struct ledger *l,
                  const struct entry *e, struct bytes space, struct bytes key,
                  struct decide_version *out, struct buf *value)
{
    struct changes walk;
    struct change change;
    struct bytes bytes;
    int r = changes_find(e, key, &change, &walk);

    if (r)
        return r;
    out->deleted = change.deleted;
    out->prev = change.prev;
    out->slot = change.slot;
    out->merged = change.merged;
    out->operand = change.operand;
    out->base = change.base;
    out->msgpack = bytes_equal(change.type, bytes_text(MERGE_TYPE));
    if (!value)
        return of_space(s, l, &walk, space);
    if (!change.deleted)
        r = change_value(e, &change, &bytes);
    if (!r && !change.deleted)
        buf_put(value, bytes.p, bytes.n);
    if (!r)
        r = of_space(s, l, &walk, space); /* may read another entry */
    return r ? r : value->failed ? -ENOMEM : 0;
}

static int version(void *arg, struct bytes space, struct bytes key,
                   uint64_t revision, struct decide_version *out,
                   struct buf *value)
{
    struct core *c = arg;
    const struct entry *e;
    struct entry pending;
    int r;

    if (revision >= c->state->size)
        return CHOIR_NOT_FOUND;
    if (revision >= ledger_size(c->ledger)) {
        r = pending_entry(c, revision, &pending);
        e = &pending;
    } else {
        r = ledger_body(c->ledger, revision, &e);
    }
    return r ? r
             : entry_version(c->state, c->ledger, e, space, key, out, value);
}

void core_values_open(struct core *c)
{
    c->values.version = version;
    c->values.arg = c;
}

void core_values_close(struct core *c)
{
    decide_values_free(&c->values);
    buf_free(&c->pending.places);
}

struct bytes core_merged(const struct core *c)
{
    return buf_bytes(&c->values.payload);
}

/* --- Room ----------------------------------------------------------------- */

static bool may_merge(const struct state *s, const struct bundle_op *op)
{
    enum merge_rule rule;

    switch (head_verb(op->head)) {
    case MSG_APPEND:
    case MSG_INCR: return true;
    case MSG_TXN:
    case MSG_COMPLETE: return policies_any(s->policies);
    case MSG_PUT: break;
    default: return false;
    }
    rule = policy_of(s->policies, op->space, op->key);
    return rule >= RULE_MERGE && rule <= RULE_COUNTER;
}

/* An operation on one key makes of it no more than there is and comes with the
 * bundle; one on many keys is bounded by what a value may be. */
static uint64_t merged_most(const struct core *c, const struct bundle *b,
                            const struct bundle_op *op)
{
    uint64_t most = c->state->rules.value_bytes_max;
    const struct key *k;
    uint64_t bytes;

    if (!op->key.n)
        return LIMIT_TXN_WRITES * (most + SLOT_ROW_BYTES + SLOT_SALT_BYTES);
    k = context_find(c->state->context, op->space, op->key);
    bytes = (k ? k->bytes : 0) + b->rest.n;
    return (bytes < most ? bytes : most) + SLOT_ROW_BYTES + SLOT_SALT_BYTES;
}

uint64_t core_merge_room(const struct core *c, const struct bundle *b)
{
    uint64_t most = MERGE_BYTES_MAX + 2 * c->state->rules.value_bytes_max;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < b->count && sum < most; i++) {
        if (may_merge(c->state, &b->ops[i]))
            sum += merged_most(c, b, &b->ops[i]);
    }
    return sum < most ? sum : most;
}
