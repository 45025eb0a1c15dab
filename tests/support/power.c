/* Undoes what was not synced; see power.h. */
#include "tests/support/power.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512 };

static void must(bool done, const char *what)
{
    if (done)
        return;
    perror(what);
    abort();
}

/* -1: it is gone. */
static int open_inode(const char *dir, uint64_t inode)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int fd = -1;

    must(d, dir);
    while (fd < 0 && (e = readdir(d)))
        if (e->d_ino == inode)
            fd = openat(dirfd(d), e->d_name, O_RDWR | O_CLOEXEC);
    closedir(d);
    return fd;
}

static void put_back(int fd, const struct power_record *r, uint64_t from,
                     uint64_t to)
{
    const char *old = (const char *)(r + 1);

    must(pwrite(fd, old + from, to - from, (off_t)(r->at + from)) ==
             (ssize_t)(to - from),
         "pwrite");
}

/* Kept, gone, or gone here and there, in the units of a disk. */
static bool harm(int fd, const struct power_record *r, unsigned *seed)
{
    int fate = rand_r(seed) % 3;

    if (fate == 0)
        return false;
    for (uint64_t from = 0, to; from < r->bytes; from = to) {
        to = (r->at + from) / SECTOR * SECTOR + SECTOR - r->at;
        if (to > r->bytes)
            to = r->bytes;
        if (fate == 1 || rand_r(seed) % 2)
            put_back(fd, r, from, to);
    }
    return true;
}

static unsigned undo(const struct power_journal *j, const char *dir,
                     unsigned *seed)
{
    const char *first = (const char *)(j + 1);
    const struct power_record **all = NULL;
    unsigned n = 0, harmed = 0;

    for (uint64_t at = 0; at < j->used;) {
        const struct power_record *r = (const void *)(first + at);

        all = realloc(all, (n + 1) * sizeof *all);
        must(all, "realloc");
        all[n++] = r;
        at += power_record_bytes(r);
    }
    while (n--) { /* the newest first */
        int fd = all[n]->synced == 1 ? -1 : open_inode(dir, all[n]->file);

        if (fd < 0)
            continue;
        harmed += harm(fd, all[n], seed);
        close(fd);
    }
    free(all);
    return harmed;
}

unsigned power_lose(const char *journal, const char *dir, unsigned *seed)
{
    int fd = open(journal, O_RDWR | O_CLOEXEC);
    struct power_journal *j;
    unsigned harmed;

    must(fd >= 0, journal);
    j = mmap(NULL, POWER_JOURNAL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
             0);
    must(j != MAP_FAILED, "mmap");
    close(fd);
    harmed = undo(j, dir, seed);
    j->used = 0;
    munmap(j, POWER_JOURNAL_BYTES);
    return harmed;
}
