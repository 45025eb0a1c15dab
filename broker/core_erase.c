/* Erasures by rule, carried out: the record is gone through a little at a time,
 * and what is found is said by entries. Only what was said is remembered: after
 * a restart it begins anew, and what is erased already is passed over. */
#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#include "changes.h"
#include "core_private.h"
#include "proto/refusal.h"

enum {
    TURN_ENTRIES = 1024, /* looked at in one turn; groups are not divided */
    TURN_VERSIONS = 128, /* likewise, one by one */
    SLICE_BYTES = 8192,
    READ_ONLY_AGAIN_S = 1,
};

/* A version that was made from what goes. */
struct derived {
    UT_hash_handle hh;
    struct {
        uint64_t revision, name;
    } id;
};

struct erase_walk {
    uint64_t order, end, next; /* entries: its own, before which, where it is */
    enum erase_kind kind;
    bool takes_derived, is_over;
    struct hash agent;
    struct buf names; /* what space and key point to */
    struct bytes space, key;
    struct ledger_reader *reader;
    uint8_t *authored; /* a bit an entry: the agent's own */
    struct derived *derived;
    struct buf items;
    uint64_t count;
};

static void walk_free(struct core *c)
{
    struct erase_walk *w = c->erasing;
    struct derived *d, *next;

    if (!w)
        return;
    HASH_ITER (hh, w->derived, d, next) {
        HASH_DEL(w->derived, d);
        free(d);
    }
    ledger_reader_close(&w->reader);
    free(w->authored);
    buf_free(&w->names);
    buf_free(&w->items);
    free(w);
    c->erasing = NULL;
}

void core_erase_close(struct core *c)
{
    walk_free(c);
}

/* --- Slices --------------------------------------------------------------- */

static int slice_say(struct core *c, bool all)
{
    struct erase_walk *w = c->erasing;
    const struct erasing *x = erasing_find(c->state->erasings, w->order);
    uint64_t index;
    struct msg m;
    int r;

    msg_init(&m, MSG_ERASED);
    msg_set_u(&m, FIELD_REVISION, w->order);
    msg_set_list(&m, FIELD_ITEMS, w->count, buf_bytes(&w->items));
    if (x->last)
        msg_set_u(&m, FIELD_PREV, x->last);
    if (all)
        msg_set_u(&m, FIELD_KIND, ERASED_ALL);
    r = core_say(c, &m, &index);
    buf_clear(&w->items);
    w->count = 0;
    return r;
}

/* key: of what was derived; none otherwise. */
static int slot_put(struct core *c, uint64_t revision, size_t slot,
                    struct bytes key)
{
    struct erase_walk *w = c->erasing;
    struct msg item;

    if (erasure_has(c->state->erasure, revision, slot))
        return 0;
    msg_init(&item, MSG_ITEM);
    if (key.n)
        msg_set_b(&item, FIELD_KEY, key);
    msg_set_u(&item, FIELD_REVISION, revision);
    msg_set_u(&item, FIELD_SLOT, slot);
    msg_encode(&item, &w->items);
    w->count++;
    if (w->items.failed)
        return -ENOMEM;
    return w->items.n < SLICE_BYTES ? 0 : slice_say(c, false);
}

/* --- A key's history ------------------------------------------------------ */

static int version_erase(struct core *c)
{
    struct erase_walk *w = c->erasing;
    struct bytes none = {0};
    struct decide_version v;
    int r =
        c->values.version(c->values.arg, w->space, w->key, w->next, &v, NULL);

    if (r)
        return r < 0 ? r : -EUCLEAN; /* the one after it named it */
    if (w->next < w->end && !v.deleted)
        r = slot_put(c, w->next, v.slot, none);
    if (!r && w->next < w->end && v.merged)
        r = slot_put(c, w->next, v.operand, none);
    w->next = v.prev;
    w->is_over = v.prev == 0;
    return r;
}

/* --- All that an entry carries -------------------------------------------- */

/* What of it may go, read while it is there. */
struct carried {
    uint64_t index, task;
    size_t own, of_effect,
        reads; /* slots; reads: SLOT_EFFECT if there is none */
    bool is_in, names_space;
};

static int carried_read(const struct erase_walk *w, const struct entry *e,
                        struct carried *out)
{
    struct msg head;
    unsigned field;

    *out = (struct carried){
        .index = e->index,
        .own = e->rows.n / SLOT_ROW_BYTES,
        .of_effect = e->effect_rows.n / SLOT_ROW_BYTES,
        .reads = SLOT_EFFECT,
        .is_in = bytes_equal(w->space, bytes_text("*")),
    };
    if (e->outcome == CHOIR_UNSUPPORTED || out->own + out->of_effect == 0)
        return 0; /* whatever it says, it carries nothing that we know of */
    if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &head, &field))
        return -EUCLEAN;
    if (msg_has(&head, FIELD_READS))
        out->reads = (size_t)msg_u(&head, FIELD_READS);
    out->names_space = msg_has(&head, FIELD_SPACE);
    out->is_in |= bytes_equal(msg_b(&head, FIELD_SPACE), w->space);
    out->task = msg_u(&head, FIELD_TASK);
    return 0;
}

/* Reads the ledger. 0: it is; CHOIR_NOT_FOUND; negative errno. */
static int in_space(struct core *c, const struct carried *x)
{
    struct place place;
    int r;

    if (x->is_in || x->names_space)
        return x->is_in ? 0 : CHOIR_NOT_FOUND;
    r = task_place(c->state, c->ledger, x->task, &place);
    if (r)
        return r < 0 ? r : CHOIR_NOT_FOUND;
    return bytes_equal(bytes_text(place.space), c->erasing->space)
               ? 0
               : CHOIR_NOT_FOUND;
}

/* What it was made from stays: it names revisions and shows no value. */
static int carried_erase(struct core *c, const struct carried *x)
{
    struct bytes none = {0};
    int r = 0;

    for (size_t i = 0; !r && i < x->own; i++) {
        if (i != x->reads)
            r = slot_put(c, x->index, i, none);
    }
    for (size_t i = 0; !r && i < x->of_effect; i++)
        r = slot_put(c, x->index, SLOT_EFFECT + i, none);
    return r;
}

static int entry_erase(struct core *c)
{
    struct erase_walk *w = c->erasing;
    const struct entry *e;
    struct carried x;
    int r = ledger_entry(c->ledger, w->next, &e);

    if (!r)
        r = carried_read(w, e, &x);
    if (!r && x.own + x.of_effect)
        r = in_space(c, &x);
    w->is_over = true;
    if (r)
        return r < 0 ? r : 0;
    return carried_erase(c, &x);
}

/* --- An agent's payloads, and what came of them ---------------------------- */

static uint64_t name_hash(struct bytes key)
{
    struct hash h = hash_of(HASH_SUM, key);

    return get_u64(h.b);
}

static struct derived *derived_find(const struct erase_walk *w,
                                    uint64_t revision, struct bytes key)
{
    struct derived *d, wanted = {.id = {revision, name_hash(key)}};

    HASH_FIND(hh, w->derived, &wanted.id, sizeof wanted.id, d);
    return d;
}

static int derived_add(struct erase_walk *w, uint64_t revision,
                       struct bytes key)
{
    struct derived *d = calloc(1, sizeof *d);

    if (!d)
        return -ENOMEM;
    d->id.revision = revision;
    d->id.name = name_hash(key);
    HASH_ADD(hh, w->derived, id, sizeof d->id, d);
    return 0;
}

static bool is_gone(const struct erase_walk *w, uint64_t revision,
                    struct bytes key)
{
    return revision && (w->authored[revision / 8] >> revision % 8 & 1 ||
                        derived_find(w, revision, key));
}

static int derived_erase(struct core *c, const struct entry *e)
{
    struct erase_walk *w = c->erasing;
    struct change change;
    struct changes walk;
    int r = changes_begin(&walk, e);

    if (r)
        return r < 0 ? r : 0;
    while (!r && changes_next(&walk, &change)) {
        if (!change.merged || (!is_gone(w, change.prev, change.key) &&
                               !is_gone(w, change.base, change.key)))
            continue;
        r = derived_add(w, e->index, change.key);
        if (!r)
            r = slot_put(c, e->index, change.slot, change.key);
        if (!r)
            r = slot_put(c, e->index, change.operand, change.key);
    }
    return r;
}

static int entry_look(struct core *c, const struct entry *e)
{
    struct erase_walk *w = c->erasing;
    struct hash author = msg_hash(&e->bundle, FIELD_AGENT);
    struct carried x;
    int r;

    if (!hash_equal(&author, &w->agent))
        return w->takes_derived ? derived_erase(c, e) : 0;
    r = carried_read(w, e, &x);
    if (!r && x.own + x.of_effect)
        r = in_space(c, &x);
    if (r || x.own + x.of_effect == 0)
        return r < 0 ? r : 0;
    w->authored[e->index / 8] |= (uint8_t)(1u << e->index % 8);
    return carried_erase(c, &x);
}

static int group_look(struct core *c)
{
    struct erase_walk *w = c->erasing;
    struct group_header g;
    struct group_walk walk;
    const struct entry *e;
    struct bytes heads;
    int r = ledger_reader_group(w->reader, &g, &heads);

    if (r)
        return r;
    group_walk_begin(&walk, &g, heads);
    while (!(r = group_walk_next(&walk, &e))) {
        if (e->index >= w->end) {
            w->is_over = true;
            return 0;
        }
        r = entry_look(c, e);
        if (r)
            return r;
    }
    w->next = g.first + g.count;
    return r == CHOIR_NOT_FOUND ? 0 : -EUCLEAN;
}

/* --- Turns ---------------------------------------------------------------- */

static int walk_fill(struct core *c, struct erase_walk *w)
{
    const struct entry *e;
    const struct key *k;
    struct bytes space, key;
    struct msg head;
    unsigned field;
    int r = ledger_entry(c->ledger, w->order, &e);

    if (r || msg_decode(e->head, CLASS_OPERATION, &head, &field))
        return r < 0 ? r : -EUCLEAN;
    space = msg_b(&head, FIELD_SPACE);
    key = msg_b(&head, FIELD_KEY);
    buf_put(&w->names, space.p, space.n);
    buf_put(&w->names, key.p, key.n);
    if (w->names.failed)
        return -ENOMEM;
    w->space = bytes_of(w->names.p, space.n);
    w->key = bytes_of(w->names.p + space.n, key.n);
    w->kind = (enum erase_kind)msg_u(&head, FIELD_KIND);
    w->agent = msg_hash(&head, FIELD_AGENT);
    w->takes_derived =
        !msg_has(&head, FIELD_DERIVED) || msg_u(&head, FIELD_DERIVED);
    w->end = msg_has(&head, FIELD_REVISION) ? msg_u(&head, FIELD_REVISION) + 1
                                            : w->order;
    if (w->kind == ERASE_ENTRY)
        w->next = w->end - 1;
    if (w->kind == ERASE_HISTORY) {
        k = context_find(c->state->context, w->space, w->key);
        w->next = k ? k->revision : 0;
    }
    if (w->kind != ERASE_AGENT)
        return 0;
    w->authored = calloc(1, (size_t)(w->end / 8 + 1));
    return w->authored ? ledger_reader_open(c->ledger, 0, &w->reader) : -ENOMEM;
}

static int walk_begin(struct core *c, uint64_t order)
{
    struct erase_walk *w = calloc(1, sizeof *w);

    if (!w)
        return -ENOMEM;
    w->order = order;
    c->erasing = w;
    return walk_fill(c, w);
}

static int walk_turn(struct core *c)
{
    struct erase_walk *w = c->erasing;
    uint64_t end = w->next + TURN_ENTRIES;
    unsigned left = TURN_VERSIONS;
    int r = 0;

    while (!r && !w->is_over) {
        if (w->kind == ERASE_AGENT ? w->next >= end : left-- == 0)
            return 0;
        r = w->kind == ERASE_AGENT     ? group_look(c)
            : w->kind == ERASE_HISTORY ? version_erase(c)
                                       : entry_erase(c);
    }
    if (!r)
        r = slice_say(c, true);
    if (!r)
        walk_free(c);
    return r;
}

static const struct erasing *due(const struct core *c)
{
    const struct erasing *x = erasings_first(c->state->erasings);

    return x && x->index < ledger_size(c->ledger) && c->steady >= c->erase_again
               ? x
               : NULL;
}

bool core_erases(const struct core *c)
{
    return due(c) != NULL;
}

int core_erase(struct core *c)
{
    const struct erasing *x = due(c);
    int r = 0;

    if (!x)
        return 0;
    if (!c->erasing)
        r = walk_begin(c, x->index);
    if (!r)
        r = walk_turn(c);
    if (r != CHOIR_READ_ONLY)
        return r > 0 ? -EUCLEAN : r;
    walk_free(c);
    c->erase_again = c->steady + READ_ONLY_AGAIN_S * (uint64_t)1000000;
    return 0;
}
