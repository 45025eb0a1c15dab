/* A table of our own for the one key that is asked for, a tree of libbsd for
 * order. uthash was measured: its chains cost two to three misses of the cache
 * more for each look-up, of six, and its growth would hold up every reader for
 * as long as all keys are hung anew. The tree only who writes or lists touches.
 *
 * The table probes line by line and keeps no traces of what was removed. Keys
 * are chosen by other agents, so the hash is a keyed one: nobody can aim at one
 * place. */
#include "replica_map.h"

#include <errno.h>
#include <stdlib.h>

#include <bsd/sys/tree.h>

#include "proto/key.h"
#include "proto/keyset.h"

enum { SLOTS_FIRST = 64 };

/* Where a key stands in the order. */
struct place {
    RB_ENTRY(place) order;
    struct version *version;
};
RB_HEAD(place_order, place);

struct slot {
    uint64_t hash;
    struct version *version; /* NULL: free */
};

struct table {
    struct slot *slots;
    size_t mask, used;
};

struct replica_map {
    struct table table;
    struct table next;   /* larger, with the same keys; or without slots */
    struct slot *before; /* the slots that were, until somebody has the time */
    struct place_order order;
    struct hash_seed seed;
    size_t keys, gone, bytes;
};

static struct bytes version_key(const struct version *v)
{
    return bytes_of(v->text, v->key_bytes);
}

static int bytes_compare(struct bytes a, struct bytes b)
{
    int r = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return r ? r : (a.n > b.n) - (a.n < b.n);
}

static int place_compare(const struct place *a, const struct place *b)
{
    return bytes_compare(version_key(a->version), version_key(b->version));
}

RB_GENERATE_INTERNAL(place_order, place, order, place_compare,
                     __attribute__((unused)) static)

/* --- Versions ------------------------------------------------------------- */

static char *text_put(char *at, struct bytes b)
{
    if (b.n)
        memcpy(at, b.p, b.n);
    at[b.n] = '\0';
    return at + b.n + 1;
}

static size_t text_bytes(const struct version *v)
{
    const char *type = version_type(v);

    return v->key_bytes + 1 + v->value_bytes + 1 +
           (type ? strlen(type) + 1 : 0);
}

struct version *version_new(const struct version_parts *parts)
{
    size_t text = parts->key.n + parts->value.n + parts->type.n + 3;
    struct version *v = malloc(sizeof *v + text + HASH_BYTES);
    char *at;

    if (!v)
        return NULL;
    *v = (struct version){.holders = 1,
                          .key_bytes = (uint32_t)parts->key.n,
                          .value_bytes = (uint32_t)parts->value.n,
                          .has_type = parts->type.n != 0,
                          .is_erased = parts->is_erased,
                          .revision = parts->revision,
                          .time = parts->time};
    at = text_put(v->text, parts->key);
    at = text_put(at, parts->value);
    if (v->has_type)
        at = text_put(at, parts->type);
    memcpy(at, parts->agent.b, HASH_BYTES);
    return v;
}

const uint8_t *version_agent(const struct version *v)
{
    return (const uint8_t *)v->text + text_bytes(v);
}

void version_hold(struct version *v)
{
    __atomic_fetch_add(&v->holders, 1, __ATOMIC_RELAXED);
}

void version_release(struct version *v)
{
    if (v && __atomic_fetch_sub(&v->holders, 1, __ATOMIC_ACQ_REL) == 1)
        free(v);
}

/* --- The table ------------------------------------------------------------ */

/* The slot of that key, or the free one where it would stand. */
static struct slot *slot_of(const struct table *t, uint64_t hash,
                            struct bytes key)
{
    size_t i = hash & t->mask;

    while (t->slots[i].version &&
           (t->slots[i].hash != hash ||
            !bytes_equal(version_key(t->slots[i].version), key)))
        i = (i + 1) & t->mask;
    return &t->slots[i];
}

/* Close the gap: whoever stands behind it and might stand in it moves up. */
static void slot_clear(struct table *t, struct slot *slot)
{
    size_t gap = (size_t)(slot - t->slots), i = gap;

    for (;;) {
        t->slots[gap].version = NULL;
        do {
            i = (i + 1) & t->mask;
            if (!t->slots[i].version) {
                t->used--;
                return;
            }
        } while (((i - t->slots[i].hash) & t->mask) < ((i - gap) & t->mask));
        t->slots[gap] = t->slots[i];
        gap = i;
    }
}

static int table_make(struct table *t, size_t slots)
{
    t->slots = calloc(slots, sizeof *t->slots);
    t->mask = slots - 1;
    t->used = 0;
    return t->slots ? 0 : -ENOMEM;
}

static void table_copy(struct table *to, const struct table *from)
{
    for (size_t i = 0; i <= from->mask; i++) {
        const struct slot *s = &from->slots[i];
        size_t at = s->hash & to->mask;

        if (!s->version)
            continue;
        while (to->slots[at].version)
            at = (at + 1) & to->mask;
        to->slots[at] = *s;
    }
    to->used = from->used;
}

/* --- The map -------------------------------------------------------------- */

struct replica_map *replica_map_new(void)
{
    struct replica_map *map = calloc(1, sizeof *map);

    if (!map)
        return NULL;
    RB_INIT(&map->order);
    random_bytes(map->seed.b, sizeof map->seed.b);
    if (table_make(&map->table, SLOTS_FIRST))
        replica_map_destroy(&map);
    return map;
}

static void before_free(struct replica_map *map)
{
    free(map->before);
    map->before = NULL;
}

void replica_map_destroy(struct replica_map **self_p)
{
    struct replica_map *map = *self_p;

    if (!map)
        return;
    *self_p = NULL;
    for (size_t i = 0; map->table.slots && i <= map->table.mask; i++) {
        struct version *v = map->table.slots[i].version;

        if (v)
            free(v->place);
        version_release(v);
    }
    free(map->table.slots);
    free(map->next.slots);
    before_free(map);
    free(map);
}

/* Not more than five of eight are in use: then a look-up probes 1.8 slots. */
static bool has_room(const struct table *t, size_t n)
{
    return (t->used + n) * 8 <= (t->mask + 1) * 5;
}

int replica_map_reserve(struct replica_map *map, size_t n)
{
    struct table larger = {.mask = map->table.mask, .used = map->table.used};
    int r;

    before_free(map);
    if (map->next.slots || has_room(&map->table, n))
        return 0;
    while (!has_room(&larger, n))
        larger.mask = larger.mask * 2 + 1;
    r = table_make(&map->next, larger.mask + 1);
    if (!r)
        table_copy(&map->next, &map->table);
    return r;
}

static void next_take(struct replica_map *map)
{
    if (!map->next.slots)
        return;
    map->before = map->table.slots;
    map->table = map->next;
    map->next = (struct table){0};
}

static struct slot *slot_find(const struct replica_map *map, struct bytes key,
                              uint64_t *hash)
{
    *hash = hash_seeded(&map->seed, key);
    return slot_of(&map->table, *hash, key);
}

struct version *replica_map_find(const struct replica_map *map,
                                 struct bytes key)
{
    uint64_t hash;
    struct version *v = slot_find(map, key, &hash)->version;

    return v && !v->is_gone ? v : NULL;
}

uint64_t replica_map_revision(const struct replica_map *map, struct bytes key)
{
    uint64_t hash;
    struct version *v = slot_find(map, key, &hash)->version;

    return v ? v->revision : 0;
}

static void count(struct replica_map *map, const struct version *v, bool is)
{
    size_t bytes = sizeof *v + text_bytes(v) + HASH_BYTES +
                   sizeof(struct place) + 2 * sizeof(struct slot);

    map->bytes = is ? map->bytes + bytes : map->bytes - bytes;
    if (v->is_gone)
        map->gone = is ? map->gone + 1 : map->gone - 1;
    else if (!v->is_erased)
        map->keys = is ? map->keys + 1 : map->keys - 1;
}

static void slot_replace(struct replica_map *map, struct slot *s,
                         struct version *v)
{
    struct version *before = s->version;

    count(map, before, false);
    v->place = before->place;
    v->place->version = v;
    s->version = v;
    count(map, v, true);
    version_release(before);
}

int replica_map_put(struct replica_map *map, struct version *v)
{
    struct slot *s;
    uint64_t hash;

    next_take(map);
    s = slot_find(map, version_key(v), &hash);
    if (s->version) {
        slot_replace(map, s, v);
        return 0;
    }
    v->place = calloc(1, sizeof *v->place);
    if (!v->place) {
        version_release(v);
        return -ENOMEM;
    }
    v->place->version = v;
    *s = (struct slot){hash, v};
    map->table.used++;
    RB_INSERT(place_order, &map->order, v->place);
    count(map, v, true);
    return 0;
}

void replica_map_remove(struct replica_map *map, struct bytes key)
{
    uint64_t hash;
    struct version *v;
    struct slot *s;

    next_take(map);
    s = slot_find(map, key, &hash);
    v = s->version;
    if (!v)
        return;
    count(map, v, false);
    RB_REMOVE(place_order, &map->order, v->place);
    free(v->place);
    slot_clear(&map->table, s);
    version_release(v);
}

int replica_map_gone(struct replica_map *map, struct bytes key,
                     uint64_t revision)
{
    struct version_parts parts = {.key = key, .revision = revision};
    struct version *v = version_new(&parts);

    if (!v)
        return -ENOMEM;
    v->is_gone = true;
    return replica_map_put(map, v);
}

void replica_map_forget_gone(struct replica_map *map)
{
    struct place *p, *next;

    for (p = RB_MIN(place_order, &map->order); p && map->gone; p = next) {
        next = RB_NEXT(place_order, &map->order, p);
        if (p->version->is_gone)
            replica_map_remove(map, version_key(p->version));
    }
}

size_t replica_map_keys(const struct replica_map *map)
{
    return map->keys;
}

size_t replica_map_bytes(const struct replica_map *map)
{
    return map->bytes;
}

/* --- Order ---------------------------------------------------------------- */

/* The first key that is not below prefix. */
static struct place *place_from(const struct replica_map *map,
                                struct bytes prefix)
{
    struct place *p = RB_ROOT(&map->order), *found = NULL;

    while (p) {
        if (bytes_compare(version_key(p->version), prefix) < 0) {
            p = RB_RIGHT(p, order);
        } else {
            found = p;
            p = RB_LEFT(p, order);
        }
    }
    return found;
}

static bool is_under(const struct place *p, struct bytes prefix)
{
    return p && bytes_start_with(version_key(p->version), prefix);
}

static bool is_listed(const struct version *v)
{
    return !v->is_gone && !v->is_erased;
}

bool replica_map_run(const struct replica_map *map, struct bytes after,
                     size_t max, size_t bytes_max, struct buf *run,
                     struct bytes *last)
{
    struct place *p = place_from(map, after);

    if (p && after.n && bytes_equal(version_key(p->version), after))
        p = RB_NEXT(place_order, NULL, p);
    for (size_t n = 0; p; p = RB_NEXT(place_order, NULL, p)) {
        if (!is_listed(p->version))
            continue;
        if (n++ == max || run->n >= bytes_max)
            return true;
        *last = version_key(p->version);
        keyset_add(run, *last, p->version->revision);
    }
    return false;
}

int replica_map_cut(const struct replica_map *map, struct bytes prefix,
                    struct version ***versions, size_t *count_out)
{
    struct place *first = place_from(map, prefix), *p;
    size_t n = 0;

    *versions = NULL;
    *count_out = 0;
    for (p = first; is_under(p, prefix); p = RB_NEXT(place_order, NULL, p))
        n += is_listed(p->version);
    if (n == 0)
        return 0;
    *versions = malloc(n * sizeof **versions);
    if (!*versions)
        return -ENOMEM;
    for (p = first; is_under(p, prefix); p = RB_NEXT(place_order, NULL, p)) {
        if (!is_listed(p->version))
            continue;
        version_hold(p->version);
        (*versions)[(*count_out)++] = p->version;
    }
    return 0;
}
