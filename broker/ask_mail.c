/* Reading what was sent, and one's own marks. */
#include "ask_private.h"
#include "proto/refusal.h"

static void mark_item(struct ask *q, const struct mark *m)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_b(&item, FIELD_NAME, mark_name(m));
    msg_set_u(&item, FIELD_REVISION, m->revision);
    msg_set_u(&item, FIELD_KIND, mark_kind(m));
    msg_encode(&item, &q->a->items);
}

static int mark_one(struct ask *q, struct mark_id *id)
{
    bool topic = msg_has(q->op, FIELD_TOPIC);
    uint64_t revision;

    if (topic && msg_has(q->op, FIELD_NAME))
        return CHOIR_INVALID;
    id->kind = topic ? MARK_TOPIC : MARK_NAME;
    id->name = msg_b(q->op, topic ? FIELD_TOPIC : FIELD_NAME);
    revision = mark_find(q->a->state->marks, id);
    if (!revision)
        return CHOIR_NOT_FOUND;
    msg_set_u(q->reply, FIELD_REVISION, revision);
    return 0;
}

/* Nobody else's: what an agent has read is between it and the broker. Names
 * first, then topics, each in order. */
int ask_mark_list(struct ask *q)
{
    struct mark_id at = {
        .agent = q->agent->number,
        .space = msg_b(q->op, FIELD_SPACE),
        .name = msg_b(q->op, FIELD_AFTER),
        .kind = msg_u(q->op, FIELD_KIND) ? MARK_TOPIC : MARK_NAME,
    };
    const struct marks *marks = q->a->state->marks;
    const struct mark *m = NULL, *next;
    uint64_t n = 0, page = ask_page(q);

    if (msg_has(q->op, FIELD_NAME) || msg_has(q->op, FIELD_TOPIC))
        return mark_one(q, &at);
    while ((next = marks_next(marks, &at)) && n < page) {
        mark_item(q, next);
        m = next;
        at.kind = mark_kind(m);
        at.name = mark_name(m);
        n++;
    }
    if (next && m)
        msg_set_b(q->reply, FIELD_AFTER, mark_name(m));
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
    return 0;
}

/* --- Inboxes ------------------------------------------------------------- */

/* A topic goes on behind its reader's mark, a mailbox with all that it has not
 * acknowledged, unless it says where. */
static uint64_t inbox_from(const struct ask *q)
{
    struct mark_id id = {
        .agent = q->agent->number,
        .kind = MARK_TOPIC,
        .space = msg_b(q->op, FIELD_SPACE),
        .name = msg_b(q->op, FIELD_TOPIC),
    };

    if (msg_has(q->op, FIELD_REVISION))
        return msg_u(q->op, FIELD_REVISION);
    return id.name.n ? mark_find(q->a->state->marks, &id) + 1 : 0;
}

int ask_inbox(struct ask *q)
{
    uint64_t limit = q->a->with.config->watches_per_agent_max;
    struct inbox_request request = {
        .number = msg_u(q->op, FIELD_WATCH),
        .space = msg_b(q->op, FIELD_SPACE),
        .topic = msg_b(q->op, FIELD_TOPIC),
        .from = inbox_from(q),
        .credit = msg_u(q->op, FIELD_CREDIT),
    };
    int r;

    if (msg_has(q->op, FIELD_TOPIC) && !request.topic.n)
        return CHOIR_INVALID;
    watch_close(q->a->with.cursors, q->p, request.number);
    r = inbox_open(q->a->with.inboxes, q->p, &request, limit);
    return r == CHOIR_OVER_LIMIT
               ? ask_over(q, "watches_per_agent_max", limit, limit)
               : r;
}
