/* What the model knows of mail: what stands in which box, and the marks of its
 * readers. */
#include <stdlib.h>

#include "tests/sim/world/model.h"

static const char *const topics[MODEL_TOPICS] = {"t/1", "t/2"};

int box_of(const struct model *m, const struct msg *to)
{
    struct hash id = msg_hash(to, FIELD_AGENT);

    for (int i = 0; msg_has(to, FIELD_TOPIC) && i < MODEL_TOPICS; i++)
        if (bytes_equal(msg_b(to, FIELD_TOPIC), bytes_text(topics[i])))
            return MODEL_AGENTS + i;
    for (int i = 0; msg_has(to, FIELD_AGENT) && i < m->agent_count; i++)
        if (hash_equal(&m->agents[i], &id))
            return i;
    return MODEL_NOWHERE;
}

const char *box_topic(int box)
{
    return box < MODEL_AGENTS ? NULL : topics[box - MODEL_AGENTS];
}

/* They stand in the order of their revisions; several of one completion have
 * the same one. */
static size_t first_from(const struct model *m, uint64_t revision)
{
    size_t low = 0, high = m->message_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (m->messages[middle].revision < revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct m_message *model_mail(const struct model *m, int box,
                                   uint64_t from)
{
    for (size_t i = first_from(m, from); i < m->message_count; i++)
        if (m->messages[i].box == box && !m->messages[i].gone)
            return &m->messages[i];
    return NULL;
}

const struct m_message *model_sent(const struct model *m, int box,
                                   uint64_t revision)
{
    for (size_t i = first_from(m, revision);
         i < m->message_count && m->messages[i].revision == revision; i++)
        if (m->messages[i].box == box)
            return &m->messages[i];
    return NULL;
}

void model_topics_forget(struct model *m, uint64_t upto, uint64_t index)
{
    for (size_t i = 0; i < m->message_count; i++) {
        struct m_message *x = &m->messages[i];

        if (x->box >= MODEL_AGENTS && !x->gone && x->revision <= upto)
            x->gone = index;
    }
}

void model_mail_drop(struct model *m, int box, uint64_t index)
{
    for (size_t i = 0; i < m->message_count; i++)
        if (m->messages[i].box == box && !m->messages[i].gone)
            m->messages[i].gone = index;
}

uint64_t model_mark(const struct model *m, int agent, bool is_topic,
                    struct bytes name, uint64_t index)
{
    uint64_t hash = model_hash(name);

    for (size_t i = m->mark_count; i-- > 0;) {
        const struct m_mark *x = &m->marks[i];

        if (x->index <= index && x->agent == agent && x->name == hash &&
            x->is_topic == is_topic)
            return x->revision;
    }
    return 0;
}
