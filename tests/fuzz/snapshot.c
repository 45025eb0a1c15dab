/* The state checkpoint's file, read by the broker's reader and by verify's:
 * they must agree on what is whole.
 *
 * The first byte: odd, and checksums are made to fit. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/snapshot.h"
#include "proto/refusal.h"
#include "tests/fuzz/fuzz.h"
#include "tools/verify.h"

enum { HEADER_BYTES = 2296, BLOCK_HEAD = 32 };

static char dir[200], path[240];

static void leave(void)
{
    unlink(path);
    rmdir(dir);
}

static void arrive(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof dir, "%s/fuzz-XXXXXX", tmp ? tmp : "/tmp");
    if (crypto_start() || !mkdtemp(dir))
        abort();
    snprintf(path, sizeof path, "%s/%s", dir, SNAPSHOT_NAME);
    atexit(leave);
}

static void sum_put(uint8_t *to, struct bytes a, struct bytes b, struct bytes c)
{
    struct hash h = hash_parts(HASH_SUM, a, b, c);

    memcpy(to, h.b, 16);
}

static void mend(uint8_t *p, size_t n)
{
    struct bytes none = {0};
    uint8_t *before = p + HEADER_BYTES - 16;

    if (n < HEADER_BYTES)
        return;
    sum_put(before, none, bytes_of(p, HEADER_BYTES - 16), none);
    p += HEADER_BYTES;
    n -= HEADER_BYTES;
    while (n >= BLOCK_HEAD && get_u32(p) <= n - BLOCK_HEAD) {
        size_t data = get_u32(p);

        sum_put(p + 16, bytes_of(before, 16), bytes_of(p, 16),
                bytes_of(p + BLOCK_HEAD, data));
        before = p + 16;
        p += BLOCK_HEAD + data;
        n -= BLOCK_HEAD + data;
    }
}

static int read_all(void)
{
    char trouble[LEDGER_TROUBLE_BYTES];
    struct snapshot_facts facts;
    struct snapshot_reader *r;
    struct bytes record;
    int code = snapshot_open(&r, dir, &facts, trouble);

    if (code)
        return code;
    while ((code = snapshot_next(r, &record)) == 0)
        if (record.n && record.p[record.n - 1] == 0xee)
            continue; /* every byte that is given can be read */
    snapshot_close(&r);
    return code == CHOIR_NOT_FOUND ? 0 : code;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct snapshot_claim claim;
    char why[VERIFY_WHY];
    uint8_t *file;
    int a, b;

    if (size < 1)
        return 0;
    if (!dir[0])
        arrive();
    file = malloc(size);
    memcpy(file, bytes + 1, size - 1);
    if (bytes[0] & 1)
        mend(file, size - 1);
    unlink(path);
    if (file_write_atomic(path, file, size - 1, 0600))
        abort();
    free(file);
    a = read_all();
    b = verify_snapshot(dir, &claim, why);
    if ((a == 0) != (b == 0))
        abort();
    return 0;
}
