/* What marks do to the state, and to those they are charged to. */
#include <errno.h>

#include "evolve_private.h"

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
    r = mark_set(s->marks, &id, msg_u(o->op, FIELD_REVISION), &made);
    a->marks += (uint32_t)made;
    return evolve_must(r);
}
