/* The calls of the kernel that the broker makes about files. Defined in the
 * program itself, they come before the C library's; whatever is not about a
 * path below DISK_ROOT goes on to the kernel. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/sim/world/disk_private.h"

enum { PARTS_BYTES = 1 << 24 };

static bool ours(const char *path)
{
    return !strncmp(path, DISK_ROOT, sizeof DISK_ROOT - 1);
}

static bool ours_fd(int fd)
{
    return fd >= DISK_FDS;
}

int open(const char *path, int flags, ...)
{
    va_list more;
    int mode;

    va_start(more, flags);
    mode = va_arg(more, int);
    va_end(more);
    if (ours(path))
        return disk_open(path, flags);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int close(int fd)
{
    return ours_fd(fd) ? disk_close(fd) : (int)syscall(SYS_close, fd);
}

ssize_t read(int fd, void *bytes, size_t n)
{
    return ours_fd(fd) ? disk_read(fd, bytes, n, 0, true)
                       : syscall(SYS_read, fd, bytes, n);
}

ssize_t pread(int fd, void *bytes, size_t n, off_t at)
{
    return ours_fd(fd) ? disk_read(fd, bytes, n, at, false)
                       : syscall(SYS_pread64, fd, bytes, n, at);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    return ours_fd(fd) ? disk_write(fd, bytes, n, 0, true)
                       : syscall(SYS_write, fd, bytes, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return ours_fd(fd) ? disk_write(fd, bytes, n, at, false)
                       : syscall(SYS_pwrite64, fd, bytes, n, at);
}

/* One write, as the kernel does it. */
ssize_t pwritev(int fd, const struct iovec *part, int parts, off_t at)
{
    static char *all;
    size_t n = 0;

    if (!ours_fd(fd))
        abort(); /* nobody here does that */
    if (!all)
        all = malloc(PARTS_BYTES);
    for (int i = 0; i < parts; i++) {
        if (!all || n + part[i].iov_len > PARTS_BYTES)
            abort();
        if (part[i].iov_len)
            memcpy(all + n, part[i].iov_base, part[i].iov_len);
        n += part[i].iov_len;
    }
    return disk_write(fd, all, n, at, false);
}

int fsync(int fd)
{
    return ours_fd(fd) ? disk_sync(fd) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return ours_fd(fd) ? disk_sync(fd) : (int)syscall(SYS_fdatasync, fd);
}

int sync_file_range(int fd, off_t at, off_t n, unsigned flags)
{
    (void)fd, (void)at, (void)n, (void)flags; /* promises nothing */
    return 0;
}

int posix_fadvise(int fd, off_t at, off_t n, int advice)
{
    (void)fd, (void)at, (void)n, (void)advice;
    return 0;
}

int ftruncate(int fd, off_t n)
{
    return ours_fd(fd) ? disk_truncate(fd, (uint64_t)n)
                       : (int)syscall(SYS_ftruncate, fd, n);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    if (!ours_fd(fd) || mode)
        abort();
    return disk_allocate(fd, (uint64_t)(at + n));
}

int fchmod(int fd, mode_t mode)
{
    return ours_fd(fd) ? 0 : (int)syscall(SYS_fchmod, fd, mode);
}

int flock(int fd, int how)
{
    return ours_fd(fd) ? disk_lock(fd) : (int)syscall(SYS_flock, fd, how);
}

int rename(const char *from, const char *to)
{
    return ours(from) ? disk_rename(from, to)
                      : (int)syscall(SYS_rename, from, to);
}

int link(const char *from, const char *to)
{
    return ours(from) ? disk_link(from, to) : (int)syscall(SYS_link, from, to);
}

int unlink(const char *path)
{
    return ours(path) ? disk_unlink(path) : (int)syscall(SYS_unlink, path);
}

int mkdir(const char *path, mode_t mode)
{
    return ours(path) ? disk_mkdir(path) : (int)syscall(SYS_mkdir, path, mode);
}

int access(const char *path, int how)
{
    uint64_t n, inode;

    if (!ours(path))
        return (int)syscall(SYS_access, path, how);
    return disk_stat(path, &n, &inode) < 0 ? -1 : 0;
}

static int stat_fill(struct stat *st, int kind, uint64_t n, uint64_t inode)
{
    if (kind < 0)
        return -1;
    *st = (struct stat){
        .st_mode = kind ? S_IFDIR | 0700 : S_IFREG | 0600,
        .st_size = (off_t)n,
        .st_blocks = (blkcnt_t)(n / 512),
        .st_ino = inode,
        .st_dev = 1,
        .st_nlink = 1,
    };
    return 0;
}

int stat(const char *path, struct stat *st)
{
    uint64_t n = 0, inode = 0;
    int kind;

    if (!ours(path))
        return (int)syscall(SYS_newfstatat, AT_FDCWD, path, st, 0);
    kind = disk_stat(path, &n, &inode);
    return stat_fill(st, kind, n, inode);
}

int fstat(int fd, struct stat *st)
{
    uint64_t n = 0, inode = 0;
    int kind;

    if (!ours_fd(fd))
        return (int)syscall(SYS_fstat, fd, st);
    kind = disk_fstat(fd, &n, &inode);
    if (stat_fill(st, kind, n, inode))
        return -1;
    st->st_nlink = disk_links(fd);
    return 0;
}

int fstatvfs(int fd, struct statvfs *fs)
{
    if (!ours_fd(fd))
        abort();
    *fs = (struct statvfs){
        .f_bsize = 512,
        .f_frsize = 512,
        .f_bavail = disk_free_bytes() / 512,
    };
    return 0;
}

/* What a thread would do to itself, which here is none. */
int setpriority(__priority_which_t which, id_t who, int nice)
{
    (void)which, (void)who, (void)nice;
    return 0;
}

/* A place in a directory of ours; libc's DIR is opaque to its users. */
struct __dirstream {
    char path[DISK_PATH];
    size_t next;
    struct dirent entry;
};

DIR *opendir(const char *path)
{
    DIR *dir;

    if (!ours(path) || strlen(path) >= DISK_PATH)
        abort();
    dir = calloc(1, sizeof *dir);
    if (dir)
        strcpy(dir->path, path);
    return dir;
}

struct dirent *readdir(DIR *dir)
{
    const char *name = disk_entry(dir->path, dir->next++);

    if (!name)
        return NULL;
    strncpy(dir->entry.d_name, name, sizeof dir->entry.d_name - 1);
    return &dir->entry;
}

void rewinddir(DIR *dir)
{
    dir->next = 0;
}

int closedir(DIR *dir)
{
    free(dir);
    return 0;
}
