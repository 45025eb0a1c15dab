/* The cycle: what the broker itself says, the group, its commit, and the
 * checkpoints that hang on it. */
#include "core.h"

#include <errno.h>
#include <stdlib.h>

#include "core_private.h"
#include "proto/note.h"
#include "proto/refusal.h"

enum {
    BROKER = 1,
    SAID_MAX = LIMIT_BUNDLE_OPS,
    SAID_HASHED = 64,
    GROUP_SLACK = 64 * 1024,
};

const struct state *core_state(const struct core *c)
{
    return c->state;
}

struct ledger *core_ledger(struct core *c)
{
    return c->ledger;
}

const struct key_pair *core_key(const struct core *c)
{
    return &c->key;
}

const struct curve_pair *core_curve(const struct core *c)
{
    return &c->curve;
}

uint64_t core_time(const struct core *c)
{
    return c->time;
}

const struct msg *core_told_op(const struct core *c)
{
    return c->told_op;
}

uint64_t core_durable(const struct core *c)
{
    return c->durable_size;
}

uint64_t core_size(const struct core *c)
{
    return c->state->size;
}

const struct core_counters *core_counters(const struct core *c)
{
    return &c->counters;
}

void core_answer_facts(const struct core *c, struct answer_facts *facts)
{
    facts->ledger = c->state->ledger;
    facts->epoch = c->state->epoch;
    facts->time = c->time;
    facts->size = c->durable_size;
    facts->root = c->durable_root;
}

void core_answer_facts_ahead(const struct core *c, struct answer_facts *facts)
{
    const struct boundary *last = c->boundaries + c->boundary_count;

    core_answer_facts(c, facts);
    if (c->boundary_count) {
        facts->size = last[-1].size;
        facts->root = last[-1].root;
    }
}

/* The wall clock, but never back. When someone has set it back, time goes on
 * at half its speed until the clock has caught up: were it to stand, whatever
 * waits for a time would wait as long as the clock was wrong. */
static uint64_t time_next(struct core *c)
{
    uint64_t wall = env_wall_us(c->env), steady = env_steady_us(c->env);
    uint64_t least = c->time ? c->time + (steady - c->steady) / 2 : 0;

    c->steady = steady;
    if (least < c->state->time)
        least = c->state->time;
    return wall > least ? wall : least;
}

void core_begin(struct core *c)
{
    c->time = time_next(c);
    c->told_again = 0;
    c->merged = 0;
    group_begin(&c->group, c->state->epoch, c->state->size, c->time);
}

uint64_t core_group_bytes(const struct core *c, uint64_t more)
{
    return GROUP_HEADER_BYTES + c->group.heads.n + c->group.payload.n +
           c->said.heads.n + c->said.effects.n + more + GROUP_SLACK;
}

void core_observe(struct core *c, core_observed observed, void *arg)
{
    c->observed = observed;
    c->observed_arg = arg;
}

/* --- What the broker says ------------------------------------------------ */

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

static int say_forget(struct core *c, unsigned kind, uint64_t upto)
{
    struct msg m;
    uint64_t index;

    msg_init(&m, MSG_FORGET);
    msg_set_u(&m, FIELD_REVISION, upto);
    msg_set_u(&m, FIELD_KIND, kind);
    return core_say(c, &m, &index);
}

/* The entry up to which final tasks are to be forgotten, so that `kept` stay;
 * 0: none yet. In batches, so that an entry pays for many. One whose end still
 * has to be passed on stays, and so do those behind it. */
static uint64_t tasks_to_forget(const struct core *c)
{
    size_t kept = (size_t)c->config->terminal_tasks_kept;
    size_t n = tasks_final_count(c->state->tasks);
    const struct task *t = tasks_oldest_final(c->state->tasks);
    uint64_t upto = 0;

    if (n <= kept + kept / 8 + 64)
        return 0;
    for (n -= kept; n && t && task_is_settled(t); n--) {
        upto = t->changed;
        t = t->next;
    }
    return upto;
}

/* What would grow with history leaves memory, by an entry. */
static int keep_house(struct core *c)
{
    uint64_t tasks = tasks_to_forget(c);
    uint64_t id = operation_ids_oldest(c->state->agents);
    uint64_t kept = c->config->operation_ids_kept;
    uint64_t topical = mail_oldest_topical(c->state->mail);
    uint64_t topics = c->config->topic_entries_kept;
    int r = tasks ? say_forget(c, FORGET_TASKS, tasks) : 0;

    if (!r && id && c->state->size > id + kept + kept / 8)
        r = say_forget(c, FORGET_IDS, c->state->size - kept);
    if (!r && topical && c->state->size > topical + topics + topics / 8)
        r = say_forget(c, FORGET_TOPICS, c->state->size - topics);
    if (!r && invites_earliest(c->state->agents) <= c->time)
        r = say_forget(c, FORGET_INVITES, c->state->size - 1);
    return r ? r : core_compact(c);
}

/* The groups that are appended and not yet durable, each with the tree's root
 * behind it, once that has grown: what answers state when it is durable. */
static int boundary_keep(struct core *c)
{
    if (c->boundary_count == c->boundary_cap) {
        size_t cap = c->boundary_cap ? 2 * c->boundary_cap : 16;
        struct boundary *p = realloc(c->boundaries, cap * sizeof *p);

        if (!p)
            return -ENOMEM;
        c->boundaries = p;
        c->boundary_cap = cap;
    }
    c->boundaries[c->boundary_count++] = (struct boundary){
        .size = c->group.h.first + c->group.h.count,
        .bytes = group_bytes(&c->group.h),
    };
    c->unsynced_bytes += group_bytes(&c->group.h);
    return 0;
}

void core_note_durable(struct core *c)
{
    uint64_t durable = ledger_durable(c->ledger);
    size_t n = 0;

    for (; n < c->boundary_count && c->boundaries[n].size <= durable; n++) {
        c->durable_size = c->boundaries[n].size;
        c->durable_root = c->boundaries[n].root;
        c->unsynced_bytes -= c->boundaries[n].bytes;
    }
    if (n == 0)
        return; /* and there may be none at all */
    c->boundary_count -= n;
    memmove(c->boundaries, c->boundaries + n,
            c->boundary_count * sizeof *c->boundaries);
}

static int group_write(struct core *c)
{
    int r = ledger_append(c->ledger, &c->group);

    if (!r)
        r = boundary_keep(c);
    if (r)
        return r;
    c->counters.entries += c->group.h.count;
    c->counters.groups++;
    c->group_written = true;
    return 0;
}

int core_sync(struct core *c)
{
    int r = core_grow(c);

    if (!r)
        r = ledger_sync(c->ledger);
    if (r)
        return r;
    if (c->boundary_count)
        c->counters.syncs++;
    core_note_durable(c);
    return 0;
}

int core_append(struct core *c)
{
    bool something = c->said.count || c->group.h.count;
    int r = 0;

    if (core_is_ahead(c))
        return group_write(c);
    if (something)
        r = keep_house(c);
    if (!r || r == CHOIR_READ_ONLY)
        r = core_flush(c);
    if (!r && something && core_due(c, c->state->checkpoint))
        r = core_checkpoint(c);
    if (r && r != CHOIR_READ_ONLY)
        return r < 0 ? r : -EUCLEAN;
    if (c->group.h.count == 0)
        return 0;
    r = group_write(c);
    if (r || !core_snapshot_due(c))
        return r;
    r = core_sync(c); /* a snapshot covers durable entries only */
    return r ? r : core_snapshot(c, false);
}

int core_commit(struct core *c)
{
    int r = core_append(c);

    return r ? r : core_sync(c);
}

int core_sync_ahead(struct core *c, enum sync_by by)
{
    switch (by) {
    case SYNC_BESIDE: return ledger_sync_begin(c->ledger);
    case SYNC_ASIDE: return ledger_sync_aside(c->ledger);
    default: return ledger_sync_ahead(c->ledger);
    }
}

int core_sync_begin(struct core *c)
{
    if (c->boundary_count == 0 || ledger_syncing(c->ledger))
        return 0;
    c->counters.syncs++;
    return ledger_sync_begin(c->ledger);
}

int core_sync_end(struct core *c)
{
    int r = ledger_syncing(c->ledger) ? ledger_sync_end(c->ledger) : 0;

    if (r == -EAGAIN)
        return 0;
    if (!r)
        core_note_durable(c);
    return r;
}

bool core_syncing(const struct core *c)
{
    return ledger_syncing(c->ledger);
}

uint64_t core_unsynced_bytes(const struct core *c)
{
    return c->unsynced_bytes;
}

/* --- Rules --------------------------------------------------------------- */

int core_rules(struct core *c, const struct config *config)
{
    struct rules wanted = {
#define X(name, value, unit) .name = config->name,
        RULES(X)
#undef X
    };
    struct buf items = {0};
    struct msg m, item;
    uint64_t index, n = 0;
    int r;

#define X(rule, value, unit)                        \
    if (wanted.rule != c->state->rules.rule) {      \
        msg_init(&item, MSG_ITEM);                  \
        msg_set_text(&item, FIELD_NAME, #rule);     \
        msg_set_u(&item, FIELD_LIMIT, wanted.rule); \
        msg_encode(&item, &items);                  \
        n++;                                        \
    }
    RULES(X)
#undef X
    msg_init(&m, MSG_RULES);
    msg_set_list(&m, FIELD_ITEMS, n, buf_bytes(&items));
    r = items.failed ? -ENOMEM : n ? core_say(c, &m, &index) : 0;
    buf_free(&items);
    return r;
}

/* --- The end ------------------------------------------------------------- */

int core_close_clean(struct core *c)
{
    int r;

    core_begin(c);
    r = core_checkpoint(c);
    if (r == CHOIR_READ_ONLY)
        r = 0; /* full to the last byte: the seal still says where it ends */
    if (!r)
        r = core_commit(c);
    if (!r)
        r = core_snapshot(c, true);
    if (!r)
        core_links_keep(c);
    return r ? r : ledger_seal(c->ledger);
}

void core_destroy(struct core **self_p)
{
    struct core *c = *self_p;

    if (!c)
        return;
    core_snapshot_end(c);
    core_tree_close(c);
    core_links_close(c);
    core_erase_close(c);
    ledger_close(&c->ledger);
    core_reclaim_close(c);
    state_destroy(&c->state);
    group_free(&c->group);
    core_leaves_free(c);
    buf_free(&c->said.heads);
    buf_free(&c->said.effects);
    free(c->said.ops);
    free(c->said.leaves);
    merkle_free(&c->said.tree);
    core_values_close(c);
    buf_free(&c->scratch);
    buf_free(&c->observed_rows);
    buf_free(&c->head);
    buf_free(&c->effect);
    buf_free(&c->header);
    free(c->boundaries);
    free(c->asks);
    free(c->allowances);
    secret_wipe(&c->key, sizeof c->key);
    secret_wipe(&c->curve, sizeof c->curve);
    free(c);
    *self_p = NULL;
}
