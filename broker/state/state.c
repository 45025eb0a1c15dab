/* The parts of the state together, and the few facts that are of none. */
#include "state.h"

#include <errno.h>
#include <stdlib.h>

#include "item.h"
#include "proto/refusal.h"

static const struct {
    const char *name;
    uint64_t value; /* unless an entry says otherwise */
    size_t at;
} rules[] = {
#define X(name, value, unit) {#name, value, offsetof(struct rules, name)},
    RULES(X)
#undef X
};

enum { RULE_COUNT = sizeof(rules) / sizeof(*rules) };

static uint64_t *rule_at(struct rules *r, size_t i)
{
    return (uint64_t *)(void *)((char *)r + rules[i].at);
}

static uint64_t rule_value(const struct rules *r, size_t i)
{
    return *(const uint64_t *)(const void *)((const char *)r + rules[i].at);
}

/* A rule is named only where it differs from its default, so that a release
 * which adds one leaves the digests of older ledgers as they are. For the same
 * reason no default may change once it was released. */
static void facts_item(struct item *it, const struct state *s)
{
    item_begin(it, ITEM_FACTS);
    item_hash(it, &s->ledger);
    item_u64(it, s->epoch);
    item_u64(it, s->size);
    item_u64(it, s->time);
    item_u64(it, s->broker_seq);
    item_hash(it, &s->broker_prev);
    item_u64(it, s->checkpoint);
    item_u64(it, s->epoch_began);
    for (size_t i = 0; i < RULE_COUNT; i++) {
        uint64_t value = rule_value(&s->rules, i);

        if (value == rules[i].value)
            continue;
        item_name(it, bytes_text(rules[i].name));
        item_u64(it, value);
    }
    item_u8(it, 0); /* no more names */
}

static bool hides(const void *arg, uint64_t index, size_t slot)
{
    return erasure_has(arg, index, slot);
}

struct state *state_new(void)
{
    struct state *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    frontier_init(&s->tree);
    for (size_t i = 0; i < RULE_COUNT; i++)
        *rule_at(&s->rules, i) = rules[i].value;
    s->agents = agents_new(&s->digest);
    s->sessions = sessions_new(&s->digest);
    s->context = context_new(&s->digest);
    s->tasks = tasks_new(&s->digest);
    s->policies = policies_new(&s->digest);
    s->marks = marks_new(&s->digest);
    s->compaction = compaction_new(&s->digest);
    s->erasure = erasure_new(&s->digest);
    s->erasings = erasings_new(&s->digest);
    s->mail = mail_new(&s->digest);
    if (!s->agents || !s->sessions || !s->context || !s->tasks ||
        !s->policies || !s->marks || !s->compaction || !s->erasure ||
        !s->erasings || !s->mail)
        state_destroy(&s);
    else
        s->hider = (struct slot_hider){hides, s->erasure};
    return s;
}

void state_destroy(struct state **self_p)
{
    if (!self_p || !*self_p)
        return;
    policies_destroy(&(*self_p)->policies);
    mail_destroy(&(*self_p)->mail);
    marks_destroy(&(*self_p)->marks);
    compaction_destroy(&(*self_p)->compaction);
    erasure_destroy(&(*self_p)->erasure);
    erasings_destroy(&(*self_p)->erasings);
    tasks_destroy(&(*self_p)->tasks);
    context_destroy(&(*self_p)->context);
    sessions_destroy(&(*self_p)->sessions);
    agents_destroy(&(*self_p)->agents);
    free(*self_p);
    *self_p = NULL;
}

struct hash state_digest(const struct state *s)
{
    struct digest sum;
    struct item it;

    tasks_hash(s->tasks);
    sum = s->digest;
    facts_item(&it, s);
    item_add(&sum, &it);
    return digest_value(&sum);
}

bool state_box(const struct state *s, struct bytes space, const struct msg *m,
               struct box_id *box)
{
    const struct agent *a;
    struct hash id;

    *box = (struct box_id){.space = space, .topic = msg_b(m, FIELD_TOPIC)};
    if (!msg_has(m, FIELD_AGENT))
        return true;
    id = msg_hash(m, FIELD_AGENT);
    a = agent_by_id(s->agents, &id);
    box->agent = a ? a->number : AGENT_NONE;
    return a != NULL;
}

/* The facts and, behind them, the right edge of the tree. */
static int facts_save(const struct state *s, snapshot_sink put, void *to)
{
    struct buf record = {0};
    struct item it;
    int r;

    facts_item(&it, s);
    buf_put(&record, it.b, it.n);
    buf_put_u64(&record, s->tree.size);
    for (unsigned i = 0; i < s->tree.depth; i++)
        buf_put(&record, s->tree.edge[i].b, HASH_BYTES);
    r = record.failed ? -ENOMEM : put(to, buf_bytes(&record));
    buf_free(&record);
    return r;
}

int state_save_before(const struct state *s, snapshot_sink put, void *to)
{
    int r = agents_save(s->agents, put, to);

    return r ? r : sessions_save(s->sessions, put, to);
}

int state_save_behind(const struct state *s, snapshot_sink put, void *to)
{
    int r = tasks_save(s->tasks, put, to);

    if (!r)
        r = policies_save(s->policies, put, to);
    if (!r)
        r = marks_save(s->marks, put, to);
    if (!r)
        r = mail_save(s->mail, put, to);
    if (!r)
        r = ttls_save(context_ttls(s->context), put, to);
    if (!r)
        r = compaction_save(s->compaction, put, to);
    if (!r)
        r = erasure_save(s->erasure, put, to);
    if (!r)
        r = erasings_save(s->erasings, put, to);
    return r ? r : facts_save(s, put, to);
}

int state_save(const struct state *s, snapshot_sink put, void *to)
{
    int r = state_save_before(s, put, to);

    if (!r)
        r = context_save(s->context, put, to);
    return r ? r : state_save_behind(s, put, to);
}

static int rule_set(struct rules *r, struct bytes name, uint64_t value)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (bytes_equal(name, bytes_text(rules[i].name))) {
            *rule_at(r, i) = value;
            return 0;
        }
    }
    return CHOIR_MALFORMED;
}

static int rules_load(struct rules *r, struct cursor *at)
{
    uint8_t n;

    while ((n = cursor_u8(at))) {
        struct bytes name = cursor_take(at, n);
        uint64_t value = cursor_u64(at);

        if (at->failed || rule_set(r, name, value))
            return CHOIR_MALFORMED;
    }
    return 0;
}

static int tree_load(struct frontier *tree, struct cursor *at)
{
    tree->size = cursor_u64(at);
    tree->depth = (unsigned)__builtin_popcountll(tree->size);
    if (cursor_left(at) != (size_t)tree->depth * HASH_BYTES)
        return CHOIR_MALFORMED;
    for (unsigned i = 0; i < tree->depth; i++)
        load_hash(at, &tree->edge[i]);
    return load_ended(at) ? 0 : CHOIR_MALFORMED;
}

/* What is charged to an agent is in no record: it follows from the rest. */
static int charge(struct state *s)
{
    struct session *session;
    struct task *t;

    for (session = sessions_next(s->sessions, NULL); session;
         session = sessions_next(s->sessions, session)) {
        struct agent *a = agent_by_number(s->agents, session->agent);

        if (!a)
            return CHOIR_MALFORMED;
        a->sessions++;
    }
    for (t = tasks_next(s->tasks, 0); t; t = tasks_next(s->tasks, t->id)) {
        struct agent *submitter = agent_by_number(s->agents, t->submitter);
        struct agent *holder = agent_by_number(s->agents, t->holder);

        if (!submitter || (t->holder && !holder))
            return CHOIR_MALFORMED;
        if (!task_state_final(t->state))
            submitter->open_tasks++;
        if (t->token)
            holder->leases++;
    }
    return 0;
}

static int facts_load(struct state *s, struct bytes record)
{
    struct cursor at = cursor_of(record);
    struct state said = {.rules = s->rules};
    int r;

    cursor_u8(&at);
    load_hash(&at, &said.ledger);
    said.epoch = cursor_u64(&at);
    said.size = cursor_u64(&at);
    said.time = cursor_u64(&at);
    said.broker_seq = cursor_u64(&at);
    load_hash(&at, &said.broker_prev);
    said.checkpoint = cursor_u64(&at);
    said.epoch_began = cursor_u64(&at);
    if (rules_load(&said.rules, &at) || tree_load(&said.tree, &at) ||
        said.size == 0)
        return CHOIR_MALFORMED;
    s->ledger = said.ledger;
    s->epoch = said.epoch;
    s->epoch_began = said.epoch_began;
    s->size = said.size;
    s->time = said.time;
    s->broker_seq = said.broker_seq;
    s->broker_prev = said.broker_prev;
    s->checkpoint = said.checkpoint;
    s->rules = said.rules;
    s->tree = said.tree;
    r = agents_load_end(s->agents);
    return r ? r : charge(s);
}

static int mark_load(struct state *s, struct bytes record)
{
    uint32_t number = AGENT_NONE;
    int r = marks_load(s->marks, record, &number);
    struct agent *a = agent_by_number(s->agents, number);

    if (r)
        return r;
    if (!a)
        return CHOIR_MALFORMED;
    a->marks++;
    return 0;
}

static int message_load(struct state *s, struct bytes record)
{
    uint32_t sender = AGENT_NONE, owner = AGENT_NONE;
    int r = mail_read(s->mail, record, &sender, &owner);
    struct agent *a = agent_by_number(s->agents, sender);

    if (r)
        return r;
    if (!a || (owner && !agent_by_number(s->agents, owner)))
        return CHOIR_MALFORMED;
    a->messages++;
    return 0;
}

int state_load(struct state *s, struct bytes record)
{
    if (s->size || record.n == 0)
        return CHOIR_MALFORMED; /* the facts are the last record */
    switch (record.p[0]) {
    case ITEM_AGENT:
    case ITEM_GRANT:
    case ITEM_INVITE:
    case ITEM_OPERATION_ID:
    case ITEM_AGENT_KEY: return agents_load(s->agents, record);
    case ITEM_SESSION:
    case ITEM_BUNDLE: return sessions_load(s->sessions, record);
    case ITEM_KEY:
    case ITEM_TTL: return context_load(s->context, record);
    case ITEM_POLICY: return policies_load(s->policies, record);
    case ITEM_MARK: return mark_load(s, record);
    case ITEM_TASK:
    case ITEM_TASK_LINKS:
    case ITEM_QUEUE: return tasks_load(s->tasks, record);
    case ITEM_COMPACTION: return compaction_load(s->compaction, record);
    case ITEM_ERASURE: return erasure_load(s->erasure, record);
    case ITEM_ERASING: return erasings_load(s->erasings, record);
    case ITEM_MESSAGE: return message_load(s, record);
    case ITEM_FACTS: return facts_load(s, record);
    default: return CHOIR_MALFORMED;
    }
}
