/* Where a watch stands: at a spot that changed keys lead to, among those that
 * read on, or nowhere while it has no credit or its peer no room. */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "cursor_private.h"

static void lengths_changed(struct cursors *c)
{
    c->used_count = 0;
    for (uint16_t i = 0; i <= LIMIT_KEY_BYTES; i++) {
        if (c->lengths[i])
            c->used[c->used_count++] = i;
    }
}

uint64_t spot_hash(const struct cursors *c, const char *key, size_t n)
{
    uint64_t h = 0;

    for (size_t i = 0; i < n; i++)
        h = spot_hash_step(c->hash_argument, h, key[i]);
    return h;
}

static struct spot *spot_of(struct cursors *c, const struct watch *w)
{
    size_t n = w->space_bytes + 1 + w->prefix_bytes;
    uint64_t hash = spot_hash(c, w->key, n);
    struct spot *s = spots_find(&c->spots, w->key, n, hash);

    if (s)
        return s;
    s = calloc(1, sizeof *s + n);
    if (!s)
        return NULL;
    memcpy(s->key, w->key, n);
    s->key_bytes = n;
    s->prefix_bytes = w->prefix_bytes;
    s->hash = hash;
    if (spots_add(&c->spots, s)) {
        free(s);
        return NULL;
    }
    if (c->lengths[s->prefix_bytes]++ == 0)
        lengths_changed(c);
    return s;
}

static void spot_leave(struct cursors *c, struct watch *w)
{
    struct spot *s = w->spot;

    DL_DELETE2(s->watches, w, prev, next_in);
    w->spot = NULL;
    c->counters.live--;
    if (s->watches)
        return;
    spots_remove(&c->spots, s);
    if (--c->lengths[s->prefix_bytes] == 0)
        lengths_changed(c);
    free(s);
}

void stand_nowhere(struct cursors *c, struct watch *w)
{
    if (w->spot)
        spot_leave(c, w);
    else if (w->stand == LEVEL)
        DL_DELETE2(c->taps, w, prev, next_in);
    else if (w->stand == BEHIND) {
        DL_DELETE2(c->behind, w, prev, next_in);
        c->behind_count--;
    }
    w->stand = PARKED;
}

void stand_behind(struct cursors *c, struct watch *w)
{
    stand_nowhere(c, w);
    if (w->credit == 0)
        return;
    if (w->p->connection->full) {
        w->stand = STALLED;
        return;
    }
    w->stand = BEHIND;
    DL_APPEND2(c->behind, w, prev, next_in);
    c->behind_count++;
    c->ready = true;
}

void watches_wake(struct cursors *c, struct presence *p)
{
    struct watch *w;

    DL_FOREACH2(p->watches, w, p_next)
    {
        if (w->stand == STALLED)
            stand_behind(c, w);
    }
}

int stand_level(struct cursors *c, struct watch *w)
{
    struct spot *s = w->tap ? NULL : spot_of(c, w);

    if (!w->tap && !s)
        return -ENOMEM;
    stand_nowhere(c, w);
    w->stand = LEVEL;
    if (w->tap) {
        DL_APPEND2(c->taps, w, prev, next_in);
        return 0;
    }
    w->spot = s;
    DL_APPEND2(s->watches, w, prev, next_in);
    c->counters.live++;
    return 0;
}
