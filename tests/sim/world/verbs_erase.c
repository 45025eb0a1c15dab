/* Rows about payloads that must no longer be shown, and that leave the disk. */
#include "tests/sim/world/verbs.h"

#include <stdlib.h>

#include "broker/changes.h"

enum { ITEMS_MAX = 3, HISTORY = 1, AGENT = 2, ENTRY = 3 };

/* --- What is erased ------------------------------------------------------- */

const struct m_erased *model_erased(const struct model *m, uint64_t revision,
                                    uint64_t slot)
{
    for (size_t i = 0; i < m->erased_count; i++)
        if (m->erased[i].revision == revision && m->erased[i].slot == slot)
            return &m->erased[i];
    return NULL;
}

bool version_is_erased(const struct model *m, const struct m_version *v)
{
    return v && model_erased(m, v->revision, v->slot) != NULL;
}

static void erased_add(struct model *m, uint64_t revision, uint64_t slot,
                       uint64_t index)
{
    if (model_erased(m, revision, slot))
        return;
    if (m->erased_count == m->erased_cap) {
        m->erased_cap = m->erased_cap ? 2 * m->erased_cap : 64;
        m->erased = realloc(m->erased, m->erased_cap * sizeof *m->erased);
        if (!m->erased)
            abort();
    }
    m->erased[m->erased_count++] = (struct m_erased){revision, slot, index};
}

static void items_erase(struct model *m, const struct msg *from, uint64_t index)
{
    struct list items = msg_list(from, FIELD_ITEMS);
    struct msg item;

    while (list_next(&items, &item))
        erased_add(m, msg_u(&item, FIELD_REVISION), msg_u(&item, FIELD_SLOT),
                   index);
}

/* --- Ordering ------------------------------------------------------------- */

/* A version of that key, mostly; its newest now and then. */
static uint64_t any_version(const struct knowledge *k, const char *key)
{
    struct m_key *known =
        model_key((struct model *)(uintptr_t)k->m, bytes_text(key));

    if (!known->count || !k->any(20))
        return 1 + k->any(k->m->size + 2);
    return known->versions[known->count - 1 - k->any(known->count)].revision;
}

static void draft_items(struct draft *d, const struct knowledge *k)
{
    uint64_t n = 1 + k->any(ITEMS_MAX);
    struct msg item;

    for (uint64_t i = 0; i < n; i++) {
        const char *key = any_key(k);

        msg_init(&item, MSG_ITEM);
        msg_set_text(&item, FIELD_KEY, key);
        msg_set_u(&item, FIELD_REVISION, any_version(k, key));
        msg_encode(&item, &d->lists[0]);
    }
    msg_set_list(&d->m, FIELD_ITEMS, n, buf_bytes(&d->lists[0]));
}

static void draft_named(struct draft *d, const struct knowledge *k)
{
    const char *key = any_key(k);

    if (k->any(3) == 0) {
        draft_items(d, k);
        return;
    }
    msg_set_text(&d->m, FIELD_KEY, key);
    if (k->any(4))
        msg_set_u(&d->m, FIELD_REVISION, any_version(k, key));
}

/* An entry that nothing was merged from; or one that is not there. */
static bool draft_entry(struct draft *d, const struct knowledge *k)
{
    uint64_t revision = k->any(k->m->size);

    if (k->m->entries[revision].merges)
        return false;
    if (k->any(20) == 0)
        revision += 1000000;
    msg_set_u(&d->m, FIELD_REVISION, revision);
    msg_set_u(&d->m, FIELD_KIND, ENTRY);
    return true;
}

/* All that somebody said; what others made of it stays. */
static bool draft_agent(struct draft *d, const struct knowledge *k)
{
    msg_set_hash(&d->m, FIELD_AGENT,
                 &k->m->agents[k->any((uint64_t)k->m->agent_count)]);
    msg_set_u(&d->m, FIELD_KIND, AGENT);
    msg_set_u(&d->m, FIELD_DERIVED, 0);
    if (k->any(2))
        msg_set_u(&d->m, FIELD_REVISION, k->any(k->m->size));
    return true;
}

static bool draft_erase(struct draft *d, const struct knowledge *k)
{
    if (!model_may(k->m, k->agent, RIGHT_ADMIN) && k->any(20))
        return false;
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    if (k->any(2))
        msg_set_u(&d->m, FIELD_DERIVED, k->any(2));
    draft_id(d, k);
    switch (k->any(5)) {
    case 0: return k->any(2) ? draft_entry(d, k) : draft_agent(d, k);
    case 1:
        if (k->any(4)) /* it takes a lot */
            return false;
        msg_set_text(&d->m, FIELD_KEY, any_key(k));
        msg_set_u(&d->m, FIELD_KIND, HISTORY);
        if (k->any(4))
            msg_set_u(&d->m, FIELD_REVISION, k->any(k->m->size));
        return true;
    default: draft_named(d, k); return true;
    }
}

/* The version of the key, which is the next item that the effect tells. */
static int one_named(struct model *m, const struct seen *s, struct bytes name,
                     uint64_t revision, struct list *told)
{
    const struct m_key *k = model_key(m, name);
    const struct m_version *v = revision   ? key_at(k, revision)
                                : k->count ? &k->versions[k->count - 1]
                                           : NULL;
    struct msg item;

    if (!v || v->deleted || (revision && v->revision != revision))
        return CHOIR_NOT_FOUND;
    if (s->e->outcome == CHOIR_OK &&
        (!list_next(told, &item) ||
         msg_u(&item, FIELD_REVISION) != v->revision ||
         msg_u(&item, FIELD_SLOT) != v->slot))
        model_says(m, "it erases something else of %s than %lu", k->name,
                   v->revision);
    return 0;
}

static int named(struct model *m, const struct seen *s)
{
    struct list items = msg_list(s->op, FIELD_ITEMS);
    struct list told = msg_list(s->effect, FIELD_ITEMS);
    struct msg item;
    int r = 0;

    if (msg_has(s->op, FIELD_KEY))
        r = one_named(m, s, msg_b(s->op, FIELD_KEY),
                      msg_u(s->op, FIELD_REVISION), &told);
    while (!r && list_next(&items, &item))
        r = one_named(m, s, msg_b(&item, FIELD_KEY),
                      msg_u(&item, FIELD_REVISION), &told);
    if (!r && told.left)
        model_says(m, "it erases %lu more than was said", told.left);
    return r;
}

static int expect_erase(struct model *m, const struct seen *s)
{
    uint64_t kind = msg_u(s->op, FIELD_KIND);

    if (!model_may(m, s->agent, RIGHT_ADMIN))
        return CHOIR_DENIED;
    if (!kind)
        return named(m, s);
    if (kind == HISTORY && !model_key(m, msg_b(s->op, FIELD_KEY))->count)
        return CHOIR_NOT_FOUND;
    return msg_has(s->op, FIELD_REVISION) &&
                   msg_u(s->op, FIELD_REVISION) >= s->index
               ? CHOIR_INVALID
               : CHOIR_OK;
}

static void order_keep(struct model *m, const struct seen *s)
{
    struct m_order o = {
        .index = s->index,
        .kind = msg_u(s->op, FIELD_KIND),
        .end = msg_has(s->op, FIELD_REVISION) ? msg_u(s->op, FIELD_REVISION) + 1
                                              : s->index,
    };

    if (o.kind == AGENT)
        o.agent = agent_named(m, s);
    if (o.kind == HISTORY)
        o.key = model_key(m, msg_b(s->op, FIELD_KEY));
    if (m->order_count == MODEL_ORDERS)
        abort();
    m->orders[m->order_count++] = o;
}

static void erase_ordered(struct model *m, const struct seen *s)
{
    if (msg_u(s->op, FIELD_KIND))
        order_keep(m, s);
    else
        items_erase(m, s->effect, s->index);
}

/* --- Carrying it out ------------------------------------------------------ */

static bool is_ordered(const struct model *m, const struct m_order *o,
                       uint64_t revision, uint64_t slot)
{
    const struct m_entry *e = &m->entries[revision];
    const struct m_version *v;

    if (revision >= o->end)
        return false;
    if (o->kind != HISTORY)
        return (o->kind == ENTRY ? revision == o->end - 1
                                 : e->agent == o->agent) &&
               e->agent != MODEL_BROKER && slot != e->reads &&
               slot < (slot < SLOT_EFFECT ? e->slots
                                          : SLOT_EFFECT + e->effect_slots);
    v = key_at(o->key, revision);
    return v && v->revision == revision && !v->deleted && v->slot == slot;
}

static void check_entry(struct model *m, uint64_t revision)
{
    const struct m_entry *e = &m->entries[revision];

    for (size_t i = 0; i < e->slots; i++)
        if (i != e->reads && !model_erased(m, revision, i))
            model_says(m, "slot %zu of %lu was to be erased", i, revision);
}

/* Is it said of the space, or of a task that there was? */
static bool is_placed(const struct model *m, const struct m_entry *e)
{
    return !e->task || model_task_ever(m, e->task);
}

/* All of it has been said. */
static void check_all(struct model *m, const struct m_order *o)
{
    for (size_t i = 0; o->kind == HISTORY && i < o->key->count; i++) {
        const struct m_version *v = &o->key->versions[i];

        if (v->revision < o->end && !v->deleted &&
            !model_erased(m, v->revision, v->slot))
            model_says(m, "%s at %lu was to be erased", o->key->name,
                       v->revision);
    }
    if (o->kind == ENTRY)
        check_entry(m, o->end - 1);
    for (uint64_t i = 0; o->kind == AGENT && i < o->end; i++)
        if (m->entries[i].agent == o->agent && is_placed(m, &m->entries[i]))
            check_entry(m, i);
}

static struct m_order *order_find(struct model *m, uint64_t index)
{
    for (size_t i = 0; i < m->order_count; i++)
        if (m->orders[i].index == index)
            return &m->orders[i];
    return NULL;
}

static int expect_erased(struct model *m, const struct seen *s)
{
    const struct m_order *o = order_find(m, msg_u(s->op, FIELD_REVISION));
    struct list items = msg_list(s->op, FIELD_ITEMS);
    struct msg item;

    if (!o) {
        model_says(m, "nobody ordered it to erase that");
        return CHOIR_INVALID;
    }
    while (list_next(&items, &item))
        if (!is_ordered(m, o, msg_u(&item, FIELD_REVISION),
                        msg_u(&item, FIELD_SLOT)))
            model_says(m, "nobody ordered it to erase slot %lu of %lu",
                       msg_u(&item, FIELD_SLOT), msg_u(&item, FIELD_REVISION));
    return CHOIR_OK;
}

static void erased(struct model *m, const struct seen *s)
{
    struct m_order *o = order_find(m, msg_u(s->op, FIELD_REVISION));

    items_erase(m, s->op, s->index);
    if (msg_u(s->op, FIELD_KIND) != 1)
        return;
    check_all(m, o);
    *o = m->orders[--m->order_count];
}

const struct verb verbs_erase[] = {
    {MSG_ERASE, 3, draft_erase, expect_erase, erase_ordered},
    {MSG_ERASED, 0, NULL, expect_erased, erased},
    {0, 0, NULL, NULL, NULL},
};
