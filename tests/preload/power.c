/* Preloaded into choird: keeps what unsynced writes have overwritten, see
 * tests/support/power.h. A sync covers the writes that had returned when it was
 * called, and no later ones: syncs go on beside the writing. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/support/power.h"

enum { UNSYNCED, SYNCED, SYNCING }; /* power_record.synced */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct power_journal *journal;
static bool lies;
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (!found)
        abort();
    return found;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv(POWER_JOURNAL);
    int fd;

    real_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))real("pwrite");
    real_pwritev =
        (ssize_t(*)(int, const struct iovec *, int, off_t))real("pwritev");
    real_fdatasync = (int (*)(int))real("fdatasync");
    real_fsync = (int (*)(int))real("fsync");
    if (!path)
        return;
    lies = getenv(POWER_LIE);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, POWER_JOURNAL_BYTES))
        abort();
    journal = mmap(NULL, POWER_JOURNAL_BYTES, PROT_READ | PROT_WRITE,
                   MAP_SHARED, fd, 0);
    if (journal == MAP_FAILED)
        abort();
    close(fd);
}

/* The inode of a segment; 0: something else. */
static uint64_t segment_of(int fd)
{
    char link[64], path[512];
    struct stat st;
    ssize_t n;

    if (!journal)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return 0;
    path[n] = '\0';
    return strstr(path, "/segment-") && !fstat(fd, &st) ? st.st_ino : 0;
}

static struct power_record *record_at(uint64_t offset)
{
    return (struct power_record *)((char *)(journal + 1) + offset);
}

/* Drop what is synced. */
static void compact(void)
{
    uint64_t to = 0;

    for (uint64_t at = 0; at < journal->used;) {
        struct power_record *r = record_at(at);
        uint64_t n = power_record_bytes(r);

        if (r->synced != SYNCED) {
            memmove(record_at(to), r, n);
            to += n;
        }
        at += n;
    }
    journal->used = to;
}

static void keep(uint64_t file, int fd, const void *bytes, size_t n, off_t at)
{
    struct power_record r = {.file = file, .at = (uint64_t)at, .bytes = n};
    char *old;

    if (sizeof *journal + journal->used + power_record_bytes(&r) >
        POWER_JOURNAL_BYTES)
        compact();
    if (sizeof *journal + journal->used + power_record_bytes(&r) >
        POWER_JOURNAL_BYTES)
        abort();
    old = (char *)(record_at(journal->used) + 1);
    memset(old, 0, n);
    if (pread(fd, old, n, at) >= 0 && memcmp(old, bytes, n)) {
        *record_at(journal->used) = r;
        journal->used += power_record_bytes(&r);
    } /* else nothing changes: zeros ahead */
}

/* All records of a file that are at one stage go to the next. */
static void advance(uint64_t file, uint64_t from, uint64_t to)
{
    pthread_mutex_lock(&lock);
    for (uint64_t at = 0; at < journal->used;) {
        struct power_record *r = record_at(at);

        if (r->file == file && r->synced == from)
            r->synced = to;
        at += power_record_bytes(r);
    }
    if (to == SYNCED)
        compact();
    pthread_mutex_unlock(&lock);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    uint64_t file = segment_of(fd);
    ssize_t r;

    if (!file)
        return real_pwrite(fd, bytes, n, at);
    pthread_mutex_lock(&lock); /* noted and written are one to a sync */
    keep(file, fd, bytes, n, at);
    r = real_pwrite(fd, bytes, n, at);
    pthread_mutex_unlock(&lock);
    return r;
}

ssize_t pwritev(int fd, const struct iovec *part, int parts, off_t at)
{
    uint64_t file = segment_of(fd);
    off_t to = at;
    ssize_t r;

    if (!file)
        return real_pwritev(fd, part, parts, at);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < parts; i++) {
        keep(file, fd, part[i].iov_base, part[i].iov_len, to);
        to += (off_t)part[i].iov_len;
    }
    r = real_pwritev(fd, part, parts, at);
    pthread_mutex_unlock(&lock);
    return r;
}

static int sync_with(int (*sync)(int), int fd)
{
    uint64_t file = segment_of(fd);
    int r;

    if (!file)
        return sync(fd);
    if (lies)
        return 0;
    advance(file, UNSYNCED, SYNCING);
    r = sync(fd);
    advance(file, SYNCING, r ? UNSYNCED : SYNCED);
    return r;
}

int fdatasync(int fd)
{
    return sync_with(real_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_with(real_fsync, fd);
}
