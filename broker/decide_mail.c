/* Marks: how far an agent has come, and with what. */
#include "decide_private.h"
#include "proto/refusal.h"

/* A name is its own business in a space it belongs to; a topic's cursor is for
 * those who may read it. */
static bool may_mark(const struct decision *d, struct bytes space)
{
    if (msg_has(d->op, FIELD_TOPIC))
        return author_may(d, RIGHT_READ, space, msg_b(d->op, FIELD_TOPIC),
                          (struct bytes){0});
    return agent_belongs(d->author, space);
}

int decide_mark(struct decision *d)
{
    enum field f = msg_has(d->op, FIELD_TOPIC) ? FIELD_TOPIC : FIELD_NAME;
    struct mark_id id = {
        .agent = d->f->agent,
        .kind = f == FIELD_TOPIC ? MARK_TOPIC : MARK_NAME,
        .space = msg_b(d->op, FIELD_SPACE),
        .name = msg_b(d->op, f),
    };
    uint64_t now, wanted = msg_u(d->op, FIELD_REVISION);
    uint64_t most = d->s->rules.marks_per_agent_max;

    if (names_fit(id.space, id.name) || wanted >= d->f->index ||
        (msg_has(d->op, FIELD_TOPIC) && msg_has(d->op, FIELD_NAME)))
        return CHOIR_INVALID;
    if (!may_mark(d, id.space))
        return CHOIR_DENIED;
    now = mark_find(d->s->marks, &id);
    if (!now && !wanted)
        return CHOIR_NOT_FOUND;
    if (!now && d->author->marks >= most)
        return over_limit(d, "marks_per_agent_max", most, d->author->marks);
    if (wanted && now > wanted)
        msg_set_u(d->effect, FIELD_REVISION, now); /* where it stays */
    return CHOIR_OK;
}
