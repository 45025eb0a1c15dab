/* See leftover.h. */
#include "tests/sim/world/leftover.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/ledger/segment.h"
#include "tests/sim/world/disk.h"

#define SEGMENT DISK_ROOT "/segment-0000000001"

static void must(bool done)
{
    if (!done)
        abort();
}

static void file_make(const char *path, int byte)
{
    uint8_t bytes[4096];
    int fd = open(path, O_RDWR | O_CREAT, 0600);

    memset(bytes, byte, sizeof bytes);
    must(fd >= 0 && pwrite(fd, bytes, sizeof bytes, 0) == sizeof bytes &&
         fdatasync(fd) == 0);
    close(fd);
}

static bool is_whole(const char *path)
{
    uint8_t bytes[4096];
    int fd = open(path, O_RDONLY);
    bool all =
        fd >= 0 && pread(fd, bytes, sizeof bytes, 0) == sizeof bytes && *bytes;

    close(fd);
    return all && !memcmp(bytes, bytes + 1, sizeof bytes - 1);
}

bool leftover_is_cleared_safely(uint64_t seed)
{
    bool is_there;
    int dir;

    disk_reset(seed);
    must(mkdir(DISK_ROOT, 0700) == 0);
    file_make(SEGMENT, 'a');
    dir = open(DISK_ROOT, O_RDONLY | O_DIRECTORY);
    must(fsync(dir) == 0);
    file_make(SEGMENT ".new", 'b');
    must(link(SEGMENT, SEGMENT ".old") == 0 &&
         rename(SEGMENT ".new", SEGMENT) == 0);
    disk_restart();
    must(thinning_clear(DISK_ROOT) == 0);
    disk_lose_power();
    is_there = is_whole(SEGMENT);
    disk_free();
    return is_there;
}
