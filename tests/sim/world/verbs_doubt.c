/* Rows about keys that are not to be trusted any more: one that is in doubt
 * from some entry on, and all of an agent's, which has lost them. */
#include "tests/sim/world/verbs.h"

#include <stdlib.h>
#include <string.h>

/* --- Doubt ----------------------------------------------------------------- */

/* A key of one's own, or of anybody's if one may; or all of them. */
static bool draft_suspect(struct draft *d, const struct knowledge *k)
{
    const struct m_pair *p = &k->m->pairs[k->any(k->m->pair_count)];

    if (p->agent != k->agent && k->any(10) &&
        !model_may(k->m, k->agent, RIGHT_ADMIN))
        return false;
    msg_set_hash(&d->m, FIELD_AGENT, &k->m->agents[p->agent]);
    msg_set_u(&d->m, FIELD_REVISION,
              k->any(k->m->size) + (k->any(20) ? 0 : 1000000));
    if (k->any(2))
        msg_set_b(&d->m, FIELD_PUBLIC_KEY,
                  bytes_of(p->public_key, KEY_PUBLIC_BYTES));
    return true;
}

static int expect_suspect(struct model *m, const struct seen *s)
{
    int agent = agent_named(m, s);

    if (agent != s->agent && !model_may(m, s->agent, RIGHT_ADMIN))
        return CHOIR_NOT_FOUND;
    return msg_u(s->op, FIELD_REVISION) <= s->index ? CHOIR_OK : CHOIR_INVALID;
}

static void suspected(struct model *m, const struct seen *s)
{
    bool one = msg_has(s->op, FIELD_PUBLIC_KEY);

    for (size_t i = 0; i < m->pair_count; i++) {
        const struct m_pair *p = &m->pairs[i];

        if (one ? memcmp(p->public_key, msg_b(s->op, FIELD_PUBLIC_KEY).p,
                         sizeof p->public_key)
                : p->agent != agent_named(m, s))
            continue;
        MODEL_ROOM(m->doubts, m->doubt_count, m->doubt_cap);
        m->doubts[m->doubt_count++] =
            (struct m_doubt){s->index, msg_u(s->op, FIELD_REVISION), i};
    }
}

uint64_t model_doubt(const struct model *m, size_t pair, uint64_t index)
{
    for (size_t i = m->doubt_count; i-- > 0;)
        if (m->doubts[i].pair == pair && m->doubts[i].index <= index)
            return m->doubts[i].since;
    return 0;
}

/* --- Loss ------------------------------------------------------------------ */

/* By the word of the key that was kept for it, and of no other. */
static int expect_recover(struct model *m, const struct seen *s)
{
    const uint8_t *signer = msg_b(&s->e->bundle, FIELD_PUBLIC_KEY).p;
    const struct m_recovery *r = &m->recovery[s->agent];

    if (m->revoked[s->agent] || !r->is_there ||
        memcmp(r->public_key, signer, sizeof r->public_key))
        return CHOIR_DENIED;
    return seen_new_key(m, s);
}

static void recovered(struct model *m, const struct seen *s)
{
    for (size_t i = 0; i < m->pair_count; i++)
        if (m->pairs[i].agent == s->agent && !m->pairs[i].over)
            pair_end(m, (int)i, s->index);
    model_pair(m, s->agent, msg_b(s->op, FIELD_PUBLIC_KEY).p);
    recovery_keep(m, s);
}

const struct verb verbs_doubt[] = {
    {MSG_SUSPECT, 1, draft_suspect, expect_suspect, suspected},
    {MSG_RECOVER, 0, NULL, expect_recover, recovered},
    {0, 0, NULL, NULL, NULL},
};
