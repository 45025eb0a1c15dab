/* Of several handles that wait for answers, one at a time is told. */
#include "agent-sdk/expected.h"

#include "tests/check.h"

enum { HANDLES = 4, NOW_MS = 5000 };

static struct expected x;
static struct expectation all[HANDLES];

static void begin(void)
{
    x = (struct expected){0};
    for (int i = 0; i < HANDLES; i++)
        all[i] = (struct expectation){0};
}

/* A turn in which it sent something, or not yet heard what it waits for. */
static bool sent(int i)
{
    return expected_after(&x, &all[i], EXPECTS_ANSWER, false, true, NOW_MS);
}

static bool answered(int i)
{
    return expected_after(&x, &all[i], EXPECTS_OTHERWISE, true, true, NOW_MS);
}

static void all_send(void)
{
    CHECK_NOT(sent(0)); /* the first is told */
    for (int i = 1; i < HANDLES; i++)
        CHECK(sent(i));
}

TEST(the_first_is_told_and_the_others_are_looked_at_in_their_order)
{
    begin();
    all_send();
    CHECK(!expected_next(&x, NOW_MS)); /* the first is still to be told */
    expected_due(&x, &all[0]);
    CHECK_NOT(answered(0));
    for (int i = 1; i < HANDLES; i++) {
        CHECK(expected_next(&x, NOW_MS) == &all[i]);
        CHECK_NOT(answered(i));
    }
    CHECK(!expected_next(&x, NOW_MS));
}

TEST(whoever_is_looked_at_too_early_is_told_from_then_on)
{
    begin();
    all_send();
    expected_due(&x, &all[0]);
    CHECK_NOT(answered(0));
    CHECK(expected_next(&x, NOW_MS) == &all[1]);
    CHECK_NOT(sent(1)); /* nothing was there */
    CHECK(!expected_next(&x, NOW_MS));
    expected_due(&x, &all[1]);
    CHECK_NOT(answered(1));
    CHECK(expected_next(&x, NOW_MS) == &all[2]);
}

TEST(whoever_is_answered_and_asks_again_is_behind_all_others)
{
    begin();
    all_send();
    expected_due(&x, &all[0]);
    CHECK(expected_after(&x, &all[0], EXPECTS_ANSWER, true, true, NOW_MS));
    for (int i = 1; i < HANDLES; i++) {
        CHECK(expected_next(&x, NOW_MS) == &all[i]);
        CHECK_NOT(answered(i));
    }
    CHECK(expected_next(&x, NOW_MS) == &all[0]);
}

TEST(whoever_hears_before_its_turn_and_asks_again_is_behind_all_others)
{
    begin();
    all_send();
    CHECK(expected_after(&x, &all[1], EXPECTS_ANSWER, true, true, NOW_MS));
    expected_due(&x, &all[0]);
    CHECK_NOT(answered(0));
    for (int i = 2; i < HANDLES; i++) {
        CHECK(expected_next(&x, NOW_MS) == &all[i]);
        CHECK_NOT(answered(i));
    }
    CHECK(expected_next(&x, NOW_MS) == &all[1]);
}

TEST(a_turn_for_another_reason_leaves_each_in_its_place)
{
    begin();
    all_send();
    expected_due(&x, &all[0]);
    CHECK_NOT(sent(0)); /* the first still, and told */
    CHECK(!expected_next(&x, NOW_MS));
    CHECK_NOT(sent(0)); /* by somebody for whom it was not due */
    CHECK(!expected_next(&x, NOW_MS));
    CHECK(sent(2));
    expected_due(&x, &all[0]);
    CHECK_NOT(answered(0));
    CHECK(expected_next(&x, NOW_MS) == &all[1]);
}

TEST(somebody_else_may_hear_the_first_one_s_answer)
{
    begin();
    all_send();
    CHECK_NOT(answered(0));
    CHECK(expected_next(&x, NOW_MS) == &all[1]);
}

TEST(whoever_goes_leaves_his_place_to_the_next)
{
    begin();
    all_send();
    expected_forget(&x, &all[1]);
    expected_forget(&x, &all[0]);
    CHECK(expected_next(&x, NOW_MS) == &all[2]);
    expected_forget(&x, &all[2]);
    CHECK(expected_next(&x, NOW_MS) == &all[3]);
    expected_forget(&x, &all[3]);
    CHECK(!expected_next(&x, NOW_MS));
}

TEST(nobody_rests_whom_the_sleeper_would_not_look_at)
{
    begin();
    CHECK_NOT(sent(0));
    CHECK_NOT(
        expected_after(&x, &all[1], EXPECTS_ANSWER, false, false, NOW_MS));
    CHECK(sent(2));
    expected_due(&x, &all[0]);
    CHECK_NOT(answered(0));
    CHECK(expected_next(&x, NOW_MS) == &all[2]);
}

TEST(the_time_is_limited_while_something_is_expected)
{
    begin();
    CHECK_EQ(expected_sleep_ms(&x, HANDLES), -1);
    sent(0);
    CHECK_EQ(expected_sleep_ms(&x, 1), -1); /* there are no others */
    CHECK(expected_sleep_ms(&x, HANDLES) > 0);
    sent(1);
    CHECK(expected_sleep_ms(&x, HANDLES) > 0);
    CHECK(expected_late(&x, NOW_MS) == &all[1]);
    CHECK(!expected_late(&x, NOW_MS));
    CHECK_EQ(expected_sleep_ms(&x, HANDLES), -1);
    sent(1); /* it is not there yet: told */
    CHECK(expected_sleep_ms(&x, HANDLES) > 0);
}

TEST(the_time_is_up_though_nobody_slept_through_it)
{
    begin();
    CHECK_NOT(expected_is_late(&x, NOW_MS + 1000)); /* nobody waits */
    all_send();
    CHECK_NOT(expected_is_late(&x, NOW_MS + 4));
    CHECK(expected_is_late(&x, NOW_MS + 5));
    expected_due(&x, &all[0]);
    CHECK(expected_next(&x, NOW_MS + 4) == &all[1]); /* it goes on */
    CHECK_NOT(expected_is_late(&x, NOW_MS + 8));
    CHECK(expected_is_late(&x, NOW_MS + 9));
}

TEST(nobody_waits_any_more_for_one_who_was_overtaken)
{
    begin();
    all_send();
    for (int i = 1; i < HANDLES; i++)
        CHECK(expected_late(&x, NOW_MS) == &all[i]);
    CHECK(!expected_late(&x, NOW_MS));
    CHECK_NOT(answered(1)); /* before the first */
    CHECK_NOT(sent(2));     /* not yet: told, */
    CHECK_NOT(sent(3));     /* each */
    CHECK(sent(1));
    expected_due(&x, &all[3]);
    CHECK_NOT(answered(3));
    CHECK(expected_next(&x, NOW_MS) == &all[1]); /* whatever 0 does */
}

CHECK_MAIN
