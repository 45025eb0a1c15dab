/* Which payloads an erasure takes: those of the versions it names and, unless
 * told not to, those that were made from them. Heads stay, so that all of it
 * can be found again from the record. */
#include <errno.h>
#include <stdlib.h>

#include "decide_private.h"
#include "proto/refusal.h"

enum { LOOK_BYTES = 16384 }; /* what looking at a version counts as */

/* One version of a key, from the newest down to the one that is named. */
struct version {
    uint64_t revision;
    bool gone;
    struct decide_version is;
};

struct erasing_names {
    struct decision *d;
    struct bytes space, key;
    uint64_t count; /* of items so far */
};

/* --- What is put into the effect ------------------------------------------ */

static void item_put(struct erasing_names *x, const struct version *v,
                     size_t slot, bool derived)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    if (derived)
        msg_set_b(&item, FIELD_KEY, x->key);
    msg_set_u(&item, FIELD_REVISION, v->revision);
    msg_set_u(&item, FIELD_SLOT, slot);
    msg_encode(&item, x->d->scratch);
    x->count++;
}

/* The value, and what was said when it was merged: each shows the other. */
static int version_put(struct erasing_names *x, const struct version *v,
                       bool derived)
{
    item_put(x, v, v->is.slot, derived);
    if (v->is.merged)
        item_put(x, v, v->is.operand, derived);
    return x->d->scratch->n > ERASED_BYTES_MAX
               ? over_limit(x->d, "erased_bytes", ERASED_BYTES_MAX,
                            x->d->scratch->n)
               : 0;
}

/* --- Versions ------------------------------------------------------------- */

static int not_there(struct erasing_names *x, uint64_t revision)
{
    msg_set_b(x->d->effect, FIELD_KEY, x->key);
    if (revision)
        msg_set_u(x->d->effect, FIELD_REVISION, revision);
    return CHOIR_NOT_FOUND;
}

static int look(struct erasing_names *x, uint64_t revision, struct version *v)
{
    struct decide_values *values = x->d->f->values;

    values->merged += LOOK_BYTES;
    if (values->merged > MERGE_BYTES_MAX)
        return over_limit(x->d, "merge_bytes", MERGE_BYTES_MAX, values->merged);
    *v = (struct version){.revision = revision};
    return values->version(values->arg, x->space, x->key, revision, &v->is,
                           NULL);
}

static struct version *chain_find(struct version *chain, size_t n,
                                  uint64_t revision)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (chain[mid].revision > revision)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && chain[low].revision == revision ? &chain[low] : NULL;
}

static bool is_gone(struct version *chain, size_t n, uint64_t revision)
{
    const struct version *v = revision ? chain_find(chain, n, revision) : NULL;

    return v && v->gone;
}

/* From the oldest on: what came of one that goes, goes. */
static int chain_put(struct erasing_names *x, struct version *chain, size_t n)
{
    int r = 0;

    for (size_t i = n - 1; !r && i-- > 0;) {
        struct version *v = &chain[i];

        v->gone = v->is.merged && (is_gone(chain, n, v->is.prev) ||
                                   is_gone(chain, n, v->is.base));
        if (v->gone)
            r = version_put(x, v, true);
    }
    return r;
}

/* All versions from the newest to `last`, which is there. */
static int derived_put(struct erasing_names *x, const struct key *k,
                       const struct version *last)
{
    struct buf *chain = &x->d->f->values->value;
    uint64_t at = k->revision;
    struct version v;
    int r = 0;

    buf_clear(chain);
    while (!r && at > last->revision) {
        r = look(x, at, &v);
        if (!r)
            buf_put(chain, &v, sizeof v);
        at = v.is.prev;
    }
    if (r || at != last->revision)
        return r ? r : not_there(x, last->revision);
    v = *last;
    v.gone = true;
    buf_put(chain, &v, sizeof v);
    return chain->failed ? -ENOMEM
                         : chain_put(x, (struct version *)(void *)chain->p,
                                     chain->n / sizeof v);
}

/* revision 0: the newest. */
static int erase_one(struct erasing_names *x, uint64_t revision)
{
    const struct decision *d = x->d;
    const struct key *k = context_find(d->s->context, x->space, x->key);
    struct version v;
    int r;

    if (!k || revision > k->revision)
        return not_there(x, revision);
    r = look(x, revision ? revision : k->revision, &v);
    if (r == CHOIR_NOT_FOUND || (!r && v.is.deleted))
        return not_there(x, revision);
    if (!r)
        r = version_put(x, &v, false);
    if (r || v.revision == k->revision ||
        (msg_has(d->op, FIELD_DERIVED) && !msg_u(d->op, FIELD_DERIVED)))
        return r;
    return derived_put(x, k, &v);
}

/* --- The operation -------------------------------------------------------- */

static bool may_erase(const struct decision *d, struct bytes space,
                      struct bytes key)
{
    return author_may(d, RIGHT_ADMIN, space, key, (struct bytes){0});
}

/* All of what it names, before anything of it is looked at. */
static int named_fit(const struct decision *d, struct bytes space)
{
    struct list items = msg_list(d->op, FIELD_ITEMS);
    struct msg item;

    while (list_next(&items, &item)) {
        struct bytes key = msg_b(&item, FIELD_KEY);

        if (key.n == 0 || msg_u(&item, FIELD_REVISION) == 0)
            return CHOIR_INVALID;
        if (!may_erase(d, space, key))
            return CHOIR_DENIED;
    }
    return 0;
}

static int erase_named(struct erasing_names *x)
{
    struct list items = msg_list(x->d->op, FIELD_ITEMS);
    struct msg item;
    int r = 0;

    while (!r && list_next(&items, &item)) {
        x->key = msg_b(&item, FIELD_KEY);
        r = erase_one(x, msg_u(&item, FIELD_REVISION));
    }
    return r;
}

/* --- By rule -------------------------------------------------------------- */

static bool has_only(const struct msg *m, field_mask may)
{
    const field_mask every = FIELD_BIT(SPACE) | FIELD_BIT(KIND) |
                             FIELD_BIT(DERIVED) | FIELD_BIT(REASON) |
                             FIELD_BIT(ID) | FIELD_BIT(REVISION);

    return !(m->has & ~(every | may));
}

/* What it is of is there, and its author may have it erased. */
static int rule_fits(const struct decision *d, uint64_t kind)
{
    struct bytes space = msg_b(d->op, FIELD_SPACE), none = {0};
    struct bytes key = msg_b(d->op, FIELD_KEY);
    struct hash agent = msg_hash(d->op, FIELD_AGENT);
    bool all = bytes_equal(space, bytes_text("*"));

    switch (kind) {
    case ERASE_HISTORY:
        if (all || key.n == 0 || !has_only(d->op, FIELD_BIT(KEY)))
            return CHOIR_INVALID;
        if (!may_erase(d, space, key))
            return CHOIR_DENIED;
        return context_find(d->s->context, space, key) ? 0 : CHOIR_NOT_FOUND;
    case ERASE_AGENT:
        if (!has_only(d->op, FIELD_BIT(AGENT)) || !msg_has(d->op, FIELD_AGENT))
            return CHOIR_INVALID;
        if (!may_erase(d, space, none))
            return CHOIR_DENIED;
        return agent_by_id(d->s->agents, &agent) ? 0 : CHOIR_NOT_FOUND;
    case ERASE_ENTRY:
        if (!has_only(d->op, 0) || !msg_has(d->op, FIELD_REVISION))
            return CHOIR_INVALID;
        return may_erase(d, space, none) ? 0 : CHOIR_DENIED;
    default: return CHOIR_INVALID;
    }
}

/* The broker carries it out, entry by entry. */
static int erase_by_rule(struct decision *d)
{
    size_t n = erasings_count(d->s->erasings);
    int r = rule_fits(d, msg_u(d->op, FIELD_KIND));

    if (r)
        return r;
    if (msg_has(d->op, FIELD_REVISION) &&
        msg_u(d->op, FIELD_REVISION) >= d->f->index)
        return CHOIR_INVALID;
    return n < ERASINGS_MAX ? 0 : over_limit(d, "erasures", ERASINGS_MAX, n);
}

/* A slice: the broker's own word, one after the other. What was made from what
 * goes may have come later than the order. */
int decide_erased(struct decision *d)
{
    const struct erasing *x =
        erasing_find(d->s->erasings, msg_u(d->op, FIELD_REVISION));
    struct list items = msg_list(d->op, FIELD_ITEMS);
    struct msg item;

    if (!x || x->ended || x->last != msg_u(d->op, FIELD_PREV))
        return CHOIR_INVALID;
    while (list_next(&items, &item)) {
        if (msg_u(&item, FIELD_REVISION) >=
            (msg_has(&item, FIELD_KEY) ? d->f->index : x->index))
            return CHOIR_INVALID;
    }
    return 0;
}

int decide_erase(struct decision *d)
{
    struct erasing_names x = {
        .d = d,
        .space = msg_b(d->op, FIELD_SPACE),
        .key = msg_b(d->op, FIELD_KEY),
    };
    bool one = msg_has(d->op, FIELD_KEY);
    int r;

    if (x.space.n && msg_u(d->op, FIELD_KIND) != ERASE_VALUES)
        return erase_by_rule(d);
    if (bytes_equal(x.space, bytes_text("*")) || x.space.n == 0 ||
        msg_has(d->op, FIELD_AGENT) || one != (x.key.n != 0) ||
        one == (msg_u(d->op, FIELD_ITEMS) != 0) ||
        (msg_has(d->op, FIELD_REVISION) && !one))
        return CHOIR_INVALID;
    if (one && !may_erase(d, x.space, x.key))
        return CHOIR_DENIED;
    if (msg_has(d->op, FIELD_REVISION) && !msg_u(d->op, FIELD_REVISION))
        return not_there(&x, 0); /* and not whichever is the newest */
    r = named_fit(d, x.space);
    if (!r)
        r = one ? erase_one(&x, msg_u(d->op, FIELD_REVISION)) : erase_named(&x);
    if (!r)
        msg_set_list(d->effect, FIELD_ITEMS, x.count, buf_bytes(d->scratch));
    return r;
}
