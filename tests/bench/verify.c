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
#include <unistd.h>

#include "proto/merkle.h"
#include "tests/bench/stopwatch.h"
#include "tests/support/rig.h"
#include "tools/verify.h"

enum {
    VALUE = 256,
    TOGETHER = 64,
    ROUNDS = 9,
    CORES_MAX = 64,
    PART_BYTES = 64 * 1024,
    PARTS_MAX = 4096
};

static struct rig rig;
static struct actor writer;
static struct verify_report report;

static double now_s(clockid_t clock)
{
    return clock_ns(clock) / 1e9;
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
    must_hold(!actor_finish(&rig, &writer, &told), "put");
}

/* --- The limit ----------------------------------------------------------- */

/* What a verifier must hash and prove of this ledger, by docs/ledger-format.md,
 * collected beforehand from its bytes; some groups, one after the other. Ed25519
 * is verified one by one: libsodium has no verification of many at once. */
struct part {
    struct hash_job *heads, *operations, *slots, *effects, *nodes;
    struct hash_job *statements, *bundles;
    size_t groups, entries, slot_count, effect_count, node_count, bundle_count;
};

struct signature {
    uint8_t b[KEY_SIGNATURE_BYTES];
};

static struct part parts[PARTS_MAX];
static size_t part_count;
static struct key_pair key;
static struct hash ledger;
static struct signature *signatures[PARTS_MAX];
static uint8_t constant[512]; /* what is as long as what is hashed */

static void job_add(struct hash_job **jobs, size_t *n, struct bytes a,
                    struct bytes b)
{
    if ((*n & (*n - 1)) == 0)
        *jobs = reallocarray(*jobs, *n ? 2 * *n : 1, sizeof **jobs);
    must_hold(*jobs, "memory");
    (*jobs)[(*n)++] = (struct hash_job){a, b};
}

static void slots_collect(struct part *p, struct bytes rows,
                          struct bytes payload)
{
    struct cursor c = cursor_of(payload);

    for (size_t i = 0; i < rows.n; i += SLOT_ROW_BYTES)
        job_add(&p->slots, &p->slot_count,
                cursor_take(&c, SLOT_SALT_BYTES + get_u32(rows.p + i)),
                (struct bytes){0});
}

static void bundle_collect(struct part *p, const struct entry *e, size_t at)
{
    size_t n = p->bundle_count;

    job_add(&p->bundles, &p->bundle_count, e->header, (struct bytes){0});
    signatures[at] =
        reallocarray(signatures[at], n + 1, sizeof *signatures[at]);
    must_hold(signatures[at], "memory");
    key_sign(&key, KEY_FOR_BUNDLE, &ledger, e->header, signatures[at][n].b);
    for (uint32_t i = 1; i < e->count; i++)
        job_add(&p->nodes, &p->node_count, bytes_of(constant, 2 * HASH_BYTES),
                (struct bytes){0});
}

static void group_collect(struct part *p, const struct group_header *g,
                          const uint8_t *bytes)
{
    struct bytes body = bytes_of(bytes + GROUP_HEADER_BYTES,
                                 (size_t)(g->heads_bytes + group_stored(g)));
    struct group_walk walk;
    const struct entry *e;
    size_t same;

    job_add(&p->heads, &p->groups, bytes_of(bytes, 96),
            bytes_of(body.p, (size_t)g->heads_bytes));
    group_walk_begin(&walk, g, body);
    while (!group_walk_next(&walk, &e)) {
        if (e->position == 0)
            bundle_collect(p, e, (size_t)(p - parts));
        same = p->entries;
        job_add(&p->statements, &same, bytes_of(constant, HASH_BYTES),
                bytes_of(constant, 4 + HASH_BYTES));
        job_add(&p->operations, &p->entries, e->head, (struct bytes){0});
        if (e->effect.n)
            job_add(&p->effects, &p->effect_count, e->effect,
                    (struct bytes){0});
        slots_collect(p, e->rows, e->payload);
        slots_collect(p, e->effect_rows, e->effect_payload);
    }
}

/* Its bytes stay until the end. */
static bool segment_collect(unsigned number)
{
    struct segment_header header;
    struct group_header g;
    char name[32];
    uint8_t *p;
    uint32_t format;
    size_t n, at = SEGMENT_HEADER_BYTES, begun = 0;

    snprintf(name, sizeof name, "segment-%010u", number);
    if (verify_file_read(rig.dir, name, &p, &n) ||
        segment_header_get(&header, p, &format))
        return false;
    while (n - at >= GROUP_HEADER_BYTES &&
           !group_header_get(&g, p + at, header.nonce, at)) {
        must_hold(part_count < PARTS_MAX, "too much");
        group_collect(&parts[part_count], &g, p + at);
        at += (size_t)group_bytes(&g);
        if (at - begun >= PART_BYTES) {
            begun = at;
            part_count++;
        }
    }
    part_count++;
    return true;
}

static void limit_collect(void)
{
    for (unsigned number = 1; segment_collect(number); number++)
        ;
}

static void all_hash(enum hash_tag tag, const struct hash_job *jobs, size_t n)
{
    struct hash out[TOGETHER];

    for (size_t at = 0, some; at < n; at += some) {
        some = n - at < TOGETHER ? n - at : TOGETHER;
        hash_many(tag, jobs + at, some, out);
    }
}

/* Of each entry its leaf and, on average, one node above. */
static void leaves_hash(size_t n)
{
    struct hash out, zero = {{0}};

    for (size_t i = 0; i < n; i++) {
        out = tree_leaf(bytes_of(constant, ENTRY_LEAF_BYTES));
        out = tree_node(&out, &zero);
    }
}

static void part_do(const struct part *p, const struct signature *signature)
{
    for (size_t i = 0; i < p->bundle_count; i++)
        must_hold(!key_verify(key.public_key, KEY_FOR_BUNDLE, &ledger,
                              p->bundles[i].a, signature[i].b),
                  "signature");
    for (size_t i = 0; i < p->groups; i++) { /* headers' own checksums */
        hash_of(HASH_SUM, bytes_of(constant, 16 + 8 + 144));
        hash_of(HASH_SUM, (struct bytes){0});
        hash_parts(HASH_GROUP, p->heads[i].a, p->heads[i].b, (struct bytes){0});
    }
    all_hash(HASH_BUNDLE, p->bundles, p->bundle_count);
    all_hash(HASH_OP, p->operations, p->entries);
    all_hash(HASH_NODE, p->nodes, p->node_count);
    all_hash(HASH_ENTRY, p->statements, p->entries);
    all_hash(HASH_EFFECT, p->effects, p->effect_count);
    all_hash(HASH_SLOT, p->slots, p->slot_count);
    leaves_hash(p->entries);
}

static atomic_uint taken;

static void *parts_do(void *arg)
{
    unsigned part;

    while ((part = atomic_fetch_add(&taken, 1)) < part_count)
        part_do(&parts[part], signatures[part]);
    return arg;
}

static void limit_reach(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t thread[CORES_MAX];

    cores = cores < 1 ? 1 : cores > CORES_MAX ? CORES_MAX : cores;
    atomic_store(&taken, 0);
    for (long i = 0; i < cores; i++)
        must_hold(!pthread_create(&thread[i], NULL, parts_do, NULL), "thread");
    for (long i = 0; i < cores; i++)
        pthread_join(thread[i], NULL);
}

/* --- Both ---------------------------------------------------------------- */

static void verify(void)
{
    int r = verify_ledger(rig.dir, NULL, &report);

    if (r)
        fprintf(stderr, "bench: %s: %s\n", report.in, report.why);
    must_hold(!r, "verify");
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
    memset(parts, 0, sizeof parts); /* a few megabytes are left to the end */
    memset(signatures, 0, sizeof signatures);
    part_count = 0;
    limit_collect();
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

    must_hold(!crypto_start(), "crypto");
    key_pair_new(&key);
    row(bundles, 1);
    row(bundles / 4, 64);
    return 0;
}
