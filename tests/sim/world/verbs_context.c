/* Rows of the verbs that write to the shared context. */
#include "tests/sim/world/verbs.h"

static bool draft_put(struct draft *d, const struct knowledge *k)
{
    const char *key = any_key(k);

    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&d->m, FIELD_KEY, key);
    draft_value(d, k);
    if (k->any(2))
        msg_set_u(&d->m, FIELD_IF_REVISION,
                  k->any(6)
                      ? key_revision(model_key((struct model *)(uintptr_t)k->m,
                                               bytes_text(key)))
                      : k->any(k->m->size));
    draft_id(d, k);
    if (k->any(6) == 0)
        draft_lease(d, k);
    return true;
}

static bool draft_delete(struct draft *d, const struct knowledge *k)
{
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&d->m, FIELD_KEY, any_key(k));
    draft_id(d, k);
    return true;
}

static bool draft_txn(struct draft *d, const struct knowledge *k)
{
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    draft_writes(d, k);
    draft_compares(d, k);
    draft_id(d, k);
    if (k->any(6) == 0)
        draft_lease(d, k);
    return true;
}

/* May it write that, and is its lease alive, if it names one? */
static int write_fits(struct model *m, const struct seen *s)
{
    if (!model_may(m, s->agent, RIGHT_WRITE) ||
        (msg_has(s->op, FIELD_IF_REVISION) &&
         !model_may(m, s->agent, RIGHT_READ)))
        return CHOIR_DENIED;
    return msg_has(s->op, FIELD_TASK) && !seen_held(m, s) ? CHOIR_FENCED : 0;
}

static int expect_put(struct model *m, const struct seen *s)
{
    int r = seen_values(m, s);

    if (!r)
        r = write_fits(m, s);
    return r ? r : seen_compares(m, s);
}

static int expect_delete(struct model *m, const struct seen *s)
{
    int r = write_fits(m, s);

    if (!r && !key_revision(model_key(m, msg_b(s->op, FIELD_KEY))))
        r = CHOIR_NOT_FOUND;
    return r;
}

static int expect_txn(struct model *m, const struct seen *s)
{
    int r = seen_values(m, s);

    if (!r)
        r = seen_writes(m, s);
    if (!r && msg_has(s->op, FIELD_TASK) && !seen_held(m, s))
        r = CHOIR_FENCED;
    return r ? r : seen_compares(m, s);
}

const struct verb verbs_context[] = {
    {MSG_PUT, 30, draft_put, expect_put, write_all},
    {MSG_DELETE, 5, draft_delete, expect_delete, write_all},
    {MSG_TXN, 15, draft_txn, expect_txn, write_all},
    {0, 0, NULL, NULL, NULL},
};
