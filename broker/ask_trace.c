/* why and impact: from an entry back to what it rests on, or on to what rests
 * on it, in the order of distance. Each entry is told once, whatever leads to
 * it, and each answer is bounded: an entry that more hangs on than was told
 * says so, and from where to go on. */
#include <errno.h>
#include <stdlib.h>

#include "ask_node.h"
#include "proto/refusal.h"

enum {
    NODES_DEFAULT = PAGE_DEFAULT,
    NODES_MAX = PAGE_MAX,
    LINKS_MAX = 3000,   /* told; with the nodes they fit into one list */
    FOUND_MAX = 4096,   /* gathered of one entry */
    SEEN_SLOTS = 4096,  /* a power of two, above 2 * NODES_MAX */
    STEPS_MAX = 8192,   /* look-ups of one answer: some ten milliseconds */
    STEP_LOADED = 512, /* bytes of groups that are read first, likewise */
};

struct candidate {
    uint64_t index;
    unsigned kind;
};

struct spot {
    uint64_t index, depth;
};

struct trace {
    struct ask *q;
    const struct linking *links;
    bool forward;
    uint64_t nodes_max, depth_max, prev;
    uint64_t seen[SEEN_SLOTS]; /* index + 1; 0: free */
    struct spot spots[NODES_MAX];
    size_t spot_count, spot_next;
    struct candidate found[FOUND_MAX]; /* of the node at hand */
    size_t found_count;
    uint64_t bound; /* of those, up to here all were found */
    bool is_cut;    /* more there than was looked for, wherever it is */
    struct node node, other;
    uint64_t completion; /* of the lease that the node was said under */
    struct buf links_told;
    uint64_t link_count, node_count, steps;
    uint64_t loaded; /* of the ledger, before */
};

/* --- Which were seen -------------------------------------------------------- */

static uint64_t *seen_slot(struct trace *t, uint64_t index)
{
    uint64_t at = index * 0x9e3779b97f4a7c15u >> 40;

    for (;; at++) {
        uint64_t *slot = &t->seen[at % SEEN_SLOTS];

        if (!*slot || *slot == index + 1)
            return slot;
    }
}

/* False: there is no room for another. */
static bool spot_add(struct trace *t, uint64_t index, uint64_t depth)
{
    uint64_t *slot = seen_slot(t, index);

    if (*slot)
        return true;
    if (t->spot_count == t->nodes_max)
        return false;
    *slot = index + 1;
    t->spots[t->spot_count++] = (struct spot){index, depth};
    return true;
}

/* --- Gathering -------------------------------------------------------------- */

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

static int gather_forward(struct trace *t, uint64_t after)
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

static int gather_back(struct trace *t)
{
    struct linked linked = node_linked(&t->node);
    struct back b = {t, t->node.index, false, 0};

    linking_walk(&linked, told_back, &b);
    if (!b.result && msg_has(&t->node.op, FIELD_TOKEN) &&
        msg_has(&t->node.op, FIELD_TASK))
        b.result = lease_reads(t);
    return b.result;
}

/* --- Telling ---------------------------------------------------------------- */

static int order_up(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return x->kind < y->kind ? -1 : x->kind > y->kind;
}

static int order_down(const void *a, const void *b)
{
    return order_up(b, a);
}

static void link_tell(struct trace *t, uint64_t from, uint64_t on,
                      unsigned kind)
{
    struct msg m;

    msg_init(&m, MSG_ITEM);
    msg_set_u(&m, FIELD_KIND, kind);
    msg_set_u(&m, FIELD_REVISION, from);
    msg_set_u(&m, FIELD_PREV, on);
    msg_encode(&m, &t->links_told);
    t->link_count++;
}

static bool is_past(const struct trace *t, uint64_t index, uint64_t prev)
{
    return prev && (t->forward ? index <= prev : index >= prev);
}

/* In order, up to where there is room. True: that was not all; *last: the last
 * one that was told. */
static bool found_tell(struct trace *t, const struct spot *spot, uint64_t prev,
                       uint64_t *last)
{
    *last = prev;
    qsort(t->found, t->found_count, sizeof *t->found,
          t->forward ? order_up : order_down);
    for (size_t i = 0; i < t->found_count; i++) {
        const struct candidate *c = &t->found[i];
        bool again = i && c[-1].index == c->index && c[-1].kind == c->kind;

        if (again || is_past(t, c->index, prev))
            continue;
        if ((t->forward && c->index > t->bound) || t->link_count == LINKS_MAX ||
            !spot_add(t, c->index, spot->depth + 1))
            return true;
        *last = c->index;
        if (t->forward)
            link_tell(t, c->index, t->node.index, c->kind);
        else
            link_tell(t, t->node.index, c->index, c->kind);
    }
    return t->is_cut || t->bound != UINT64_MAX;
}

static void node_put(struct trace *t, const char *reason, uint64_t last)
{
    struct msg m;

    msg_init(&m, MSG_ITEM);
    node_tell(t->q, &t->node, &m);
    msg_set_u(&m, FIELD_KIND, LINK_ENTRY);
    if (reason)
        msg_set_text(&m, FIELD_REASON, reason);
    if (reason && last)
        msg_set_u(&m, FIELD_PREV, last);
    msg_encode(&m, &t->q->a->items);
    t->node_count++;
}

/* The root's page goes on behind `prev`. */
static int spot_tell(struct trace *t, const struct spot *spot)
{
    uint64_t prev = spot->depth == 0 ? t->prev : 0, last = 0;
    bool more = false;
    int r = node_read(t->q, spot->index, &t->node);

    if (r)
        return r;
    if (t->node.is_hidden) {
        node_put(t, "hidden", 0);
        return 0;
    }
    if (spot->depth == t->depth_max) {
        node_put(t, "depth", 0);
        return 0;
    }
    t->found_count = 0;
    t->bound = UINT64_MAX;
    t->is_cut = false;
    if (t->node.outcome == CHOIR_OK)
        r = t->forward ? gather_forward(t, prev) : gather_back(t);
    if (r)
        return r;
    more = found_tell(t, spot, prev, &last);
    node_put(t,
             more                  ? "more"
             : t->node.lacks_reads ? "reads lost"
                                   : NULL,
             more ? last : 0);
    return 0;
}

static int trace_run(struct trace *t)
{
    int r = 0;

    while (!r && t->spot_next < t->spot_count)
        r = spot_tell(t, &t->spots[t->spot_next++]);
    if (r)
        return r;
    buf_put(&t->q->a->items, t->links_told.p, t->links_told.n);
    if (t->q->a->items.failed || t->links_told.failed)
        return -ENOMEM;
    msg_set_list(t->q->reply, FIELD_ITEMS, t->node_count + t->link_count,
                 buf_bytes(&t->q->a->items));
    msg_set_u(t->q->reply, FIELD_COUNT, t->node_count);
    return 0;
}

/* --- Where it begins -------------------------------------------------------- */

/* A key's version, or an entry that the asker may see. */
static int root_find(struct trace *t)
{
    struct ask *q = t->q;
    struct bytes space = msg_b(q->op, FIELD_SPACE);
    struct bytes key = msg_b(q->op, FIELD_KEY);
    const struct key *k;
    struct version v;
    uint64_t at;
    int r = asked_at(q, &at);

    if (r)
        return r;
    if (!msg_has(q->op, FIELD_KEY)) {
        r = msg_has(q->op, FIELD_REVISION) ? node_read(q, at, &t->node)
                                           : CHOIR_INVALID;
        if (r)
            return r;
        spot_add(t, at, 0);
        return t->node.is_hidden ? CHOIR_NOT_FOUND : 0;
    }
    k = context_find(q->a->state->context, space, key);
    if (!k || !ask_may_read(q, space, key))
        return CHOIR_NOT_FOUND;
    r = version_at(q, k, at, &v);
    if (!r) {
        msg_set_u(q->reply, FIELD_REVISION, v.e->index);
        spot_add(t, v.e->index, 0);
    }
    return r;
}

/* What it said from that entry on; half of the answer is for what follows. */
static int roots_find(struct trace *t)
{
    struct hash id = msg_hash(t->q->op, FIELD_AGENT);
    const struct agent *a = agent_by_id(t->q->a->state->agents, &id);
    uint64_t since = msg_u(t->q->op, FIELD_REVISION);
    uint64_t after = since > LINKS_ROW_MAX ? since - LINKS_ROW_MAX : 0;
    struct link some[128];
    size_t most = (t->nodes_max + 1) / 2;
    bool more;
    int n = 0;

    if (!a)
        return CHOIR_NOT_FOUND;
    do {
        n = core_links_find(t->q->a->with.core, links_agent(a->number), after,
                            some, 128, &more);
        for (int i = 0; i < n; i++) {
            uint64_t end = some[i].from + some[i].value, at = some[i].from;

            for (at = at < since ? since : at; at < end; at++) {
                if (t->spot_count == most) {
                    msg_set_u(t->q->reply, FIELD_PREV, at);
                    return 0;
                }
                spot_add(t, at, 0);
            }
            after = some[i].from;
        }
    } while (n > 0 && more);
    return n < 0 ? n : 0;
}

static int trace(struct ask *q, bool forward)
{
    struct trace *t;
    int r;

    if (!core_links(q->a->with.core))
        return CHOIR_BUSY;
    t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->q = q;
    t->links = core_links(q->a->with.core);
    t->loaded = ledger_loaded(q->a->ledger);
    t->forward = forward;
    t->nodes_max = ask_page(q);
    t->depth_max =
        msg_has(q->op, FIELD_LIMIT) ? msg_u(q->op, FIELD_LIMIT) : UINT64_MAX;
    t->prev = msg_u(q->op, FIELD_PREV);
    r = msg_has(q->op, FIELD_AGENT) ? roots_find(t) : root_find(t);
    if (!r)
        r = trace_run(t);
    buf_free(&t->links_told);
    node_free(&t->node);
    node_free(&t->other);
    free(t);
    return r == -EAGAIN ? CHOIR_BUSY : r;
}

int ask_why(struct ask *q)
{
    return trace(q, false);
}

int ask_impact(struct ask *q)
{
    return trace(q, true);
}
