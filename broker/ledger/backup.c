/* A copy of everything durable, sealed and then read back. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/segment.h"
#include "proto/refusal.h"

enum { CHUNK = 1 << 20 };

static int dir_empty(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    int r = 0;

    if (!dir)
        return -errno;
    while (!r && (e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = -ENOTEMPTY;
    closedir(dir);
    return r;
}

static int bytes_copy(int from, int to, uint64_t n, uint8_t *chunk)
{
    uint64_t at = 0;
    int r = 0;

    while (!r && at < n) {
        size_t k = n - at < CHUNK ? (size_t)(n - at) : CHUNK;

        r = file_pread_all(from, chunk, k, at);
        if (!r)
            r = file_pwrite_all(to, chunk, k, at);
        at += k;
    }
    if (!r && fsync(to))
        r = -errno;
    return r;
}

static int segment_copy(struct ledger *l, const char *to, uint64_t number,
                        uint64_t n)
{
    uint8_t *chunk = malloc(CHUNK);
    int from = segment_fd(l, number);
    int fd = segment_open(to, number, O_WRONLY | O_CREAT | O_EXCL);
    int r = !chunk ? -ENOMEM : from < 0 ? from : fd < 0 ? fd : 0;

    if (!r)
        r = bytes_copy(from, fd, n, chunk);
    if (fd >= 0)
        close(fd);
    free(chunk);
    return r;
}

static int copy(struct ledger *l, const char *to)
{
    struct seal seal = {
        .at = l->durable, .ledger = l->id, .last_bytes = l->durable.offset};
    int r = dir_make(to, 0700);

    if (!r)
        r = dir_empty(to);
    for (uint64_t k = 1; !r && k <= l->durable.segment; k++)
        r = segment_copy(l, to, k,
                         k == l->durable.segment ? l->durable.offset
                                                 : segment_end(l, k));
    return r ? r : seal_write(to, &seal);
}

/* Sealed, so every byte is looked at and nothing is changed. */
static int check(struct ledger *l, const char *to)
{
    struct ledger_options o = {
        .dir = to,
        .env = l->env,
        .check_bytes = UINT64_MAX,
        .read_only = true,
    };
    struct ledger_head head;
    struct ledger *copied;
    int r = ledger_open(&copied, &o, &head);

    if (r)
        return trouble_say(l->trouble, r > 0 ? -EUCLEAN : r,
                           "the copy does not pass: %.400s", head.trouble);
    ledger_close(&copied);
    return 0;
}

int ledger_backup(struct ledger *l, const char *to)
{
    int r = copy(l, to);

    if (r)
        return trouble_say(l->trouble, r, "copying to %s: %s", to,
                           strerror(-r));
    return check(l, to);
}
