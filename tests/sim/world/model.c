/* What the model knows, and the part of deciding that all verbs share. */
#include "tests/sim/world/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world/verbs.h"

bool model_says(struct model *m, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(m->why, sizeof m->why, format, args);
    va_end(args);
    return false;
}

uint64_t model_hash(struct bytes b)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < b.n; i++)
        h = (h ^ b.p[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* --- Agents and sessions ------------------------------------------------- */

int model_agent(struct model *m, const struct hash *id, unsigned rights)
{
    if (m->agent_count == MODEL_AGENTS)
        abort();
    m->agents[m->agent_count] = *id;
    m->rights[m->agent_count] = rights;
    return m->agent_count++;
}

static int agent_of(const struct model *m, const struct hash *id)
{
    for (int i = 0; i < m->agent_count; i++)
        if (hash_equal(&m->agents[i], id))
            return i;
    return MODEL_BROKER;
}

bool model_may(const struct model *m, int agent, unsigned right)
{
    return agent == MODEL_BROKER || (m->rights[agent] & right) == right;
}

struct m_session *model_session(const struct model *m, uint64_t id)
{
    for (size_t i = m->session_count; i-- > 0;)
        if (m->sessions[i].id == id)
            return &m->sessions[i];
    return NULL;
}

/* --- Keys and tasks ------------------------------------------------------ */

struct m_key *model_key(struct model *m, struct bytes name)
{
    struct m_key *k;

    for (size_t i = 0; i < m->key_count; i++)
        if (bytes_equal(bytes_text(m->keys[i].name), name))
            return &m->keys[i];
    if (m->key_count == MODEL_KEYS || name.n >= MODEL_KEY_BYTES)
        abort();
    k = &m->keys[m->key_count++];
    memcpy(k->name, name.p, name.n);
    return k;
}

const struct m_version *key_at(const struct m_key *k, uint64_t revision)
{
    size_t n = k->count;

    while (n && k->versions[n - 1].revision > revision)
        n--;
    return n ? &k->versions[n - 1] : NULL;
}

uint64_t key_revision(const struct m_key *k)
{
    const struct m_version *v = k->count ? &k->versions[k->count - 1] : NULL;

    return v && !v->deleted ? v->revision : 0;
}

struct m_task *model_task_ever(const struct model *m, uint64_t id)
{
    size_t low = 0, high = m->task_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (m->tasks[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->task_count && m->tasks[low].id == id ? &m->tasks[low]
                                                         : NULL;
}

struct m_task *model_task(const struct model *m, uint64_t id)
{
    struct m_task *t = model_task_ever(m, id);

    return t && t->state ? t : NULL;
}

struct m_task *task_new(struct model *m)
{
    MODEL_ROOM(m->tasks, m->task_count, m->task_cap);
    m->tasks[m->task_count] =
        (struct m_task){.holder = MODEL_BROKER, .worker = MODEL_BROKER};
    return &m->tasks[m->task_count++];
}

bool task_is_over(const struct m_task *t)
{
    return t->state >= TASK_COMPLETED;
}

bool task_is_held(const struct m_task *t)
{
    return t->token && !task_is_over(t);
}

uint64_t model_said(const struct model *m, unsigned verb, uint64_t task,
                    uint64_t upto)
{
    for (uint64_t i = upto < m->size ? upto + 1 : m->size; i-- > task;)
        if (m->entries[i].verb == verb && m->entries[i].task == task &&
            m->entries[i].outcome == CHOIR_OK)
            return i;
    return 0;
}

size_t model_written_at(const struct model *m, uint64_t revision)
{
    size_t n = 0;

    for (size_t i = 0; i < m->key_count; i++) {
        const struct m_version *v = key_at(&m->keys[i], revision);

        n += v && v->revision == revision;
    }
    return n;
}

bool model_writes(const struct model *m, uint64_t from)
{
    for (size_t i = 0; i < m->key_count; i++) {
        const struct m_key *k = &m->keys[i];

        if (k->count && k->versions[k->count - 1].revision >= from)
            return true;
    }
    return false;
}

struct bytes seen_value(const struct seen *s, uint64_t slot)
{
    struct cursor c = cursor_of(s->e->payload);
    struct bytes value = {0};

    for (uint64_t i = 0; i <= slot; i++) {
        cursor_take(&c, SLOT_SALT_BYTES);
        value = cursor_take(&c, msg_slot_bytes(s->op, i));
    }
    return value;
}

uint64_t seen_slot(const struct seen *s, uint64_t slot)
{
    return model_hash(seen_value(s, slot));
}

/* --- Operation ids ------------------------------------------------------- */

static const struct m_id *id_find(const struct model *m, int agent,
                                  uint64_t text)
{
    for (size_t i = 0; i < m->id_count; i++)
        if (m->ids[i].agent == agent && m->ids[i].text == text)
            return &m->ids[i];
    return NULL;
}

static void id_keep(struct model *m, const struct seen *s, int outcome)
{
    struct bytes id = msg_b(s->op, FIELD_ID);
    uint64_t text = model_hash(id);

    if (!id.n || id_find(m, s->agent, text))
        return;
    MODEL_ROOM(m->ids, m->id_count, m->id_cap);
    m->ids[m->id_count++] = (struct m_id){s->agent, text, s->index, outcome};
}

/* --- Taking an entry ----------------------------------------------------- */

static bool in_order(struct model *m, const struct seen *s)
{
    struct m_session *x;

    if (s->agent == MODEL_BROKER || s->e->session == 0)
        return true;
    x = model_session(m, s->e->session);
    if (!x || x->agent != s->agent ||
        (x->over && s->index - s->e->position > x->ended))
        return model_says(m, "in session %lu, which is not open",
                          s->e->session);
    if (s->e->seq != x->next_seq)
        return model_says(m, "number %lu of session %lu, where %lu comes",
                          s->e->seq, x->id, x->next_seq);
    x->next_seq++;
    return true;
}

/* In a bundle that has ended its own session. */
static bool is_behind_end(const struct model *m, const struct seen *s)
{
    const struct m_session *x = model_session(m, s->e->session);

    return s->agent != MODEL_BROKER && s->e->session && x->over;
}

static int expected(struct model *m, const struct verb *v, const struct seen *s)
{
    const struct m_id *id =
        msg_b(s->op, FIELD_ID).n
            ? id_find(m, s->agent, model_hash(msg_b(s->op, FIELD_ID)))
            : NULL;

    if (is_behind_end(m, s))
        return CHOIR_INVALID;
    if (id)
        return CHOIR_REPEATED;
    return v && v->expect ? v->expect(m, s) : CHOIR_OK;
}

static void entry_keep(struct model *m, const struct seen *s)
{
    bool submits = s->op->verb == MSG_SUBMIT || s->op->verb == MSG_REQUEUE;
    uint64_t task = submits ? s->index : msg_u(s->op, FIELD_TASK);
    const struct m_task *t = model_task(m, task);

    MODEL_ROOM(m->entries, m->size, m->entry_cap);
    m->entries[m->size++] = (struct m_entry){
        .agent = s->agent,
        .session = s->e->session,
        .seq = s->e->seq,
        .outcome = s->e->outcome,
        .verb = s->op->verb,
        .slots = s->e->rows.n / SLOT_ROW_BYTES,
        .effect_slots = s->e->effect_rows.n / SLOT_ROW_BYTES,
        .reads = msg_has(s->op, FIELD_READS) ? msg_u(s->op, FIELD_READS)
                                             : UINT64_MAX,
        .value = msg_slots(s->op) ? seen_slot(s, 0) : 0,
        .task = task,
        .token = msg_u(s->op, FIELD_TOKEN),
        .state = t ? t->state : 0,
        .merges =
            key_is_list(msg_b(s->op, FIELD_KEY)) || s->op->verb == MSG_INCR,
        .leaf = entry_leaf(s->e),
    };
    frontier_add(&m->tree, m->entries[m->size - 1].leaf);
}

static bool take(struct model *m, const struct seen *s)
{
    const struct verb *v = verb_find(s->op->verb);
    int wanted;

    m->why[0] = '\0';
    if (!in_order(m, s))
        return false;
    wanted = expected(m, v, s);
    if (wanted != s->e->outcome)
        return model_says(m, "%s of agent %d: outcome %s, it should be %s",
                          message_row(s->op->verb)->name, s->agent,
                          refusal_name(s->e->outcome), refusal_name(wanted));
    if ((wanted == CHOIR_OK || wanted == CHOIR_STALE) && v && v->happen)
        v->happen(m, s);
    id_keep(m, s, wanted);
    entry_keep(m, s);
    return m->why[0] == '\0';
}

bool model_take(struct model *m, const struct entry *e)
{
    struct hash author = msg_hash(&e->bundle, FIELD_AGENT);
    struct msg op, effect;
    unsigned field;
    struct seen s = {e, &op, &effect, agent_of(m, &author), e->index, e->time};

    if (e->index != m->size)
        return model_says(m, "entry %lu, where %lu comes", e->index, m->size);
    msg_init(&effect, MSG_EFFECT);
    if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field) ||
        (e->effect.n && part_decode(MSG_EFFECT, e->effect, &effect, &field)))
        return model_says(m, "entry %lu cannot be read", e->index);
    return take(m, &s);
}

bool model_agrees(struct model *m, const struct entry *e)
{
    struct hash leaf = entry_leaf(e);

    if (e->index < m->size && hash_equal(&leaf, &m->entries[e->index].leaf))
        return true;
    return model_says(m, "entry %lu is no longer what it was", e->index);
}

void model_free(struct model *m)
{
    for (size_t i = 0; i < m->key_count; i++) {
        for (size_t j = 0; j < m->keys[i].count; j++)
            free(m->keys[i].versions[j].list);
        free(m->keys[i].versions);
    }
    free(m->tasks);
    free(m->ids);
    free(m->erased);
    free(m->pairs);
    free(m->doubts);
    free(m->messages);
    free(m->marks);
    free(m->lines);
    free(m->sessions);
    free(m->entries);
    *m = (struct model){0};
}
