/* What sending and reading do to the state, and to those they are charged
 * to. */
#include <errno.h>

#include "evolve_private.h"

/* One message less is kept of that sender. */
static int uncharge(struct state *s, uint32_t sender)
{
    struct agent *a = agent_by_number(s->agents, sender);

    if (!a || !a->messages)
        return -EUCLEAN;
    a->messages--;
    return 0;
}

/* item: what was decided about it; how many leave a topic to make room. */
static int deliver(struct state *s, const struct evolve_op *o,
                   struct bytes space, const struct msg *m, size_t slot,
                   const struct msg *item)
{
    uint64_t leave = msg_u(item, FIELD_COUNT);
    struct agent *sender = evolve_author(s, o);
    struct box_id box;
    int r;

    if (!sender || !state_box(s, space, m, &box) || slot >= msg_slots(o->op))
        return -EUCLEAN;
    while (leave--) {
        r = uncharge(s, mail_take(s->mail, &box, 0, UINT64_MAX));
        if (r)
            return r;
    }
    r = mail_add(s->mail, &box, o->index, o->agent,
                 msg_slot_bytes(o->op, slot));
    if (!r)
        sender->messages++;
    return evolve_must(r);
}

int evolve_send(struct state *s, const struct evolve_op *o)
{
    struct list items = msg_list(o->effect, FIELD_ITEMS);
    struct msg item;

    if (!list_next(&items, &item))
        return -EUCLEAN;
    return deliver(s, o, msg_b(o->op, FIELD_SPACE), o->op, 0, &item);
}

int evolve_sends(struct state *s, const struct evolve_op *o, struct bytes space)
{
    struct list sends = msg_list(o->op, FIELD_SENDS);
    struct list items = msg_list(o->effect, FIELD_ITEMS);
    uint64_t writes = msg_u(o->op, FIELD_WRITES);
    struct msg m, item;
    int r = 0;

    while (sends.left && writes--) {
        if (!list_next(&items, &item))
            return -EUCLEAN;
    }
    while (!r && list_next(&sends, &m)) {
        if (!list_next(&items, &item))
            return -EUCLEAN;
        r = deliver(s, o, space, &m, (size_t)msg_u(&m, FIELD_SLOT), &item);
    }
    return r;
}

static int acknowledge(struct state *s, const struct evolve_op *o)
{
    struct box_id box = {.agent = o->agent, .space = msg_b(o->op, FIELD_SPACE)};
    uint64_t upto = msg_u(o->op, FIELD_REVISION);
    uint64_t from = msg_u(o->op, FIELD_KIND) ? upto : 0;
    uint32_t sender;
    int r = 0;

    while (!r && (sender = mail_take(s->mail, &box, from, upto)))
        r = uncharge(s, sender);
    return r;
}

int evolve_mark(struct state *s, const struct evolve_op *o)
{
    bool topic = msg_has(o->op, FIELD_TOPIC);
    struct mark_id id = {
        .agent = o->agent,
        .kind = topic ? MARK_TOPIC : MARK_NAME,
        .space = msg_b(o->op, FIELD_SPACE),
        .name = msg_b(o->op, topic ? FIELD_TOPIC : FIELD_NAME),
    };
    struct agent *a = evolve_author(s, o);
    int made, r;

    if (!a)
        return -EUCLEAN;
    if (!topic && !msg_has(o->op, FIELD_NAME))
        return acknowledge(s, o);
    r = mark_set(s->marks, &id, msg_u(o->op, FIELD_REVISION), &made);
    a->marks += (uint32_t)made;
    return evolve_must(r);
}

int evolve_forget_topics(struct state *s, uint64_t upto)
{
    uint32_t sender;
    int r = 0;

    while (!r && (sender = mail_take_topical(s->mail, upto)))
        r = uncharge(s, sender);
    return r;
}

int evolve_mailboxes_drop(struct state *s, const struct agent *a)
{
    uint32_t sender;
    int r = 0;

    while (!r && (sender = mail_take_owned(s->mail, a->number)))
        r = uncharge(s, sender);
    return r;
}
