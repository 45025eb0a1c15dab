/* How near `choir verify` comes to what signatures and hashes allow: a ledger
 * of bundles of one put each (256 B), and of 64, is proven from its files; the
 * limit is the same signatures and hashes with nothing else, on all cores.
 *
 *   build/tests/bench/verify [BUNDLES]
 *
 * The best of several rounds of each, one after the other, so that whatever
 * else the machine does meets both. On a machine that others use too, the
 * fraction of processor time says more: it does not see who had to wait. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/merkle.h"
#include "tests/support/rig.h"
#include "tools/verify.h"

enum {
    VALUE = 256,
    HEADER = 200,
    HEAD = 96,
    TOGETHER = 64,
    ROUNDS = 9,
    CORES_MAX = 64,
    PIECES = 64
};

static struct rig rig;
static struct actor writer;
static struct verify_report report;

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "bench: %s\n", what);
    abort();
}

static double now_s(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- The ledger ---------------------------------------------------------- */

static void write_bundle(unsigned ops)
{
    static unsigned count;
    char key[40], value[VALUE + 1];
    struct bytes v = bytes_of(value, VALUE);
    struct told told;
    struct msg m;

    memset(value, 'v', VALUE);
    actor_begin(&writer);
    for (unsigned i = 0; i < ops; i++) {
        snprintf(key, sizeof key, "key/%u", count++ % 5000);
        msg_init(&m, MSG_PUT);
        msg_set_text(&m, FIELD_SPACE, "main");
        msg_set_text(&m, FIELD_KEY, key);
        actor_add(&writer, &m, &v, 1);
    }
    must(!actor_finish(&rig, &writer, &told), "put");
}

/* --- The limit ----------------------------------------------------------- */

static struct key_pair key;
static struct hash ledger;
static uint8_t header[HEADER], signature[KEY_SIGNATURE_BYTES];
static uint8_t stored[1 << 16];

/* What docs/ledger-format.md has a verifier hash for so many entries:
 * operation, statement, effect and payload, as quickly as they can be had
 * together; of each its leaf and, on average, one node above. */
static void entries_hash(size_t n)
{
    static const struct {
        enum hash_tag tag;
        size_t bytes;
    } kinds[] = {{HASH_OP, HEAD},
                 {HASH_ENTRY, 2 * HASH_BYTES + 4},
                 {HASH_EFFECT, HEAD / 4},
                 {HASH_SLOT, 16 + VALUE}};
    struct hash_job jobs[TOGETHER];
    struct hash out[TOGETHER];

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (size_t i = 0; i < n; i++)
            jobs[i] = (struct hash_job){bytes_of(stored, kinds[k].bytes), {0}};
        hash_many(kinds[k].tag, jobs, n, out);
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = tree_leaf(bytes_of(stored, ENTRY_LEAF_BYTES));
        out[i] = tree_node(&out[i], &out[0]);
    }
}

static atomic_uint taken;

/* Where that piece of so much work begins; what is before the next is its. */
static uint64_t piece_at(uint64_t all, unsigned piece)
{
    return all * piece / PIECES;
}

static uint64_t piece_of(uint64_t all, unsigned piece)
{
    return piece_at(all, piece + 1) - piece_at(all, piece);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void piece_do(unsigned piece)
{
    uint64_t bundles = piece_of(report.counts.bundles, piece),
             entries = piece_of(report.counts.entries, piece),
             bytes = piece_of(report.counts.bytes, piece);

    for (; bundles; bundles--) {
        must(!key_verify(key.public_key, KEY_FOR_BUNDLE, &ledger,
                         bytes_of(header, HEADER), signature),
             "signature");
        hash_of(HASH_BUNDLE, bytes_of(header, HEADER));
    }
    for (; entries; entries -= least(entries, TOGETHER))
        entries_hash(least(entries, TOGETHER));
    for (; bytes; bytes -= least(bytes, sizeof stored))
        hash_of(HASH_SUM, bytes_of(stored, least(bytes, sizeof stored)));
}

static void *pieces_do(void *arg)
{
    unsigned piece;

    while ((piece = atomic_fetch_add(&taken, 1)) < PIECES)
        piece_do(piece);
    return arg;
}

static void limit_reach(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t thread[CORES_MAX];

    cores = cores < 1 ? 1 : cores > CORES_MAX ? CORES_MAX : cores;
    atomic_store(&taken, 0);
    for (long i = 0; i < cores; i++)
        must(!pthread_create(&thread[i], NULL, pieces_do, NULL), "thread");
    for (long i = 0; i < cores; i++)
        pthread_join(thread[i], NULL);
}

/* --- Both ---------------------------------------------------------------- */

static void verify(void)
{
    int r = verify_ledger(rig.dir, NULL, &report);

    if (r)
        fprintf(stderr, "bench: %s: %s\n", report.in, report.why);
    must(!r, "verify");
}

struct cost {
    double wall, cpu; /* seconds; the least of all rounds */
};

static void measure(void (*what)(void), struct cost *best)
{
    double wall = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);

    what();
    wall = now_s(CLOCK_MONOTONIC) - wall;
    cpu = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    best->wall = wall < best->wall ? wall : best->wall;
    best->cpu = cpu < best->cpu ? cpu : best->cpu;
}

static void row(unsigned bundles, unsigned ops)
{
    struct cost best = {1e9, 1e9}, limit = {1e9, 1e9};
    double n;

    memset(&writer, 0, sizeof writer);
    rig_open(&rig);
    actor_join(&rig, &writer, "writer", "*", 127);
    for (unsigned i = 0; i < bundles; i++)
        write_bundle(ops);
    for (unsigned i = 0; i < ROUNDS; i++) {
        measure(verify, &best);
        measure(limit_reach, &limit);
    }
    n = (double)report.counts.entries;
    printf("%2u a bundle, %" PRIu64 " entries: verify %.0f a second, "
           "limit %.0f, fraction %.2f (of processor time %.2f)\n",
           ops, report.counts.entries, n / best.wall, n / limit.wall,
           limit.wall / best.wall, limit.cpu / best.cpu);
    fflush(stdout);
    actor_free(&writer);
    rig_close(&rig);
}

int main(int argc, char **argv)
{
    unsigned bundles = argc > 1 ? (unsigned)atoi(argv[1]) : 5000;

    must(!crypto_start(), "crypto");
    key_pair_new(&key);
    random_bytes(header, sizeof header);
    key_sign(&key, KEY_FOR_BUNDLE, &ledger, bytes_of(header, HEADER),
             signature);
    row(bundles, 1);
    row(bundles / 16, 64);
    return 0;
}
