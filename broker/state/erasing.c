/* A short list, in order of their entries. */
#include "erasing.h"

#include <errno.h>
#include <stdlib.h>

#include "item.h"
#include "proto/refusal.h"

enum { LIST_MAX = ERASINGS_MAX + ERASINGS_ENDED_MAX };

struct erasings {
    struct digest *digest; /* borrowed */
    struct erasing list[LIST_MAX];
    size_t count, ended;
};

static void erasing_item(struct item *it, const struct erasing *x)
{
    item_begin(it, ITEM_ERASING);
    item_u64(it, x->index);
    item_u64(it, x->last);
    item_u64(it, x->slots);
    item_u8(it, x->ended);
}

struct erasings *erasings_new(struct digest *digest)
{
    struct erasings *e = calloc(1, sizeof *e);

    if (e)
        e->digest = digest;
    return e;
}

void erasings_destroy(struct erasings **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

const struct erasing *erasings_first(const struct erasings *e)
{
    for (size_t i = 0; i < e->count; i++) {
        if (!e->list[i].ended)
            return &e->list[i];
    }
    return NULL;
}

const struct erasing *erasing_find(const struct erasings *e, uint64_t index)
{
    for (size_t i = 0; i < e->count; i++) {
        if (e->list[i].index == index)
            return &e->list[i];
    }
    return NULL;
}

size_t erasings_count(const struct erasings *e)
{
    return e->count - e->ended;
}

/* --- Changing ------------------------------------------------------------- */

static void enter(struct erasings *e, const struct erasing *x)
{
    struct item it;

    erasing_item(&it, x);
    item_add(e->digest, &it);
}

static void leave(struct erasings *e, const struct erasing *x)
{
    struct item it;

    erasing_item(&it, x);
    item_sub(e->digest, &it);
}

static int add(struct erasings *e, const struct erasing *x)
{
    if (e->count && e->list[e->count - 1].index >= x->index)
        return -EINVAL;
    if (x->ended ? e->ended == ERASINGS_ENDED_MAX
                 : erasings_count(e) == ERASINGS_MAX)
        return -EINVAL;
    e->list[e->count++] = *x;
    e->ended += x->ended;
    enter(e, x);
    return 0;
}

int erasing_begin(struct erasings *e, uint64_t index)
{
    struct erasing x = {.index = index};

    return add(e, &x);
}

static void oldest_ended_drop(struct erasings *e)
{
    size_t i = 0;

    while (!e->list[i].ended)
        i++;
    leave(e, &e->list[i]);
    e->count--;
    e->ended--;
    memmove(e->list + i, e->list + i + 1, (e->count - i) * sizeof *e->list);
}

int erasing_slice(struct erasings *e, uint64_t index, uint64_t slice,
                  uint64_t slots, bool ends)
{
    struct erasing *x = (struct erasing *)erasing_find(e, index);

    if (!x || x->ended)
        return -ENOENT;
    if (ends && e->ended == ERASINGS_ENDED_MAX) {
        oldest_ended_drop(e);
        x = (struct erasing *)erasing_find(e, index);
    }
    leave(e, x);
    x->last = slice;
    x->slots += slots;
    x->ended = ends;
    e->ended += ends;
    enter(e, x);
    return 0;
}

/* --- Records -------------------------------------------------------------- */

int erasings_save(const struct erasings *e, erasings_sink put, void *to)
{
    int r = 0;

    for (size_t i = 0; !r && i < e->count; i++) {
        struct item it;

        erasing_item(&it, &e->list[i]);
        r = put(to, item_record(&it));
    }
    return r;
}

int erasings_load(struct erasings *e, struct bytes record)
{
    struct cursor at = cursor_of(record);
    uint8_t kind = cursor_u8(&at);
    struct erasing x = {0};

    x.index = cursor_u64(&at);
    x.last = cursor_u64(&at);
    x.slots = cursor_u64(&at);
    x.ended = load_bool(&at);
    if (kind != ITEM_ERASING || !load_ended(&at) || x.index == 0 ||
        (x.last && x.last <= x.index) || (!x.last && (x.slots || x.ended)))
        return CHOIR_MALFORMED;
    return add(e, &x) ? CHOIR_MALFORMED : 0;
}
