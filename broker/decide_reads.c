/* Does what a task was made from still hold? The rows that its completion
 * carries, and beyond them what the broker saw read under the lease, against
 * the context as it is now; and what the task's policy makes of the answer. */
#include <errno.h>
#include <stdlib.h>

#include "decide_private.h"
#include "proto/refusal.h"
#include "readable.h"

enum {
    /* Keys looked at under listings of one completion; then it is stale. */
    READS_STEPS_MAX = 16384,
    MOVES_MAX = 32,         /* told one by one; all are counted */
    MOVES_BYTES_MAX = 6144, /* and with the rest they fit into an effect */
    SCRATCH_BYTES = 4 * LIMIT_HEAD_BYTES,
};

struct row {
    struct bytes space, name;
    uint64_t revision, seen;
    bool is_prefix;
};

/* What is no longer as a row says. k: the key that changed, or NULL. */
struct move {
    const struct row *row;
    const struct key *k;
};

struct check {
    struct decision *d;
    struct bytes space; /* of the task */
    struct row *rows;
    size_t n, carried, cap;
    const struct row **tops; /* carried prefixes that no other one covers */
    size_t top_count;
    size_t keys; /* of the rows, once sorted; prefixes stand behind */
    struct buf beyond;
    uint64_t beyond_count;
    struct move moves[MOVES_MAX];
    uint64_t moved;
    unsigned looked; /* keys under prefixes */
};

const char reads_beyond_limit[] = "reads_beyond_bytes";
const char reads_bundle_limit[] = "reads_per_bundle";

/* --- Rows ----------------------------------------------------------------- */

static int bytes_order(struct bytes a, struct bytes b)
{
    return index_compare(a.p, a.n, b.p, b.n);
}

static int row_order(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order;

    if (x->is_prefix != y->is_prefix)
        return x->is_prefix ? 1 : -1;
    order = bytes_order(x->space, y->space);
    return order ? order : bytes_order(x->name, y->name);
}

/* False: it is not a row. */
static bool row_read(const struct check *c, const struct msg *m,
                     struct row *row)
{
    bool is_prefix = msg_has(m, FIELD_PREFIX);

    if (is_prefix == msg_has(m, FIELD_KEY))
        return false;
    *row = (struct row){
        .space = msg_has(m, FIELD_SPACE) ? msg_b(m, FIELD_SPACE) : c->space,
        .name = msg_b(m, is_prefix ? FIELD_PREFIX : FIELD_KEY),
        .revision = msg_u(m, FIELD_REVISION),
        .seen = msg_u(m, FIELD_SEEN),
        .is_prefix = is_prefix,
    };
    return row->space.n && (is_prefix || row->name.n);
}

static int rows_room(struct check *c, size_t n)
{
    struct row *rows = realloc(c->rows, (n ? n : 1) * sizeof *rows);

    if (!rows)
        return -ENOMEM;
    c->rows = rows;
    c->cap = n;
    return 0;
}

static void rows_sort(struct check *c)
{
    qsort(c->rows, c->n, sizeof *c->rows, row_order);
    for (c->keys = 0; c->keys < c->n && !c->rows[c->keys].is_prefix;)
        c->keys++;
}

/* The set that the completion carries, checked; none is fine. */
static int carried_read(struct check *c, struct msg *set)
{
    const struct msg *op = c->d->op;
    uint64_t slot = msg_u(op, FIELD_READS);
    struct bytes salt, value;
    unsigned field;

    msg_init(set, MSG_READ_SET);
    if (!msg_has(op, FIELD_READS))
        return 0;
    if (slot == 0 || slot >= msg_slots(op) ||
        slot_at(msg_b(op, FIELD_SLOTS), c->d->f->payload, (size_t)slot, &salt,
                &value) ||
        part_decode(MSG_READ_SET, value, set, &field))
        return CHOIR_INVALID;
    return 0;
}

static int carried_load(struct check *c)
{
    struct list at;
    struct msg set, m;
    int r = carried_read(c, &set);

    if (r)
        return r;
    at = msg_list(&set, FIELD_COMPARES);
    r = rows_room(c, (size_t)(at.left + c->d->f->observed_count));
    while (!r && list_next(&at, &m))
        r = row_read(c, &m, &c->rows[c->n++]) ? 0 : CHOIR_INVALID;
    if (r)
        return r;
    rows_sort(c);
    for (size_t i = 1; i < c->n; i++) {
        if (row_order(&c->rows[i - 1], &c->rows[i]) == 0)
            return CHOIR_INVALID; /* which of them would hold? */
    }
    c->carried = c->n;
    return 0;
}

static const struct row *row_find(const struct check *c, size_t n,
                                  const struct row *row)
{
    return bsearch(row, c->rows, n, sizeof *row, row_order);
}

/* A prefix stands right before what lies under it. */
static int tops_find(struct check *c)
{
    const struct row *top = NULL;

    c->tops = reallocarray(NULL, c->carried + 1, sizeof *c->tops);
    if (!c->tops)
        return -ENOMEM;
    for (const struct row *row = c->rows; row < c->rows + c->carried; row++) {
        if (!row->is_prefix || (top && bytes_equal(top->space, row->space) &&
                                bytes_start_with(row->name, top->name)))
            continue;
        c->tops[c->top_count++] = top = row;
    }
    return 0;
}

/* Does a carried prefix speak for it? None of the tops is a prefix of another
 * one, so only the last one that stands before it can be. */
static bool is_under_carried(const struct check *c, const struct row *row)
{
    struct row want = *row;
    size_t low = 0, high = c->top_count;

    want.is_prefix = true;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (row_order(c->tops[middle], &want) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low && bytes_equal(c->tops[low - 1]->space, row->space) &&
           bytes_start_with(row->name, c->tops[low - 1]->name);
}

static void beyond_put(struct check *c, const struct row *row)
{
    struct msg m;

    msg_init(&m, MSG_COMPARE);
    if (!bytes_equal(row->space, c->space))
        msg_set_b(&m, FIELD_SPACE, row->space);
    msg_set_b(&m, row->is_prefix ? FIELD_PREFIX : FIELD_KEY, row->name);
    msg_set_u(&m, FIELD_REVISION, row->revision);
    if (row->seen)
        msg_set_u(&m, FIELD_SEEN, row->seen);
    msg_encode(&m, &c->beyond);
    c->beyond_count++;
}

/* What the broker saw and the completion does not speak of. Too much of it
 * does not fit into the record: a client that reads so much has to carry it. */
static int beyond_load(struct check *c)
{
    struct cursor at = cursor_of(c->d->f->observed);
    struct list rows = {at, c->d->f->observed_count, MSG_COMPARE};
    struct msg m;
    struct row row;

    while (c->beyond.n <= READS_BEYOND_BYTES_MAX && list_next(&rows, &m)) {
        if (!row_read(c, &m, &row) || row_find(c, c->carried, &row) ||
            is_under_carried(c, &row))
            continue;
        beyond_put(c, &row);
        c->rows[c->n++] = row;
    }
    if (c->beyond.failed)
        return -ENOMEM;
    if (c->beyond.n > READS_BEYOND_BYTES_MAX)
        return over_limit(c->d, reads_beyond_limit, READS_BEYOND_BYTES_MAX,
                          c->beyond.n);
    if (c->beyond_count)
        rows_sort(c);
    return 0;
}

/* --- Against the context -------------------------------------------------- */

static void moved(struct check *c, const struct row *row, const struct key *k)
{
    if (c->moved < MOVES_MAX)
        c->moves[c->moved] = (struct move){row, k};
    c->moved++;
}

static bool is_readable(const struct check *c, struct bytes space,
                        struct bytes key)
{
    return author_may(c->d, RIGHT_READ, space, key, (struct bytes){0});
}

static void key_row_check(struct check *c, const struct row *row)
{
    const struct key *k =
        is_readable(c, row->space, row->name)
            ? context_find(c->d->s->context, row->space, row->name)
            : NULL;
    uint64_t now = k && !k->deleted ? k->revision : 0;

    if (now == row->revision ||
        (k && k->revision > row->revision && k->revision <= row->seen))
        return;
    moved(c, row, k);
}

static const struct key *next_newer(const struct check *c,
                                    const struct row *row, struct bytes from,
                                    bool exclusive)
{
    return readable_next(c->d->s, c->d->author, row->space, row->name, from,
                         exclusive, row->revision);
}

/* Keys that the set names are judged by their own rows. */
static void prefix_row_check(struct check *c, const struct row *row)
{
    struct row own = {.space = row->space};
    const struct key *k = next_newer(c, row, row->name, false);

    while (k && c->looked < READS_STEPS_MAX) {
        c->looked++;
        own.name = key_name(k);
        if (k->revision > row->seen && !row_find(c, c->keys, &own))
            moved(c, row, k);
        k = next_newer(c, row, own.name, true);
    }
    if (k)
        moved(c, row, NULL);
}

static void rows_check(struct check *c)
{
    for (size_t i = 0; i < c->keys; i++)
        key_row_check(c, &c->rows[i]);
    for (size_t i = c->keys; i < c->n; i++)
        prefix_row_check(c, &c->rows[i]);
}

/* --- What follows --------------------------------------------------------- */

static void move_put(struct check *c, const struct move *move, struct buf *out)
{
    const struct row *row = move->row;
    const struct agent *writer =
        move->k ? agent_by_number(c->d->s->agents, move->k->agent) : NULL;
    struct msg m;

    msg_init(&m, MSG_ITEM);
    if (!bytes_equal(row->space, c->space))
        msg_set_b(&m, FIELD_SPACE, row->space);
    if (row->is_prefix)
        msg_set_b(&m, FIELD_PREFIX, row->name);
    if (move->k || !row->is_prefix)
        msg_set_b(&m, FIELD_KEY, move->k ? key_name(move->k) : row->name);
    msg_set_u(&m, FIELD_PREV, row->revision);
    msg_set_u(&m, FIELD_REVISION, move->k ? move->k->revision : 0);
    if (!move->k || move->k->deleted)
        msg_set_u(&m, FIELD_KIND, 1);
    if (writer)
        msg_set_hash(&m, FIELD_AGENT, &writer->id);
    msg_encode(&m, out);
}

/* Behind what the effect has already: one element a write. */
static void moves_put(struct check *c)
{
    struct buf *out = c->d->scratch;
    uint64_t n = msg_u(c->d->effect, FIELD_ITEMS);
    struct bytes before = msg_b(c->d->effect, FIELD_ITEMS);
    size_t at = out->n;

    if (before.n)
        buf_put(out, before.p, before.n);
    for (size_t i = 0; i < c->moved && i < MOVES_MAX &&
                       out->n - at < before.n + MOVES_BYTES_MAX;
         i++, n++)
        move_put(c, &c->moves[i], out);
    msg_set_list(c->d->effect, FIELD_ITEMS, n,
                 bytes_of(out->p + at, out->n - at));
    msg_set_u(c->d->effect, FIELD_COUNT, c->moved);
}

static void beyond_note(struct check *c)
{
    struct buf *out = c->d->scratch;
    size_t at = out->n;

    if (!c->beyond_count)
        return;
    buf_put(out, c->beyond.p, c->beyond.n);
    msg_set_list(c->d->effect, FIELD_COMPARES, c->beyond_count,
                 bytes_of(out->p + at, c->beyond.n));
}

static int judge(struct check *c, const struct task *t)
{
    struct decision *d = c->d;
    int r = c->moved && t->stale != STALE_FLAG ? CHOIR_STALE
                                               : results_combine(d, c->space);

    if (r && r != CHOIR_STALE)
        return r;
    if (c->moved && r == CHOIR_OK)
        msg_set_u(d->effect, FIELD_STALE, STALE_FLAG);
    if (r == CHOIR_STALE && t->stale == STALE_REQUEUE)
        give_back(d, t);
    if (c->moved)
        moves_put(c);
    beyond_note(c);
    return r;
}

/* A completion that is refused may be said again, a thousand times in one
 * bundle; everybody else waits meanwhile. */
static int bundle_has_room(struct decision *d)
{
    const struct decide_values *v = d->f->values;

    return v && v->looked >= READS_BUNDLE_MAX
               ? over_limit(d, reads_bundle_limit, READS_BUNDLE_MAX, v->looked)
               : 0;
}

static void bundle_charge(const struct check *c)
{
    struct decide_values *v = c->d->f->values;

    if (v)
        v->looked += c->carried + c->d->f->observed_count + c->looked;
}

int decide_reads(struct decision *d, const struct task *t)
{
    struct check c = {.d = d, .space = bytes_text(t->queue->space)};
    int r = bundle_has_room(d);

    if (r)
        return r;
    /* What lists of the effect point into must not move any more. */
    if (buf_grow(d->scratch, SCRATCH_BYTES))
        d->scratch->n -= SCRATCH_BYTES;
    r = carried_load(&c);
    if (!r)
        r = tops_find(&c);
    if (!r)
        r = beyond_load(&c);
    if (!r) {
        rows_check(&c);
        r = judge(&c, t);
    }
    bundle_charge(&c);
    free(c.rows);
    free(c.tops);
    buf_free(&c.beyond);
    return r;
}

int decide_heed(struct decision *d)
{
    struct task *t = held_task(d);
    uint64_t kind = msg_u(d->op, FIELD_KIND);

    if (!t)
        return CHOIR_FENCED;
    if (kind < HEED_REFRESH || kind > HEED_ABANDON ||
        msg_u(d->op, FIELD_REVISION) >= d->f->index)
        return CHOIR_INVALID;
    return kind == HEED_ABANDON ? give_back(d, t) : CHOIR_OK;
}
