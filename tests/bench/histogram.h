/* A histogram of bounded relative error, after HdrHistogram: three significant
 * digits at any magnitude, in a fixed piece of memory that processes can share.
 *
 * Values are exact below 2048; above, each power of two has 1,024 counters, so
 * that a value is off by less than one part in 1,024. The greatest is 2^26 - 1
 * (67 seconds, if they are microseconds); what lies above counts as that.
 *
 * Threads: one writer. */
#ifndef CHOIR_TESTS_BENCH_HISTOGRAM_H
#define CHOIR_TESTS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_HALF_BITS = 10,
    HISTOGRAM_VALUE_BITS = 26,
    HISTOGRAM_COUNTERS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_HALF_BITS + 1)
                         << HISTOGRAM_HALF_BITS,
};

/* All zero: empty. */
struct histogram {
    uint64_t total; /* values recorded */
    uint64_t max;   /* the greatest of them, exact */
    uint64_t counts[HISTOGRAM_COUNTERS];
};

void histogram_record(struct histogram *h, uint64_t value);
void histogram_add(struct histogram *to, const struct histogram *from);
/* The value that `percent` of all are not above: the greatest that its counter
 * stands for, at most max; 0 if empty. percent: 0 to 100. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
