/* Each version names the one before it: so whoever has read the later ones
 * knows of an earlier one that it was superseded, and where. */
#include "reclaim.h"

#include <errno.h>
#include <stdlib.h>

#include "changes.h"
#include "proto/hash.h"
#include "proto/refusal.h"

/* A version that need not be kept. Names are told apart within one entry only,
 * so a short hash of them will do. */
struct version {
    uint64_t revision, name;
};

struct reclaim {
    struct ledger_thinner thinner;
    struct compaction *lines; /* copies */
    struct erasure *erased;
    struct digest digest; /* of the copies, of no use */
    uint64_t floor;       /* what is superseded later stays */
    struct version *gone; /* sorted by revision, unless dirty */
    size_t count, cap;
    bool is_dirty;
    uint64_t lowest; /* first entry of the segment looked at */
};

static int line_copy(void *copy, struct bytes record)
{
    return compaction_load(copy, record);
}

static int page_copy(void *copy, struct bytes record)
{
    return erasure_load(copy, record);
}

/* What tasks under way may have read was current when they were submitted. */
static uint64_t floor_of(const struct state *s)
{
    uint64_t floor = UINT64_MAX;
    const struct task *t;

    for (t = tasks_next(s->tasks, 0); t; t = tasks_next(s->tasks, t->id)) {
        if ((t->state == TASK_WORKING || t->state == TASK_INPUT_REQUIRED) &&
            t->id < floor)
            floor = t->id;
    }
    return floor;
}

static uint64_t name_hash(struct bytes key)
{
    struct hash h = hash_of(HASH_SUM, key);

    return get_u64(h.b);
}

static uint64_t line_of(const struct reclaim *r, struct bytes space)
{
    uint64_t line = compaction_line(r->lines, space);

    return line < r->floor ? line : r->floor;
}

static int gone_add(struct reclaim *r, uint64_t revision, struct bytes key)
{
    if (r->count == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 1024;
        struct version *p = realloc(r->gone, cap * sizeof *p);

        if (!p)
            return -ENOMEM;
        r->gone = p;
        r->cap = cap;
    }
    r->gone[r->count++] = (struct version){revision, name_hash(key)};
    r->is_dirty = true;
    return 0;
}

static int version_compare(const void *a, const void *b)
{
    const struct version *x = a, *y = b;

    return x->revision < y->revision ? -1 : x->revision > y->revision;
}

static void settle(struct reclaim *r)
{
    if (r->is_dirty)
        qsort(r->gone, r->count, sizeof *r->gone, version_compare);
    r->is_dirty = false;
}

/* The first version of that entry or a later one. */
static size_t gone_from(const struct reclaim *r, uint64_t revision)
{
    size_t low = 0, high = r->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (r->gone[mid].revision < revision)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Segments come last to first: what is above this one has been marked. */
static void segment_begin(struct reclaim *r, uint64_t first)
{
    settle(r);
    r->count = gone_from(r, r->lowest);
    r->lowest = first;
}

/* A completion names no space: then the line of all spaces is what is certain.
 */
static int look(void *arg, const struct entry *e)
{
    struct reclaim *r = arg;
    struct changes walk;
    struct change change;
    int code = changes_begin(&walk, e);

    if (e->index < r->lowest)
        segment_begin(r, e->index);
    if (code)
        return code < 0 ? code : 0;
    if (e->index > line_of(r, msg_b(&walk.head, FIELD_SPACE)))
        return 0;
    while (!code && changes_next(&walk, &change)) {
        if (change.prev)
            code = gone_add(r, change.prev, change.key);
    }
    return code;
}

static bool is_gone(const struct reclaim *r, size_t at, uint64_t revision,
                    struct bytes key)
{
    uint64_t name = name_hash(key);

    for (; at < r->count && r->gone[at].revision == revision; at++) {
        if (r->gone[at].name == name)
            return true;
    }
    return false;
}

static void mark_one(uint8_t *marks, size_t n, size_t slot)
{
    if (slot < n && marks[slot] == SLOT_KEPT)
        marks[slot] = SLOT_COMPACTED;
}

static bool is_sent(const struct msg *head, size_t slot)
{
    struct list sends = msg_list(head, FIELD_SENDS);
    struct msg row;

    while (list_next(&sends, &row)) {
        if (msg_u(&row, FIELD_SLOT) == slot)
            return true;
    }
    return false;
}

/* A slot goes when all that was written from it has gone; the result of a task,
 * what it was made from, and messages stay. */
static bool slot_stays(const struct reclaim *r, const struct entry *e,
                       size_t at, const struct change *change,
                       const struct msg *head)
{
    struct changes walk;
    struct change other;

    if (head->verb == MSG_COMPLETE && change->slot == 0)
        return true;
    if (msg_has(head, FIELD_READS) && change->slot == msg_u(head, FIELD_READS))
        return true;
    if (is_sent(head, change->slot) || changes_begin(&walk, e))
        return true;
    while (changes_next(&walk, &other)) {
        if (!other.deleted && other.slot == change->slot &&
            !is_gone(r, at, e->index, other.key))
            return true;
    }
    return false;
}

static void erased_mark(const struct reclaim *r, const struct entry *e,
                        uint8_t *marks, size_t n, size_t first)
{
    for (size_t i = 0; i < n; i++) {
        if (marks[i] == SLOT_KEPT &&
            erasure_has(r->erased, e->index, first + i))
            marks[i] = SLOT_ERASED;
    }
}

static void mark(void *arg, const struct entry *e, uint8_t *marks,
                 uint8_t *effect_marks)
{
    struct reclaim *r = arg;
    size_t own = e->rows.n / SLOT_ROW_BYTES, at;
    size_t of_effect = e->effect_rows.n / SLOT_ROW_BYTES;
    struct changes walk;
    struct change change;

    erased_mark(r, e, marks, own, 0);
    erased_mark(r, e, effect_marks, of_effect, SLOT_EFFECT);
    settle(r);
    at = gone_from(r, e->index);
    if (at == r->count || r->gone[at].revision != e->index ||
        changes_begin(&walk, e))
        return;
    while (changes_next(&walk, &change)) {
        if (change.deleted || slot_stays(r, e, at, &change, &walk.head))
            continue;
        if (change.slot >= SLOT_EFFECT)
            mark_one(effect_marks, of_effect, change.slot - SLOT_EFFECT);
        else
            mark_one(marks, own, change.slot);
        if (walk.head.verb != MSG_TXN && walk.head.verb != MSG_COMPLETE)
            mark_one(marks, own, 0); /* what was merged into it, too */
    }
}

struct reclaim *reclaim_new(const struct state *s, uint64_t least)
{
    struct reclaim *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->thinner = (struct ledger_thinner){
        .arg = r, .look = look, .mark = mark, .least = least};
    r->lines = compaction_new(&r->digest);
    r->floor = floor_of(s);
    r->lowest = UINT64_MAX;
    r->erased = erasure_new(&r->digest);
    if (!r->lines || !r->erased ||
        compaction_save(s->compaction, line_copy, r->lines) ||
        erasure_save(s->erasure, page_copy, r->erased))
        reclaim_destroy(&r);
    return r;
}

void reclaim_destroy(struct reclaim **self_p)
{
    struct reclaim *r = *self_p;

    if (!r)
        return;
    compaction_destroy(&r->lines);
    erasure_destroy(&r->erased);
    free(r->gone);
    free(r);
    *self_p = NULL;
}

uint64_t reclaim_erased(const struct reclaim *r, uint64_t first, uint64_t end)
{
    return erasure_between(r->erased, first, end);
}

const struct ledger_thinner *reclaim_thinner(const struct reclaim *r)
{
    return &r->thinner;
}
