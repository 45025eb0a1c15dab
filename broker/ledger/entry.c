/* One entry by its index: two small pieces of a mapped file. */
#include <errno.h>
#include <stdlib.h>

#include "broker/ledger/entry_inside.h"
#include "proto/refusal.h"

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

void bundle_omit(struct entry_cache *c)
{
    struct group_walk *w = &c->walk;

    c->at_valid = false;
    w->heads_only = false;
    w->bundles = w->entries = 0;
    w->left = 1;
    w->at.header = (struct bytes){0};
    w->at.signature = NULL;
    w->at.session = w->at.count = 0;
    msg_init(&w->at.bundle, MSG_BUNDLE_HEADER);
}

/* Before that entry, of which the pieces begin at p. */
static void walk_place(struct entry_cache *c, const struct group_map *m,
                       uint64_t index, const struct entry_pieces *pieces,
                       const uint8_t *p)
{
    c->walk.time = m->time;
    c->walk.heads = cursor_of(bytes_of(p, pieces->head));
    c->walk.payload = cursor_of(bytes_of(p + pieces->head, pieces->payload));
    c->walk.index = index;
    c->walk.thin = m->marks != NULL;
    c->walk.marks = cursor_of(pieces->marks);
}

int entry_parse(struct entry_cache *c, const struct group_map *m,
                uint64_t index, const struct entry_pieces *pieces,
                const uint8_t *p, const struct entry **e)
{
    bundle_omit(c);
    walk_place(c, m, index, pieces, p);
    return group_walk_next(&c->walk, e);
}

/* Before an entry of a bundle, behind the one before it. */
static int bundle_place(struct ledger *l, const struct group_map *m,
                        uint64_t index)
{
    struct entry_cache *c = l->cache;
    uint32_t i = (uint32_t)(index - m->first), bundle = bundle_of(m, i);
    int r = 0;

    if (!c->at_valid || c->at_first != m->first || c->at_bundle != bundle)
        r = bundle_enter(l, m, bundle);
    c->walk.left = c->walk.at.count - (i - m->bundles[bundle].first);
    return r;
}

static int entry_get(struct ledger *l, uint64_t index, bool body_only,
                     const struct entry **e)
{
    struct entry_cache *c = l->cache;
    struct group_map *m = NULL;
    struct entry_pieces pieces;
    int r = map_get(l, index, &m);

    if (r)
        return r;
    pieces = map_pieces(m, index);
    if (body_only)
        bundle_omit(c);
    else
        r = bundle_place(l, m, index);
    buf_clear(&c->entry);
    if (!r)
        r = piece_read(l, m, &c->entry, pieces.head_at, pieces.head);
    if (!r)
        r = piece_read(l, m, &c->entry, pieces.payload_at, pieces.payload);
    if (r)
        return r;
    walk_place(c, m, index, &pieces, c->entry.p);
    return group_walk_next(&c->walk, e) || entry_slots_check(*e) ? -EUCLEAN : 0;
}

static int get(struct ledger *l, uint64_t index, bool body_only,
               const struct entry **e)
{
    int r = 0;

    if (index >= l->written.size)
        return CHOIR_NOT_FOUND;
    if (!l->cache)
        l->cache = calloc(1, sizeof *l->cache);
    if (!l->cache)
        return -ENOMEM;
    l->trouble[0] = '\0';
    if (body_only && ahead_take(l->cache, index))
        *e = &l->cache->walk.at;
    else
        r = entry_get(l, index, body_only, e);
    l->cache->walk.at.hider = l->hider;
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
