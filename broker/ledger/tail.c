/* Where a crash left something behind the last good group: was any of it ever
 * known durable? Then it is damage. If not, it is kept aside and cut. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/segment.h"
#include "proto/refusal.h"

enum { CHUNK = 65536, CUT_TRIES = 10000 };

int zeros_from(int fd, uint64_t from, uint64_t to, uint64_t *last)
{
    static const uint8_t zeros[CHUNK];
    uint8_t chunk[CHUNK];

    *last = from;
    while (from < to) {
        size_t n = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
        int r = file_pread_all(fd, chunk, n, from);

        if (r)
            return r;
        if (memcmp(chunk, zeros, n) != 0) {
            size_t k = n;

            while (chunk[k - 1] == 0)
                k--;
            *last = from + k;
        }
        from += n;
    }
    return 0;
}

/* The highest mark in any group header from X on. */
static int mark_find(struct scan *s, uint64_t *synced)
{
    uint64_t at = s->at.offset;
    struct group_header g;
    const uint8_t *p;
    int r;

    *synced = s->at.size && s->group.synced > s->header.first ? s->group.synced
                                                              : s->header.first;
    for (; s->length - at >= GROUP_HEADER_BYTES; at += GROUP_ALIGN) {
        r = window_get(&s->window, 0, s->fd, at, GROUP_HEADER_BYTES, s->length,
                       &p);
        if (r)
            return r;
        if (!group_header_get(&g, p, s->header.nonce, at) && g.synced > *synced)
            *synced = g.synced;
    }
    return 0;
}

static void cut_name(char name[NAME_MAX], uint64_t index, unsigned k)
{
    snprintf(name, NAME_MAX, "cut-%012" PRIu64 "-%u", index, k);
}

/* Keep what is cut: a name that is not taken, durable before anything goes. */
int tail_keep(struct ledger *l, int fd, const struct mark *from, uint64_t to)
{
    char name[NAME_MAX], path[PATH_MAX];
    size_t n = (size_t)(to - from->offset);
    uint8_t *bytes = malloc(n);
    int r = bytes ? 0 : -ENOMEM;

    if (!r)
        r = file_pread_all(fd, bytes, n, from->offset);
    for (unsigned k = 1; !r; k++) {
        cut_name(name, from->size, k);
        r = path_join(path, l->dir, name);
        if (!r && access(path, F_OK) == 0 && k < CUT_TRIES)
            continue;
        if (!r)
            r = file_write_atomic(path, bytes, n, 0600);
        break;
    }
    free(bytes);
    return r;
}

int file_wipe(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[CHUNK];
    int r = 0;

    for (; !r && from < to; from += CHUNK) {
        size_t n = to - from < CHUNK ? (size_t)(to - from) : CHUNK;

        r = file_pwrite_all(fd, zeros, n, from);
    }
    if (!r && fdatasync(fd))
        r = -errno;
    return r;
}

static int tail_damaged(struct ledger *l, const struct scan *s, uint64_t synced)
{
    return trouble_say(
        l->trouble, -EUCLEAN,
        "damage in segment %u at byte %llu, at entry %llu: %s; "
        "it was known durable up to entry %llu, so nothing is "
        "cut",
        (unsigned)s->at.segment, (unsigned long long)s->at.offset,
        (unsigned long long)s->at.size, s->why, (unsigned long long)synced);
}

int tail_settle(struct ledger *l, struct scan *s)
{
    uint64_t last, synced;
    int r = zeros_from(s->fd, s->at.offset, s->length, &last);

    if (r || last == s->at.offset)
        return r;
    if (l->sealed)
        return trouble_say(l->trouble, -EUCLEAN,
                           "damage in segment %u at byte %llu, at entry %llu: "
                           "%s; the record was sealed",
                           (unsigned)s->at.segment,
                           (unsigned long long)s->at.offset,
                           (unsigned long long)s->at.size, s->why);
    r = mark_find(s, &synced);
    if (r)
        return r;
    if (synced > s->at.size)
        return tail_damaged(l, s, synced);
    if (l->read_only)
        return 0;
    r = tail_keep(l, s->fd, &s->at, last);
    return r ? r : file_wipe(s->fd, s->at.offset, last);
}

int tail_cut_pending(struct ledger *l, struct ledger_head *head)
{
    char name[NAME_MAX], path[PATH_MAX];
    struct stat st;
    int r;

    for (unsigned k = 1; k < CUT_TRIES; k++) {
        cut_name(name, l->written.size, k);
        r = path_join(path, l->dir, name);
        if (r)
            return r;
        if (stat(path, &st))
            return 0;
        head->cut = true;
        head->cut_at = l->written.size;
        head->cut_bytes = (uint64_t)st.st_size;
    }
    return 0;
}
