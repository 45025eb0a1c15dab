/* uthash for the one key that is asked for, a tree for order: the tree costs
 * 32 bytes a key and only who writes or lists touches it. Keys are chosen by
 * other agents, so the hash is a keyed one: nobody can aim at one bucket. */
#include "replica_map.h"

#include <errno.h>
#include <stdlib.h>

#include <bsd/sys/tree.h>
#define HASH_NONFATAL_OOM 1 /* a program is not ended for a copy of a key */
#include <uthash.h>

#include "proto/key.h"

struct spot {
    UT_hash_handle hh; /* by the key that stands in its version */
    RB_ENTRY(spot) order;
    struct version *version;
    bool is_gone; /* version: only key and revision */
};
RB_HEAD(spot_order, spot);

struct replica_map {
    struct spot *by_key;
    struct spot_order order;
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

static int spot_compare(const struct spot *a, const struct spot *b)
{
    return bytes_compare(version_key(a->version), version_key(b->version));
}

RB_GENERATE_INTERNAL(spot_order, spot, order, spot_compare,
                     __attribute__((unused)) static)

/* --- Versions ------------------------------------------------------------- */

static char *text_put(char *at, struct bytes b)
{
    if (b.n)
        memcpy(at, b.p, b.n);
    at[b.n] = '\0';
    return at + b.n + 1;
}

static size_t version_bytes(const struct version *v)
{
    size_t type = v->type ? strlen(v->type) + 1 : 0;

    return sizeof *v + v->key_bytes + 1 + v->bytes + 1 + type;
}

struct version *version_new(const struct version_parts *parts)
{
    size_t text = parts->key.n + parts->value.n + parts->type.n + 3;
    struct version *v = malloc(sizeof *v + text);
    char *at;

    if (!v)
        return NULL;
    v->holders = 1;
    v->key_bytes = (uint32_t)parts->key.n;
    v->revision = parts->revision;
    v->time = parts->time;
    v->bytes = parts->value.n;
    memcpy(v->agent, parts->agent.b, sizeof v->agent);
    v->value = at = text_put(v->text, parts->key);
    at = text_put(at, parts->value);
    v->type = parts->type.n ? at : NULL;
    text_put(at, parts->type);
    return v;
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

/* --- The map -------------------------------------------------------------- */

struct replica_map *replica_map_new(void)
{
    struct replica_map *map = calloc(1, sizeof *map);

    if (!map)
        return NULL;
    RB_INIT(&map->order);
    random_bytes(map->seed.b, sizeof map->seed.b);
    return map;
}

static struct spot *spot_find(const struct replica_map *map, struct bytes key,
                              unsigned hash)
{
    struct spot *s;

    HASH_FIND_BYHASHVALUE(hh, map->by_key, key.p, key.n, hash, s);
    return s;
}

static unsigned spot_hash(const struct replica_map *map, struct bytes key)
{
    return (unsigned)hash_seeded(&map->seed, key);
}

static void spot_count(struct replica_map *map, const struct spot *s, bool is)
{
    size_t bytes = sizeof *s + version_bytes(s->version);

    map->bytes = is ? map->bytes + bytes : map->bytes - bytes;
    if (s->is_gone)
        map->gone = is ? map->gone + 1 : map->gone - 1;
    else
        map->keys = is ? map->keys + 1 : map->keys - 1;
}

static void spot_free(struct replica_map *map, struct spot *s)
{
    spot_count(map, s, false);
    HASH_DELETE(hh, map->by_key, s);
    RB_REMOVE(spot_order, &map->order, s);
    version_release(s->version);
    free(s);
}

void replica_map_destroy(struct replica_map **self_p)
{
    struct replica_map *map = *self_p;
    struct spot *s, *next;

    if (!map)
        return;
    *self_p = NULL;
    s = map->by_key;
    HASH_CLEAR(hh, map->by_key); /* they still hang together */
    for (; s; s = next) {
        next = s->hh.next;
        version_release(s->version);
        free(s);
    }
    free(map);
}

struct version *replica_map_find(const struct replica_map *map,
                                 struct bytes key)
{
    struct spot *s = spot_find(map, key, spot_hash(map, key));

    return s && !s->is_gone ? s->version : NULL;
}

uint64_t replica_map_revision(const struct replica_map *map, struct bytes key)
{
    struct spot *s = spot_find(map, key, spot_hash(map, key));

    return s ? s->version->revision : 0;
}

/* The key stands in the version, so the new one's takes its place. */
static void spot_set(struct replica_map *map, struct spot *s, struct version *v,
                     bool is_gone)
{
    struct version *before = s->version;

    spot_count(map, s, false);
    s->version = v;
    s->hh.key = v->text;
    s->is_gone = is_gone;
    spot_count(map, s, true);
    version_release(before);
}

static int put(struct replica_map *map, struct version *v, bool is_gone)
{
    unsigned hash = spot_hash(map, version_key(v));
    struct spot *s = spot_find(map, version_key(v), hash);

    if (s) {
        spot_set(map, s, v, is_gone);
        return 0;
    }
    s = calloc(1, sizeof *s);
    if (!s) {
        version_release(v);
        return -ENOMEM;
    }
    s->version = v;
    s->is_gone = is_gone;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, map->by_key, v->text, v->key_bytes, hash,
                                s);
    if (!s->hh.tbl) {
        free(s);
        version_release(v);
        return -ENOMEM;
    }
    RB_INSERT(spot_order, &map->order, s);
    spot_count(map, s, true);
    return 0;
}

int replica_map_put(struct replica_map *map, struct version *v)
{
    return put(map, v, false);
}

void replica_map_remove(struct replica_map *map, struct bytes key)
{
    struct spot *s = spot_find(map, key, spot_hash(map, key));

    if (s)
        spot_free(map, s);
}

int replica_map_gone(struct replica_map *map, struct bytes key,
                     uint64_t revision)
{
    struct version_parts parts = {.key = key, .revision = revision};
    struct version *v = version_new(&parts);

    return v ? put(map, v, true) : -ENOMEM;
}

void replica_map_forget_gone(struct replica_map *map)
{
    struct spot *s, *next;

    for (s = map->by_key; s && map->gone; s = next) {
        next = s->hh.next;
        if (s->is_gone)
            spot_free(map, s);
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
static struct spot *spot_from(const struct replica_map *map,
                              struct bytes prefix)
{
    struct spot *s = RB_ROOT(&map->order), *found = NULL;

    while (s) {
        if (bytes_compare(version_key(s->version), prefix) < 0) {
            s = RB_RIGHT(s, order);
        } else {
            found = s;
            s = RB_LEFT(s, order);
        }
    }
    return found;
}

static bool is_under(const struct spot *s, struct bytes prefix)
{
    return s && bytes_start_with(version_key(s->version), prefix);
}

int replica_map_cut(const struct replica_map *map, struct bytes prefix,
                    struct version ***versions, size_t *count)
{
    struct spot *first = spot_from(map, prefix), *s;
    size_t n = 0;

    *versions = NULL;
    *count = 0;
    for (s = first; is_under(s, prefix); s = RB_NEXT(spot_order, NULL, s))
        n += !s->is_gone;
    if (n == 0)
        return 0;
    *versions = malloc(n * sizeof **versions);
    if (!*versions)
        return -ENOMEM;
    for (s = first; is_under(s, prefix); s = RB_NEXT(spot_order, NULL, s)) {
        if (s->is_gone)
            continue;
        version_hold(s->version);
        (*versions)[(*count)++] = s->version;
    }
    return 0;
}
