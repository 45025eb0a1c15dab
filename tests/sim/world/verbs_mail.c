/* Rows of the verbs that send: alone, or with a task's result. */
#include "tests/sim/world/verbs.h"

#include <stdlib.h>

enum { SENDS_MAX = 3 };

/* --- Drafting ------------------------------------------------------------ */

static void draft_to(struct msg *m, const struct knowledge *k)
{
    static struct hash nobody;

    if (k->any(3) == 0)
        msg_set_text(m, FIELD_TOPIC,
                     box_topic(MODEL_AGENTS + (int)k->any(MODEL_TOPICS)));
    else if (k->any(20))
        msg_set_hash(m, FIELD_AGENT,
                     &k->m->agents[k->any((uint64_t)k->m->agent_count)]);
    else
        msg_set_hash(m, FIELD_AGENT, &nobody);
    if (k->any(2))
        msg_set_u(m, FIELD_KIND, k->any(SEND_FINAL + 1 + (k->any(20) == 0)));
    if (k->any(2))
        msg_set_u(m, FIELD_REPLY_TO,
                  k->any(20) ? 1 + k->any(k->m->size) : k->m->size + 1000);
}

static bool draft_send(struct draft *d, const struct knowledge *k)
{
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    draft_to(&d->m, k);
    draft_value(d, k);
    draft_id(d, k);
    if (k->any(6) == 0)
        draft_lease(d, k);
    return true;
}

void draft_sends(struct draft *d, const struct knowledge *k)
{
    uint64_t n = 1 + k->any(SENDS_MAX);
    struct msg row;

    for (uint64_t i = 0; i < n; i++) {
        msg_init(&row, MSG_SEND_ROW);
        draft_to(&row, k);
        msg_set_u(&row, FIELD_SLOT,
                  k->any(20) ? k->any(d->slots) : d->slots + 1);
        msg_encode(&row, &d->lists[4]);
    }
    msg_set_list(&d->m, FIELD_SENDS, n, buf_bytes(&d->lists[4]));
}

/* --- Expecting ----------------------------------------------------------- */

struct load {
    uint64_t messages, bytes;
    const struct m_message *oldest, *newest;
};

/* What stands in a box, or anywhere; of that sender, or of all. */
static struct load load_of(const struct model *m, int box, int sender)
{
    struct load l = {0};

    for (size_t i = 0; i < m->message_count; i++) {
        const struct m_message *x = &m->messages[i];

        if (x->gone || (box != MODEL_NOWHERE && x->box != box) ||
            (sender != MODEL_BROKER && x->sender != sender))
            continue;
        l.messages++;
        l.bytes += x->bytes;
        l.oldest = l.oldest ? l.oldest : x;
        l.newest = x;
    }
    return l;
}

static int mailbox_room(const struct model *m, const struct seen *s, int box,
                        uint64_t bytes)
{
    struct load l = load_of(m, box, s->agent);

    return l.messages >= m->limits.mailbox_messages ||
                   l.bytes + bytes > m->limits.mailbox_bytes
               ? CHOIR_OVER_LIMIT
               : 0;
}

/* before: so many more of the same entry. */
static int one_message(const struct model *m, const struct seen *s,
                       const struct msg *row, uint64_t slot, uint64_t before)
{
    uint64_t kind = msg_u(row, FIELD_KIND), to = msg_u(row, FIELD_REPLY_TO);
    int box = box_of(m, row);

    if (kind > SEND_FINAL || to >= s->index || (!to && kind > SEND_REQUEST) ||
        slot >= msg_slots(s->op))
        return CHOIR_INVALID;
    if (!model_may(m, s->agent, RIGHT_SEND))
        return CHOIR_DENIED;
    if (box == MODEL_NOWHERE || (box < MODEL_AGENTS && !m->rights[box]))
        return CHOIR_NOT_FOUND;
    if (load_of(m, MODEL_NOWHERE, s->agent).messages + before >=
        m->limits.messages_per_agent)
        return CHOIR_OVER_LIMIT;
    return box < MODEL_AGENTS
               ? mailbox_room(m, s, box, msg_slot_bytes(s->op, slot))
               : 0;
}

static int expect_send(struct model *m, const struct seen *s)
{
    int r = one_message(m, s, s->op, 0, 0);

    if (!r)
        r = seen_values(m, s);
    return !r && msg_has(s->op, FIELD_TASK) && !seen_held(m, s) ? CHOIR_FENCED
                                                                : r;
}

static bool is_twice(const struct msg *op, uint64_t n, const struct msg *row)
{
    struct list sends = msg_list(op, FIELD_SENDS);
    struct msg other;

    while (n-- && list_next(&sends, &other))
        if (bytes_equal(msg_b(row, FIELD_TOPIC), msg_b(&other, FIELD_TOPIC)) &&
            bytes_equal(msg_b(row, FIELD_AGENT), msg_b(&other, FIELD_AGENT)))
            return true;
    return false;
}

int seen_sends(struct model *m, const struct seen *s)
{
    struct list sends = msg_list(s->op, FIELD_SENDS);
    struct msg row;
    int r = 0;

    for (uint64_t i = 0; !r && list_next(&sends, &row); i++)
        r = is_twice(s->op, i, &row)
                ? CHOIR_INVALID
                : one_message(m, s, &row, msg_u(&row, FIELD_SLOT), i);
    return r;
}

/* --- Happening ----------------------------------------------------------- */

/* A topic is never full: the oldest leave. */
static uint64_t make_room(struct model *m, const struct seen *s, int box)
{
    uint64_t left = 0;

    while (load_of(m, box, MODEL_BROKER).messages >= m->limits.topic_messages) {
        const struct m_message *x = load_of(m, box, MODEL_BROKER).oldest;

        m->messages[x - m->messages].gone = s->index;
        left++;
    }
    return left;
}

/* item: what the effect says of it. */
static void send_one(struct model *m, const struct seen *s,
                     const struct msg *row, uint64_t slot,
                     const struct msg *item)
{
    int box = box_of(m, row);
    bool is_topic = box >= MODEL_AGENTS;
    const struct m_message *newest = load_of(m, box, MODEL_BROKER).newest;
    struct m_message x = {
        .revision = s->index,
        .slot = slot,
        .bytes = msg_slot_bytes(s->op, slot),
        .value = seen_slot(s, slot),
        .kind = msg_u(row, FIELD_KIND),
        .reply_to = msg_u(row, FIELD_REPLY_TO),
        .prev = is_topic && newest ? newest->revision : 0,
        .task = msg_u(s->op, FIELD_TASK),
        .sender = s->agent,
        .box = box,
    };
    uint64_t left = is_topic ? make_room(m, s, box) : 0;

    if (msg_u(item, FIELD_PREV) != x.prev || msg_u(item, FIELD_COUNT) != left)
        model_says(m, "%lu are said to leave, behind %lu comes this; %lu, %lu",
                   msg_u(item, FIELD_COUNT), msg_u(item, FIELD_PREV), left,
                   x.prev);
    MODEL_ROOM(m->messages, m->message_count, m->message_cap);
    m->messages[m->message_count++] = x;
}

static void sent(struct model *m, const struct seen *s)
{
    struct list items = msg_list(s->effect, FIELD_ITEMS);
    struct msg item;

    if (items.left != 1 || !list_next(&items, &item))
        model_says(m, "nothing is said of what was sent");
    else
        send_one(m, s, s->op, 0, &item);
}

/* Their items come behind those of what was written, and before those of what
 * had moved, if the completion was flagged. */
void send_all(struct model *m, const struct seen *s)
{
    struct list items = msg_list(s->effect, FIELD_ITEMS);
    struct list sends = msg_list(s->op, FIELD_SENDS);
    uint64_t writes = msg_u(s->op, FIELD_WRITES);
    struct msg item, row;

    if (!sends.left)
        return;
    if (msg_has(s->effect, FIELD_STALE) ? items.left < writes + sends.left
                                        : items.left != writes + sends.left) {
        model_says(m, "%lu items tell of %lu writes and %lu messages",
                   items.left, writes, sends.left);
        return;
    }
    while (writes--)
        list_next(&items, &item);
    while (list_next(&sends, &row) && list_next(&items, &item))
        send_one(m, s, &row, msg_u(&row, FIELD_SLOT), &item);
}

const struct verb verbs_mail[] = {
    {MSG_SEND, 12, draft_send, expect_send, sent},
    {0, 0, NULL, NULL, NULL},
};
