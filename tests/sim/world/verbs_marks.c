/* Rows about how far somebody has come: with its mailbox, a topic, or under a
 * name of its own. */
#include "tests/sim/world/verbs.h"

#include <stdlib.h>

static const char *const names[] = {"m/1", "m/2", "m/3"};

enum { NAMES = sizeof names / sizeof *names };

/* --- Drafting ------------------------------------------------------------ */

/* Of something that stands in the box, mostly. */
static uint64_t any_message(const struct knowledge *k, int box)
{
    const struct m_message *x =
        k->any(20) ? model_mail(k->m, box, k->any(k->m->size)) : NULL;

    return x ? x->revision : k->any(k->m->size + 2);
}

static bool draft_mark(struct draft *d, const struct knowledge *k)
{
    int topic = MODEL_AGENTS + (int)k->any(MODEL_TOPICS);
    uint64_t what = k->any(4);

    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    msg_set_u(&d->m, FIELD_REVISION,
              what < 2 ? any_message(k, what ? topic : k->agent)
                       : k->any(k->m->size + 1));
    if (what && k->any(6) == 0)
        msg_set_u(&d->m, FIELD_REVISION, 0); /* no more of it */
    if (what == 1)
        msg_set_text(&d->m, FIELD_TOPIC, box_topic(topic));
    else if (what)
        msg_set_text(&d->m, FIELD_NAME, names[k->any(NAMES)]);
    if ((!what && k->any(2)) || k->any(30) == 0)
        msg_set_u(&d->m, FIELD_KIND, k->any(30) ? 1 : 2);
    return true;
}

/* --- Expecting ----------------------------------------------------------- */

static uint64_t mark_now(const struct model *m, int agent, bool is_topic,
                         const char *name)
{
    return model_mark(m, agent, is_topic, bytes_text(name), UINT64_MAX);
}

static uint64_t marks_of(const struct model *m, int agent)
{
    uint64_t n = 0;

    for (int i = 0; i < NAMES; i++)
        n += mark_now(m, agent, false, names[i]) != 0;
    for (int i = 0; i < MODEL_TOPICS; i++)
        n += mark_now(m, agent, true, box_topic(MODEL_AGENTS + i)) != 0;
    return n;
}

static bool acknowledges(const struct seen *s)
{
    return !msg_has(s->op, FIELD_TOPIC) && !msg_has(s->op, FIELD_NAME);
}

static uint64_t marked_before(const struct model *m, const struct seen *s)
{
    bool is_topic = msg_has(s->op, FIELD_TOPIC);

    return model_mark(m, s->agent, is_topic,
                      msg_b(s->op, is_topic ? FIELD_TOPIC : FIELD_NAME),
                      UINT64_MAX);
}

static int expect_mark(struct model *m, const struct seen *s)
{
    uint64_t wanted = msg_u(s->op, FIELD_REVISION), stays = 0, now;

    if (wanted >= s->index || (acknowledges(s) ? msg_u(s->op, FIELD_KIND) > 1
                                               : msg_has(s->op, FIELD_KIND)))
        return CHOIR_INVALID;
    if (acknowledges(s))
        return CHOIR_OK;
    now = marked_before(m, s);
    if (!now && !wanted)
        return CHOIR_NOT_FOUND;
    if (!now && marks_of(m, s->agent) >= m->limits.marks_per_agent)
        return CHOIR_OVER_LIMIT;
    if (wanted && now > wanted)
        stays = now;
    if (msg_u(s->effect, FIELD_REVISION) != stays)
        model_says(m, "a mark is said to stay at %lu, it should be %lu",
                   msg_u(s->effect, FIELD_REVISION), stays);
    return CHOIR_OK;
}

/* --- Happening ----------------------------------------------------------- */

/* All up to there, or that one. */
static void acknowledged(struct model *m, const struct seen *s)
{
    uint64_t upto = msg_u(s->op, FIELD_REVISION);
    bool one = msg_u(s->op, FIELD_KIND) == 1;

    for (size_t i = 0; i < m->message_count; i++) {
        struct m_message *x = &m->messages[i];

        if (x->box == s->agent && !x->gone &&
            (one ? x->revision == upto : x->revision <= upto))
            x->gone = s->index;
    }
}

/* It only moves on, or ends. */
static void marked(struct model *m, const struct seen *s)
{
    uint64_t revision = msg_u(s->op, FIELD_REVISION);
    bool is_topic = msg_has(s->op, FIELD_TOPIC);

    if (acknowledges(s)) {
        acknowledged(m, s);
        return;
    }
    if (revision && revision <= marked_before(m, s))
        return;
    MODEL_ROOM(m->marks, m->mark_count, m->mark_cap);
    m->marks[m->mark_count++] = (struct m_mark){
        .index = s->index,
        .name = model_hash(msg_b(s->op, is_topic ? FIELD_TOPIC : FIELD_NAME)),
        .revision = revision,
        .agent = s->agent,
        .is_topic = is_topic,
    };
}

const struct verb verbs_marks[] = {
    {MSG_MARK, 8, draft_mark, expect_mark, marked},
    {0, 0, NULL, NULL, NULL},
};
