/* The value is a tree of nodes in the order of a walk: each before what is
 * under it. An earlier value is walked beside it, no deeper than they differ.
 * What was once found to differ is settled; so what is open has been the same
 * in all values that were compared, and the newest one stands for them. */
#include "places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "merge_private.h"
#include "pack.h"
#include "refusal.h"

enum how { LEAF, MAP, SET, LINE }; /* LINE: an array that grows at its end */

struct node {
    struct bytes key, value; /* encoded */
    uint64_t number;         /* of an element */
    uint64_t revision;       /* of a leaf; 0: open */
    size_t end;              /* the first node that is not under it */
    size_t open;             /* leaves under it that are; itself */
    uint8_t depth, how;
};

struct places {
    struct buf nodes; /* of struct node; the first is the whole value */
    char path[LIMIT_KEY_BYTES + 1];
    size_t lengths[LIMIT_DEPTH + 2]; /* of the path, by depth */
};

static struct node *node_at(const struct places *p, size_t i)
{
    return (struct node *)(void *)p->nodes.p + i;
}

static size_t node_count(const struct places *p)
{
    return p->nodes.n / sizeof(struct node);
}

/* --- Names ------------------------------------------------------------------ */

/* One step further than what is above it. False: it would be too long. */
static bool path_step(struct places *p, const struct node *n, bool element)
{
    size_t before = p->lengths[n->depth - 1], room = sizeof p->path - before;
    size_t more = element ? (size_t)snprintf(p->path + before, room, "/%llu",
                                             (unsigned long long)n->number)
                          : merge_step_put(p->path + before, room, n->key);

    if (more >= room)
        return false;
    p->lengths[n->depth] = before + more;
    return true;
}

static struct bytes path_of(const struct places *p, const struct node *n)
{
    return bytes_of(p->path, p->lengths[n->depth]);
}

/* --- Taking apart ----------------------------------------------------------- */

struct making {
    struct places *p;
    enum merge_rule rule;
    struct bytes after; /* empty: it has been passed */
    size_t most, leaves;
    bool more;
};

static int take_apart(struct making *m, size_t at);

/* Keys that have names, each another one; and short enough. */
static bool are_names(const struct places *p, unsigned depth,
                      const struct merge_map *map)
{
    bool texts = false, numbers = false;

    for (size_t i = 0; i < map->count; i++) {
        struct cursor c = cursor_of(map->pairs[i].key);
        struct pack_item item;

        if (pack_next(&c, &item))
            return false;
        texts |= item.kind == PACK_TEXT;
        numbers |= item.kind == PACK_INT ||
                   (item.kind == PACK_UINT && item.u <= INT64_MAX);
        if ((item.kind == PACK_TEXT && !bytes_utf8(item.bytes)) ||
            p->lengths[depth] + merge_step_put(NULL, 0, map->pairs[i].key) >=
                sizeof p->path)
            return false;
        if (item.kind != PACK_TEXT && item.kind != PACK_INT &&
            !(item.kind == PACK_UINT && item.u <= INT64_MAX))
            return false;
    }
    return map->count && texts != numbers;
}

/* It ends here: told, passed over, or one too many. */
static int leaf(struct making *m, size_t at)
{
    struct node *n = node_at(m->p, at);
    bool passed = m->after.n;

    if (passed && bytes_equal(path_of(m->p, n), m->after))
        m->after = (struct bytes){0};
    if (!passed && m->leaves == m->most)
        m->more = true;
    if (passed || m->more) {
        m->p->nodes.n -= sizeof *n;
        return 0;
    }
    m->leaves++;
    n->open = 1;
    n->end = at + 1;
    return 0;
}

static int child(struct making *m, size_t parent, struct node n, bool element)
{
    n.depth = (uint8_t)(node_at(m->p, parent)->depth + 1);
    path_step(m->p, &n, element);
    buf_put(&m->p->nodes, &n, sizeof n);
    return m->p->nodes.failed ? -ENOMEM
           : element          ? leaf(m, node_count(m->p) - 1)
                              : take_apart(m, node_count(m->p) - 1);
}

/* Nothing of it is in the page: it is not, either. */
static void close_node(struct making *m, size_t at)
{
    struct node *n = node_at(m->p, at);

    n->end = node_count(m->p);
    n->open = 0;
    for (size_t i = at + 1; i < n->end; i = node_at(m->p, i)->end)
        n->open += node_at(m->p, i)->open;
    if (at && !n->open)
        m->p->nodes.n = at * sizeof *n;
}

static int map_apart(struct making *m, size_t at, const struct merge_map *map)
{
    int r = 0;

    node_at(m->p, at)->how = MAP;
    for (size_t i = 0; !r && !m->more && i < map->count; i++) {
        struct node n = {.key = map->pairs[i].key,
                         .value = map->pairs[i].value};

        r = child(m, at, n, false);
    }
    if (!r)
        close_node(m, at);
    return r;
}

static int take_apart(struct making *m, size_t at)
{
    struct node *n = node_at(m->p, at);
    unsigned depth = n->depth;
    struct merge_map map;
    int r = merge_map_make(&map, n->value);

    if (!r && are_names(m->p, depth, &map))
        r = map_apart(m, at, &map);
    else if (r != -ENOMEM)
        r = at ? leaf(m, at) : CHOIR_NOT_FOUND;
    free(map.pairs);
    return r;
}

static bool array_of(struct bytes value, uint64_t *count, struct cursor *c)
{
    struct pack_item item;

    *c = cursor_of(value);
    if (pack_next(c, &item) || item.kind != PACK_ARRAY)
        return false;
    *count = item.u;
    return true;
}

static int array_apart(struct making *m, uint64_t count, struct cursor c)
{
    int r = 0;

    node_at(m->p, 0)->how =
        m->rule == RULE_SET && count <= MERGE_ITEMS_MAX ? SET : LINE;
    for (uint64_t i = 0; !r && !m->more && i < count; i++) {
        struct node n = {.number = i, .value = merge_next(&c)};

        n.key = n.value;
        r = child(m, 0, n, true);
    }
    if (!r)
        close_node(m, 0);
    return r;
}

static int make(struct making *m, struct bytes value)
{
    struct node whole = {.value = value};
    struct cursor c;
    uint64_t count;
    int r;

    buf_put(&m->p->nodes, &whole, sizeof whole);
    if (m->p->nodes.failed)
        return -ENOMEM;
    if (!pack_valid(value))
        return CHOIR_NOT_FOUND;
    if (!array_of(value, &count, &c))
        r = take_apart(m, 0);
    else
        r = count ? array_apart(m, count, c) : CHOIR_NOT_FOUND;
    return !r && m->after.n ? CHOIR_INVALID : r;
}

int places_make(struct places **out, enum merge_rule rule, struct bytes value,
                struct bytes after, size_t most, bool *more)
{
    struct making m = {calloc(1, sizeof *m.p), rule, after, most, 0, false};
    int r = m.p ? make(&m, value) : -ENOMEM;

    *more = m.more;
    if (r)
        places_free(&m.p);
    else
        *out = m.p;
    return r;
}

void places_free(struct places **self_p)
{
    struct places *p = *self_p;

    if (!p)
        return;
    buf_free(&p->nodes);
    free(p);
    *self_p = NULL;
}

/* --- Settling --------------------------------------------------------------- */

size_t places_open(const struct places *p)
{
    return node_at(p, 0)->open;
}

/* Whatever is open under it. */
static void settle_all(struct places *p, size_t at, uint64_t revision)
{
    size_t end = node_at(p, at)->end;

    for (size_t i = at; i < end; i++) {
        struct node *n = node_at(p, i);

        if (n->how == LEAF && n->open)
            n->revision = revision;
        n->open = 0;
    }
}

static int settle(struct places *p, size_t at, struct bytes earlier,
                  uint64_t revision);

/* Keys of both are in order, mostly the same ones. */
static struct bytes pair_find(const struct merge_map *map, struct bytes key,
                              size_t *hint)
{
    struct merge_pair wanted = {.key = key}, *found;

    if (*hint < map->count && bytes_equal(map->pairs[*hint].key, key))
        return map->pairs[(*hint)++].value;
    found = map->count ? bsearch(&wanted, map->pairs, map->count, sizeof wanted,
                                 merge_pair_compare)
                       : NULL;
    if (!found)
        return (struct bytes){0};
    *hint = (size_t)(found - map->pairs) + 1;
    return found->value;
}

static int settle_pairs(struct places *p, size_t at,
                        const struct merge_map *map, uint64_t revision)
{
    size_t end = node_at(p, at)->end, hint = 0, open = 0;
    int r = 0;

    for (size_t i = at + 1; !r && i < end; i = node_at(p, i)->end) {
        struct node *n = node_at(p, i);

        if (n->open)
            r = settle(p, i, pair_find(map, n->key, &hint), revision);
        open += n->open;
    }
    node_at(p, at)->open = open;
    return r;
}

/* Its elements, as keys of a map. CHOIR_NOT_FOUND: it is none. */
static int set_make(struct merge_map *map, struct bytes value)
{
    struct cursor c;
    uint64_t n;

    *map = (struct merge_map){0};
    if (!pack_valid(value) || !array_of(value, &n, &c) || n > MERGE_ITEMS_MAX)
        return CHOIR_NOT_FOUND;
    map->pairs = calloc((size_t)n + 1, sizeof *map->pairs);
    if (!map->pairs)
        return -ENOMEM;
    for (; map->count < n; map->count++) {
        map->pairs[map->count].key = merge_next(&c);
        map->pairs[map->count].value = map->pairs[map->count].key;
    }
    qsort(map->pairs, map->count, sizeof *map->pairs, merge_pair_compare);
    return 0;
}

static size_t alike(struct bytes a, struct bytes b)
{
    size_t n = 0, least = a.n < b.n ? a.n : b.n;

    while (n < least && a.p[n] == b.p[n])
        n++;
    return n;
}

/* As far as both begin with the same elements. */
static void settle_line(struct places *p, struct bytes earlier,
                        uint64_t revision)
{
    struct cursor own, other;
    struct node *whole = node_at(p, 0);
    uint64_t count;
    size_t same = 0;

    array_of(whole->value, &count, &own);
    if (earlier.p && array_of(earlier, &count, &other))
        same = alike(bytes_of(own.p, cursor_left(&own)),
                     bytes_of(other.p, cursor_left(&other)));
    for (size_t i = 1; i < whole->end; i++) {
        struct node *n = node_at(p, i);

        if ((size_t)(n->value.p + n->value.n - own.p) <= same || !n->open)
            continue;
        n->revision = revision;
        n->open = 0;
        whole->open--;
    }
}

static int settle(struct places *p, size_t at, struct bytes earlier,
                  uint64_t revision)
{
    struct node *n = node_at(p, at);
    struct merge_map map = {0};
    int r = 0;

    if (!n->open || (earlier.p && bytes_equal(n->value, earlier)))
        return 0;
    if (n->how == LINE) {
        settle_line(p, earlier, revision);
        return 0;
    }
    if (n->how != LEAF && earlier.p)
        r = n->how == MAP ? merge_map_make(&map, earlier)
                          : set_make(&map, earlier);
    if (r == CHOIR_NOT_FOUND || n->how == LEAF || !earlier.p) {
        settle_all(p, at, revision);
        r = 0;
    } else if (!r) {
        r = settle_pairs(p, at, &map, revision);
    }
    free(map.pairs);
    return r;
}

int places_settle(struct places *p, struct bytes earlier, uint64_t revision)
{
    if (earlier.p && !pack_valid(earlier))
        earlier = (struct bytes){0};
    return settle(p, 0, earlier, revision);
}

/* --- Telling ---------------------------------------------------------------- */

bool places_next(struct places *p, size_t *at, struct bytes *name,
                 uint64_t *revision)
{
    bool elements = node_at(p, 0)->how != MAP;

    while (++*at < node_count(p)) {
        const struct node *n = node_at(p, *at);

        path_step(p, n, elements);
        if (n->how != LEAF)
            continue;
        *name = path_of(p, n);
        *revision = n->revision;
        return true;
    }
    return false;
}
