/* Who may join, open a session, give and take rights. */
#include "decide_private.h"
#include "proto/refusal.h"

static const uint64_t invite_default_us = 600ULL * 1000 * 1000;

int decide_enrol(struct decision *d)
{
    const struct msg *op = d->op;
    const uint8_t *key = msg_b(op, FIELD_PUBLIC_KEY).p;
    struct hash id = agent_id(key);
    const struct agent *a = agent_by_id(d->s->agents, &id);
    const struct invite *invite;

    if (!d->f->public_key ||
        memcmp(key, d->f->public_key, KEY_PUBLIC_BYTES) != 0 || key_check(key))
        return CHOIR_INVALID;
    if (a) { /* the answer to its enrolment was lost */
        msg_set_u(d->effect, FIELD_REVISION, a->enrolled);
        return CHOIR_REPEATED;
    }
    invite = invite_by_index(d->s->agents, d->f->invite);
    if (!d->f->invite || !invite || invite->expires <= d->f->time)
        return CHOIR_EXPIRED;
    msg_set_u(d->effect, FIELD_REVISION, invite->index);
    if (msg_b(op, FIELD_NAME).n == 0 ||
        agent_by_curve(d->s->agents, msg_b(op, FIELD_CURVE_KEY).p) ||
        invite_by_curve(d->s->agents, msg_b(op, FIELD_CURVE_KEY).p))
        return CHOIR_INVALID;
    if (agent_by_name(d->s->agents, msg_b(op, FIELD_NAME)))
        return CHOIR_NAME_TAKEN;
    return CHOIR_OK;
}

int decide_session_open(struct decision *d)
{
    const struct agent *a = d->author;
    int slot;

    if (!d->f->public_key)
        return CHOIR_INVALID;
    slot = a ? agent_key_slot(a, d->f->public_key) : -1;
    if (slot < 0 || !agent_key_valid(a, (unsigned)slot) || a->number == BROKER)
        return CHOIR_DENIED;
    if (a->sessions >= d->s->rules.sessions_per_agent_max)
        return over_limit(d, "sessions_per_agent_max",
                          d->s->rules.sessions_per_agent_max, a->sessions);
    return CHOIR_OK;
}

int decide_session_close(struct decision *d)
{
    return d->f->session ? CHOIR_OK : CHOIR_INVALID;
}

/* Whoever gives rights in a space must be its administrator. */
static int grants_fit(struct decision *d)
{
    struct list grants = msg_list(d->op, FIELD_GRANTS);
    struct bytes none = {0};
    struct msg g;

    if (grants.left > LIMIT_GRANTS)
        return over_limit(d, "grants", LIMIT_GRANTS, grants.left);
    while (list_next(&grants, &g)) {
        if (msg_b(&g, FIELD_SPACE).n == 0 ||
            (msg_has(&g, FIELD_PREFIX) && msg_has(&g, FIELD_QUEUE)))
            return CHOIR_INVALID;
        if (!author_may(d, RIGHT_ADMIN, msg_b(&g, FIELD_SPACE), none, none))
            return CHOIR_DENIED;
    }
    return 0;
}

int decide_invite(struct decision *d)
{
    const uint8_t *curve = msg_b(d->op, FIELD_CURVE_KEY).p;
    int r;

    if (msg_u(d->op, FIELD_GRANTS) == 0 ||
        (msg_has(d->op, FIELD_USES) && msg_u(d->op, FIELD_USES) == 0))
        return CHOIR_INVALID;
    r = grants_fit(d);
    if (r)
        return r;
    if (agent_by_curve(d->s->agents, curve) ||
        invite_by_curve(d->s->agents, curve))
        return CHOIR_INVALID;
    if (!msg_has(d->op, FIELD_EXPIRES))
        msg_set_u(d->effect, FIELD_EXPIRES, d->f->time + invite_default_us);
    return CHOIR_OK;
}

int decide_grant(struct decision *d)
{
    struct hash id = msg_hash(d->op, FIELD_AGENT);
    const struct agent *a = agent_by_id(d->s->agents, &id);
    int r = grants_fit(d);

    if (r)
        return r;
    return a && !a->revoked && a->number != BROKER ? CHOIR_OK : CHOIR_NOT_FOUND;
}

int decide_revoke(struct decision *d)
{
    struct hash id = msg_hash(d->op, FIELD_AGENT);
    const struct agent *a = agent_by_id(d->s->agents, &id);
    struct bytes none = {0};

    if (msg_has(d->op, FIELD_PUBLIC_KEY))
        return decide_key_end(d);
    if (!author_may(d, RIGHT_ADMIN, bytes_text("*"), none, none))
        return CHOIR_DENIED;
    return a && !a->revoked && a->number != BROKER ? CHOIR_OK : CHOIR_NOT_FOUND;
}

int decide_session_end(struct decision *d)
{
    return session_by_id(d->s->sessions, msg_u(d->op, FIELD_SESSION))
               ? CHOIR_OK
               : CHOIR_NOT_FOUND;
}
