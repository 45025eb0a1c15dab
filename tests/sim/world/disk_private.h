/* What disk.c keeps and disk_calls.c is called for. */
#ifndef CHOIR_TESTS_SIM_DISK_PRIVATE_H
#define CHOIR_TESTS_SIM_DISK_PRIVATE_H

#include <sys/types.h>

#include "tests/sim/world/disk.h"

enum { DISK_FDS = 1 << 20, DISK_FDS_MAX = 256, DISK_PATH = 192 };

/* Bytes written, or, without any, the length it was cut or extended to. */
struct disk_change {
    uint64_t number, at;
    size_t n;
    uint8_t *bytes; /* owned; NULL: a new length */
};

struct disk_image {
    uint8_t *p; /* owned */
    size_t n, room;
};

struct disk_file {
    struct disk_image live, safe;
    struct disk_change *changes; /* owned; not synced, in order */
    size_t count, cap;
    struct disk_file *next;
    uint64_t inode;
    unsigned names; /* of those a running system sees */
    bool locked;
};

struct disk_name {
    char path[DISK_PATH];
    struct disk_file *file; /* NULL: a directory */
};

/* All functions: 0 or more; -1 and errno. */
int disk_open(const char *path, int flags);
int disk_close(int fd);
ssize_t disk_read(int fd, void *bytes, size_t n, off_t at, bool moves);
ssize_t disk_write(int fd, const void *bytes, size_t n, off_t at, bool moves);
int disk_sync(int fd);
int disk_truncate(int fd, uint64_t n);
/* As fallocate: longer, never shorter. */
int disk_allocate(int fd, uint64_t n);
int disk_rename(const char *from, const char *to);
int disk_link(const char *from, const char *to);
int disk_unlink(const char *path);
int disk_mkdir(const char *path);
/* 0: a file, 1: a directory; *n, *inode: of a file. */
int disk_stat(const char *path, uint64_t *n, uint64_t *inode);
int disk_fstat(int fd, uint64_t *n, uint64_t *inode);
unsigned disk_links(int fd);
uint64_t disk_free_bytes(void);
int disk_lock(int fd);
/* The name of the i-th file in a directory; NULL: no more. */
const char *disk_entry(const char *dir, size_t i);

#endif
