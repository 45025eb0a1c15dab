/* Space is allocated before it is needed, so that a full disk is found while
 * nothing has been applied yet.
 *
 * fallocate alone leaves work for each sync (unwritten extents become written
 * ones, and the inode goes to the disk, too), so zeros can be written ahead as
 * well. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/failpoint.h"
#include "broker/base/file.h"
#include "broker/ledger/beside.h"
#include "broker/ledger/segment.h"
#include "proto/refusal.h"

enum {
    ZERO_STEP = 1 << 17,   /* the disk has done with it before a next sync */
    ZERO_MOST = 1 << 20,   /* at once, when so much is due */
    YOUNG_BYTES = 1 << 20, /* of the first segment; */
    GROWTH = 4,            /* each is at most so many times the one before */
};

/* A young ledger's segments are small: the first one is filled with zeros at
 * once, each other one while the one before is written to, so there is none
 * without. */
static uint64_t full_length(const struct ledger *l, uint64_t number)
{
    uint64_t n = YOUNG_BYTES;

    while (--number && n < l->segment_bytes)
        n *= GROWTH;
    return l->preallocate && n < l->segment_bytes ? n : l->segment_bytes;
}

static int zeros_write(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[65536];
    int r = 0;

    while (!r && from < to) {
        size_t n =
            to - from < sizeof zeros ? (size_t)(to - from) : sizeof zeros;

        r = file_pwrite_all(fd, zeros, n, from);
        from += n;
    }
    return r;
}

/* used: up to there the file holds what must stay. */
static int allocate(int fd, uint64_t used, uint64_t to)
{
    struct stat st;
    int r;

    do
        r = fallocate(fd, 0, 0, (off_t)to) ? -errno : 0;
    while (r == -EINTR);
    if (r != -EOPNOTSUPP)
        return r;
    if (fstat(fd, &st))
        return -errno;
    if ((uint64_t)st.st_size > used)
        used = (uint64_t)st.st_size;
    return zeros_write(fd, used, to);
}

/* Raise s->allocated to `to` at least. 0; CHOIR_READ_ONLY; negative. */
static int extend(struct ledger *l, struct space *s, uint64_t used, uint64_t to)
{
    int r;

    if (s->allocated >= to)
        return 0;
    r = seal_remove(l);
    if (r)
        return r;
    r = allocate(s->fd, used, to);
    if (file_no_room(r))
        return CHOIR_READ_ONLY;
    if (!r)
        s->allocated = to;
    return r;
}

void space_close(struct space *s)
{
    if (s->fd >= 0)
        close(s->fd);
    *s = (struct space){.fd = -1};
}

int spare_discard(struct ledger *l)
{
    char name[SEGMENT_NAME_BYTES], path[PATH_MAX];
    int r;

    r = zeroing_end(l, true);
    space_close(&l->spare);
    segment_name(l->count + 1, name);
    if (!r)
        r = path_join(path, l->dir, name);
    if (!r && unlink(path) && errno != ENOENT)
        r = -errno;
    return r;
}

/* Open the file with the next number, or make it. One that was left with a
 * half-written header is made anew. */
static int spare_open(struct ledger *l)
{
    uint64_t last = 0;
    int r = seal_remove(l);

    if (r)
        return r;
    l->spare.fd = segment_open(l->dir, l->count + 1, O_RDWR | O_CREAT);
    if (l->spare.fd < 0) {
        r = l->spare.fd;
        l->spare.fd = -1;
        return r;
    }
    r = zeros_from(l->spare.fd, 0, SEGMENT_HEADER_BYTES, &last);
    if (r && r != -ENODATA)
        return r;
    if (last) {
        r = spare_discard(l);
        return r ? r : spare_open(l);
    }
    return 0;
}

static int spare_make(struct ledger *l, uint64_t want)
{
    bool fresh = l->spare.fd < 0;
    int r = fresh ? spare_open(l) : 0;

    if (!r)
        r = extend(l, &l->spare, 0, want);
    if (r && file_no_room(r))
        r = CHOIR_READ_ONLY;
    if (!r && fresh)
        r = dir_sync(l->dir);
    if (r == CHOIR_READ_ONLY && l->spare.fd >= 0 && l->spare.allocated == 0) {
        int dropped = spare_discard(l); /* give back what it got hold of */

        return dropped ? dropped : r;
    }
    return r;
}

static int spare_ensure(struct ledger *l, uint64_t need)
{
    uint64_t want = SEGMENT_HEADER_BYTES + need;
    int r;

    if (want < full_length(l, l->count + 1))
        want = full_length(l, l->count + 1);
    if (l->spare.fd >= 0 && l->spare.allocated >= want)
        return 0;
    r = spare_make(l, want);
    if (r == CHOIR_READ_ONLY) /* not at once again, unless it is needed */
        l->spare_again = l->written.offset + l->segment_bytes / 16;
    if (!r)
        FAILPOINT("ledger.segment.created");
    return r;
}

int space_next(struct ledger *l)
{
    return spare_ensure(l, 0);
}

static uint64_t left_in(const struct ledger *l)
{
    return l->current.allocated > l->written.offset
               ? l->current.allocated - l->written.offset
               : 0;
}

bool space_fits(const struct ledger *l, uint64_t n)
{
    return n <= left_in(l) ||
           (l->spare.fd >= 0 && SEGMENT_HEADER_BYTES + n <= l->spare.allocated);
}

/* What the current segment's file has already, then its full length. */
static int current_extend(struct ledger *l, uint64_t n)
{
    uint64_t full = full_length(l, l->count), has;
    struct stat st;
    int r;

    if (fstat(l->current.fd, &st))
        return -errno;
    has = (uint64_t)st.st_size;
    r = extend(l, &l->current, l->written.offset, has);
    if (r || has >= full || l->written.offset + n > full)
        return r;
    r = extend(l, &l->current, l->written.offset, full);
    if (!r && l->preallocate && full - has <= YOUNG_BYTES)
        r = zeros_write(l->current.fd, has, full);
    return r;
}

/* --- Zeros ahead --------------------------------------------------------- */

static int zeros_job(void *ledger)
{
    const struct ledger *l = ledger;
    uint64_t from = l->zeroing.from, n = l->zeroing.to - from;
    int r = zeros_write(l->zeroing.fd, from, l->zeroing.to);

    if (!r) /* a hint to start now; that it may fail does not matter */
        sync_file_range(l->zeroing.fd, (off_t)from, (off_t)n,
                        SYNC_FILE_RANGE_WRITE);
    return r;
}

int zeroing_end(struct ledger *l, bool wait)
{
    int r = 0;

    if (l->zeroing.is_under_way)
        r = beside_end(l->zeroing.beside, wait);
    if (r == -EAGAIN)
        return r;
    l->zeroing.is_under_way = false;
    return r;
}

void zeroing_close(struct ledger *l)
{
    beside_close(&l->zeroing.beside);
    l->zeroing.is_under_way = false;
}

/* Up to where the next segment should hold zeros by now: evenly while this one
 * is filled from its half to seven eighths, since a sync waits for whatever
 * else the disk was given. */
static uint64_t zeros_due(const struct ledger *l)
{
    uint64_t half = l->current.allocated / 2, last = half / 4;
    uint64_t left = left_in(l), steps = l->spare.allocated / ZERO_STEP;

    if (left <= last)
        return l->spare.allocated;
    return left < half ? steps * (half - left) / (half - last) * ZERO_STEP : 0;
}

/* The next segment is written with zeros a little at a time: not this one,
 * whose syncs would then wait for the zeros, too. */
int spare_zero(struct ledger *l)
{
    struct space *s = &l->spare;
    int r = zeroing_end(l, false);
    uint64_t due;

    if (r || !l->preallocate || s->fd < 0)
        return r == -EAGAIN ? 0 : r;
    due = zeros_due(l);
    if (due <= s->zeroed)
        return 0;
    l->zeroing.fd = s->fd;
    l->zeroing.from = s->zeroed;
    l->zeroing.to = due < s->zeroed + ZERO_MOST ? due : s->zeroed + ZERO_MOST;
    s->zeroed = l->zeroing.to;
    if (!l->zeroing.beside)
        return zeros_job(l);
    l->zeroing.is_under_way = true;
    beside_begin(l->zeroing.beside, zeros_job, l);
    return 0;
}

int space_ensure(struct ledger *l, uint64_t n, uint64_t keep)
{
    uint64_t need = n + keep;
    int r = 0;

    if (left_in(l) < need && l->current.allocated < full_length(l, l->count))
        r = current_extend(l, n);
    if (r < 0)
        return r;
    if (left_in(l) < need || (left_in(l) < l->current.allocated / 2 &&
                              l->written.offset >= l->spare_again))
        r = spare_ensure(l, need);
    if (r < 0)
        return r;
    if (!l->zeroing.beside) {
        r = spare_zero(l);
        if (r)
            return r;
    }
    return space_fits(l, need) ? 0 : CHOIR_READ_ONLY;
}
