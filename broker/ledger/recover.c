/* Opening: what is in the directory, does it fit together, where does it end?
 * The rules are those of docs/ledger-format.md. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/segment.h"
#include "proto/refusal.h"

/* --- One segment --------------------------------------------------------- */

static int wrong(struct scan *s, const char *why)
{
    snprintf(s->why, sizeof s->why, "%s", why);
    return CHOIR_MALFORMED;
}

static int follows(struct scan *s, const struct group_header *g)
{
    if (g->first != s->at.size)
        return wrong(s, "a group has another index than the one that is due");
    if (!hash_equal(&g->prev, &s->at.group))
        return wrong(s, "a group does not follow from the one before");
    if (g->epoch < s->at.epoch || g->time < s->at.time)
        return wrong(s, "time or epoch goes back");
    if (g->count == 0 || g->bundles == 0 || g->synced > g->first)
        return wrong(s, "a group's counts do not make sense");
    return 0;
}

static bool padding_zero(const uint8_t *p, size_t from, size_t to)
{
    while (from < to)
        if (p[from++])
            return false;
    return true;
}

int scan_next(struct scan *s)
{
    uint64_t left = s->length - s->at.offset, n;
    struct group_header *g = &s->group;
    const uint8_t *p;
    size_t body;
    int r;

    if (left == 0)
        return CHOIR_NOT_FOUND;
    if (left < GROUP_HEADER_BYTES)
        return wrong(s, "ends in the middle of a group");
    r = window_get(&s->window, 0, s->fd, s->at.offset, GROUP_HEADER_BYTES,
                   s->length, &p);
    if (r)
        return r;
    if (group_header_get(g, p, s->header.nonce, s->at.offset))
        return wrong(s, "no group where one must start");
    n = group_bytes(g);
    if (n > left)
        return wrong(s, "ends in the middle of a group");
    r = window_get(&s->window, 0, s->fd, s->at.offset, (size_t)n, s->length,
                   &p);
    if (r)
        return r;
    body = (size_t)(g->heads_bytes + group_stored(g));
    r = group_check(g, p, bytes_of(p + GROUP_HEADER_BYTES, body));
    if (r) {
        wrong(s, r == CHOIR_UNSUPPORTED
                     ? "what this release does not understand was written there"
                     : "a group does not fit its hashes");
        return r;
    }
    if (!padding_zero(p, GROUP_HEADER_BYTES + body, (size_t)n))
        return wrong(s, "padding is not zero");
    if (follows(s, g))
        return CHOIR_MALFORMED;
    s->before = s->at;
    s->at.offset += n;
    s->at.size += g->count;
    s->at.epoch = g->epoch;
    s->at.time = g->time;
    s->at.group = g->hash;
    return 0;
}

static int damage_at(struct ledger *l, const struct mark *at, const char *why)
{
    return trouble_say(l->trouble, -EUCLEAN,
                       "damage in segment %u at byte %llu, at entry %llu: %s",
                       (unsigned)at->segment, (unsigned long long)at->offset,
                       (unsigned long long)at->size, why);
}

/* --- What is there ------------------------------------------------------- */

static int numbers_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static int numbers_put(uint64_t **numbers, size_t *count, uint64_t n)
{
    if ((*count & (*count + 1)) == 0) {
        uint64_t *p = realloc(*numbers, (2 * *count + 2) * sizeof *p);

        if (!p)
            return -ENOMEM;
        *numbers = p;
    }
    (*numbers)[(*count)++] = n;
    return 0;
}

/* How many segment files: 1..*count, without a gap. */
static int files_count(struct ledger *l, uint64_t *count)
{
    DIR *dir = opendir(l->dir);
    uint64_t *numbers = NULL;
    struct dirent *e;
    size_t n = 0;
    int r = 0;

    if (!dir)
        return trouble_say(l->trouble, -errno, "%s: %s", l->dir,
                           strerror(errno));
    while (!r && (e = readdir(dir)))
        if (segment_number(e->d_name))
            r = numbers_put(&numbers, &n, segment_number(e->d_name));
    closedir(dir);
    if (n)
        qsort(numbers, n, sizeof *numbers, numbers_compare);
    for (size_t i = 0; !r && i < n; i++)
        if (numbers[i] != i + 1)
            r = trouble_say(l->trouble, -EUCLEAN,
                            "damage: segment %zu of %llu is missing", i + 1,
                            (unsigned long long)numbers[n - 1]);
    free(numbers);
    *count = n;
    return r;
}

enum { HEADER_BLANK = 1 }; /* a file that no segment was begun in */

static int header_damaged(struct ledger *l, uint64_t number, const char *why)
{
    return trouble_say(l->trouble, -EUCLEAN,
                       "damage in the header of segment %u: %s",
                       (unsigned)number, why);
}

/* strict: a header that was begun and not finished is damage, too. */
static int header_read(struct ledger *l, int fd, uint64_t number, bool strict,
                       struct segment_header *h, uint64_t *length)
{
    uint8_t raw[SEGMENT_HEADER_BYTES] = {0};
    uint64_t from = strict ? 0 : SEGMENT_HEADER_BYTES, last;
    struct stat st;
    uint32_t format;
    int r;

    if (fstat(fd, &st))
        return -errno;
    *length = (uint64_t)st.st_size;
    if (*length >= sizeof raw) {
        r = file_pread_all(fd, raw, sizeof raw, 0);
        if (r)
            return r;
        r = segment_header_get(h, raw, &format);
        if (r == CHOIR_UNSUPPORTED)
            return trouble_say(l->trouble, CHOIR_UNSUPPORTED,
                               "segment %u has format %u, this release reads "
                               "format %u; use the release that wrote it",
                               (unsigned)number, (unsigned)format,
                               (unsigned)RECORD_FORMAT);
        if (!r)
            return 0;
    }
    r = zeros_from(fd, from, *length, &last);
    if (r)
        return r;
    return last <= from ? HEADER_BLANK
                        : header_damaged(l, number, "its checksum is wrong");
}

static int header_fits(struct ledger *l, uint64_t number,
                       const struct segment_header *h,
                       const struct segment_header *before)
{
    if (h->number != number)
        return header_damaged(l, number, "it has another number");
    if (number == 1) {
        l->id = h->ledger;
        return h->first ? header_damaged(l, 1, "it does not start at 0") : 0;
    }
    if (!hash_equal(&h->ledger, &l->id))
        return header_damaged(l, number, "it is of another ledger");
    if (h->first <= before->first || h->epoch < before->epoch)
        return header_damaged(l, number, "it does not follow the one before");
    return 0;
}

/* All headers; those of the first and the last segment are wanted later. */
static int headers_read(struct ledger *l, uint64_t files, bool strict,
                        struct segment_header *first,
                        struct segment_header *last)
{
    for (uint64_t k = 1; k <= files; k++) {
        int fd = segment_open(l->dir, k, O_RDONLY);
        struct segment_header h;
        uint64_t length;
        int r;

        if (fd < 0)
            return trouble_say(l->trouble, fd, "segment %u: %s", (unsigned)k,
                               strerror(-fd));
        r = header_read(l, fd, k, strict, &h, &length);
        close(fd);
        if (r == HEADER_BLANK && k == files && k > 1)
            return 0;
        if (r == HEADER_BLANK)
            return header_damaged(l, k, "there is none");
        if (!r)
            r = header_fits(l, k, &h, last);
        if (!r)
            r = segment_add(l, &h);
        if (r)
            return r;
        l->segments[k - 1].end = length;
        l->earlier_bytes += length;
        if (k == 1)
            *first = h;
        *last = h;
    }
    return 0;
}

/* --- Reading it ---------------------------------------------------------- */

static int scan_all(struct ledger *l, struct scan *s)
{
    struct segment *segment = &l->segments[s->at.segment - 1];
    int r;

    do {
        uint64_t offset = s->at.offset, size = s->at.size;

        r = scan_next(s);
        if (!r && sample_add(segment, size, offset))
            return -ENOMEM;
    } while (!r);
    segment->sampled = true;
    return r;
}

/* One of the segments before the last; *s goes on behind it. */
static int earlier_check(struct ledger *l, struct scan *s, uint64_t number)
{
    uint64_t files = l->segments[number - 1].end;
    int r;

    s->fd = segment_open(l->dir, number, O_RDONLY);
    if (s->fd < 0)
        return s->fd;
    r = header_read(l, s->fd, number, true, &s->header, &files);
    s->length = files;
    s->at.segment = number;
    s->at.offset = SEGMENT_HEADER_BYTES;
    buf_clear(&s->window.b);
    if (!r)
        r = scan_all(l, s);
    close(s->fd);
    if (r == CHOIR_MALFORMED || r == CHOIR_UNSUPPORTED)
        return damage_at(l, &s->at, s->why);
    if (r != CHOIR_NOT_FOUND)
        return r;
    if (s->at.size != l->segments[number].first)
        return damage_at(l, &s->at, "the next segment starts elsewhere");
    return 0;
}

static int earlier_check_all(struct ledger *l, struct scan *s,
                             const struct segment_header *last)
{
    if (l->earlier_bytes > l->check_bytes) {
        s->at.size = last->first;
        s->at.group = last->prev_group;
        return 0;
    }
    for (uint64_t k = 1; k < l->count; k++) {
        int r = earlier_check(l, s, k);

        if (r)
            return r;
    }
    if (!hash_equal(&s->at.group, &last->prev_group))
        return header_damaged(l, l->count, "it follows another group");
    return 0;
}

static int last_check(struct ledger *l, struct scan *s,
                      const struct segment_header *last)
{
    int r;

    s->fd = l->current.fd;
    s->header = *last;
    s->length = l->segments[l->count - 1].end;
    s->at.segment = l->count;
    s->at.offset = SEGMENT_HEADER_BYTES;
    if (last->epoch > s->at.epoch)
        s->at.epoch = last->epoch;
    buf_clear(&s->window.b);
    r = scan_all(l, s);
    if (r == CHOIR_UNSUPPORTED) /* nothing that a crash has torn */
        return damage_at(l, &s->at, s->why);
    if (r == CHOIR_MALFORMED)
        r = tail_settle(l, s);
    if (r != CHOIR_NOT_FOUND && r != 0)
        return r;
    if (s->at.size == 0)
        return damage_at(l, &s->at, "there is no first entry");
    l->written = l->durable = s->at;
    l->before = s->before;
    l->may_take_back = !l->sealed && s->before.segment == s->at.segment;
    return 0;
}

/* --- The seal ------------------------------------------------------------ */

static int spare_length(struct ledger *l, uint64_t *length)
{
    int fd = segment_open(l->dir, l->count + 1, O_RDONLY);
    struct stat st;
    int r;

    *length = 0;
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    r = fstat(fd, &st) ? -errno : 0;
    close(fd);
    *length = r ? 0 : (uint64_t)st.st_size;
    return r;
}

static int seal_fits(struct ledger *l, const struct seal *seal)
{
    const struct mark *a = &l->written, *b = &seal->at;
    uint64_t spare;
    int r = spare_length(l, &spare);

    if (r)
        return r;
    if (a->segment != b->segment || a->offset != b->offset ||
        a->size != b->size || a->epoch != b->epoch || a->time != b->time ||
        !hash_equal(&a->group, &b->group) || !hash_equal(&l->id, &seal->ledger))
        return damage_at(l, a, "the record ends elsewhere than its seal says");
    if (l->segments[l->count - 1].end != seal->last_bytes ||
        spare != seal->spare_bytes)
        return trouble_say(l->trouble, -EUCLEAN,
                           "damage: a segment has another length than the "
                           "seal says");
    return 0;
}

/* After a failed sync the page cache may hold what the disk does not: read
 * what is really there. */
static int refresh(int fd)
{
    if (fdatasync(fd))
        return -errno;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static int recover(struct ledger *l, struct ledger_head *head, struct scan *s)
{
    struct segment_header first = {0}, last = {0};
    struct seal seal;
    uint64_t files = 0;
    int r = files_count(l, &files), sealed;

    if (r)
        return r;
    sealed = seal_read(l, &seal);
    if (sealed && sealed != CHOIR_NOT_FOUND)
        return sealed;
    l->sealed = head->was_sealed = !sealed;
    if (files == 0)
        return l->sealed ? trouble_say(l->trouble, -EUCLEAN,
                                       "damage: a seal and no segments")
                         : CHOIR_NOT_FOUND;
    r = headers_read(l, files, l->sealed, &first, &last);
    if (r)
        return r;
    l->current.fd =
        segment_open(l->dir, l->count, l->read_only ? O_RDONLY : O_RDWR);
    if (l->current.fd < 0)
        return l->current.fd;
    if (!l->sealed && !l->read_only)
        r = refresh(l->current.fd);
    if (r)
        return r;
    s->at.epoch = first.epoch;
    r = earlier_check_all(l, s, &last);
    if (!r)
        r = last_check(l, s, &last);
    if (!r && l->sealed)
        r = seal_fits(l, &seal);
    return r;
}

static void head_tell(const struct ledger *l, struct ledger_head *head)
{
    head->ledger = l->id;
    head->size = l->written.size;
    head->epoch = l->written.epoch;
    head->time = l->written.time;
    head->group = l->written.group;
}

int ledger_recover(struct ledger *l, struct ledger_head *head)
{
    struct scan s = {0};
    int r;

    s.window.ahead = 1 << 20;
    r = recover(l, head, &s);
    window_free(&s.window);
    if (r)
        return r;
    l->earlier_bytes -= l->segments[l->count - 1].end;
    if (!l->sealed)
        r = tail_cut_pending(l, head);
    head_tell(l, head);
    return r;
}

uint64_t ledger_unproven(const struct ledger *l)
{
    return l->may_take_back ? l->before.size : l->written.size;
}

int ledger_cut_unproven(struct ledger *l, struct ledger_head *head)
{
    int r = l->read_only || !l->may_take_back ? -EINVAL : 0;

    if (!r)
        r = tail_keep(l, l->current.fd, &l->before, l->written.offset);
    if (!r)
        r = ledger_take_back(l);
    if (!r)
        r = tail_cut_pending(l, head);
    head_tell(l, head);
    return r;
}
