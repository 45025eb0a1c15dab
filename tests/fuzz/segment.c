/* A segment's file. The engine that opens it and the verifier that shares
 * nothing with it read the same bytes: what verify passes, the engine takes,
 * with the same size; and what the engine takes, it can read to the end or
 * says that it is damaged.
 *
 * The first byte: odd, and checksums and hashes are made to fit, so that what
 * lies behind them is reached. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/ledger.h"
#include "proto/refusal.h"
#include "tests/fuzz/fuzz.h"
#include "tools/verify.h"

static char dir[200], path[240];
static struct env *env;

static void leave(void)
{
    unlink(path);
    rmdir(dir);
    env_destroy(&env);
}

static void arrive(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof dir, "%s/fuzz-XXXXXX", tmp ? tmp : "/tmp");
    if (crypto_start() || !mkdtemp(dir))
        abort();
    snprintf(path, sizeof path, "%s/segment-0000000001", dir);
    env = env_sim_new(1);
    atexit(leave);
}

static void sum_put(uint8_t *to, struct bytes a, struct bytes b, struct bytes c)
{
    struct hash h = hash_parts(HASH_SUM, a, b, c);

    memcpy(to, h.b, 16);
}

static size_t group_mend(uint8_t *file, size_t at, size_t n,
                         const struct hash *prev)
{
    struct bytes none = {0};
    uint8_t *p = file + at, place[8];
    struct group_header g = {.heads_bytes = get_u64(p + 32),
                             .payload_bytes = get_u64(p + 40)};
    struct hash h;

    if (g.heads_bytes > n || g.payload_bytes > n || group_bytes(&g) > n - at)
        return n;
    if (memcmp(p, "CHGR", 4) != 0)
        return n;
    memcpy(p + 64, prev->b, HASH_BYTES);
    h = hash_parts(HASH_GROUP, bytes_of(p, 96),
                   bytes_of(p + GROUP_HEADER_BYTES, (size_t)g.heads_bytes),
                   none);
    memcpy(p + 96, h.b, HASH_BYTES);
    sum_put(p + 128, none, none, none);
    put_u64(place, at);
    sum_put(p + 144, bytes_of(file + 72, SEGMENT_NONCE_BYTES),
            bytes_of(place, 8), bytes_of(p, 144));
    return at + (size_t)group_bytes(&g);
}

static void mend(uint8_t *file, size_t n)
{
    struct bytes none = {0};
    struct hash prev = {{0}};

    if (n < SEGMENT_HEADER_BYTES)
        return;
    sum_put(file + 128, bytes_of(file, 128), none, none);
    for (size_t at = SEGMENT_HEADER_BYTES; n - at >= GROUP_HEADER_BYTES;) {
        size_t next = group_mend(file, at, n, &prev);

        memcpy(prev.b, file + at + 96, HASH_BYTES);
        at = next;
    }
}

/* Entries until the end or damage; by reader and by index alike. */
static void read_all(struct ledger *l)
{
    struct ledger_reader *r;
    const struct entry *e;

    if (ledger_reader_open(l, 0, &r))
        abort();
    while (ledger_reader_next(r, &e) == 0) {
        struct hash leaf = entry_leaf(e), again;
        uint64_t index = e->index;
        int code = ledger_entry(l, index, &e);

        if (code == 0)
            again = entry_leaf(e);
        else if (code != -EUCLEAN)
            abort();
        if (code == 0 && !hash_equal(&leaf, &again))
            abort();
    }
    ledger_reader_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct ledger_options o = {.dir = dir, .read_only = true};
    struct verify_report report;
    struct ledger_head head;
    struct ledger *l = NULL;
    uint8_t *file;
    int opened, verified;

    if (size < 1)
        return 0;
    if (!env)
        arrive();
    o.env = env;
    file = malloc(size);
    memcpy(file, bytes + 1, size - 1);
    if (bytes[0] & 1)
        mend(file, size - 1);
    unlink(path);
    if (file_write_atomic(path, file, size - 1, 0600))
        abort();
    free(file);
    opened = ledger_open(&l, &o, &head);
    verified = verify_ledger(dir, NULL, &report);
    if (verified == 0 && (opened || head.size != report.counts.entries))
        abort();
    if (!opened)
        read_all(l);
    ledger_close(&l);
    return 0;
}
