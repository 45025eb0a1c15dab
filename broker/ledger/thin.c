/* Segments written again without payloads that are erased or compacted.
 *
 * The new file is whole and synced before it takes the old one's name, so a
 * crash leaves one or the other. Where something was erased the old file keeps
 * a second name until it is overwritten; what a crash leaves of that is
 * overwritten at the next start. Heads, hashes and the segment's header fields
 * stay as they were. docs/ledger-format.md has the layout. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "broker/base/failpoint.h"
#include "broker/base/file.h"
#include "broker/ledger/beside.h"
#include "broker/ledger/segment.h"
#include "proto/refusal.h"

enum {
    STEP = 1 << 20, /* written and waited for at a time: syncs come between */
    NICE = 10,
};

struct thinning {
    struct beside *beside; /* owned */
    bool is_under_way;
    uint64_t number;
    int fd; /* the old file */
    const struct ledger *l;
    const struct ledger_thinner *t;
    bool is_last;
    uint64_t end, new_end;
    struct segment_header header;
    bool replaced;
    struct ledger_thinned out;
    /* the thread's own */
    struct scan scan;
    struct buf marks, group, file;
    uint64_t written;
    int to;
};

static int side_path(char path[PATH_MAX], const char *dir, uint64_t number,
                     const char *suffix)
{
    char name[SEGMENT_NAME_BYTES];
    int n;

    segment_name(number, name);
    n = snprintf(path, PATH_MAX, "%s/%s%s", dir, name, suffix);
    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* --- One group ------------------------------------------------------------ */

/* The group that scan_next has just passed, header and body. */
static int group_at(struct thinning *h, uint64_t offset, const uint8_t **p)
{
    return window_get(&h->scan.window, 0, h->fd, offset,
                      (size_t)group_bytes(&h->scan.group), h->end, p);
}

static struct bytes body_of(const struct thinning *h, const uint8_t *p)
{
    const struct group_header *g = &h->scan.group;

    return bytes_of(p + GROUP_HEADER_BYTES,
                    (size_t)(g->heads_bytes + group_stored(g)));
}

/* Marks of one entry's slots, as they are; 0 or -ENOMEM. */
static int marks_put(struct buf *out, struct bytes rows, struct bytes marks)
{
    size_t n = rows.n / SLOT_ROW_BYTES;
    uint8_t *p = buf_grow(out, n);

    if (!p)
        return n ? -ENOMEM : 0;
    if (marks.n)
        memcpy(p, marks.p, n);
    else
        memset(p, SLOT_KEPT, n);
    return 0;
}

/* What will be missing of an entry, in *gone bytes. */
static uint64_t newly_gone(struct thinning *h, struct bytes rows,
                           struct bytes before, const uint8_t *after)
{
    uint64_t gone = 0;

    for (size_t i = 0; i < rows.n / SLOT_ROW_BYTES; i++) {
        uint8_t was = before.n ? before.p[i] : SLOT_KEPT;

        if (was != SLOT_KEPT || after[i] == SLOT_KEPT)
            continue;
        gone += SLOT_SALT_BYTES + get_u32(rows.p + i * SLOT_ROW_BYTES);
        h->out.erased |= after[i] == SLOT_ERASED;
    }
    return gone;
}

static int entry_mark(struct thinning *h, const struct entry *e, uint64_t *gone)
{
    size_t at = h->marks.n, own = e->rows.n / SLOT_ROW_BYTES;
    int r = marks_put(&h->marks, e->rows, e->marks);
    uint8_t *marks;

    if (!r)
        r = marks_put(&h->marks, e->effect_rows, e->effect_marks);
    if (r || h->marks.n == at)
        return r;
    marks = h->marks.p + at;
    h->t->mark(h->t->arg, e, marks, marks + own);
    *gone += newly_gone(h, e->rows, e->marks, marks) +
             newly_gone(h, e->effect_rows, e->effect_marks, marks + own);
    return 0;
}

/* Marks for all of the group's slots into h->marks, and what that gives back.
 */
static int group_mark(struct thinning *h, const uint8_t *p, uint64_t *gone)
{
    struct group_walk walk;
    const struct entry *e;
    int r;

    buf_clear(&h->marks);
    group_walk_begin(&walk, &h->scan.group, body_of(h, p));
    while (!(r = group_walk_next(&walk, &e))) {
        r = entry_mark(h, e, gone);
        if (r)
            return r;
    }
    return r == CHOIR_NOT_FOUND ? 0 : -EUCLEAN;
}

static void section_put(struct buf *out, struct bytes rows,
                        struct bytes payload, struct bytes before,
                        const uint8_t *after)
{
    size_t at = 0;

    for (size_t i = 0; i < rows.n / SLOT_ROW_BYTES; i++) {
        size_t n = SLOT_SALT_BYTES + get_u32(rows.p + i * SLOT_ROW_BYTES);

        if (before.n && before.p[i] != SLOT_KEPT)
            continue;
        if (after[i] == SLOT_KEPT)
            buf_put(out, payload.p + at, n);
        at += n;
    }
}

/* Header, heads, marks, and the payloads that stay. */
static int group_thin(struct thinning *h, const uint8_t *p)
{
    const struct group_header *g = &h->scan.group;
    const uint8_t *mark = h->marks.p;
    struct group_walk walk;
    const struct entry *e;

    buf_clear(&h->group);
    buf_put(&h->group, p, GROUP_HEADER_BYTES + (size_t)g->heads_bytes);
    buf_put_u32(&h->group, (uint32_t)h->marks.n);
    buf_put(&h->group, h->marks.p, h->marks.n);
    group_walk_begin(&walk, g, body_of(h, p));
    while (group_walk_next(&walk, &e) == 0) {
        section_put(&h->group, e->rows, e->payload, e->marks, mark);
        mark += e->rows.n / SLOT_ROW_BYTES;
        section_put(&h->group, e->effect_rows, e->effect_payload,
                    e->effect_marks, mark);
        mark += e->effect_rows.n / SLOT_ROW_BYTES;
    }
    return h->group.failed ? -ENOMEM : 0;
}

/* --- The new file --------------------------------------------------------- */

/* A step at a time, each waited for, so that the record's own syncs need not
 * wait for all of it. */
static int file_flush(struct thinning *h)
{
    int r = file_pwrite_all(h->to, h->file.p, h->file.n, h->written);

    if (!r &&
        sync_file_range(h->to, (off_t)h->written, (off_t)h->file.n,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER) &&
        (errno == EIO || errno == ENOSPC || errno == EDQUOT))
        r = -errno; /* told once: the sync at the end would not know of it */
    h->written += h->file.n;
    buf_clear(&h->file);
    return r;
}

static int file_put(struct thinning *h, struct bytes group, bool thin)
{
    const struct group_header *g = &h->scan.group;
    uint64_t offset = h->written + h->file.n;
    size_t at = h->file.n, pad;
    uint8_t *p;

    buf_put(&h->file, group.p, group.n);
    pad = (GROUP_ALIGN - group.n % GROUP_ALIGN) % GROUP_ALIGN;
    p = buf_grow(&h->file, pad);
    if (h->file.failed || (pad && !p))
        return -ENOMEM;
    if (pad)
        memset(p, 0, pad);
    group_again(h->file.p + at, thin,
                bytes_of(h->file.p + at + GROUP_HEADER_BYTES,
                         group.n - GROUP_HEADER_BYTES),
                g->heads_bytes, h->header.nonce, offset);
    return h->file.n >= STEP ? file_flush(h) : 0;
}

static int group_copy(struct thinning *h, const uint8_t *p)
{
    const struct group_header *g = &h->scan.group;
    uint64_t gone = 0;
    int r = group_mark(h, p, &gone);

    if (r)
        return r;
    if (!gone)
        return file_put(h, bytes_of(p, GROUP_HEADER_BYTES + body_of(h, p).n),
                        g->thin);
    r = group_thin(h, p);
    return r ? r : file_put(h, buf_bytes(&h->group), true);
}

/* --- Passes over the segment ---------------------------------------------- */

static void scan_begin(struct thinning *h)
{
    h->scan = (struct scan){
        .fd = h->fd,
        .length = h->end,
        .header = h->header,
        .window = h->scan.window,
        .at = {.segment = h->number,
               .offset = SEGMENT_HEADER_BYTES,
               .size = h->header.first,
               .group = h->header.prev_group},
    };
    buf_clear(&h->scan.window.b);
    h->scan.window.ahead = STEP;
}

/* step: for each group, with its bytes. */
static int groups_each(struct thinning *h,
                       int (*step)(struct thinning *h, const uint8_t *p))
{
    const uint8_t *p;
    int r;

    scan_begin(h);
    for (;;) {
        uint64_t offset = h->scan.at.offset;

        r = scan_next(&h->scan);
        if (r)
            break;
        r = group_at(h, offset, &p);
        if (!r)
            r = step(h, p);
        if (r)
            return r;
    }
    return r == CHOIR_NOT_FOUND ? 0 : r > 0 ? -EUCLEAN : r;
}

static int group_look(struct thinning *h, const uint8_t *p)
{
    const struct group_header *g = &h->scan.group;
    struct group_walk walk;
    const struct entry *e;
    int r;

    group_walk_begin(&walk, g,
                     bytes_of(p + GROUP_HEADER_BYTES, (size_t)g->heads_bytes));
    while (!(r = group_walk_next(&walk, &e))) {
        r = h->t->look(h->t->arg, e);
        if (r)
            return r;
    }
    return r == CHOIR_NOT_FOUND ? 0 : -EUCLEAN;
}

static int group_weigh(struct thinning *h, const uint8_t *p)
{
    return group_mark(h, p, &h->out.bytes);
}

/* --- From the old file to the new ----------------------------------------- */

/* Room for the copy, and for the next segment besides: the copy is never what
 * makes the record READ_ONLY. */
static int room_check(const struct thinning *h)
{
    struct statvfs fs;

    if (fstatvfs(h->fd, &fs))
        return -errno;
    return (uint64_t)fs.f_bavail * fs.f_frsize < h->end + h->l->segment_bytes
               ? -ENOSPC
               : 0;
}

static int file_write(struct thinning *h)
{
    uint8_t raw[SEGMENT_HEADER_BYTES];
    struct segment_header header = h->header;
    int r;

    header.thin = true;
    segment_header_put(raw, &header);
    buf_clear(&h->file);
    buf_put(&h->file, raw, sizeof raw);
    h->written = 0;
    r = groups_each(h, group_copy);
    if (!r)
        r = file_flush(h);
    if (!r && fsync(h->to))
        r = -errno;
    h->new_end = h->written;
    return r;
}

static int file_make(struct thinning *h, const char *path)
{
    int r;

    h->to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (h->to < 0)
        return -errno;
    r = file_write(h);
    close(h->to);
    if (r)
        unlink(path);
    else
        FAILPOINT("ledger.thin.written");
    return r;
}

/* From here on one of the two has the name, whatever happens. */
static int file_replace(struct thinning *h, const char *made)
{
    char path[PATH_MAX], old[PATH_MAX];
    int r = side_path(path, h->l->dir, h->number, "");

    if (!r)
        r = side_path(old, h->l->dir, h->number, ".old");
    if (r)
        return r;
    unlink(old);
    if (h->out.erased && link(path, old))
        return -errno;
    FAILPOINT("ledger.thin.linked");
    if (rename(made, path))
        return -errno;
    FAILPOINT("ledger.thin.renamed");
    h->replaced = true;
    return dir_sync(h->l->dir);
}

static int zeros_over(int fd, uint64_t n)
{
    static const uint8_t zeros[65536];
    int r = 0;

    for (uint64_t at = 0; !r && at < n; at += sizeof zeros)
        r = file_pwrite_all(
            fd, zeros, n - at < sizeof zeros ? (size_t)(n - at) : sizeof zeros,
            at);
    return !r && fdatasync(fd) ? -errno : r;
}

/* What was erased is gone from the disk, too, as far as a file system lets
 * anyone say so. A file that still has another name is not the old one yet: a
 * crash came before the new one took its place. */
static int old_wipe(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;
    int r;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    r = fstat(fd, &st) ? -errno : 0;
    if (!r && st.st_nlink == 1)
        r = zeros_over(fd, (uint64_t)st.st_size);
    close(fd);
    if (file_no_room(r)) /* it would have been written elsewhere */
        r = 0;
    if (!r && unlink(path))
        r = -errno;
    return r;
}

static int thin(struct thinning *h)
{
    char path[PATH_MAX];
    int r = groups_each(h, group_look);

    if (!r && !h->is_last)
        r = groups_each(h, group_weigh);
    if (r || h->out.bytes == 0 ||
        (!h->out.erased && h->out.bytes < h->t->least)) {
        h->out.bytes = 0;
        return r;
    }
    r = room_check(h);
    if (!r)
        r = side_path(path, h->l->dir, h->number, ".new");
    if (!r)
        r = file_make(h, path);
    return r ? r : file_replace(h, path);
}

/* Nobody reads the old file any more. */
static int wipe_job(void *arg)
{
    struct thinning *h = arg;
    char path[PATH_MAX];
    int r = side_path(path, h->l->dir, h->number, ".old");

    return r ? r : old_wipe(path);
}

static int thin_job(void *arg)
{
    struct thinning *h = arg;
    int r;

    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    r = thin(h);
    return file_no_room(r) ? -ENOSPC : r;
}

/* --- The ledger's side ---------------------------------------------------- */

int thinning_fd(const struct ledger *l, uint64_t number)
{
    return l->thinning && l->thinning->is_under_way &&
                   l->thinning->number == number
               ? l->thinning->fd
               : -1;
}

bool ledger_thinning(const struct ledger *l)
{
    return l->thinning && l->thinning->is_under_way;
}

static int thinning_open(struct ledger *l)
{
    int r;

    if (l->thinning)
        return 0;
    l->thinning = calloc(1, sizeof *l->thinning);
    if (!l->thinning)
        return -ENOMEM;
    l->thinning->fd = -1;
    r = beside_open(&l->thinning->beside);
    if (r) {
        free(l->thinning);
        l->thinning = NULL;
    }
    return r;
}

static int header_read(struct thinning *h)
{
    uint8_t raw[SEGMENT_HEADER_BYTES];
    uint32_t format;
    int r = file_pread_all(h->fd, raw, sizeof raw, 0);

    return r ? r : segment_header_get(&h->header, raw, &format) ? -EUCLEAN : 0;
}

int ledger_thin_begin(struct ledger *l, uint64_t number,
                      const struct ledger_thinner *t)
{
    struct thinning *h;
    int r = thinning_open(l);

    if (r)
        return r;
    h = l->thinning;
    h->fd = segment_open(l->dir, number, O_RDONLY);
    if (h->fd < 0)
        return h->fd;
    h->l = l;
    h->t = t;
    h->number = number;
    h->is_last = number == l->count;
    h->end = segment_end(l, number);
    h->out = (struct ledger_thinned){0};
    h->replaced = false;
    r = header_read(h);
    if (r) {
        close(h->fd);
        return r;
    }
    h->is_under_way = true;
    beside_begin(h->beside, thin_job, h);
    return 0;
}

/* From here on it is read from the new file. */
static void replaced(struct ledger *l, struct thinning *h)
{
    close(h->fd);
    h->fd = -1;
    h->replaced = false;
    h->out.bytes = h->end - h->new_end;
    segment_replaced(l, h->number, h->new_end);
}

int ledger_thin_end(struct ledger *l, bool wait, struct ledger_thinned *out)
{
    struct thinning *h = l->thinning;
    int r = beside_end(h->beside, wait);

    if (!r && h->replaced && h->out.erased) {
        replaced(l, h);
        beside_begin(h->beside, wipe_job, h);
        r = beside_end(h->beside, wait);
    }
    if (r == -EAGAIN)
        return r;
    if (h->replaced)
        replaced(l, h);
    if (h->fd >= 0)
        close(h->fd);
    h->fd = -1;
    h->is_under_way = false;
    *out = h->out;
    return r;
}

void thinning_close(struct ledger *l)
{
    struct ledger_thinned out;
    struct thinning *h = l->thinning;

    if (!h)
        return;
    if (h->is_under_way && ledger_thin_end(l, true, &out))
        l->trouble[0] = '\0'; /* whatever it left is cleared at the next open */
    beside_close(&h->beside);
    window_free(&h->scan.window);
    buf_free(&h->marks);
    buf_free(&h->group);
    buf_free(&h->file);
    free(h);
    l->thinning = NULL;
}

int ledger_roll(struct ledger *l)
{
    int r = l->broken;

    if (r || l->written.offset == SEGMENT_HEADER_BYTES)
        return r;
    r = seal_remove(l);
    if (!r)
        r = space_next(l);
    return r ? r : segment_next(l);
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);

    return n > k && strcmp(name + n - k, end) == 0;
}

/* A crash may have come before the new file had the name for good, and then the
 * old one is what a loss of power would leave. */
static int old_clear(const char *dir, const char *path)
{
    int r = dir_sync(dir);

    return r ? r : old_wipe(path);
}

int thinning_clear(const char *dir)
{
    DIR *d = opendir(dir);
    char path[PATH_MAX];
    struct dirent *e;
    int r = 0;

    if (!d)
        return -errno;
    while (!r && (e = readdir(d))) {
        if (strncmp(e->d_name, "segment-", 8) != 0)
            continue;
        r = path_join(path, dir, e->d_name);
        if (!r && ends_with(e->d_name, ".old"))
            r = old_clear(dir, path);
        else if (!r && ends_with(e->d_name, ".new") && unlink(path))
            r = -errno;
    }
    closedir(d);
    return r;
}
