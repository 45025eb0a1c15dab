/* Does a replica hold what it should? A page of its keys as one hash, compared
 * with the same keys here, if nothing among them has changed since. */
#include <errno.h>

#include "ask_private.h"
#include "proto/keyset.h"
#include "proto/refusal.h"
#include "readable.h"

struct page {
    struct bytes space, prefix, after, upto;
    bool has_upto;
    struct buf run;
    uint64_t count;
};

static bool is_in(const struct page *p, const struct key *k)
{
    struct bytes name;

    if (!k)
        return false;
    name = key_name(k);
    return !p->has_upto ||
           index_compare(name.p, name.n, p->upto.p, p->upto.n) <= 0;
}

static struct bytes begin_of(const struct page *p)
{
    return p->after.n ? p->after : p->prefix;
}

static const struct key *next(const struct ask *q, const struct page *p,
                              struct bytes from, bool exclusive,
                              uint64_t revision)
{
    return readable_next(q->a->state, q->agent, p->space, p->prefix, from,
                         exclusive, revision);
}

static bool has_moved_on(const struct ask *q, const struct page *p)
{
    return is_in(p, next(q, p, begin_of(p), p->after.n != 0,
                         msg_u(q->op, FIELD_REVISION)));
}

/* False: there is more to look at than one ask may cost. */
static bool page_run(const struct ask *q, struct page *p)
{
    const struct key *k = next(q, p, begin_of(p), p->after.n != 0, 0);
    uint64_t looked = 0;

    for (; is_in(p, k) && p->count <= LIMIT_LIST_ITEMS; looked++) {
        if (looked == SCAN_MAX)
            return false;
        if (!k->deleted &&
            !erasure_has(q->a->state->erasure, k->revision, k->slot)) {
            keyset_add(&p->run, key_name(k), k->revision);
            p->count++;
        }
        k = next(q, p, key_name(k), true, 0);
    }
    return true;
}

/* Nobody but the agent itself can say whether it lied: so it is told to the
 * tap, and neither recorded nor written to the log. */
static int diverged(struct ask *q, uint64_t count)
{
    cursors_notice(q->a->with.cursors, env_wall_us(q->a->with.env),
                   refusal_sentence(CHOIR_DIVERGED), &q->agent->id, count,
                   CHOIR_DIVERGED);
    return CHOIR_DIVERGED;
}

static int compare(struct ask *q, struct page *p)
{
    struct hash theirs = msg_hash(q->op, FIELD_DIGEST), ours;

    if (has_moved_on(q, p) || !page_run(q, p))
        return 0;
    if (p->run.failed)
        return -ENOMEM;
    ours = keyset_digest(&p->run);
    msg_set_u(q->reply, FIELD_COUNT, p->count);
    if (!hash_equal(&ours, &theirs))
        return diverged(q, p->count);
    msg_set_u(q->reply, FIELD_REVISION, msg_u(q->op, FIELD_REVISION));
    return 0;
}

int ask_digest(struct ask *q)
{
    struct page p = {.space = msg_b(q->op, FIELD_SPACE),
                     .prefix = msg_b(q->op, FIELD_PREFIX),
                     .after = msg_b(q->op, FIELD_AFTER),
                     .upto = msg_b(q->op, FIELD_KEY),
                     .has_upto = msg_has(q->op, FIELD_KEY)};
    int r;

    if (msg_u(q->op, FIELD_REVISION) >= ledger_size(q->a->ledger))
        return CHOIR_FUTURE;
    r = compare(q, &p);
    buf_free(&p.run);
    return r;
}
