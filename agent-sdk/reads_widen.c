/* Too many rows for a completion: those of the folder that has most of them
 * become one row of its prefix, which demands that nothing under it changed
 * after the earliest of the readings. Keys that changed later than that, and
 * were read later, keep rows of their own, or the prefix would be stale at
 * once. */
#include <stdlib.h>

#include "reads_private.h"

/* The key up to its last slash; without one: no bytes, which is all. */
static struct bytes folder_of(const struct row *row)
{
    struct bytes text = row_text(row);

    while (text.n && text.p[text.n - 1] != '/')
        text.n--;
    return text;
}

static int bytes_order(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int folder_order(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
    int order = bytes_order(row_space(x), row_space(y));

    return order ? order : bytes_order(folder_of(x), folder_of(y));
}

/* Those of keys; NULL: no memory. */
static struct row **keys_of(const struct read_set *set, size_t *n)
{
    struct row **rows = malloc((HASH_COUNT(set->rows) + 1) * sizeof *rows);

    *n = 0;
    for (struct row *row = set->rows; rows && row; row = row->hh.next)
        if (!row->is_prefix)
            rows[(*n)++] = row;
    return rows;
}

/* The first row of the longest run of one folder. */
static const struct row *largest(struct row **rows, size_t n, size_t *count)
{
    const struct row *best = NULL;
    size_t begin = 0;

    qsort(rows, n, sizeof *rows, folder_order);
    *count = 0;
    for (size_t i = 1; i <= n; i++) {
        if (i < n && folder_order(&rows[begin], &rows[i]) == 0)
            continue;
        if (i - begin > *count) {
            best = rows[begin];
            *count = i - begin;
        }
        begin = i;
    }
    return best;
}

static bool lies_under(const struct row *row, struct bytes space,
                       struct bytes prefix)
{
    return bytes_equal(row_space(row), space) &&
           bytes_start_with(row_text(row), prefix);
}

static uint64_t earliest(const struct read_set *set, struct bytes space,
                         struct bytes prefix)
{
    uint64_t at = UINT64_MAX;

    for (const struct row *row = set->rows; row; row = row->hh.next)
        if (lies_under(row, space, prefix) && row->at < at)
            at = row->at;
    return at;
}

/* all: also those that would have to stay; then it is stale. Returns how many
 * rows that was. */
static size_t absorb(struct reads *r, struct read_set *set,
                     const struct row *into, uint64_t cut, bool all)
{
    struct row *row, *next;
    size_t n = 0;

    HASH_ITER (hh, set->rows, row, next) {
        if (row == into || !lies_under(row, row_space(into), row_text(into)) ||
            (!all && (row_revision(row) > cut || row->seen > cut)))
            continue;
        row_remove(r, set, row);
        n++;
    }
    return n;
}

/* How many rows went into that prefix. */
static size_t fold(struct reads *r, struct read_set *set, struct bytes space,
                   struct bytes prefix)
{
    uint64_t cut = earliest(set, space, prefix);
    struct row *into = row_get(set, true, space, prefix);
    size_t n;

    if (!into)
        return 0;
    into->revision = into->at = cut;
    set->is_wide = true;
    n = absorb(r, set, into, cut, false);
    return n ? n : absorb(r, set, into, cut, true);
}

/* Copied, because the row goes. */
static size_t fold_at(struct reads *r, struct read_set *set,
                      const struct row *row, struct bytes prefix)
{
    char space[LIMIT_NAME_BYTES + 1], text[LIMIT_KEY_BYTES + 1];
    struct bytes s = row_space(row);

    if (s.n)
        memcpy(space, s.p, s.n);
    if (prefix.n)
        memcpy(text, prefix.p, prefix.n);
    return fold(r, set, bytes_of(space, s.n), bytes_of(text, prefix.n));
}

static size_t fold_largest(struct reads *r, struct read_set *set)
{
    size_t n, count = 0;
    struct row **rows = keys_of(set, &n);
    const struct row *row = rows ? largest(rows, n, &count) : NULL;
    struct bytes everything = {0};

    free(rows);
    if (!row)
        row = set->rows; /* listings alone, or no memory */
    return fold_at(r, set, row, count > 1 ? folder_of(row) : everything);
}

/* Of what is left nothing can be said in fewer words. */
static void give_up(struct reads *r, struct read_set *set)
{
    struct row *row, *next;

    HASH_ITER (hh, set->rows, row, next)
        row_remove(r, set, row);
    set->is_lost = true;
}

void reads_widen(struct reads *r, struct read_set *set, size_t rows,
                 size_t bytes)
{
    while (HASH_COUNT(set->rows) > 1 &&
           (HASH_COUNT(set->rows) > rows || set->bytes > bytes))
        if (!fold_largest(r, set))
            give_up(r, set);
}
