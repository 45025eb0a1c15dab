/* restart [entries=10000000] [keys=1000000] [bundle=64] [value=256]
 *         [tail=99000] [rounds=5]
 *     replay_rate: entries a second when nothing but the record is there;
 *     clean_s: with a snapshot of all of it, after SIGTERM; ready_s: with a
 *     snapshot that lacks the last `tail` entries, just below what choird lets
 *     it lack, after SIGKILL. Each `rounds` times. Ready is when an agent that
 *     is known has a session again. The files are in the page cache.
 *
 * disk [entries=200000] [bundle=64] [value=256]
 *     ratio: bytes of the record for a byte of value. */
#include <stdio.h>
#include <unistd.h>

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

/* A new broker writes one as soon as it has read so many entries. */
static void snapshot_remove(const struct broker *b)
{
    char path[512];

    snprintf(path, sizeof path, "%s/state.snapshot", b->data);
    unlink(path);
}

/* Seconds of `rounds` starts in each of three situations. */
struct restarts {
    unsigned rounds;
    double replay_s[ROUNDS_MAX], clean_s[ROUNDS_MAX], ready_s[ROUNDS_MAX];
};

static void restarts_measure(struct broker *b, struct record *r, unsigned tail,
                             struct restarts *out)
{
    for (unsigned i = 0; i < out->rounds; i++) {
        snapshot_remove(b);
        out->replay_s[i] = ready_s();
        if (i + 1 < out->rounds)
            broker_kill();
    }
    broker_stop();
    for (unsigned i = 0; i < out->rounds; i++) {
        out->clean_s[i] = ready_s();
        broker_stop();
    }
    record_extend(r, tail);
    for (unsigned i = 0; i < out->rounds; i++) {
        out->ready_s[i] = ready_s();
        broker_kill();
    }
}

void work_restart(void)
{
    unsigned entries = load_number("entries", 10000000);
    unsigned tail = load_number("tail", 99000);
    unsigned keys = load_number("keys", 1000000);
    struct restarts s = {.rounds = rounds_read(5)};
    struct broker *b = broker_prepare();
    double rate[ROUNDS_MAX], made_s;
    uint64_t start = load_now_us();
    struct record *r;

    load_timing();
    r = record_read(b, keys);
    broker_set("session_idle_s = 2592000"); /* of the record's agent */
    record_extend(r, entries);
    made_s = seconds_since(start);
    restarts_measure(b, r, tail, &s);
    record_free(&r);
    for (unsigned i = 0; i < s.rounds; i++)
        rate[i] = entries / s.replay_s[i];
    printf("{\"entries\":%u,\"keys\":%u,\"bundle\":%u,\"tail\":%u,"
           "\"made_s\":%.1f,",
           entries, keys, load_number("bundle", 64), tail, made_s);
    print_list("replay_rate", rate, s.rounds);
    printf(",");
    print_list("clean_s", s.clean_s, s.rounds);
    printf(",");
    print_list("ready_s", s.ready_s, s.rounds);
    printf("}\n");
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
