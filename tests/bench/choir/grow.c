/* grow [keys=10000000] [agents=10000] [watches=100000] [leases=10000]
 *      [rounds=5]
 *     What a put costs in a broker that holds so much, beside one with 10,000
 *     keys and the agents that put: the small one is measured before and after
 *     the large one, `rounds` times each. cost: how many times as many puts the
 *     small one takes in the same time. snapshots: those that ended while the
 *     large one was measured; one is due every 100,000 puts, so that with ten
 *     million keys there is always one under way, for a twentieth of the time.
 *
 * point [keys=10000] [agents=10] [watches=0] [leases=0] [value=256] [rounds=1]
 *     One such broker: puts a second, and microseconds of processor time that
 *     broker and clients spent on each; snapshots as above.
 *
 * Ten of the agents put, with 64 in flight each; the others are idle. */

#include <stdio.h>

#include "tests/bench/choir/works.h"

enum { WRITERS = 10, DEPTH = 64, FILL_BUNDLE = 256 };

struct place {
    const char *name;
    unsigned keys, agents, watches, leases, value;
};

struct cost {
    double rate, server_us, client_us; /* us of processor time for a put */
};

/* A broker that holds so much, and who is connected to it. */
struct held {
    struct record *record;
    struct crowd *crowd; /* or NULL */
};

static struct held place_open(const struct place *p)
{
    struct crowd_plan idle = {
        .agents = p->agents > WRITERS ? p->agents - WRITERS : 0,
        .watches = p->watches,
        .leases = p->leases,
    };
    struct record_plan plan = {
        .keys = p->keys,
        .value = p->value,
        .bundle = FILL_BUNDLE,
        .members = idle.agents,
    };
    struct broker *b = broker_home(p->name);
    struct held h = {.record = record_new(b, &plan)};

    if (!idle.agents && (p->watches || p->leases))
        load_die("watches and leases need more than %d agents", WRITERS);
    broker_set("connections_max = 1000000");
    broker_set("watches_per_agent_max = 1000000");
    broker_set("leases_per_agent_max = 1000000");
    record_extend(h.record, p->keys);
    broker_start();
    broker_catch_up();
    if (idle.agents)
        h.crowd = crowd_new(b, h.record, &idle);
    return h;
}

static void place_close(struct held *h)
{
    crowd_free(&h->crowd);
    broker_stop();
    record_free(&h->record);
}

static struct cost measure(const struct broker *b, const struct place *p,
                           const struct load_options *options)
{
    struct puts w = {
        .clients = WRITERS,
        .depth = DEPTH,
        .keys = p->keys,
        .value = p->value,
    };
    struct load *l = load_new(options);
    struct load_result r;

    puts_spawn(l, &w);
    load_run(l, &b->pid, 1, &r);
    load_free(&l);
    return (struct cost){
        .rate = r.rate,
        .server_us = r.server_cpu_s * 1e6 / (double)r.operations,
        .client_us = r.client_cpu_s * 1e6 / (double)r.operations,
    };
}

/* How many snapshots ended meanwhile. */
static uint64_t measure_place(struct broker *b, const struct place *p,
                              const struct load_options *options,
                              unsigned rounds, struct cost *out)
{
    struct held h = place_open(p);
    uint64_t before = broker_counts().snapshots, after;

    for (unsigned i = 0; i < rounds; i++)
        out[i] = measure(b, p, options);
    after = broker_counts().snapshots;
    place_close(&h);
    return after - before;
}

static struct place place_read(const char *name, unsigned keys, unsigned agents,
                               unsigned watches, unsigned leases)
{
    return (struct place){
        .name = name,
        .keys = load_number("keys", keys),
        .agents = load_number("agents", agents),
        .watches = load_number("watches", watches),
        .leases = load_number("leases", leases),
        .value = load_number("value", 256),
    };
}

static void print_costs(const char *prefix, const struct cost *c, unsigned n)
{
    double v[3][ROUNDS_MAX];
    char name[32];

    for (unsigned i = 0; i < n; i++) {
        v[0][i] = c[i].rate;
        v[1][i] = c[i].server_us;
        v[2][i] = c[i].client_us;
    }
    for (unsigned k = 0; k < 3; k++) {
        snprintf(name, sizeof name, "%s%s", prefix,
                 (const char *[]){"rate", "server_us", "client_us"}[k]);
        print_list(name, v[k], n);
        printf(k < 2 ? "," : "");
    }
}

void work_grow(void)
{
    struct place small = {.name = "small", .keys = 10000, .agents = WRITERS};
    struct place large = place_read("large", 10000000, 10000, 100000, 10000);
    struct load_options options = load_timing();
    unsigned rounds = rounds_read(5);
    struct cost before[ROUNDS_MAX], at[ROUNDS_MAX], after[ROUNDS_MAX];
    double cost[ROUNDS_MAX];
    struct broker *b = broker_prepare();
    uint64_t snapshots;

    load_arguments_end();
    small.value = large.value;
    measure_place(b, &small, &options, rounds, before);
    snapshots = measure_place(b, &large, &options, rounds, at);
    small.name = "small-again";
    measure_place(b, &small, &options, rounds, after);
    for (unsigned i = 0; i < rounds; i++)
        cost[i] = (before[i].rate + after[i].rate) / 2 / at[i].rate;
    printf("{\"keys\":%u,\"agents\":%u,\"watches\":%u,\"leases\":%u,"
           "\"snapshots\":%llu,",
           large.keys, large.agents, large.watches, large.leases,
           (unsigned long long)snapshots);
    print_list("cost", cost, rounds);
    printf(",");
    print_costs("small_", before, rounds);
    printf(",");
    print_costs("", at, rounds);
    printf(",");
    print_costs("small_again_", after, rounds);
    printf("}\n");
}

void work_point(void)
{
    struct place p = place_read("point", 10000, WRITERS, 0, 0);
    struct load_options options = load_timing();
    unsigned rounds = rounds_read(1);
    struct cost c[ROUNDS_MAX];
    struct broker *b = broker_prepare();
    uint64_t snapshots;

    load_arguments_end();
    snapshots = measure_place(b, &p, &options, rounds, c);
    printf("{\"keys\":%u,\"agents\":%u,\"watches\":%u,\"leases\":%u,"
           "\"value\":%u,\"snapshots\":%llu,",
           p.keys, p.agents, p.watches, p.leases, p.value,
           (unsigned long long)snapshots);
    print_costs("", c, rounds);
    printf("}\n");
}
