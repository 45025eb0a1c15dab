/* The cycle: the group, its commit, and the house that is kept with it. */
#include "core.h"

#include <errno.h>
#include <stdlib.h>

#include "core_private.h"
#include "proto/refusal.h"

enum { GROUP_SLACK = 64 * 1024 };

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

/* --- The house ------------------------------------------------------------- */

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
