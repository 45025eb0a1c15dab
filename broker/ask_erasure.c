/* How far an erasure by rule has come, and what came of what it took. */
#include <errno.h>

#include "ask_private.h"
#include "proto/refusal.h"

static int head_read(struct ask *q, uint64_t index, unsigned classes,
                     struct msg *head)
{
    const struct entry *e;
    unsigned field;
    int r = ledger_entry(q->a->ledger, index, &e);

    if (r)
        return r;
    return msg_decode(e->head, classes, head, &field) ? -EUCLEAN : 0;
}

/* Those that were derived, of one slice; a merged one has two slots. */
static void derived_say(struct ask *q, const struct msg *slice)
{
    struct list items = msg_list(slice, FIELD_ITEMS);
    uint64_t n = 0, last = 0;
    struct bytes key = {0};
    struct msg item, out;

    while (list_next(&items, &item)) {
        uint64_t revision = msg_u(&item, FIELD_REVISION);

        if (!msg_has(&item, FIELD_KEY) ||
            (revision == last && bytes_equal(msg_b(&item, FIELD_KEY), key)))
            continue;
        msg_init(&out, MSG_ITEM);
        msg_set_b(&out, FIELD_KEY, msg_b(&item, FIELD_KEY));
        msg_set_u(&out, FIELD_REVISION, revision);
        msg_encode(&out, &q->a->items);
        last = revision;
        key = msg_b(&item, FIELD_KEY);
        n++;
    }
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
}

/* From its last slice back; `prev` names the one before. */
static int slice_say(struct ask *q, const struct erasing *x)
{
    uint64_t at =
        msg_has(q->op, FIELD_PREV) ? msg_u(q->op, FIELD_PREV) : x->last;
    struct msg slice;
    int r;

    if (at <= x->index || at > x->last)
        return CHOIR_NOT_FOUND;
    r = head_read(q, at, CLASS_OPERATION | CLASS_BROKER, &slice);
    if (r)
        return r;
    if (slice.verb != MSG_ERASED || msg_u(&slice, FIELD_REVISION) != x->index)
        return CHOIR_NOT_FOUND;
    if (msg_has(&slice, FIELD_PREV))
        msg_set_u(q->reply, FIELD_PREV, msg_u(&slice, FIELD_PREV));
    derived_say(q, &slice);
    return 0;
}

int ask_erasure(struct ask *q)
{
    const struct erasing *x =
        erasing_find(q->a->state->erasings, msg_u(q->op, FIELD_REVISION));
    struct bytes none = {0};
    struct msg order;
    int r;

    if (!x || x->index >= ledger_size(q->a->ledger))
        return CHOIR_NOT_FOUND;
    r = head_read(q, x->index, CLASS_OPERATION, &order);
    if (r)
        return r;
    if (!agent_may(q->agent, RIGHT_ADMIN, msg_b(&order, FIELD_SPACE),
                   msg_b(&order, FIELD_KEY), none))
        return CHOIR_NOT_FOUND;
    msg_set_u(q->reply, FIELD_COUNT, x->slots);
    if (x->ended)
        msg_set_u(q->reply, FIELD_REVISION, x->last);
    return x->last && x->last < ledger_size(q->a->ledger) ? slice_say(q, x) : 0;
}
