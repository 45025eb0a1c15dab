/* Three-way over the paths of maps. Values that are not maps are whole: they
 * are equal byte for byte, or they differ. A map with a key twice, or with very
 * many, is whole, too.
 *
 * Where a side left something as the base has it, the other side's is taken,
 * byte for byte. A map that both changed is written with its keys in the order
 * of their bytes, so that it does not matter who came first. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "merge_private.h"
#include "pack.h"
#include "refusal.h"

struct merging {
    struct buf *out;
    struct merge_clashes *clashes;
    enum merge_side side;
    struct bytes keys[LIMIT_DEPTH]; /* the way to where we are */
    size_t depth;
};

int merge_compare(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int r = n ? memcmp(a.p, b.p, n) : 0;

    return r ? r : a.n < b.n ? -1 : a.n > b.n;
}

struct bytes merge_next(struct cursor *c)
{
    const uint8_t *start = c->p;

    pack_skip(c);
    return bytes_of(start, (size_t)(c->p - start));
}

int merge_pair_compare(const void *a, const void *b)
{
    const struct merge_pair *x = a, *y = b;

    return merge_compare(x->key, y->key);
}

/* --- Where they clash ---------------------------------------------------- */

size_t merge_step_put(char *to, size_t room, struct bytes key)
{
    struct cursor c = cursor_of(key);
    struct pack_item item;
    size_t n = 1;

    if (room)
        *to = '/';
    pack_next(&c, &item);
    if (item.kind == PACK_UINT || item.kind == PACK_INT)
        return n + (size_t)snprintf(room > n ? to + n : NULL,
                                    room > n ? room - n : 0, "%lld",
                                    (long long)item.u);
    for (size_t i = 0; item.kind == PACK_TEXT && i < item.bytes.n; i++) {
        uint8_t b = item.bytes.p[i];
        bool escaped = b == '~' || b == '/';

        if (escaped && n++ < room)
            to[n - 1] = '~';
        if (n++ < room)
            to[n - 1] = (char)(escaped ? b == '~' ? '0' : '1' : b);
    }
    if (item.kind != PACK_TEXT && n++ < room)
        to[n - 1] = '?';
    return n;
}

/* Text in a value may be anything; what stands in a message is UTF-8. */
static void path_put(const struct merging *m, char path[MERGE_PATH_BYTES])
{
    size_t n = 0;

    for (size_t i = 0; i < m->depth; i++) {
        size_t more =
            merge_step_put(path + n, MERGE_PATH_BYTES - n, m->keys[i]);

        if (n + more >= MERGE_PATH_BYTES ||
            !bytes_utf8(bytes_of(path + n, more)))
            break;
        n += more;
    }
    path[n] = '\0';
}

static void clash(struct merging *m)
{
    if (m->clashes->count < MERGE_PATHS_MAX)
        path_put(m, m->clashes->paths[m->clashes->count]);
    m->clashes->count++;
}

/* --- Maps ---------------------------------------------------------------- */

static bool is_map(struct bytes value, uint64_t *count, struct cursor *c)
{
    struct pack_item item;

    *c = cursor_of(value);
    if (pack_next(c, &item) || item.kind != PACK_MAP)
        return false;
    *count = item.u;
    return item.u <= MERGE_ITEMS_MAX;
}

static bool has_key_twice(const struct merge_map *map)
{
    for (size_t i = 1; i < map->count; i++) {
        if (bytes_equal(map->pairs[i - 1].key, map->pairs[i].key))
            return true;
    }
    return false;
}

int merge_map_make(struct merge_map *map, struct bytes value)
{
    uint64_t n;
    struct cursor c;

    *map = (struct merge_map){0};
    if (!value.p)
        return 0;
    if (!is_map(value, &n, &c))
        return CHOIR_NOT_FOUND;
    map->pairs = calloc((size_t)n + 1, sizeof *map->pairs);
    if (!map->pairs)
        return -ENOMEM;
    for (; map->count < n; map->count++) {
        map->pairs[map->count].key = merge_next(&c);
        map->pairs[map->count].value = merge_next(&c);
    }
    qsort(map->pairs, map->count, sizeof *map->pairs, merge_pair_compare);
    return has_key_twice(map) ? CHOIR_NOT_FOUND : 0;
}

enum { BASE, THEIRS, YOURS, SIDES };

/* The smallest key that comes next on any side, and its value on each. */
static bool pairs_next(const struct merge_map maps[SIDES], size_t at[SIDES],
                       struct bytes *key, struct bytes values[SIDES])
{
    *key = (struct bytes){0};
    for (int i = 0; i < SIDES; i++) {
        if (at[i] < maps[i].count &&
            (!key->p || merge_compare(maps[i].pairs[at[i]].key, *key) < 0))
            *key = maps[i].pairs[at[i]].key;
    }
    if (!key->p)
        return false;
    for (int i = 0; i < SIDES; i++) {
        values[i] = (struct bytes){0};
        if (at[i] < maps[i].count &&
            bytes_equal(maps[i].pairs[at[i]].key, *key))
            values[i] = maps[i].pairs[at[i]++].value;
    }
    return true;
}

static int three(struct merging *m, const struct bytes values[SIDES]);

/* The header comes last, when it is known how many pairs there are. */
static int header_put(struct buf *out, size_t start, uint64_t pairs)
{
    struct buf header = {0};
    size_t body = out->n - start;

    pack_map(&header, pairs);
    if (header.failed || !buf_grow(out, header.n)) {
        buf_free(&header);
        return -ENOMEM;
    }
    memmove(out->p + start + header.n, out->p + start, body);
    memcpy(out->p + start, header.p, header.n);
    buf_free(&header);
    return 0;
}

static int pairs_put(struct merging *m, const struct merge_map maps[SIDES])
{
    size_t at[SIDES] = {0}, start = m->out->n;
    struct bytes values[SIDES], key;
    uint64_t pairs = 0;
    int r = 0;

    while (!r && pairs_next(maps, at, &key, values)) {
        size_t before = m->out->n, behind;

        m->keys[m->depth++] = key;
        buf_put(m->out, key.p, key.n);
        behind = m->out->n;
        r = three(m, values);
        m->depth--;
        if (m->out->n == behind)
            m->out->n = before; /* it is gone */
        else
            pairs++;
    }
    if (!r && m->out->failed)
        r = -ENOMEM;
    return r ? r : header_put(m->out, start, pairs);
}

/* 0; CHOIR_NOT_FOUND: not all of them are maps to be taken apart. */
static int maps_put(struct merging *m, const struct bytes values[SIDES])
{
    struct merge_map maps[SIDES] = {{0}};
    int r = values[THEIRS].p && values[YOURS].p ? 0 : CHOIR_NOT_FOUND;

    for (int i = 0; !r && i < SIDES; i++)
        r = merge_map_make(&maps[i], values[i]);
    if (!r)
        r = pairs_put(m, maps);
    for (int i = 0; i < SIDES; i++)
        free(maps[i].pairs);
    return r;
}

/* What becomes of one place: a value, or nothing. Values are valid and so no
 * deeper than LIMIT_DEPTH. */
static int three(struct merging *m, const struct bytes values[SIDES])
{
    struct bytes taken = values[THEIRS];
    int r;

    if (bytes_equal(values[BASE], values[THEIRS])) {
        taken = values[YOURS];
    } else if (!bytes_equal(values[THEIRS], values[YOURS]) &&
               !bytes_equal(values[BASE], values[YOURS])) {
        r = maps_put(m, values);
        if (r != CHOIR_NOT_FOUND)
            return r;
        if (m->side == MERGE_YOURS)
            taken = values[YOURS];
        else if (m->side == MERGE_NO_SIDE)
            clash(m);
    }
    buf_put(m->out, taken.p, taken.n);
    return 0;
}

int merge_maps(const struct merge_inputs *in, struct buf *out,
               struct merge_clashes *clashes)
{
    const struct bytes values[SIDES] = {in->base, in->theirs, in->yours};
    struct merging m = {.out = out, .clashes = clashes, .side = in->side};
    int r = three(&m, values);

    if (r || !clashes->count)
        return r;
    clashes->why = "both changed the same";
    return CHOIR_CONFLICT;
}
