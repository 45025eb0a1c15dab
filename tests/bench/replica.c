/* Row 6 of the targets, first half: a get from a replica against a look-up in
 * a plain uthash of the same keys in the same process.
 *
 *   build/tests/bench/replica [ROUNDS [KEYS]]
 *
 * The replica's keys are filled in through its own map, not over the wire: a
 * million puts say nothing about reading. Hits and misses, random keys, the
 * median of alternating rounds with their range; then two readers at once, and
 * two while another thread puts new versions in as the feed does. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "agent-sdk/handle.h"
#include "agent-sdk/replica.h"
#include "tests/bench/stopwatch.h"

/* uthash's own, as plain as it comes; the SDK's tables are by numbers. */
#undef HASH_FUNCTION
#define HASH_FUNCTION HASH_JEN

enum { ROUNDS_MAX = 51, KEY = 32, VALUE = 256 };

struct plain {
    UT_hash_handle hh;
    char key[KEY];
    char value[VALUE];
};

static struct plain *plain, *items;
static struct choir_replica *replica;
static size_t keys, gets = 1000000;
static unsigned rounds = 7;
static int updating; /* atomic */
static uint64_t updates;

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void key_set(char key[KEY], uint64_t i, bool there)
{
    snprintf(key, KEY, "%s/%016" PRIx64, there ? "docs" : "none", mix(i + 1));
}

static double now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* --- What is looked at ---------------------------------------------------- */

static struct version *version_of(uint64_t i, uint64_t revision)
{
    char key[KEY], value[VALUE] = {0};
    struct version_parts parts = {.value = bytes_of(value, VALUE),
                                  .revision = revision};

    key_set(key, i, true);
    parts.key = bytes_text(key);
    return version_new(&parts);
}

static void fill(void)
{
    items = calloc(keys, sizeof *items);
    for (size_t i = 0; i < keys; i++) {
        key_set(items[i].key, i, true);
        HASH_ADD_STR(plain, key, &items[i]);
        if (replica_map_reserve(replica->map, 1) ||
            replica_map_put(replica->map, version_of(i, i)))
            abort();
    }
}

/* All that a get needs: there is no feed, and of the handle only its serial, by
 * which a thread knows whether it is one of its lease's reads. */
static void replica_make(void)
{
    pthread_rwlockattr_t attributes;

    replica = calloc(1, sizeof *replica);
    replica->c = calloc(1, sizeof *replica->c);
    replica->c->serial = 1;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes,
                                  PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&replica->reading, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    replica->map = replica_map_new();
}

static void empty(void)
{
    HASH_CLEAR(hh, plain);
    free(items);
    replica_map_destroy(&replica->map);
    pthread_rwlock_destroy(&replica->reading);
    free(replica->c);
    free(replica);
}

/* --- One round ------------------------------------------------------------ */

/* Both read one byte of the value; making the key is part of neither. */
struct round {
    bool is_replica, there;
    uint64_t seed;
    double ns;
    uint64_t sum;
};

static char (*keys_of(const struct round *round))[KEY]
{
    char(*list)[KEY] = malloc(sizeof *list * gets);

    for (size_t i = 0; i < gets; i++)
        key_set(list[i], mix(round->seed + i) % keys, round->there);
    return list;
}

static uint64_t plain_get(const char *key)
{
    struct plain *p;

    HASH_FIND_STR(plain, key, p);
    return p ? 1 + (uint64_t)p->value[0] : 0;
}

static uint64_t replica_get(const char *key)
{
    struct choir_view v;
    uint64_t sum;

    if (choir_replica_get(replica, key, &v))
        return 0;
    sum = 1 + (uint64_t)((const char *)v.value)[0];
    choir_view_release(&v);
    return sum;
}

static void *round_run(void *arg)
{
    struct round *round = arg;
    char(*list)[KEY] = keys_of(round);
    double start = now_ns();

    round->sum = 0;
    if (round->is_replica)
        for (size_t i = 0; i < gets; i++)
            round->sum += replica_get(list[i]);
    else
        for (size_t i = 0; i < gets; i++)
            round->sum += plain_get(list[i]);
    round->ns = (now_ns() - start) / gets;
    if (round->sum != (round->there ? gets : 0))
        abort();
    free(list);
    return NULL;
}

static double round_ns(bool is_replica, bool there, unsigned readers)
{
    struct round round[2];
    pthread_t thread[2];
    static uint64_t seed;
    double ns = 0;

    for (unsigned i = 0; i < readers; i++) {
        round[i] = (struct round){
            .is_replica = is_replica, .there = there, .seed = seed += gets};
        if (pthread_create(&thread[i], NULL, round_run, &round[i]))
            abort();
    }
    for (unsigned i = 0; i < readers; i++) {
        pthread_join(thread[i], NULL);
        ns += round[i].ns / readers;
    }
    return ns;
}

/* --- Rows ----------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void row(const char *name, bool there, unsigned readers)
{
    double ours[ROUNDS_MAX], theirs[ROUNDS_MAX], ratio[ROUNDS_MAX];

    for (unsigned i = 0; i < rounds; i++) {
        ours[i] = round_ns(true, there, readers);
        theirs[i] = round_ns(false, there, readers);
        ratio[i] = ours[i] / theirs[i];
    }
    qsort(ours, rounds, sizeof *ours, by_size);
    qsort(theirs, rounds, sizeof *theirs, by_size);
    qsort(ratio, rounds, sizeof *ratio, by_size);
    printf("row=6 keys=%zu what=%s readers=%u replica_ns=%.0f (%.0f-%.0f) "
           "uthash_ns=%.0f (%.0f-%.0f) ratio=%.2f (%.2f-%.2f)\n",
           keys, name, readers, ours[rounds / 2], ours[0], ours[rounds - 1],
           theirs[rounds / 2], theirs[0], theirs[rounds - 1], ratio[rounds / 2],
           ratio[0], ratio[rounds - 1]);
    fflush(stdout);
}

/* What the feed does with a change, about as often as a broker can tell. */
static void *update_on(void *arg)
{
    struct timespec pause = {.tv_nsec = 5000};

    while (__atomic_load_n(&updating, __ATOMIC_ACQUIRE)) {
        struct version *v = version_of(mix(updates) % keys, updates);

        pthread_rwlock_wrlock(&replica->reading);
        if (replica_map_put(replica->map, v))
            abort();
        pthread_rwlock_unlock(&replica->reading);
        updates++;
        nanosleep(&pause, NULL);
    }
    return arg;
}

static void row_with_updates(void)
{
    double start = now_ns();
    pthread_t thread;

    updates = 0;
    __atomic_store_n(&updating, 1, __ATOMIC_RELEASE);
    if (pthread_create(&thread, NULL, update_on, NULL))
        abort();
    row("hit_while_updated", true, 2);
    __atomic_store_n(&updating, 0, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    printf("row=6 keys=%zu updates_per_s=%.0f\n", keys,
           (double)updates * 1e9 / (now_ns() - start));
}

int main(int argc, char **argv)
{
    size_t sizes[] = {10000, 1000000}, n = 2;

    if (argc > 1 && atoi(argv[1]) > 0)
        rounds = (unsigned)atoi(argv[1]);
    rounds = rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    if (argc > 2 && atoi(argv[2]) > 0) {
        sizes[0] = gets = (size_t)atoi(argv[2]);
        n = 1;
    }
    for (size_t i = 0; i < n; i++) {
        keys = sizes[i];
        replica_make();
        fill();
        printf("row=6 keys=%zu bytes_per_key=%.0f of which value=%d key=21\n",
               keys, (double)replica_map_bytes(replica->map) / (double)keys,
               VALUE);
        row("hit", true, 1);
        row("miss", false, 1);
        row("hit", true, 2);
        row_with_updates();
        empty();
    }
    return 0;
}
