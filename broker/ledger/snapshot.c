/* Header, then blocks whose sums are chained, so that none can be missing,
 * moved or from another file; layout in docs/ledger-format.md. */
#include "broker/ledger/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/failpoint.h"
#include "broker/base/file.h"
#include "proto/refusal.h"

enum {
    FORMAT = 1,
    HEADER_BYTES = 2296,
    HEADER_SUMMED = HEADER_BYTES - 16,
    EDGE_AT = 136,
    EDGES = 64,
    BLOCK_HEAD_BYTES = 32,
    BLOCK_SUMMED = 16,
    SUM_BYTES = 16,
    BLOCK_FULL = 1 << 18, /* a block is written once it has that much */
    BLOCK_MAX = SNAPSHOT_RECORD_MAX + (1 << 20),
};

static const char magic[9] = "CHOIRSNP";

struct snapshot_writer {
    struct file_atomic *file; /* owned */
    struct buf block;         /* its head and its data so far */
    uint32_t records;         /* in the block */
    uint64_t all;
    uint8_t sum[SUM_BYTES]; /* the last one written */
    int failed;
};

struct snapshot_reader {
    int fd;
    uint64_t left, all; /* bytes not yet read; records given out */
    uint8_t sum[SUM_BYTES];
    struct buf block;
    struct cursor c;
    uint32_t records;
    bool ended;
    char *trouble; /* borrowed */
    char path[PATH_MAX];
};

static int snapshot_path(char path[PATH_MAX], const char *dir)
{
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, SNAPSHOT_NAME);

    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static void sum_of(uint8_t out[SUM_BYTES], const uint8_t before[SUM_BYTES],
                   struct bytes head, struct bytes data)
{
    struct bytes chain = bytes_of(before, before ? SUM_BYTES : 0);
    struct hash h = hash_parts(HASH_SUM, chain, head, data);

    memcpy(out, h.b, SUM_BYTES);
}

/* --- Writing ------------------------------------------------------------- */

static void facts_put(uint8_t out[HEADER_BYTES], const struct snapshot_facts *f)
{
    memset(out, 0, HEADER_BYTES);
    memcpy(out, magic, 8);
    put_u32(out + 8, FORMAT);
    put_u32(out + 12, f->tree.depth);
    memcpy(out + 16, f->ledger.b, HASH_BYTES);
    put_u64(out + 48, f->epoch);
    put_u64(out + 56, f->size);
    put_u64(out + 64, f->time);
    memcpy(out + 72, f->group.b, HASH_BYTES);
    memcpy(out + 104, f->digest.b, HASH_BYTES);
    for (unsigned i = 0; i < f->tree.depth && i < EDGES; i++)
        memcpy(out + EDGE_AT + i * HASH_BYTES, f->tree.edge[i].b, HASH_BYTES);
    sum_of(out + HEADER_SUMMED, NULL, bytes_of(out, HEADER_SUMMED),
           (struct bytes){0});
}

static void block_begin(struct snapshot_writer *w)
{
    buf_clear(&w->block);
    if (buf_grow(&w->block, BLOCK_HEAD_BYTES))
        memset(w->block.p, 0, BLOCK_HEAD_BYTES);
    w->records = 0;
}

static int block_write(struct snapshot_writer *w)
{
    uint8_t *p = w->block.p;
    size_t n = w->block.n - BLOCK_HEAD_BYTES;
    int r;

    put_u32(p, (uint32_t)n);
    put_u32(p + 4, w->records);
    put_u64(p + 8, w->all);
    sum_of(p + BLOCK_SUMMED, w->sum, bytes_of(p, BLOCK_SUMMED),
           bytes_of(p + BLOCK_HEAD_BYTES, n));
    memcpy(w->sum, p + BLOCK_SUMMED, SUM_BYTES);
    r = file_write_all(file_atomic_fd(w->file), p, w->block.n);
    block_begin(w);
    return r ? r : w->block.failed ? -ENOMEM : 0;
}

int snapshot_begin(struct snapshot_writer **out, const char *dir,
                   const struct snapshot_facts *facts)
{
    struct snapshot_writer *w = calloc(1, sizeof *w);
    uint8_t header[HEADER_BYTES];
    char path[PATH_MAX];
    int r = w ? snapshot_path(path, dir) : -ENOMEM;

    if (!r)
        r = file_atomic_open(path, 0600, &w->file);
    if (!r) {
        facts_put(header, facts);
        memcpy(w->sum, header + HEADER_SUMMED, SUM_BYTES);
        r = file_write_all(file_atomic_fd(w->file), header, sizeof header);
    }
    if (r) {
        snapshot_abort(&w);
        return r;
    }
    block_begin(w);
    *out = w;
    return 0;
}

int snapshot_put(struct snapshot_writer *w, struct bytes record)
{
    if (w->failed)
        return w->failed;
    if (record.n > SNAPSHOT_RECORD_MAX)
        return -EFBIG;
    buf_put_u32(&w->block, (uint32_t)record.n);
    buf_put(&w->block, record.p, record.n);
    w->records++;
    w->all++;
    if (w->block.failed)
        w->failed = -ENOMEM;
    else if (w->block.n >= BLOCK_FULL)
        w->failed = block_write(w);
    return w->failed;
}

int snapshot_commit(struct snapshot_writer **w_p)
{
    struct snapshot_writer *w = *w_p;
    int r = w->failed ? w->failed : w->block.failed ? -ENOMEM : 0;

    if (!r && w->records)
        r = block_write(w);
    FAILPOINT("snapshot.half");
    if (!r)
        r = block_write(w); /* the last one, empty */
    if (!r) {
        FAILPOINT("snapshot.renamed.before");
        r = file_atomic_commit(&w->file);
        FAILPOINT("snapshot.renamed.after");
    }
    snapshot_abort(w_p);
    return r;
}

void snapshot_abort(struct snapshot_writer **w_p)
{
    if (!w_p || !*w_p)
        return;
    file_atomic_abort(&(*w_p)->file);
    buf_free(&(*w_p)->block);
    free(*w_p);
    *w_p = NULL;
}

/* --- Reading ------------------------------------------------------------- */

static int unusable(struct snapshot_reader *s, int code, const char *format,
                    ...) __attribute__((format(printf, 3, 4)));

static int unusable(struct snapshot_reader *s, int code, const char *format,
                    ...)
{
    char why[160];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    snprintf(s->trouble, LEDGER_TROUBLE_BYTES,
             "the state checkpoint %.260s %s; delete it, the state is then "
             "replayed from the record",
             s->path, why);
    return code;
}

static int facts_get(struct snapshot_facts *f, const uint8_t *in)
{
    *f = (struct snapshot_facts){.epoch = get_u64(in + 48),
                                 .size = get_u64(in + 56),
                                 .time = get_u64(in + 64)};
    memcpy(f->ledger.b, in + 16, HASH_BYTES);
    memcpy(f->group.b, in + 72, HASH_BYTES);
    memcpy(f->digest.b, in + 104, HASH_BYTES);
    f->tree.size = f->size;
    f->tree.depth = get_u32(in + 12);
    /* one full subtree for each one bit of the size */
    if (f->tree.depth != (unsigned)__builtin_popcountll(f->size))
        return CHOIR_MALFORMED;
    for (unsigned i = 0; i < f->tree.depth; i++)
        memcpy(f->tree.edge[i].b, in + EDGE_AT + i * HASH_BYTES, HASH_BYTES);
    return 0;
}

static int take(struct snapshot_reader *s, void *to, size_t n)
{
    uint8_t *at = to;

    if (n > s->left)
        return unusable(s, -EUCLEAN, "ends too early");
    s->left -= n;
    while (n) {
        ssize_t k = read(s->fd, at, n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return unusable(s, k ? -errno : -EUCLEAN, "cannot be read");
        at += k;
        n -= (size_t)k;
    }
    return 0;
}

static int header_take(struct snapshot_reader *s, struct snapshot_facts *facts)
{
    uint8_t in[HEADER_BYTES];
    struct stat st;
    int r;

    if (fstat(s->fd, &st))
        return unusable(s, -errno, "cannot be read");
    if (!S_ISREG(st.st_mode))
        return unusable(s, -EUCLEAN, "is not a file");
    s->left = (uint64_t)st.st_size;
    r = take(s, in, sizeof in);
    if (r)
        return r;
    sum_of(s->sum, NULL, bytes_of(in, HEADER_SUMMED), (struct bytes){0});
    if (memcmp(in, magic, 8) != 0 ||
        memcmp(s->sum, in + HEADER_SUMMED, SUM_BYTES) != 0)
        return unusable(s, -EUCLEAN, "is damaged at byte 0");
    if (get_u32(in + 8) != FORMAT)
        return unusable(s, CHOIR_UNSUPPORTED,
                        "has format %u, this release reads format %u",
                        (unsigned)get_u32(in + 8), (unsigned)FORMAT);
    if (facts_get(facts, in))
        return unusable(s, -EUCLEAN, "contradicts itself");
    return 0;
}

int snapshot_open(struct snapshot_reader **out, const char *dir,
                  struct snapshot_facts *facts,
                  char trouble[LEDGER_TROUBLE_BYTES])
{
    struct snapshot_reader *s = calloc(1, sizeof *s);
    int r;

    trouble[0] = '\0';
    if (!s)
        return -ENOMEM;
    s->trouble = trouble;
    r = snapshot_path(s->path, dir);
    s->fd = r ? -1 : open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (!r && s->fd < 0 && errno == ENOENT)
        r = CHOIR_NOT_FOUND;
    else if (!r && s->fd < 0)
        r = unusable(s, -errno, "cannot be opened");
    if (!r)
        r = header_take(s, facts);
    if (r)
        snapshot_close(&s);
    else
        *out = s;
    return r;
}

static int block_take(struct snapshot_reader *s)
{
    uint64_t start = s->left;
    uint8_t head[BLOCK_HEAD_BYTES], *data;
    uint32_t n;
    int r = take(s, head, sizeof head);

    if (r)
        return r;
    n = get_u32(head);
    if (n > BLOCK_MAX || n > s->left)
        return unusable(s, -EUCLEAN, "is damaged, %llu bytes from its end",
                        (unsigned long long)start);
    buf_clear(&s->block);
    data = buf_grow(&s->block, n + 1u); /* never nothing */
    r = data ? take(s, data, n) : -ENOMEM;
    if (r)
        return r;
    sum_of(s->sum, s->sum, bytes_of(head, BLOCK_SUMMED), bytes_of(data, n));
    if (memcmp(s->sum, head + BLOCK_SUMMED, SUM_BYTES) != 0)
        return unusable(s, -EUCLEAN, "is damaged, %llu bytes from its end",
                        (unsigned long long)start);
    s->records = get_u32(head + 4);
    s->c = cursor_of(bytes_of(data, n));
    if (s->all + s->records != get_u64(head + 8) ||
        (s->records == 0) != (n == 0))
        return unusable(s, -EUCLEAN, "contradicts itself");
    s->ended = s->records == 0;
    if (s->ended && s->left)
        return unusable(s, -EUCLEAN, "goes on behind its end");
    return 0;
}

int snapshot_next(struct snapshot_reader *s, struct bytes *record)
{
    int r;

    if (!s->ended && s->records == 0) {
        if (s->c.failed || cursor_left(&s->c))
            return unusable(s, -EUCLEAN, "contradicts itself");
        r = block_take(s);
        if (r)
            return r;
    }
    if (s->ended)
        return CHOIR_NOT_FOUND;
    *record = cursor_take(&s->c, cursor_u32(&s->c));
    if (s->c.failed)
        return unusable(s, -EUCLEAN, "contradicts itself");
    s->records--;
    s->all++;
    return 0;
}

void snapshot_close(struct snapshot_reader **s_p)
{
    if (!s_p || !*s_p)
        return;
    if ((*s_p)->fd >= 0)
        close((*s_p)->fd);
    buf_free(&(*s_p)->block);
    free(*s_p);
    *s_p = NULL;
}
