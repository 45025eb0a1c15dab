/* Compacted values: every one must have been superseded, in its space, at or
 * below a line that a `compact` entry drew. Erased ones: each must be named by
 * the effect of a later `erase` entry, or by an `erased` entry of the broker's
 * that carries one out. */
#include "missing.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#include "refusal.h"

/* A key of an entry whose value is missing, not known to be superseded. */
struct open_key {
    UT_hash_handle hh;
    struct {
        uint64_t revision;
        struct hash name;
    } id;
};

/* The line of a space, and the latest entry that a missing value needs it to
 * cover; "*" is all spaces. */
struct space_line {
    UT_hash_handle hh;
    uint64_t line, needed, by; /* by: the entry that lacks it */
    size_t bytes;
    char name[];
};

enum { PAGE_ENTRIES = 256 };

/* Erased slots that no entry has named yet: the same slot of many entries. */
struct erased_page {
    UT_hash_handle hh;
    struct {
        uint64_t page, slot;
    } id;
    uint8_t bits[PAGE_ENTRIES / 8];
    unsigned count;
};

/* An erasure that the broker carries out. */
struct order {
    UT_hash_handle hh;
    uint64_t index;
};

struct missing {
    struct open_key *open;
    struct space_line *lines;
    struct order *orders;
    struct erased_page *erased;
};

struct missing *missing_new(void)
{
    return calloc(1, sizeof(struct missing));
}

void missing_destroy(struct missing **self_p)
{
    struct missing *m = *self_p;
    struct open_key *k, *next_k;
    struct space_line *l, *next_l;
    struct erased_page *p, *next_p;
    struct order *o, *next_o;

    if (!m)
        return;
    HASH_ITER (hh, m->orders, o, next_o) {
        HASH_DEL(m->orders, o);
        free(o);
    }
    HASH_ITER (hh, m->erased, p, next_p) {
        HASH_DEL(m->erased, p);
        free(p);
    }
    HASH_ITER (hh, m->open, k, next_k) {
        HASH_DEL(m->open, k);
        free(k);
    }
    HASH_ITER (hh, m->lines, l, next_l) {
        HASH_DEL(m->lines, l);
        free(l);
    }
    free(m);
    *self_p = NULL;
}

static struct space_line *line_of(struct missing *m, struct bytes space)
{
    struct space_line *l;

    if (!space.n)
        space = bytes_text("*");
    HASH_FIND(hh, m->lines, space.p, space.n, l);
    if (l)
        return l;
    l = calloc(1, sizeof *l + space.n);
    if (!l)
        return NULL;
    l->bytes = space.n;
    memcpy(l->name, space.p, space.n);
    HASH_ADD_KEYPTR(hh, m->lines, l->name, l->bytes, l);
    return l;
}

/* --- What an entry writes ------------------------------------------------- */

struct written {
    struct bytes key;
    uint64_t prev;
    bool deleted;
    size_t slot;
};

struct walk {
    struct msg head, effect;
    struct list writes, prevs;
    bool one;
};

static bool writes_one(enum message verb)
{
    return verb == MSG_PUT || verb == MSG_DELETE || verb == MSG_APPEND ||
           verb == MSG_INCR || verb == MSG_LAPSE;
}

/* Does it write keys at all? */
static bool walk_begin(struct walk *w, const struct entry *e)
{
    unsigned field;

    if (e->outcome != CHOIR_OK ||
        msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &w->head, &field))
        return false;
    msg_init(&w->effect, MSG_EFFECT);
    if (e->effect.n && part_decode(MSG_EFFECT, e->effect, &w->effect, &field))
        return false;
    w->one = writes_one(w->head.verb);
    w->writes = msg_list(&w->head, FIELD_WRITES);
    w->prevs = msg_list(&w->effect, FIELD_ITEMS);
    return w->one || w->head.verb == MSG_TXN || w->head.verb == MSG_COMPLETE;
}

static bool walk_next(struct walk *w, struct written *out)
{
    struct msg write, prev;

    if (w->one) {
        w->one = false;
        *out = (struct written){
            .key = msg_b(&w->head, FIELD_KEY),
            .prev = msg_u(&w->effect, FIELD_PREV),
            .deleted = w->head.verb == MSG_DELETE || w->head.verb == MSG_LAPSE,
            .slot = msg_has(&w->effect, FIELD_SLOTS) ? SLOT_EFFECT : 0,
        };
        return true;
    }
    if (!list_next(&w->writes, &write) || !list_next(&w->prevs, &prev))
        return false;
    *out = (struct written){
        .key = msg_b(&write, FIELD_KEY),
        .prev = msg_u(&prev, FIELD_PREV),
        .deleted = !msg_has(&write, FIELD_SLOT),
        .slot = (size_t)msg_u(msg_has(&prev, FIELD_SLOT) ? &prev : &write,
                              FIELD_SLOT),
    };
    return true;
}

/* --- What is missing ------------------------------------------------------ */

static int open_add(struct missing *m, uint64_t revision, struct bytes key)
{
    struct open_key *k, wanted = {.id = {.revision = revision}};

    wanted.id.name = hash_of(HASH_SUM, key);
    HASH_FIND(hh, m->open, &wanted.id, sizeof wanted.id, k);
    if (k) /* a value, and what was merged into it */
        return 0;
    k = malloc(sizeof *k);
    if (!k)
        return -ENOMEM;
    *k = wanted;
    HASH_ADD(hh, m->open, id, sizeof k->id, k);
    return 0;
}

/* The result of a task, what it was made from, messages: they stay. */
static bool must_stay(const struct msg *head, size_t slot)
{
    struct list sends = msg_list(head, FIELD_SENDS);
    struct msg row;

    while (list_next(&sends, &row)) {
        if (msg_u(&row, FIELD_SLOT) == slot)
            return true;
    }
    return (head->verb == MSG_COMPLETE && slot == 0) ||
           (msg_has(head, FIELD_READS) && msg_u(head, FIELD_READS) == slot);
}

/* All keys that have their value from that slot: 0, CHOIR_BROKEN if none has,
 * -ENOMEM. An operand that was merged goes with what it was merged into. */
static int slot_gone(struct missing *m, const struct entry *e, size_t slot)
{
    struct written written;
    struct walk w;
    size_t n = 0;
    int r = walk_begin(&w, e) ? 0 : CHOIR_BROKEN;
    bool one = !r && w.one;

    if (!r && must_stay(&w.head, slot))
        return CHOIR_BROKEN;
    while (!r && walk_next(&w, &written)) {
        if (written.deleted || (!one && written.slot != slot))
            continue;
        n++;
        r = open_add(m, e->index, written.key);
    }
    return r ? r : n ? 0 : CHOIR_BROKEN;
}

/* --- What was erased ------------------------------------------------------ */

static struct erased_page *erased_find(const struct missing *m, uint64_t index,
                                       uint64_t slot)
{
    struct erased_page *p, wanted = {.id = {index / PAGE_ENTRIES, slot}};

    HASH_FIND(hh, m->erased, &wanted.id, sizeof wanted.id, p);
    return p;
}

static int erased_add(struct missing *m, uint64_t index, uint64_t slot)
{
    struct erased_page *p = erased_find(m, index, slot);
    unsigned i = index % PAGE_ENTRIES;

    if (!p) {
        p = calloc(1, sizeof *p);
        if (!p)
            return -ENOMEM;
        p->id.page = index / PAGE_ENTRIES;
        p->id.slot = slot;
        HASH_ADD(hh, m->erased, id, sizeof p->id, p);
    }
    p->bits[i / 8] |= (uint8_t)(1u << i % 8);
    p->count++;
    return 0;
}

static void erased_permit(struct missing *m, uint64_t index, uint64_t slot)
{
    struct erased_page *p = erased_find(m, index, slot);
    unsigned i = index % PAGE_ENTRIES;

    if (!p || !(p->bits[i / 8] >> i % 8 & 1))
        return;
    p->bits[i / 8] &= (uint8_t) ~(1u << i % 8);
    if (--p->count)
        return;
    HASH_DEL(m->erased, p);
    free(p);
}

static void items_permit(struct missing *m, const struct msg *list)
{
    struct list items = msg_list(list, FIELD_ITEMS);
    struct msg item;

    while (m->erased && list_next(&items, &item))
        erased_permit(m, msg_u(&item, FIELD_REVISION),
                      msg_u(&item, FIELD_SLOT));
}

static struct order *order_find(const struct missing *m, uint64_t index)
{
    struct order *o;

    HASH_FIND(hh, m->orders, &index, sizeof index, o);
    return o;
}

/* It lists them, or has the broker do so. */
static int erase_permit(struct missing *m, const struct entry *e,
                        const struct msg *op)
{
    struct msg effect;
    struct order *o;
    unsigned field;

    if (msg_u(op, FIELD_KIND) == ERASE_VALUES) {
        if (part_decode(MSG_EFFECT, e->effect, &effect, &field))
            return CHOIR_BROKEN;
        items_permit(m, &effect);
        return 0;
    }
    o = calloc(1, sizeof *o);
    if (!o)
        return -ENOMEM;
    o->index = e->index;
    HASH_ADD(hh, m->orders, index, sizeof o->index, o);
    return 0;
}

static int slice_permit(struct missing *m, const struct msg *op)
{
    struct order *o = order_find(m, msg_u(op, FIELD_REVISION));

    if (!o)
        return CHOIR_BROKEN;
    items_permit(m, op);
    if (msg_u(op, FIELD_KIND) != ERASED_ALL)
        return 0;
    HASH_DEL(m->orders, o);
    free(o);
    return 0;
}

static uint64_t erased_first(const struct erased_page *p)
{
    unsigned i = 0;

    while (!(p->bits[i / 8] >> i % 8 & 1))
        i++;
    return p->id.page * PAGE_ENTRIES + i;
}

static int marks_look(struct missing *m, const struct entry *e,
                      struct bytes marks, size_t first)
{
    int r = 0;

    for (size_t i = 0; !r && i < marks.n; i++) {
        if (marks.p[i] == SLOT_COMPACTED)
            r = slot_gone(m, e, first + i);
        else if (marks.p[i] == SLOT_ERASED)
            r = erased_add(m, e->index, first + i);
        else if (marks.p[i] != SLOT_KEPT)
            r = CHOIR_BROKEN;
    }
    return r;
}

static int superseded(struct missing *m, const struct entry *e,
                      struct bytes space, const struct written *by)
{
    struct open_key *k, wanted = {.id = {.revision = by->prev}};
    struct space_line *l;

    wanted.id.name = hash_of(HASH_SUM, by->key);
    HASH_FIND(hh, m->open, &wanted.id, sizeof wanted.id, k);
    if (!k)
        return 0;
    l = line_of(m, space);
    if (!l)
        return -ENOMEM;
    if (e->index > l->needed) {
        l->needed = e->index;
        l->by = k->id.revision;
    }
    HASH_DEL(m->open, k);
    free(k);
    return 0;
}

static int line_draw(struct missing *m, const struct msg *op)
{
    struct space_line *l = line_of(m, msg_b(op, FIELD_SPACE));

    if (!l)
        return -ENOMEM;
    if (msg_u(op, FIELD_REVISION) > l->line)
        l->line = msg_u(op, FIELD_REVISION);
    return 0;
}

/* Does it say that something may be missing? */
static int permit(struct missing *m, const struct entry *e)
{
    unsigned field;
    struct msg op;

    if (e->outcome != CHOIR_OK ||
        msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field))
        return 0;
    switch (op.verb) {
    case MSG_COMPACT: return line_draw(m, &op);
    case MSG_ERASE: return erase_permit(m, e, &op);
    case MSG_ERASED: return slice_permit(m, &op);
    default: return 0;
    }
}

bool missing_wants(const struct missing *m, unsigned verb)
{
    return m->open || verb == MSG_COMPACT || verb == MSG_ERASE ||
           verb == MSG_ERASED;
}

int missing_entry(struct missing *m, const struct entry *e)
{
    struct written written;
    struct walk w;
    int r = marks_look(m, e, e->marks, 0);

    if (!r)
        r = marks_look(m, e, e->effect_marks, SLOT_EFFECT);
    if (r || !walk_begin(&w, e))
        return r ? r : permit(m, e);
    while (!r && m->open && walk_next(&w, &written)) {
        if (written.prev)
            r = superseded(m, e, msg_b(&w.head, FIELD_SPACE), &written);
    }
    return r;
}

int missing_end(const struct missing *m, uint64_t *index)
{
    struct space_line *all, *l, *next;

    if (m->erased) {
        *index = erased_first(m->erased);
        return CHOIR_BROKEN;
    }
    HASH_FIND_STR(m->lines, "*", all);
    if (m->open) {
        *index = m->open->id.revision;
        return CHOIR_BROKEN;
    }
    HASH_ITER (hh, m->lines, l, next) {
        if (l->needed <= l->line || (all && l->needed <= all->line))
            continue;
        *index = l->by;
        return CHOIR_BROKEN;
    }
    return 0;
}
