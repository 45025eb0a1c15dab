/* Rows of the verbs that write to the shared context. */
#include "tests/sim/world/verbs.h"

enum { TTL_MS = 5000 };

static bool draft_put(struct draft *d, const struct knowledge *k)
{
    const char *key = any_key(k);
    bool list = k->any(4) == 0;

    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    if (list) {
        draft_list(d, k);
    } else {
        msg_set_text(&d->m, FIELD_KEY, key);
        draft_value(d, k);
    }
    if (!list && k->any(2))
        msg_set_u(&d->m, FIELD_IF_REVISION,
                  k->any(6)
                      ? key_revision(model_key((struct model *)(uintptr_t)k->m,
                                               bytes_text(key)))
                      : k->any(k->m->size));
    if (k->any(3) == 0)
        msg_set_u(&d->m, FIELD_TTL_MS,
                  k->any(30)  ? 1 + k->any(TTL_MS)
                  : k->any(2) ? 0
                              : LIMIT_TTL_MS + 1);
    draft_id(d, k);
    if (k->any(6) == 0)
        draft_lease(d, k);
    return true;
}

static bool draft_delete(struct draft *d, const struct knowledge *k)
{
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&d->m, FIELD_KEY,
                 k->any(4)   ? any_key(k)
                 : k->any(2) ? "l/1"
                             : "n/1");
    draft_id(d, k);
    return true;
}

static bool draft_txn(struct draft *d, const struct knowledge *k)
{
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    draft_writes(d, k);
    draft_compares(d, k);
    draft_id(d, k);
    if (k->any(6) == 0)
        draft_lease(d, k);
    return true;
}

int seen_write(struct model *m, const struct seen *s)
{
    if (!model_may(m, s->agent, RIGHT_WRITE) ||
        (msg_has(s->op, FIELD_IF_REVISION) &&
         !model_may(m, s->agent, RIGHT_READ)))
        return CHOIR_DENIED;
    return msg_has(s->op, FIELD_TASK) && !seen_held(m, s) ? CHOIR_FENCED : 0;
}

static int ttl_fits(const struct seen *s)
{
    uint64_t ttl = msg_u(s->op, FIELD_TTL_MS);

    if (!msg_has(s->op, FIELD_TTL_MS))
        return 0;
    return ttl > LIMIT_TTL_MS ? CHOIR_OVER_LIMIT : ttl ? 0 : CHOIR_INVALID;
}

static int expect_put(struct model *m, const struct seen *s)
{
    int r = seen_values(m, s);

    if (!r)
        r = ttl_fits(s);
    if (!r)
        r = seen_write(m, s);
    if (r)
        return r;
    return key_is_list(msg_b(s->op, FIELD_KEY)) ? list_expect(m, s)
                                                : seen_compares(m, s);
}

static void put(struct model *m, const struct seen *s)
{
    if (key_is_list(msg_b(s->op, FIELD_KEY)))
        list_put(m, s);
    else
        write_all(m, s);
}

static int expect_delete(struct model *m, const struct seen *s)
{
    int r = seen_write(m, s);

    if (!r && !key_revision(model_key(m, msg_b(s->op, FIELD_KEY))))
        r = CHOIR_NOT_FOUND;
    return r;
}

static int expect_txn(struct model *m, const struct seen *s)
{
    int r = seen_values(m, s);

    if (!r)
        r = seen_writes(m, s);
    if (!r && msg_has(s->op, FIELD_TASK) && !seen_held(m, s))
        r = CHOIR_FENCED;
    return r ? r : seen_compares(m, s);
}

/* --- Ends ------------------------------------------------------------------ */

/* The broker's own: only of what is there, and not before its time. */
static int expect_lapse(struct model *m, const struct seen *s)
{
    const struct m_key *k = model_key(m, msg_b(s->op, FIELD_KEY));
    uint64_t revision = key_revision(k);

    if (!revision || revision != msg_u(s->op, FIELD_REVISION))
        model_says(m, "it ends %s at %lu, it is at %lu", k->name,
                   msg_u(s->op, FIELD_REVISION), revision);
    else if (!k->versions[k->count - 1].due)
        model_says(m, "it ends %s, which does not end", k->name);
    else if (k->versions[k->count - 1].due > s->time)
        model_says(m, "it ends %s %lu us early", k->name,
                   k->versions[k->count - 1].due - s->time);
    return m->why[0] ? CHOIR_INVALID : CHOIR_OK;
}

static void lapsed(struct model *m, const struct seen *s)
{
    key_write(model_key(m, msg_b(s->op, FIELD_KEY)),
              (struct m_version){.revision = s->index, .deleted = true});
}

const struct m_key *model_overdue(const struct model *m, uint64_t time)
{
    for (size_t i = 0; i < m->key_count; i++) {
        const struct m_key *k = &m->keys[i];
        const struct m_version *v =
            k->count ? &k->versions[k->count - 1] : NULL;

        if (v && !v->deleted && v->due && v->due <= time)
            return k;
    }
    return NULL;
}

/* --- Counters ------------------------------------------------------------- */

static bool draft_incr(struct draft *d, const struct knowledge *k)
{
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&d->m, FIELD_KEY, k->any(2) ? "n/1" : "n/2");
    d->texts[0][0] = (char)k->any(128); /* msgpack: a small number is itself */
    d->values[d->slots++] = bytes_of(d->texts[0], 1);
    draft_id(d, k);
    if (k->any(6) == 0)
        draft_lease(d, k);
    return true;
}

static int expect_incr(struct model *m, const struct seen *s)
{
    const struct m_key *k = model_key(m, msg_b(s->op, FIELD_KEY));
    int r = seen_values(m, s);

    if (!r)
        r = seen_write(m, s);
    if (!r && key_revision(k) &&
        version_is_erased(m, &k->versions[k->count - 1]))
        r = seen_conflict(m, s, msg_b(s->op, FIELD_KEY), key_revision(k));
    return r;
}

/* As msgpack has it, in the shortest way. */
static uint64_t counter_hash(uint64_t n)
{
    uint8_t b[5] = {0xce, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
                    (uint8_t)(n >> 8), (uint8_t)n};

    if (n < 128)
        return model_hash(bytes_of(b + 4, 1));
    b[3] = n < 256 ? 0xcc : b[3];
    if (n < 256)
        return model_hash(bytes_of(b + 3, 2));
    b[2] = n < 65536 ? 0xcd : b[2];
    return model_hash(n < 65536 ? bytes_of(b + 2, 3) : bytes_of(b, 5));
}

static void counted(struct model *m, const struct seen *s)
{
    struct m_key *k = model_key(m, msg_b(s->op, FIELD_KEY));

    if (!key_revision(k))
        k->counter = 0; /* it was deleted */
    k->counter += seen_value(s, 0).p[0];
    key_write(k, (struct m_version){
                     .revision = s->index,
                     .value = counter_hash(k->counter),
                     .slot = SLOT_EFFECT,
                     .token = msg_u(s->op, FIELD_TOKEN),
                 });
}

const struct verb verbs_context[] = {
    {MSG_PUT, 30, draft_put, expect_put, put},
    {MSG_LAPSE, 0, NULL, expect_lapse, lapsed},
    {MSG_DELETE, 5, draft_delete, expect_delete, write_all},
    {MSG_INCR, 6, draft_incr, expect_incr, counted},
    {MSG_TXN, 15, draft_txn, expect_txn, write_all},
    {0, 0, NULL, NULL, NULL},
};
