/* How many events of a watch may be on their way or wait to be taken: what was
 * taken is given back to the broker when it is half of them. That takes a
 * signed ask, so while events are small there may be more of them. Pure. */
#ifndef CHOIR_SDK_WINDOW_H
#define CHOIR_SDK_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WINDOW_FIRST = 64, /* nothing is known of their size, or they are large */
    WINDOW_MAX = 256,
    WINDOW_SMALL_BYTES = 4096, /* on average: 1 MiB in all */
};

struct window {
    uint64_t size, taken;
    size_t taken_bytes;
    bool is_elastic; /* else it stays as the caller wanted it */
};

/* One of so many bytes was taken. Returns how many are to be given back now;
 * 0: none. */
uint64_t window_take(struct window *w, size_t bytes);

#endif
