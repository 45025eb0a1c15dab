/* Header, then links of 32 bytes in order. Each has a checksum that knows its
 * place, so that whatever is read is what was written there. */
#include "broker/ledger/links_run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/segment.h"

enum {
    HEADER_BYTES = 128,
    HEADER_CHECKED = 96, /* magic, ledger, first, end, count, leaf */
    LINK_BYTES = 32,
    BLOCK = 128, /* links read at once */
    BATCH = 2048,
};

static const char magic[8] = "CHLINK1";

int link_compare(const void *a, const void *b)
{
    const struct link *x = a, *y = b;

    if (x->to != y->to)
        return x->to < y->to ? -1 : 1;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* --- Bytes ------------------------------------------------------------------ */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static void link_put(uint8_t *p, uint64_t at, const struct link *link)
{
    uint64_t more = link->value << 8 | link->kind;

    put_u64(p, link->to);
    put_u64(p + 8, link->from);
    put_u64(p + 16, more);
    put_u64(p + 24, mix(mix(mix(mix(1, at), link->to), link->from), more));
}

static bool link_get(const uint8_t *p, uint64_t at, struct link *link)
{
    uint64_t more = get_u64(p + 16);

    link->to = get_u64(p);
    link->from = get_u64(p + 8);
    link->value = more >> 8;
    link->kind = (unsigned)(more & 0xff);
    return get_u64(p + 24) ==
           mix(mix(mix(mix(1, at), link->to), link->from), more);
}

/* n links from number `at` on. */
static int links_read(const struct run *run, uint64_t at, size_t n,
                      struct link *out)
{
    uint8_t bytes[BLOCK * LINK_BYTES];

    while (n) {
        size_t some = n < BLOCK ? n : BLOCK;
        int r = file_pread_all(run->fd, bytes, some * LINK_BYTES,
                               HEADER_BYTES + at * LINK_BYTES);

        if (r)
            return r == -ENODATA ? -EUCLEAN : r;
        for (size_t i = 0; i < some; i++) {
            if (!link_get(bytes + i * LINK_BYTES, at + i, out++))
                return -EUCLEAN;
        }
        at += some;
        n -= some;
    }
    return 0;
}

static void header_put(uint8_t h[HEADER_BYTES], const struct run *run,
                       const struct hash *ledger)
{
    struct hash sum;

    memcpy(h, magic, 8);
    memcpy(h + 8, ledger->b, HASH_BYTES);
    put_u64(h + 40, run->first);
    put_u64(h + 48, run->end);
    put_u64(h + 56, run->count);
    memcpy(h + 64, run->leaf.b, HASH_BYTES);
    sum = hash_of(HASH_SUM, bytes_of(h, HEADER_CHECKED));
    memcpy(h + HEADER_CHECKED, sum.b, HASH_BYTES);
}

static int header_get(const uint8_t h[HEADER_BYTES], struct run *run,
                      const struct hash *ledger)
{
    uint8_t again[HEADER_BYTES];

    run->first = get_u64(h + 40);
    run->end = get_u64(h + 48);
    run->count = get_u64(h + 56);
    memcpy(run->leaf.b, h + 64, HASH_BYTES);
    header_put(again, run, ledger);
    return memcmp(again, h, HEADER_BYTES) ? -EUCLEAN : 0;
}

/* --- Opening ---------------------------------------------------------------- */

void run_name(const struct run *run, char name[RUN_NAME_BYTES])
{
    snprintf(name, RUN_NAME_BYTES, "links-%llu-%llu",
             (unsigned long long)run->first, (unsigned long long)run->end);
}

/* Where to begin looking: a sample of it all, in memory. */
static int fences_make(struct run *run)
{
    int r = 0;

    run->step = run->count / RUN_FENCES + 1;
    run->fences =
        calloc((size_t)(run->count / run->step) + 1, sizeof *run->fences);
    if (!run->fences)
        return -ENOMEM;
    for (uint64_t at = 0; !r && at < run->count; at += run->step) {
        struct link link;

        r = links_read(run, at, 1, &link);
        if (!r)
            run->fences[run->fence_count++] =
                (struct fence){link.to, link.from};
    }
    return r;
}

int run_open(struct run *run, const char *dir, const char *name,
             const struct hash *ledger)
{
    uint8_t header[HEADER_BYTES];
    char path[PATH_MAX];
    int r = path_join(path, dir, name);

    *run = (struct run){.fd = -1};
    if (r)
        return r;
    run->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (run->fd < 0)
        return -errno;
    r = file_pread_all(run->fd, header, sizeof header, 0);
    if (!r)
        r = header_get(header, run, ledger);
    if (!r)
        r = fences_make(run);
    if (r)
        run_close(run);
    return r == -ENODATA ? -EUCLEAN : r;
}

void run_close(struct run *run)
{
    if (run->fd >= 0)
        close(run->fd);
    free(run->fences);
    run->fd = -1;
    run->fences = NULL;
    run->fence_count = 0;
}

int run_remove(const struct run *run, const char *dir)
{
    char name[RUN_NAME_BYTES], path[PATH_MAX];
    int r;

    run_name(run, name);
    r = path_join(path, dir, name);
    return r ? r : unlink(path) && errno != ENOENT ? -errno : 0;
}

/* --- Writing ---------------------------------------------------------------- */

/* One of what is merged: a run, read in batches, or the tail. */
struct source {
    const struct run *run; /* NULL: the tail */
    const struct link *next, *end;
    uint64_t at; /* of the run, behind what was read */
    struct link *batch;
};

static int source_fill(struct source *s)
{
    uint64_t n;
    int r;

    if (s->next < s->end || !s->run)
        return 0;
    n = s->run->count - s->at;
    if (n > BATCH)
        n = BATCH;
    r = links_read(s->run, s->at, (size_t)n, s->batch);
    s->next = s->batch;
    s->end = s->batch + n;
    s->at += n;
    return r;
}

static struct source *source_least(struct source *s, size_t n)
{
    struct source *least = NULL;

    for (size_t i = 0; i < n; i++) {
        if (s[i].next < s[i].end &&
            (!least || link_compare(s[i].next, least->next) < 0))
            least = &s[i];
    }
    return least;
}

static int merge_into(int fd, struct source *sources, size_t n)
{
    uint8_t *bytes = malloc(BATCH * LINK_BYTES);
    uint64_t at = 0;
    size_t kept = 0;
    int r = bytes ? 0 : -ENOMEM;

    for (size_t i = 0; !r && i < n; i++)
        r = source_fill(&sources[i]);
    while (!r) {
        struct source *s = source_least(sources, n);

        if (s)
            link_put(bytes + kept++ * LINK_BYTES, at++, s->next++);
        if (kept && (!s || kept == BATCH)) {
            r = file_write_all(fd, bytes, kept * LINK_BYTES);
            kept = 0;
        }
        if (!s)
            break;
        if (!r)
            r = source_fill(s);
    }
    free(bytes);
    return r;
}

static int sources_make(struct source *sources, const struct run *runs,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sources[i].run = &runs[i];
        sources[i].batch = malloc(BATCH * sizeof *sources[i].batch);
        if (!sources[i].batch)
            return -ENOMEM;
    }
    return 0;
}

static int run_write(struct run *out, const char *path,
                     const struct hash *ledger, struct source *sources,
                     size_t n)
{
    struct file_atomic *file;
    uint8_t header[HEADER_BYTES];
    int r = file_atomic_open(path, 0600, &file);

    if (r)
        return r;
    header_put(header, out, ledger);
    r = file_write_all(file_atomic_fd(file), header, sizeof header);
    if (!r)
        r = merge_into(file_atomic_fd(file), sources, n);
    if (r)
        file_atomic_abort(&file);
    return r ? r : file_atomic_commit(&file);
}

int run_merge(struct run *out, const char *dir, const struct hash *ledger,
              const struct run *runs, size_t n, const struct link *tail,
              size_t tail_count)
{
    struct source *sources = calloc(n + 1, sizeof *sources);
    char name[RUN_NAME_BYTES], path[PATH_MAX];
    int r = sources ? sources_make(sources, runs, n) : -ENOMEM;

    out->count = tail_count;
    for (size_t i = 0; i < n; i++)
        out->count += runs[i].count;
    run_name(out, name);
    if (!r)
        r = path_join(path, dir, name);
    if (!r) {
        sources[n].next = tail;
        sources[n].end = tail + tail_count;
        r = run_write(out, path, ledger, sources, n + 1);
    }
    for (size_t i = 0; sources && i < n; i++)
        free(sources[i].batch);
    free(sources);
    return r ? r : run_open(out, dir, name, ledger);
}

/* --- Looking ---------------------------------------------------------------- */

static bool is_before(uint64_t to, uint64_t from, uint64_t want, uint64_t after)
{
    return to < want || (to == want && from <= after);
}

/* The last fence before what is wanted: it begins behind there. */
static uint64_t fence_before(const struct run *run, uint64_t to, uint64_t after)
{
    size_t low = 0, high = run->fence_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (is_before(run->fences[middle].to, run->fences[middle].from, to,
                      after))
            low = middle + 1;
        else
            high = middle;
    }
    return low ? (low - 1) * run->step : 0;
}

/* The first link of the step that is not before it, or the step's end. */
static int step_search(const struct run *run, uint64_t to, uint64_t after,
                       uint64_t *at)
{
    uint64_t low = *at, high = low + run->step;

    if (high > run->count)
        high = run->count;
    while (high - low > BLOCK) {
        uint64_t middle = low + (high - low) / 2;
        struct link link;
        int r = links_read(run, middle, 1, &link);

        if (r)
            return r;
        if (is_before(link.to, link.from, to, after))
            low = middle + 1;
        else
            high = middle;
    }
    *at = low;
    return 0;
}

int run_find(const struct run *run, uint64_t to, uint64_t after,
             struct link *out, int max)
{
    struct link block[BLOCK];
    uint64_t at = fence_before(run, to, after);
    int n = 0, r = step_search(run, to, after, &at);
    size_t want = 16; /* few have many */

    while (!r && n < max && at < run->count) {
        size_t some = run->count - at < want ? (size_t)(run->count - at) : want;

        r = links_read(run, at, some, block);
        for (size_t i = 0; !r && i < some && n < max; i++) {
            if (block[i].to > to)
                return n;
            if (!is_before(block[i].to, block[i].from, to, after))
                out[n++] = block[i];
        }
        at += some;
        want = BLOCK;
    }
    return r ? r : n;
}
