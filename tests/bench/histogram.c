/* Latencies of a benchmark: counters whose width grows with the value. */
#include "tests/bench/histogram.h"

enum { HALF = 1 << HISTOGRAM_HALF_BITS };

static const uint64_t greatest = (1ULL << HISTOGRAM_VALUE_BITS) - 1;

/* How many low bits are dropped: none while HALF_BITS + 1 bits suffice. */
static unsigned shift_of(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);

    return bits > HISTOGRAM_HALF_BITS + 1 ? bits - HISTOGRAM_HALF_BITS - 1 : 0;
}

/* What is left lies in HALF..2*HALF-1, or in 0..2*HALF-1 if nothing was
 * dropped: so the ranges of successive shifts join without a gap. */
static unsigned index_of(uint64_t value)
{
    unsigned shift = shift_of(value);

    return shift * HALF + (unsigned)(value >> shift);
}

static uint64_t last_of(unsigned index)
{
    unsigned shift = index < 2 * HALF ? 0 : index / HALF - 1;

    return ((uint64_t)(index - shift * HALF + 1) << shift) - 1;
}

void histogram_record(struct histogram *h, uint64_t value)
{
    h->total++;
    if (value > h->max)
        h->max = value;
    h->counts[index_of(value > greatest ? greatest : value)]++;
}

void histogram_add(struct histogram *to, const struct histogram *from)
{
    to->total += from->total;
    if (from->max > to->max)
        to->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_COUNTERS; i++)
        to->counts[i] += from->counts[i];
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    /* Rounded up, but not because 99.9 has no exact double. */
    double rank = percent * (double)h->total / 100 + 0.999999;
    uint64_t wanted = rank < 1 ? 1 : (uint64_t)rank, seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_COUNTERS; i++) {
        seen += h->counts[i];
        if (seen >= wanted && last_of(i) < greatest)
            return last_of(i) < h->max ? last_of(i) : h->max;
    }
    return h->max;
}
