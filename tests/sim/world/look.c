/* What agents read under their leases, and what of it they are told to have
 * moved. */
#include "tests/sim/world/world.h"

#include <string.h>

void looks_drop(struct client *a, uint64_t token)
{
    size_t left = 0;

    for (size_t i = 0; i < a->look_count; i++)
        if (a->looks[i].token != token)
            a->looks[left++] = a->looks[i];
    a->look_count = left;
}

/* The latest look at the same counts. */
void look_note(struct client *a, const struct question *q, uint64_t revision)
{
    struct look l = {.token = q->token,
                     .revision = revision,
                     .is_prefix = q->verb == MSG_LIST};
    size_t i = 0;

    memcpy(l.name, q->key, sizeof l.name);
    while (i < a->look_count && (a->looks[i].token != l.token ||
                                 a->looks[i].is_prefix != l.is_prefix ||
                                 strcmp(a->looks[i].name, l.name)))
        i++;
    if (i == LOOKS_MAX)
        return;
    a->look_count += i == a->look_count;
    a->looks[i] = l;
}

static bool look_is_at(const struct look *l, struct bytes key)
{
    return l->is_prefix ? bytes_start_with(key, bytes_text(l->name))
                        : bytes_equal(key, bytes_text(l->name));
}

/* Read by itself as well: that look counts, not the listing. */
static bool has_own_look(const struct client *a, const struct look *list,
                         const struct m_key *k)
{
    for (size_t i = 0; list->is_prefix && i < a->look_count; i++)
        if (!a->looks[i].is_prefix && a->looks[i].token == list->token &&
            !strcmp(a->looks[i].name, k->name))
            return true;
    return false;
}

/* The newest that others made of it since, below that revision; 0: nothing.
 * What was written under the lease itself has settled what came before. */
static uint64_t look_moved(const struct model *m, const struct client *a,
                           const struct look *l, uint64_t below)
{
    uint64_t newest = 0;

    for (size_t i = 0; below && i < m->key_count; i++) {
        const struct m_key *k = &m->keys[i];
        const struct m_version *v = key_at(k, below - 1);

        if (v && look_is_at(l, bytes_text(k->name)) &&
            v->revision > l->revision && v->token != l->token &&
            v->revision > newest && !has_own_look(a, l, k))
            newest = v->revision;
    }
    return newest;
}

static bool is_alive(const struct world *w, const struct client *a,
                     uint64_t token)
{
    for (size_t i = 0; i < a->held_count; i++) {
        const struct m_task *t = model_task(&w->model, a->held[i].task);

        if (a->held[i].token == token)
            return t && task_is_held(t) && t->token == token;
    }
    return false;
}

/* What was durable at the last frame was to be told by now. */
void looks_check(struct world *w, struct client *a, uint64_t durable)
{
    for (size_t i = 0; durable > a->durable && i < a->look_count; i++) {
        const struct look *l = &a->looks[i];
        uint64_t newest = look_moved(&w->model, a, l, a->durable);

        if (newest > l->told && is_alive(w, a, l->token))
            world_fail(w, "agent %d is not told that %s%s moved at %lu",
                       a->number, l->name, l->is_prefix ? "*" : "", newest);
    }
    a->durable = durable;
}

static void moved_one(struct world *w, struct client *a, const struct msg *m,
                      const struct msg *item)
{
    uint64_t revision = msg_u(item, FIELD_REVISION);
    struct bytes key = msg_b(item, FIELD_KEY);
    const struct m_version *v = key_at(model_key(&w->model, key), revision);

    if (revision >= w->model.size || !v || v->revision != revision ||
        v->deleted != (msg_u(item, FIELD_KIND) == 1) ||
        revision <= msg_u(item, FIELD_PREV))
        world_fail(w, "agent %d is told that %.*s moved from %lu to %lu",
                   a->number, (int)key.n, (const char *)key.p,
                   msg_u(item, FIELD_PREV), revision);
    if (v->token == msg_u(m, FIELD_TOKEN))
        world_fail(w, "agent %d is told of its own write at %lu", a->number,
                   revision);
    for (size_t i = 0; i < a->look_count; i++) {
        struct look *l = &a->looks[i];

        if (l->token == msg_u(m, FIELD_TOKEN) && look_is_at(l, key) &&
            revision > l->told)
            l->told = revision;
    }
}

void client_moved(struct world *w, struct client *a, const struct msg *m)
{
    struct list items = msg_list(m, FIELD_ITEMS);
    uint64_t token = msg_u(m, FIELD_TOKEN);
    struct msg item;

    if (token >= w->model.size || w->model.entries[token].verb != MSG_CLAIM)
        world_fail(w, "agent %d is told of lease %lu, which is none", a->number,
                   token);
    for (size_t i = 0; i < a->held_count; i++)
        if (a->held[i].token == token)
            a->held[i].moved = msg_u(m, FIELD_REVISION);
    while (list_next(&items, &item))
        moved_one(w, a, m, &item);
    w->out->moves++;
}

/* --- What is accepted ----------------------------------------------------- */

static struct client *author_of(struct world *w, const struct entry *e)
{
    struct hash id = msg_hash(&e->bundle, FIELD_AGENT);

    for (size_t i = 0; i < WORLD_AGENTS; i++)
        if (hash_equal(&w->agents[i].actor.id, &id))
            return &w->agents[i];
    return NULL;
}

/* Has it heard all that the broker saw it read under that lease? */
static bool knows_its_looks(const struct client *a, uint64_t token)
{
    for (size_t i = 0; i < ASKS_MAX; i++)
        if (a->questions[i].number && a->questions[i].token == token)
            return false;
    return a->look_count < LOOKS_MAX;
}

/* Is that key, below a revision, surely not what was read? Absent before and
 * after is the same, whatever came between. */
static bool has_changed(const struct look *l, const struct m_key *k,
                        uint64_t below)
{
    const struct m_version *now = key_at(k, below - 1);
    const struct m_version *then = key_at(k, l->revision);

    if (!now || now->revision <= l->revision || now->token == l->token)
        return false;
    if (!now->deleted || l->is_prefix)
        return true;
    while (now > k->versions && now->revision > l->revision)
        if ((now--)->token == l->token)
            return false;
    return then && !then->deleted;
}

/* A completion without a read set rests on what the broker saw. */
void client_judge(struct world *w, const struct entry *e)
{
    struct client *a = author_of(w, e);
    const struct m_task *t;
    unsigned field;
    struct msg op;

    if (!a || e->outcome != CHOIR_OK ||
        msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field) ||
        op.verb != MSG_COMPLETE || msg_has(&op, FIELD_READS))
        return;
    t = model_task(&w->model, msg_u(&op, FIELD_TASK));
    if (!t || t->stale == STALE_FLAG ||
        !knows_its_looks(a, msg_u(&op, FIELD_TOKEN)))
        return;
    for (size_t i = 0; i < a->look_count; i++) {
        const struct look *l = &a->looks[i];

        for (size_t j = 0; j < w->model.key_count; j++) {
            const struct m_key *k = &w->model.keys[j];

            if (l->token == msg_u(&op, FIELD_TOKEN) &&
                look_is_at(l, bytes_text(k->name)) && !has_own_look(a, l, k) &&
                has_changed(l, k, e->index))
                world_fail(w, "%lu is accepted, though %s, read at %lu, moved",
                           e->index, k->name, l->revision);
        }
    }
}
