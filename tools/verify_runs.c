/* A ring of runs: some are the pool's, one at most is the judge's. */
#include "tools/verify_runs.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/verify.h"

/* A run is a millisecond or two of work, and small enough for a core's cache;
 * each core has one and finds another. */
enum { RUN_BYTES = 256 * 1024, RUNS_FOR_EACH = 2 };

struct run {
    struct pool_job job;
    struct reading reading;
    uint8_t *bytes; /* owned; what the reading is of */
    size_t cap;
    int result;
};

/* `under_way` runs behind `filling` are the pool's. */
struct runs {
    struct pool *pool; /* borrowed */
    size_t filling, under_way;
    bool more;  /* there may be another run */
    int failed; /* why not */
    /* of the segment at hand, and where the next run begins */
    int fd;
    const uint8_t *nonce;
    uint64_t bytes, offset, index;
    size_t count;
    struct run all[];
};

static void run_read(struct pool_job *job)
{
    struct run *run = (struct run *)job;

    run->result = reading_run(&run->reading);
}

struct runs *runs_new(struct pool *pool)
{
    size_t n = 1 + RUNS_FOR_EACH * (size_t)pool_width(pool);
    struct runs *a = calloc(1, sizeof *a + n * sizeof *a->all);

    if (!a)
        return NULL;
    a->pool = pool;
    a->count = n;
    for (size_t i = 0; i < n; i++)
        a->all[i].job.run = run_read;
    return a;
}

/* The oldest under way. */
static struct run *run_take(struct runs *a)
{
    struct run *run =
        &a->all[(a->filling + a->count - a->under_way) % a->count];

    pool_wait(a->pool, &run->job);
    a->under_way--;
    return run;
}

void runs_end(struct runs *a)
{
    while (a->under_way)
        run_take(a);
}

void runs_destroy(struct runs **self_p)
{
    struct runs *a = *self_p;

    if (!a)
        return;
    runs_end(a);
    for (size_t i = 0; i < a->count; i++) {
        reading_free(&a->all[i].reading);
        free(a->all[i].bytes);
    }
    free(a);
    *self_p = NULL;
}

void runs_begin(struct runs *a, int fd, uint64_t bytes, const uint8_t *nonce,
                uint64_t offset, uint64_t index)
{
    a->fd = fd;
    a->bytes = bytes;
    a->nonce = nonce;
    a->offset = offset;
    a->index = index;
    a->more = true;
    a->failed = 0;
}

static int run_room(struct run *run, size_t n)
{
    uint8_t *p;

    if (n <= run->cap)
        return 0;
    p = realloc(run->bytes, n);
    if (!p)
        return -ENOMEM;
    run->bytes = p;
    run->cap = n;
    return 0;
}

/* The group that begins at p, of which so many bytes are there. */
static bool group_begins(const struct runs *a, const uint8_t *p, size_t n,
                         struct group_header *g)
{
    return n >= GROUP_HEADER_BYTES &&
           !group_header_get(g, p, a->nonce, a->offset) &&
           g->first == a->index && group_bytes(g) <= a->bytes - a->offset;
}

/* It begins with a group that is larger than most: n bytes of it are there. */
static int run_enlarge(struct runs *a, struct run *run, size_t n, size_t bytes)
{
    int r = run_room(run, bytes);

    return r ? r
             : verify_file_get(a->fd, run->bytes + n, bytes - n, a->offset + n);
}

/* As many groups as there is room for, or none: where it ends, or where
 * something is wrong. */
static int run_fill(struct runs *a, struct run *run)
{
    uint64_t left = a->bytes - a->offset;
    size_t n = left < RUN_BYTES ? (size_t)left : RUN_BYTES, at = 0, bytes;
    struct group_header g;
    int r = run_room(run, RUN_BYTES);

    reading_clear(&run->reading);
    if (!r)
        r = verify_file_get(a->fd, run->bytes, n, a->offset);
    while (!r && at < n && group_begins(a, run->bytes + at, n - at, &g)) {
        bytes = (size_t)group_bytes(&g);
        if (at && bytes > n - at)
            break;
        if (bytes > n)
            r = run_enlarge(a, run, n, bytes);
        if (!r)
            r = reading_add(&run->reading, &g, run->bytes + at, a->offset);
        at += bytes;
        a->offset += bytes;
        a->index += g.count;
    }
    return r;
}

static void runs_read_ahead(struct runs *a)
{
    while (a->more && a->under_way + 1 < a->count) {
        struct run *run = &a->all[a->filling];

        a->failed = run_fill(a, run);
        a->more = !a->failed && run->reading.group_count != 0;
        if (a->more) {
            pool_give(a->pool, &run->job);
            a->filling = (a->filling + 1) % a->count;
            a->under_way++;
        }
    }
}

/* A failure comes in its turn, behind the runs that were read before it. */
int runs_next(struct runs *a, const struct reading **x)
{
    struct run *run;

    runs_read_ahead(a);
    *x = NULL;
    if (!a->under_way)
        return a->failed;
    run = run_take(a);
    *x = &run->reading;
    return run->result;
}
