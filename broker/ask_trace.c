/* why and impact: from an entry back to what it rests on, or on to what rests
 * on it, in the order of distance. Each entry is told once, whatever leads to
 * it, and each answer is bounded: an entry that more hangs on than was told
 * says so, and from where to go on. */
#include <errno.h>
#include <stdlib.h>

#include "ask_trace.h"
#include "proto/refusal.h"

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
    node_tell(&t->node, &m);
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
        r = t->forward ? trace_gather_forward(t, prev) : trace_gather_back(t);
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
