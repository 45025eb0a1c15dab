/* Telling a watch what changed. Many watches of one prefix are told the same
 * but for their own numbers, so it is encoded once and the number put in. */
#include <errno.h>

#include "cursor_private.h"
#include "proto/pack.h"
#include "proto/refusal.h"

void say_caught_up(struct cursors *c, struct watch *w)
{
    struct msg m;

    w->caught_up = true;
    msg_init(&m, MSG_CAUGHT_UP);
    msg_set_u(&m, FIELD_WATCH, w->id.number);
    msg_set_u(&m, FIELD_REVISION, w->opened_at);
    presence_say(c->router, w->p, &m);
}

static bool about(const struct watch *w, const struct change *change)
{
    return bytes_start_with(change->key, watch_prefix(w));
}

/* Grants are looked at here, at delivery. A value that was compacted is as good
 * as never seen: a later one follows. */
static bool may_see(const struct cursors *c, const struct watch *w,
                    const struct entry *e, const struct change *change)
{
    const struct agent *a = watch_agent(c, w);
    struct bytes value;

    return a &&
           agent_may(a, RIGHT_READ, watch_space(w), change->key,
                     (struct bytes){0}) &&
           (change->deleted ||
            entry_slot(e, change->slot, &value) != CHOIR_COMPACTED);
}

static void item_put(struct buf *out, const struct entry *e,
                     const struct change *change)
{
    int r = change->deleted ? CHOIR_NOT_FOUND : 0;
    struct bytes value;
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_b(&item, FIELD_KEY, change->key);
    msg_set_u(&item, FIELD_KIND, change->deleted);
    if (change->prev)
        msg_set_u(&item, FIELD_PREV, change->prev);
    if (change->type.n)
        msg_set_b(&item, FIELD_TYPE, change->type);
    if (!change->deleted)
        r = change_value(e, change, &value);
    if (!r)
        msg_set_b(&item, FIELD_VALUE, value);
    else if (r == CHOIR_ERASED)
        msg_set_u(&item, FIELD_OUTCOME, CHOIR_ERASED);
    msg_encode(&item, out);
}

/* The changes that this watch is about and may see, as for that number. */
static void change_put(struct cursors *c, const struct watch *w,
                       const struct happening *h, uint64_t number,
                       struct buf *out)
{
    uint64_t n = 0;
    struct msg m;

    buf_clear(&c->items);
    for (size_t i = 0; i < c->count; i++) {
        if (!about(w, &c->list[i]) || !may_see(c, w, h->e, &c->list[i]))
            continue;
        item_put(&c->items, h->e, &c->list[i]);
        n++;
    }
    msg_init(&m, MSG_CHANGE);
    msg_set_u(&m, FIELD_WATCH, number);
    msg_set_u(&m, FIELD_REVISION, h->e->index);
    msg_set_u(&m, FIELD_TIME, h->e->time);
    msg_set_hash(&m, FIELD_AGENT, h->author);
    if (h->task)
        msg_set_u(&m, FIELD_TASK, h->task);
    msg_set_list(&m, FIELD_ITEMS, n, buf_bytes(&c->items));
    buf_clear(out);
    if (c->items.failed)
        out->failed = true;
    else
        msg_encode(&m, out);
}

/* Encoded for 0 and for 1, it differs in one byte: there the number is. */
static int shared_make(struct cursors *c, const struct watch *w,
                       const struct happening *h)
{
    size_t at = 0;

    change_put(c, w, h, 0, &c->shared);
    change_put(c, w, h, 1, &c->own);
    if (c->shared.failed || c->own.failed)
        return -ENOMEM;
    while (c->shared.p[at] == c->own.p[at])
        at++;
    c->shared_at = at;
    return 0;
}

/* The encoding for watch 0, with the number of this one. */
static void own_make(struct cursors *c, const struct watch *w,
                     struct bytes shared, size_t number_at)
{
    buf_clear(&c->own);
    buf_put(&c->own, shared.p, number_at);
    pack_uint(&c->own, w->id.number);
    buf_put(&c->own, shared.p + number_at + 1, shared.n - number_at - 1);
}

static int own_say(struct cursors *c, struct watch *w)
{
    if (c->own.failed)
        return -ENOMEM;
    w->credit--;
    c->counters.changes++;
    presence_say_bytes(c->router, w->p, buf_bytes(&c->own));
    return 0;
}

static bool may_say(struct cursors *c, const struct watch *w)
{
    return w->credit && connection_has_room(c->router, w->p->connection);
}

int change_say(struct cursors *c, struct watch *w, struct bytes shared,
               size_t number_at)
{
    if (!may_say(c, w))
        return -EAGAIN;
    own_make(c, w, shared, number_at);
    return own_say(c, w);
}

static int shared_put(struct cursors *c, const struct watch *w,
                      const struct happening *h)
{
    if (!c->shared.n) {
        int r = shared_make(c, w, h);

        if (r)
            return r;
        if (again_wants(c, h->e))
            again_keep(c, h->e, watch_space(w));
    }
    own_make(c, w, buf_bytes(&c->shared), c->shared_at);
    return 0;
}

int change_tell(struct cursors *c, struct watch *w, const struct happening *h)
{
    size_t n = 0, seen = 0;
    int r = 0;

    for (size_t i = 0; i < c->count; i++) {
        if (!about(w, &c->list[i]))
            continue;
        n++;
        seen += may_see(c, w, h->e, &c->list[i]);
    }
    if (seen == 0)
        return 0;
    if (!may_say(c, w))
        return -EAGAIN;
    if (h->many && seen == n)
        r = shared_put(c, w, h);
    else
        change_put(c, w, h, w->id.number, &c->own);
    return r ? r : own_say(c, w);
}
