/* tests/bench/histogram: what benchmarks say of latencies. */
#include "tests/check.h"

#include "tests/bench/histogram.h"

static struct histogram h, other;

static void empty(void)
{
    memset(&h, 0, sizeof h);
    memset(&other, 0, sizeof other);
}

TEST(histogram_of_nothing_says_zero)
{
    empty();
    CHECK_EQ(histogram_percentile(&h, 50), 0);
    CHECK_EQ(h.max, 0);
}

TEST(histogram_is_exact_below_2048)
{
    for (uint64_t v = 0; v < 2048; v++) {
        empty();
        histogram_record(&h, v);
        histogram_record(&h, 1 << 20);
        CHECK_EQ(histogram_percentile(&h, 50), v);
    }
}

TEST(histogram_is_off_by_less_than_a_thousandth)
{
    for (uint64_t v = 2048; v < 60000000; v += 1 + v / 777) {
        uint64_t said;

        empty();
        histogram_record(&h, v);
        histogram_record(&h, 67000000);
        said = histogram_percentile(&h, 50);
        CHECK(said >= v);
        CHECK((said - v) * 1000 < v);
    }
}

TEST(histogram_counts_are_ranked)
{
    empty();
    for (uint64_t v = 1; v <= 1000; v++)
        histogram_record(&h, v);
    CHECK_EQ(h.total, 1000);
    CHECK_EQ(histogram_percentile(&h, 0), 1);
    CHECK_EQ(histogram_percentile(&h, 50), 500);
    CHECK_EQ(histogram_percentile(&h, 90), 900);
    CHECK_EQ(histogram_percentile(&h, 99.9), 999);
    CHECK_EQ(histogram_percentile(&h, 100), 1000);
}

TEST(histogram_never_says_more_than_the_greatest)
{
    empty();
    histogram_record(&h, 50000001);
    CHECK_EQ(histogram_percentile(&h, 50), 50000001);
    CHECK_EQ(h.max, 50000001);
}

TEST(histogram_keeps_values_beyond_its_range)
{
    empty();
    histogram_record(&h, 1);
    histogram_record(&h, UINT64_MAX);
    CHECK_EQ(h.total, 2);
    CHECK_EQ(histogram_percentile(&h, 50), 1);
    CHECK_EQ(histogram_percentile(&h, 100), UINT64_MAX);
}

TEST(histograms_add_up)
{
    empty();
    for (uint64_t v = 1; v <= 500; v++)
        histogram_record(&h, v);
    for (uint64_t v = 501; v <= 1000; v++)
        histogram_record(&other, v);
    histogram_add(&h, &other);
    CHECK_EQ(h.total, 1000);
    CHECK_EQ(h.max, 1000);
    CHECK_EQ(histogram_percentile(&h, 50), 500);
    CHECK_EQ(histogram_percentile(&h, 75), 750);
}

CHECK_MAIN
