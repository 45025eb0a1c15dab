#include "broker/readset.h"

#include "proto/refusal.h"
#include "tests/check.h"

static struct readsets *all;
static struct readset *a, *b;
static unsigned hits;

enum { PLENTY = 1 << 30 };

static void begin(void)
{
    all = readsets_new(NULL, NULL);
    a = readset_new(all, 10, 3, &a);
    b = readset_new(all, 20, 4, &b);
    hits = 0;
}

static void over(void)
{
    readset_free(all, &a);
    readset_free(all, &b);
    CHECK_EQ(readsets_bytes(all), 0);
    CHECK_EQ(readsets_agent_bytes(all, 3), 0);
    CHECK(!readsets_any(all));
    readsets_destroy(&all);
}

static void read_key(struct readset *set, const char *key, uint64_t revision,
                     uint64_t at)
{
    struct reading r = {.space = bytes_text("main"),
                        .name = bytes_text(key),
                        .revision = revision,
                        .at = at};

    CHECK_OK(readset_note(all, set, &r, PLENTY));
}

static void read_prefix(struct readset *set, const char *prefix, uint64_t cut)
{
    struct reading r = {.space = bytes_text("main"),
                        .name = bytes_text(prefix),
                        .is_prefix = true,
                        .revision = cut,
                        .at = cut};

    CHECK_OK(readset_note(all, set, &r, PLENTY));
}

static void on_hit(void *arg, void *owner)
{
    (void)arg;
    hits += owner == &a ? 1 : 100;
}

static void write_key(const char *key, uint64_t revision, uint64_t prev,
                      uint64_t token)
{
    struct version_made v = {.space = bytes_text("main"),
                             .key = bytes_text(key),
                             .revision = revision,
                             .prev = prev,
                             .token = token};

    if (readsets_concern(all, v.space, v.key))
        CHECK_OK(readsets_made(all, &v, on_hit, NULL));
}

static uint64_t pending(const struct readset *set)
{
    uint64_t count;

    readset_pending(set, &count);
    return count;
}

static bool concerns(const char *space, const char *key)
{
    return readsets_concern(all, bytes_text(space), bytes_text(key));
}

TEST(write_concerns_whoever_read_the_key_or_a_prefix_and_nobody_else)
{
    begin();
    CHECK(!concerns("main", "plan"));
    read_key(a, "plan", 5, 5);
    read_prefix(b, "docs/", 5);
    CHECK(concerns("main", "plan"));
    CHECK(!concerns("main", "pla"));
    CHECK(!concerns("main", "plan2"));
    CHECK(!concerns("other", "plan"));
    CHECK(concerns("main", "docs/"));
    CHECK(concerns("main", "docs/x"));
    CHECK(!concerns("main", "docs"));
    write_key("docs/x", 6, 0, 0);
    CHECK_EQ(hits, 100);
    write_key("plan", 7, 5, 0);
    CHECK_EQ(hits, 101);
    over();
}

TEST(set_that_ends_concerns_nobody_any_more)
{
    begin();
    read_key(a, "plan", 5, 5);
    read_prefix(a, "", 5);
    CHECK(concerns("main", "whatever"));
    readset_free(all, &a);
    CHECK(!concerns("main", "whatever"));
    CHECK(!concerns("main", "plan"));
    a = readset_new(all, 10, 3, &a);
    over();
}

TEST(changes_are_coalesced_and_keep_what_was_read)
{
    struct readset_move move;
    const void *at = NULL;

    begin();
    read_key(a, "plan", 5, 5);
    write_key("plan", 6, 5, 0);
    write_key("plan", 7, 6, 0);
    CHECK_EQ(pending(a), 1);
    CHECK(readset_move_next(a, &at, &move));
    CHECK_EQ(move.prev, 5);
    CHECK_EQ(move.revision, 7);
    CHECK(!readset_move_next(a, &at, &move));
    over();
}

TEST(many_changes_are_counted_and_only_the_first_kept)
{
    char key[32];
    uint64_t count;

    begin();
    read_prefix(a, "d/", 5);
    for (unsigned i = 0; i < READSET_MOVES_MAX + 10; i++) {
        snprintf(key, sizeof key, "d/%u", i);
        write_key(key, 10 + i, 0, 0);
    }
    CHECK_EQ(pending(a), READSET_MOVES_MAX + 10);
    CHECK_OK(readset_heed(all, a, 10, false));
    CHECK_EQ(pending(a), READSET_MOVES_MAX + 9);
    CHECK_OK(readset_heed(all, a, UINT64_MAX, false));
    CHECK_EQ(readset_pending(a, &count), 0);
    over();
}

TEST(rows_of_a_set_and_bytes_of_an_agent_are_limited)
{
    struct reading r = {.space = bytes_text("main"), .at = 1};
    char key[32];

    begin();
    for (unsigned i = 0; i < READSET_ROWS_MAX; i++) {
        snprintf(key, sizeof key, "key/%u", i);
        read_key(a, key, 0, 1);
    }
    r.name = bytes_text("one more");
    CHECK_REFUSED(readset_note(all, a, &r, PLENTY), CHOIR_OVER_LIMIT);
    CHECK_REFUSED(readset_note(all, b, &r, readsets_agent_bytes(all, 4) + 10),
                  CHOIR_OVER_LIMIT);
    CHECK_OK(readset_note(all, b, &r, PLENTY));
    read_key(a, "key/0", 7, 8); /* which is there already */
    over();
}

TEST(own_writes_move_nothing_unless_they_hide_somebody_elses)
{
    begin();
    read_key(a, "plan", 5, 5);
    read_prefix(a, "docs/", 5);
    write_key("plan", 6, 5, 10);
    write_key("docs/x", 7, 0, 10);
    CHECK_EQ(hits, 0);
    write_key("plan", 8, 6, 0);
    write_key("plan", 9, 8, 10);
    CHECK_EQ(pending(a), 1);
    over();
}

TEST(listing_of_pages_counts_once_it_was_seen_to_its_end)
{
    struct reading r = {.space = bytes_text("main"),
                        .name = bytes_text("d/"),
                        .is_prefix = true,
                        .revision = 5,
                        .at = 5};

    begin();
    CHECK_OK(readset_note_page(all, a, &r, true, true, PLENTY));
    write_key("d/x", 6, 0, 0);
    r.revision = r.at = 7;
    CHECK_OK(readset_note_page(all, a, &r, true, false, PLENTY));
    CHECK_EQ(pending(a), 1);
    r.revision = r.at = 9;
    CHECK_OK(readset_note_page(all, a, &r, false, true, PLENTY));
    CHECK_EQ(pending(a), 0);
    write_key("d/y", 8, 0, 0); /* after the first page, before the last */
    CHECK_EQ(pending(a), 1);
    over();
}

CHECK_MAIN
