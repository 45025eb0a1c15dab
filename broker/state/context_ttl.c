/* An ordered index to find a key's row, for its next version, and a heap to
 * find the row that is due. */
#include "context_ttl.h"

#include <errno.h>
#include <stdlib.h>

#include "item.h"
#include "proto/limits.h"
#include "proto/refusal.h"

enum { KEY_MAX = 1 + LIMIT_NAME_BYTES + LIMIT_KEY_BYTES };

struct ttls {
    struct digest *digest; /* borrowed */
    struct index *all;
    struct heap heap;
};

struct ttl_key {
    size_t n;
    uint8_t b[KEY_MAX];
};

struct ttls *ttls_new(struct digest *digest)
{
    struct ttls *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->digest = digest;
    t->all = index_new();
    if (!t->all)
        ttls_destroy(&t);
    return t;
}

void ttls_destroy(struct ttls **self_p)
{
    struct ttls *t = self_p ? *self_p : NULL;

    if (!t)
        return;
    for (uint32_t i = 0; i < t->heap.count; i++)
        free(HEAP_OWNER(t->heap.rows[i], struct ttl, row));
    free(t->heap.rows);
    index_destroy(&t->all);
    free(t);
    *self_p = NULL;
}

static void key_of(struct bytes space, struct bytes name, struct ttl_key *k)
{
    k->b[0] = (uint8_t)space.n;
    memcpy(k->b + 1, space.p, space.n);
    memcpy(k->b + 1 + space.n, name.p, name.n);
    k->n = 1 + space.n + name.n;
}

static struct ttl *find(const struct ttls *t, const struct ttl_key *k)
{
    return index_item(index_find(t->all, k->b, k->n), struct ttl, key);
}

uint64_t ttl_due(const struct ttls *t, struct bytes space, struct bytes name)
{
    const struct ttl *row;
    struct ttl_key k;

    key_of(space, name, &k);
    row = find(t, &k);
    return row ? row->due : 0;
}

const struct ttl *ttls_first(const struct ttls *t)
{
    return t->heap.count ? HEAP_OWNER(t->heap.rows[0], struct ttl, row) : NULL;
}

size_t ttls_count(const struct ttls *t)
{
    return t->heap.count;
}

/* --- Changes ------------------------------------------------------------- */

static void ttl_item(struct item *it, const struct ttl *row)
{
    item_begin(it, ITEM_TTL);
    item_u64(it, row->due);
    item_put(it, bytes_of(row->key.bytes, row->key.len));
}

static void enter(struct ttls *t, struct ttl *row)
{
    struct item it;

    ttl_item(&it, row);
    item_add(t->digest, &it);
    heap_push(&t->heap, row->due, &row->row);
}

static void leave(struct ttls *t, const struct ttl *row)
{
    struct item it;

    ttl_item(&it, row);
    item_sub(t->digest, &it);
    heap_remove(&t->heap, row->row);
}

static int ttl_make(struct ttls *t, const struct ttl_key *k, uint64_t due,
                    struct ttl **out)
{
    struct ttl *row;
    int r = heap_room(&t->heap, t->heap.count + 1);

    if (r)
        return r;
    row = malloc(sizeof *row + k->n);
    if (!row)
        return -ENOMEM;
    row->due = due;
    row->key.len = (uint32_t)k->n;
    memcpy(row->key.bytes, k->b, k->n);
    r = index_insert(t->all, &row->key);
    if (r) {
        free(row);
        return r;
    }
    enter(t, row);
    *out = row;
    return 0;
}

int ttl_set(struct ttls *t, struct bytes space, struct bytes name, uint64_t due)
{
    struct ttl_key k;
    struct ttl *row;

    key_of(space, name, &k);
    row = find(t, &k);
    if (!row)
        return ttl_make(t, &k, due, &row);
    leave(t, row);
    row->due = due;
    enter(t, row);
    return 0;
}

void ttl_clear(struct ttls *t, struct bytes space, struct bytes name)
{
    struct ttl_key k;
    struct ttl *row;

    key_of(space, name, &k);
    row = find(t, &k);
    if (!row)
        return;
    leave(t, row);
    index_remove(t->all, k.b, k.n);
    free(row);
}

/* --- Snapshot ------------------------------------------------------------ */

int ttls_save(const struct ttls *t, ttl_sink put, void *to)
{
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(t->all, &at, NULL, 0);
    while (!r && (k = index_next(&at))) {
        struct item it;

        ttl_item(&it, index_item(k, struct ttl, key));
        r = put(to, item_record(&it));
    }
    return r;
}

int ttls_load(struct ttls *t, struct bytes record, const struct ttl **of)
{
    struct cursor at = cursor_of(record);
    struct bytes space, name;
    struct ttl_key k;
    struct ttl *row;
    uint64_t due;
    int r;

    if (cursor_u8(&at) != ITEM_TTL)
        return CHOIR_MALFORMED;
    due = cursor_u64(&at);
    space = load_name(&at, LIMIT_NAME_BYTES);
    name = load_text(&at, cursor_left(&at), LIMIT_KEY_BYTES);
    if (!load_ended(&at) || !due)
        return CHOIR_MALFORMED;
    key_of(space, name, &k);
    r = ttl_make(t, &k, due, &row);
    if (r)
        return r == -EEXIST ? CHOIR_MALFORMED : r;
    *of = row;
    return 0;
}
