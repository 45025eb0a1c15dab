#include "trial.h"

#include <stdbool.h>
#include <stdlib.h>

void trial_init(struct trial *t, unsigned ways)
{
    *t = (struct trial){.ways = ways};
}

unsigned trial_way(const struct trial *t)
{
    return t->tried < t->ways ? t->tried : t->best;
}

static int times_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void judge(struct trial *t)
{
    unsigned best = t->best;

    for (unsigned i = 0; i < t->ways; i++)
        if (t->sum_us[i] < t->sum_us[best])
            best = i;
    if (t->sum_us[best] * 20 < t->sum_us[t->best] * 19)
        t->best = best;
}

void trial_took(struct trial *t, uint64_t us)
{
    bool is_tried = t->tried < t->ways;

    if (is_tried)
        t->took_us[t->count] = us;
    if (++t->count < (is_tried ? TRIAL_LOOKS : TRIAL_KEPT))
        return;
    t->count = 0;
    if (!is_tried) {
        t->tried = 0;
        return;
    }
    qsort(t->took_us, TRIAL_LOOKS, sizeof *t->took_us, times_compare);
    t->sum_us[t->tried] = 0;
    for (unsigned i = 0; i < TRIAL_COUNTED; i++)
        t->sum_us[t->tried] += t->took_us[i];
    t->tried++;
    if (t->tried == t->ways)
        judge(t);
}
