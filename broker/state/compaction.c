/* An ordered map from names of spaces to lines; the line of all spaces has the
 * empty name. */
#include "compaction.h"

#include <errno.h>
#include <stdlib.h>

#include "item.h"
#include "proto/limits.h"
#include "proto/refusal.h"

struct line {
    uint64_t at;
    struct index_key space;
};

struct compaction {
    struct digest *digest; /* borrowed */
    struct index *lines;
    uint64_t sum;
};

static void line_item(struct item *it, const struct line *l)
{
    item_begin(it, ITEM_COMPACTION);
    item_u64(it, l->at);
    item_put(it, bytes_of(l->space.bytes, l->space.len));
}

struct compaction *compaction_new(struct digest *digest)
{
    struct compaction *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->digest = digest;
    c->lines = index_new();
    if (!c->lines)
        compaction_destroy(&c);
    return c;
}

void compaction_destroy(struct compaction **self_p)
{
    struct compaction *c = *self_p;
    struct index_cursor at;
    struct index_key *k;

    if (!c)
        return;
    if (c->lines) {
        index_seek(c->lines, &at, NULL, 0);
        while ((k = index_next(&at)))
            free(index_item(k, struct line, space));
    }
    index_destroy(&c->lines);
    free(c);
    *self_p = NULL;
}

static struct line *line_find(const struct compaction *c, struct bytes space)
{
    return index_item(index_find(c->lines, space.p, space.n), struct line,
                      space);
}

uint64_t compaction_line(const struct compaction *c, struct bytes space)
{
    const struct line *all, *own;
    uint64_t at;

    if (index_count(c->lines) == 0)
        return 0;
    all = line_find(c, (struct bytes){0});
    at = all ? all->at : 0;
    own = space.n ? line_find(c, space) : NULL;
    return own && own->at > at ? own->at : at;
}

uint64_t compaction_sum(const struct compaction *c)
{
    return c->sum;
}

static int line_make(struct compaction *c, struct bytes space,
                     struct line **out)
{
    struct line *l = malloc(sizeof *l + space.n);
    int r;

    if (!l)
        return -ENOMEM;
    l->at = 0;
    l->space.len = (uint32_t)space.n;
    if (space.n)
        memcpy(l->space.bytes, space.p, space.n);
    r = index_insert(c->lines, &l->space);
    if (r)
        free(l);
    else
        *out = l;
    return r;
}

int compaction_raise(struct compaction *c, struct bytes space, uint64_t at)
{
    struct line *l = line_find(c, space);
    struct item it;
    int r;

    if (space.n > LIMIT_NAME_BYTES)
        return -EINVAL;
    if (at <= (l ? l->at : 0))
        return 0;
    if (l) {
        line_item(&it, l);
        item_sub(c->digest, &it);
    } else {
        r = line_make(c, space, &l);
        if (r)
            return r;
    }
    c->sum += at - l->at;
    l->at = at;
    line_item(&it, l);
    item_add(c->digest, &it);
    return 0;
}

int compaction_save(const struct compaction *c, compaction_sink put, void *to)
{
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(c->lines, &at, NULL, 0);
    while (!r && (k = index_next(&at))) {
        struct item it;

        line_item(&it, index_item(k, struct line, space));
        r = put(to, item_record(&it));
    }
    return r;
}

int compaction_load(struct compaction *c, struct bytes record)
{
    struct cursor at = cursor_of(record);
    struct bytes space = {0};
    uint64_t line;

    if (cursor_u8(&at) != ITEM_COMPACTION)
        return CHOIR_MALFORMED;
    line = cursor_u64(&at);
    if (cursor_left(&at))
        space = load_text(&at, cursor_left(&at), LIMIT_NAME_BYTES);
    if (!load_ended(&at) || line == 0 || line_find(c, space))
        return CHOIR_MALFORMED;
    return compaction_raise(c, space, line);
}
