#include "window.h"

/* It shrinks by what is not given back. */
static uint64_t give_back(struct window *w)
{
    bool is_small = w->taken_bytes <= w->taken * WINDOW_SMALL_BYTES;
    uint64_t wanted = is_small ? WINDOW_MAX : WINDOW_FIRST;
    uint64_t kept = w->size - w->taken, more = 0;

    if (!w->is_elastic)
        return w->taken;
    if (wanted > kept)
        more = wanted - kept;
    w->size = kept + more;
    return more;
}

uint64_t window_take(struct window *w, size_t bytes)
{
    uint64_t more;

    w->taken_bytes += bytes;
    if (++w->taken * 2 < w->size)
        return 0;
    more = give_back(w);
    w->taken = w->taken_bytes = 0;
    return more;
}
