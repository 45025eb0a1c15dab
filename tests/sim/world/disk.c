/* The disk itself; see disk.h. */
#include "tests/sim/world/disk_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, NAMES_MAX = 512 };

/* A change of names that no directory's sync has covered. */
struct step {
    char from[DISK_PATH], to[DISK_PATH]; /* either may be empty */
    struct disk_file *file;
};

struct names {
    struct disk_name at[NAMES_MAX];
    size_t n;
};

struct open_file {
    bool used;
    struct disk_file *file; /* NULL: a directory */
    uint64_t at;
    bool holds_lock;
};

static struct disk {
    struct names live, safe;
    struct step *steps; /* owned */
    size_t step_count, step_cap;
    struct open_file fds[DISK_FDS_MAX];
    struct disk_file *files; /* all of them, until disk_reset */
    uint64_t inodes, changes, cut_in, fail_in, room, used;
    uint64_t late, early; /* the next sync covers nothing between them */
    uint64_t chance;
    bool cut, lies, leaked;
} d;

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static uint64_t any(uint64_t n)
{
    d.chance ^= d.chance << 13;
    d.chance ^= d.chance >> 7;
    d.chance ^= d.chance << 17;
    return d.chance % n;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* --- Images -------------------------------------------------------------- */

static void image_size(struct disk_image *i, size_t n)
{
    if (n > i->room) {
        i->room = n > 2 * i->room ? n : 2 * i->room;
        i->p = must(realloc(i->p, i->room));
    }
    if (n > i->n)
        memset(i->p + i->n, 0, n - i->n);
    i->n = n;
}

static void image_write(struct disk_image *i, uint64_t at, const void *bytes,
                        size_t n)
{
    if (at + n > i->n)
        image_size(i, at + n);
    memcpy(i->p + at, bytes, n);
}

static void image_apply(struct disk_image *i, const struct disk_change *c)
{
    if (c->bytes)
        image_write(i, c->at, c->bytes, c->n);
    else
        image_size(i, c->at);
}

static void image_copy(struct disk_image *to, const struct disk_image *from)
{
    to->n = 0;
    image_size(to, from->n);
    if (from->n)
        memcpy(to->p, from->p, from->n);
}

/* --- Changes of a file --------------------------------------------------- */

static void change_note(struct disk_file *f, uint64_t at, const void *bytes,
                        size_t n)
{
    struct disk_change *c;

    if (f->count == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 16;
        f->changes = must(realloc(f->changes, f->cap * sizeof *f->changes));
    }
    c = &f->changes[f->count++];
    *c = (struct disk_change){.number = ++d.changes, .at = at, .n = n};
    if (bytes) {
        c->bytes = must(malloc(n ? n : 1));
        memcpy(c->bytes, bytes, n);
    }
    d.used -= f->names ? f->live.n : 0;
    image_apply(&f->live, c);
    d.used += f->names ? f->live.n : 0;
}

/* What a sync covers is safe; other changes stay what they are. */
static void changes_settle(struct disk_file *f, uint64_t late, uint64_t early)
{
    size_t left = 0;

    for (size_t i = 0; i < f->count; i++) {
        if (f->changes[i].number > late && f->changes[i].number <= early) {
            f->changes[left++] = f->changes[i];
            continue;
        }
        image_apply(&f->safe, &f->changes[i]);
        free(f->changes[i].bytes);
    }
    f->count = left;
}

/* Kept, gone, or gone here and there, in the units of a disk. */
static unsigned change_harm(struct disk_file *f, struct disk_change *c)
{
    uint64_t fate = any(3);

    if (fate == 0 || (!c->bytes && fate == 2))
        image_apply(&f->safe, c);
    for (size_t from = 0, to; fate == 2 && c->bytes && from < c->n; from = to) {
        to = (c->at + from) / SECTOR * SECTOR + SECTOR - c->at;
        if (to > c->n)
            to = c->n;
        if (any(2))
            image_write(&f->safe, c->at + from, c->bytes + from, to - from);
    }
    free(c->bytes);
    return fate != 0;
}

/* --- Names --------------------------------------------------------------- */

static struct disk_name *name_find(struct names *in, const char *path)
{
    for (size_t i = 0; i < in->n; i++)
        if (!strcmp(in->at[i].path, path))
            return &in->at[i];
    return NULL;
}

static void name_set(struct names *in, const char *path, struct disk_file *f)
{
    struct disk_name *n = name_find(in, path);

    if (!n) {
        if (in->n == NAMES_MAX || strlen(path) >= DISK_PATH)
            abort();
        n = &in->at[in->n++];
        strcpy(n->path, path);
    }
    n->file = f;
}

static void name_drop(struct names *in, const char *path)
{
    struct disk_name *n = name_find(in, path);

    if (n)
        *n = in->at[--in->n];
}

/* A file may have several names, and takes its room once. */
static void names_count(void)
{
    for (struct disk_file *f = d.files; f; f = f->next)
        f->names = 0;
    d.used = 0;
    for (size_t i = 0; i < d.live.n; i++) {
        struct disk_file *f = d.live.at[i].file;

        if (f && f->names++ == 0)
            d.used += f->live.n;
    }
}

static void step_apply(struct names *in, const struct step *s)
{
    if (s->from[0])
        name_drop(in, s->from);
    if (s->to[0])
        name_set(in, s->to, s->file);
}

static void step_take(const char *from, const char *to, struct disk_file *f)
{
    struct step *s;

    if (d.step_count == d.step_cap) {
        d.step_cap = d.step_cap ? 2 * d.step_cap : 16;
        d.steps = must(realloc(d.steps, d.step_cap * sizeof *d.steps));
    }
    s = &d.steps[d.step_count++];
    *s = (struct step){.file = f};
    snprintf(s->from, sizeof s->from, "%s", from);
    snprintf(s->to, sizeof s->to, "%s", to);
    d.changes++;
    step_apply(&d.live, s);
    names_count();
}

/* A journal keeps the order of names: some of the first are there. */
static unsigned steps_settle(size_t n)
{
    unsigned lost = (unsigned)(d.step_count - n);

    for (size_t i = 0; i < n; i++)
        step_apply(&d.safe, &d.steps[i]);
    d.step_count = 0;
    return lost;
}

/* --- Faults -------------------------------------------------------------- */

/* Before each change. True: it is the one at which the disk is cut off. */
static bool cut_now(void)
{
    if (d.cut || !d.cut_in || --d.cut_in)
        return false;
    return d.cut = true;
}

void disk_cut_after(uint64_t n)
{
    d.cut_in = n;
}

void disk_cut(void)
{
    d.cut = true;
}

bool disk_is_cut(void)
{
    return d.cut;
}

void disk_fail_sync(uint64_t n)
{
    d.fail_in = n;
}

void disk_set_room(uint64_t bytes)
{
    d.room = bytes;
}

void disk_lie(bool lies)
{
    d.lies = lies;
}

/* --- Files --------------------------------------------------------------- */

static struct open_file *file_of(int fd)
{
    struct open_file *o = &d.fds[fd - DISK_FDS];

    return fd >= DISK_FDS && fd < DISK_FDS + DISK_FDS_MAX && o->used ? o : NULL;
}

static int fd_new(struct disk_file *f)
{
    for (int i = 0; i < DISK_FDS_MAX; i++) {
        if (d.fds[i].used)
            continue;
        d.fds[i] = (struct open_file){.used = true, .file = f};
        return DISK_FDS + i;
    }
    return fail(EMFILE);
}

static struct disk_file *file_new(void)
{
    struct disk_file *f = must(calloc(1, sizeof *f));

    f->inode = ++d.inodes;
    f->next = d.files;
    return d.files = f;
}

int disk_open(const char *path, int flags)
{
    struct disk_name *n = name_find(&d.live, path);

    if (d.cut)
        return fail(EIO);
    if (n && (flags & O_CREAT) && (flags & O_EXCL))
        return fail(EEXIST);
    if (!n && !(flags & O_CREAT))
        return fail(ENOENT);
    if (n && n->file && (flags & O_DIRECTORY))
        return fail(ENOTDIR);
    if (!n) {
        if (cut_now())
            return fail(EIO);
        step_take("", path, file_new());
        n = name_find(&d.live, path);
    }
    if ((flags & O_TRUNC) && n->file->live.n) {
        if (cut_now())
            return fail(EIO);
        change_note(n->file, 0, NULL, 0);
    }
    return fd_new(n->file);
}

int disk_close(int fd)
{
    struct open_file *o = file_of(fd);

    if (!o)
        return fail(EBADF);
    if (o->holds_lock)
        o->file->locked = false;
    o->used = false;
    return 0;
}

ssize_t disk_read(int fd, void *bytes, size_t n, off_t at, bool moves)
{
    struct open_file *o = file_of(fd);
    uint64_t from = moves && o ? o->at : (uint64_t)at;
    const struct disk_image *i;

    if (!o || !o->file)
        return fail(EBADF);
    if (d.cut)
        return fail(EIO);
    i = &o->file->live;
    if (from >= i->n)
        return 0;
    if (n > i->n - from)
        n = i->n - from;
    memcpy(bytes, i->p + from, n);
    if (moves)
        o->at += n;
    return (ssize_t)n;
}

ssize_t disk_write(int fd, const void *bytes, size_t n, off_t at, bool moves)
{
    struct open_file *o = file_of(fd);
    uint64_t to = moves && o ? o->at : (uint64_t)at, more;
    bool torn;

    if (!o || !o->file)
        return fail(EBADF);
    if (d.cut)
        return fail(EIO);
    torn = cut_now();
    if (torn)
        n = any(n + 1);
    more = to + n > o->file->live.n ? to + n - o->file->live.n : 0;
    if (d.used + more > d.room)
        return fail(ENOSPC);
    if (!torn && n > 1 && any(200) == 0)
        n = 1 + any(n - 1);
    if (n)
        change_note(o->file, to, bytes, n);
    if (torn)
        return fail(EIO);
    if (moves)
        o->at += n;
    return (ssize_t)n;
}

int disk_sync(int fd)
{
    struct open_file *o = file_of(fd);
    uint64_t late = d.late, early = d.early;

    d.late = d.early = 0;
    if (!o)
        return fail(EBADF);
    if (d.cut)
        return fail(EIO);
    if (cut_now()) {
        if (o->file && any(2)) /* done, and nobody was told */
            changes_settle(o->file, late, early);
        return fail(EIO);
    }
    if (d.fail_in && --d.fail_in == 0)
        return fail(EIO);
    if (d.lies)
        return 0;
    if (o->file)
        changes_settle(o->file, late, early);
    else
        steps_settle(d.step_count);
    return 0;
}

int disk_truncate(int fd, uint64_t n)
{
    struct open_file *o = file_of(fd);

    if (!o || !o->file)
        return fail(EBADF);
    if (d.cut || cut_now())
        return fail(EIO);
    if (n > o->file->live.n && d.used + n - o->file->live.n > d.room)
        return fail(ENOSPC);
    change_note(o->file, n, NULL, 0);
    return 0;
}

int disk_allocate(int fd, uint64_t n)
{
    struct open_file *o = file_of(fd);

    if (o && o->file && n <= o->file->live.n && !d.cut)
        return 0;
    return disk_truncate(fd, n);
}

int disk_rename(const char *from, const char *to)
{
    struct disk_name *n = name_find(&d.live, from);

    if (!n)
        return fail(ENOENT);
    if (d.cut || cut_now())
        return fail(EIO);
    step_take(from, to, n->file);
    return 0;
}

int disk_link(const char *from, const char *to)
{
    struct disk_name *n = name_find(&d.live, from);

    if (!n)
        return fail(ENOENT);
    if (name_find(&d.live, to))
        return fail(EEXIST);
    if (d.cut || cut_now())
        return fail(EIO);
    step_take("", to, n->file);
    return 0;
}

/* Is it to be overwritten before it goes, and was not? */
static bool is_left(const char *path, const struct disk_file *f)
{
    size_t n = strlen(path);

    if (n < 4 || strcmp(path + n - 4, ".old") != 0 || f->names > 1)
        return false;
    for (size_t i = 0; i < f->live.n; i++)
        if (f->live.p[i])
            return true;
    return f->count != 0;
}

int disk_unlink(const char *path)
{
    struct disk_name *n = name_find(&d.live, path);

    if (!n)
        return fail(ENOENT);
    if (d.cut || cut_now())
        return fail(EIO);
    d.leaked |= is_left(path, n->file);
    step_take(path, "", NULL);
    return 0;
}

int disk_mkdir(const char *path)
{
    if (name_find(&d.live, path))
        return fail(EEXIST);
    step_take("", path, NULL);
    return 0;
}

int disk_stat(const char *path, uint64_t *n, uint64_t *inode)
{
    const struct disk_name *name = name_find(&d.live, path);

    if (!name)
        return fail(ENOENT);
    *n = name->file ? name->file->live.n : 0;
    *inode = name->file ? name->file->inode : 1;
    return name->file ? 0 : 1;
}

int disk_fstat(int fd, uint64_t *n, uint64_t *inode)
{
    const struct open_file *o = file_of(fd);

    if (!o)
        return fail(EBADF);
    if (d.cut)
        return fail(EIO);
    *n = o->file ? o->file->live.n : 0;
    *inode = o->file ? o->file->inode : 1;
    return o->file ? 0 : 1;
}

unsigned disk_links(int fd)
{
    const struct open_file *o = file_of(fd);

    return o && o->file ? o->file->names : 1;
}

uint64_t disk_free_bytes(void)
{
    return d.room > d.used ? d.room - d.used : 0;
}

int disk_lock(int fd)
{
    struct open_file *o = file_of(fd);

    if (!o || !o->file)
        return fail(EBADF);
    if (o->file->locked)
        return fail(EWOULDBLOCK);
    o->file->locked = o->holds_lock = true;
    return 0;
}

static bool is_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return !strncmp(path, dir, n) && path[n] == '/' &&
           !strchr(path + n + 1, '/');
}

const char *disk_entry(const char *dir, size_t i)
{
    for (size_t k = 0; k < d.live.n; k++)
        if (is_in(d.live.at[k].path, dir) && i-- == 0)
            return strrchr(d.live.at[k].path, '/') + 1;
    return NULL;
}

/* --- Restarts ------------------------------------------------------------ */

void disk_restart(void)
{
    for (int i = 0; i < DISK_FDS_MAX; i++)
        d.fds[i].used = false;
    for (struct disk_file *f = d.files; f; f = f->next)
        f->locked = false;
    d.cut = false;
    d.cut_in = d.fail_in = d.late = d.early = 0;
}

unsigned disk_lose_power(void)
{
    unsigned harmed = steps_settle(any(d.step_count + 1));

    disk_restart();
    for (struct disk_file *f = d.files; f; f = f->next) {
        for (size_t i = 0; i < f->count; i++)
            harmed += change_harm(f, &f->changes[i]);
        f->count = 0;
        image_copy(&f->live, &f->safe);
    }
    d.live = d.safe;
    names_count();
    return harmed;
}

/* --- For those who know -------------------------------------------------- */

uint64_t disk_changes(void)
{
    return d.changes;
}

void disk_sync_without(uint64_t from, uint64_t upto)
{
    d.late = from;
    d.early = upto;
}

bool disk_leaked(void)
{
    return d.leaked;
}

uint64_t disk_bytes(void)
{
    return d.used;
}

static uint64_t hash_more(uint64_t h, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* Without LOCK: it holds the process's number. */
uint64_t disk_hash(void)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < d.live.n; i++) {
        const struct disk_name *n = &d.live.at[i];

        if (!n->file || !strcmp(strrchr(n->path, '/'), "/LOCK"))
            continue;
        h = hash_more(h, strrchr(n->path, '/'), strlen(strrchr(n->path, '/')));
        h = hash_more(h, n->file->live.p, n->file->live.n);
    }
    return h;
}

void disk_copy(const char *from, const char *to)
{
    char path[2 * DISK_PATH];

    name_set(&d.live, to, NULL);
    for (size_t i = 0, n = d.live.n; i < n; i++) {
        struct disk_file *f = d.live.at[i].file, *copy;

        if (!f || !is_in(d.live.at[i].path, from))
            continue;
        copy = file_new();
        image_copy(&copy->live, &f->live);
        copy->names = 1; /* each of its own */
        snprintf(path, sizeof path, "%s/%s", to,
                 strrchr(d.live.at[i].path, '/') + 1);
        name_set(&d.live, path, copy);
    }
}

static void file_free(struct disk_file *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->changes[i].bytes);
    free(f->changes);
    free(f->live.p);
    free(f->safe.p);
    free(f);
}

static void file_drop(struct disk_file *gone)
{
    struct disk_file **at = &d.files;

    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    file_free(gone);
}

static void names_drop(struct names *in, const char *dir, bool files)
{
    size_t left = 0;

    for (size_t i = 0; i < in->n; i++) {
        const struct disk_name n = in->at[i];

        if (strcmp(n.path, dir) && !is_in(n.path, dir))
            in->at[left++] = n;
        else if (files && n.file)
            file_drop(n.file);
    }
    in->n = left;
}

/* A copy: nothing that counts knows of it. */
void disk_remove(const char *path)
{
    size_t left = 0;

    names_drop(&d.safe, path, false);
    names_drop(&d.live, path, true);
    for (size_t i = 0; i < d.step_count; i++)
        if (!is_in(d.steps[i].to, path) && !is_in(d.steps[i].from, path))
            d.steps[left++] = d.steps[i];
    d.step_count = left;
    names_count();
}

void disk_free(void)
{
    while (d.files) {
        struct disk_file *next = d.files->next;

        file_free(d.files);
        d.files = next;
    }
    free(d.steps);
    d.steps = NULL;
    d.step_count = d.step_cap = 0;
}

void disk_reset(uint64_t seed)
{
    disk_free();
    memset(&d, 0, sizeof d);
    d.chance = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    d.room = UINT64_MAX;
}
