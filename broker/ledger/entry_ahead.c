/* Entries that will be asked for in a moment, read and checked together: what
 * each waits for, memory and hashes, is waited for side by side. */
#include <stdlib.h>

#include "broker/ledger/entry_inside.h"
#include "proto/slots.h"

enum {
    AHEAD_BYTES = 512 << 10, /* more would push itself out of the cache */
    MAPS_AT_ONCE = 4,        /* each is a whole group, read and proven */
};

struct wanted {
    uint64_t index;
    const struct group_map *map;
    struct entry_pieces pieces;
};

/* Making one may drop another, so they are looked for again. */
static void maps_make(struct ledger *l, const uint64_t *indices, size_t n)
{
    struct group_map *made;
    int some = 0;

    for (size_t i = 0; i < n && some < MAPS_AT_ONCE; i++) {
        if (indices[i] >= l->written.size || map_find(l->cache, indices[i]))
            continue;
        some++;
        if (map_get(l, indices[i], &made))
            l->trouble[0] = '\0'; /* said when it is asked for */
    }
}

static size_t maps_find(struct ledger *l, const uint64_t *indices, size_t n,
                        struct wanted *wanted)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        const struct group_map *m = map_find(l->cache, indices[i]);

        if (!m)
            continue;
        __builtin_prefetch(&m->entries[indices[i] - m->first]);
        __builtin_prefetch(&m->entries[indices[i] - m->first + 1]);
        wanted[found++] = (struct wanted){.index = indices[i], .map = m};
    }
    return found;
}

/* As many as fit; *bytes: of all their pieces. */
static size_t pieces_find(const struct ledger *l, struct wanted *wanted,
                          size_t n, size_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; i < n; i++) {
        struct entry_pieces *p = &wanted[i].pieces;
        uint64_t segment = wanted[i].map->segment;
        size_t more;

        *p = map_pieces(wanted[i].map, wanted[i].index);
        more = (size_t)p->head + p->payload + p->marks.n;
        if (more > AHEAD_BYTES - *bytes)
            return i;
        *bytes += more;
        segment_piece_fetch(l, segment, p->head, p->head_at);
        segment_piece_fetch(l, segment, p->payload, p->payload_at);
    }
    return n;
}

/* The map may go before the entry is asked for, and its marks with it. */
static uint8_t *pieces_copy(struct ledger *l, struct wanted *w, uint8_t *to)
{
    struct entry_pieces *p = &w->pieces;
    uint64_t segment = w->map->segment;
    uint8_t *marks = to + p->head + p->payload;

    if (segment_piece(l, segment, to, p->head, p->head_at) ||
        segment_piece(l, segment, to + p->head, p->payload, p->payload_at))
        return NULL;
    if (p->marks.n)
        memcpy(marks, p->marks.p, p->marks.n);
    p->marks.p = marks;
    return marks + p->marks.n;
}

static void ahead_put(struct entry_cache *c, const struct entry *e)
{
    c->ahead.indices[c->ahead.n] = e->index;
    c->ahead.entries[c->ahead.n++] = (struct entry_ahead){
        .time = e->time,
        .outcome = e->outcome,
        .head = e->head,
        .effect = e->effect,
        .rows = e->rows,
        .effect_rows = e->effect_rows,
        .payload = e->payload,
        .effect_payload = e->effect_payload,
        .marks = e->marks,
        .effect_marks = e->effect_marks,
    };
}

/* What cannot be read, or is damaged, is left to be found when it is asked for.
 */
static void wanted_read(struct ledger *l, struct wanted *wanted, size_t n,
                        uint8_t *to)
{
    struct entry_cache *c = l->cache;
    struct slots slots;

    slots_begin(&slots);
    for (size_t i = 0; i < n; i++) {
        const struct wanted *w = &wanted[i];
        const uint8_t *from = to;
        const struct entry *e;

        to = pieces_copy(l, &wanted[i], to);
        if (!to)
            break;
        if (entry_parse(c, w->map, w->index, &w->pieces, from, &e))
            continue;
        slots.differ |= slots_add(&slots, e->rows, e->payload, e->marks) ||
                        slots_add(&slots, e->effect_rows, e->effect_payload,
                                  e->effect_marks);
        ahead_put(c, e);
    }
    if (slots_end(&slots))
        c->ahead.n = 0;
}

void ledger_ahead(struct ledger *l, const uint64_t *indices, size_t n)
{
    struct wanted wanted[LEDGER_AHEAD_MAX];
    uint8_t *to;
    size_t bytes;

    if (!l->cache)
        l->cache = calloc(1, sizeof *l->cache);
    if (!l->cache || n > LEDGER_AHEAD_MAX)
        return;
    l->cache->ahead.n = l->cache->ahead.next = 0;
    maps_make(l, indices, n);
    n = maps_find(l, indices, n, wanted);
    n = pieces_find(l, wanted, n, &bytes);
    buf_clear(&l->cache->ahead.bytes);
    to = buf_grow(&l->cache->ahead.bytes, bytes);
    if (to)
        wanted_read(l, wanted, n, to);
}

/* Mostly they are asked for in that order. */
static const struct entry_ahead *ahead_find(struct entry_cache *c,
                                            uint64_t index)
{
    size_t at = c->ahead.next;

    if (at >= c->ahead.n || c->ahead.indices[at] != index) {
        for (at = 0; at < c->ahead.n && c->ahead.indices[at] != index;)
            at++;
    }
    if (at == c->ahead.n)
        return NULL;
    c->ahead.next = at + 1;
    return &c->ahead.entries[at];
}

bool ahead_take(struct entry_cache *c, uint64_t index)
{
    const struct entry_ahead *a = ahead_find(c, index);
    struct entry *e = &c->walk.at;

    if (!a)
        return false;
    bundle_omit(c);
    e->index = index;
    e->time = a->time;
    e->outcome = a->outcome;
    e->head = a->head;
    e->effect = a->effect;
    e->rows = a->rows;
    e->effect_rows = a->effect_rows;
    e->payload = a->payload;
    e->effect_payload = a->effect_payload;
    e->marks = a->marks;
    e->effect_marks = a->effect_marks;
    return true;
}
