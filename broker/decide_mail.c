/* Sending, and how far an agent has come with reading. */
#include "decide_private.h"
#include "proto/refusal.h"

/* --- Sending ------------------------------------------------------------- */

/* A topic is granted as a key of that name would be, an agent with the whole
 * space. */
static bool may_send(const struct decision *d, struct bytes space,
                     const struct msg *m)
{
    struct bytes none = {0};

    return author_may(d, RIGHT_SEND, space,
                      msg_has(m, FIELD_TOPIC) ? msg_b(m, FIELD_TOPIC) : none,
                      none);
}

/* Somebody who could read it. */
static bool receives(const struct decision *d, const struct box_id *box)
{
    return box->agent == AGENT_NONE ||
           (box->agent != BROKER &&
            agent_belongs(agent_by_number(d->s->agents, box->agent),
                          box->space));
}

/* What stands in the message itself. */
static bool message_fits(const struct decision *d, const struct msg *m)
{
    uint64_t kind = msg_u(m, FIELD_KIND), to = msg_u(m, FIELD_REPLY_TO);

    return msg_has(m, FIELD_AGENT) != msg_has(m, FIELD_TOPIC) &&
           (!msg_has(m, FIELD_TOPIC) || msg_b(m, FIELD_TOPIC).n) &&
           kind <= SEND_FINAL && to < d->f->index &&
           (to || (kind != SEND_PARTIAL && kind != SEND_FINAL));
}

static int mailbox_has_room(struct decision *d, const struct box_id *box,
                            uint64_t bytes)
{
    struct mail_load has = mail_share(d->s->mail, box, d->f->agent);
    const struct rules *rules = &d->s->rules;

    if (has.messages >= rules->mailbox_messages_max)
        return over_limit(d, "mailbox_messages_max",
                          rules->mailbox_messages_max, has.messages);
    if (has.bytes + bytes > rules->mailbox_bytes_max)
        return over_limit(d, "mailbox_bytes_max", rules->mailbox_bytes_max,
                          has.bytes + bytes);
    return 0;
}

/* 0 or the outcome. before: messages of the same operation. */
static int message_check(struct decision *d, struct bytes space,
                         const struct msg *m, size_t slot, uint64_t before)
{
    uint64_t most = d->s->rules.messages_per_agent_max;
    struct box_id box;

    if (!message_fits(d, m) || slot >= msg_slots(d->op))
        return CHOIR_INVALID;
    if (!may_send(d, space, m))
        return CHOIR_DENIED;
    if (!state_box(d->s, space, m, &box) || !receives(d, &box))
        return CHOIR_NOT_FOUND;
    if (d->author->messages + before >= most)
        return over_limit(d, "messages_per_agent_max", most,
                          d->author->messages + before);
    return box.agent ? mailbox_has_room(d, &box, msg_slot_bytes(d->op, slot))
                     : 0;
}

/* Its element of the effect. A topic is never full: the oldest leave. */
static void message_note(struct decision *d, struct bytes space,
                         const struct msg *m)
{
    uint64_t most = d->s->rules.topic_messages_max;
    struct mail_load has = {0};
    struct box_id box;
    struct msg item;

    msg_init(&item, MSG_ITEM);
    if (state_box(d->s, space, m, &box) && !box.agent)
        has = mail_load(d->s->mail, &box);
    if (has.newest)
        msg_set_u(&item, FIELD_PREV, has.newest);
    if (has.messages >= most)
        msg_set_u(&item, FIELD_COUNT, has.messages + 1 - most);
    msg_encode(&item, d->scratch);
}

int decide_send(struct decision *d)
{
    struct bytes space = msg_b(d->op, FIELD_SPACE);
    int r = names_fit(space, space);

    if (!r)
        r = message_check(d, space, d->op, 0, 0);
    if (!r)
        r = slots_fit(d, 1, 1);
    if (!r)
        r = lease_fits(d);
    if (r)
        return r;
    message_note(d, space, d->op);
    msg_set_list(d->effect, FIELD_ITEMS, 1, buf_bytes(d->scratch));
    return CHOIR_OK;
}

static bool same_box(const struct msg *a, const struct msg *b)
{
    return msg_has(a, FIELD_TOPIC) == msg_has(b, FIELD_TOPIC) &&
           bytes_equal(msg_b(a, FIELD_TOPIC), msg_b(b, FIELD_TOPIC)) &&
           bytes_equal(msg_b(a, FIELD_AGENT), msg_b(b, FIELD_AGENT));
}

/* A message is known by its box and its revision. */
static bool first_of_its_box(const struct msg *op, uint64_t n,
                             const struct msg *m)
{
    struct list sends = msg_list(op, FIELD_SENDS);
    struct msg other;

    while (n-- && list_next(&sends, &other)) {
        if (same_box(&other, m))
            return false;
    }
    return true;
}

int sends_fit(struct decision *d, struct bytes space)
{
    struct list sends = msg_list(d->op, FIELD_SENDS);
    struct msg m;
    int r = 0;

    if (sends.left > LIMIT_SENDS)
        return over_limit(d, "sends", LIMIT_SENDS, sends.left);
    for (uint64_t i = 0; !r && list_next(&sends, &m); i++) {
        r = first_of_its_box(d->op, i, &m)
                ? message_check(d, space, &m, (size_t)msg_u(&m, FIELD_SLOT), i)
                : CHOIR_INVALID;
    }
    return r;
}

void sends_note(struct decision *d, struct bytes space)
{
    struct list sends = msg_list(d->op, FIELD_SENDS);
    uint64_t n = msg_u(d->effect, FIELD_ITEMS) + sends.left;
    struct msg m;

    while (list_next(&sends, &m))
        message_note(d, space, &m);
    if (n)
        msg_set_list(d->effect, FIELD_ITEMS, n, buf_bytes(d->scratch));
}

/* --- Marks --------------------------------------------------------------- */

/* A name is its own business in a space it belongs to, and so is its mailbox; a
 * topic's cursor is for those who may read it. */
static bool may_mark(const struct decision *d, struct bytes space)
{
    if (msg_has(d->op, FIELD_TOPIC))
        return author_may(d, RIGHT_READ, space, msg_b(d->op, FIELD_TOPIC),
                          (struct bytes){0});
    return agent_belongs(d->author, space);
}

/* What is acknowledged may have been so before: the answer was lost. */
static int decide_acknowledge(struct decision *d)
{
    struct bytes space = msg_b(d->op, FIELD_SPACE);

    if (names_fit(space, space) || msg_u(d->op, FIELD_KIND) > 1 ||
        msg_u(d->op, FIELD_REVISION) >= d->f->index)
        return CHOIR_INVALID;
    return may_mark(d, space) ? CHOIR_OK : CHOIR_DENIED;
}

int decide_mark(struct decision *d)
{
    enum field f = msg_has(d->op, FIELD_TOPIC) ? FIELD_TOPIC : FIELD_NAME;
    struct mark_id id = {
        .agent = d->f->agent,
        .kind = f == FIELD_TOPIC ? MARK_TOPIC : MARK_NAME,
        .space = msg_b(d->op, FIELD_SPACE),
        .name = msg_b(d->op, f),
    };
    uint64_t now, wanted = msg_u(d->op, FIELD_REVISION);
    uint64_t most = d->s->rules.marks_per_agent_max;

    if (!msg_has(d->op, f))
        return decide_acknowledge(d);
    if (names_fit(id.space, id.name) || msg_has(d->op, FIELD_KIND) ||
        wanted >= d->f->index ||
        (msg_has(d->op, FIELD_TOPIC) && msg_has(d->op, FIELD_NAME)))
        return CHOIR_INVALID;
    if (!may_mark(d, id.space))
        return CHOIR_DENIED;
    now = mark_find(d->s->marks, &id);
    if (!now && !wanted)
        return CHOIR_NOT_FOUND;
    if (!now && d->author->marks >= most)
        return over_limit(d, "marks_per_agent_max", most, d->author->marks);
    if (wanted && now > wanted)
        msg_set_u(d->effect, FIELD_REVISION, now); /* where it stays */
    return CHOIR_OK;
}
