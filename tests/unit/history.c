/* The checker of the crash tests, proven by histories with a fault in them. */
#include "tests/support/history.h"

#include <stdarg.h>

#include "proto/refusal.h"
#include "tests/check.h"

#define ADA "aa"
#define BOB "bb"

static unsigned found[FINDINGS];

/* Two clients and a watcher; nothing wrong. Line k of the ledger is line
 * R0 + k here. */
static const char *const sound[] = {
    "0 A " ADA,
    "1 A " BOB,
    "0 B 1 put 10 0 0 0 1 k v1 -",
    "0 E 1 20 0 2",
    "1 B 1 put 30 0 0 1 k 2 1 k v2 -",
    "1 E 1 40 0 3",
    "0 B 2 put 35 0 0 1 k 2 1 k v3 -",
    "0 E 2 45 1 3",
    "0 G 50 60 k 3 4 v2",
    "0 B 3 submit 70 0 0 0 0 job",
    "0 E 3 80 0 5",
    "1 T 5 6 1 job",
    "1 B 2 complete 90 5 6 0 1 done v4 made",
    "1 E 2 95 0 7",
    "0 B 4 put 100 0 0 0 1 k v5 -",
    "2 W 1 0 *",
    "2 C 1 2 1 k v1",
    "2 C 1 3 1 k v2",
    "2 C 1 7 1 done v4",
    "2 D 1",
    "9 R 0 ff 0 0 genesis 0 0 0 0 0 0 0 -",
    "9 R 1 " ADA " 0 0 session_open 0 0 0 0 0 0 0 -",
    "9 R 2 " ADA " 1 1 put 0 0 0 0 0 0 1 k v1 -",
    "9 R 3 " BOB " 1 2 put 0 0 0 0 0 1 k 2 1 k v2 -",
    "9 R 4 " ADA " 1 3 put 1 0 0 0 3 1 k 2 1 k v3 -",
    "9 R 5 " ADA " 1 4 submit 0 0 0 0 0 0 0 job",
    "9 R 6 ff 0 2 claim 0 5 0 1 0 0 0 " BOB,
    "9 R 7 " BOB " 1 5 complete 0 5 6 0 0 0 1 done v4 made",
};

enum { LINES = sizeof sound / sizeof *sound, R0 = LINES - 8 };

/* The sound history with line `at` replaced (NULL: left out), and more. */
static unsigned check_with(size_t at, const char *instead, ...)
{
    struct history *h = history_new();
    const char *line;
    unsigned sum;
    va_list more;

    for (size_t i = 0; i < LINES; i++) {
        line = i == at ? instead : sound[i];
        if (line)
            history_line(h, (unsigned)*line - '0', line + 2);
    }
    va_start(more, instead);
    while ((line = va_arg(more, const char *)))
        history_line(h, (unsigned)*line - '0', line + 2);
    va_end(more);
    sum = history_check(h, found, NULL);
    history_free(&h);
    return sum;
}

#define WITH(...) check_with(__VA_ARGS__, (char *)NULL)
#define AS_IT_IS LINES

TEST(a_sound_history_has_no_finding)
{
    CHECK_EQ(WITH(AS_IT_IS, NULL), 0);
}

TEST(a_line_that_is_none_is_a_finding)
{
    CHECK_EQ(WITH(AS_IT_IS, NULL, "0 E 1 20 0 2 2"), 1);
}

TEST(a_lost_write_is_found)
{
    CHECK(WITH(R0 + 2, "9 R 2 ff 0 9 rules 0 0 0 0 0 0 0 -"));
    CHECK_EQ(found[FOUND_LOST], 1);
}

TEST(a_record_that_lost_its_end_is_found)
{
    CHECK(WITH(R0 + 7, NULL));
    CHECK_EQ(found[FOUND_LOST], 1);
}

TEST(a_write_that_was_applied_twice_is_found)
{
    CHECK(WITH(AS_IT_IS, NULL, "9 R 8 " ADA " 1 6 put 0 0 0 0 0 0 1 k v1 -"));
    CHECK_EQ(found[FOUND_TWICE], 1);
}

TEST(one_sequence_number_used_twice_is_found)
{
    CHECK(WITH(AS_IT_IS, NULL, "9 R 8 " ADA " 1 5 cancel 0 5 0 0 0 0 0 -"));
    CHECK_EQ(found[FOUND_TWICE], 1);
}

TEST(an_unknown_write_may_have_happened_once)
{
    CHECK_EQ(WITH(R0 - 1, NULL, "9 R 8 " ADA " 1 6 put 0 0 0 0 0 0 1 k v5 -"),
             0);
}

TEST(an_unknown_write_may_not_have_happened_twice)
{
    CHECK(WITH(R0 - 1, NULL, "9 R 8 " ADA " 1 6 put 0 0 0 0 0 0 1 k v5 -",
               "9 R 9 " ADA " 1 7 put 0 0 0 0 0 0 1 k v5 -"));
    CHECK_EQ(found[FOUND_TWICE], 1);
}

TEST(a_repetition_by_operation_id_is_not_a_second_time)
{
    CHECK_EQ(
        WITH(AS_IT_IS, NULL, "9 R 8 " ADA " 1 6 put 12 0 0 0 2 0 1 k v1 -"), 0);
}

TEST(other_bytes_at_the_revision_are_found)
{
    CHECK(WITH(R0 + 3, "9 R 3 " BOB " 1 2 put 0 0 0 0 0 1 k 2 1 other v2 -"));
    CHECK_EQ(found[FOUND_ALTERED], 1);
}

TEST(another_author_is_found)
{
    CHECK(WITH(R0 + 3, "9 R 3 " ADA " 1 2 put 0 0 0 0 0 1 k 2 1 k v2 -"));
    CHECK_EQ(found[FOUND_ALTERED], 1);
}

TEST(another_revision_than_told_is_found)
{
    CHECK(WITH(3, "0 E 1 20 0 1"));
    CHECK_EQ(found[FOUND_MISPLACED], 1);
}

TEST(another_outcome_than_told_is_found)
{
    CHECK(WITH(7, "0 E 2 45 0 4"));
    CHECK_EQ(found[FOUND_ALTERED], 1);
}

TEST(a_write_that_was_turned_away_but_recorded_is_found)
{
    CHECK(WITH(3, "0 E 1 20 64 0"));
    CHECK_EQ(found[FOUND_ALTERED], 1);
}

TEST(a_write_of_nobody_is_found)
{
    CHECK(
        WITH(AS_IT_IS, NULL, "9 R 8 " ADA " 1 6 put 0 0 0 0 0 0 1 x ghost -"));
    CHECK_EQ(found[FOUND_FROM_NOWHERE], 1);
}

TEST(a_hole_in_the_record_is_found)
{
    CHECK(WITH(AS_IT_IS, NULL, "9 R 9 ff 0 9 rules 0 0 0 0 0 0 0 -"));
    CHECK_EQ(found[FOUND_BROKEN_OFF], 1);
}

TEST(a_stale_compare_and_set_is_found)
{
    CHECK(WITH(R0 + 4, "9 R 4 " ADA " 1 3 put 0 0 0 0 0 1 k 2 1 k v3 -"));
    CHECK_EQ(found[FOUND_STALE_WRITE], 1);
}

TEST(a_refusal_without_a_conflict_is_found)
{
    CHECK(WITH(R0 + 4, "9 R 4 " ADA " 1 3 put 1 0 0 0 3 1 k 3 1 k v3 -"));
    CHECK_EQ(found[FOUND_FALSE_REFUSAL], 1);
}

TEST(a_conflict_that_tells_another_revision_is_found)
{
    CHECK(WITH(R0 + 4, "9 R 4 " ADA " 1 3 put 1 0 0 0 2 1 k 2 1 k v3 -"));
    CHECK_EQ(found[FOUND_WRONG_READ], 1);
}

TEST(a_changed_prefix_is_a_failed_compare)
{
    CHECK(WITH(AS_IT_IS, NULL, "0 B 5 txn 200 0 0 1 k* 2 1 x v6 -",
               "9 R 8 " ADA " 1 6 txn 0 0 0 0 0 1 k* 2 1 x v6 -"));
    CHECK_EQ(found[FOUND_STALE_WRITE], 1);
}

TEST(a_second_completion_is_found)
{
    CHECK(WITH(AS_IT_IS, NULL, "1 B 3 complete 200 5 6 0 0 more",
               "9 R 8 " BOB " 1 6 complete 0 5 6 0 0 0 0 more"));
    CHECK_EQ(found[FOUND_DONE_TWICE], 1);
}

TEST(a_completion_with_an_old_token_is_found)
{
    CHECK(WITH(R0 + 7, "9 R 7 ff 0 3 expire 0 5 6 0 0 0 0 -",
               "9 R 8 " BOB " 1 5 complete 0 5 6 0 0 0 1 done v4 made"));
    CHECK_EQ(found[FOUND_TWO_HOLDERS], 1);
}

TEST(a_completion_by_someone_else_is_found)
{
    CHECK(WITH(R0 + 6, "9 R 6 ff 0 2 claim 0 5 0 1 0 0 0 " ADA));
    CHECK_EQ(found[FOUND_TWO_HOLDERS], 1);
}

TEST(a_lease_given_twice_is_found)
{
    CHECK(WITH(R0 + 7, "9 R 7 ff 0 3 claim 0 5 0 2 0 0 0 " ADA));
    CHECK_EQ(found[FOUND_TWO_HOLDERS], 1);
}

TEST(a_lease_that_was_fenced_while_it_lived_is_found)
{
    CHECK(
        WITH(R0 + 7, "9 R 7 " BOB " 1 5 complete 3 5 6 0 0 0 1 done v4 made"));
    CHECK_EQ(found[FOUND_FALSE_REFUSAL], 1);
}

TEST(a_task_that_nobody_gave_is_found)
{
    CHECK(WITH(11, "1 T 5 3 1 job"));
    CHECK_EQ(found[FOUND_FALSE_LEASE], 1);
}

TEST(a_task_with_another_payload_is_found)
{
    CHECK(WITH(11, "1 T 5 6 1 jab"));
    CHECK_EQ(found[FOUND_FALSE_LEASE], 1);
}

TEST(an_outcome_before_what_was_known_is_found)
{
    CHECK(WITH(6, "0 B 2 put 96 0 0 1 k 2 1 k v3 -"));
    CHECK_EQ(found[FOUND_BACKWARDS], 1);
}

TEST(a_read_that_misses_an_acknowledged_write_is_found)
{
    CHECK(WITH(8, "0 G 50 60 k 2 2 v1"));
    CHECK_EQ(found[FOUND_BACKWARDS], 1);
}

TEST(a_read_of_other_bytes_is_found)
{
    CHECK(WITH(8, "0 G 50 60 k 3 4 v1"));
    CHECK_EQ(found[FOUND_WRONG_READ], 1);
}

TEST(a_watch_with_a_gap_is_found)
{
    CHECK(WITH(17, NULL));
    CHECK_EQ(found[FOUND_WATCH_GAP], 1);
}

TEST(a_watch_that_stops_early_is_found)
{
    CHECK(WITH(18, NULL));
    CHECK_EQ(found[FOUND_WATCH_GAP], 1);
}

TEST(a_watch_that_is_still_behind_is_none)
{
    CHECK_EQ(WITH(19, NULL), 0);
}

TEST(a_watch_that_tells_twice_is_found)
{
    CHECK(WITH(17, "2 C 1 2 1 k v1"));
    CHECK(found[FOUND_WATCH_WRONG]);
}

TEST(a_watch_that_tells_other_bytes_is_found)
{
    CHECK(WITH(17, "2 C 1 3 1 k v1"));
    CHECK(found[FOUND_WATCH_WRONG]);
}

TEST(a_watch_that_tells_of_a_refused_write_is_found)
{
    CHECK(WITH(18, "2 C 1 4 1 k v3"));
    CHECK(found[FOUND_WATCH_WRONG]);
}

CHECK_MAIN
