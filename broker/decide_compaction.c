/* What of the past need not be kept. */
#include "decide_private.h"
#include "proto/refusal.h"

int decide_compact(struct decision *d)
{
    struct bytes none = {0}, all = bytes_text("*");
    struct bytes space =
        msg_has(d->op, FIELD_SPACE) ? msg_b(d->op, FIELD_SPACE) : all;

    if (space.n == 0)
        return CHOIR_INVALID;
    if (!author_may(d, RIGHT_ADMIN, space, none, none))
        return CHOIR_DENIED;
    return msg_u(d->op, FIELD_REVISION) < d->f->index ? CHOIR_OK
                                                      : CHOIR_INVALID;
}
