/* The context, now and at any revision; and opening watches and taps on it.
 * The state knows the newest version of each key; older ones are found by
 * following each version's `prev` through the record. */
#include <errno.h>

#include "ask_private.h"
#include "proto/refusal.h"
#include "readable.h"

bool ask_may_read(const struct ask *q, struct bytes space, struct bytes key)
{
    return agent_may(q->agent, RIGHT_READ, space, key, (struct bytes){0});
}

/* The state knows who wrote the newest version. */
int version_read(struct ask *q, uint64_t revision, const struct key *k,
                 struct version *v)
{
    const struct agent *a = revision == k->revision
                                ? agent_by_number(q->a->state->agents, k->agent)
                                : NULL;
    int r = a ? ledger_body(q->a->ledger, revision, &v->e)
              : ledger_entry(q->a->ledger, revision, &v->e);

    if (!r)
        r = changes_find(v->e, key_name(k), &v->change, &v->walk);
    if (r)
        return r > 0 ? -EUCLEAN : r; /* the state said it is there */
    v->author = a ? hash_bytes(&a->id) : msg_b(&v->e->bundle, FIELD_AGENT);
    return 0;
}

/* Is entry `at` itself a version of the key? Where a page of a log goes on, and
 * most looks into the past, name a version, which then takes no walk. */
static int version_exact(struct ask *q, const struct key *k, uint64_t at,
                         struct version *v)
{
    struct place place;
    const struct msg *head = &v->walk.head;
    int r = ledger_entry(q->a->ledger, at, &v->e);

    if (!r)
        r = changes_find(v->e, key_name(k), &v->change, &v->walk);
    if (r)
        return r;
    v->author = msg_b(&v->e->bundle, FIELD_AGENT);
    if (msg_has(head, FIELD_SPACE))
        return bytes_equal(msg_b(head, FIELD_SPACE), msg_b(q->op, FIELD_SPACE))
                   ? 0
                   : CHOIR_NOT_FOUND;
    r = task_place(q->a->state, q->a->ledger, msg_u(head, FIELD_TASK), &place);
    if (r || !bytes_equal(bytes_text(place.space), msg_b(q->op, FIELD_SPACE)))
        return r < 0 ? r : CHOIR_NOT_FOUND;
    return version_read(q, at, k, v); /* the look at its task took its place */
}

int version_at(struct ask *q, const struct key *k, uint64_t at,
               struct version *v)
{
    uint64_t revision = k ? k->revision : 0;
    int r;

    if (k && at < revision) {
        r = version_exact(q, k, at, v);
        if (r <= 0)
            return r;
    }
    while (revision) {
        r = version_read(q, revision, k, v);
        if (r || revision <= at)
            return r;
        if (++q->steps > SCAN_MAX)
            return ask_over(q, "versions_walked", SCAN_MAX, q->steps);
        revision = v->change.prev;
    }
    return CHOIR_NOT_FOUND;
}

uint64_t version_bytes(const struct version *v)
{
    return change_bytes(v->e, &v->change);
}

int asked_at(const struct ask *q, uint64_t *at)
{
    uint64_t head = ledger_size(q->a->ledger) - 1;

    *at = msg_has(q->op, FIELD_REVISION) ? msg_u(q->op, FIELD_REVISION) : head;
    return *at > head ? CHOIR_FUTURE : 0;
}

int kept_at(struct ask *q, uint64_t at)
{
    uint64_t line =
        compaction_line(q->a->state->compaction, msg_b(q->op, FIELD_SPACE));

    if (at >= line)
        return 0;
    msg_set_u(q->reply, FIELD_REVISION, line);
    return CHOIR_COMPACTED;
}

static void reply_version(struct ask *q, const struct version *v)
{
    struct msg *m = q->reply;

    msg_set_u(m, FIELD_REVISION, v->e->index);
    msg_set_u(m, FIELD_TIME, v->e->time);
    msg_set_b(m, FIELD_AGENT, v->author);
    if (v->change.type.n)
        msg_set_b(m, FIELD_TYPE, v->change.type);
    if (v->change.prev)
        msg_set_u(m, FIELD_PREV, v->change.prev);
    if (msg_has(&v->walk.head, FIELD_TASK))
        msg_set_u(m, FIELD_TASK, msg_u(&v->walk.head, FIELD_TASK));
}

int ask_get(struct ask *q)
{
    struct bytes space = msg_b(q->op, FIELD_SPACE), value;
    struct bytes name = msg_b(q->op, FIELD_KEY);
    const struct key *k = context_find(q->a->state->context, space, name);
    struct version v;
    uint64_t at;
    int r;

    if (!k || !ask_may_read(q, space, name))
        return CHOIR_NOT_FOUND;
    r = asked_at(q, &at);
    if (!r)
        r = kept_at(q, at);
    if (!r)
        r = version_at(q, k, at, &v);
    if (r)
        return r;
    r = v.change.deleted ? CHOIR_NOT_FOUND
                         : change_value(v.e, &v.change, &value);
    if (r == CHOIR_NOT_FOUND)
        return r;
    reply_version(q, &v);
    if (r) /* ERASED: who wrote it, and when, stays */
        return r;
    msg_set_b(q->reply, FIELD_VALUE, value);
    if (k->revision == v.e->index)
        msg_set_u(q->reply, FIELD_CREATED, k->created);
    return 0;
}

/* 0: appended; CHOIR_NOT_FOUND: it was not there then; negative errno. */
static int list_one(struct ask *q, const struct key *k, uint64_t at, bool now)
{
    struct version v;
    struct msg item;
    int r;

    if (now && k->deleted)
        return CHOIR_NOT_FOUND;
    r = version_at(q, k, at, &v);
    if (r || v.change.deleted)
        return r ? r : CHOIR_NOT_FOUND;
    msg_init(&item, MSG_ITEM);
    msg_set_b(&item, FIELD_KEY, key_name(k));
    msg_set_u(&item, FIELD_REVISION, v.e->index);
    msg_set_u(&item, FIELD_SIZE, version_bytes(&v));
    msg_set_b(&item, FIELD_AGENT, v.author);
    if (v.change.type.n)
        msg_set_b(&item, FIELD_TYPE, v.change.type);
    if (k->revision == v.e->index)
        msg_set_u(&item, FIELD_CREATED, k->created);
    msg_encode(&item, &q->a->items);
    return 0;
}

/* Keys that may not be read are as good as absent: they are neither listed nor
 * where the next page starts. */
static const struct key *next_readable(struct ask *q, struct bytes from,
                                       bool exclusive)
{
    return readable_next(q->a->state, q->agent, msg_b(q->op, FIELD_SPACE),
                         msg_b(q->op, FIELD_PREFIX), from, exclusive, 0);
}

int ask_list(struct ask *q)
{
    struct bytes prefix = msg_b(q->op, FIELD_PREFIX);
    struct bytes after = msg_b(q->op, FIELD_AFTER);
    bool now = !msg_has(q->op, FIELD_REVISION);
    uint64_t at, n = 0, page = ask_page(q), scanned = 0;
    const struct key *k, *last = NULL;
    int r = asked_at(q, &at);

    if (r)
        return r;
    k = next_readable(q, after.n ? after : prefix, after.n != 0);
    if (k && kept_at(q, at)) /* else what may not be seen would show */
        return CHOIR_COMPACTED;
    for (; k && n < page && scanned < SCAN_MAX; scanned++) {
        r = list_one(q, k, at, now);
        if (r < 0 || r == CHOIR_OVER_LIMIT)
            return r;
        n += r == 0;
        last = k;
        k = next_readable(q, key_name(k), true);
    }
    if (k && last)
        msg_set_b(q->reply, FIELD_AFTER, key_name(last));
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
    return 0;
}

static void log_item(struct ask *q, const struct version *v)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_u(&item, FIELD_REVISION, v->e->index);
    msg_set_u(&item, FIELD_KIND, v->change.deleted);
    msg_set_b(&item, FIELD_AGENT, v->author);
    msg_set_u(&item, FIELD_TIME, v->e->time);
    if (v->change.type.n)
        msg_set_b(&item, FIELD_TYPE, v->change.type);
    if (v->change.prev)
        msg_set_u(&item, FIELD_PREV, v->change.prev);
    if (msg_has(&v->walk.head, FIELD_TASK))
        msg_set_u(&item, FIELD_TASK, msg_u(&v->walk.head, FIELD_TASK));
    if (!v->change.deleted)
        msg_set_u(&item, FIELD_SIZE, version_bytes(v));
    msg_encode(&item, &q->a->items);
}

int ask_log(struct ask *q)
{
    struct bytes space = msg_b(q->op, FIELD_SPACE);
    struct bytes name = msg_b(q->op, FIELD_KEY);
    const struct key *k = context_find(q->a->state->context, space, name);
    uint64_t line = compaction_line(q->a->state->compaction, space);
    uint64_t at, n = 0, page = ask_page(q);
    struct version v;
    int r;

    if (!k || !ask_may_read(q, space, name))
        return CHOIR_NOT_FOUND;
    r = asked_at(q, &at);
    if (!r)
        r = kept_at(q, at);
    if (!r)
        r = version_at(q, k, at, &v);
    while (!r) {
        uint64_t prev = v.change.prev;

        log_item(q, &v);
        if (++n == page || !prev || v.e->index <= line) {
            if (prev)
                msg_set_u(q->reply, FIELD_PREV, prev);
            break;
        }
        r = version_read(q, prev, k, &v);
    }
    if (r)
        return r;
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
    return 0;
}

/* --- Watches ------------------------------------------------------------- */

static int open_cursor(struct ask *q, bool tap)
{
    uint64_t limit = q->a->with.config->watches_per_agent_max;
    struct watch_request request = {
        .number = msg_u(q->op, FIELD_WATCH),
        .space = msg_b(q->op, FIELD_SPACE),
        .prefix = msg_b(q->op, FIELD_PREFIX),
        .revision = msg_u(q->op, FIELD_REVISION),
        .credit = msg_u(q->op, FIELD_CREDIT),
        .tap = tap,
        .values = tap && msg_u(q->op, FIELD_KIND) == 1,
        .gaps = !tap && msg_u(q->op, FIELD_KIND) == 1,
    };
    int r;

    inbox_close(q->a->with.inboxes, q->p, request.number);
    r = watch_open(q->a->with.cursors, q->p, &request, limit);
    if (r == CHOIR_COMPACTED)
        return kept_at(q, request.revision);
    return r == CHOIR_OVER_LIMIT
               ? ask_over(q, "watches_per_agent_max", limit, limit)
               : r;
}

int ask_watch(struct ask *q)
{
    return open_cursor(q, false);
}

int ask_tap(struct ask *q)
{
    return open_cursor(q, true);
}

/* One number for watches, taps and inboxes. */
int ask_credit(struct ask *q)
{
    uint64_t number = msg_u(q->op, FIELD_WATCH), told;
    uint64_t credit = msg_u(q->op, FIELD_CREDIT);
    int r = watch_credit(q->a->with.cursors, q->p, number, credit, &told);

    if (r == CHOIR_NOT_FOUND)
        r = inbox_credit(q->a->with.inboxes, q->p, number, credit, &told);
    if (!r)
        msg_set_u(q->reply, FIELD_REVISION, told);
    return r;
}

int ask_unwatch(struct ask *q)
{
    uint64_t number = msg_u(q->op, FIELD_WATCH);
    int r = watch_close(q->a->with.cursors, q->p, number);

    return r == CHOIR_NOT_FOUND ? inbox_close(q->a->with.inboxes, q->p, number)
                                : r;
}
