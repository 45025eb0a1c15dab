/* blame: who said the present value of a key, and which version each place in
 * it is from. Versions are compared, each with the one before it, from the one
 * that is asked about back until every place is known; a bounded number of
 * them for one answer, which says from where to go on. */
#include <errno.h>
#include <stdlib.h>

#include "ask_blame.h"
#include "proto/refusal.h"

enum {
    STEPS_MAX = 1024,   /* of one answer: some ten milliseconds */
    STEP_BYTES = 1024,  /* compared as fast as one version is read */
    STEP_LOADED = 4096, /* of groups, likewise */
    TOLD_BEFORE = -1,
};

/* --- Walking back ----------------------------------------------------------- */

static bool is_msgpack(const struct version *v)
{
    return bytes_equal(v->change.type, bytes_text(MERGE_TYPE));
}

static void author_take(struct blame *b, const struct version *v)
{
    memcpy(b->author.b, v->author.p, sizeof b->author.b);
}

int blame_back(struct blame *b, struct bytes *value)
{
    uint64_t loaded = ledger_loaded(b->q->a->ledger);
    struct version v;
    int r;

    *value = (struct bytes){0};
    b->behind = 0;
    if (!b->before)
        return 0;
    if (b->at <= b->line)
        return CHOIR_COMPACTED;
    if (b->steps >= STEPS_MAX)
        return CHOIR_OVER_LIMIT;
    r = b->rule == RULE_COUNTER ? version_read(b->q, b->before, b->k, &v)
                                : version_look(b->q, b->before, b->k, &v);
    if (r)
        return r;
    b->steps += 1 + (v.e->payload.n + v.e->effect_payload.n) / STEP_BYTES +
                (ledger_loaded(b->q->a->ledger) - loaded) / STEP_LOADED;
    if (b->rule == RULE_COUNTER)
        memcpy(b->author_before.b, v.author.p, sizeof b->author_before.b);
    if (v.change.deleted || !is_msgpack(&v))
        return 0;
    b->behind = v.change.prev;
    r = change_value(v.e, &v.change, value);
    return r <= 0 || r == CHOIR_ERASED ? r : CHOIR_COMPACTED;
}

void blame_went(struct blame *b)
{
    b->at = b->before;
    b->before = b->behind;
    b->author = b->author_before;
}

void blame_ended(struct blame *b, int r)
{
    b->cut = r == CHOIR_OVER_LIMIT;
    b->reason = r == CHOIR_ERASED      ? "erased"
                : r == CHOIR_COMPACTED ? "compacted"
                                       : NULL;
}

void blame_name(struct blame *b, uint64_t revision)
{
    buf_put(&b->named, &revision, sizeof revision);
}

/* --- Places ----------------------------------------------------------------- */

static int places_walk(struct blame *b)
{
    int r = 0;

    while (!r && places_open(b->places)) {
        struct bytes value;

        r = blame_back(b, &value);
        if (!r)
            r = places_settle(b->places, value, b->at);
        if (!r)
            blame_went(b);
    }
    if (r > 0)
        blame_ended(b, r);
    return r < 0 ? r : 0;
}

static void place_tell(struct blame *b, struct bytes name, uint64_t revision)
{
    struct msg m;

    if (revision == (uint64_t)TOLD_BEFORE || (!revision && !b->reason))
        return;
    msg_init(&m, MSG_ITEM);
    msg_set_u(&m, FIELD_KIND, BLAME_PLACE);
    msg_set_b(&m, FIELD_TEXT, name);
    msg_set_u(&m, FIELD_REVISION, revision ? revision : b->at);
    if (revision)
        blame_name(b, revision);
    else
        msg_set_text(&m, FIELD_REASON, b->reason);
    msg_encode(&m, &b->told);
    b->count++;
}

static void places_tell(struct blame *b, bool more)
{
    struct buf *last = &b->q->a->text;
    struct bytes name;
    uint64_t revision;
    size_t at = 0;

    while (places_next(b->places, &at, &name, &revision)) {
        place_tell(b, name, revision);
        buf_clear(last);
        buf_put(last, name.p, name.n);
    }
    if (more && !b->cut)
        msg_set_b(b->q->reply, FIELD_AFTER, buf_bytes(last));
}

/* What had changed before the answer went on here was told then. */
static int places_resume(struct blame *b, const struct version *v)
{
    struct bytes value = {0};
    int r = v->change.deleted ? 0 : change_value(v->e, &v->change, &value);

    if (r > 0)
        return CHOIR_INVALID; /* it has gone since */
    return r ? r : places_settle(b->places, value, (uint64_t)TOLD_BEFORE);
}

static int places_run(struct blame *b, const struct version *from)
{
    bool more;
    int r = places_make(&b->places, b->rule, buf_bytes(&b->value),
                        msg_b(b->q->op, FIELD_AFTER), ask_page(b->q), &more);

    if (r)
        return r == CHOIR_NOT_FOUND ? 0 : r;
    if (from)
        r = places_resume(b, from);
    if (!r)
        r = places_walk(b);
    if (!r)
        places_tell(b, more);
    return r;
}

/* --- Entries ---------------------------------------------------------------- */

static int revision_down(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? 1 : x > y ? -1 : 0;
}

static int entry_tell(struct blame *b, uint64_t revision)
{
    struct msg m;
    int r = node_read(b->q, revision, &b->node);

    if (r)
        return r;
    msg_init(&m, MSG_ITEM);
    msg_set_u(&m, FIELD_KIND, BLAME_ENTRY);
    node_tell(&b->node, &m);
    /* Of this key the asker may know its author, as from its log. */
    node_tell_author(&b->node, &m);
    if (b->node.is_hidden)
        msg_set_text(&m, FIELD_REASON, "hidden");
    msg_set_b(&m, FIELD_KEY, key_name(b->k));
    if (revision == b->root && !b->deleted)
        msg_set_u(&m, FIELD_SIZE, b->bytes);
    if (revision == b->root && b->root_reason)
        msg_set_text(&m, FIELD_REASON, b->root_reason);
    msg_encode(&m, &b->q->a->items);
    b->count++;
    return 0;
}

/* The one asked about, then the others, newest first. */
static int entries_tell(struct blame *b)
{
    const uint64_t *named;
    size_t n = b->named.n / sizeof *named;
    int r = entry_tell(b, b->root);

    if (n)
        qsort(b->named.p, n, sizeof *named, revision_down);
    named = (const uint64_t *)(const void *)b->named.p;
    for (size_t i = 0; !r && i < n; i++) {
        if (named[i] != b->root && (!i || named[i] != named[i - 1]))
            r = entry_tell(b, named[i]);
    }
    return r;
}

static int tell(struct blame *b)
{
    struct ask *q = b->q;
    int r = b->named.failed ? -ENOMEM : entries_tell(b);

    if (r)
        return r;
    buf_put(&q->a->items, b->told.p, b->told.n);
    if (q->a->items.failed || b->told.failed || q->a->text.failed)
        return -ENOMEM;
    msg_set_list(q->reply, FIELD_ITEMS, b->count, buf_bytes(&q->a->items));
    msg_set_u(q->reply, FIELD_REVISION, b->root);
    if (b->cut)
        msg_set_u(q->reply, FIELD_PREV, b->at);
    if (b->cut && msg_has(q->op, FIELD_AFTER))
        msg_set_b(q->reply, FIELD_AFTER, msg_b(q->op, FIELD_AFTER));
    return 0;
}

/* --- The ask ---------------------------------------------------------------- */

static void begin_at(struct blame *b, const struct version *v)
{
    b->at = v->e->index;
    b->before = v->change.prev;
    author_take(b, v);
}

/* Where the answer before ended. */
static int resume_at(struct blame *b, struct version *v)
{
    uint64_t prev = msg_u(b->q->op, FIELD_PREV);
    int r = prev < b->line || prev > b->root ? CHOIR_INVALID
                                             : version_at(b->q, b->k, prev, v);

    if (r == CHOIR_NOT_FOUND || (!r && v->e->index != prev))
        r = CHOIR_INVALID;
    if (!r)
        begin_at(b, v);
    return r;
}

/* The value asked about. */
static int root_take(struct blame *b, struct version *v)
{
    struct bytes value;
    int r;

    b->root = v->e->index;
    b->deleted = v->change.deleted;
    b->bytes = version_bytes(v);
    begin_at(b, v);
    if (v->walk.head.verb == MSG_INCR)
        b->rule = RULE_COUNTER;
    if (b->deleted)
        return 0;
    r = change_value(v->e, &v->change, &value);
    if (r > 0)
        b->root_reason = r == CHOIR_ERASED ? "erased" : "compacted";
    else if (!r && is_msgpack(v))
        buf_put(&b->value, value.p, value.n);
    return r < 0 ? r : b->value.failed ? -ENOMEM : 0;
}

static int parts_run(struct blame *b)
{
    bool resumes = msg_has(b->q->op, FIELD_PREV);
    struct version v;
    int r = resumes ? resume_at(b, &v) : 0;

    if (r || !b->value.n)
        return r;
    if (b->rule == RULE_COUNTER)
        return blame_shares(b, resumes ? &v : NULL);
    return places_run(b, resumes ? &v : NULL);
}

static int blame(struct blame *b, uint64_t at)
{
    struct version v;
    int r = version_at(b->q, b->k, at, &v);

    if (!r)
        r = root_take(b, &v);
    if (!r)
        r = parts_run(b);
    return r ? r : tell(b);
}

int ask_blame(struct ask *q)
{
    struct bytes space = msg_b(q->op, FIELD_SPACE);
    struct bytes key = msg_b(q->op, FIELD_KEY);
    const struct state *s = q->a->state;
    struct blame b = {
        .q = q,
        .k = context_find(s->context, space, key),
        .rule = policy_of(s->policies, space, key),
        .line = compaction_line(s->compaction, space),
    };
    uint64_t at;
    int r;

    if (!b.k || !ask_may_read(q, space, key))
        return CHOIR_NOT_FOUND;
    r = asked_at(q, &at);
    if (!r)
        r = kept_at(q, at);
    if (!r)
        r = blame(&b, at);
    places_free(&b.places);
    buf_free(&b.value);
    buf_free(&b.named);
    buf_free(&b.told);
    buf_free(&b.shares);
    node_free(&b.node);
    return r;
}
