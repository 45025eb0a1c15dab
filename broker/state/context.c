/* Two levels of ordered index: names of spaces, and in each its keys. */
#include "context_inside.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "proto/refusal.h"

/* What few keys need must not make all of them larger. */
static_assert(offsetof(struct key, name) == 28, "a key has grown");

static struct space *space_find(const struct context *c, struct bytes name)
{
    return index_item(index_find(c->spaces, name.p, name.n), struct space,
                      name);
}

static void space_free(struct space *s)
{
    struct index_cursor at;
    struct index_key *k;

    index_seek(s->keys, &at, NULL, 0);
    while ((k = index_next(&at)))
        free(index_item(k, struct key, name));
    index_destroy(&s->keys);
    free(s);
}

static int space_make(struct context *c, struct bytes name, struct space **out)
{
    struct space *s = space_find(c, name);
    int r;

    *out = s;
    if (s)
        return 0;
    s = malloc(sizeof(*s) + name.n);
    if (!s)
        return -ENOMEM;
    s->name.len = (uint32_t)name.n;
    memcpy(s->name.bytes, name.p, name.n);
    s->keys = index_new_stamped();
    r = s->keys ? index_insert(c->spaces, &s->name) : -ENOMEM;
    if (r) {
        index_destroy(&s->keys);
        free(s);
        return r;
    }
    *out = s;
    return 0;
}

/* A new key: in the index, but not yet in the digest. */
static int key_make(struct context *c, struct space *s, struct bytes name,
                    struct key **out)
{
    struct key *k = malloc(sizeof(*k) + name.n);
    int r;

    if (!k)
        return -ENOMEM;
    *k = (struct key){.name.len = (uint32_t)name.n};
    memcpy(k->name.bytes, name.p, name.n);
    r = index_insert(s->keys, &k->name);
    if (r) {
        free(k);
        return r;
    }
    c->count++;
    *out = k;
    return 0;
}

static struct key *key_find(const struct space *s, struct bytes name)
{
    return index_item(index_find(s->keys, name.p, name.n), struct key, name);
}

static bool names_fit(struct bytes space, struct bytes name)
{
    return space.n >= 1 && space.n <= LIMIT_NAME_BYTES && name.n >= 1 &&
           name.n <= LIMIT_KEY_BYTES;
}

static void key_enter(struct context *c, struct space *s, struct key *k)
{
    struct item it;

    key_item(&it, k, space_name(s));
    item_add(c->digest, &it);
    index_stamp(s->keys, &k->name, k->revision);
}

static void key_leave(struct context *c, struct space *s, const struct key *k)
{
    struct item it;

    key_item(&it, k, space_name(s));
    item_sub(c->digest, &it);
    if (c->saving.put)
        saving_keep(&c->saving, space_name(s), k, item_record(&it));
}

struct context *context_new(struct digest *digest)
{
    struct context *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->digest = digest;
    c->spaces = index_new();
    c->ttls = ttls_new(digest);
    if (!c->spaces || !c->ttls)
        context_destroy(&c);
    return c;
}

void context_destroy(struct context **self_p)
{
    struct index_cursor at;
    struct index_key *k;

    if (!self_p || !*self_p)
        return;
    if ((*self_p)->spaces) {
        index_seek((*self_p)->spaces, &at, NULL, 0);
        while ((k = index_next(&at)))
            space_free(index_item(k, struct space, name));
    }
    index_destroy(&(*self_p)->spaces);
    ttls_destroy(&(*self_p)->ttls);
    free(*self_p);
    *self_p = NULL;
}

const struct key *context_find(const struct context *c, struct bytes space,
                               struct bytes name)
{
    const struct space *s = space_find(c, space);

    return s ? key_find(s, name) : NULL;
}

const struct ttls *context_ttls(const struct context *c)
{
    return c->ttls;
}

size_t context_count(const struct context *c)
{
    return c->count;
}

const struct key *context_next(const struct context *c, struct bytes space,
                               struct bytes prefix, struct bytes from,
                               bool exclusive)
{
    const struct space *s = space_find(c, space);
    struct index_cursor at;
    struct index_key *k;

    if (!s)
        return NULL;
    if (index_compare(from.p, from.n, prefix.p, prefix.n) < 0) {
        from = prefix;
        exclusive = false;
    }
    index_seek(s->keys, &at, from.p, from.n);
    k = index_next(&at);
    if (k && exclusive && bytes_equal(bytes_of(k->bytes, k->len), from))
        k = index_next(&at);
    if (!k || !index_key_begins(k, prefix.p, prefix.n))
        return NULL;
    return index_item(k, struct key, name);
}

const struct key *context_next_newer(const struct context *c,
                                     struct bytes space, struct bytes prefix,
                                     struct bytes from, bool exclusive,
                                     uint64_t revision)
{
    const struct space *s = space_find(c, space);
    struct index_key *k;

    if (!s)
        return NULL;
    if (index_compare(from.p, from.n, prefix.p, prefix.n) < 0) {
        from = prefix;
        exclusive = false;
    }
    k = index_next_newer(s->keys, from.p, from.n, exclusive, revision);
    if (!k || !index_key_begins(k, prefix.p, prefix.n))
        return NULL;
    return index_item(k, struct key, name);
}

uint64_t context_prefix_revision(const struct context *c, struct bytes space,
                                 struct bytes prefix)
{
    const struct space *s = space_find(c, space);

    return s ? index_newest(s->keys, prefix.p, prefix.n) : 0;
}

/* As many of them as are of the first one's space, and at most a batch. */
static size_t names_fetch(const struct context *c,
                          const struct context_name *names, size_t n)
{
    struct index_text texts[INDEX_FETCH_MAX];
    const struct space *s = space_find(c, names->space);
    size_t k = 0;

    while (k < n && k < INDEX_FETCH_MAX &&
           bytes_equal(names[k].space, names->space)) {
        texts[k] = (struct index_text){names[k].key.p, names[k].key.n};
        k++;
    }
    if (s)
        index_fetch(s->keys, texts, k);
    return k;
}

void context_fetch(const struct context *c, const struct context_name *names,
                   size_t n)
{
    for (size_t i = 0; i < n;)
        i += names_fetch(c, names + i, n - i);
}

/* Another version follows, and says for itself whether it ends. */
static void lapse_clear(struct context *c, struct space *s, struct key *k)
{
    if (!k->lapses)
        return;
    k->lapses = false;
    ttl_clear(c->ttls, space_name(s), key_name(k));
}

int context_put(struct context *c, struct bytes space, struct bytes name,
                uint64_t revision, uint32_t agent, uint8_t slot, uint32_t bytes)
{
    struct space *s;
    struct key *k;
    int r;

    if (!names_fit(space, name))
        return -EINVAL;
    r = space_make(c, space, &s);
    if (r)
        return r;
    k = key_find(s, name);
    if (k)
        key_leave(c, s, k);
    else
        r = key_make(c, s, name, &k);
    if (r)
        return r;
    if (k->deleted || !k->created)
        k->created = revision;
    k->revision = revision;
    k->agent = agent;
    k->bytes = bytes;
    k->slot = slot;
    k->deleted = false;
    lapse_clear(c, s, k);
    key_enter(c, s, k);
    return 0;
}

int context_delete(struct context *c, struct bytes space, struct bytes name,
                   uint64_t revision, uint32_t agent)
{
    struct space *s = space_find(c, space);
    struct key *k = s ? key_find(s, name) : NULL;

    if (!k || k->deleted)
        return -ENOENT;
    key_leave(c, s, k);
    k->revision = revision;
    k->created = 0;
    k->agent = agent;
    k->bytes = 0;
    k->slot = 0;
    k->deleted = true;
    lapse_clear(c, s, k);
    key_enter(c, s, k);
    return 0;
}

int context_lapse_at(struct context *c, struct bytes space, struct bytes name,
                     uint64_t due)
{
    struct space *s = space_find(c, space);
    struct key *k = s ? key_find(s, name) : NULL;
    int r;

    if (!k || k->deleted)
        return -ENOENT;
    r = ttl_set(c->ttls, space, name, due);
    k->lapses = k->lapses || !r;
    return r;
}

static bool key_sound(const struct key *k)
{
    if (k->slot >= 2 * LIMIT_SLOTS || k->agent == 0)
        return false;
    if (k->deleted)
        return !k->created && !k->slot && !k->bytes;
    return k->created && k->created <= k->revision;
}

static int key_load(struct context *c, struct bytes record)
{
    struct cursor at = cursor_of(record);
    struct bytes space, name;
    struct key said = {0}, *k;
    struct space *s;
    int r;

    if (cursor_u8(&at) != ITEM_KEY)
        return CHOIR_MALFORMED;
    said.revision = cursor_u64(&at);
    said.created = cursor_u64(&at);
    said.agent = cursor_u32(&at);
    said.bytes = cursor_u32(&at);
    said.slot = cursor_u8(&at);
    said.deleted = load_bool(&at);
    space = load_name(&at, LIMIT_NAME_BYTES);
    name = load_text(&at, cursor_left(&at), LIMIT_KEY_BYTES);
    if (!load_ended(&at) || !key_sound(&said))
        return CHOIR_MALFORMED;
    r = space_make(c, space, &s);
    if (!r)
        r = key_make(c, s, name, &k);
    if (r)
        return r == -EEXIST ? CHOIR_MALFORMED : r;
    said.name.len = k->name.len;
    *k = said;
    key_enter(c, s, k);
    return 0;
}

static int lapse_load(struct context *c, struct bytes record)
{
    const struct ttl *row;
    struct space *s;
    struct key *k;
    int r = ttls_load(c->ttls, record, &row);

    if (r)
        return r;
    s = space_find(c, ttl_space(row));
    k = s ? key_find(s, ttl_name(row)) : NULL;
    if (!k || k->deleted)
        return CHOIR_MALFORMED;
    k->lapses = true;
    return 0;
}

int context_load(struct context *c, struct bytes record)
{
    return record.n && record.p[0] == ITEM_TTL ? lapse_load(c, record)
                                               : key_load(c, record);
}
