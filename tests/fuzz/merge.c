/* Any rule over any three values: base, theirs and yours, which the input has
 * one after the other, each behind its length. Whatever comes of it is a value
 * again, no larger than what went in, the same every time; and whoever changed
 * nothing changes nothing. */
#include "proto/merge.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "proto/refusal.h"
#include "tests/fuzz/fuzz.h"

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* 0xff: there is none. */
static struct bytes value_take(struct cursor *c)
{
    uint8_t n = cursor_u8(c);
    size_t left = cursor_left(c);

    return n == 0xff ? (struct bytes){0} : cursor_take(c, n < left ? n : left);
}

static void paths_are_text(const struct merge_clashes *clashes)
{
    for (uint64_t i = 0; i < clashes->count && i < MERGE_PATHS_MAX; i++)
        must(bytes_utf8(bytes_text(clashes->paths[i])));
}

static void result_fits(enum merge_rule rule, const struct merge_inputs *in,
                        const struct buf *out)
{
    must(pack_valid(buf_bytes(out)));
    must(out->n <= in->theirs.n + in->yours.n + 16);
    if (rule == RULE_MERGE && bytes_equal(in->base, in->theirs))
        must(bytes_equal(buf_bytes(out), in->yours));
    if (rule == RULE_MERGE && bytes_equal(in->base, in->yours))
        must(bytes_equal(buf_bytes(out), in->theirs));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cursor c = cursor_of(bytes_of(bytes, size));
    enum merge_rule rule = cursor_u8(&c) % RULE_END;
    struct merge_inputs in = {0}, swapped;
    struct merge_clashes clashes;
    struct buf out = {0}, again = {0};
    int r;

    in.side = cursor_u8(&c) % 3;
    in.base = value_take(&c);
    in.theirs = value_take(&c);
    in.yours = value_take(&c);
    r = merge_values(rule, &in, &out, &clashes);
    paths_are_text(&clashes);
    must(r ? !out.n &&
                 clashes.count == (r == CHOIR_CONFLICT ? clashes.count : 0)
           : !clashes.why);
    if (r == 0)
        result_fits(rule, &in, &out);
    swapped = in;
    if (rule == RULE_MERGE && in.side == MERGE_NO_SIDE) {
        swapped.theirs = in.yours;
        swapped.yours = in.theirs;
    }
    must(merge_values(rule, &swapped, &again, &clashes) == r);
    must(bytes_equal(buf_bytes(&out), buf_bytes(&again)));
    buf_free(&out);
    buf_free(&again);
    return 0;
}
