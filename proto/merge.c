/* Arrays and numbers, and who does what; maps are merge_map.c's. */
#include "merge.h"

#include <errno.h>
#include <stdlib.h>

#include "merge_private.h"
#include "pack.h"
#include "refusal.h"

static int invalid(struct merge_clashes *clashes, const char *why)
{
    clashes->why = why;
    return CHOIR_INVALID;
}

static int clash(struct merge_clashes *clashes, const char *why)
{
    clashes->why = why;
    clashes->count = 1;
    return CHOIR_CONFLICT;
}

/* --- Counters ------------------------------------------------------------ */

bool merge_number(struct bytes value, int64_t *n)
{
    struct cursor c = cursor_of(value);
    struct pack_item item;

    *n = 0;
    if (!value.p)
        return true;
    if (pack_next(&c, &item) || cursor_left(&c))
        return false;
    *n = (int64_t)item.u;
    return item.kind == PACK_INT || (item.kind == PACK_UINT && *n >= 0);
}

static int count(const struct merge_inputs *in, struct buf *out,
                 struct merge_clashes *clashes)
{
    int64_t base, theirs, yours, n;
    __int128 sum;

    if (!merge_number(in->yours, &yours))
        return invalid(clashes, "a counter takes whole numbers of 64 bits");
    if (!merge_number(in->theirs, &theirs) || !merge_number(in->base, &base))
        return invalid(clashes, "what is there is not a whole number");
    sum = (__int128)theirs + yours - base;
    n = (int64_t)sum;
    if (n != sum) {
        clashes->why = "the sum does not fit 64 bits";
        return CHOIR_OVER_LIMIT;
    }
    pack_int(out, n);
    return 0;
}

/* --- Arrays -------------------------------------------------------------- */

struct array {
    uint64_t count;
    struct bytes elements; /* one after the other */
};

static bool array_of(struct bytes value, struct array *a)
{
    struct cursor c = cursor_of(value);
    struct pack_item item;

    *a = (struct array){0, bytes_of("", 0)};
    if (!value.p)
        return true;
    if (!pack_valid(value) || pack_next(&c, &item) || item.kind != PACK_ARRAY)
        return false;
    *a = (struct array){item.u, bytes_of(c.p, cursor_left(&c))};
    return true;
}

static int arrays_of(const struct merge_inputs *in, struct array *base,
                     struct array *theirs, struct array *yours,
                     struct merge_clashes *clashes)
{
    if (!array_of(in->yours, yours))
        return invalid(clashes, "this prefix takes arrays");
    if (!array_of(in->theirs, theirs) || !array_of(in->base, base))
        return invalid(clashes, "what is there is not an array");
    return 0;
}

/* Whoever has a base adds what it put behind it. */
static int append(const struct merge_inputs *in, struct buf *out,
                  struct merge_clashes *clashes)
{
    struct array base, theirs, yours;
    int r = arrays_of(in, &base, &theirs, &yours, clashes);
    size_t skip;

    if (r)
        return r;
    skip = base.elements.n;
    if (yours.count < base.count ||
        !bytes_start_with(yours.elements, base.elements))
        return clash(clashes, "yours does not begin with its base");
    pack_array(out, theirs.count + yours.count - base.count);
    buf_put(out, theirs.elements.p, theirs.elements.n);
    buf_put(out, yours.elements.p + skip, yours.elements.n - skip);
    return 0;
}

/* --- Sets ---------------------------------------------------------------- */

struct element {
    struct bytes bytes;
    uint64_t place;
};

struct set {
    struct element *sorted; /* owned; equal ones by place */
    size_t count;
};

static int element_compare(const void *a, const void *b)
{
    const struct element *x = a, *y = b;
    int r = merge_compare(x->bytes, y->bytes);

    return r ? r : x->place < y->place ? -1 : x->place > y->place;
}

/* 0, CHOIR_OVER_LIMIT, -ENOMEM. */
static int set_make(struct set *s, const struct array *a)
{
    struct cursor c = cursor_of(a->elements);

    *s = (struct set){0};
    if (a->count > MERGE_ITEMS_MAX)
        return CHOIR_OVER_LIMIT;
    s->sorted = calloc((size_t)a->count + 1, sizeof *s->sorted);
    if (!s->sorted)
        return -ENOMEM;
    for (; s->count < a->count; s->count++)
        s->sorted[s->count] = (struct element){merge_next(&c), s->count};
    qsort(s->sorted, s->count, sizeof *s->sorted, element_compare);
    return 0;
}

/* The first of its kind, or NULL. */
static const struct element *set_find(const struct set *s, struct bytes bytes)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (merge_compare(s->sorted[mid].bytes, bytes) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->count && bytes_equal(s->sorted[low].bytes, bytes)
               ? &s->sorted[low]
               : NULL;
}

struct sets {
    struct array base, theirs, yours;
    struct set in_base, in_theirs, in_yours;
};

/* Each element once; what yours took out of its base goes. */
static uint64_t union_put(const struct sets *s, struct buf *out)
{
    struct cursor c = cursor_of(s->theirs.elements);
    uint64_t n = 0;

    for (uint64_t i = 0; i < s->theirs.count; i++) {
        struct bytes e = merge_next(&c);

        if (set_find(&s->in_theirs, e)->place != i ||
            (set_find(&s->in_base, e) && !set_find(&s->in_yours, e)))
            continue;
        buf_put(out, e.p, e.n);
        n++;
    }
    c = cursor_of(s->yours.elements);
    for (uint64_t i = 0; i < s->yours.count; i++) {
        struct bytes e = merge_next(&c);

        if (set_find(&s->in_yours, e)->place != i ||
            set_find(&s->in_theirs, e) || set_find(&s->in_base, e))
            continue;
        buf_put(out, e.p, e.n);
        n++;
    }
    return n;
}

static int unite(const struct merge_inputs *in, struct buf *out,
                 struct merge_clashes *clashes)
{
    struct buf elements = {0};
    struct sets s = {0};
    int r = arrays_of(in, &s.base, &s.theirs, &s.yours, clashes);

    if (!r)
        r = set_make(&s.in_base, &s.base);
    if (!r)
        r = set_make(&s.in_theirs, &s.theirs);
    if (!r)
        r = set_make(&s.in_yours, &s.yours);
    if (!r) {
        uint64_t n = union_put(&s, &elements);

        r = n > MERGE_ITEMS_MAX ? CHOIR_OVER_LIMIT : 0;
        pack_array(out, n);
        buf_put(out, elements.p, elements.n);
        out->failed |= elements.failed;
    }
    if (r == CHOIR_OVER_LIMIT)
        clashes->why = "a set has 65536 elements at most";
    buf_free(&elements);
    free(s.in_base.sorted);
    free(s.in_theirs.sorted);
    free(s.in_yours.sorted);
    return r;
}

/* --- All ------------------------------------------------------------------ */

static int three_way(const struct merge_inputs *in, struct buf *out,
                     struct merge_clashes *clashes)
{
    if (!pack_valid(in->yours))
        return invalid(clashes, "yours is not msgpack");
    if (!pack_valid(in->base) || !pack_valid(in->theirs))
        return invalid(clashes, "what is there is not msgpack");
    return merge_maps(in, out, clashes);
}

int merge_values(enum merge_rule rule, const struct merge_inputs *in,
                 struct buf *out, struct merge_clashes *clashes)
{
    size_t before = out->n;
    int r = CHOIR_INVALID;

    *clashes = (struct merge_clashes){0};
    if (rule == RULE_MERGE)
        r = three_way(in, out, clashes);
    else if (rule == RULE_APPEND)
        r = append(in, out, clashes);
    else if (rule == RULE_SET)
        r = unite(in, out, clashes);
    else if (rule == RULE_COUNTER)
        r = count(in, out, clashes);
    if (out->failed)
        r = -ENOMEM;
    if (r && !out->failed)
        out->n = before;
    return r;
}

void merge_one(struct buf *out, struct bytes element)
{
    pack_array(out, 1);
    buf_put(out, element.p, element.n);
}
