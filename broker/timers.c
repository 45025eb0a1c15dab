/* A heap by due time; each timer knows its place, so clearing is cheap. */
#include "timers.h"

#include <errno.h>
#include <stdlib.h>

static void put_at(struct timers *t, size_t place, struct timer *timer)
{
    t->heap[place - 1] = timer;
    timer->place = place;
}

static void rise(struct timers *t, struct timer *timer)
{
    size_t at = timer->place;

    while (at > 1 && t->heap[at / 2 - 1]->due_us > timer->due_us) {
        put_at(t, at, t->heap[at / 2 - 1]);
        at /= 2;
    }
    put_at(t, at, timer);
}

static void sink(struct timers *t, struct timer *timer)
{
    size_t at = timer->place, child;

    while ((child = 2 * at) <= t->count) {
        if (child < t->count &&
            t->heap[child]->due_us < t->heap[child - 1]->due_us)
            child++;
        if (t->heap[child - 1]->due_us >= timer->due_us)
            break;
        put_at(t, at, t->heap[child - 1]);
        at = child;
    }
    put_at(t, at, timer);
}

int timer_set(struct timers *t, struct timer *timer, uint64_t due_us)
{
    timer->due_us = due_us;
    if (!timer->place) {
        if (t->count == t->cap) {
            size_t cap = t->cap ? 2 * t->cap : 64;
            struct timer **heap = realloc(t->heap, cap * sizeof *heap);

            if (!heap)
                return -ENOMEM;
            t->heap = heap;
            t->cap = cap;
        }
        put_at(t, ++t->count, timer);
    }
    rise(t, timer);
    sink(t, timer);
    return 0;
}

void timer_clear(struct timers *t, struct timer *timer)
{
    struct timer *last;
    size_t place = timer->place;

    if (!place)
        return;
    timer->place = 0;
    last = t->heap[--t->count];
    if (last == timer)
        return;
    put_at(t, place, last);
    rise(t, last);
    sink(t, last);
}

struct timer *timers_take(struct timers *t, uint64_t now)
{
    struct timer *first = t->count ? t->heap[0] : NULL;

    if (!first || first->due_us > now)
        return NULL;
    timer_clear(t, first);
    return first;
}

uint64_t timers_next(const struct timers *t)
{
    return t->count ? t->heap[0]->due_us : UINT64_MAX;
}

void timers_free(struct timers *t)
{
    free(t->heap);
    *t = (struct timers){0};
}
