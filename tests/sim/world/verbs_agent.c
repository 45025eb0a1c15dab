/* Rows of the verbs about sessions. */
#include "tests/sim/world/verbs.h"

static int expect_session_end(struct model *m, const struct seen *s)
{
    struct m_session *x = model_session(m, msg_u(s->op, FIELD_SESSION));

    if (!x || x->over)
        model_says(m, "it ends session %lu, which is not open",
                   msg_u(s->op, FIELD_SESSION));
    return CHOIR_OK;
}

static void session_ended(struct model *m, const struct seen *s)
{
    model_session(m, msg_u(s->op, FIELD_SESSION))->over = true;
}

const struct verb verbs_agent[] = {
    {MSG_SESSION_END, 0, NULL, expect_session_end, session_ended},
    {0, 0, NULL, NULL, NULL},
};
