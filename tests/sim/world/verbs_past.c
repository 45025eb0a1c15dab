/* Rows of the verbs that say what of the past need not be kept; and what then
 * has to be there. */
#include "tests/sim/world/verbs.h"

#include <stdlib.h>

#include "broker/changes.h"

/* --- Compaction ----------------------------------------------------------- */

/* Mostly by who may; mostly so that some of the past stays. */
static bool draft_compact(struct draft *d, const struct knowledge *k)
{
    uint64_t size = k->m->size, back = k->any(20) ? k->any(150) : k->any(size);

    if (!model_may(k->m, k->agent, RIGHT_ADMIN) && k->any(20))
        return false;
    msg_set_u(&d->m, FIELD_REVISION,
              k->any(20) ? size - (back < size ? back : 0) : size + 1000);
    if (k->any(3))
        msg_set_text(&d->m, FIELD_SPACE,
                     k->any(10) == 0 ? "other"
                     : k->any(2)     ? SIM_SPACE
                                     : "*");
    return true;
}

static int expect_compact(struct model *m, const struct seen *s)
{
    if (!model_may(m, s->agent, RIGHT_ADMIN))
        return CHOIR_DENIED;
    return msg_u(s->op, FIELD_REVISION) < s->index ? CHOIR_OK : CHOIR_INVALID;
}

static void compacted(struct model *m, const struct seen *s)
{
    struct bytes space = msg_b(s->op, FIELD_SPACE);
    uint64_t line = msg_u(s->op, FIELD_REVISION);

    if (bytes_equal(space, bytes_text("other")) ||
        line <= model_line(m, s->index))
        return;
    if (m->line_count == m->line_cap) {
        m->line_cap = m->line_cap ? 2 * m->line_cap : 16;
        m->lines = realloc(m->lines, m->line_cap * sizeof *m->lines);
        if (!m->lines)
            abort();
    }
    m->lines[m->line_count++] = (struct m_line){s->index, line};
}

const struct verb verbs_past[] = {
    {MSG_COMPACT, 1, draft_compact, expect_compact, compacted},
    {0, 0, NULL, NULL, NULL},
};

/* --- What is kept --------------------------------------------------------- */

uint64_t model_line(const struct model *m, uint64_t index)
{
    size_t n = m->line_count;

    while (n && m->lines[n - 1].index > index)
        n--;
    return n ? m->lines[n - 1].line : 0;
}

/* Has another version taken its place, at the line or before? */
static bool is_gone(const struct m_key *k, const struct m_version *v,
                    uint64_t line)
{
    return v + 1 < k->versions + k->count && v[1].revision <= line;
}

bool model_holds(const struct model *m, const struct m_key *k,
                 const struct m_version *v, uint64_t index)
{
    return !is_gone(k, v, model_line(m, index));
}

size_t model_kept_at(const struct model *m, uint64_t revision, uint64_t line)
{
    size_t n = 0;

    for (size_t i = 0; i < m->key_count; i++) {
        const struct m_version *v = key_at(&m->keys[i], revision);

        n += v && v->revision == revision && !is_gone(&m->keys[i], v, line);
    }
    return n;
}

/* May what that slot held be compacted? Then it is a version's, or what was
 * merged into one, and no version that it holds has to be there. */
static bool slot_may_go(const struct model *m, uint64_t revision, size_t slot)
{
    uint64_t line = model_line(m, m->size);
    bool is_merged = m->entries[revision].merges, found = false;

    for (size_t i = 0; i < m->key_count; i++) {
        const struct m_version *v = key_at(&m->keys[i], revision);

        if (!v || v->revision != revision || v->deleted ||
            (v->slot != slot && !is_merged))
            continue;
        if (!is_gone(&m->keys[i], v, line))
            return false;
        found = true;
    }
    return found;
}

static bool marks_fit(struct model *m, const struct entry *e,
                      struct bytes marks, size_t first)
{
    for (size_t i = 0; i < marks.n; i++) {
        uint8_t mark = marks.p[i];

        if (mark != SLOT_KEPT &&
            !(mark == SLOT_COMPACTED && slot_may_go(m, e->index, first + i)) &&
            !(mark == SLOT_ERASED && model_erased(m, e->index, first + i)))
            return model_says(m, "slot %zu of entry %lu is gone: %u", first + i,
                              e->index, mark);
    }
    return true;
}

bool model_keeps(struct model *m, const struct entry *e)
{
    return marks_fit(m, e, e->marks, 0) &&
           marks_fit(m, e, e->effect_marks, SLOT_EFFECT);
}

static bool marks_gone(struct model *m, const struct entry *e,
                       struct bytes rows, struct bytes marks, size_t first)
{
    for (size_t i = 0; i < rows.n / SLOT_ROW_BYTES; i++)
        if (model_erased(m, e->index, first + i) &&
            (!marks.n || marks.p[i] == SLOT_KEPT))
            return model_says(m, "slot %zu of entry %lu is still there",
                              first + i, e->index);
    return true;
}

bool model_erases(struct model *m, const struct entry *e)
{
    return marks_gone(m, e, e->rows, e->marks, 0) &&
           marks_gone(m, e, e->effect_rows, e->effect_marks, SLOT_EFFECT);
}
