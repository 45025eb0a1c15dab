/* proto/merge: what two writes become. Values are written as text with hex of
 * msgpack built by small helpers. */
#include "proto/merge.h"

#include "proto/pack.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/records.h"

static struct merge_clashes clashes;
static struct buf out;

/* A map in a short notation: "a=1 b/c=2 d=" (an empty map under d). */
struct node {
    char name[16];
    int number; /* -1: a map */
    struct node *children[8];
    size_t count;
};

static struct node pool[256];
static size_t pooled;

static struct node *child(struct node *of, const char *name, size_t n)
{
    struct node *c;

    for (size_t i = 0; i < of->count; i++) {
        if (strlen(of->children[i]->name) == n &&
            memcmp(of->children[i]->name, name, n) == 0)
            return of->children[i];
    }
    c = &pool[pooled++];
    *c = (struct node){.number = -1};
    memcpy(c->name, name, n);
    of->children[of->count++] = c;
    return c;
}

static void node_put(const struct node *n, struct buf *to)
{
    if (n->number >= 0) {
        pack_uint(to, (uint64_t)n->number);
        return;
    }
    pack_map(to, n->count);
    for (size_t i = 0; i < n->count; i++) {
        pack_text(to, text(n->children[i]->name));
        node_put(n->children[i], to);
    }
}

static struct bytes map(const char *notation)
{
    static struct buf made[8];
    static size_t next;
    struct buf *to = &made[next++ % 8];
    struct node root = {.number = -1};
    const char *p = notation;

    pooled = 0;
    while (*p) {
        struct node *at = &root;

        for (;;) {
            size_t n = strcspn(p, "/= ");

            at = child(at, p, n);
            p += n;
            if (*p++ != '/')
                break;
        }
        if (*p >= '0' && *p <= '9')
            at->number = *p++ - '0';
        while (*p == ' ')
            p++;
    }
    buf_clear(to);
    node_put(&root, to);
    return buf_bytes(to);
}

static int merge(enum merge_rule rule, struct bytes base, struct bytes theirs,
                 struct bytes yours)
{
    struct merge_inputs in = {.base = base, .theirs = theirs, .yours = yours};

    buf_clear(&out);
    return merge_values(rule, &in, &out, &clashes);
}

static void merges(const char *base, const char *theirs, const char *yours,
                   const char *want)
{
    CHECK_OK(merge(RULE_MERGE, map(base), map(theirs), map(yours)));
    if (!bytes_equal(buf_bytes(&out), map(want)))
        fail_msg("(%s) (%s) (%s) is not (%s)", base, theirs, yours, want);
}

static void clashes_at(const char *base, const char *theirs, const char *yours,
                       const char *path)
{
    CHECK_REFUSED(merge(RULE_MERGE, map(base), map(theirs), map(yours)),
                  CHOIR_CONFLICT);
    CHECK_EQ(clashes.count, 1);
    assert_string_equal(clashes.paths[0], path);
    CHECK_EQ(out.n, 0);
}

TEST(disjoint_paths_combine)
{
    merges("a=1 b=1", "a=2 b=1", "a=1 b=2", "a=2 b=2");
    merges("a=1", "a=1 b=2", "a=1 c=3", "a=1 b=2 c=3");
    merges("a/x=1 a/y=1", "a/x=2 a/y=1", "a/x=1 a/y=2", "a/x=2 a/y=2");
    merges("a=1 b=1 c=1", "a=1 b=1", "b=1 c=1", "b=1"); /* both take away */
    merges("", "a/b=1", "a/c=2", "a/b=1 a/c=2");
}

TEST(equal_changes_collapse)
{
    merges("a=1", "a=2", "a=2", "a=2");
    merges("a=1 b=1", "a=2 b=1 c=1", "a=2 b=1 d=1", "a=2 b=1 c=1 d=1");
    merges("a=1 b=1", "b=1 c=1", "b=1 d=1", "b=1 c=1 d=1");
}

TEST(who_changed_nothing_changes_nothing)
{
    merges("b=1 a=1", "z=1 b=2", "b=1 a=1", "z=1 b=2");
    merges("b=1 a=1", "b=1 a=1", "z=1 b=2", "z=1 b=2");
}

TEST(true_clash_is_named_by_its_path)
{
    clashes_at("a=1", "a=2", "a=3", "/a");
    clashes_at("a/b=1 c=1", "a/b=2 c=1", "a/b=3 c=2", "/a/b");
    clashes_at("a=1 b=1", "b=1", "a=2 b=1", "/a"); /* taken away, changed */
    clashes_at("", "a=1", "a=2", "/a");            /* both added */
    clashes_at("a=1", "a/b=1", "a/c=1", "/a");     /* base is no map */
    clashes_at("a/b=1", "a=2", "a/b=1 a/c=2", "/a");
}

TEST(a_side_may_be_taken_where_both_changed_the_same)
{
    struct merge_inputs in = {
        .base = map("a=1 b=1"),
        .theirs = map("a=2 b=1"),
        .yours = map("a=3 b=4"),
        .side = MERGE_YOURS,
    };

    buf_clear(&out);
    CHECK_OK(merge_values(RULE_MERGE, &in, &out, &clashes));
    CHECK(bytes_equal(buf_bytes(&out), map("a=3 b=4")));
    in.side = MERGE_THEIRS;
    buf_clear(&out);
    CHECK_OK(merge_values(RULE_MERGE, &in, &out, &clashes));
    CHECK(bytes_equal(buf_bytes(&out), map("a=2 b=4")));
}

TEST(pointers_are_escaped_and_cut_at_a_step)
{
    struct buf base = {0}, theirs = {0}, yours = {0};
    struct buf *all[] = {&base, &theirs, &yours};
    char name[200];

    memset(name, 'n', sizeof name);
    for (size_t i = 0; i < 3; i++) {
        pack_map(all[i], 2);
        pack_text(all[i], text("x~y/z"));
        pack_uint(all[i], i);
        pack_text(all[i], bytes_of(name, sizeof name));
        pack_map(all[i], 1);
        pack_text(all[i], bytes_of(name, sizeof name));
        pack_uint(all[i], i);
    }
    CHECK_REFUSED(merge(RULE_MERGE, buf_bytes(&base), buf_bytes(&theirs),
                        buf_bytes(&yours)),
                  CHOIR_CONFLICT);
    CHECK_EQ(clashes.count, 2);
    assert_string_equal(clashes.paths[0], "/x~0y~1z");
    CHECK_EQ(strlen(clashes.paths[1]), 1 + sizeof name);
    for (size_t i = 0; i < 3; i++)
        buf_free(all[i]);
}

TEST(keys_need_not_be_text)
{
    const struct bytes base = bytes_of("\x82\x07\x01\xff\x01", 5);
    const struct bytes theirs = bytes_of("\x82\x07\x02\xff\x02", 5);
    const struct bytes yours = bytes_of("\x82\x07\x03\xff\x03", 5);

    CHECK_REFUSED(merge(RULE_MERGE, base, theirs, yours), CHOIR_CONFLICT);
    assert_string_equal(clashes.paths[0], "/7");
    assert_string_equal(clashes.paths[1], "/-1");
}

TEST(map_with_a_key_twice_is_whole)
{
    const struct bytes base = bytes_of("\x82\xa1x\x01\xa1x\x01", 7);
    const struct bytes theirs = bytes_of("\x82\xa1x\x02\xa1x\x01", 7);
    const struct bytes yours = bytes_of("\x82\xa1x\x01\xa1y\x02", 7);

    CHECK_REFUSED(merge(RULE_MERGE, base, theirs, yours), CHOIR_CONFLICT);
    assert_string_equal(clashes.paths[0], "");
    CHECK_OK(merge(RULE_MERGE, base, base, yours));
    CHECK(bytes_equal(buf_bytes(&out), yours));
}

TEST(what_is_not_msgpack_is_invalid)
{
    const struct bytes junk = bytes_of("\xc1", 1), map0 = bytes_of("\x80", 1);

    CHECK_REFUSED(merge(RULE_MERGE, map0, map0, junk), CHOIR_INVALID);
    assert_non_null(clashes.why);
    CHECK_REFUSED(merge(RULE_MERGE, map0, junk, map0), CHOIR_INVALID);
    CHECK_REFUSED(merge(RULE_MERGE, junk, map0, map0), CHOIR_INVALID);
    CHECK_REFUSED(merge(RULE_CAS, map0, map0, map0), CHOIR_INVALID);
}

TEST(too_deep_is_not_msgpack)
{
    uint8_t bomb[64];

    for (size_t i = 0; i + 2 < sizeof bomb; i += 2)
        memcpy(bomb + i, "\x81\x00", 2);
    bomb[62] = 0x81;
    bomb[63] = 0x00;
    CHECK_REFUSED(merge(RULE_MERGE, map(""), map(""), bytes_of(bomb, 64)),
                  CHOIR_INVALID);
}

TEST(large_maps_are_whole_and_no_larger_one_is_taken_apart)
{
    struct buf base = {0}, theirs = {0}, yours = {0};
    struct buf *all[] = {&base, &theirs, &yours};

    for (uint64_t n = MERGE_ITEMS_MAX; n <= MERGE_ITEMS_MAX + 1; n++) {
        for (uint64_t i = 0; i < 3; i++) {
            buf_clear(all[i]);
            pack_map(all[i], n);
            for (uint64_t k = 0; k < n; k++) {
                pack_uint(all[i], k);
                pack_uint(all[i], i && k == i ? 1 : 0);
            }
        }
        CHECK_EQ(merge(RULE_MERGE, buf_bytes(&base), buf_bytes(&theirs),
                       buf_bytes(&yours)),
                 n == MERGE_ITEMS_MAX ? 0 : CHOIR_CONFLICT);
    }
    for (size_t i = 0; i < 3; i++)
        buf_free(all[i]);
}

TEST(floats_are_compared_by_their_bytes)
{
    const struct bytes nan = bytes_of("\x81\x00\xcb\x7f\xf8\0\0\0\0\0\0", 11);
    const struct bytes one = bytes_of("\x81\x00\x01", 3);

    CHECK_OK(merge(RULE_MERGE, one, nan, nan));
    CHECK(bytes_equal(buf_bytes(&out), nan));
    CHECK_OK(merge(RULE_MERGE, nan, nan, one));
    CHECK(bytes_equal(buf_bytes(&out), one));
}

/* --- Arrays, sets, counters ----------------------------------------------- */

/* "123" is [1, 2, 3]. NULL: nothing. */
static struct bytes array(const char *digits)
{
    static struct buf made[8];
    static size_t next;
    struct buf *to = &made[next++ % 8];

    if (!digits)
        return (struct bytes){0};
    buf_clear(to);
    pack_array(to, strlen(digits));
    for (; *digits; digits++)
        pack_uint(to, (uint64_t)(*digits - '0'));
    return buf_bytes(to);
}

static void adds(enum merge_rule rule, const char *base, const char *theirs,
                 const char *yours, const char *want)
{
    CHECK_OK(merge(rule, array(base), array(theirs), array(yours)));
    if (!bytes_equal(buf_bytes(&out), array(want)))
        fail_msg("(%s) (%s) (%s) is not (%s)", base, theirs, yours, want);
}

TEST(append_keeps_all_in_order)
{
    adds(RULE_APPEND, NULL, NULL, "12", "12");
    adds(RULE_APPEND, NULL, "12", "2", "122");
    adds(RULE_APPEND, "12", "123", "124", "1234");
    adds(RULE_APPEND, "12", "123", "12", "123");
    CHECK_REFUSED(merge(RULE_APPEND, array("12"), array("123"), array("1")),
                  CHOIR_CONFLICT);
    CHECK_REFUSED(merge(RULE_APPEND, array("12"), array("123"), array("321")),
                  CHOIR_CONFLICT);
    CHECK_REFUSED(
        merge(RULE_APPEND, array(NULL), array("1"), bytes_of("\x01", 1)),
        CHOIR_INVALID);
    CHECK_REFUSED(
        merge(RULE_APPEND, array(NULL), bytes_of("\x01", 1), array("1")),
        CHOIR_INVALID);
}

TEST(set_is_a_union_that_knows_what_was_taken_out)
{
    adds(RULE_SET, NULL, NULL, "121", "12");
    adds(RULE_SET, NULL, "31", "12", "312");
    adds(RULE_SET, "12", "123", "14", "134");
    adds(RULE_SET, "12", "1", "12", "1"); /* theirs took 2 out */
    adds(RULE_SET, "12", "2", "1", "");
    CHECK_REFUSED(merge(RULE_SET, array(NULL), array("1"), bytes_of("a", 1)),
                  CHOIR_INVALID);
}

TEST(set_has_a_bound)
{
    struct buf big = {0};

    pack_array(&big, MERGE_ITEMS_MAX + 1);
    for (uint64_t i = 0; i <= MERGE_ITEMS_MAX; i++)
        pack_uint(&big, i);
    CHECK_REFUSED(merge(RULE_SET, array(NULL), array("1"), buf_bytes(&big)),
                  CHOIR_OVER_LIMIT);
    buf_free(&big);
}

static struct bytes number(int64_t n)
{
    static struct buf made[8];
    static size_t next;
    struct buf *to = &made[next++ % 8];

    buf_clear(to);
    pack_int(to, n);
    return buf_bytes(to);
}

TEST(counter_adds_up)
{
    struct bytes none = {0};

    CHECK_OK(merge(RULE_COUNTER, none, none, number(-3)));
    CHECK(bytes_equal(buf_bytes(&out), number(-3)));
    CHECK_OK(merge(RULE_COUNTER, none, number(5), number(-300)));
    CHECK(bytes_equal(buf_bytes(&out), number(-295)));
    CHECK_OK(merge(RULE_COUNTER, number(5), number(8), number(6)));
    CHECK(bytes_equal(buf_bytes(&out), number(9)));
    CHECK_REFUSED(merge(RULE_COUNTER, none, number(INT64_MAX), number(1)),
                  CHOIR_OVER_LIMIT);
    CHECK_REFUSED(merge(RULE_COUNTER, none, number(INT64_MIN), number(-1)),
                  CHOIR_OVER_LIMIT);
    CHECK_REFUSED(merge(RULE_COUNTER, none, number(1), array("1")),
                  CHOIR_INVALID);
    CHECK_REFUSED(merge(RULE_COUNTER, none, array("1"), number(1)),
                  CHOIR_INVALID);
    CHECK_REFUSED(merge(RULE_COUNTER, none, none,
                        bytes_of("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9)),
                  CHOIR_INVALID);
}

/* --- Properties ----------------------------------------------------------- */

/* A map of up to five keys and three levels, keys in any order. */
static void any_map(struct buf *to, int depth)
{
    uint64_t keys = roll(4), first = roll(5);

    pack_map(to, keys);
    for (uint64_t i = 0; i < keys; i++) {
        pack_uint(to, (first + i) % 5);
        if (depth && roll(3) == 0)
            any_map(to, depth - 1);
        else if (roll(8) == 0)
            pack_array(to, 0);
        else
            pack_uint(to, roll(3));
    }
}

TEST(merge_is_symmetric_idempotent_and_bounded)
{
    struct buf values[3] = {{0}}, once = {0};
    uint64_t merged = 0;

    roll_start(11);
    for (int i = 0; i < 20000; i++) {
        struct bytes b, t, y;
        int r;

        for (int k = 0; k < 3; k++) {
            buf_clear(&values[k]);
            any_map(&values[k], 3);
        }
        b = buf_bytes(&values[0]);
        t = buf_bytes(&values[1]);
        y = buf_bytes(&values[2]);
        CHECK_OK(merge(RULE_MERGE, b, b, y));
        CHECK(bytes_equal(buf_bytes(&out), y));
        CHECK_OK(merge(RULE_MERGE, b, t, b));
        CHECK(bytes_equal(buf_bytes(&out), t));
        CHECK_OK(merge(RULE_MERGE, b, y, y));
        CHECK(bytes_equal(buf_bytes(&out), y));
        r = merge(RULE_MERGE, b, t, y);
        buf_clear(&once);
        buf_put(&once, out.p, out.n);
        CHECK_EQ(merge(RULE_MERGE, b, y, t), r);
        CHECK(bytes_equal(buf_bytes(&out), buf_bytes(&once)));
        if (r)
            continue;
        merged++;
        CHECK(pack_valid(buf_bytes(&once)));
        CHECK(once.n <= t.n + y.n);
        /* Whoever has it already adds nothing. */
        CHECK_OK(merge(RULE_MERGE, t, buf_bytes(&once), t));
        CHECK(bytes_equal(buf_bytes(&out), buf_bytes(&once)));
    }
    CHECK(merged > 1000 && merged < 19000);
    for (int k = 0; k < 3; k++)
        buf_free(&values[k]);
    buf_free(&once);
}

CHECK_MAIN
