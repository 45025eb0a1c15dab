/* A watch is LEVEL (told as things happen), BEHIND (reads on from the record)
 * or PARKED (without credit: nothing happens until it gets some). It leaves
 * LEVEL at the very revision it could not be told, so nothing is lost between
 * the two, and comes back only when it has read all that is recorded. */
#include "cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "cursor_private.h"
#include "proto/refusal.h"

enum {
    PUMP_ENTRIES = 4096, /* read per cycle, over all */
    SLICE_ENTRIES = 512, /* and per watch before the next one's turn */
    SKIPS = 64,          /* passed over in the time of one that is read */
};

struct cursors *cursors_new(const struct state *state, struct ledger *ledger,
                            struct router *router, struct env *env)
{
    struct cursors *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->state = state;
    c->ledger = ledger;
    c->router = router;
    c->tap = tap_new(state, ledger);
    c->past = past_new();
    c->again = fresh_new();
    if (!c->tap || !c->past || !c->again ||
        env_random(env, &c->hash_argument, sizeof c->hash_argument))
        cursors_destroy(&c);
    else
        c->hash_argument >>= 4; /* below the prime */
    return c;
}

void cursors_destroy(struct cursors **self_p)
{
    struct cursors *c = *self_p;

    if (!c)
        return;
    ledger_reader_close(&c->reader);
    tap_destroy(&c->tap);
    past_destroy(&c->past);
    fresh_destroy(&c->again);
    tally_free(&c->per_agent);
    buf_free(&c->items);
    buf_free(&c->shared);
    buf_free(&c->own);
    buf_free(&c->about);
    free(c);
    *self_p = NULL;
}

/* --- What happened ------------------------------------------------------- */

/* Head and changes of an entry into c->list; *task, *space: whose. 0;
 * CHOIR_NOT_FOUND: nothing changed; negative errno. */
static int entry_take(struct cursors *c, const struct entry *e,
                      struct place *space, uint64_t *task)
{
    struct changes walk;
    struct bytes name;
    int r = changes_begin(&walk, e);

    if (r)
        return r;
    *task = msg_u(&walk.head, FIELD_TASK);
    if (walk.head.verb == MSG_COMPLETE) {
        r = task_place(c->state, c->ledger, *task, space);
        if (r)
            return r;
    } else {
        name = msg_b(&walk.head, FIELD_SPACE);
        memcpy(space->space, name.p, name.n);
        space->space[name.n] = 0;
    }
    c->count = 0;
    while (c->count < LIMIT_TXN_WRITES &&
           changes_next(&walk, &c->list[c->count]))
        c->count++;
    return 0;
}

/* --- As it happens ------------------------------------------------------- */

/* A look from the shortest prefix of a key to the longest. */
struct descent {
    char key[SPOT_KEY_MAX]; /* space, NUL, key */
    size_t at, bytes, done; /* where the key begins and ends; what is hashed */
    uint64_t hash;
    size_t next; /* length, in c->used */
};

static void descent_begin(const struct cursors *c, struct descent *d,
                          struct bytes space, struct bytes key)
{
    memcpy(d->key, space.p, space.n);
    d->key[space.n] = 0;
    d->at = d->done = space.n + 1;
    d->bytes = d->at + key.n;
    memcpy(d->key + d->at, key.p, key.n);
    d->hash = spot_hash(c, d->key, d->at);
    d->next = 0;
}

/* The next spot that the key is under, or NULL. */
static struct spot *descent_next(const struct cursors *c, struct descent *d)
{
    while (d->next < c->used_count && d->at + c->used[d->next] <= d->bytes) {
        size_t end = d->at + c->used[d->next++];
        struct spot *s;

        for (; d->done < end; d->done++)
            d->hash =
                spot_hash_step(c->hash_argument, d->hash, d->key[d->done]);
        s = spots_find(&c->spots, d->key, d->done, d->hash);
        if (s)
            return s;
    }
    return NULL;
}

/* The spots that a key is under, each once per revision. */
static struct spot *spots_of_key(struct cursors *c, const struct place *space,
                                 struct bytes name, uint64_t revision,
                                 struct spot *found)
{
    struct descent d;
    struct spot *s;

    descent_begin(c, &d, bytes_text(space->space), name);
    while ((s = descent_next(c, &d)) != NULL) {
        if (s->seen == revision + 1)
            continue;
        s->seen = revision + 1;
        s->also = found;
        found = s;
    }
    return found;
}

static int spot_tell(struct cursors *c, struct spot *s, const struct entry *e,
                     const struct hash *author, uint64_t task)
{
    const struct happening h = {e, author, task, true};
    struct watch *w, *next;

    buf_clear(&c->shared);
    DL_FOREACH_SAFE2(s->watches, w, next, next_in)
    {
        int r = change_tell(c, w, &h);

        if (r == -EAGAIN) {
            w->next = e->index;
            stand_behind(c, w);
        } else if (r) {
            return r;
        }
    }
    return 0;
}

bool cursors_concerned(const struct cursors *c, struct bytes space,
                       struct bytes key)
{
    struct descent d;

    if (!c->used_count || !key.n)
        return c->used_count != 0;
    descent_begin(c, &d, space, key);
    return descent_next(c, &d) != NULL;
}

int cursors_live(struct cursors *c, const struct entry *e,
                 const struct hash *author)
{
    struct spot *found = NULL, *also;
    struct place space;
    uint64_t task;
    int r;

    if (!c->used_count)
        return 0;
    r = entry_take(c, e, &space, &task);
    if (r)
        return r < 0 ? r : 0;
    for (size_t i = 0; i < c->count; i++)
        found = spots_of_key(c, &space, c->list[i].key, e->index, found);
    for (; !r && found; found = also) {
        also = found->also;
        r = spot_tell(c, found, e, author, task);
    }
    return r;
}

/* --- From the record ----------------------------------------------------- */

static int entry_show(struct cursors *c, struct watch *w, const struct entry *e)
{
    const struct agent *a = watch_agent(c, w);
    struct msg m;
    int r = a ? tap_entry(c->tap, e, a, w->values, &m) : CHOIR_NOT_FOUND;

    if (r)
        return r < 0 ? r : 0;
    if (w->credit == 0)
        return -EAGAIN;
    w->credit--;
    msg_set_u(&m, FIELD_WATCH, w->id.number);
    presence_say(c->router, w->p, &m);
    return 0;
}

static int entry_pass(struct cursors *c, struct watch *w, const struct entry *e)
{
    struct hash author = msg_hash(&e->bundle, FIELD_AGENT);
    struct place space;
    uint64_t task;
    int r;

    if (w->tap)
        return entry_show(c, w, e);
    r = entry_take(c, e, &space, &task);
    if (r >= 0)
        past_learn(c->past, e->index, r ? "" : space.space, c->list,
                   r ? 0 : c->count);
    if (r)
        return r < 0 ? r : 0;
    if (!bytes_equal(bytes_text(space.space), watch_space(w)))
        return 0;
    buf_clear(&c->shared);
    return change_tell(
        c, w, &(struct happening){e, &author, task, again_wants(c, e)});
}

static int reader_at(struct cursors *c, uint64_t index)
{
    if (!c->reader)
        return ledger_reader_open(c->ledger, index, &c->reader);
    if (ledger_reader_index(c->reader) == index)
        return 0;
    return ledger_reader_seek(c->reader, index);
}

/* The entry at w->next, from memory or from the record. */
static int entry_go(struct cursors *c, struct watch *w)
{
    const struct entry *e;
    int r = again_tell(c, w);

    if (r != CHOIR_NOT_FOUND)
        return r;
    r = reader_at(c, w->next);
    if (!r)
        r = ledger_reader_next(c->reader, &e);
    if (!r)
        c->counters.entries_read++;
    return r ? r : entry_pass(c, w, e);
}

/* Over what is known and not its business. Returns what that costs, in entries
 * read. */
static unsigned pass_over(struct cursors *c, struct watch *w, uint64_t size)
{
    uint64_t most = w->next + SLICE_ENTRIES * SKIPS, from = w->next;

    if (w->tap || from >= size)
        return 0;
    w->next = past_skip(c->past, from, size < most ? size : most,
                        watch_space(w), watch_prefix(w));
    return (unsigned)(w->next - from) / SKIPS;
}

/* One watch's turn. *left: entries that may still be read. */
static int slice(struct cursors *c, struct watch *w, unsigned *left)
{
    uint64_t size = ledger_size(c->ledger);
    int r = 0;

    for (unsigned n = SLICE_ENTRIES; !r && n && *left; n--) {
        unsigned cost = pass_over(c, w, size);

        n -= cost < n ? cost : n - 1;
        *left -= cost < *left ? cost : *left - 1;
        if (!w->caught_up && w->next > w->opened_at)
            say_caught_up(c, w);
        if (w->next >= size)
            return stand_level(c, w);
        if (!connection_has_room(c->router, w->p->connection))
            break;
        r = entry_go(c, w);
        if (r)
            break;
        w->next++;
        --*left;
    }
    if (r == -EAGAIN || (!r && w->stand == BEHIND)) { /* or parked */
        stand_behind(c, w);
        return 0;
    }
    return r > 0 ? -EUCLEAN : r;
}

static void wake_taps(struct cursors *c)
{
    struct watch *w, *next;

    DL_FOREACH_SAFE2(c->taps, w, next, next_in)
    {
        if (w->next < ledger_size(c->ledger))
            stand_behind(c, w);
    }
}

int cursors_pump(struct cursors *c)
{
    unsigned left = PUMP_ENTRIES, before;
    size_t turns;
    struct watch *w;
    bool moved = false;
    int r = 0;

    wake_taps(c);
    turns = c->behind_count;
    while (!r && turns-- && left && (w = c->behind)) {
        before = left;
        if (watch_compacted(c, w)) {
            watch_end(c, w, CHOIR_COMPACTED);
            continue;
        }
        r = slice(c, w, &left);
        moved |= left != before;
    }
    c->ready = moved && c->behind;
    return r;
}

bool cursors_ready(const struct cursors *c)
{
    return c->ready;
}

bool cursors_wait(const struct cursors *c)
{
    return c->behind != NULL;
}

/* --- Notices ------------------------------------------------------------- */

/* A tap that does not keep up loses them, and is told how many. */
static void say_skipped(struct cursors *c, struct watch *w, uint64_t time)
{
    struct msg m;

    msg_init(&m, MSG_NOTICE);
    msg_set_u(&m, FIELD_TIME, time);
    msg_set_text(&m, FIELD_TEXT, "notices were left out");
    msg_set_u(&m, FIELD_COUNT, w->skipped);
    msg_set_u(&m, FIELD_WATCH, w->id.number);
    presence_say(c->router, w->p, &m);
    w->skipped = 0;
}

static void notice_to(struct cursors *c, struct watch *w, struct msg *m)
{
    if (w->stand == PARKED || !w->p->connection ||
        !connection_has_room(c->router, w->p->connection)) {
        w->skipped++;
        return;
    }
    if (w->skipped)
        say_skipped(c, w, msg_u(m, FIELD_TIME));
    msg_set_u(m, FIELD_WATCH, w->id.number);
    presence_say(c->router, w->p, m);
}

void cursors_notice(struct cursors *c, uint64_t time, const char *text,
                    const struct hash *agent, uint64_t count, int outcome)
{
    struct watch *w;
    struct msg m;

    msg_init(&m, MSG_NOTICE);
    msg_set_u(&m, FIELD_TIME, time);
    msg_set_text(&m, FIELD_TEXT, text);
    if (agent)
        msg_set_hash(&m, FIELD_AGENT, agent);
    if (count)
        msg_set_u(&m, FIELD_COUNT, count);
    if (outcome)
        msg_set_u(&m, FIELD_OUTCOME, (uint64_t)outcome);
    DL_FOREACH2(c->all_taps, w, t_next)
    notice_to(c, w, &m);
}

const struct cursor_counters *cursor_counters(const struct cursors *c)
{
    return &c->counters;
}
