/* Keys as records: all at once, or as they were at one moment while changes go
 * on. For the latter a key that changes before the walk has come to it is given
 * then, as it was; and what the walk meets with a revision from after that
 * moment is not given, as it was already or did not exist. So each is given
 * once, without a copy of anything. Keys never leave: they become tombstones. */
#include <errno.h>
#include <stdlib.h>

#include "context_inside.h"
#include "proto/refusal.h"

static int space_save(const struct space *s, context_sink put, void *to)
{
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(s->keys, &at, NULL, 0);
    while (!r && (k = index_next(&at))) {
        struct item it;

        key_item(&it, index_item(k, struct key, name), space_name(s));
        r = put(to, item_record(&it));
    }
    return r;
}

int context_save(const struct context *c, context_sink put, void *to)
{
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(c->spaces, &at, NULL, 0);
    while (!r && (k = index_next(&at)))
        r = space_save(index_item(k, struct space, name), put, to);
    return r;
}

/* --- While changes go on ------------------------------------------------- */

void context_save_begin(struct context *c, uint64_t size, context_sink put,
                        void *to)
{
    c->saving.put = put;
    c->saving.to = to;
    c->saving.size = size;
    c->saving.left = c->count;
    c->saving.failed = 0;
    c->saving.space_len = c->saving.name_len = 0;
}

void context_save_end(struct context *c)
{
    c->saving.put = NULL;
}

static void give(struct saving *s, struct bytes record)
{
    if (s->failed)
        return;
    s->failed = s->left-- ? s->put(s->to, record) : -EUCLEAN;
}

/* Has the walk been there? */
static bool is_behind(const struct saving *s, struct bytes space,
                      struct bytes name)
{
    int order = index_compare(space.p, space.n, s->space, s->space_len);

    return order < 0 || (order == 0 && index_compare(name.p, name.n, s->name,
                                                     s->name_len) <= 0);
}

void saving_keep(struct saving *s, struct bytes space, const struct key *k,
                 struct bytes record)
{
    if (k->revision < s->size && !is_behind(s, space, key_name(k)))
        give(s, record);
}

static void stand_at(struct saving *s, const struct space *space,
                     const struct index_key *name)
{
    s->space_len = space->name.len;
    memcpy(s->space, space->name.bytes, space->name.len);
    s->name_len = name->len;
    memcpy(s->name, name->bytes, name->len);
}

/* From where it stands, if that is in this space. Keys that may yet be looked
 * at; 0: there may be more in it. */
static unsigned space_step(struct saving *s, const struct space *space,
                           unsigned n)
{
    bool within = s->space_len == space->name.len &&
                  !memcmp(s->space, space->name.bytes, s->space_len);
    struct index_key *name, *last = NULL;
    struct index_cursor at;
    struct item it;

    index_seek(space->keys, &at, s->name, within ? s->name_len : 0);
    for (; n && !s->failed && (name = index_next(&at)); n--) {
        const struct key *k = index_item(name, struct key, name);

        if (!last && within && name->len == s->name_len &&
            !memcmp(name->bytes, s->name, name->len))
            continue; /* where it stands */
        last = name;
        if (k->revision >= s->size)
            continue;
        key_item(&it, k, space_name(space));
        give(s, item_record(&it));
    }
    if (last)
        stand_at(s, space, last);
    return n;
}

int context_save_step(struct context *c, unsigned n)
{
    struct saving *s = &c->saving;
    struct index_cursor at;
    struct index_key *k;

    index_seek(c->spaces, &at, s->space, s->space_len);
    while (n && !s->failed && (k = index_next(&at)))
        n = space_step(s, index_item(k, struct space, name), n);
    if (!s->failed && !n)
        return 0;
    context_save_end(c);
    if (!s->failed && s->left)
        return -EUCLEAN; /* a key is gone, which none ever is */
    return s->failed ? s->failed : CHOIR_NOT_FOUND;
}
