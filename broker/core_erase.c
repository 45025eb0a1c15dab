/* Erasures by rule, carried out: the record is gone through a little at a time,
 * and what is found is said by entries. Only what was said is remembered: after
 * a restart it begins anew, and what is erased already is passed over.
 *
 * Until all of it is hidden, more can be made from it: so what was derived is
 * looked for up to the present. Each turn comes before the cycle's operations,
 * when the record is all there is. */
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

/* A version that was made from what goes; or a deletion, of which nothing is.
 */
struct derived {
    UT_hash_handle hh;
    bool is_deletion;
    struct {
        uint64_t revision, name;
    } id;
};

/* A merged version of the key that its history does not include. */
struct later {
    uint64_t revision;
    struct decide_version is;
};

struct erase_walk {
    uint64_t order, end, next; /* entries: its own, before which, where it is */
    enum erase_kind kind;
    bool takes_derived, is_over;
    struct hash agent;
    struct buf names; /* what space and key point to */
    struct bytes space, key;
    struct ledger_reader *reader;
    uint8_t *taken; /* a bit an entry that was named; NULL: the key's are */
    uint64_t newest, above; /* of the history: down from there to behind it */
    struct buf later;       /* newest first */
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
    free(w->taken);
    buf_free(&w->names);
    buf_free(&w->items);
    buf_free(&w->later);
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

/* --- What came of what goes ------------------------------------------------ */

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
                       struct bytes key, bool is_deletion)
{
    struct derived *d = calloc(1, sizeof *d);

    if (!d)
        return -ENOMEM;
    d->id.revision = revision;
    d->id.name = name_hash(key);
    d->is_deletion = is_deletion;
    HASH_ADD(hh, w->derived, id, sizeof d->id, d);
    return 0;
}

static bool is_gone(const struct erase_walk *w, uint64_t revision,
                    struct bytes key)
{
    const struct derived *d = revision ? derived_find(w, revision, key) : NULL;

    if (d || revision == 0 || revision >= w->end)
        return d && !d->is_deletion;
    return !w->taken || w->taken[revision / 8] >> revision % 8 & 1;
}

/* Its value and what was merged into it: each shows the other. */
static int derived_put(struct core *c, uint64_t revision, struct bytes key,
                       size_t slot, size_t operand)
{
    int r = derived_add(c->erasing, revision, key, false);

    if (!r)
        r = slot_put(c, revision, slot, key);
    return r ? r : slot_put(c, revision, operand, key);
}

/* --- A key's history ------------------------------------------------------ */

static int history_put(struct core *c, const struct decide_version *v)
{
    struct erase_walk *w = c->erasing;
    struct bytes none = {0};
    int r;

    if (v->deleted)
        return derived_add(w, w->next, w->key, true);
    r = slot_put(c, w->next, v->slot, none);
    return !r && v->merged ? slot_put(c, w->next, v->operand, none) : r;
}

/* Down from the newest, what may have been derived is kept for the way back. */
static int version_look(struct core *c)
{
    struct erase_walk *w = c->erasing;
    struct later x = {.revision = w->next};
    int r = c->values.version(c->values.arg, w->space, w->key, w->next, &x.is,
                              NULL);

    if (r)
        return r < 0 ? r : -EUCLEAN; /* the one after it named it */
    if (w->next < w->end)
        r = history_put(c, &x.is);
    else if (w->takes_derived && x.is.merged)
        buf_put(&w->later, &x, sizeof x);
    w->next = x.is.prev;
    return r ? r : w->later.failed ? -ENOMEM : 0;
}

/* From the oldest on: what came of one that goes, goes. */
static int later_erase(struct core *c)
{
    struct erase_walk *w = c->erasing;
    struct later x;

    w->later.n -= sizeof x;
    memcpy(&x, w->later.p + w->later.n, sizeof x);
    return is_gone(w, x.is.prev, w->key) || is_gone(w, x.is.base, w->key)
               ? derived_put(c, x.revision, w->key, x.is.slot, x.is.operand)
               : 0;
}

/* One version, or the look whether there are newer ones. */
static int version_erase(struct core *c)
{
    struct erase_walk *w = c->erasing;
    const struct key *k;

    if (w->next > w->above)
        return version_look(c);
    if (w->later.n)
        return later_erase(c);
    k = context_find(c->state->context, w->space, w->key);
    w->above = w->newest;
    w->newest = w->next = k->revision;
    w->is_over = !w->takes_derived || w->newest == w->above;
    return 0;
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

/* --- An agent's payloads or an entry's, and what came of them -------------- */

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
        r = derived_put(c, e->index, change.key, change.slot, change.operand);
    }
    return r;
}

/* Nothing comes of what it deletes, nor of an entry that writes no keys. */
static int deletions_keep(struct erase_walk *w, const struct entry *e)
{
    struct change change;
    struct changes walk;
    int r = changes_begin(&walk, e);

    if (r && w->kind == ERASE_ENTRY)
        w->takes_derived = false;
    if (r)
        return r < 0 ? r : 0;
    while (!r && changes_next(&walk, &change)) {
        if (change.deleted)
            r = derived_add(w, e->index, change.key, true);
    }
    return r;
}

static bool is_named(const struct erase_walk *w, const struct entry *e)
{
    struct hash author;

    if (w->kind == ERASE_ENTRY)
        return e->index == w->end - 1;
    author = msg_hash(&e->bundle, FIELD_AGENT);
    return e->index < w->end && hash_equal(&author, &w->agent);
}

static int entry_look(struct core *c, const struct entry *e)
{
    struct erase_walk *w = c->erasing;
    struct carried x;
    int r;

    if (!is_named(w, e))
        return w->takes_derived ? derived_erase(c, e) : 0;
    r = deletions_keep(w, e);
    if (!r)
        r = carried_read(w, e, &x);
    if (!r && x.own + x.of_effect)
        r = in_space(c, &x);
    if (r || x.own + x.of_effect == 0)
        return r < 0 ? r : 0;
    w->taken[e->index / 8] |= (uint8_t)(1u << e->index % 8);
    return carried_erase(c, &x);
}

static int group_look(struct core *c)
{
    struct erase_walk *w = c->erasing;
    struct group_header g;
    struct group_walk walk;
    const struct entry *e;
    struct bytes heads;
    int r;

    w->is_over = w->next >= ledger_size(c->ledger);
    if (w->is_over)
        return 0;
    r = ledger_reader_group(w->reader, &g, &heads);
    if (r)
        return r;
    group_walk_begin(&walk, &g, heads);
    while (!(r = group_walk_next(&walk, &e))) {
        w->is_over = e->index >= w->end && !w->takes_derived;
        if (w->is_over)
            return 0;
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
    if (w->kind == ERASE_HISTORY) {
        k = context_find(c->state->context, w->space, w->key);
        if (!k)
            return -EUCLEAN; /* tombstones stay */
        w->newest = w->next = k->revision;
        return 0;
    }
    if (w->kind == ERASE_ENTRY)
        w->next = w->end - 1;
    w->taken = calloc(1, (size_t)(w->end / 8 + 1));
    return w->taken ? ledger_reader_open(c->ledger, w->next, &w->reader)
                    : -ENOMEM;
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
        if (w->kind == ERASE_HISTORY ? left-- == 0 : w->next >= end)
            return 0;
        r = w->kind == ERASE_HISTORY ? version_erase(c) : group_look(c);
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
