/* Files that survive a crash; see file.h. */
#include "broker/base/file.h"

#include "broker/base/failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_SUFFIX ".new"
#define READ_START_BYTES 4096u

struct file_atomic {
    int fd;
    char *path; /* owned */
    char *temp; /* owned */
};

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

#define FD_AUTO __attribute__((cleanup(fd_close))) int

static void text_free(char **text)
{
    free(*text);
}

#define TEXT_AUTO __attribute__((cleanup(text_free))) char *

int file_write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int file_pwrite_all(int fd, const void *bytes, size_t len, uint64_t at)
{
    const char *from = bytes;

    while (len) {
        ssize_t n = pwrite(fd, from, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        from += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

bool file_no_room(int r)
{
    return r == -ENOSPC || r == -EDQUOT || r == -EFBIG;
}

int file_pread_all(int fd, void *bytes, size_t len, uint64_t at)
{
    char *to = bytes;

    while (len) {
        ssize_t n = pread(fd, to, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ENODATA;
        to += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* Reads to the end instead of trusting st_size: the file may be growing, and
 * files of /proc say 0. One byte more than allowed is enough to refuse. */
static int fd_read_to_end(int fd, size_t max_bytes, char **bytes, size_t *len)
{
    TEXT_AUTO buf = NULL;
    size_t room = 0;
    size_t used = 0;

    for (;;) {
        ssize_t n;

        if (used == room) {
            size_t more = room ? room * 2 : READ_START_BYTES;
            char *grown = realloc(buf, more + 1);

            if (!grown)
                return -ENOMEM;
            buf = grown;
            room = more;
        }
        n = read(fd, buf + used, room - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t)n;
        if (used > max_bytes)
            return -EFBIG;
    }
    buf[used] = '\0';
    *bytes = buf;
    *len = used;
    buf = NULL;
    return 0;
}

int file_read_whole(const char *path, size_t max_bytes, char **bytes,
                    size_t *len)
{
    /* O_NONBLOCK so that a pipe in the file's place is refused below and does
     * not hang the start. */
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st))
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    return fd_read_to_end(fd, max_bytes, bytes, len);
}

static void atomic_free(struct file_atomic *self)
{
    fd_close(&self->fd);
    free(self->path);
    free(self->temp);
    free(self);
}

int file_atomic_open(const char *path, mode_t mode, struct file_atomic **out)
{
    struct file_atomic *self = calloc(1, sizeof(*self));
    int rc = 0;

    if (!self)
        return -ENOMEM;
    self->fd = -1;
    self->path = strdup(path);
    if (!self->path || asprintf(&self->temp, "%s" TEMP_SUFFIX, path) < 0) {
        self->temp = NULL;
        atomic_free(self);
        return -ENOMEM;
    }
    /* A leftover may have wider permissions than mode: a secret must not pass
     * through it. */
    if (unlink(self->temp) && errno != ENOENT)
        rc = -errno;
    if (!rc) {
        self->fd =
            open(self->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (self->fd < 0 || fchmod(self->fd, mode))
            rc = -errno;
    }
    if (rc) {
        file_atomic_abort(&self);
        return rc;
    }
    *out = self;
    return 0;
}

int file_atomic_fd(const struct file_atomic *self)
{
    return self->fd;
}

static int atomic_finish(struct file_atomic *self)
{
    int fd = self->fd;

    if (fsync(fd))
        return -errno;
    self->fd = -1;
    if (close(fd))
        return -errno;
    FAILPOINT("file_synced");
    if (rename(self->temp, self->path))
        return -errno;
    FAILPOINT("file_renamed");
    return dir_sync_parent(self->path);
}

int file_atomic_commit(struct file_atomic **self_p)
{
    int rc = atomic_finish(*self_p);

    /* After a successful rename there is no temp to remove: ENOENT. */
    file_atomic_abort(self_p);
    return rc;
}

void file_atomic_abort(struct file_atomic **self_p)
{
    if (!self_p || !*self_p)
        return;
    unlink((*self_p)->temp);
    atomic_free(*self_p);
    *self_p = NULL;
}

int file_write_atomic(const char *path, const void *bytes, size_t len,
                      mode_t mode)
{
    struct file_atomic *file = NULL;
    int rc = file_atomic_open(path, mode, &file);

    if (rc)
        return rc;
    rc = file_write_all(file_atomic_fd(file), bytes, len);
    if (rc) {
        file_atomic_abort(&file);
        return rc;
    }
    return file_atomic_commit(&file);
}

int dir_sync(const char *path)
{
    FD_AUTO fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd))
        return -errno;
    return 0;
}

/* Owned by the caller; NULL when out of memory. "a//b/" is in "a". */
static char *parent_of(const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len && path[len - 1] != '/')
        len--;
    if (!len)
        return strdup(".");
    while (len > 1 && path[len - 1] == '/')
        len--;
    return strndup(path, len);
}

int dir_sync_parent(const char *path)
{
    TEXT_AUTO parent = parent_of(path);

    return parent ? dir_sync(parent) : -ENOMEM;
}

static int dir_exists(const char *path)
{
    struct stat st;

    if (stat(path, &st))
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* Recursion is as deep as the path has parts, which PATH_MAX bounds. */
int dir_make(const char *path, mode_t mode)
{
    int rc = dir_exists(path);

    if (rc != -ENOENT)
        return rc;
    TEXT_AUTO parent = parent_of(path);
    if (!parent)
        return -ENOMEM;
    if (!strcmp(parent, path))
        return -ENOENT;
    rc = dir_make(parent, 0777);
    if (rc)
        return rc;
    if (mkdir(path, mode))
        return errno == EEXIST ? dir_exists(path) : -errno;
    return dir_sync(parent);
}

static pid_t lock_holder(int fd)
{
    char text[24] = {0};
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;

    return pid > 0 ? (pid_t)pid : 0;
}

/* The pid is for people only, so it need not be durable; the lock is flock's,
 * which no stale file can hold. */
static int lock_sign(int fd)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    if (ftruncate(fd, 0))
        return -errno;
    return file_pwrite_all(fd, text, (size_t)n, 0);
}

int dir_lock(const char *path, int *lock_fd, pid_t *holder)
{
    TEXT_AUTO name = NULL;
    int rc;

    *holder = 0;
    if (asprintf(&name, "%s/LOCK", path) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    FD_AUTO fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK)
            return -errno;
        *holder = lock_holder(fd);
        return -EBUSY;
    }
    rc = lock_sign(fd);
    if (rc)
        return rc;
    *lock_fd = fd;
    fd = -1;
    return 0;
}
