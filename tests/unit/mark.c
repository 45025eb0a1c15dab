/* broker/state/mark: each agent's own, in order, and nothing lost on the way
 * through a snapshot. */
#include "broker/state/mark.h"

#include <errno.h>

#include "broker/state/item.h"
#include "proto/key.h"
#include "proto/limits.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/records.h"

static struct digest digest;

static struct marks *fresh(void)
{
    struct marks *m;

    CHECK_OK(crypto_start());
    digest = (struct digest){0};
    m = marks_new(&digest);
    assert_non_null(m);
    return m;
}

static struct mark_id id(uint32_t agent, enum mark_kind kind, const char *name)
{
    return (struct mark_id){agent, kind, text("s"), text(name)};
}

static int set(struct marks *m, struct mark_id at, uint64_t revision)
{
    int made, r = mark_set(m, &at, revision, &made);

    CHECK_OK(r);
    return made;
}

static uint64_t get(const struct marks *m, struct mark_id at)
{
    return mark_find(m, &at);
}

TEST(mark_moves_on_and_never_back)
{
    struct marks *m = fresh();

    CHECK_EQ(get(m, id(2, MARK_NAME, "x")), 0);
    CHECK_EQ(set(m, id(2, MARK_NAME, "x"), 5), 1);
    CHECK_EQ(set(m, id(2, MARK_NAME, "x"), 9), 0);
    CHECK_EQ(set(m, id(2, MARK_NAME, "x"), 7), 0);
    CHECK_EQ(get(m, id(2, MARK_NAME, "x")), 9);
    CHECK_EQ(marks_count(m), 1);
    marks_destroy(&m);
}

TEST(mark_of_zero_is_gone_and_leaves_no_trace_in_the_digest)
{
    struct marks *m = fresh();

    CHECK_EQ(set(m, id(2, MARK_NAME, "x"), 5), 1);
    CHECK_EQ(set(m, id(2, MARK_NAME, "x"), 0), -1);
    CHECK_EQ(set(m, id(2, MARK_NAME, "x"), 0), 0);
    CHECK_EQ(marks_count(m), 0);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(digest.lane[i], 0);
    marks_destroy(&m);
}

TEST(agents_spaces_and_kinds_do_not_see_each_other)
{
    struct marks *m = fresh();
    struct mark_id other = id(2, MARK_NAME, "x");

    set(m, id(2, MARK_NAME, "x"), 1);
    set(m, id(3, MARK_NAME, "x"), 2);
    set(m, id(2, MARK_TOPIC, "x"), 3);
    other.space = text("t");
    set(m, other, 4);
    CHECK_EQ(get(m, id(2, MARK_NAME, "x")), 1);
    CHECK_EQ(get(m, id(3, MARK_NAME, "x")), 2);
    CHECK_EQ(get(m, id(2, MARK_TOPIC, "x")), 3);
    CHECK_EQ(get(m, other), 4);
    marks_destroy(&m);
}

TEST(walk_gives_names_then_topics_of_one_agent_and_space)
{
    static const char *const wanted[] = {"a", "b", "a", "c"};
    struct marks *m = fresh();
    struct mark_id at = id(2, MARK_NAME, "");
    const struct mark *mark;
    size_t n = 0;

    set(m, id(2, MARK_NAME, "b"), 1);
    set(m, id(2, MARK_NAME, "a"), 1);
    set(m, id(2, MARK_TOPIC, "c"), 1);
    set(m, id(2, MARK_TOPIC, "a"), 1);
    set(m, id(3, MARK_NAME, "z"), 1);
    set(m, id(1, MARK_NAME, "z"), 1);
    while ((mark = marks_next(m, &at))) {
        CHECK(n < 4);
        CHECK(bytes_equal(mark_name(mark), text(wanted[n])));
        CHECK_EQ(mark_kind(mark), n < 2 ? MARK_NAME : MARK_TOPIC);
        at.kind = mark_kind(mark);
        at.name = mark_name(mark);
        n++;
    }
    CHECK_EQ(n, 4);
    marks_destroy(&m);
}

TEST(names_beyond_their_limits_are_refused)
{
    struct marks *m = fresh();
    char name[LIMIT_NAME_BYTES + 2] = {0};
    struct mark_id at = id(2, MARK_NAME, name);
    int made;

    memset(name, 'n', LIMIT_NAME_BYTES + 1);
    CHECK_EQ(mark_set(m, &at, 1, &made), -EINVAL);
    at.name.n = LIMIT_NAME_BYTES + 1;
    CHECK_EQ(mark_set(m, &at, 1, &made), -EINVAL);
    CHECK_EQ(get(m, at), 0);
    at.name.n--;
    CHECK_OK(mark_set(m, &at, 1, &made));
    at.space.n = 0;
    CHECK_EQ(mark_set(m, &at, 1, &made), -EINVAL);
    marks_destroy(&m);
}

TEST(digest_returns_after_save_and_load)
{
    struct marks *m = fresh(), *again;
    struct records saved = {0};
    struct digest was;
    uint32_t agent;

    for (uint64_t i = 1; i < 100; i++) {
        char name[8];

        snprintf(name, sizeof name, "n%llu", (unsigned long long)i % 40);
        set(m, id((uint32_t)(1 + i % 300), (enum mark_kind)(i % 2), name), i);
    }
    was = digest;
    CHECK_OK(marks_save(m, records_put, &saved));
    again = fresh();
    for (size_t i = 0; i < saved.count; i++) {
        CHECK_OK(marks_load(again, buf_bytes(&saved.v[i]), &agent));
        CHECK_EQ(marks_load(again, buf_bytes(&saved.v[i]), &agent),
                 CHOIR_MALFORMED);
    }
    CHECK(digest_same(&was, &digest));
    CHECK_EQ(get(again, id(100, MARK_TOPIC, "n19")), 99);
    records_free(&saved);
    marks_destroy(&m);
    marks_destroy(&again);
}

TEST(load_refuses_a_record_cut_anywhere)
{
    struct marks *m = fresh();
    struct records saved = {0};
    uint32_t agent;

    set(m, id(2, MARK_NAME, "x"), 5);
    CHECK_OK(marks_save(m, records_put, &saved));
    marks_destroy(&m);
    m = fresh();
    for (size_t n = 0; n < saved.v[0].n; n++)
        CHECK_EQ(marks_load(m, bytes_of(saved.v[0].p, n), &agent),
                 CHOIR_MALFORMED);
    CHECK_EQ(marks_count(m), 0);
    records_free(&saved);
    marks_destroy(&m);
}

CHECK_MAIN
