/* Where the entries of a group are. For groups that were asked for it stays in
 * memory, 8 bytes an entry, so that the next one of them costs no walk over a
 * big group. */
#include <errno.h>
#include <stdlib.h>

#include "broker/ledger/entry_inside.h"
#include "proto/refusal.h"

enum {
    CACHE_PLACES = 2000000, /* entries and bundles; 8 bytes each */
    OP_WORDS_BYTES = 8,     /* before each head: two lengths */
};

static void map_free(struct group_map *m)
{
    if (!m)
        return;
    free(m->entries);
    free(m->bundles);
    free(m->marks);
    free(m->entry_marks);
    free(m);
}

void entry_cache_forget(struct entry_cache *c, uint64_t segment)
{
    size_t n = 0;

    for (size_t i = 0; c && i < c->count; i++) {
        struct group_map *m = c->maps[i];

        if (m->segment != segment) {
            c->firsts[n] = m->first;
            c->maps[n++] = m;
            continue;
        }
        c->places -= (size_t)m->count + m->bundle_count;
        map_free(m);
    }
    if (c) {
        c->count = n;
        c->ahead.n = 0;
    }
}

void entry_cache_free(struct entry_cache **cache_p)
{
    struct entry_cache *c = *cache_p;

    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        map_free(c->maps[i]);
    window_free(&c->window);
    buf_free(&c->bundle);
    buf_free(&c->entry);
    buf_free(&c->ahead.bytes);
    free(c);
    *cache_p = NULL;
}

/* --- The map of a group -------------------------------------------------- */

/* Marks of a thin group, all of them. */
static int marks_keep(struct group_map *m, const struct group_walk *walk)
{
    size_t n = cursor_left(&walk->marks);

    if (!m->entry_marks)
        return 0;
    m->marks = malloc(n + 1u);
    if (!m->marks)
        return -ENOMEM;
    if (n)
        memcpy(m->marks, walk->marks.p, n);
    m->entry_marks[m->count] = (uint32_t)n;
    return 0;
}

/* Of what the heads say is stored, whether payloads were read or not. */
static uint64_t payload_bytes(const struct entry *e)
{
    return slots_kept_bytes(e->rows, e->marks) +
           slots_kept_bytes(e->effect_rows, e->effect_marks);
}

/* payload: where the first one is, behind the heads. */
static int map_walk(struct group_map *m, struct group_walk *walk,
                    const uint8_t *heads, uint64_t payload)
{
    const uint8_t *marks = m->marks;
    const struct entry *e;
    uint32_t i = 0, b = 0;
    int r;

    while (!(r = group_walk_next(walk, &e))) {
        if (i == m->count)
            return CHOIR_MALFORMED;
        if (m->entry_marks) {
            m->entry_marks[i] = (uint32_t)(marks - m->marks);
            marks += e->marks.n + e->effect_marks.n;
        }
        if (e->position == 0) {
            if (b == m->bundle_count)
                return CHOIR_MALFORMED;
            m->bundles[b++] =
                (struct bundle_place){(uint32_t)(e->header.p - heads) - 4, i};
        }
        m->entries[i++] = (struct entry_place){
            (uint32_t)(walk->heads.p - heads - (ptrdiff_t)e->head.n -
                       (ptrdiff_t)e->effect.n) -
                OP_WORDS_BYTES,
            (uint32_t)payload};
        payload += payload_bytes(e);
    }
    if (r != CHOIR_NOT_FOUND)
        return r;
    return i == m->count && b == m->bundle_count && payload == m->payload_bytes
               ? 0
               : CHOIR_MALFORMED;
}

static int map_fill(struct group_map *m, const struct group_header *g,
                    struct bytes body)
{
    struct group_walk walk;
    int r;

    group_walk_begin(&walk, g, body);
    walk.unhashed = true;
    r = marks_keep(m, &walk);
    return r ? r
             : map_walk(m, &walk, body.p,
                        g->thin ? (uint64_t)(walk.payload.p - body.p) -
                                      g->heads_bytes
                                : 0);
}

/* Counts are checked against the bytes there are before they are believed. */
static int map_make(struct group_map **out, const struct group_header *g,
                    struct bytes body)
{
    struct group_map *m;
    int r;

    if (g->count > g->heads_bytes / OP_WORDS_BYTES ||
        g->bundles > g->heads_bytes / KEY_SIGNATURE_BYTES)
        return CHOIR_MALFORMED;
    m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    m->first = g->first;
    m->time = g->time;
    m->count = g->count;
    m->bundle_count = g->bundles;
    m->heads_bytes = (uint32_t)g->heads_bytes;
    m->payload_bytes = (uint32_t)group_stored(g);
    m->entries = calloc(m->count + 1u, sizeof *m->entries);
    m->bundles = calloc(m->bundle_count + 1u, sizeof *m->bundles);
    if (g->thin)
        m->entry_marks = calloc(m->count + 1u, sizeof *m->entry_marks);
    r = m->entries && m->bundles && (!g->thin || m->entry_marks)
            ? map_fill(m, g, body)
            : -ENOMEM;
    if (r) {
        map_free(m);
        return r;
    }
    /* one more of each, so that every piece has an end */
    m->entries[m->count] =
        (struct entry_place){m->heads_bytes, m->payload_bytes};
    m->bundles[m->bundle_count] =
        (struct bundle_place){m->heads_bytes, m->count};
    *out = m;
    return 0;
}

/* --- The cache of maps --------------------------------------------------- */

/* The last map that starts at or before index; count if none does. */
static size_t map_place(const struct entry_cache *c, uint64_t index)
{
    size_t low = 0, high = c->count;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (c->firsts[mid] <= index)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? low - 1 : c->count;
}

static size_t map_places(const struct group_map *m)
{
    return (size_t)m->count + m->bundle_count;
}

/* What was asked for since the hand last came by has a second chance. */
static void map_drop_one(struct entry_cache *c)
{
    struct group_map *m;

    for (;; c->hand++) {
        if (c->hand >= c->count)
            c->hand = 0;
        m = c->maps[c->hand];
        if (!m->used)
            break;
        m->used = false;
    }
    c->places -= map_places(m);
    map_free(m);
    c->count--;
    memmove(&c->maps[c->hand], &c->maps[c->hand + 1],
            (c->count - c->hand) * sizeof *c->maps);
    memmove(&c->firsts[c->hand], &c->firsts[c->hand + 1],
            (c->count - c->hand) * sizeof *c->firsts);
}

static void map_put(struct entry_cache *c, uint32_t most, struct group_map *m)
{
    size_t at;

    while (c->count == most ||
           (c->count && c->places + map_places(m) > CACHE_PLACES))
        map_drop_one(c);
    at = map_place(c, m->first);
    at = at == c->count ? 0 : at + 1;
    memmove(&c->maps[at + 1], &c->maps[at], (c->count - at) * sizeof *c->maps);
    memmove(&c->firsts[at + 1], &c->firsts[at],
            (c->count - at) * sizeof *c->firsts);
    c->maps[at] = m;
    c->firsts[at] = m->first;
    c->count++;
    c->places += map_places(m);
}

struct group_map *map_find(const struct entry_cache *c, uint64_t index)
{
    size_t at = map_place(c, index);

    if (at == c->count || index - c->firsts[at] >= c->maps[at]->count)
        return NULL;
    c->maps[at]->used = true;
    return c->maps[at];
}

int map_get(struct ledger *l, uint64_t index, struct group_map **out)
{
    struct entry_cache *c = l->cache;
    struct group_header g;
    struct bytes body;
    uint64_t segment, offset;
    int r;

    *out = map_find(c, index);
    if (*out)
        return 0;
    r = locate(l, index, &segment, &offset, &g);
    if (!r && g.thin)
        r = group_load(l, &c->window, segment, offset, &g, &body);
    else if (!r)
        r = group_load_heads(l, &c->window, segment, offset, &g, &body);
    if (!r) {
        c->loaded += body.n;
        r = map_make(out, &g, body);
    }
    window_free(&c->window);
    if (r > 0)
        return trouble_say(l->trouble, -EUCLEAN,
                           "damage in segment %u at byte %llu: a group does "
                           "not hold what it says",
                           (unsigned)segment, (unsigned long long)offset);
    if (r)
        return r;
    (*out)->segment = segment;
    (*out)->offset = offset;
    map_put(c, l->maps_max, *out);
    return 0;
}

struct entry_pieces map_pieces(const struct group_map *m, uint64_t index)
{
    uint32_t i = (uint32_t)(index - m->first);
    const struct entry_place *p = &m->entries[i];
    uint64_t heads = m->offset + GROUP_HEADER_BYTES;
    struct entry_pieces pieces = {
        .head_at = heads + p->head,
        .payload_at = heads + m->heads_bytes + p->payload,
        .head = p[1].head - p->head,
        .payload = p[1].payload - p->payload,
    };

    if (m->marks)
        pieces.marks = bytes_of(m->marks + m->entry_marks[i],
                                m->entry_marks[i + 1] - m->entry_marks[i]);
    return pieces;
}
