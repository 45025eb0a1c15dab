/* replica [keys=1000000] [value=256] [seconds=3]
 *
 * get_us: a read of a random key from a replica that holds them all, in this
 * process, its first bytes looked at; no broker is asked. hash_us: the same
 * from a hash table of the same keys and values beside it. In turn, a million
 * reads of each at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "tests/bench/choir/works.h"

enum { READS = 1000000, LOAD_MS = 600000, BYTES_MAX_KEY = 2048 };

struct entry {
    UT_hash_handle hh;
    char key[KEY_BYTES];
    unsigned char *value;
};

struct reads {
    struct choir_replica *replica;
    struct entry *table;
    char (*keys)[KEY_BYTES]; /* READS of them, at random */
    uint64_t sum;            /* so that nothing is optimised away */
};

static double replica_s(struct reads *w)
{
    uint64_t start = load_now_us();

    for (unsigned i = 0; i < READS; i++) {
        struct choir_view view;

        must(choir_replica_get(w->replica, w->keys[i], &view), "replica_get");
        w->sum += *(const unsigned char *)view.value;
        choir_view_release(&view);
    }
    return (double)(load_now_us() - start) / 1e6;
}

static double table_s(struct reads *w)
{
    uint64_t start = load_now_us();

    for (unsigned i = 0; i < READS; i++) {
        struct entry *e;

        HASH_FIND_STR(w->table, w->keys[i], e);
        if (!e)
            load_die("%s is not in the table", w->keys[i]);
        w->sum += *e->value;
    }
    return (double)(load_now_us() - start) / 1e6;
}

static void reads_prepare(struct reads *w, unsigned keys, unsigned value)
{
    struct entry *all = calloc(keys, sizeof *all);
    uint64_t seed = load_now_us();

    w->keys = calloc(READS, sizeof *w->keys);
    for (unsigned i = 0; i < READS; i++)
        key_text(w->keys[i], load_random(&seed) % keys);
    for (unsigned i = 0; i < keys; i++) {
        struct entry *e = &all[i];

        key_text(e->key, i);
        e->value = calloc(1, value);
        HASH_ADD_STR(w->table, key, e);
    }
}

static void replica_load(struct reads *w, struct choir *c, unsigned keys)
{
    struct choir_replica_options o = CHOIR_REPLICA_INIT;
    struct choir_replica_facts facts = {.struct_bytes = sizeof facts};

    o.bytes_max = (size_t)keys * BYTES_MAX_KEY + (1 << 20);
    must(choir_replica_open(c, "", &o, &w->replica), "replica_open");
    must(choir_replica_wait(w->replica, 0, LOAD_MS), "replica_wait");
    must(choir_replica_facts(w->replica, &facts), "replica_facts");
    if (facts.keys != keys)
        load_die("the replica has %llu of %u keys",
                 (unsigned long long)facts.keys, keys);
}

void work_replica(void)
{
    struct record_plan plan = {
        .keys = load_number("keys", 1000000),
        .value = load_number("value", 256),
        .bundle = 64,
    };
    struct load_options options = load_timing();
    struct broker *b = broker_prepare();
    unsigned keys = (unsigned)plan.keys, rounds = 0;
    double get_s = 0, hash_s = 0, load_s;
    struct reads w = {0};
    struct record *r;
    struct choir *c;
    uint64_t start;

    load_arguments_end();
    r = record_new(b, &plan);
    record_extend(r, keys);
    record_free(&r);
    broker_start();
    c = broker_client("bench-replica");
    start = load_now_us();
    replica_load(&w, c, keys);
    load_s = (double)(load_now_us() - start) / 1e6;
    reads_prepare(&w, keys, plan.value);
    replica_s(&w); /* to warm up */
    for (; !rounds || get_s + hash_s < options.measure_s; rounds++) {
        get_s += replica_s(&w);
        hash_s += table_s(&w);
    }
    printf("{\"keys\":%u,\"value\":%u,\"load_s\":%.3f,\"get_us\":%.4f,"
           "\"hash_us\":%.4f,\"sum\":%llu}\n",
           keys, plan.value, load_s, get_s * 1e6 / rounds / READS,
           hash_s * 1e6 / rounds / READS, (unsigned long long)w.sum);
    choir_replica_close(&w.replica);
    choir_close(&c);
    broker_stop();
}
