/* Effects of completions, read again for those who did not say them. */
#include "stale.h"

#include <errno.h>

#include "proto/refusal.h"

static int effect_of(const struct entry *e, struct msg *effect)
{
    unsigned field;

    msg_init(effect, MSG_EFFECT);
    return e->effect.n && part_decode(MSG_EFFECT, e->effect, effect, &field)
               ? -EUCLEAN
               : 0;
}

int stale_facts_of(struct ledger *l, uint64_t index, struct stale_facts *out)
{
    const struct entry *e;
    struct msg effect;
    int r = ledger_entry(l, index, &e);

    if (!r)
        r = effect_of(e, &effect);
    if (r)
        return r < 0 ? r : -EUCLEAN;
    out->flagged = msg_has(&effect, FIELD_STALE);
    out->count = msg_u(&effect, FIELD_COUNT);
    return 0;
}

static bool is_readable(const struct agent *reader, struct bytes space,
                        const struct msg *item)
{
    if (msg_has(item, FIELD_SPACE))
        space = msg_b(item, FIELD_SPACE);
    return agent_may(
        reader, RIGHT_READ, space,
        msg_b(item, msg_has(item, FIELD_KEY) ? FIELD_KEY : FIELD_PREFIX),
        (struct bytes){0});
}

static bool completes(const struct entry *e, uint64_t task)
{
    struct msg head;
    unsigned field;

    return !msg_decode(e->head, CLASS_OPERATION, &head, &field) &&
           head.verb == MSG_COMPLETE && msg_u(&head, FIELD_TASK) == task;
}

int stale_items(const struct entry *e, uint64_t task,
                const struct agent *reader, struct bytes space,
                struct buf *keep, struct msg *m)
{
    struct msg effect, item;
    struct list items;
    uint64_t n = 0;
    int r = effect_of(e, &effect);

    buf_clear(keep);
    if (r || e->outcome != CHOIR_STALE || !reader || !completes(e, task))
        return r;
    items = msg_list(&effect, FIELD_ITEMS);
    while (list_next(&items, &item)) {
        if (!is_readable(reader, space, &item))
            continue;
        msg_encode(&item, keep);
        n++;
    }
    msg_set_list(m, FIELD_ITEMS, n, buf_bytes(keep));
    msg_set_u(m, FIELD_COUNT, msg_u(&effect, FIELD_COUNT));
    return keep->failed ? -ENOMEM : 0;
}
