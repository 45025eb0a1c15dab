/* The state checkpoint's container, read as docs/ledger-format.md says. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/merkle.h"
#include "proto/refusal.h"
#include "tools/verify.h"

enum {
    HEADER_BYTES = 2296,
    SUM_BYTES = 16,
    EDGE_AT = 136,
    BLOCK_HEAD_BYTES = 32,
};

int verify_file_open(const char *dir, const char *name, int *fd, uint64_t *n)
{
    char path[PATH_MAX];
    struct stat st;
    int r = snprintf(path, sizeof path, "%s/%s", dir, name);

    if (r < 0 || (size_t)r >= sizeof path)
        return -ENAMETOOLONG;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return -errno;
    r = fstat(*fd, &st) ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    if (r)
        close(*fd);
    else
        *n = (uint64_t)st.st_size;
    return r;
}

int verify_file_get(int fd, uint8_t *to, size_t n, uint64_t offset)
{
    while (n) {
        ssize_t k = pread(fd, to, n, (off_t)offset);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k ? -errno : -EAGAIN; /* it got shorter meanwhile */
        to += k;
        n -= (size_t)k;
        offset += (uint64_t)k;
    }
    return 0;
}

int verify_file_read(const char *dir, const char *name, uint8_t **bytes,
                     size_t *n)
{
    uint64_t size;
    int fd, r = verify_file_open(dir, name, &fd, &size);

    if (r)
        return r;
    *n = (size_t)size;
    *bytes = malloc(*n + 1);
    r = *bytes ? verify_file_get(fd, *bytes, *n, 0) : -ENOMEM;
    if (r) {
        free(*bytes);
        *bytes = NULL;
    }
    close(fd);
    return r;
}

static bool sum_fits(const uint8_t *sum, struct bytes before, struct bytes head,
                     struct bytes data)
{
    struct hash h = hash_parts(HASH_SUM, before, head, data);

    return memcmp(h.b, sum, SUM_BYTES) == 0;
}

static int broken(char why[VERIFY_WHY], const char *text)
{
    snprintf(why, VERIFY_WHY, "%s", text);
    return CHOIR_BROKEN;
}

static int header_check(struct snapshot_claim *claim, const uint8_t *p,
                        size_t n, char why[VERIFY_WHY])
{
    struct frontier tree;

    if (n < HEADER_BYTES || memcmp(p, "CHOIRSNP", 8) != 0 ||
        !sum_fits(p + HEADER_BYTES - SUM_BYTES, (struct bytes){0},
                  bytes_of(p, HEADER_BYTES - SUM_BYTES), (struct bytes){0}))
        return broken(why, "the header does not fit its checksum");
    if (get_u32(p + 8) != 1)
        return broken(why, "it has a format newer than 1");
    frontier_init(&tree);
    tree.size = claim->size = get_u64(p + 56);
    tree.depth = get_u32(p + 12);
    if (tree.depth != (unsigned)__builtin_popcountll(tree.size))
        return broken(why, "the header contradicts itself");
    for (unsigned i = 0; i < tree.depth; i++)
        memcpy(tree.edge[i].b, p + EDGE_AT + i * HASH_BYTES, HASH_BYTES);
    memcpy(claim->ledger.b, p + 16, HASH_BYTES);
    memcpy(claim->group.b, p + 72, HASH_BYTES);
    claim->root = frontier_root(&tree);
    return 0;
}

static int records_check(struct bytes data, uint32_t records)
{
    struct cursor c = cursor_of(data);

    while (!c.failed && records--)
        cursor_take(&c, cursor_u32(&c));
    return c.failed || cursor_left(&c) ? CHOIR_BROKEN : 0;
}

static int blocks_check(const uint8_t *p, size_t n, char why[VERIFY_WHY])
{
    struct bytes before = bytes_of(p + HEADER_BYTES - SUM_BYTES, SUM_BYTES);
    struct cursor c = cursor_of(bytes_of(p, n));
    uint64_t all = 0;
    uint32_t records;

    cursor_take(&c, HEADER_BYTES);
    do {
        struct bytes head = cursor_take(&c, BLOCK_HEAD_BYTES), data;

        if (c.failed)
            return broken(why, "it ends too early");
        data = cursor_take(&c, get_u32(head.p));
        records = get_u32(head.p + 4);
        all += records;
        if (c.failed ||
            !sum_fits(head.p + 16, before, bytes_of(head.p, 16), data) ||
            get_u64(head.p + 8) != all || records_check(data, records))
            return broken(why, "a block does not fit its checksum");
        before = bytes_of(head.p + 16, SUM_BYTES);
    } while (records);
    return cursor_left(&c) ? broken(why, "it goes on behind its end") : 0;
}

int verify_snapshot(const char *dir, struct snapshot_claim *claim,
                    char why[VERIFY_WHY])
{
    uint8_t *bytes;
    size_t n;
    int r = verify_file_read(dir, "state.snapshot", &bytes, &n);

    *claim = (struct snapshot_claim){0};
    if (r == -ENOENT)
        return 0;
    if (r) {
        snprintf(why, VERIFY_WHY, "%s", strerror(-r));
        return r;
    }
    claim->there = true;
    r = header_check(claim, bytes, n, why);
    if (!r)
        r = blocks_check(bytes, n, why);
    free(bytes);
    return r;
}
