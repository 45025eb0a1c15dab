/* Ways that take as long as the test says. */
#include "broker/base/trial.h"
#include "tests/check.h"

static struct trial t;

/* So many times; slow: every so many of them takes a second, 0: none. */
static void take(unsigned times, const uint64_t us[], unsigned slow)
{
    for (unsigned i = 0; i < times; i++)
        trial_took(&t, slow && i % slow == 0 ? 1000000 : us[trial_way(&t)]);
}

static void try_all(const uint64_t us[], unsigned slow)
{
    CHECK_EQ(trial_way(&t), 0);
    take(t.ways * TRIAL_LOOKS, us, slow);
}

TEST(each_is_tried_and_the_quickest_taken)
{
    static const uint64_t us[] = {300, 200, 100};

    trial_init(&t, 3, 0);
    for (unsigned row = 0; row < 3 * TRIAL_ROUNDS; row++)
        for (unsigned i = 0; i < TRIAL_ROW; i++) {
            CHECK_EQ(trial_way(&t), row % 3);
            take(1, us, 0);
        }
    CHECK_EQ(trial_way(&t), 2);
    take(TRIAL_KEPT - 1, us, 0);
    CHECK_EQ(trial_way(&t), 2);
    take(1, us, 0);
    CHECK_EQ(trial_way(&t), 0); /* again */
}

TEST(a_little_quicker_is_not_enough)
{
    static const uint64_t same[] = {100, 91}, better[] = {100, 89};

    trial_init(&t, 2, 0);
    try_all(same, 0);
    CHECK_EQ(trial_way(&t), 0);
    take(TRIAL_KEPT, same, 0);
    try_all(better, 0);
    CHECK_EQ(trial_way(&t), 1);
    take(TRIAL_KEPT, better, 0);
    try_all(same, 0);
    CHECK_EQ(trial_way(&t), 1); /* it stays */
    trial_init(&t, 2, 1);
    try_all((const uint64_t[]){91, 100}, 0);
    CHECK_EQ(trial_way(&t), 1);
    take(TRIAL_KEPT, same, 0);
    try_all((const uint64_t[]){89, 100}, 0);
    CHECK_EQ(trial_way(&t), 0);
}

TEST(what_changes_is_noticed)
{
    static const uint64_t now[] = {100, 50, 70}, then[] = {100, 90, 40};

    trial_init(&t, 3, 0);
    try_all(now, 0);
    CHECK_EQ(trial_way(&t), 1);
    take(TRIAL_KEPT, now, 0);
    try_all(then, 0);
    CHECK_EQ(trial_way(&t), 2);
}

TEST(a_few_slow_ones_do_not_count)
{
    static const uint64_t us[] = {100, 200};

    for (unsigned slow = TRIAL_ROW; slow; slow -= TRIAL_ROW / 2) {
        trial_init(&t, 2, 0);
        for (unsigned i = 0; i < TRIAL_ROUNDS; i++) {
            take(TRIAL_ROW, us, slow / 2); /* the quick one has them */
            take(TRIAL_ROW, us, 0);
        }
        CHECK_EQ(trial_way(&t), slow < TRIAL_ROW); /* there too many */
    }
}

/* All the times of one round, for both. */
TEST(a_machine_that_is_slow_for_a_while_is_no_reason)
{
    static const uint64_t us[] = {200, 100}, slow[] = {2000, 1000};

    for (unsigned when = 0; when < TRIAL_ROUNDS; when++) {
        trial_init(&t, 2, 0);
        for (unsigned i = 0; i < TRIAL_ROUNDS; i++)
            take(2 * TRIAL_ROW, i == when ? slow : us, 0);
        CHECK_EQ(trial_way(&t), 1);
    }
}

CHECK_MAIN
