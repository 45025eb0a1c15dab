/* Links, looked up: what an entry rests on, and what rests on it. The index has
 * them by what they lead to; prefixes that were listed are gone through version
 * by version. All of it is bounded by steps. */
#include <errno.h>

#include "ask_trace.h"
#include "proto/refusal.h"

static void found_add(struct trace *t, uint64_t index, unsigned kind)
{
    if (t->found_count == FOUND_MAX) {
        t->is_cut = true;
        return;
    }
    t->found[t->found_count++] = (struct candidate){index, kind};
}

/* Is there time to look at so many more? Else the answer is cut here. */
static bool step(struct trace *t)
{
    uint64_t loaded = ledger_loaded(t->q->a->ledger) - t->loaded;

    if (t->steps + loaded / STEP_LOADED < STEPS_MAX) {
        t->steps++;
        return true;
    }
    t->is_cut = true;
    return false;
}

typedef int (*link_told)(struct trace *t, const struct link *link);

/* Each link to `to` from an entry after `after`, in order. told: 1 ends it. */
static int each(struct trace *t, uint64_t to, uint64_t after, link_told told)
{
    struct link some[128];
    int n = 0, r = 0;
    bool more;

    do {
        if (!step(t))
            return 0;
        n = core_links_find(t->q->a->with.core, to, after, some, 128, &more);
        for (int i = 0; !r && i < n; i++)
            r = told(t, &some[i]);
        if (n > 0)
            after = some[n - 1].from;
    } while (n > 0 && more && !r && t->found_count < FOUND_MAX);
    if (n > 0 && more && !r && t->bound > after)
        t->bound = after;
    return n < 0 ? n : r < 0 ? r : 0;
}

static int told_output(struct trace *t, const struct link *link)
{
    if (link->kind == LINK_LEASE)
        found_add(t, link->from, LINK_LEASE);
    return 0;
}

/* Somebody read it: what he said, and what else was said under that lease. */
static int read_by(struct trace *t, uint64_t from, unsigned kind,
                   uint64_t token)
{
    size_t before = t->found_count;
    int r = 0;

    found_add(t, from, kind);
    if (token)
        r = each(t, token, t->node.index, told_output);
    for (size_t i = before; i < t->found_count; i++)
        t->found[i].kind = kind;
    return r;
}

/* --- Forward ---------------------------------------------------------------- */

static int told_direct(struct trace *t, const struct link *link)
{
    switch (link->kind) {
    case LINK_DONE: return 0; /* its claim leads there */
    case LINK_READ: return read_by(t, link->from, LINK_READ, link->value);
    default: found_add(t, link->from, link->kind); return 0;
    }
}

static int told_need(struct trace *t, const struct link *link)
{
    if (link->kind == LINK_NEED)
        found_add(t, link->from, LINK_NEED);
    return 0;
}

/* What was given as input went into what the task's holder said after. */
static int told_done(struct trace *t, const struct link *link)
{
    return link->kind == LINK_DONE
               ? read_by(t, link->from, LINK_INPUT, link->value)
               : 0;
}

struct listing {
    struct bytes space, prefix;
    uint64_t as_of;
    bool found;
};

static bool is_listing(void *arg, const struct rests *r)
{
    struct listing *l = arg;

    l->found = r->kind == LINK_LISTED && r->on == l->as_of &&
               bytes_equal(r->space, l->space) &&
               bytes_equal(r->prefix, l->prefix);
    return !l->found;
}

/* The version that took its place; 0: none did. */
static int next_version(struct trace *t, struct bytes space, struct bytes key,
                        uint64_t *next)
{
    const struct key *k = context_find(t->q->a->state->context, space, key);
    uint64_t at = k ? k->revision : 0;
    int r = 0;

    *next = 0;
    while (!r && at > t->node.index && step(t)) {
        struct version v;

        *next = at;
        r = version_read(t->q, at, k, &v);
        at = r ? 0 : v.change.prev;
    }
    return r;
}

/* Whoever listed that prefix while this was there. The links know a hash of
 * it: what the completion itself says decides. */
static int listed_by(struct trace *t, struct bytes space, struct bytes key,
                     size_t bytes, uint64_t next)
{
    struct listing l = {.space = space, .prefix = bytes_of(key.p, bytes)};
    uint64_t to = linking_list(space, l.prefix), after = t->node.index;
    struct link some[64];
    int n, r = 0;
    bool more;

    do {
        if (!step(t))
            return 0;
        n = core_links_find(t->q->a->with.core, to, after, some, 64, &more);
        for (int i = 0; !r && i < n; i++) {
            struct linked linked;

            after = some[i].from;
            l.as_of = some[i].value;
            if (l.as_of < t->node.index || (next && next <= l.as_of) ||
                !step(t))
                continue;
            r = node_read(t->q, after, &t->other);
            if (r || t->other.is_hidden) {
                if (!r)
                    found_add(t, after, LINK_LISTED);
                continue;
            }
            linked = node_linked(&t->other);
            linking_walk(&linked, is_listing, &l);
            if (l.found || t->other.lacks_reads)
                r = read_by(t, after, LINK_LISTED,
                            msg_u(&t->other.op, FIELD_TOKEN));
        }
    } while (n > 0 && more && !r && t->found_count < FOUND_MAX);
    return n < 0 ? n : r;
}

static int key_listed(struct trace *t, struct bytes space, struct bytes key)
{
    uint64_t next;
    bool known = false;
    int r = 0;

    for (size_t bytes = 0; !r && bytes <= key.n; bytes++) {
        if (!linking_has_length(t->links, bytes))
            continue;
        if (!known)
            r = next_version(t, space, key, &next);
        known = true;
        if (!r)
            r = listed_by(t, space, key, bytes, next);
    }
    return r;
}

/* Every key it wrote. */
static int keys_listed(struct trace *t)
{
    const struct msg *op = &t->node.op;
    struct bytes space = msg_has(op, FIELD_SPACE)
                             ? msg_b(op, FIELD_SPACE)
                             : bytes_text(t->node.place.space);
    struct list writes = msg_list(op, FIELD_WRITES);
    struct msg write;
    int r = 0;

    if (msg_has(op, FIELD_KEY))
        return key_listed(t, space, msg_b(op, FIELD_KEY));
    while (!r && list_next(&writes, &write))
        r = key_listed(t, space, msg_b(&write, FIELD_KEY));
    return r;
}

int trace_gather_forward(struct trace *t, uint64_t after)
{
    uint64_t task = msg_u(&t->node.op, FIELD_TASK);
    int r = each(t, t->node.index, after, told_direct);

    if (!r && t->node.op.verb == MSG_COMPLETE)
        r = each(t, task, 0, told_need);
    if (!r && t->node.op.verb == MSG_INPUT)
        r = each(t, task, t->node.index, told_done);
    return r ? r : keys_listed(t);
}

/* --- Back ------------------------------------------------------------------- */

struct back {
    struct trace *t;
    uint64_t before; /* only what was there then */
    bool reads_only;
    int result;
};

static int told_result(struct trace *t, const struct link *link)
{
    if (link->kind != LINK_DONE)
        return 0;
    found_add(t, link->from, LINK_NEED);
    return 1;
}

/* What was under the prefix as of then. */
static int listed_then(struct trace *t, const struct rests *r, uint64_t before)
{
    const struct context *context = t->q->a->state->context;
    const struct key *k =
        context_next(context, r->space, r->prefix, r->prefix, false);
    uint64_t as_of = r->on < before ? r->on : before - 1;
    int result = 0;

    for (; k && !result && step(t) && t->found_count < FOUND_MAX;
         k = context_next(context, r->space, r->prefix, key_name(k), true)) {
        uint64_t at = k->revision;

        while (!result && at > as_of && step(t)) {
            struct version v;

            result = version_read(t->q, at, k, &v);
            at = result ? 0 : v.change.prev;
        }
        if (!result && at && at <= as_of)
            found_add(t, at, LINK_LISTED);
    }
    if (k && t->found_count == FOUND_MAX)
        t->is_cut = true;
    return result;
}

static bool told_back(void *arg, const struct rests *r)
{
    struct back *b = arg;
    bool is_read = r->kind == LINK_READ || r->kind == LINK_LISTED;

    if (b->reads_only && !is_read)
        return true;
    if (r->kind == LINK_LISTED) {
        b->result = listed_then(b->t, r, b->before);
    } else if (r->on < b->before) {
        found_add(b->t, r->on, r->kind);
        if (r->kind == LINK_NEED)
            b->result = each(b->t, r->on, 0, told_result);
    }
    return !b->result;
}

static int told_end(struct trace *t, const struct link *link)
{
    if (link->kind != LINK_DONE ||
        link->value != msg_u(&t->node.op, FIELD_TOKEN))
        return 0;
    t->completion = link->from;
    return 1;
}

static int told_input(struct trace *t, const struct link *link)
{
    if (link->kind == LINK_INPUT && link->from < t->node.index)
        found_add(t, link->from, LINK_INPUT);
    return 0;
}

/* What the lease that it was said under had read by then: its completion says
 * so, later. */
static int lease_reads(struct trace *t)
{
    uint64_t task = msg_u(&t->node.op, FIELD_TASK);
    struct back b = {t, t->node.index, true, 0};
    struct linked linked;
    int r = each(t, task, 0, told_input);

    if (r || t->node.op.verb == MSG_COMPLETE)
        return r;
    t->completion = 0;
    r = each(t, task, t->node.index, told_end);
    if (!r && t->completion)
        r = node_read(t->q, t->completion, &t->other);
    if (r || !t->completion || t->other.is_hidden)
        return r;
    t->node.lacks_reads = t->other.lacks_reads;
    linked = node_linked(&t->other);
    linking_walk(&linked, told_back, &b);
    return b.result;
}

int trace_gather_back(struct trace *t)
{
    struct linked linked = node_linked(&t->node);
    struct back b = {t, t->node.index, false, 0};

    linking_walk(&linked, told_back, &b);
    if (!b.result && msg_has(&t->node.op, FIELD_TOKEN) &&
        msg_has(&t->node.op, FIELD_TASK))
        b.result = lease_reads(t);
    return b.result;
}
