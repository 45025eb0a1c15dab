/* The chain is walked back from the last one, and told forward. */
#include "partial.h"

#include <errno.h>

#include "changes.h"

static int effect_read(struct ledger *l, uint64_t index, const struct entry **e,
                       struct msg *effect)
{
    unsigned field;
    int r = ledger_entry(l, index, e);

    if (r)
        return r < 0 ? r : -EUCLEAN;
    return part_decode(MSG_EFFECT, (*e)->effect, effect, &field) ? -EUCLEAN : 0;
}

int partials_after(struct ledger *l, const struct task *t, uint32_t had,
                   struct buf *entries)
{
    uint32_t last = t->links ? t->links->partials : 0;
    uint64_t at = last ? t->links->partial : 0;
    size_t n = last > had ? last - had : 0, begin = entries->n;
    uint64_t *place;

    for (size_t i = 0; i < n; i++)
        buf_put(entries, &at, sizeof at);
    if (entries->failed)
        return -ENOMEM;
    for (place = (uint64_t *)(void *)(entries->p + begin); n--;) {
        const struct entry *e;
        struct msg effect;
        int r;

        memcpy(&place[n], &at, sizeof at);
        if (!n)
            break;
        r = effect_read(l, at, &e, &effect);
        if (r)
            return r;
        at = msg_u(&effect, FIELD_PREV);
    }
    return 0;
}

int partial_read(struct ledger *l, uint64_t index, struct msg *m)
{
    const struct entry *e;
    struct msg head, effect;
    unsigned field;
    int r = effect_read(l, index, &e, &effect);

    if (r)
        return r;
    if (msg_decode(e->head, CLASS_OPERATION, &head, &field))
        return -EUCLEAN;
    msg_init(m, MSG_PARTIAL_TOLD);
    msg_set_u(m, FIELD_TASK, msg_u(&head, FIELD_TASK));
    msg_set_u(m, FIELD_TOKEN, msg_u(&head, FIELD_TOKEN));
    msg_set_u(m, FIELD_COUNT, msg_u(&effect, FIELD_COUNT));
    msg_set_u(m, FIELD_REVISION, index);
    if (msg_has(&head, FIELD_TYPE))
        msg_set_b(m, FIELD_TYPE, msg_b(&head, FIELD_TYPE));
    slot_tell(e, 0, m);
    return 0;
}
