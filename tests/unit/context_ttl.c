/* broker/state/context_ttl, and the context around it: which keys end, the first one
 * first, and nothing lost on the way through a snapshot. */
#include "broker/state/context_ttl.h"

#include <errno.h>
#include <stdio.h>

#include "broker/state/context.h"
#include "broker/state/item.h"
#include "proto/key.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/records.h"

static struct digest digest;

static struct context *fresh(void)
{
    struct context *c;

    CHECK_OK(crypto_start());
    digest = (struct digest){0};
    c = context_new(&digest);
    assert_non_null(c);
    return c;
}

static void put(struct context *c, const char *key, uint64_t revision,
                uint64_t due)
{
    CHECK_OK(context_put(c, text("s"), text(key), revision, 2, 0, 1));
    if (due)
        CHECK_OK(context_lapse_at(c, text("s"), text(key), due));
}

static uint64_t due(const struct context *c, const char *key)
{
    return ttl_due(context_ttls(c), text("s"), text(key));
}

static const char *first(const struct context *c)
{
    static char name[16];
    const struct ttl *t = ttls_first(context_ttls(c));

    snprintf(name, sizeof name, "%.*s", t ? (int)ttl_name(t).n : 0,
             t ? (const char *)ttl_name(t).p : "");
    return name;
}

TEST(key_that_ends_first_is_first)
{
    struct context *c = fresh();

    put(c, "late", 1, 900);
    put(c, "soon", 2, 100);
    put(c, "never", 3, 0);
    put(c, "between", 4, 500);
    CHECK_EQ(ttls_count(context_ttls(c)), 3);
    assert_string_equal(first(c), "soon");
    CHECK_OK(context_lapse_at(c, text("s"), text("soon"), 700));
    assert_string_equal(first(c), "between");
    CHECK_OK(context_delete(c, text("s"), text("between"), 5, 1));
    assert_string_equal(first(c), "soon");
    CHECK_EQ(due(c, "never"), 0);
    context_destroy(&c);
}

TEST(next_version_takes_it_back_and_leaves_no_trace_in_the_digest)
{
    struct context *c = fresh(), *plain;
    struct digest with;

    put(c, "a", 1, 100);
    put(c, "a", 2, 0);
    CHECK_EQ(due(c, "a"), 0);
    CHECK(!context_find(c, text("s"), text("a"))->lapses);
    CHECK_EQ(ttls_count(context_ttls(c)), 0);
    assert_string_equal(first(c), "");
    with = digest;
    plain = fresh();
    put(plain, "a", 1, 0);
    put(plain, "a", 2, 0);
    CHECK(digest_same(&with, &digest));
    put(plain, "a", 3, 5);
    with = digest;
    CHECK_OK(context_lapse_at(plain, text("s"), text("a"), 6));
    CHECK_NOT(digest_same(&with, &digest));
    context_destroy(&plain);
    context_destroy(&c);
}

TEST(only_what_is_there_can_end)
{
    struct context *c = fresh();

    CHECK_EQ(context_lapse_at(c, text("s"), text("a"), 5), -ENOENT);
    put(c, "a", 1, 0);
    CHECK_EQ(context_lapse_at(c, text("t"), text("a"), 5), -ENOENT);
    CHECK_OK(context_delete(c, text("s"), text("a"), 2, 2));
    CHECK_EQ(context_lapse_at(c, text("s"), text("a"), 5), -ENOENT);
    CHECK_EQ(ttls_count(context_ttls(c)), 0);
    context_destroy(&c);
}

TEST(ten_thousand_end_in_their_order)
{
    struct context *c = fresh();
    uint64_t before = 0, revision = 20000;
    const struct ttl *t;
    char key[16];

    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "k%u", i);
        put(c, key, i + 1, 1 + (i * 7919ULL) % 10007);
    }
    while ((t = ttls_first(context_ttls(c))) != NULL) {
        CHECK(t->due >= before);
        before = t->due;
        CHECK_OK(context_delete(c, ttl_space(t), ttl_name(t), ++revision, 1));
    }
    CHECK_EQ(revision, 30000);
    context_destroy(&c);
}

TEST(they_come_back_from_their_records)
{
    struct context *c = fresh(), *again;
    struct records saved = {0};
    struct digest wanted;

    put(c, "a", 1, 100);
    put(c, "b", 2, 0);
    put(c, "c", 3, 50);
    CHECK_OK(context_save(c, records_put, &saved));
    CHECK_OK(ttls_save(context_ttls(c), records_put, &saved));
    CHECK_EQ(saved.count, 5);
    wanted = digest;
    again = fresh();
    for (size_t i = 0; i < saved.count; i++)
        CHECK_OK(context_load(again, buf_bytes(&saved.v[i])));
    CHECK(digest_same(&wanted, &digest));
    assert_string_equal(first(again), "c");
    CHECK_OK(context_delete(again, text("s"), text("c"), 9, 1));
    assert_string_equal(first(again), "a");
    context_destroy(&again);
    context_destroy(&c);
    records_free(&saved);
}

/* A record of a key that ends, with that due and that much of it. */
static int load(struct context *c, uint64_t at, const char *key, size_t cut)
{
    struct item it;

    item_begin(&it, ITEM_TTL);
    item_u64(&it, at);
    item_name(&it, text("s"));
    item_put(&it, text(key));
    return context_load(c, bytes_of(it.b, it.n - cut));
}

TEST(record_that_save_cannot_have_written_is_refused)
{
    struct context *c = fresh();
    const struct ttl *row;

    put(c, "a", 1, 0);
    put(c, "gone", 2, 0);
    CHECK_OK(context_delete(c, text("s"), text("gone"), 3, 2));
    CHECK_REFUSED(load(c, 0, "a", 0), CHOIR_MALFORMED);
    CHECK_REFUSED(load(c, 5, "a", 1), CHOIR_MALFORMED);
    CHECK_REFUSED(load(c, 5, "none", 0), CHOIR_MALFORMED);
    CHECK_REFUSED(load(c, 5, "gone", 0), CHOIR_MALFORMED);
    CHECK_REFUSED(ttls_load(NULL, text("x"), &row), CHOIR_MALFORMED);
    CHECK_OK(load(c, 5, "a", 0));
    CHECK_REFUSED(load(c, 5, "a", 0), CHOIR_MALFORMED);
    context_destroy(&c);
}

CHECK_MAIN
