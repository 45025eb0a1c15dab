/* What an agent may write, and under which conditions. */
#include "decide_private.h"
#include "proto/refusal.h"

/* Who may not read learns that there is one, and no more. */
int conflict(struct decision *d, struct bytes space, struct bytes name,
             uint64_t revision, const struct key *k, const char *why)
{
    const struct agent *writer =
        k ? agent_by_number(d->s->agents, k->agent) : NULL;

    msg_set_b(d->effect, FIELD_KEY, name);
    if (why)
        msg_set_text(d->effect, FIELD_REASON, why);
    if (!author_may(d, RIGHT_READ, space, name, (struct bytes){0}))
        return CHOIR_CONFLICT;
    msg_set_u(d->effect, FIELD_REVISION, revision);
    if (writer)
        msg_set_hash(d->effect, FIELD_AGENT, &writer->id);
    return CHOIR_CONFLICT;
}

int key_fits(struct decision *d)
{
    struct bytes space = msg_b(d->op, FIELD_SPACE);
    struct bytes key = msg_b(d->op, FIELD_KEY), none = {0};
    int r = names_fit(space, key);

    if (r)
        return r;
    if (!author_may(d, RIGHT_WRITE, space, key, none) ||
        (msg_has(d->op, FIELD_IF_REVISION) &&
         !author_may(d, RIGHT_READ, space, key, none)))
        return CHOIR_DENIED;
    return lease_fits(d);
}

/* What put and delete share. */
static int one_write(struct decision *d, struct decide_write *w)
{
    int r = key_fits(d);

    if (r)
        return r;
    *w = (struct decide_write){
        .space = msg_b(d->op, FIELD_SPACE),
        .key = msg_b(d->op, FIELD_KEY),
        .type = msg_b(d->op, FIELD_TYPE),
        .deletes = d->op->verb == MSG_DELETE,
        .has_base = msg_has(d->op, FIELD_IF_REVISION),
        .base = msg_u(d->op, FIELD_IF_REVISION),
    };
    w->k = context_find(d->s->context, w->space, w->key);
    return write_combine(d, w);
}

static int ttl_fits(struct decision *d)
{
    uint64_t ttl = msg_u(d->op, FIELD_TTL_MS);

    if (!msg_has(d->op, FIELD_TTL_MS))
        return 0;
    if (ttl > LIMIT_TTL_MS)
        return over_limit(d, "ttl_ms", LIMIT_TTL_MS, ttl);
    return ttl ? 0 : CHOIR_INVALID;
}

int decide_put(struct decision *d)
{
    struct decide_write w;
    int r = slots_fit(d, 1, 1);

    if (!r)
        r = ttl_fits(d);

    if (!r)
        r = one_write(d, &w);
    if (r)
        return r;
    write_note(&w, d->effect);
    slots_note(d);
    return 0;
}

int decide_delete(struct decision *d)
{
    struct decide_write w;
    int r = one_write(d, &w);

    if (r)
        return r;
    if (!key_current(w.k))
        return CHOIR_NOT_FOUND;
    write_note(&w, d->effect);
    return CHOIR_OK;
}

/* The broker's word that a key's time is up. */
int decide_lapse(struct decision *d)
{
    struct bytes space = msg_b(d->op, FIELD_SPACE);
    struct bytes name = msg_b(d->op, FIELD_KEY);
    const struct key *k = context_find(d->s->context, space, name);
    uint64_t revision = msg_u(d->op, FIELD_REVISION);

    if (key_current(k) != revision || !k->lapses ||
        ttl_due(context_ttls(d->s->context), space, name) > d->f->time)
        return CHOIR_INVALID;
    msg_set_u(d->effect, FIELD_PREV, revision);
    return CHOIR_OK;
}

static int compare_fits(struct decision *d, struct bytes space,
                        const struct msg *c)
{
    bool prefix = msg_has(c, FIELD_PREFIX);
    struct bytes name = msg_b(c, prefix ? FIELD_PREFIX : FIELD_KEY);
    uint64_t named = msg_u(c, FIELD_REVISION), now;
    const struct key *k = NULL;

    if (prefix == msg_has(c, FIELD_KEY) || msg_has(c, FIELD_SPACE) ||
        msg_has(c, FIELD_SEEN)) /* these are for read sets */
        return CHOIR_INVALID;
    if (!author_may(d, RIGHT_READ, space, name, (struct bytes){0}))
        return CHOIR_DENIED;
    if (prefix) {
        now = context_prefix_revision(d->s->context, space, name);
        return now > named ? conflict(d, space, name, now, NULL, NULL) : 0;
    }
    k = context_find(d->s->context, space, name);
    return key_current(k) != named
               ? conflict(d, space, name, key_current(k), k, NULL)
               : 0;
}

int compares_fit(struct decision *d, struct bytes space)
{
    struct list compares = msg_list(d->op, FIELD_COMPARES);
    struct msg c;
    int r = 0;

    if (compares.left > LIMIT_TXN_COMPARES)
        return over_limit(d, "txn_compares", LIMIT_TXN_COMPARES, compares.left);
    while (!r && list_next(&compares, &c))
        r = compare_fits(d, space, &c);
    return r;
}

/* Is the key written once only, up to this write? */
static bool first_of_its_key(const struct msg *op, uint64_t n, struct bytes key)
{
    struct list writes = msg_list(op, FIELD_WRITES);
    struct msg w;

    while (n-- && list_next(&writes, &w)) {
        if (bytes_equal(msg_b(&w, FIELD_KEY), key))
            return false;
    }
    return true;
}

int writes_fit(struct decision *d, struct bytes space)
{
    struct list writes = msg_list(d->op, FIELD_WRITES);
    struct bytes none = {0};
    struct msg w;

    if (writes.left > LIMIT_TXN_WRITES)
        return over_limit(d, "txn_writes", LIMIT_TXN_WRITES, writes.left);
    for (uint64_t i = 0; list_next(&writes, &w); i++) {
        struct bytes key = msg_b(&w, FIELD_KEY);

        if (names_fit(space, key) ||
            (msg_has(&w, FIELD_SLOT) &&
             msg_u(&w, FIELD_SLOT) >= msg_slots(d->op)) ||
            !first_of_its_key(d->op, i, key))
            return CHOIR_INVALID;
        if (!author_may(d, RIGHT_WRITE, space, key, none) ||
            (msg_has(&w, FIELD_BASE) &&
             !author_may(d, RIGHT_READ, space, key, none)))
            return CHOIR_DENIED;
    }
    return 0;
}

/* One element per write, in order: where its key's story goes on. A delete
 * without one found nothing and changes nothing. */
/* A compare of the key itself is as good as a base: it holds. */
static bool is_compared(const struct decision *d, struct bytes key,
                        uint64_t *revision)
{
    struct list compares = msg_list(d->op, FIELD_COMPARES);
    struct msg c;

    while (list_next(&compares, &c)) {
        if (msg_has(&c, FIELD_KEY) && bytes_equal(msg_b(&c, FIELD_KEY), key)) {
            *revision = msg_u(&c, FIELD_REVISION);
            return true;
        }
    }
    return false;
}

static int writes_one(struct decision *d, const struct msg *w,
                      struct decide_write *write)
{
    write->key = msg_b(w, FIELD_KEY);
    write->type = msg_b(w, FIELD_TYPE);
    write->deletes = !msg_has(w, FIELD_SLOT);
    write->slot = (size_t)msg_u(w, FIELD_SLOT);
    write->has_base = msg_has(w, FIELD_BASE);
    write->base = msg_u(w, FIELD_BASE);
    write->merged = false;
    write->k = context_find(d->s->context, write->space, write->key);
    if (!write->has_base)
        write->has_base = is_compared(d, write->key, &write->base);
    return write_combine(d, write);
}

int writes_combine(struct decision *d, struct bytes space)
{
    struct list writes = msg_list(d->op, FIELD_WRITES);
    struct decide_write write = {.space = space};
    uint64_t n = writes.left;
    struct msg w, item;

    for (; list_next(&writes, &w); write.number++) {
        int r = writes_one(d, &w, &write);

        if (r)
            return r;
        msg_init(&item, MSG_ITEM);
        write_note(&write, &item);
        msg_encode(&item, d->scratch);
    }
    if (n)
        msg_set_list(d->effect, FIELD_ITEMS, n, buf_bytes(d->scratch));
    slots_note(d);
    return 0;
}

int decide_txn(struct decision *d)
{
    struct bytes space = msg_b(d->op, FIELD_SPACE);
    int r = msg_u(d->op, FIELD_WRITES) ? 0 : CHOIR_INVALID;

    if (!r)
        r = slots_fit(d, 0, LIMIT_SLOTS);
    if (!r)
        r = writes_fit(d, space);
    if (!r)
        r = lease_fits(d);
    if (!r)
        r = compares_fit(d, space);
    if (!r)
        r = writes_combine(d, space);
    return r;
}
