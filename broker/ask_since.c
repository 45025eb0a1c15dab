/* What became of the keys between two revisions: since one until now, or from
 * one to another. One item for each key, however many versions it had.
 *
 * The state says which keys changed after a revision, and each version names
 * the one before it: so it costs what changed, not what there is. Two
 * revisions that lie close together and far back are read from the record
 * instead, entry by entry: most keys have changed since. */
#include <errno.h>
#include <stdlib.h>

#include "ask_private.h"
#include "proto/refusal.h"
#include "readable.h"

enum {
    STEP_BYTES = 4096, /* payload that is checked as fast as one is read */
    RANGE_STEPS_MAX = 2 * SCAN_MAX,
};

struct range {
    struct bytes space, prefix, after;
    uint64_t from, to; /* what changed in (from, to] */
};

/* What a key became. */
struct became {
    const struct key *k;
    uint64_t revision; /* 0: it was not found, too far back */
    uint64_t time, task, bytes;
    struct hash author;
    char type[LIMIT_LABEL_BYTES];
    size_t type_bytes;
    bool deleted;
    /* Looking back took too long: unknown what it was, after how many. */
    bool unknown;
    uint64_t prev, versions;
};

static void spend(struct ask *q, const struct entry *e)
{
    q->steps += 1 + (e->payload.n + e->effect_payload.n) / STEP_BYTES;
}

int version_look(struct ask *q, uint64_t revision, const struct key *k,
                 struct version *v)
{
    int r = ledger_body(q->a->ledger, revision, &v->e);

    if (!r)
        r = changes_find(v->e, key_name(k), &v->change, &v->walk);
    if (r)
        return r > 0 ? -EUCLEAN : r; /* another version names it */
    spend(q, v->e);
    return 0;
}

/* What is borrowed from the record is gone with the next look into it. */
static void became_take(struct became *b, const struct version *v)
{
    b->revision = v->e->index;
    b->time = v->e->time;
    b->deleted = v->change.deleted;
    b->bytes = version_bytes(v);
    b->task = msg_u(&v->walk.head, FIELD_TASK);
    memcpy(b->author.b, v->author.p, sizeof b->author.b);
    b->type_bytes = v->change.type.n;
    if (b->type_bytes)
        memcpy(b->type, v->change.type.p, b->type_bytes);
}

/* The version at `at`, 0: there was none. */
static int prev_take(struct ask *q, struct became *b, uint64_t at)
{
    struct version v;
    int r = at ? version_look(q, at, b->k, &v) : 0;

    if (r)
        return r;
    b->prev = at && !v.change.deleted ? at : 0;
    return 0;
}

/* Has it the same value, or none, at both ends? A range that ends now shows
 * what came and went, too. */
static bool differs(const struct became *b)
{
    return !b->deleted || b->prev || b->unknown;
}

static void became_item(struct ask *q, const struct became *b)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_b(&item, FIELD_KEY, key_name(b->k));
    msg_set_u(&item, FIELD_KIND, b->deleted);
    msg_set_u(&item, FIELD_REVISION, b->revision);
    msg_set_hash(&item, FIELD_AGENT, &b->author);
    msg_set_u(&item, FIELD_TIME, b->time);
    if (b->type_bytes)
        msg_set_b(&item, FIELD_TYPE, bytes_of(b->type, b->type_bytes));
    if (b->task)
        msg_set_u(&item, FIELD_TASK, b->task);
    if (!b->deleted)
        msg_set_u(&item, FIELD_SIZE, b->bytes);
    if (!b->unknown) {
        msg_set_u(&item, FIELD_PREV, b->prev);
        msg_set_u(&item, FIELD_COUNT, b->versions);
    }
    msg_encode(&item, &q->a->items);
}

/* --- By key --------------------------------------------------------------- */

/* Back from the newest version to the first one that is not after `to`. 0, its
 * revision in *at; CHOIR_OVER_LIMIT; negative errno. */
static int walk_to(struct ask *q, const struct key *k, uint64_t to,
                   uint64_t *at)
{
    struct version v;
    int r;

    for (*at = k->revision; *at > to; *at = v.change.prev) {
        if (q->steps >= SCAN_MAX)
            return CHOIR_OVER_LIMIT;
        r = version_look(q, *at, k, &v);
        if (r)
            return r;
    }
    return 0;
}

/* 0; CHOIR_NOT_FOUND: nothing happened to it between the two;
 * CHOIR_OVER_LIMIT: not all of it could be looked up; negative errno. */
static int became_find(struct ask *q, const struct key *k,
                       const struct range *range, struct became *b)
{
    struct version v;
    uint64_t at;
    int r;

    b->k = k;
    b->revision = b->versions = 0;
    b->unknown = true;
    r = walk_to(q, k, range->to, &at);
    if (r || at <= range->from)
        return r ? r : CHOIR_NOT_FOUND;
    r = version_read(q, at, k, &v);
    if (r)
        return r;
    became_take(b, &v);
    for (; at > range->from; at = v.change.prev, b->versions++) {
        if (q->steps >= SCAN_MAX)
            return CHOIR_OVER_LIMIT;
        r = version_look(q, at, k, &v);
        if (r)
            return r;
    }
    b->unknown = false;
    return prev_take(q, b, at);
}

static const struct key *next_changed(struct ask *q, const struct range *range,
                                      struct bytes from, bool exclusive)
{
    return readable_next(q->a->state, q->agent, range->space, range->prefix,
                         from, exclusive, range->from);
}

static int by_key(struct ask *q, const struct range *range, bool came_and_went)
{
    uint64_t n = 0, page = ask_page(q);
    const struct key *last = NULL, *k;
    struct became b;
    int r;

    k = next_changed(q, range, range->after.n ? range->after : range->prefix,
                     range->after.n != 0);
    while (k && n < page && q->steps < SCAN_MAX) {
        r = became_find(q, k, range, &b);
        if (r == CHOIR_OVER_LIMIT && last)
            break; /* the next page begins with it, and has all the time */
        if (r == CHOIR_OVER_LIMIT && !b.revision)
            return ask_over(q, "versions_walked", SCAN_MAX, q->steps);
        if (r < 0)
            return r;
        if (r != CHOIR_NOT_FOUND && (came_and_went || differs(&b))) {
            became_item(q, &b);
            n++;
        }
        last = k;
        k = next_changed(q, range, key_name(k), true);
    }
    if (k && last)
        msg_set_b(q->reply, FIELD_AFTER, key_name(last));
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
    return 0;
}

/* --- By entry ------------------------------------------------------------- */

struct row {
    const struct key *k;
    uint64_t revision, prev;
};

static int name_compare(struct bytes a, struct bytes b)
{
    return index_compare(a.p, a.n, b.p, b.n);
}

static int rows_compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int r = x->k == y->k ? 0 : name_compare(key_name(x->k), key_name(y->k));

    return r ? r : x->revision < y->revision ? -1 : x->revision > y->revision;
}

static bool concerns(const struct ask *q, const struct range *range,
                     struct bytes key)
{
    return bytes_start_with(key, range->prefix) &&
           (!range->after.n || name_compare(key, range->after) > 0) &&
           ask_may_read(q, range->space, key);
}

static int entry_rows(struct ask *q, const struct range *range,
                      const struct entry *e, struct buf *rows)
{
    const struct state *state = q->a->state;
    struct place place;
    struct changes walk;
    struct change change;
    struct bytes space;
    int r = changes_begin(&walk, e);

    if (r)
        return r < 0 ? r : 0;
    space = msg_b(&walk.head, FIELD_SPACE);
    if (!msg_has(&walk.head, FIELD_SPACE)) { /* a completion */
        r = task_place(state, q->a->ledger, msg_u(&walk.head, FIELD_TASK),
                       &place);
        if (r)
            return r < 0 ? r : 0;
        space = bytes_text(place.space);
    }
    if (!bytes_equal(space, range->space))
        return 0;
    while (changes_next(&walk, &change)) {
        struct row row = {NULL, e->index, change.prev};

        if (!concerns(q, range, change.key))
            continue;
        row.k = context_find(state->context, range->space, change.key);
        if (!row.k)
            return -EUCLEAN;
        buf_put(rows, &row, sizeof row);
    }
    return 0;
}

static int range_rows(struct ask *q, const struct range *range,
                      struct buf *rows)
{
    struct ledger_reader *reader;
    const struct entry *e;
    int r = ledger_reader_open(q->a->ledger, range->from + 1, &reader);

    for (uint64_t at = range->from + 1; !r && at <= range->to; at++) {
        r = ledger_reader_next(reader, &e);
        if (!r)
            r = entry_rows(q, range, e, rows);
        if (r)
            break;
        spend(q, e);
        if (q->steps >= RANGE_STEPS_MAX)
            r = CHOIR_OVER_LIMIT;
    }
    ledger_reader_close(&reader);
    if (r > 0 && r != CHOIR_OVER_LIMIT)
        r = -EUCLEAN;
    return r ? r : rows->failed ? -ENOMEM : 0;
}

/* The n rows of one key, oldest first. */
static int rows_became(struct ask *q, const struct row *rows, size_t n,
                       struct became *b)
{
    struct version v;
    int r = version_read(q, rows[n - 1].revision, rows->k, &v);

    if (r)
        return r;
    b->k = rows->k;
    b->unknown = false;
    b->versions = n;
    became_take(b, &v);
    return prev_take(q, b, rows->prev);
}

static int rows_page(struct ask *q, const struct row *rows, size_t count)
{
    uint64_t n = 0, page = ask_page(q);
    struct became b = {0};
    size_t at = 0, end;

    for (; at < count && n < page; at = end) {
        int r;

        for (end = at + 1; end < count && rows[end].k == rows[at].k; end++)
            ;
        r = rows_became(q, rows + at, end - at, &b);
        if (r)
            return r;
        if (!differs(&b))
            continue;
        became_item(q, &b);
        n++;
    }
    if (at < count)
        msg_set_b(q->reply, FIELD_AFTER, key_name(b.k));
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
    return 0;
}

/* 0; CHOIR_OVER_LIMIT: the entries are too long for that; negative errno. */
static int by_entry(struct ask *q, const struct range *range)
{
    struct buf rows = {0};
    int r = range_rows(q, range, &rows);
    size_t n = rows.n / sizeof(struct row);

    if (!r && n)
        qsort(rows.p, n, sizeof(struct row), rows_compare);
    if (!r)
        r = rows_page(q, (const struct row *)(const void *)rows.p, n);
    buf_free(&rows);
    return r;
}

/* --- The asks ------------------------------------------------------------- */

static struct range range_of(const struct ask *q, uint64_t from, uint64_t to)
{
    return (struct range){
        .space = msg_b(q->op, FIELD_SPACE),
        .prefix = msg_b(q->op, FIELD_PREFIX),
        .after = msg_b(q->op, FIELD_AFTER),
        .from = from,
        .to = to,
    };
}

int ask_since(struct ask *q)
{
    uint64_t head = ledger_size(q->a->ledger) - 1;
    struct range range = range_of(q, msg_u(q->op, FIELD_REVISION), head);

    if (range.from > head)
        return CHOIR_FUTURE;
    msg_set_u(q->reply, FIELD_REVISION, head);
    return by_key(q, &range, true);
}

int ask_diff(struct ask *q)
{
    uint64_t head = ledger_size(q->a->ledger) - 1;
    struct range range =
        range_of(q, msg_u(q->op, FIELD_BASE), msg_u(q->op, FIELD_REVISION));
    uint64_t length = range.to - range.from;

    if (range.from > range.to)
        return CHOIR_INVALID;
    if (range.to > head)
        return CHOIR_FUTURE;
    msg_set_u(q->reply, FIELD_REVISION, range.to);
    /* By key it costs at most the entries up to now, each of them once. */
    if (length <= SCAN_MAX && length < (head - range.from) / 2) {
        int r = by_entry(q, &range);

        if (r != CHOIR_OVER_LIMIT)
            return r;
        q->steps = 0;
    }
    return by_key(q, &range, false);
}
