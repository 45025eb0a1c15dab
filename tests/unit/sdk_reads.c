/* Read sets by themselves: what joins, what replaces what, what is said. */
#include "agent-sdk/reads.h"

#include <stdio.h>

#include "tests/check.h"
#include "tests/support/rows.h"

enum { TOKEN = 7, ROWS_MAX = LIMIT_LIST_ITEMS, BYTES = 1 << 20 };

static struct reads *reads;

static void begin(void)
{
    reads = reads_new();
    CHECK(reads != NULL);
    reads_begin(reads, 5, TOKEN, bytes_text("main"));
}

static void end(void)
{
    reads_destroy(&reads);
    CHECK_NULL(reads);
}

static struct look look(const char *name, uint64_t revision, uint64_t at)
{
    return (struct look){.space = bytes_text("main"),
                         .name = bytes_text(name),
                         .revision = revision,
                         .at = at};
}

static void key(const char *name, uint64_t revision, uint64_t at)
{
    struct look k = look(name, revision, at);

    reads_key(reads, TOKEN, &k, false);
}

static void page(const char *prefix, uint64_t cut, const char *asked,
                 const char *told)
{
    struct look p = look(prefix, 0, cut);

    reads_page(reads, TOKEN, &p, bytes_text(asked), bytes_text(told), false);
}

static void wrote(const char *name, uint64_t revision)
{
    struct look k = look(name, revision, revision);

    reads_wrote(reads, TOKEN, &k);
}

static void moved(const char *name, uint64_t prev, uint64_t revision, int gone)
{
    struct buf bytes = {0};
    struct hash writer = {{9}};
    struct msg item, m;

    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_KEY, name);
    msg_set_u(&item, FIELD_PREV, prev);
    msg_set_u(&item, FIELD_REVISION, revision);
    if (gone)
        msg_set_u(&item, FIELD_KIND, 1);
    msg_set_hash(&item, FIELD_AGENT, &writer);
    msg_encode(&item, &bytes);
    msg_init(&m, MSG_MOVED);
    msg_set_list(&m, FIELD_ITEMS, 1, buf_bytes(&bytes));
    reads_moved(reads, TOKEN, revision, msg_list(&m, FIELD_ITEMS));
    buf_free(&bytes);
}

/* As rows_text has it. */
static const char *rows(void)
{
    static char text[4096];
    struct buf part = {0};
    struct msg m;
    unsigned field;
    size_t n = reads_encode(reads, TOKEN, BYTES, &part);

    text[0] = '\0';
    if (n) {
        CHECK_OK(part_decode(MSG_READ_SET, buf_bytes(&part), &m, &field));
        CHECK_EQ(m.v[FIELD_COMPARES].u, n);
        rows_text(msg_list(&m, FIELD_COMPARES), text, sizeof text);
    }
    buf_free(&part);
    return text;
}

static size_t pending(void)
{
    struct buf item = {0};
    uint64_t revision;
    struct msg m;
    unsigned field;
    size_t n = 0;

    if (reads_pending(reads, TOKEN, &revision, &item)) {
        CHECK_OK(msg_decode(buf_bytes(&item), CLASS_ITEM, &m, &field));
        CHECK_EQ(msg_u(&m, FIELD_REVISION), revision);
        n = m.v[FIELD_ITEMS].u;
    }
    buf_free(&item);
    return n;
}

/* --- Keys ----------------------------------------------------------------- */

TEST(hits_misses_and_listings_are_rows)
{
    begin();
    CHECK_STR(rows(), "");
    key("plan", 5, 10);
    key("nothing", 0, 11);
    page("docs/", 12, "", "");
    CHECK_STR(rows(), "docs/*@12 nothing@0 plan@5");
    end();
}

TEST(the_later_look_at_a_key_counts_in_whatever_order_answers_come)
{
    begin();
    key("plan", 5, 10);
    key("plan", 12, 13);
    CHECK_STR(rows(), "plan@12");
    key("plan", 5, 7);
    CHECK_STR(rows(), "plan@12");
    key("plan", 0, 20); /* deleted since */
    CHECK_STR(rows(), "plan@0");
    end();
}

TEST(a_row_of_another_space_says_so)
{
    struct look k = look("plan", 5, 10);

    begin();
    k.space = bytes_text("lab");
    reads_key(reads, TOKEN, &k, false);
    key("plan", 6, 10);
    CHECK_STR(rows(), "lab:plan@5 plan@6");
    end();
}

TEST(what_is_read_under_no_lease_or_an_ended_one_joins_nothing)
{
    struct look k = look("plan", 5, 10);

    begin();
    CHECK_NOT(reads_key(reads, TOKEN + 1, &k, true));
    CHECK_EQ(reads_task(reads, TOKEN), 5);
    CHECK_EQ(reads_task(reads, TOKEN + 1), 0);
    key("plan", 5, 10);
    reads_end(reads, TOKEN);
    CHECK_EQ(reads_task(reads, TOKEN), 0);
    CHECK_STR(rows(), "");
    end();
}

/* --- Own writes ----------------------------------------------------------- */

TEST(an_own_write_raises_what_was_read)
{
    begin();
    key("plan", 5, 10);
    wrote("plan", 12);
    wrote("other", 13); /* never read: a blind write is no reading */
    CHECK_STR(rows(), "plan@12");
    key("plan", 12, 14);
    CHECK_STR(rows(), "plan@12");
    end();
}

TEST(an_own_deletion_leaves_the_key_absent)
{
    struct look k = look("plan", 0, 12);

    begin();
    key("plan", 5, 10);
    reads_wrote(reads, TOKEN, &k);
    CHECK_STR(rows(), "plan@0");
    end();
}

TEST(a_blind_write_over_a_change_nobody_read_stays_stale)
{
    begin();
    key("a", 5, 10);
    moved("a", 5, 11, 0);
    wrote("a", 12);
    key("b", 5, 10);
    wrote("b", 14);
    moved("b", 5, 13, 0); /* told after our own outcome */
    CHECK_STR(rows(), "a@5 b@5");
    key("a", 12, 15);
    CHECK_STR(rows(), "a@12 b@5");
    end();
}

TEST(a_change_after_an_own_write_leaves_the_write_as_what_was_read)
{
    begin();
    key("a", 5, 10);
    wrote("a", 12);
    moved("a", 12, 13, 0);
    CHECK_STR(rows(), "a@12");
    CHECK_EQ(pending(), 1);
    end();
}

TEST(an_own_write_under_a_listing_gets_a_row)
{
    begin();
    page("docs/", 10, "", "");
    wrote("docs/new", 12);
    wrote("elsewhere", 13);
    CHECK_STR(rows(), "docs/*@10 docs/new@12");
    page("docs/", 14, "", ""); /* which says it all */
    CHECK_STR(rows(), "docs/*@14");
    end();
}

TEST(an_own_write_over_a_phantom_stays_stale)
{
    begin();
    page("docs/", 10, "", "");
    moved("docs/new", 10, 11, 0);
    wrote("docs/new", 12);
    CHECK_STR(rows(), "docs/*@10");
    end();
}

/* --- Listings ------------------------------------------------------------- */

TEST(a_listing_in_pages_rests_on_its_first_page)
{
    begin();
    page("d/", 10, "", "d/4");
    CHECK_STR(rows(), "d/*@10");
    page("d/", 12, "d/4", "d/8");
    page("d/", 14, "d/8", "");
    CHECK_STR(rows(), "d/*@10");
    end();
}

TEST(only_a_listing_seen_to_its_end_replaces_an_earlier_one)
{
    begin();
    page("d/", 10, "", "");
    page("d/", 20, "", "d/4");
    CHECK_STR(rows(), "d/*@10");
    page("d/", 21, "d/8", ""); /* not where it went on */
    CHECK_STR(rows(), "d/*@10");
    page("d/", 22, "d/4", "");
    CHECK_STR(rows(), "d/*@20");
    page("d/", 5, "", ""); /* as it was once */
    CHECK_STR(rows(), "d/*@20");
    end();
}

TEST(a_page_of_an_earlier_revision_lowers_a_listing)
{
    begin();
    page("d/", 10, "", "d/4");
    page("d/", 8, "d/4", "");
    CHECK_STR(rows(), "d/*@8");
    end();
}

/* --- What moved ----------------------------------------------------------- */

TEST(news_is_told_once_and_pending_until_it_is_answered)
{
    struct list none = {0};

    begin();
    key("plan", 5, 10);
    CHECK_EQ(pending(), 0);
    moved("plan", 5, 12, 0);
    CHECK_EQ(pending(), 1);
    CHECK_EQ(reads_told(reads, TOKEN), 12);
    CHECK_NOT(reads_moved(reads, TOKEN, 12, none));
    CHECK(reads_moved(reads, TOKEN, 13, none));
    reads_heeded(reads, TOKEN, false, 13);
    CHECK_EQ(pending(), 0);
    CHECK_STR(rows(), "plan@5"); /* still to be read again */
    end();
}

TEST(what_moved_after_the_answer_is_pending)
{
    begin();
    key("a", 5, 10);
    key("b", 5, 10);
    moved("a", 5, 12, 0);
    moved("b", 5, 13, 0);
    CHECK_EQ(pending(), 2);
    reads_heeded(reads, TOKEN, false, 12);
    CHECK_EQ(pending(), 1);
    end();
}

TEST(what_is_read_again_is_not_pending)
{
    begin();
    key("plan", 5, 10);
    moved("plan", 5, 12, 0);
    key("plan", 12, 13);
    CHECK_EQ(pending(), 0);
    CHECK_STR(rows(), "plan@12");
    end();
}

TEST(what_is_ignored_may_have_moved_up_to_there)
{
    begin();
    key("plan", 5, 10);
    page("docs/", 10, "", "");
    moved("plan", 5, 12, 0);
    moved("docs/new", 10, 13, 0);
    reads_heeded(reads, TOKEN, true, 12);
    CHECK_STR(rows(), "docs/*@10 plan@5~12");
    CHECK_EQ(pending(), 1);
    reads_heeded(reads, TOKEN, true, 13);
    CHECK_STR(rows(), "docs/*@10 docs/new@10~13 plan@5~12");
    CHECK_EQ(pending(), 0);
    wrote("plan", 15); /* known of, so not blind */
    CHECK_STR(rows(), "docs/*@10 docs/new@10~13 plan@15");
    end();
}

TEST(an_ignored_deletion_is_an_absent_key)
{
    begin();
    key("plan", 5, 10);
    moved("plan", 5, 12, 1);
    reads_heeded(reads, TOKEN, true, 12);
    CHECK_STR(rows(), "plan@0");
    end();
}

/* --- To the broker -------------------------------------------------------- */

static size_t told(char *text, size_t n)
{
    struct buf scratch = {0};
    struct msg m;
    size_t count = 0, at = 0;

    text[0] = '\0';
    while (reads_next(reads, &m, &scratch)) {
        struct buf head = {0};

        CHECK_EQ(msg_u(&m, FIELD_TASK), 5);
        CHECK_EQ(msg_u(&m, FIELD_TOKEN), TOKEN);
        msg_encode(&m, &head);
        CHECK(head.n <= LIMIT_HEAD_BYTES);
        buf_free(&head);
        count += m.v[FIELD_COMPARES].u;
        if (at < n)
            rows_text(msg_list(&m, FIELD_COMPARES), text + at, n - at);
        at += strlen(text + at);
    }
    buf_free(&scratch);
    return count;
}

TEST(the_broker_is_told_what_it_did_not_see_and_everything_once_it_forgot)
{
    struct look k = look("local", 5, 10);
    char text[256];

    begin();
    key("asked", 4, 10);
    CHECK_NOT(reads_unseen(reads));
    CHECK(reads_key(reads, TOKEN, &k, true));
    CHECK_NOT(reads_key(reads, TOKEN, &k, true));
    CHECK(reads_unseen(reads));
    CHECK_EQ(told(text, sizeof text), 1);
    CHECK_STR(text, "local@5");
    CHECK_NOT(reads_unseen(reads));
    k.at = 20; /* the same again is no news */
    CHECK_NOT(reads_key(reads, TOKEN, &k, true));
    CHECK_NOT(reads_unseen(reads));
    reads_again(reads);
    CHECK_EQ(told(text, sizeof text), 2);
    CHECK_STR(text, "asked@4 local@5");
    reads_again(reads);
    reads_end(reads, TOKEN);
    CHECK_NOT(reads_unseen(reads));
    end();
}

TEST(a_large_set_is_told_in_pieces_that_fit_into_a_head)
{
    char name[128], text[64];

    begin();
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "a/key/of/usual/length/%d", i);
        key(name, 5, 10);
    }
    reads_again(reads);
    CHECK_EQ(told(text, 1), 2000);
    end();
}

/* --- Widening ------------------------------------------------------------- */

static size_t encoded(size_t bytes_max, struct buf *part)
{
    size_t n = reads_encode(reads, TOKEN, bytes_max, part);

    CHECK(part->n <= bytes_max);
    CHECK(n <= ROWS_MAX);
    return n;
}

TEST(too_many_rows_become_a_prefix_at_the_earliest_look)
{
    char name[64];

    begin();
    key("plan", 5, 10);
    for (int i = 0; i < ROWS_MAX; i++) {
        snprintf(name, sizeof name, "docs/%d", i);
        key(name, 50, 100 + (uint64_t)i);
    }
    CHECK_STR(rows(), "docs/*@100 plan@5");
    key("docs/9999", 50, 9000); /* covered */
    key("docs/new", 8999, 9000);
    CHECK_STR(rows(), "docs/*@100 docs/new@8999 plan@5");
    end();
}

TEST(keys_read_later_than_they_changed_keep_their_rows_when_widened)
{
    char name[64];

    begin();
    for (int i = 0; i <= ROWS_MAX; i++) {
        snprintf(name, sizeof name, "docs/%d", i);
        key(name, i == 3 ? 150 : 50, i ? 200 : 100);
    }
    CHECK_STR(rows(), "docs/*@100 docs/3@150");
    end();
}

TEST(keys_without_folders_become_everything)
{
    char name[64];

    begin();
    for (int i = 0; i <= ROWS_MAX; i++) {
        snprintf(name, sizeof name, "%d/k", i);
        key(name, 50, 100);
    }
    CHECK_STR(rows(), "*@100");
    end();
}

TEST(listings_alone_are_widened_too)
{
    char name[64];

    begin();
    for (int i = 0; i <= ROWS_MAX; i++) {
        snprintf(name, sizeof name, "%d/", i);
        page(name, 100 + (uint64_t)i, "", "");
    }
    CHECK_STR(rows(), "*@100");
    end();
}

TEST(a_set_is_widened_until_it_fits_into_a_slot)
{
    struct buf part = {0};
    char name[64];

    begin();
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "d%d/key-%d", i % 7, i);
        key(name, 50, 100);
    }
    CHECK_EQ(encoded(BYTES, &part), 1000);
    buf_clear(&part);
    CHECK(encoded(4096, &part) < 1000);
    buf_clear(&part);
    CHECK_EQ(encoded(100, &part), 1);
    buf_free(&part);
    end();
}

CHECK_MAIN
