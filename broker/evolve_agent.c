/* What joining, rights and sessions do to the agents. */
#include <errno.h>

#include "evolve_private.h"

static int session_over(struct state *s, struct session *session)
{
    struct agent *a;

    if (!session)
        return -EUCLEAN;
    a = agent_by_number(s->agents, session->agent);
    if (!a)
        return -EUCLEAN;
    a->sessions--;
    session_end(s->sessions, session);
    return 0;
}

int evolve_session_open(struct state *s, const struct evolve_op *o)
{
    struct agent *a = evolve_author(s, o);
    int slot = a ? agent_key_slot(a, o->public_key) : -1;

    if (slot < 0)
        return -EUCLEAN;
    a->sessions++;
    return evolve_must(session_start(s->sessions, o->index, a->number,
                                     (uint8_t)slot, o->bundle));
}

int evolve_session_close(struct state *s, const struct evolve_op *o)
{
    return session_over(s, session_by_id(s->sessions, o->session));
}

int evolve_enrol(struct state *s, const struct evolve_op *o)
{
    const struct msg *m = o->op;
    struct invite *invite =
        invite_by_index(s->agents, msg_u(o->effect, FIELD_REVISION));
    struct hash id = agent_id(msg_b(m, FIELD_PUBLIC_KEY).p);
    struct msg grants;
    int r;

    if (!invite)
        return -EUCLEAN;
    r = agent_enrol(s->agents, o->index, msg_b(m, FIELD_NAME),
                    msg_b(m, FIELD_PUBLIC_KEY).p, msg_b(m, FIELD_CURVE_KEY).p);
    if (r)
        return evolve_must(r);
    msg_init(&grants, MSG_INVITE);
    msg_set_list(&grants, FIELD_GRANTS, invite->grant_count,
                 buf_bytes(&invite->grants));
    r = agent_grant(s->agents, agent_by_id(s->agents, &id),
                    msg_list(&grants, FIELD_GRANTS));
    if (!r)
        invite_use(s->agents, invite);
    return evolve_must(r);
}

int evolve_invite(struct state *s, const struct evolve_op *o)
{
    const struct msg *m = o->op;
    uint64_t uses = msg_has(m, FIELD_USES) ? msg_u(m, FIELD_USES) : 1;
    uint64_t expires = evolve_chosen(o, FIELD_EXPIRES);

    return evolve_must(
        invite_add(s->agents, o->index, msg_b(m, FIELD_CURVE_KEY).p, uses,
                   expires, msg_u(m, FIELD_GRANTS), msg_b(m, FIELD_GRANTS)));
}

int evolve_grant(struct state *s, const struct evolve_op *o)
{
    struct hash id = msg_hash(o->op, FIELD_AGENT);
    struct agent *a = agent_by_id(s->agents, &id);

    if (!a)
        return -EUCLEAN;
    return evolve_must(
        agent_grant(s->agents, a, msg_list(o->op, FIELD_GRANTS)));
}

int sessions_over(struct state *s, const struct agent *a, int slot)
{
    struct session *at, *next;

    for (at = sessions_next(s->sessions, NULL); at; at = next) {
        next = sessions_next(s->sessions, at);
        if (at->agent == a->number && (slot < 0 || at->key == slot) &&
            session_over(s, at))
            return -EUCLEAN;
    }
    return 0;
}

int evolve_revoke(struct state *s, const struct evolve_op *o)
{
    struct hash id = msg_hash(o->op, FIELD_AGENT);
    struct agent *a = agent_by_id(s->agents, &id);

    if (!a)
        return -EUCLEAN;
    if (msg_has(o->op, FIELD_PUBLIC_KEY))
        return evolve_key_end(s, o, a);
    agent_revoke(s->agents, a, o->index);
    if (sessions_over(s, a, -1))
        return -EUCLEAN;
    return evolve_mailboxes_drop(s, a);
}

int evolve_admit(struct state *s, const struct evolve_op *o)
{
    const struct msg *m = o->op;
    struct hash id = msg_hash(m, FIELD_AGENT);
    int r =
        agent_enrol(s->agents, o->index, msg_b(m, FIELD_NAME),
                    msg_b(m, FIELD_PUBLIC_KEY).p, msg_b(m, FIELD_CURVE_KEY).p);

    if (r)
        return evolve_must(r);
    return evolve_must(agent_grant(s->agents, agent_by_id(s->agents, &id),
                                   msg_list(m, FIELD_GRANTS)));
}

int evolve_session_end(struct state *s, const struct evolve_op *o)
{
    return session_over(
        s, session_by_id(s->sessions, msg_u(o->op, FIELD_SESSION)));
}
