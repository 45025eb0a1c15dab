/* Files that survive a crash: atomic replacement, synced directories, one
 * daemon per directory.
 *
 * All functions return 0 or a negative errno. After a failed write or sync
 * nothing is known about the bytes on disk: the caller exits and reopens, it
 * never tries the sync again.
 *
 * Threads: any; two writers of the same path are the caller's mistake. */
#ifndef CHOIR_BROKER_BASE_FILE_H
#define CHOIR_BROKER_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FILE_MUST_CHECK __attribute__((warn_unused_result))

/* Write all of it, through short writes and signals. */
int file_write_all(int fd, const void *bytes, size_t len) FILE_MUST_CHECK;
int file_pwrite_all(int fd, const void *bytes, size_t len, uint64_t at)
    FILE_MUST_CHECK;

/* Does that error say that there is no room: on the disk, of a quota, or below
 * a limit on sizes? */
bool file_no_room(int r);

/* Read exactly len bytes at an offset. -ENODATA: the file ends before. */
int file_pread_all(int fd, void *bytes, size_t len, uint64_t at)
    FILE_MUST_CHECK;

/* Read a whole regular file of at most max_bytes.
 * bytes: owned by the caller (free), with a NUL after the last byte that is
 * not counted in len. -EFBIG: longer than max_bytes. -EINVAL: not a regular
 * file. On failure nothing is set. */
int file_read_whole(const char *path, size_t max_bytes, char **bytes,
                    size_t *len) FILE_MUST_CHECK;

/* Replace path by these bytes, so that after a crash there is either the old
 * file or the new one, whole. Durable when it returns 0. mode is exact, the
 * umask does not apply. A leftover PATH.new of a crash is overwritten. */
int file_write_atomic(const char *path, const void *bytes, size_t len,
                      mode_t mode) FILE_MUST_CHECK;

/* The same for what is written piece by piece: open, write to the fd, commit.
 * commit and abort free it and set *self_p to NULL, whatever they return; a
 * failed commit leaves the old file if the rename had not happened. abort
 * accepts NULL and fits __attribute__((cleanup)). */
struct file_atomic;

int file_atomic_open(const char *path, mode_t mode, struct file_atomic **out)
    FILE_MUST_CHECK;
int file_atomic_fd(const struct file_atomic *self);
int file_atomic_commit(struct file_atomic **self_p) FILE_MUST_CHECK;
void file_atomic_abort(struct file_atomic **self_p);

/* Make the names in a directory durable: after creating, renaming or removing
 * a file in it. */
int dir_sync(const char *path) FILE_MUST_CHECK;

/* The same for the directory that path is in. */
int dir_sync_parent(const char *path) FILE_MUST_CHECK;

/* Create a directory and the missing ones above it; each new name is synced.
 * The last one gets mode, those above 0777 less the umask. An existing
 * directory is left as it is. -ENOTDIR: something else has the name. */
int dir_make(const char *path, mode_t mode) FILE_MUST_CHECK;

/* Take path/LOCK for this process; the lock goes when lock_fd is closed or the
 * process ends, and LOCK stays. A fork holds it too until it ends or closes
 * lock_fd (it is close-on-exec).
 * -EBUSY: another process has it; then *holder is its pid, 0 if not known. */
int dir_lock(const char *path, int *lock_fd, pid_t *holder) FILE_MUST_CHECK;

#endif
