/* From an entry's index to its group: sparse samples in memory, then a walk
 * over group headers. A segment's samples are made when it is first asked
 * for, so that opening a large ledger reads little. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/segment.h"
#include "proto/refusal.h"

int trouble_say(char trouble[LEDGER_TROUBLE_BYTES], int code,
                const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(trouble, LEDGER_TROUBLE_BYTES, format, args);
    va_end(args);
    return code;
}

void segment_name(uint64_t number, char name[SEGMENT_NAME_BYTES])
{
    snprintf(name, SEGMENT_NAME_BYTES, "segment-%010u", (unsigned)number);
}

uint64_t segment_number(const char *name)
{
    char again[SEGMENT_NAME_BYTES];
    unsigned long n;

    if (strncmp(name, "segment-", 8) != 0)
        return 0;
    n = strtoul(name + 8, NULL, 10);
    if (n > SEGMENTS_MAX)
        return 0;
    segment_name(n, again);
    return strcmp(name, again) == 0 ? n : 0;
}

int path_join(char path[PATH_MAX], const char *dir, const char *name)
{
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int segment_open(const char *dir, uint64_t number, int flags)
{
    char name[SEGMENT_NAME_BYTES], path[PATH_MAX];
    int r, fd;

    segment_name(number, name);
    r = path_join(path, dir, name);
    if (r)
        return r;
    fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

int window_get(struct window *w, uint64_t file, int fd, uint64_t at, size_t n,
               uint64_t limit, const uint8_t **p)
{
    size_t ahead = w->ahead ? w->ahead : WINDOW_BYTES;
    uint64_t want = n > ahead ? n : ahead;
    int r;

    if (at > limit || n > limit - at)
        return -ENODATA;
    if (w->file != file || at < w->at || at + n > w->at + w->b.n) {
        if (want > limit - at)
            want = limit - at;
        buf_clear(&w->b);
        w->file = file;
        w->at = at;
        if (!buf_grow(&w->b, (size_t)want)) {
            buf_clear(&w->b);
            return -ENOMEM;
        }
        r = file_pread_all(fd, w->b.p, (size_t)want, at);
        if (r) {
            buf_clear(&w->b);
            return r;
        }
    }
    *p = w->b.p + (at - w->at);
    return 0;
}

void window_free(struct window *w)
{
    buf_free(&w->b);
    w->file = w->at = 0;
}

int segment_add(struct ledger *l, const struct segment_header *h)
{
    struct segment *s;

    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        struct segment *p = realloc(l->segments, cap * sizeof *p);

        if (!p)
            return -ENOMEM;
        l->segments = p;
        l->cap = cap;
    }
    s = &l->segments[l->count++];
    *s = (struct segment){.first = h->first};
    memcpy(s->nonce, h->nonce, SEGMENT_NONCE_BYTES);
    return 0;
}

int sample_add(struct segment *s, uint64_t first, uint64_t offset)
{
    if (s->sample_count &&
        offset - s->samples[s->sample_count - 1].offset < SEGMENT_SAMPLE_BYTES)
        return 0;
    if (s->sample_count == s->sample_cap) {
        size_t cap = s->sample_cap ? 2 * s->sample_cap : 16;
        struct sample *p = realloc(s->samples, cap * sizeof *p);

        if (!p)
            return -ENOMEM;
        s->samples = p;
        s->sample_cap = cap;
    }
    s->samples[s->sample_count++] = (struct sample){first, offset};
    return 0;
}

uint64_t segment_end(const struct ledger *l, uint64_t number)
{
    return number == l->count ? l->written.offset : l->segments[number - 1].end;
}

int segment_fd(struct ledger *l, uint64_t number)
{
    size_t oldest = 0;
    int fd;

    if (number == l->count)
        return l->current.fd;
    for (size_t i = 0; i < SEGMENT_FDS; i++) {
        if (l->fds[i].number == number) {
            l->fds[i].used = ++l->clock;
            return l->fds[i].fd;
        }
        if (l->fds[i].used < l->fds[oldest].used)
            oldest = i;
    }
    fd = thinning_fd(l, number);
    if (fd >= 0)
        return fd;
    fd = segment_open(l->dir, number, O_RDONLY);
    if (fd < 0)
        return trouble_say(l->trouble, fd, "segment %u cannot be opened: %s",
                           (unsigned)number, strerror(-fd));
    if (l->fds[oldest].number)
        close(l->fds[oldest].fd);
    l->fds[oldest].number = number;
    l->fds[oldest].fd = fd;
    l->fds[oldest].used = ++l->clock;
    return fd;
}

void segment_replaced(struct ledger *l, uint64_t number, uint64_t end)
{
    struct segment *s = &l->segments[number - 1];

    for (size_t i = 0; i < SEGMENT_FDS; i++) {
        if (l->fds[i].number != number)
            continue;
        close(l->fds[i].fd);
        l->fds[i].number = 0;
    }
    segment_unmap(l, number);
    l->earlier_bytes -= s->end - end;
    s->end = end;
    s->sampled = false;
    s->sample_count = 0;
    window_free(&l->locating);
    entry_cache_forget(l->cache, number);
    l->generation++;
}

static int damaged(struct ledger *l, uint64_t number, uint64_t offset,
                   const char *why)
{
    return trouble_say(l->trouble, -EUCLEAN,
                       "damage in segment %u at byte %llu: %s",
                       (unsigned)number, (unsigned long long)offset, why);
}

static int header_at(struct ledger *l, struct window *w, uint64_t number,
                     uint64_t offset, struct group_header *g, const uint8_t **p)
{
    const struct segment *s = &l->segments[number - 1];
    uint64_t end = segment_end(l, number);
    int fd = segment_fd(l, number);
    int r;

    if (fd < 0)
        return fd;
    r = window_get(w, number, fd, offset, GROUP_HEADER_BYTES, end, p);
    if (r == -ENODATA)
        return damaged(l, number, offset, "ends in the middle of a group");
    if (r)
        return r;
    if (group_header_get(g, *p, s->nonce, offset))
        return damaged(l, number, offset, "no group where one must start");
    if (group_bytes(g) > end - offset)
        return damaged(l, number, offset, "ends in the middle of a group");
    return 0;
}

/* Header and what follows it, up to n bytes of the body. */
static int body_at(struct ledger *l, struct window *w, uint64_t number,
                   uint64_t offset, size_t n, const uint8_t **p)
{
    return window_get(w, number, segment_fd(l, number), offset,
                      GROUP_HEADER_BYTES + n, segment_end(l, number), p);
}

int group_load(struct ledger *l, struct window *w, uint64_t number,
               uint64_t offset, struct group_header *g, struct bytes *body)
{
    const uint8_t *p;
    size_t n;
    int r = header_at(l, w, number, offset, g, &p);

    if (r)
        return r;
    n = (size_t)(g->heads_bytes + group_stored(g));
    r = body_at(l, w, number, offset, n, &p);
    if (r)
        return r;
    *body = bytes_of(p + GROUP_HEADER_BYTES, n);
    if (group_check(g, p, *body))
        return damaged(l, number, offset, "a group does not fit its hashes");
    return 0;
}

int group_load_heads(struct ledger *l, struct window *w, uint64_t number,
                     uint64_t offset, struct group_header *g,
                     struct bytes *heads)
{
    const uint8_t *p;
    int r = header_at(l, w, number, offset, g, &p);

    if (!r)
        r = body_at(l, w, number, offset, (size_t)g->heads_bytes, &p);
    if (r)
        return r;
    *heads = bytes_of(p + GROUP_HEADER_BYTES, (size_t)g->heads_bytes);
    if (group_check_heads(g, p, *heads))
        return damaged(l, number, offset, "a group does not fit its hash");
    return 0;
}

static int samples_make(struct ledger *l, uint64_t number)
{
    struct segment *s = &l->segments[number - 1];
    uint64_t offset = SEGMENT_HEADER_BYTES, end = segment_end(l, number);
    struct group_header g;
    const uint8_t *p;
    int r = 0;

    s->sample_count = 0;
    while (!r && offset < end) {
        r = header_at(l, &l->locating, number, offset, &g, &p);
        if (!r)
            r = sample_add(s, g.first, offset);
        offset += r ? 0 : group_bytes(&g);
    }
    s->sampled = r == 0;
    return r;
}

static uint64_t segment_of(const struct ledger *l, uint64_t index)
{
    size_t low = 0, high = l->count;

    while (high - low > 1) {
        size_t mid = (low + high) / 2;

        if (l->segments[mid].first <= index)
            low = mid;
        else
            high = mid;
    }
    return low + 1;
}

static uint64_t sample_of(const struct segment *s, uint64_t index)
{
    size_t low = 0, high = s->sample_count;

    while (high - low > 1) {
        size_t mid = (low + high) / 2;

        if (s->samples[mid].first <= index)
            low = mid;
        else
            high = mid;
    }
    return s->samples[low].offset;
}

int locate(struct ledger *l, uint64_t index, uint64_t *number, uint64_t *offset,
           struct group_header *g)
{
    struct segment *s;
    const uint8_t *p;
    int r = 0;

    *number = segment_of(l, index);
    s = &l->segments[*number - 1];
    if (!s->sampled)
        r = samples_make(l, *number);
    if (r)
        return r;
    if (s->sample_count == 0)
        return damaged(l, *number, SEGMENT_HEADER_BYTES, "no group in it");
    for (*offset = sample_of(s, index);; *offset += group_bytes(g)) {
        r = header_at(l, &l->locating, *number, *offset, g, &p);
        if (r)
            return r;
        if (index < g->first)
            return damaged(l, *number, *offset, "an index is missing");
        if (index - g->first < g->count)
            return 0;
    }
}

/* Is what begins with that segment enough for one of the wishes? */
static int segment_suffices(struct ledger *l, uint64_t number, uint64_t bytes,
                            const struct ledger_keep *keep, bool *enough)
{
    uint64_t first = l->segments[number - 1].first;
    struct group_header g;
    const uint8_t *p;
    int r;

    *enough = (keep->entries && l->written.size - first >= keep->entries) ||
              (keep->bytes && bytes >= keep->bytes);
    if (*enough || !keep->since || first == l->written.size)
        return 0;
    r = header_at(l, &l->locating, number, SEGMENT_HEADER_BYTES, &g, &p);
    *enough = !r && g.time <= keep->since;
    return r;
}

int ledger_surplus(struct ledger *l, const struct ledger_keep *keep,
                   uint64_t *upto)
{
    uint64_t bytes = 0;
    bool enough = false;
    int r = 0;

    *upto = 0;
    for (uint64_t n = l->count; !r && n > 1 && !enough; n--) {
        bytes += segment_end(l, n);
        r = segment_suffices(l, n, bytes, keep, &enough);
        if (enough)
            *upto = l->segments[n - 1].first;
    }
    return r;
}
