/* One ordered index; a mark's key is (agent, kind, space, name), so that an
 * agent's stand together. */
#include "mark.h"

#include <errno.h>
#include <stdlib.h>

#include "item.h"
#include "proto/limits.h"
#include "proto/refusal.h"

enum { KEY_MAX = 4 + 1 + 1 + 2 * LIMIT_NAME_BYTES };

struct marks {
    struct digest *digest; /* borrowed */
    struct index *all;
};

struct mark_key {
    size_t n;
    uint8_t b[KEY_MAX];
};

struct marks *marks_new(struct digest *digest)
{
    struct marks *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->digest = digest;
    m->all = index_new();
    if (!m->all)
        marks_destroy(&m);
    return m;
}

void marks_destroy(struct marks **self_p)
{
    struct marks *m = self_p ? *self_p : NULL;
    struct index_cursor at;
    struct index_key *k;

    if (!m)
        return;
    if (m->all) {
        index_seek(m->all, &at, NULL, 0);
        while ((k = index_next(&at)))
            free(index_item(k, struct mark, key));
    }
    index_destroy(&m->all);
    free(m);
    *self_p = NULL;
}

/* The key's number is big-endian, so that order is that of agents. */
static void key_of(const struct mark_id *id, struct mark_key *k)
{
    k->b[0] = (uint8_t)(id->agent >> 24);
    k->b[1] = (uint8_t)(id->agent >> 16);
    k->b[2] = (uint8_t)(id->agent >> 8);
    k->b[3] = (uint8_t)id->agent;
    k->b[4] = (uint8_t)id->kind;
    k->b[5] = (uint8_t)id->space.n;
    memcpy(k->b + 6, id->space.p, id->space.n);
    if (id->name.n)
        memcpy(k->b + 6 + id->space.n, id->name.p, id->name.n);
    k->n = 6 + id->space.n + id->name.n;
}

static bool id_fits(const struct mark_id *id)
{
    return id->agent && id->kind <= MARK_TOPIC && id->space.n >= 1 &&
           id->space.n <= LIMIT_NAME_BYTES && id->name.n <= LIMIT_NAME_BYTES;
}

static void mark_item(struct item *it, const struct mark *m)
{
    item_begin(it, ITEM_MARK);
    item_u64(it, m->revision);
    item_put(it, bytes_of(m->key.bytes, m->key.len));
}

static struct mark *find(const struct marks *m, const struct mark_key *k)
{
    return index_item(index_find(m->all, k->b, k->n), struct mark, key);
}

uint64_t mark_find(const struct marks *m, const struct mark_id *id)
{
    struct mark_key k;
    const struct mark *mark;

    if (!id_fits(id))
        return 0;
    key_of(id, &k);
    mark = find(m, &k);
    return mark ? mark->revision : 0;
}

const struct mark *marks_next(const struct marks *m, const struct mark_id *id)
{
    struct mark_id next_kind = *id;
    struct index_cursor at;
    struct index_key *key;
    struct mark_key k;

    if (!id_fits(id))
        return NULL;
    key_of(id, &k);
    index_seek(m->all, &at, k.b, k.n);
    key = index_next(&at);
    if (key && bytes_equal(bytes_of(key->bytes, key->len), bytes_of(k.b, k.n)))
        key = index_next(&at);
    if (key && index_key_begins(key, k.b, 6 + id->space.n))
        return index_item(key, struct mark, key);
    if (id->kind == MARK_TOPIC)
        return NULL;
    next_kind.kind = MARK_TOPIC;
    next_kind.name = (struct bytes){0};
    return marks_next(m, &next_kind);
}

size_t marks_count(const struct marks *m)
{
    return index_count(m->all);
}

/* --- Changes ------------------------------------------------------------- */

static void enter(struct marks *m, const struct mark *mark)
{
    struct item it;

    mark_item(&it, mark);
    item_add(m->digest, &it);
}

static void leave(struct marks *m, const struct mark *mark)
{
    struct item it;

    mark_item(&it, mark);
    item_sub(m->digest, &it);
}

static int mark_make(struct marks *m, const struct mark_key *k,
                     uint64_t revision)
{
    struct mark *mark = malloc(sizeof *mark + k->n);
    int r;

    if (!mark)
        return -ENOMEM;
    mark->revision = revision;
    mark->key.len = (uint32_t)k->n;
    memcpy(mark->key.bytes, k->b, k->n);
    r = index_insert(m->all, &mark->key);
    if (r)
        free(mark);
    else
        enter(m, mark);
    return r;
}

int mark_set(struct marks *m, const struct mark_id *id, uint64_t revision,
             int *made)
{
    struct mark_key k;
    struct mark *mark;
    int r;

    *made = 0;
    if (!id_fits(id) || id->name.n == 0)
        return -EINVAL;
    key_of(id, &k);
    mark = find(m, &k);
    if (!mark) {
        r = revision ? mark_make(m, &k, revision) : 0;
        *made = !r && revision;
        return r;
    }
    if (revision && revision <= mark->revision)
        return 0;
    leave(m, mark);
    mark->revision = revision;
    if (revision) {
        enter(m, mark);
        return 0;
    }
    index_remove(m->all, k.b, k.n);
    free(mark);
    *made = -1;
    return 0;
}

/* --- Snapshot ------------------------------------------------------------ */

int marks_save(const struct marks *m, mark_sink put, void *to)
{
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(m->all, &at, NULL, 0);
    while (!r && (k = index_next(&at))) {
        struct item it;

        mark_item(&it, index_item(k, struct mark, key));
        r = put(to, item_record(&it));
    }
    return r;
}

int marks_load(struct marks *m, struct bytes record, uint32_t *agent)
{
    struct cursor at = cursor_of(record);
    struct mark_id id = {0};
    struct mark_key k;
    struct bytes number;
    uint64_t revision;
    int r;

    if (cursor_u8(&at) != ITEM_MARK)
        return CHOIR_MALFORMED;
    revision = cursor_u64(&at);
    number = cursor_take(&at, 4);
    id.kind = cursor_u8(&at);
    id.space = load_name(&at, LIMIT_NAME_BYTES);
    id.name = load_text(&at, cursor_left(&at), LIMIT_NAME_BYTES);
    if (!load_ended(&at) || !revision)
        return CHOIR_MALFORMED;
    for (size_t i = 0; i < number.n; i++)
        id.agent = id.agent << 8 | number.p[i];
    if (!id_fits(&id))
        return CHOIR_MALFORMED;
    key_of(&id, &k);
    r = mark_make(m, &k, revision);
    *agent = id.agent;
    return r == -EEXIST ? CHOIR_MALFORMED : r;
}
