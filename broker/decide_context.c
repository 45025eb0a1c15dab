/* What an agent may write, and under which conditions. */
#include "decide_private.h"
#include "proto/refusal.h"

static uint64_t current(const struct key *k)
{
    return k && !k->deleted ? k->revision : 0;
}

static int conflict(struct decision *d, struct bytes name, uint64_t revision,
                    const struct key *k)
{
    const struct agent *writer =
        k ? agent_by_number(d->s->agents, k->agent) : NULL;

    msg_set_b(d->effect, FIELD_KEY, name);
    msg_set_u(d->effect, FIELD_REVISION, revision);
    if (writer)
        msg_set_hash(d->effect, FIELD_AGENT, &writer->id);
    return CHOIR_CONFLICT;
}

/* What put and delete share: names, grants, lease, condition. */
static int write_fits(struct decision *d, const struct key **k)
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
    r = lease_fits(d);
    if (r)
        return r;
    *k = context_find(d->s->context, space, key);
    if (msg_has(d->op, FIELD_IF_REVISION) &&
        msg_u(d->op, FIELD_IF_REVISION) != current(*k))
        return conflict(d, key, current(*k), *k);
    return 0;
}

int decide_put(struct decision *d)
{
    const struct key *k;
    int r = slots_fit(d, 1, 1);

    if (!r)
        r = write_fits(d, &k);
    if (!r && k)
        msg_set_u(d->effect, FIELD_PREV, k->revision);
    return r;
}

int decide_delete(struct decision *d)
{
    const struct key *k;
    int r = write_fits(d, &k);

    if (r)
        return r;
    if (!current(k))
        return CHOIR_NOT_FOUND;
    msg_set_u(d->effect, FIELD_PREV, k->revision);
    return CHOIR_OK;
}

static int compare_fits(struct decision *d, struct bytes space,
                        const struct msg *c)
{
    bool prefix = msg_has(c, FIELD_PREFIX);
    struct bytes name = msg_b(c, prefix ? FIELD_PREFIX : FIELD_KEY);
    uint64_t named = msg_u(c, FIELD_REVISION), now;
    const struct key *k = NULL;

    if (prefix == msg_has(c, FIELD_KEY))
        return CHOIR_INVALID;
    if (!author_may(d, RIGHT_READ, space, name, (struct bytes){0}))
        return CHOIR_DENIED;
    if (prefix) {
        now = context_prefix_revision(d->s->context, space, name);
        return now > named ? conflict(d, name, now, NULL) : 0;
    }
    k = context_find(d->s->context, space, name);
    return current(k) != named ? conflict(d, name, current(k), k) : 0;
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
        if (!author_may(d, RIGHT_WRITE, space, key, (struct bytes){0}))
            return CHOIR_DENIED;
    }
    return 0;
}

/* One element per write, in order: where its key's story goes on. A delete
 * without one found nothing and changes nothing. */
void note_prevs(struct decision *d, struct bytes space)
{
    struct list writes = msg_list(d->op, FIELD_WRITES);
    uint64_t n = writes.left;
    struct msg w, item;

    while (list_next(&writes, &w)) {
        const struct key *k =
            context_find(d->s->context, space, msg_b(&w, FIELD_KEY));

        msg_init(&item, MSG_ITEM);
        if (k && (msg_has(&w, FIELD_SLOT) || !k->deleted))
            msg_set_u(&item, FIELD_PREV, k->revision);
        msg_encode(&item, d->scratch);
    }
    if (n)
        msg_set_list(d->effect, FIELD_ITEMS, n, buf_bytes(d->scratch));
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
        note_prevs(d, space);
    return r;
}
