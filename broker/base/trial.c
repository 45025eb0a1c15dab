#include "trial.h"

#include <stdlib.h>

void trial_init(struct trial *t, unsigned ways, unsigned best)
{
    *t = (struct trial){.ways = ways, .best = best};
}

unsigned trial_way(const struct trial *t)
{
    return t->tried < t->ways * TRIAL_LOOKS ? t->tried / TRIAL_ROW % t->ways
                                            : t->best;
}

static int times_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t takes_us(uint64_t *took_us)
{
    uint64_t sum = 0;

    qsort(took_us, TRIAL_LOOKS, sizeof *took_us, times_compare);
    for (unsigned i = 0; i < TRIAL_COUNTED; i++)
        sum += took_us[i];
    return sum;
}

static void judge(struct trial *t)
{
    uint64_t us[TRIAL_WAYS] = {0};
    unsigned best = t->best;

    for (unsigned i = 0; i < t->ways; i++)
        us[i] = takes_us(t->took_us[i]);
    for (unsigned i = 0; i < t->ways; i++)
        if (us[i] < us[best])
            best = i;
    if (us[best] * 10 < us[t->best] * 9)
        t->best = best;
}

void trial_took(struct trial *t, uint64_t us)
{
    unsigned all = t->ways * TRIAL_LOOKS, row = t->tried / TRIAL_ROW;

    if (t->tried < all) {
        t->took_us[row % t->ways]
                  [row / t->ways * TRIAL_ROW + t->tried % TRIAL_ROW] = us;
        if (++t->tried == all)
            judge(t);
    } else if (++t->kept == TRIAL_KEPT) {
        t->tried = t->kept = 0;
    }
}
