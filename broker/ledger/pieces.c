/* Small pieces of segments. A call of the kernel for each costs more than
 * checking what it reads, so segments that are read stay mapped: the pages are
 * the page cache's own, and as easily given back. Whatever cannot be had that
 * way is read from the file, which says why. */
#include <errno.h>

#include "broker/base/file.h"
#include "broker/ledger/segment.h"

void segment_unmap(struct ledger *l, uint64_t number)
{
    struct mapped *m = &l->segments[number - 1].mapped;

    l->mapped -= m->n != 0;
    mapped_close(m);
}

/* Address space is plenty, but the kernel counts mappings. */
static void unmap_some(struct ledger *l)
{
    while (l->mapped >= l->mapped_max)
        segment_unmap(l, ++l->mapped_hand % l->count + 1);
}

/* The last segment's file grows, mostly up to what a segment has. */
static int map_again(struct ledger *l, uint64_t number)
{
    int r, fd = segment_fd(l, number);

    if (fd < 0)
        return fd;
    segment_unmap(l, number);
    unmap_some(l);
    r = mapped_open(&l->segments[number - 1].mapped, fd,
                    number == l->count ? (size_t)l->segment_bytes : 0);
    l->mapped += r == 0;
    return r;
}

int segment_piece(struct ledger *l, uint64_t number, void *to, size_t n,
                  uint64_t at)
{
    const struct mapped *m = &l->segments[number - 1].mapped;
    int r = mapped_copy(m, to, n, at), fd;

    if (r == -ENODATA && map_again(l, number) == 0)
        r = mapped_copy(m, to, n, at);
    if (!r)
        return 0;
    fd = segment_fd(l, number);
    return fd < 0 ? fd : file_pread_all(fd, to, n, at);
}

void segment_piece_fetch(const struct ledger *l, uint64_t number, size_t n,
                         uint64_t at)
{
    mapped_fetch(&l->segments[number - 1].mapped, n, at);
}
