/* What is said of a read set: with a completion, to a broker that does not
 * know it, and to the caller of what moved. */
#include <stdlib.h>

#include "reads_private.h"

/* Of an ask: as many rows as fit into a head beside the rest of it. */
enum { ASK_BYTES = LIMIT_HEAD_BYTES - 1024 };

/* False: it has nothing to say that its listing does not say. */
static bool row_put(const struct read_set *set, const struct row *row,
                    struct buf *out)
{
    uint64_t revision = row_revision(row);
    struct msg m;

    if (row->is_unread && !row_is_ours(row))
        return false;
    msg_init(&m, MSG_COMPARE);
    if (!bytes_equal(row_space(row), bytes_text(set->space)))
        msg_set_b(&m, FIELD_SPACE, row_space(row));
    msg_set_b(&m, row->is_prefix ? FIELD_PREFIX : FIELD_KEY, row_text(row));
    msg_set_u(&m, FIELD_REVISION, revision);
    if (row->seen > revision)
        msg_set_u(&m, FIELD_SEEN, row->seen);
    msg_encode(&m, out);
    return true;
}

/* Of a set that lost rows nothing is known: it demands that nothing was ever
 * written. */
static size_t lost_put(struct buf *out)
{
    struct msg m;

    msg_init(&m, MSG_COMPARE);
    msg_set_b(&m, FIELD_PREFIX, (struct bytes){0});
    msg_set_u(&m, FIELD_REVISION, 0);
    msg_encode(&m, out);
    return 1;
}

static size_t rows_put(const struct read_set *set, struct buf *out)
{
    size_t n = 0;

    buf_clear(out);
    if (set->is_lost)
        return lost_put(out);
    for (const struct row *row = set->rows; row; row = row->hh.next)
        n += row_put(set, row, out);
    return n;
}

size_t reads_encode(struct reads *r, uint64_t token, size_t bytes_max,
                    struct buf *part)
{
    struct buf rows = {0};
    struct read_set *set;
    struct msg m;
    size_t n = 0;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    if (set)
        n = rows_put(set, &rows);
    for (size_t most = set ? set->bytes : 0; n > 1 && rows.n + 64 > bytes_max;
         most /= 2) {
        reads_widen(r, set, ROWS_MAX, most / 2);
        n = rows_put(set, &rows);
    }
    pthread_mutex_unlock(&r->lock);
    msg_init(&m, MSG_READ_SET);
    msg_set_list(&m, FIELD_COMPARES, n, buf_bytes(&rows));
    if (n)
        msg_encode(&m, part);
    buf_free(&rows);
    return n;
}

/* --- To the broker -------------------------------------------------------- */

bool reads_unseen(const struct reads *r)
{
    return __atomic_load_n(&r->unseen, __ATOMIC_RELAXED) > 0;
}

static size_t unseen_put(struct reads *r, struct read_set *set,
                         struct buf *rows)
{
    struct row *row, *next;
    size_t n = 0;

    HASH_ITER (hh, set->rows, row, next) {
        if (rows->n + NAME_MAX_BYTES + 64 > ASK_BYTES)
            break;
        if (!row->is_unseen)
            continue;
        row_unseen(r, set, row, false);
        n += row_put(set, row, rows);
    }
    return n;
}

bool reads_next(struct reads *r, struct msg *m, struct buf *rows)
{
    const struct read_set *found = NULL;
    size_t n = 0;

    buf_clear(rows);
    pthread_mutex_lock(&r->lock);
    for (struct read_set *set = r->sets; set && !n; set = set->hh.next) {
        n = set->unseen ? unseen_put(r, set, rows) : 0;
        found = set;
    }
    if (n) {
        msg_init(m, MSG_READS);
        msg_set_u(m, FIELD_TASK, found->task);
        msg_set_u(m, FIELD_TOKEN, found->token);
        msg_set_list(m, FIELD_COMPARES, n, buf_bytes(rows));
    }
    pthread_mutex_unlock(&r->lock);
    return n > 0;
}

void reads_again(struct reads *r)
{
    struct read_set *set, *more;
    struct row *row, *next;

    pthread_mutex_lock(&r->lock);
    HASH_ITER (hh, r->sets, set, more) {
        HASH_ITER (hh, set->rows, row, next)
            row_unseen(r, set, row, true);
    }
    pthread_mutex_unlock(&r->lock);
}

/* --- To the caller -------------------------------------------------------- */

static bool is_pending(const struct read_set *set, const struct row *row)
{
    return row->moved > set->answered && row->moved > row->at;
}

static void move_put(const struct read_set *set, const struct row *row,
                     struct buf *out)
{
    struct msg m;

    msg_init(&m, MSG_ITEM);
    if (!bytes_equal(row_space(row), bytes_text(set->space)))
        msg_set_b(&m, FIELD_SPACE, row_space(row));
    msg_set_b(&m, FIELD_KEY, row_text(row));
    msg_set_u(&m, FIELD_PREV, row->revision);
    msg_set_u(&m, FIELD_REVISION, row->moved);
    if (row->moved_gone)
        msg_set_u(&m, FIELD_KIND, 1);
    msg_set_hash(&m, FIELD_AGENT, &row->writer);
    msg_encode(&m, out);
}

/* What was told of rows that are not kept singly (a set that was widened) is
 * told without them. */
static size_t pending_put(const struct read_set *set, struct msg *m,
                          struct buf *rows)
{
    size_t n = 0;

    for (const struct row *row = set->rows; row; row = row->hh.next) {
        if (!is_pending(set, row))
            continue;
        move_put(set, row, rows);
        n++;
    }
    msg_init(m, MSG_MOVED);
    msg_set_u(m, FIELD_TASK, set->task);
    msg_set_u(m, FIELD_TOKEN, set->token);
    msg_set_u(m, FIELD_REVISION, set->told);
    msg_set_list(m, FIELD_ITEMS, n, buf_bytes(rows));
    return n;
}

bool reads_pending(struct reads *r, uint64_t token, uint64_t *revision,
                   struct buf *item)
{
    const struct read_set *set;
    struct buf rows = {0};
    bool is_there = false;
    struct msg m;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    if (set && set->told > set->answered) {
        is_there = pending_put(set, &m, &rows) > 0 || set->is_wide;
        *revision = set->told;
    }
    pthread_mutex_unlock(&r->lock);
    if (is_there)
        msg_encode(&m, item);
    buf_free(&rows);
    return is_there && !item->failed;
}
