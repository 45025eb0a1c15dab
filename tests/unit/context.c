/* broker/state/context: against a plain array that cannot be wrong. */
#include "tests/check.h"

#include <errno.h>

#include "broker/state/context.h"
#include "broker/state/item.h"
#include "proto/limits.h"
#include "proto/refusal.h"
#include "tests/support/records.h"

static struct digest digest;

static struct context *fresh(void)
{
    struct context *c;

    digest = (struct digest){0};
    c = context_new(&digest);
    assert_non_null(c);
    return c;
}

static int put(struct context *c, const char *name, uint64_t revision)
{
    return context_put(c, text("s"), text(name), revision, 2, 0, 5);
}

static const struct key *find(const struct context *c, const char *name)
{
    return context_find(c, text("s"), text(name));
}

TEST(put_key_is_found_with_all_it_knows)
{
    struct context *c = fresh();
    const struct key *k;

    CHECK_OK(context_put(c, text("s"), text("plan"), 7, 3, 9, 1000));
    k = find(c, "plan");
    CHECK(k != NULL);
    CHECK_EQ(k->revision, 7);
    CHECK_EQ(k->created, 7);
    CHECK_EQ(k->agent, 3);
    CHECK_EQ(k->slot, 9);
    CHECK_EQ(k->bytes, 1000);
    CHECK_NOT(k->deleted);
    CHECK(bytes_equal(key_name(k), text("plan")));
    CHECK_NULL(find(c, "pla"));
    CHECK_NULL(find(c, "plan2"));
    context_destroy(&c);
}

TEST(spaces_do_not_see_each_other)
{
    struct context *c = fresh();

    CHECK_OK(context_put(c, text("a"), text("k"), 1, 2, 0, 0));
    CHECK_OK(context_put(c, text("b"), text("k"), 2, 2, 0, 0));
    CHECK_EQ(context_find(c, text("a"), text("k"))->revision, 1);
    CHECK_EQ(context_find(c, text("b"), text("k"))->revision, 2);
    CHECK_NULL(context_find(c, text("c"), text("k")));
    CHECK_EQ(context_count(c), 2);
    context_destroy(&c);
}

TEST(second_put_keeps_when_it_was_created)
{
    struct context *c = fresh();

    CHECK_OK(put(c, "k", 3));
    CHECK_OK(put(c, "k", 8));
    CHECK_EQ(find(c, "k")->created, 3);
    CHECK_EQ(find(c, "k")->revision, 8);
    CHECK_EQ(context_count(c), 1);
    context_destroy(&c);
}

TEST(tombstone_keeps_its_revision)
{
    struct context *c = fresh();

    CHECK_OK(put(c, "k", 3));
    CHECK_OK(context_delete(c, text("s"), text("k"), 5, 4));
    CHECK(find(c, "k")->deleted);
    CHECK_EQ(find(c, "k")->revision, 5);
    CHECK_EQ(find(c, "k")->agent, 4);
    CHECK_EQ(context_count(c), 1);
    context_destroy(&c);
}

TEST(put_after_delete_is_created_anew)
{
    struct context *c = fresh();

    CHECK_OK(put(c, "k", 3));
    CHECK_OK(context_delete(c, text("s"), text("k"), 5, 4));
    CHECK_OK(put(c, "k", 6));
    CHECK_EQ(find(c, "k")->created, 6);
    CHECK_NOT(find(c, "k")->deleted);
    context_destroy(&c);
}

TEST(delete_of_what_is_absent_is_refused)
{
    struct context *c = fresh();
    struct hash before;

    CHECK_REFUSED(context_delete(c, text("s"), text("k"), 1, 2), -ENOENT);
    CHECK_OK(put(c, "k", 2));
    CHECK_OK(context_delete(c, text("s"), text("k"), 3, 2));
    before = digest_value(&digest);
    CHECK_REFUSED(context_delete(c, text("s"), text("k"), 4, 2), -ENOENT);
    CHECK_EQ(find(c, "k")->revision, 3);
    CHECK(digest_is(&digest, &before));
    context_destroy(&c);
}

TEST(put_refuses_names_beyond_their_limits)
{
    static char longest[LIMIT_KEY_BYTES + 2];
    struct context *c = fresh();

    memset(longest, 'x', LIMIT_KEY_BYTES + 1);
    CHECK_REFUSED(put(c, "", 1), -EINVAL);
    CHECK_REFUSED(put(c, longest, 1), -EINVAL);
    CHECK_OK(put(c, longest + 1, 1));
    CHECK_REFUSED(context_put(c, text(""), text("k"), 1, 2, 0, 0), -EINVAL);
    CHECK_REFUSED(context_put(c, bytes_of(longest, 65), text("k"), 1, 2, 0, 0),
                  -EINVAL);
    CHECK_OK(context_put(c, bytes_of(longest, 64), text("k"), 1, 2, 0, 0));
    context_destroy(&c);
}

TEST(next_walks_a_prefix_in_order_and_stops_at_its_end)
{
    static const char *const names[] = {"b/2", "a", "b/1", "b", "b0", "b/"};
    static const char *const wanted[] = {"b/", "b/1", "b/2"};
    struct context *c = fresh();
    const struct key *k = NULL;
    struct bytes from = {0};

    for (size_t i = 0; i < 6; i++)
        CHECK_OK(put(c, names[i], i + 1));
    for (size_t i = 0; i < 3; i++) {
        k = context_next(c, text("s"), text("b/"), from, i > 0);
        CHECK(k && bytes_equal(key_name(k), text(wanted[i])));
        from = key_name(k);
    }
    CHECK_NULL(context_next(c, text("s"), text("b/"), from, true));
    k = context_next(c, text("s"), text("b/"), from, false);
    CHECK(k && bytes_equal(key_name(k), text("b/2")));
    context_destroy(&c);
}

TEST(next_does_not_leave_its_prefix_for_a_lower_or_higher_start)
{
    struct context *c = fresh();
    const struct key *k;

    CHECK_OK(put(c, "a", 1));
    CHECK_OK(put(c, "b/1", 2));
    CHECK_OK(put(c, "c", 3));
    k = context_next(c, text("s"), text("b/"), text("a"), true);
    CHECK(k && bytes_equal(key_name(k), text("b/1")));
    CHECK_NULL(context_next(c, text("s"), text("b/"), text("c"), false));
    CHECK_NULL(context_next(c, text("none"), text(""), text(""), false));
    k = context_next(c, text("s"), (struct bytes){0}, (struct bytes){0}, true);
    CHECK(k && bytes_equal(key_name(k), text("a")));
    context_destroy(&c);
}

TEST(prefix_revision_counts_tombstones)
{
    struct context *c = fresh();

    CHECK_OK(put(c, "d/1", 1));
    CHECK_OK(put(c, "d/2", 2));
    CHECK_OK(put(c, "e", 3));
    CHECK_EQ(context_prefix_revision(c, text("s"), text("d/")), 2);
    CHECK_OK(context_delete(c, text("s"), text("d/1"), 4, 2));
    CHECK_EQ(context_prefix_revision(c, text("s"), text("d/")), 4);
    CHECK_OK(put(c, "f", 5));
    CHECK_EQ(context_prefix_revision(c, text("s"), text("d/")), 4);
    CHECK_EQ(context_prefix_revision(c, text("s"), text("")), 5);
    CHECK_EQ(context_prefix_revision(c, text("s"), text("none")), 0);
    CHECK_EQ(context_prefix_revision(c, text("none"), text("")), 0);
    context_destroy(&c);
}

/* What one bundle may ask: 1,024 transactions of 64 compares each. */
TEST(next_newer_walks_what_changed_after_a_revision_tombstones_included)
{
    struct context *c = fresh();
    const struct key *k;

    CHECK_OK(context_put(c, text("s"), text("a"), 1, 1, 0, 1));
    CHECK_OK(context_put(c, text("s"), text("d/1"), 2, 1, 0, 1));
    CHECK_OK(context_put(c, text("s"), text("d/2"), 3, 1, 0, 1));
    CHECK_OK(context_put(c, text("s"), text("d/3"), 4, 1, 0, 1));
    CHECK_OK(context_delete(c, text("s"), text("d/1"), 5, 1));
    CHECK_OK(context_put(c, text("s"), text("e"), 6, 1, 0, 1));
    k = context_next_newer(c, text("s"), text("d/"), text(""), false, 3);
    CHECK_EQ(k->revision, 5);
    k = context_next_newer(c, text("s"), text("d/"), key_name(k), true, 3);
    CHECK_EQ(k->revision, 4);
    CHECK_NULL(
        context_next_newer(c, text("s"), text("d/"), key_name(k), true, 3));
    CHECK_NULL(context_next_newer(c, text("none"), text(""), text(""), 0, 0));
    context_destroy(&c);
}

TEST(prefix_revision_takes_no_longer_where_there_are_many_keys)
{
    struct context *c = fresh();
    char name[32];

    for (unsigned i = 1; i <= 100000; i++) {
        snprintf(name, sizeof name, "huge/%08x", i * 2654435761u);
        CHECK_OK(put(c, name, i));
    }
    for (unsigned i = 0; i < 1024 * 64; i++)
        CHECK_EQ(context_prefix_revision(c, text("s"), text("huge/")), 100000);
    context_destroy(&c);
}

TEST(fetch_changes_nothing)
{
    struct context *c = fresh();
    struct context_name names[200];
    char keys[200][8];

    for (int i = 0; i < 200; i++) {
        snprintf(keys[i], sizeof keys[i], "%d", i);
        names[i] =
            (struct context_name){text(i % 70 ? "s" : "absent"), text(keys[i])};
        if (i % 3)
            CHECK_OK(put(c, keys[i], (uint64_t)i));
    }
    context_fetch(c, names, 200);
    for (int i = 0; i < 200; i++)
        CHECK_EQ(context_find(c, text("s"), text(keys[i])) != NULL, i % 3 != 0);
    context_destroy(&c);
}

TEST(digest_tells_every_field_apart)
{
    struct hash seen[8];
    size_t n = 0;

    for (unsigned i = 0; i < 7; i++) {
        struct context *c = fresh();

        CHECK_OK(context_put(c, text(i == 1 ? "t" : "s"),
                             text(i == 2 ? "l" : "k"), i == 3 ? 8 : 7,
                             i == 4 ? 3 : 2, i == 5, i == 6));
        seen[n++] = digest_value(&digest);
        context_destroy(&c);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++)
            CHECK_NOT(hash_equal(&seen[i], &seen[j]));
    }
}

/* --- Against a model ----------------------------------------------------- */

enum { MODEL = 60 };

struct model_key {
    bool there, deleted;
    uint64_t revision, created;
};

static void name_of(size_t i, char out[16])
{
    sprintf(out, "%c/%zu", (char)('a' + i % 4), i * 7919 % 100);
}

static void step(struct context *c, struct model_key *m, size_t i, uint64_t now)
{
    char name[16];

    name_of(i, name);
    if (roll(3)) {
        CHECK_OK(put(c, name, now));
        m->created = m->there && !m->deleted ? m->created : now;
        m->deleted = false;
    } else if (m->there && !m->deleted) {
        CHECK_OK(context_delete(c, text("s"), text(name), now, 2));
        m->deleted = true;
        m->created = 0;
    } else {
        return;
    }
    m->there = true;
    m->revision = now;
}

static void compare(const struct context *c, const struct model_key *model)
{
    size_t there = 0;

    for (size_t i = 0; i < MODEL; i++) {
        const struct key *k;
        char name[16];

        name_of(i, name);
        k = find(c, name);
        CHECK_EQ(k != NULL, model[i].there);
        if (!k)
            continue;
        there++;
        CHECK_EQ(k->revision, model[i].revision);
        CHECK_EQ(k->created, model[i].created);
        CHECK_EQ(k->deleted, model[i].deleted);
    }
    CHECK_EQ(context_count(c), there);
}

static void load_all(struct context *c, const struct records *saved)
{
    for (size_t i = 0; i < saved->count; i++)
        CHECK_OK(context_load(c, buf_bytes(&saved->v[i])));
}

TEST(random_changes_agree_with_a_model_and_its_digest)
{
    struct model_key model[MODEL] = {{0}};
    struct context *c = fresh(), *again;
    struct hash wanted;

    roll_start(1);
    for (uint64_t now = 1; now <= 3000; now++) {
        size_t i = roll(MODEL);

        step(c, &model[i], i, now);
        if (now % 500)
            continue;
        struct records saved = {0};

        compare(c, model);
        CHECK_OK(context_save(c, records_put, &saved));
        wanted = records_digest(&saved);
        CHECK(digest_is(&digest, &wanted));
        digest = (struct digest){0};
        again = context_new(&digest);
        load_all(again, &saved);
        compare(again, model);
        CHECK(digest_is(&digest, &wanted));
        context_destroy(&c);
        c = again;
        records_free(&saved);
    }
    context_destroy(&c);
}

/* --- Saved while changes go on ------------------------------------------- */

/* Of two spaces, one with names that the other has, too. */
static void change(struct context *c, size_t i, uint64_t now)
{
    const struct key *k;
    char name[16];
    struct bytes space = text(i % 3 ? "s" : "sp");

    name_of(i, name);
    k = context_find(c, space, text(name));
    if (k && !k->deleted && !roll(4))
        CHECK_OK(context_delete(c, space, text(name), now, 2));
    else
        CHECK_OK(context_put(c, space, text(name), now, 2, 0, 5));
}

/* `changes` after each step of n keys; to the end. */
static void save_slowly(struct context *c, uint64_t now, unsigned n,
                        unsigned changes, struct records *saved)
{
    int r;

    context_save_begin(c, now, records_put, saved);
    while (!(r = context_save_step(c, n)))
        for (unsigned i = 0; i < changes; i++)
            change(c, roll(3 * MODEL), now++);
    CHECK_EQ(r, CHOIR_NOT_FOUND);
    change(c, 0, now); /* it is over: nothing more is given */
}

TEST(what_is_saved_while_changes_go_on_is_what_there_was)
{
    roll_start(2);
    for (unsigned run = 0; run < 200; run++) {
        struct context *c = fresh(), *again;
        struct records saved = {0};
        struct hash wanted;
        size_t count;

        for (uint64_t now = 1; now < 1 + run; now++)
            change(c, roll(2 * MODEL), now);
        count = context_count(c);
        wanted = digest_value(&digest);
        save_slowly(c, 1000, 2 + run % 7, run % 5, &saved);
        CHECK_EQ(saved.count, count);
        context_destroy(&c);
        digest = (struct digest){0};
        again = context_new(&digest);
        load_all(again, &saved);
        CHECK(digest_is(&digest, &wanted));
        context_destroy(&again);
        records_free(&saved);
    }
}

TEST(save_that_is_given_up_is_given_nothing_more)
{
    struct records saved = {0};
    struct context *c = fresh();

    CHECK_OK(put(c, "a", 1));
    CHECK_OK(put(c, "b", 2));
    context_save_begin(c, 3, records_put, &saved);
    context_save_end(c);
    CHECK_OK(put(c, "b", 3));
    CHECK_EQ(saved.count, 0);
    context_save_end(c);
    context_destroy(&c);
}

/* --- What load refuses --------------------------------------------------- */

static void item_key(struct item *it, uint64_t revision, uint64_t created,
                     uint8_t slot, uint8_t deleted, const char *space,
                     const char *name)
{
    item_begin(it, ITEM_KEY);
    item_u64(it, revision);
    item_u64(it, created);
    item_u32(it, 2);
    item_u32(it, deleted ? 0 : 5);
    item_u8(it, slot);
    item_u8(it, deleted);
    item_name(it, text(space));
    item_put(it, text(name));
}

static int load(const struct item *it)
{
    struct context *c = fresh();
    int r = context_load(c, item_record(it));

    context_destroy(&c);
    return r;
}

TEST(load_refuses_what_save_cannot_have_written)
{
    struct item it;

    item_key(&it, 7, 3, 1, 0, "s", "k");
    CHECK_OK(load(&it));
    item_key(&it, 7, 0, 0, 1, "s", "k");
    CHECK_OK(load(&it));
    item_key(&it, 7, 8, 0, 0, "s", "k"); /* created after it was written */
    CHECK_REFUSED(load(&it), CHOIR_MALFORMED);
    item_key(&it, 7, 0, 0, 0, "s", "k"); /* there, and never created */
    CHECK_REFUSED(load(&it), CHOIR_MALFORMED);
    item_key(&it, 7, 3, 0, 1, "s", "k"); /* a tombstone that was created */
    CHECK_REFUSED(load(&it), CHOIR_MALFORMED);
    item_key(&it, 7, 3, 0, 2, "s", "k"); /* neither deleted nor not */
    CHECK_REFUSED(load(&it), CHOIR_MALFORMED);
    item_key(&it, 7, 3, 2 * LIMIT_SLOTS, 0, "s", "k");
    CHECK_REFUSED(load(&it), CHOIR_MALFORMED);
    item_key(&it, 7, 3, 0, 0, "", "k");
    CHECK_REFUSED(load(&it), CHOIR_MALFORMED);
    item_key(&it, 7, 3, 0, 0, "s", "");
    CHECK_REFUSED(load(&it), CHOIR_MALFORMED);
    item_key(&it, 7, 3, 0, 0, "s", "\xff");
    CHECK_REFUSED(load(&it), CHOIR_MALFORMED);
    item_key(&it, 7, 3, 0, 0, "s", "k");
    it.b[0] = ITEM_TASK;
    CHECK_REFUSED(load(&it), CHOIR_MALFORMED);
}

TEST(load_refuses_a_record_cut_anywhere)
{
    struct item it;

    item_key(&it, 7, 3, 1, 0, "space", "k");
    while (it.n--)
        CHECK_REFUSED(load(&it), CHOIR_MALFORMED);
}

TEST(load_refuses_a_key_twice)
{
    struct context *c = fresh();
    struct item it;

    item_key(&it, 7, 3, 1, 0, "s", "k");
    CHECK_OK(context_load(c, item_record(&it)));
    CHECK_REFUSED(context_load(c, item_record(&it)), CHOIR_MALFORMED);
    context_destroy(&c);
}

static int full(void *to, struct bytes record)
{
    (void)to;
    (void)record;
    return -ENOSPC;
}

TEST(save_passes_on_what_the_sink_says)
{
    struct context *c = fresh();

    CHECK_OK(put(c, "k", 1));
    CHECK_REFUSED(context_save(c, full, NULL), -ENOSPC);
    context_save_begin(c, 2, full, NULL);
    CHECK_REFUSED(context_save_step(c, 10), -ENOSPC);
    CHECK_OK(put(c, "k", 2));
    context_destroy(&c);
}

TEST(save_says_later_what_the_sink_said_to_a_change)
{
    struct context *c = fresh();

    CHECK_OK(put(c, "k", 1));
    context_save_begin(c, 2, full, NULL);
    CHECK_OK(put(c, "k", 2)); /* which is done for all that */
    CHECK_EQ(find(c, "k")->revision, 2);
    CHECK_REFUSED(context_save_step(c, 10), -ENOSPC);
    context_destroy(&c);
}

CHECK_MAIN
