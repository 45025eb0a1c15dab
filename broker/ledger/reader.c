/* Entries in order: one group in memory at a time, checked as it is read. */
#include <errno.h>
#include <stdlib.h>

#include "broker/ledger/segment.h"
#include "proto/refusal.h"

struct ledger_reader {
    struct ledger *l;
    uint64_t segment, offset; /* of the group at hand or the next one */
    uint64_t next;            /* index */
    uint64_t group_first;     /* of the group that must start at offset */
    uint64_t generation;      /* of the places above */
    bool inside;
    bool chained; /* g is the group before: the next one has to follow it */
    struct group_header g;
    struct group_walk walk;
    struct window window;
};

int ledger_reader_open(struct ledger *l, uint64_t index,
                       struct ledger_reader **out)
{
    struct ledger_reader *r = calloc(1, sizeof *r);
    int e;

    if (!r)
        return -ENOMEM;
    r->l = l;
    e = ledger_reader_seek(r, index);
    if (e)
        ledger_reader_close(&r);
    else
        *out = r;
    return e;
}

int ledger_reader_seek(struct ledger_reader *r, uint64_t index)
{
    struct ledger *l = r->l;
    int e;

    r->inside = r->chained = false;
    if (r->generation != l->generation)
        window_free(&r->window); /* of a segment that was replaced, maybe */
    r->generation = l->generation;
    if (index >= l->written.size) {
        r->segment = l->written.segment;
        r->offset = l->written.offset;
        r->next = r->group_first = l->written.size;
        return index == l->written.size ? 0 : CHOIR_NOT_FOUND;
    }
    e = locate(l, index, &r->segment, &r->offset, &r->g);
    if (e)
        return e;
    r->next = index;
    r->group_first = r->g.first;
    return 0;
}

static int reader_damaged(struct ledger_reader *r, const char *why)
{
    return trouble_say(r->l->trouble, -EUCLEAN,
                       "damage in segment %u at byte %llu, at entry %llu: %s",
                       (unsigned)r->segment, (unsigned long long)r->offset,
                       (unsigned long long)r->next, why);
}

/* Segments were replaced since: the same group is elsewhere. */
static int relocate(struct ledger_reader *r)
{
    struct group_header g;
    int e;

    window_free(&r->window);
    r->generation = r->l->generation;
    if (r->group_first == r->l->written.size)
        return 0; /* never of the last segment */
    e = locate(r->l, r->group_first, &r->segment, &r->offset, &g);
    if (!e && g.first != r->group_first)
        return reader_damaged(r, "another index than the one that is due");
    return e;
}

/* The group that is due, whole or its heads alone. */
static int group_take(struct ledger_reader *r, bool whole, struct bytes *body)
{
    struct hash before = r->g.hash;
    int e = r->generation == r->l->generation ? 0 : relocate(r);

    if (e)
        return e;
    if (r->segment < r->l->count &&
        r->offset == segment_end(r->l, r->segment)) {
        r->segment++;
        r->offset = SEGMENT_HEADER_BYTES;
    }
    e = (whole ? group_load : group_load_heads)(r->l, &r->window, r->segment,
                                                r->offset, &r->g, body);
    if (e)
        return e;
    if (r->g.first != r->group_first)
        return reader_damaged(r, "another index than the one that is due");
    if (r->chained && !hash_equal(&r->g.prev, &before))
        return reader_damaged(r, "a group does not follow from the one before");
    r->chained = true;
    return 0;
}

static int group_enter(struct ledger_reader *r)
{
    struct bytes body;
    int e = group_take(r, true, &body);

    if (e)
        return e;
    group_walk_begin(&r->walk, &r->g, body);
    r->inside = true;
    return 0;
}

static int group_leave(struct ledger_reader *r)
{
    r->inside = false;
    r->group_first += r->g.count;
    r->offset += group_bytes(&r->g);
    return r->group_first == r->walk.index
               ? 0
               : reader_damaged(r, "a group's count does not fit");
}

int ledger_reader_next(struct ledger_reader *r, const struct entry **e)
{
    int code;

    for (;;) {
        if (!r->inside && r->next == r->l->written.size) {
            window_free(&r->window);
            return CHOIR_NOT_FOUND;
        }
        code = r->inside ? 0 : group_enter(r);
        if (code)
            return code;
        code = group_walk_next(&r->walk, e);
        if (code == CHOIR_NOT_FOUND)
            code = group_leave(r);
        else if (code)
            return reader_damaged(r, "a group does not hold what it says");
        else if ((*e)->index == r->next) {
            r->walk.at.hider = r->l->hider;
            r->next++;
            return 0;
        }
        if (code)
            return code;
    }
}

int ledger_reader_group(struct ledger_reader *r, struct group_header *g,
                        struct bytes *heads)
{
    int e;

    if (r->inside)
        return -EINVAL;
    if (r->group_first == r->l->written.size) {
        window_free(&r->window);
        return CHOIR_NOT_FOUND;
    }
    e = group_take(r, false, heads);
    if (e)
        return e;
    *g = r->g;
    r->group_first += r->g.count;
    r->offset += group_bytes(&r->g);
    r->next = r->group_first;
    return 0;
}

uint64_t ledger_reader_index(const struct ledger_reader *r)
{
    return r->next;
}

void ledger_reader_close(struct ledger_reader **r_p)
{
    if (!r_p || !*r_p)
        return;
    window_free(&(*r_p)->window);
    free(*r_p);
    *r_p = NULL;
}

int ledger_group_before(struct ledger *l, uint64_t index, struct hash *group)
{
    uint64_t segment, offset;
    struct group_header g;
    int e;

    if (index == l->written.size) {
        *group = l->written.group;
        return 0;
    }
    e = index < l->written.size ? locate(l, index, &segment, &offset, &g)
                                : CHOIR_NOT_FOUND;
    if (!e && g.first != index)
        e = CHOIR_NOT_FOUND;
    if (!e)
        *group = g.prev;
    return e;
}
