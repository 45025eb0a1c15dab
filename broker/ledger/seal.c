/* The seal of a clean stop; layout in docs/ledger-format.md. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/failpoint.h"
#include "broker/base/file.h"
#include "broker/ledger/segment.h"
#include "proto/refusal.h"

enum { SEAL_BYTES = 152, SEAL_SUMMED = 136, SEAL_FORMAT = 1, SUM_BYTES = 16 };

#define SEAL_NAME "seal"
static const char magic[9] = "CHOIRSEA";

static void seal_put(uint8_t out[SEAL_BYTES], const struct seal *s)
{
    struct hash sum;

    memset(out, 0, SEAL_BYTES);
    memcpy(out, magic, 8);
    put_u32(out + 8, SEAL_FORMAT);
    memcpy(out + 16, s->ledger.b, HASH_BYTES);
    put_u64(out + 48, s->at.size);
    put_u64(out + 56, s->at.epoch);
    put_u64(out + 64, s->at.time);
    put_u64(out + 72, s->at.segment);
    put_u64(out + 80, s->at.offset);
    put_u64(out + 88, s->last_bytes);
    put_u64(out + 96, s->spare_bytes);
    memcpy(out + 104, s->at.group.b, HASH_BYTES);
    sum = hash_of(HASH_SUM, bytes_of(out, SEAL_SUMMED));
    memcpy(out + SEAL_SUMMED, sum.b, SUM_BYTES);
}

static int seal_get(struct ledger *l, struct seal *s, const uint8_t *in,
                    size_t n)
{
    struct hash sum;

    if (n == SEAL_BYTES)
        sum = hash_of(HASH_SUM, bytes_of(in, SEAL_SUMMED));
    if (n != SEAL_BYTES || memcmp(in, magic, 8) != 0 ||
        memcmp(sum.b, in + SEAL_SUMMED, SUM_BYTES) != 0)
        return trouble_say(l->trouble, -EUCLEAN,
                           "damage: the file 'seal' does not fit its checksum");
    if (get_u32(in + 8) != SEAL_FORMAT)
        return trouble_say(l->trouble, CHOIR_UNSUPPORTED,
                           "the seal has format %u, this release reads %u; "
                           "use the release that wrote it",
                           (unsigned)get_u32(in + 8), (unsigned)SEAL_FORMAT);
    memcpy(s->ledger.b, in + 16, HASH_BYTES);
    s->at.size = get_u64(in + 48);
    s->at.epoch = get_u64(in + 56);
    s->at.time = get_u64(in + 64);
    s->at.segment = get_u64(in + 72);
    s->at.offset = get_u64(in + 80);
    s->last_bytes = get_u64(in + 88);
    s->spare_bytes = get_u64(in + 96);
    memcpy(s->at.group.b, in + 104, HASH_BYTES);
    return 0;
}

int seal_read(struct ledger *l, struct seal *seal)
{
    char path[PATH_MAX], *bytes;
    size_t n;
    int r = path_join(path, l->dir, SEAL_NAME);

    if (r)
        return r;
    r = file_read_whole(path, 4096, &bytes, &n);
    if (r == -ENOENT)
        return CHOIR_NOT_FOUND;
    if (r)
        return trouble_say(l->trouble, r == -EFBIG ? -EUCLEAN : r,
                           "the file 'seal' cannot be read: %s", strerror(-r));
    r = seal_get(l, seal, (const uint8_t *)bytes, n);
    free(bytes);
    return r;
}

int seal_write(const char *dir, const struct seal *seal)
{
    uint8_t out[SEAL_BYTES];
    struct file_atomic *file = NULL;
    char path[PATH_MAX];
    int r = path_join(path, dir, SEAL_NAME);

    if (!r)
        r = file_atomic_open(path, 0600, &file);
    if (r)
        return r;
    seal_put(out, seal);
    r = file_write_all(file_atomic_fd(file), out, SEAL_BYTES / 2);
    FAILPOINT("ledger.seal.half");
    if (!r)
        r = file_write_all(file_atomic_fd(file), out + SEAL_BYTES / 2,
                           SEAL_BYTES - SEAL_BYTES / 2);
    if (!r)
        return file_atomic_commit(&file);
    file_atomic_abort(&file);
    return r;
}

int seal_remove(struct ledger *l)
{
    char path[PATH_MAX];
    int r;

    if (!l->sealed)
        return 0;
    r = path_join(path, l->dir, SEAL_NAME);
    if (!r && unlink(path))
        r = -errno;
    if (!r)
        r = dir_sync(l->dir);
    if (!r)
        l->sealed = false;
    return r;
}
