/* Rows about what was read under a lease, and what completions say of it. */
#include "tests/sim/world/verbs.h"

#include <string.h>

enum { ROWS_MAX = 24, MOVES_TOLD = 32 };

struct m_row {
    struct bytes name;
    uint64_t revision, seen;
    bool is_prefix;
};

struct m_rows {
    struct m_row rows[ROWS_MAX];
    size_t count;
};

/* --- Drafting ------------------------------------------------------------ */

static void draft_row(struct draft *d, const struct knowledge *k,
                      const char *name, bool is_prefix)
{
    struct msg row;

    msg_init(&row, MSG_COMPARE);
    msg_set_text(&row, is_prefix ? FIELD_PREFIX : FIELD_KEY, name);
    msg_set_u(&row, FIELD_REVISION,
              is_prefix ? k->m->size - k->any(8) : any_revision(k, name));
    if (k->any(4) == 0)
        msg_set_u(&row, FIELD_SEEN, k->m->size - k->any(8));
    msg_encode(&row, &d->lists[2]);
}

void draft_reads(struct draft *d, const struct knowledge *k)
{
    uint64_t n = k->any(4), rows = 0;
    const char *last = "";
    struct msg set;

    for (uint64_t i = 0; i < n; i++) {
        const char *key = any_key(k);

        if (!strcmp(key, last) && k->any(10))
            continue; /* twice in one is refused: seldom */
        draft_row(d, k, last = key, false);
        rows++;
    }
    if (k->any(3) == 0) {
        draft_row(d, k, k->any(2) ? "a/" : "d/", true);
        rows++;
    }
    msg_init(&set, MSG_READ_SET);
    msg_set_list(&set, FIELD_COMPARES, rows, buf_bytes(&d->lists[2]));
    msg_encode(&set, &d->lists[3]);
    d->values[d->slots] = buf_bytes(&d->lists[3]);
    msg_set_u(&d->m, FIELD_READS, k->any(40) ? d->slots : k->any(6));
    d->slots++;
}

static bool draft_heed(struct draft *d, const struct knowledge *k)
{
    const struct held *h;

    if (!k->lease_count)
        return false;
    h = &k->leases[k->any(k->lease_count)];
    msg_set_u(&d->m, FIELD_TASK, h->task);
    msg_set_u(&d->m, FIELD_TOKEN, k->any(20) ? h->token : k->any(h->token));
    msg_set_u(&d->m, FIELD_KIND, k->any(20) ? 1 + k->any(HEED_ABANDON) : 4);
    msg_set_u(&d->m, FIELD_REVISION,
              h->moved && k->any(6) ? h->moved : k->any(k->m->size + 4));
    return true;
}

/* --- Expecting ----------------------------------------------------------- */

static bool row_is(const struct m_row *row, struct bytes name, bool is_prefix)
{
    return row->is_prefix == is_prefix && bytes_equal(row->name, name);
}

static const struct m_row *key_row(const struct m_rows *r, struct bytes name)
{
    for (size_t i = 0; i < r->count; i++)
        if (row_is(&r->rows[i], name, false))
            return &r->rows[i];
    return NULL;
}

/* False: one of them is there twice. */
static bool rows_add(struct m_rows *r, const struct msg *list)
{
    struct list at = msg_list(list, FIELD_COMPARES);
    struct msg m;

    while (r->count < ROWS_MAX && list_next(&at, &m)) {
        bool is_prefix = msg_has(&m, FIELD_PREFIX);
        struct bytes name = msg_b(&m, is_prefix ? FIELD_PREFIX : FIELD_KEY);

        for (size_t i = 0; i < r->count; i++)
            if (row_is(&r->rows[i], name, is_prefix))
                return false;
        r->rows[r->count++] = (struct m_row){name, msg_u(&m, FIELD_REVISION),
                                             msg_u(&m, FIELD_SEEN), is_prefix};
    }
    return true;
}

/* What the completion carries. */
static bool carried(const struct seen *s, struct m_rows *r)
{
    uint64_t slot = msg_u(s->op, FIELD_READS);
    struct msg set;
    unsigned field;

    if (!msg_has(s->op, FIELD_READS))
        return true;
    return slot != 0 && slot < msg_slots(s->op) &&
           part_decode(MSG_READ_SET, seen_value(s, slot), &set, &field) == 0 &&
           rows_add(r, &set);
}

static uint64_t newest(const struct m_key *k)
{
    return k->count ? k->versions[k->count - 1].revision : 0;
}

static bool key_moved(const struct m_row *row, const struct m_key *k)
{
    return key_revision(k) != row->revision &&
           (newest(k) <= row->revision || newest(k) > row->seen);
}

static size_t row_moved(struct model *m, const struct m_rows *r,
                        const struct m_row *row)
{
    size_t n = 0;

    if (!row->is_prefix)
        return key_moved(row, model_key(m, row->name));
    for (size_t i = 0; i < m->key_count; i++) {
        const struct m_key *k = &m->keys[i];
        struct bytes name = bytes_text(k->name);

        n += bytes_start_with(name, row->name) && newest(k) > row->revision &&
             newest(k) > row->seen && !key_row(r, name);
    }
    return n;
}

/* What it tells of what moved is so. */
static void check_moves(struct model *m, const struct seen *s, size_t moved)
{
    struct list items = msg_list(s->effect, FIELD_ITEMS);
    struct msg item;

    if (msg_u(s->effect, FIELD_COUNT) != moved)
        model_says(m, "it tells of %lu that moved, there are %zu",
                   msg_u(s->effect, FIELD_COUNT), moved);
    if (s->e->outcome == CHOIR_OK) {
        if (msg_u(s->effect, FIELD_STALE) != (moved ? STALE_FLAG : 0))
            model_says(m, "it flags %lu", msg_u(s->effect, FIELD_STALE));
        return;
    }
    if (items.left != (moved < MOVES_TOLD ? moved : MOVES_TOLD))
        model_says(m, "it tells %lu of %zu that moved", items.left, moved);
    while (list_next(&items, &item)) {
        const struct m_key *k = model_key(m, msg_b(&item, FIELD_KEY));

        if (msg_u(&item, FIELD_REVISION) != newest(k) ||
            (msg_u(&item, FIELD_KIND) == 1) != (key_revision(k) == 0))
            model_says(m, "it tells that %s moved to %lu, it is at %lu",
                       k->name, msg_u(&item, FIELD_REVISION), newest(k));
    }
}

/* Beyond what is carried counts what the broker saw read, as it says: that it
 * forgets nothing of this is for those who read to notice. */
int seen_reads(struct model *m, const struct seen *s)
{
    const struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));
    struct m_rows r = {.count = 0};
    size_t moved = 0;
    int wanted;

    if (!carried(s, &r))
        return CHOIR_INVALID;
    if (!rows_add(&r, s->effect))
        model_says(m, "what it saw read was carried too");
    for (size_t i = 0; i < r.count; i++)
        moved += row_moved(m, &r, &r.rows[i]);
    wanted = moved && t->stale != STALE_FLAG ? CHOIR_STALE : CHOIR_OK;
    if (wanted == s->e->outcome)
        check_moves(m, s, moved);
    return wanted;
}

static int expect_heed(struct model *m, const struct seen *s)
{
    uint64_t kind = msg_u(s->op, FIELD_KIND);

    if (!seen_held(m, s))
        return CHOIR_FENCED;
    return kind < HEED_REFRESH || kind > HEED_ABANDON ||
                   msg_u(s->op, FIELD_REVISION) >= s->index
               ? CHOIR_INVALID
               : CHOIR_OK;
}

static void heeded(struct model *m, const struct seen *s)
{
    if (msg_u(s->op, FIELD_KIND) == HEED_ABANDON)
        task_released(m, s);
}

const struct verb verbs_reads[] = {
    {MSG_HEED, 4, draft_heed, expect_heed, heeded},
    {0, 0, NULL, NULL, NULL},
};
