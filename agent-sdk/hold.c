#include "hold.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int hold_open(struct hold *h)
{
    *h = (struct hold){0};
    h->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return h->fd < 0 ? -errno : 0;
}

void hold_close(struct hold *h)
{
    if (h->fd >= 0)
        close(h->fd);
    h->fd = -1;
}

int64_t hold_clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void timer_set(struct hold *h, int64_t at_us)
{
    struct itimerspec at = {
        .it_value = {at_us / 1000000, at_us % 1000000 * 1000}};

    h->timed_us = at_us;
    timerfd_settime(h->fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static bool is_trusted(const struct hold *h)
{
    return h->kept >= HOLD_TRUSTED;
}

void hold_begin(struct hold *h, int64_t due_us)
{
    int64_t at_us;

    if (due_us - h->before_us > HOLD_CLOSE_US)
        h->kept = 0;
    h->due_us = h->before_us = due_us;
    at_us = is_trusted(h) ? due_us + HOLD_LATE_US : due_us;
    if (!h->timed_us || h->timed_us > at_us)
        timer_set(h, at_us);
}

void hold_end(struct hold *h)
{
    if (!h->due_us)
        return;
    h->due_us = 0;
    h->kept++;
    if (!is_trusted(h) && h->timed_us)
        timer_set(h, 0);
}

bool hold_look(struct hold *h)
{
    uint64_t count;

    if (read(h->fd, &count, sizeof count) != sizeof count)
        return false; /* it was set anew meanwhile */
    h->timed_us = 0;
    if (!h->due_us)
        return false;
    if (hold_clock_us() < h->due_us) {
        timer_set(h, h->due_us);
        return false;
    }
    h->due_us = 0;
    h->kept = 0;
    return true;
}
