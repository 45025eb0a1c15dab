/* Who there is, and what of it is not in the record: who is here, how far
 * behind, with which tasks in hand. */
#include <errno.h>

#include "ask_private.h"
#include "proto/refusal.h"

enum {
    SHOWN_MAX = 64, /* sessions of one agent, and so many leases */
    ITEMS_MAX = LIMIT_LIST_ITEMS - 1 - 2 * SHOWN_MAX,
};

enum { ITEM_OF_AGENT, ITEM_OF_SESSION, ITEM_OF_LEASE };

struct page {
    uint64_t items, agents;
    uint64_t steady, wall; /* now, us */
};

/* --- How far behind ------------------------------------------------------- */

/* Since when is there something that it has not seen? 0 or negative errno. */
static int lag_ms(const struct ask *q, uint64_t now, uint64_t seen,
                  uint64_t *lag)
{
    const struct entry *e;
    int r;

    *lag = 0;
    if (seen + 1 >= ledger_size(q->a->ledger))
        return 0;
    r = ledger_body(q->a->ledger, seen + 1, &e);
    if (r)
        return r > 0 ? -EUCLEAN : r;
    *lag = now > e->time ? (now - e->time) / 1000 : 0;
    return 0;
}

static int heard_facts(const struct ask *q, const struct page *page,
                       const struct heard *h, bool here, struct msg *item)
{
    uint64_t ago = page->steady - h->at, lag;
    int r = lag_ms(q, page->wall, h->seen, &lag);

    msg_set_u(item, FIELD_STATE, here ? PRESENCE_HERE : PRESENCE_AWAY);
    msg_set_u(item, FIELD_TIME, page->wall > ago ? page->wall - ago : 0);
    msg_set_u(item, FIELD_SEEN, h->seen);
    msg_set_u(item, FIELD_LAG_MS, lag);
    if (h->labels && h->labels->pairs)
        msg_set_list(item, FIELD_LABELS, h->labels->pairs,
                     bytes_of(h->labels->encoded, h->labels->bytes));
    return r;
}

static int presence_facts(const struct ask *q, const struct page *page,
                          const struct presence *p, struct msg *item)
{
    uint64_t presence_us = q->a->with.config->presence_ms * 1000;

    return heard_facts(q, page, &p->heard,
                       presence_is_here(p, page->steady, presence_us), item);
}

/* --- Items ---------------------------------------------------------------- */

/* Of its sessions the one that was heard of last; NULL: none. */
static const struct presence *latest(const struct ask *q, uint32_t agent)
{
    const struct presence *best = NULL;

    for (const struct presence *p = agent_presences(q->a->with.router, agent);
         p; p = p->agent_next) {
        if (p->heard.at && (!best || p->heard.at > best->heard.at))
            best = p;
    }
    return best;
}

static void item_add(struct ask *q, struct page *page, const struct msg *item)
{
    msg_encode(item, &q->a->items);
    page->items++;
}

static int agent_item(struct ask *q, struct page *page, const struct agent *x)
{
    const struct presence *p = latest(q, x->number);
    const struct heard *before = agent_heard(q->a->with.router, x->number);
    struct msg item;
    int r = 0;

    msg_init(&item, MSG_ITEM);
    msg_set_hash(&item, FIELD_AGENT, &x->id);
    msg_set_text(&item, FIELD_NAME, x->name);
    msg_set_b(&item, FIELD_PUBLIC_KEY, bytes_of(x->public_key, 32));
    msg_set_u(&item, FIELD_CREATED, x->enrolled);
    msg_set_u(&item, FIELD_COUNT, x->sessions);
    if (x->revoked)
        msg_set_u(&item, FIELD_REVISION, x->revoked);
    if (p)
        r = presence_facts(q, page, p, &item);
    else if (before)
        r = heard_facts(q, page, before, false, &item);
    item_add(q, page, &item);
    return r;
}

/* Those tasks alone that the asker may look at. */
static void lease_items(struct ask *q, struct page *page, const struct agent *x,
                        const struct presence *p, unsigned *left)
{
    const struct lease *l = NULL;
    const struct task *t;
    struct msg item;

    while (*left && (l = lease_next(p, l)) != NULL) {
        t = task_by_id(q->a->state->tasks, lease_task(l));
        if (!t || !task_visible(q->agent, t))
            continue;
        msg_init(&item, MSG_ITEM);
        msg_set_u(&item, FIELD_KIND, ITEM_OF_LEASE);
        msg_set_hash(&item, FIELD_AGENT, &x->id);
        msg_set_u(&item, FIELD_SESSION, p->session);
        msg_set_u(&item, FIELD_TASK, t->id);
        msg_set_u(&item, FIELD_TOKEN, t->token);
        msg_set_u(&item, FIELD_ATTEMPT, t->attempt);
        msg_set_u(&item, FIELD_COUNT, lease_stale_reads(l));
        msg_set_text(&item, FIELD_SPACE, t->queue->space);
        msg_set_text(&item, FIELD_QUEUE, t->queue->name);
        item_add(q, page, &item);
        --*left;
    }
}

static int session_items(struct ask *q, struct page *page,
                         const struct agent *x)
{
    const struct presence *p = agent_presences(q->a->with.router, x->number);
    unsigned sessions = SHOWN_MAX, leases = SHOWN_MAX;
    struct msg item;
    int r = 0;

    for (; p && sessions && !r; p = p->agent_next) {
        if (!p->heard.at)
            continue;
        msg_init(&item, MSG_ITEM);
        msg_set_u(&item, FIELD_KIND, ITEM_OF_SESSION);
        msg_set_hash(&item, FIELD_AGENT, &x->id);
        msg_set_u(&item, FIELD_SESSION, p->session);
        r = presence_facts(q, page, p, &item);
        item_add(q, page, &item);
        lease_items(q, page, x, p, &leases);
        sessions--;
    }
    return r;
}

static int agent_items(struct ask *q, struct page *page, const struct agent *x)
{
    int r = agent_item(q, page, x);

    page->agents++;
    return r || !msg_u(q->op, FIELD_KIND) ? r : session_items(q, page, x);
}

/* --- The ask -------------------------------------------------------------- */

static int page_answer(struct ask *q, const struct page *page)
{
    msg_set_u(q->reply, FIELD_TIME, page->wall);
    msg_set_list(q->reply, FIELD_ITEMS, page->items, buf_bytes(&q->a->items));
    return 0;
}

static const struct agent *the_one(const struct ask *q)
{
    const struct agents *agents = q->a->state->agents;
    struct hash id = msg_hash(q->op, FIELD_AGENT);

    return msg_has(q->op, FIELD_NAME)
               ? agent_by_name(agents, msg_b(q->op, FIELD_NAME))
               : agent_by_id(agents, &id);
}

/* Names are public among agents: whoever reads must be able to say who wrote.
 * In order of enrolment; pages go on after a name. */
int ask_agent_list(struct ask *q)
{
    const struct agents *agents = q->a->state->agents;
    struct page page = {.steady = env_steady_us(q->a->with.env),
                        .wall = env_wall_us(q->a->with.env)};
    const struct agent *x = NULL, *last = NULL;
    uint64_t most = ask_page(q);
    int r = 0;

    if (msg_has(q->op, FIELD_NAME) || msg_has(q->op, FIELD_AGENT)) {
        x = the_one(q);
        r = x ? agent_items(q, &page, x) : CHOIR_NOT_FOUND;
        return r ? r : page_answer(q, &page);
    }
    if (msg_has(q->op, FIELD_AFTER)) {
        last = agent_by_name(agents, msg_b(q->op, FIELD_AFTER));
        if (!last)
            return CHOIR_NOT_FOUND;
    }
    while (!r && page.agents < most && page.items <= ITEMS_MAX &&
           (x = agents_next(agents, last))) {
        r = agent_items(q, &page, x);
        last = x;
    }
    if (r)
        return r;
    if (last && agents_next(agents, last))
        msg_set_text(q->reply, FIELD_AFTER, last->name);
    return page_answer(q, &page);
}
