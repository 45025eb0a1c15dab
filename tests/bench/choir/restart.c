/* restart [entries=10000000] [keys=1000000] [bundle=64] [value=256]
 *         [tail=99000]
 *     replay_rate: entries a second when nothing but the record is there;
 *     ready_s: with a snapshot that lacks the last `tail` entries, just below
 *     what choird lets it lack, after SIGKILL; clean_s: after SIGTERM. Ready
 *     is when an agent that is known has a session again. The files are in the
 *     page cache.
 *
 * disk [entries=200000] [bundle=64] [value=256]
 *     ratio: bytes of the record for a byte of value. */
#include <stdio.h>

#include "tests/bench/choir/works.h"

static double seconds_since(uint64_t start_us)
{
    return (double)(load_now_us() - start_us) / 1e6;
}

/* From exec on. */
static double ready_s(void)
{
    uint64_t start = load_now_us();
    struct choir *c;

    broker_start();
    c = broker_client("bench-restart");
    choir_close(&c);
    return seconds_since(start);
}

static struct record *record_read(const struct broker *b, unsigned keys)
{
    struct record_plan plan = {
        .keys = keys,
        .value = load_number("value", 256),
        .bundle = load_number("bundle", 64),
    };

    load_arguments_end();
    return record_new(b, &plan);
}

void work_restart(void)
{
    unsigned entries = load_number("entries", 10000000);
    unsigned tail = load_number("tail", 99000);
    unsigned keys = load_number("keys", 1000000);
    struct broker *b = broker_prepare();
    struct record *r;
    double made_s, replay_s, clean_s;
    uint64_t start = load_now_us();

    load_timing();
    r = record_read(b, keys);
    broker_set("session_idle_s = 2592000"); /* of the record's agent */
    record_extend(r, entries);
    made_s = seconds_since(start);
    replay_s = ready_s();
    broker_stop();
    clean_s = ready_s();
    broker_stop();
    record_extend(r, tail);
    start = load_now_us();
    printf("{\"entries\":%u,\"keys\":%u,\"bundle\":%u,\"tail\":%u,"
           "\"made_s\":%.1f,\"replay_s\":%.3f,\"replay_rate\":%.0f,"
           "\"clean_s\":%.3f,\"ready_s\":%.3f}\n",
           entries, keys, load_number("bundle", 64), tail, made_s, replay_s,
           entries / replay_s, clean_s, ready_s());
    broker_stop();
    record_free(&r);
}

void work_disk(void)
{
    unsigned entries = load_number("entries", 200000);
    unsigned value = load_number("value", 256);
    struct broker *b = broker_prepare();
    struct counts from, to;
    struct record *r;

    load_timing();
    r = record_read(b, entries);
    broker_start();
    from = broker_counts();
    broker_stop();
    record_extend(r, entries);
    broker_start();
    to = broker_counts();
    broker_stop();
    printf("{\"entries\":%u,\"bundle\":%u,\"bytes\":%.1f,\"ratio\":%.4f}\n",
           entries, load_number("bundle", 64),
           (double)(to.ledger_bytes - from.ledger_bytes) / entries,
           (double)(to.ledger_bytes - from.ledger_bytes) / entries / value);
    record_free(&r);
}
