/* One entry by its index. For groups that were asked for, the places of their
 * entries stay in memory (8 bytes each), so that the next one costs two small
 * reads from the page cache and no walk over a big group. */
#include <errno.h>
#include <stdlib.h>

#include "broker/ledger/segment.h"
#include "proto/refusal.h"

enum {
    CACHE_PLACES = 2000000, /* entries and bundles; 8 bytes each */
    OP_WORDS_BYTES = 8,     /* before each head: two lengths */
};

struct bundle_place {
    uint32_t header, first; /* offset in heads; number of its first entry */
};

struct entry_place {
    uint32_t head, payload; /* offsets in heads and in payloads */
};

/* Where everything of one group is. */
struct group_map {
    uint64_t segment, offset, first, time;
    bool used; /* since the hand last came by */
    uint32_t count, bundle_count, heads_bytes, payload_bytes;
    struct entry_place *entries;  /* owned */
    struct bundle_place *bundles; /* owned */
    /* Of a thin group: marks of all slots, and which is each entry's first. */
    uint8_t *marks;        /* owned */
    uint32_t *entry_marks; /* owned */
};

struct entry_cache {
    struct group_map *maps[LEDGER_MAPS_MAX]; /* owned, ascending */
    size_t count, places, hand;
    uint64_t loaded;
    struct window window;
    struct buf bundle, entry; /* what walk.at borrows from */
    struct group_walk walk;
    uint64_t at_first; /* walk.at's bundle: its group, its number there */
    uint32_t at_bundle;
    bool at_valid;
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
            c->maps[n++] = m;
            continue;
        }
        c->places -= (size_t)m->count + m->bundle_count;
        map_free(m);
    }
    if (c)
        c->count = n;
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
    free(c);
    *cache_p = NULL;
}

/* --- The map of a group -------------------------------------------------- */

static int map_walk(struct group_map *m, const struct group_header *g,
                    struct bytes body)
{
    struct group_walk walk;
    const struct entry *e;
    uint32_t i = 0, b = 0;
    size_t marks;
    int r;

    group_walk_begin(&walk, g, body);
    walk.unhashed = true;
    marks = cursor_left(&walk.marks);
    if (m->entry_marks) {
        m->marks = malloc(marks + 1u);
        if (!m->marks)
            return -ENOMEM;
        if (marks)
            memcpy(m->marks, walk.marks.p, marks);
        m->entry_marks[m->count] = (uint32_t)marks;
    }
    while (!(r = group_walk_next(&walk, &e))) {
        const uint8_t *payload =
            walk.payload.p - e->payload.n - e->effect_payload.n;

        if (i == m->count)
            return CHOIR_MALFORMED;
        if (m->entry_marks)
            m->entry_marks[i] = (uint32_t)(marks - cursor_left(&walk.marks) -
                                           e->marks.n - e->effect_marks.n);
        if (e->position == 0) {
            if (b == m->bundle_count)
                return CHOIR_MALFORMED;
            m->bundles[b++] =
                (struct bundle_place){(uint32_t)(e->header.p - body.p) - 4, i};
        }
        m->entries[i++] = (struct entry_place){
            (uint32_t)(walk.heads.p - body.p - (ptrdiff_t)e->head.n -
                       (ptrdiff_t)e->effect.n) -
                OP_WORDS_BYTES,
            (uint32_t)(payload - body.p - (ptrdiff_t)m->heads_bytes)};
    }
    if (r != CHOIR_NOT_FOUND)
        return r;
    return i == m->count && b == m->bundle_count ? 0 : CHOIR_MALFORMED;
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
            ? map_walk(m, g, body)
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

        if (c->maps[mid]->first <= index)
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
    c->maps[at] = m;
    c->count++;
    c->places += map_places(m);
}

static int map_get(struct ledger *l, uint64_t index, struct group_map **out)
{
    struct entry_cache *c = l->cache;
    struct group_header g;
    struct bytes body;
    uint64_t segment, offset;
    size_t at = map_place(c, index);
    int r;

    if (at < c->count && index - c->maps[at]->first < c->maps[at]->count) {
        *out = c->maps[at];
        (*out)->used = true;
        return 0;
    }
    r = locate(l, index, &segment, &offset, &g);
    if (!r)
        r = group_load(l, &c->window, segment, offset, &g, &body);
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

/* --- One entry ----------------------------------------------------------- */

static int piece_read(struct ledger *l, const struct group_map *m,
                      struct buf *b, uint64_t at, uint32_t n)
{
    uint8_t *to = buf_grow(b, n);

    return !to ? -ENOMEM : n ? segment_piece(l, m->segment, to, n, at) : 0;
}

static uint32_t bundle_of(const struct group_map *m, uint32_t entry)
{
    uint32_t low = 0, high = m->bundle_count;

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (m->bundles[mid].first <= entry)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* Make the walk stand in that bundle: its header, followed by an empty
 * operation that stands for the first. */
static int bundle_enter(struct ledger *l, const struct group_map *m,
                        uint32_t bundle)
{
    struct entry_cache *c = l->cache;
    const struct bundle_place *b = &m->bundles[bundle];
    uint64_t heads = m->offset + GROUP_HEADER_BYTES;
    const struct entry *first;
    int r;

    c->at_valid = false;
    buf_clear(&c->bundle);
    r = piece_read(l, m, &c->bundle, heads + b->header,
                   m->entries[b->first].head - b->header);
    if (r)
        return r;
    buf_put_u64(&c->bundle, 0);
    if (c->bundle.failed)
        return -ENOMEM;
    c->walk = (struct group_walk){
        .heads = cursor_of(buf_bytes(&c->bundle)),
        .payload = cursor_of(bytes_of("", 0)),
        .time = m->time,
        .bundles = 1,
        .entries = b[1].first - b->first,
    };
    r = group_walk_next(&c->walk, &first);
    if (r || first->count != b[1].first - b->first)
        return -EUCLEAN;
    c->at_first = m->first;
    c->at_bundle = bundle;
    c->at_valid = true;
    return 0;
}

static int entry_read(struct ledger *l, const struct group_map *m, uint32_t i,
                      uint32_t bundle)
{
    struct entry_cache *c = l->cache;
    uint64_t heads = m->offset + GROUP_HEADER_BYTES;
    const struct entry_place *p = &m->entries[i];
    const struct bundle_place *next = &m->bundles[bundle + 1];
    uint32_t end = i + 1 == next->first ? next->header : p[1].head;
    uint32_t head = end - p->head, payload = p[1].payload - p->payload;
    int r;

    buf_clear(&c->entry);
    r = piece_read(l, m, &c->entry, heads + p->head, head);
    if (!r)
        r = piece_read(l, m, &c->entry, heads + m->heads_bytes + p->payload,
                       payload);
    if (r)
        return r;
    c->walk.heads = cursor_of(bytes_of(c->entry.p, head));
    c->walk.payload = cursor_of(bytes_of(c->entry.p + head, payload));
    c->walk.index = m->first + i;
    c->walk.thin = m->marks != NULL;
    c->walk.marks =
        cursor_of(m->marks ? bytes_of(m->marks + m->entry_marks[i],
                                      m->entry_marks[i + 1] - m->entry_marks[i])
                           : (struct bytes){0});
    return 0;
}

/* Make the walk stand in no bundle, but before an entry of one. */
static void bundle_omit(struct entry_cache *c, const struct group_map *m)
{
    c->at_valid = false;
    c->walk = (struct group_walk){.time = m->time};
}

static int entry_get(struct ledger *l, uint64_t index, bool body_only,
                     const struct entry **e)
{
    struct entry_cache *c = l->cache;
    struct group_map *m = NULL;
    uint32_t i, bundle;
    int r = map_get(l, index, &m);

    if (r)
        return r;
    i = (uint32_t)(index - m->first);
    bundle = bundle_of(m, i);
    if (body_only)
        bundle_omit(c, m);
    else if (!c->at_valid || c->at_first != m->first || c->at_bundle != bundle)
        r = bundle_enter(l, m, bundle);
    if (!r)
        r = entry_read(l, m, i, bundle);
    if (r)
        return r;
    c->walk.left =
        body_only ? 1 : c->walk.at.count - (i - m->bundles[bundle].first);
    if (group_walk_next(&c->walk, e) || entry_slots_check(*e))
        return -EUCLEAN;
    c->walk.at.hider = l->hider;
    return 0;
}

static int get(struct ledger *l, uint64_t index, bool body_only,
               const struct entry **e)
{
    int r;

    if (index >= l->written.size)
        return CHOIR_NOT_FOUND;
    if (!l->cache)
        l->cache = calloc(1, sizeof *l->cache);
    if (!l->cache)
        return -ENOMEM;
    l->trouble[0] = '\0';
    r = entry_get(l, index, body_only, e);
    if (r && !l->trouble[0])
        return trouble_say(l->trouble, r, "entry %llu cannot be read: %s",
                           (unsigned long long)index, strerror(-r));
    return r;
}

int ledger_entry(struct ledger *l, uint64_t index, const struct entry **e)
{
    return get(l, index, false, e);
}

int ledger_body(struct ledger *l, uint64_t index, const struct entry **e)
{
    return get(l, index, true, e);
}

void ledger_hide(struct ledger *l, const struct slot_hider *h)
{
    l->hider = h;
}

uint64_t ledger_loaded(const struct ledger *l)
{
    return l->cache ? l->cache->loaded : 0;
}
