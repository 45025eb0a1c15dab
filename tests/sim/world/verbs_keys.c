/* Rows of the verbs about keys: nothing is accepted behind their end. */
#include "tests/sim/world/verbs.h"

#include "broker/evolve.h"

#include <stdlib.h>
#include <string.h>

/* --- What is known -------------------------------------------------------- */

void model_pair(struct model *m, int agent, const uint8_t *public_key)
{
    struct m_pair *p;

    if (m->pair_count == m->pair_cap) {
        m->pair_cap = m->pair_cap ? 2 * m->pair_cap : 16;
        m->pairs = realloc(m->pairs, m->pair_cap * sizeof *m->pairs);
        if (!m->pairs)
            abort();
    }
    p = &m->pairs[m->pair_count++];
    *p = (struct m_pair){.agent = agent};
    memcpy(p->public_key, public_key, sizeof p->public_key);
}

int pair_find(const struct model *m, const uint8_t *public_key)
{
    for (size_t i = 0; public_key && i < m->pair_count; i++)
        if (!memcmp(m->pairs[i].public_key, public_key, KEY_PUBLIC_BYTES))
            return (int)i;
    return -1;
}

bool model_pair_lives(const struct model *m, int agent,
                      const uint8_t *public_key)
{
    int i = pair_find(m, public_key);

    return i >= 0 && m->pairs[i].agent == agent && !m->pairs[i].over;
}

size_t model_pairs(const struct model *m, int agent)
{
    size_t n = 0;

    for (size_t i = 0; i < m->pair_count; i++)
        n += m->pairs[i].agent == agent && !m->pairs[i].over;
    return n;
}

void pair_end(struct model *m, int pair, uint64_t index)
{
    m->pairs[pair].over = true;
    m->pairs[pair].ended = index;
    for (size_t i = 0; i < m->session_count; i++) {
        struct m_session *x = &m->sessions[i];

        if (x->pair != pair || x->over)
            continue;
        x->over = true;
        x->ended = index;
    }
}

/* --- Sessions -------------------------------------------------------------- */

static const uint8_t *signer(const struct seen *s)
{
    return msg_b(&s->e->bundle, FIELD_PUBLIC_KEY).p;
}

static int expect_open(struct model *m, const struct seen *s)
{
    if (!model_pair_lives(m, s->agent, signer(s)))
        model_says(m, "agent %d opens a session with a key that has ended",
                   s->agent);
    return CHOIR_OK;
}

static void session_opened(struct model *m, const struct seen *s)
{
    if (m->session_count == m->session_cap) {
        m->session_cap = m->session_cap ? 2 * m->session_cap : 32;
        m->sessions =
            realloc(m->sessions, m->session_cap * sizeof *m->sessions);
        if (!m->sessions)
            abort();
    }
    m->sessions[m->session_count++] = (struct m_session){
        .id = s->index,
        .next_seq = 1,
        .agent = s->agent,
        .pair = pair_find(m, signer(s)),
    };
}

/* --- Another key ------------------------------------------------------------ */

int seen_new_key(struct model *m, const struct seen *s)
{
    const uint8_t *key = msg_b(s->op, FIELD_PUBLIC_KEY).p;
    struct hash ledger = msg_hash(&s->e->bundle, FIELD_LEDGER);
    uint8_t claim[KEY_CLAIM_BYTES];

    key_claim(claim, &m->agents[s->agent], key,
              msg_b(s->op, FIELD_CURVE_KEY).p);
    return pair_find(m, key) >= 0 || key_verify(key, KEY_FOR_KEY, &ledger,
                                                bytes_of(claim, sizeof claim),
                                                msg_b(s->op, FIELD_SIGNATURE).p)
               ? CHOIR_INVALID
               : CHOIR_OK;
}

/* Another key, one to recover with, or both. */
static int expect_rotate(struct model *m, const struct seen *s)
{
    return msg_has(s->op, FIELD_PUBLIC_KEY) ? seen_new_key(m, s) : CHOIR_OK;
}

void recovery_keep(struct model *m, const struct seen *s)
{
    struct m_recovery *r = &m->recovery[s->agent];

    if (!msg_has(s->op, FIELD_RECOVERY_KEY))
        return;
    r->is_there = true;
    memcpy(r->public_key, msg_b(s->op, FIELD_RECOVERY_KEY).p,
           sizeof r->public_key);
}

static void rotated(struct model *m, const struct seen *s)
{
    recovery_keep(m, s);
    if (!msg_has(s->op, FIELD_PUBLIC_KEY))
        return;
    if (msg_u(s->op, FIELD_KIND) != ROTATE_ADD)
        pair_end(m, model_session(m, s->e->session)->pair, s->index);
    model_pair(m, s->agent, msg_b(s->op, FIELD_PUBLIC_KEY).p);
}

/* --- Ends ------------------------------------------------------------------- */

int agent_named(const struct model *m, const struct seen *s)
{
    struct hash id = msg_hash(s->op, FIELD_AGENT);

    for (int i = 0; i < m->agent_count; i++)
        if (hash_equal(&m->agents[i], &id))
            return i;
    return MODEL_BROKER;
}

/* Now and then the one that is there to be revoked; else a key of somebody who
 * has another, mostly. */
static bool draft_revoke(struct draft *d, const struct knowledge *k)
{
    int whole = k->m->agent_count - 2;
    const struct m_pair *p;

    msg_set_text(&d->m, FIELD_REASON, "simulated");
    if (k->any(12) == 0) {
        msg_set_hash(&d->m, FIELD_AGENT, &k->m->agents[whole]);
        return true;
    }
    p = &k->m->pairs[k->any(k->m->pair_count)];
    if ((p->agent != k->agent && k->any(10) &&
         !model_may(k->m, k->agent, RIGHT_ADMIN)) ||
        (!p->over && model_pairs(k->m, p->agent) < 2))
        return false;
    msg_set_hash(&d->m, FIELD_AGENT, &k->m->agents[p->agent]);
    msg_set_b(&d->m, FIELD_PUBLIC_KEY,
              bytes_of(p->public_key, KEY_PUBLIC_BYTES));
    return true;
}

static int expect_revoke(struct model *m, const struct seen *s)
{
    bool may = model_may(m, s->agent, RIGHT_ADMIN);
    int agent = agent_named(m, s);

    if (msg_has(s->op, FIELD_PUBLIC_KEY))
        return (may || agent == s->agent) &&
                       model_pair_lives(m, agent,
                                        msg_b(s->op, FIELD_PUBLIC_KEY).p)
                   ? CHOIR_OK
                   : CHOIR_NOT_FOUND;
    if (!may)
        return CHOIR_DENIED;
    return m->revoked[agent] ? CHOIR_NOT_FOUND : CHOIR_OK;
}

static void revoked(struct model *m, const struct seen *s)
{
    int agent = agent_named(m, s);

    if (msg_has(s->op, FIELD_PUBLIC_KEY)) {
        pair_end(m, pair_find(m, msg_b(s->op, FIELD_PUBLIC_KEY).p), s->index);
        return;
    }
    m->revoked[agent] = true;
    m->rights[agent] = 0;
    model_mail_drop(m, agent, s->index);
    for (size_t i = 0; i < m->pair_count; i++)
        if (m->pairs[i].agent == agent) {
            uint64_t ended = m->pairs[i].ended;

            pair_end(m, (int)i, s->index);
            m->pairs[i].ended = ended; /* the agent has ended, not its key */
        }
}

const struct verb verbs_keys[] = {
    {MSG_SESSION_OPEN, 0, NULL, expect_open, session_opened},
    {MSG_ROTATE, 0, NULL, expect_rotate, rotated},
    {MSG_REVOKE, 1, draft_revoke, expect_revoke, revoked},
    {0, 0, NULL, NULL, NULL},
};
