/* Changes that a watch was told a moment ago, as they were encoded: whoever
 * comes to them later, because it had no credit or its peer no room, is told
 * from memory and need not read the record. Only entries that changed one key
 * are kept: what they say is the same under every prefix. Right and erasure
 * are looked at when it is told. */
#include <errno.h>

#include "cursor_private.h"
#include "proto/refusal.h"

/* What stands in front of space, NUL and key. */
struct about {
    uint64_t slot;
    size_t number_at, space_bytes;
    bool deleted;
};

bool again_wants(const struct cursors *c, const struct entry *e)
{
    return c->count == 1 && c->counters.watches > 1 &&
           fresh_wants(c->again, e->index);
}

void again_keep(struct cursors *c, const struct entry *e, struct bytes space)
{
    const struct change *change = &c->list[0];
    const struct about about = {.slot = change->slot,
                                .number_at = c->shared_at,
                                .space_bytes = space.n,
                                .deleted = change->deleted};

    buf_clear(&c->about);
    buf_put(&c->about, &about, sizeof about);
    buf_put(&c->about, space.p, space.n);
    buf_put(&c->about, "", 1);
    buf_put(&c->about, change->key.p, change->key.n);
    if (!c->about.failed)
        fresh_put(c->again, e->index, buf_bytes(&c->shared),
                  buf_bytes(&c->about));
}

/* What may have gone since, and reading the record says how. */
static bool is_gone(const struct cursors *c, const struct watch *w,
                    const struct about *about)
{
    if (w->next < compaction_line(c->state->compaction, watch_space(w)))
        return true;
    return !about->deleted &&
           erasure_has(c->state->erasure, w->next, about->slot);
}

int again_tell(struct cursors *c, struct watch *w)
{
    struct bytes shared, row, key;
    const struct agent *a = watch_agent(c, w);
    struct about about;

    if (w->tap || !fresh_get(c->again, w->next, &shared, &row))
        return CHOIR_NOT_FOUND;
    memcpy(&about, row.p, sizeof about);
    key = bytes_of(row.p + sizeof about, row.n - sizeof about);
    if (!bytes_equal(bytes_of(key.p, about.space_bytes), watch_space(w)))
        return 0;
    key =
        bytes_of(key.p + about.space_bytes + 1, key.n - about.space_bytes - 1);
    if (!bytes_start_with(key, watch_prefix(w)))
        return 0;
    if (is_gone(c, w, &about))
        return CHOIR_NOT_FOUND;
    if (!a || !agent_may(a, RIGHT_READ, watch_space(w), key, (struct bytes){0}))
        return 0;
    return change_say(c, w, shared, about.number_at);
}
