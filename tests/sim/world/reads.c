/* What agents read: now, at a revision, or that it is no longer kept. */
#include <string.h>

#include "tests/sim/world/world.h"

/* Has it been erased as of the entry before that one? */
static bool is_erased(const struct model *m, const struct m_version *v,
                      uint64_t size)
{
    const struct m_erased *e =
        v && !v->deleted ? model_erased(m, v->revision, v->slot) : NULL;

    return e && e->index < size;
}

/* What is told instead of the value, of the state that had at least `least`
 * entries and at most `most`. */
void erased_check(struct world *w, struct client *a, struct bytes name,
                  uint64_t at, int code, uint64_t least, uint64_t most)
{
    const struct m_version *v = key_at(model_key(&w->model, name), at);

    if (code == CHOIR_ERASED ? !is_erased(&w->model, v, most)
                             : is_erased(&w->model, v, least))
        world_fail(w, "agent %d is told %s of %.*s at %lu", a->number,
                   refusal_name(code), (int)name.n, (const char *)name.p, at);
    w->out->erased += code == CHOIR_ERASED;
}

/* One version of a key as it is told, 0: absent. */
void version_check(struct world *w, struct client *a, struct bytes name,
                   uint64_t at, uint64_t revision, const struct bytes *value)
{
    const struct m_version *v = key_at(model_key(&w->model, name), at);
    uint64_t wanted = v && !v->deleted ? v->revision : 0;

    if (revision != wanted)
        world_fail(w, "agent %d reads %.*s at %lu: revision %lu, not %lu",
                   a->number, (int)name.n, (const char *)name.p, at, revision,
                   wanted);
    if (wanted && value && model_hash(*value) != v->value)
        world_fail(w, "agent %d reads another value of %.*s at %lu", a->number,
                   (int)name.n, (const char *)name.p, at);
}

static void check_list(struct world *w, struct client *a, const struct msg *m,
                       uint64_t at)
{
    struct list items = msg_list(m, FIELD_ITEMS);
    size_t there = 0, told = 0;
    struct msg item;

    for (size_t i = 0; i < w->model.key_count; i++) {
        const struct m_version *v = key_at(&w->model.keys[i], at);

        there += v && !v->deleted;
    }
    while (list_next(&items, &item)) {
        version_check(w, a, msg_b(&item, FIELD_KEY), at,
                      msg_u(&item, FIELD_REVISION), NULL);
        told++;
    }
    if (told != there)
        world_fail(w, "agent %d lists %zu keys at %lu, there are %zu",
                   a->number, told, at, there);
}

static bool had_keys(const struct model *m, const char *key, uint64_t seen)
{
    for (size_t i = 0; i < m->key_count; i++)
        if (m->keys[i].count && m->keys[i].versions[0].revision <= seen &&
            (!*key || !strcmp(m->keys[i].name, key)))
            return true;
    return false;
}

/* Before the line it says so, and never else; of what never was, it may say
 * that. True: it was said. */
static bool is_compacted(struct world *w, struct client *a,
                         const struct question *q, const struct msg *m)
{
    uint64_t seen = msg_u(m, FIELD_SEEN), line = model_line(&w->model, seen);
    bool is_past = q->at < line && had_keys(&w->model, q->key, seen);
    int code = (int)msg_u(m, FIELD_OUTCOME);

    if (is_past != (code == CHOIR_COMPACTED) ||
        (is_past && msg_u(m, FIELD_REVISION) != line))
        world_fail(w, "agent %d is told %s, %lu of %s at %lu: the line is %lu",
                   a->number, refusal_name(code), msg_u(m, FIELD_REVISION),
                   q->key, q->at, line);
    w->out->compacted += is_past;
    return is_past;
}

void read_check(struct world *w, struct client *a, const struct question *q,
                const struct msg *m)
{
    uint64_t seen = msg_u(m, FIELD_SEEN);
    uint64_t at = q->at < seen ? q->at : seen;
    int code = (int)msg_u(m, FIELD_OUTCOME);
    struct bytes value = msg_b(m, FIELD_VALUE);

    if (seen >= w->model.size || seen < q->floor)
        world_fail(w, "agent %d reads at %lu: it knew of %lu, durable are %lu",
                   a->number, seen, q->floor, w->model.size);
    client_knows(a, seen);
    w->out->reads++;
    if (code == CHOIR_FUTURE && q->at != UINT64_MAX && q->at > seen)
        return;
    if (code == CHOIR_FENCED && q->token)
        return;
    if (is_compacted(w, a, q, m))
        return;
    if (q->verb == MSG_GET)
        erased_check(w, a, bytes_text(q->key), at, code, seen + 1, seen + 1);
    if (code && code != CHOIR_NOT_FOUND && code != CHOIR_ERASED)
        world_fail(w, "agent %d reads: %s", a->number, refusal_name(code));
    if (q->verb == MSG_LIST)
        check_list(w, a, m, at);
    else
        version_check(w, a, bytes_text(q->key), at,
                      code == CHOIR_NOT_FOUND ? 0 : msg_u(m, FIELD_REVISION),
                      code ? NULL : &value);
    if (q->token)
        look_note(a, q, seen);
}
