/* grow [keys=10000000] [agents=10000] [watches=100000] [leases=10000]
 *      [rounds=5]
 *     What a put costs in a broker that holds so much, beside one with 10,000
 *     keys and the agents that put: they are measured in turn, `rounds` times
 *     the large one, while the other with all its agents is stopped, and the
 *     small one before and after each. cost: how many times as many puts the
 *     small one takes in the same time. snapshots: those that ended while the
 *     large one was measured; one is due every 100,000 puts, so that with ten
 *     million keys there is always one under way, for a twentieth of the time.
 *
 * point [keys=10000] [agents=10] [watches=0] [leases=0] [value=256] [rounds=1]
 *     One such broker: puts a second, and microseconds of processor time that
 *     broker and clients spent on each; snapshots as above.
 *
 * Ten of the agents put, with 64 in flight each; the others are idle. */

#include <signal.h>
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
    struct broker *broker;
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
    struct held h = {.broker = b, .record = record_new(b, &plan)};

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
    broker_use(h->broker);
    broker_stop();
    record_free(&h->record);
}

static void place_signal(const struct held *h, int signal)
{
    kill(h->broker->pid, signal);
    if (h->crowd)
        crowd_signal(h->crowd, signal);
}

static struct cost measure(const struct held *h, const struct place *p,
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

    broker_use(h->broker);
    puts_spawn(l, &w);
    load_run(l, &h->broker->pid, 1, &r);
    load_free(&l);
    return (struct cost){
        .rate = r.rate,
        .server_us = r.server_cpu_s * 1e6 / (double)r.operations,
        .client_us = r.client_cpu_s * 1e6 / (double)r.operations,
    };
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
    double v[3][ROUNDS_MAX + 1];
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
    struct cost of_small[ROUNDS_MAX + 1], of_large[ROUNDS_MAX];
    double cost[ROUNDS_MAX];
    struct held few, many;
    uint64_t before, snapshots;

    broker_prepare();
    load_arguments_end();
    small.value = large.value;
    few = place_open(&small);
    many = place_open(&large);
    before = broker_counts().snapshots;
    for (unsigned i = 0; i <= rounds; i++) {
        place_signal(&many, SIGSTOP);
        of_small[i] = measure(&few, &small, &options);
        place_signal(&many, SIGCONT);
        if (i < rounds)
            of_large[i] = measure(&many, &large, &options);
    }
    broker_use(many.broker);
    snapshots = broker_counts().snapshots - before;
    place_close(&many);
    place_close(&few);
    for (unsigned i = 0; i < rounds; i++)
        cost[i] =
            (of_small[i].rate + of_small[i + 1].rate) / 2 / of_large[i].rate;
    printf("{\"keys\":%u,\"agents\":%u,\"watches\":%u,\"leases\":%u,"
           "\"snapshots\":%llu,",
           large.keys, large.agents, large.watches, large.leases,
           (unsigned long long)snapshots);
    print_list("cost", cost, rounds);
    printf(",");
    print_costs("small_", of_small, rounds + 1);
    printf(",");
    print_costs("", of_large, rounds);
    printf("}\n");
}

void work_point(void)
{
    struct place p = place_read("point", 10000, WRITERS, 0, 0);
    struct load_options options = load_timing();
    unsigned rounds = rounds_read(1);
    struct cost c[ROUNDS_MAX];
    struct held h;
    uint64_t before, snapshots;

    broker_prepare();
    load_arguments_end();
    h = place_open(&p);
    before = broker_counts().snapshots;
    for (unsigned i = 0; i < rounds; i++)
        c[i] = measure(&h, &p, &options);
    snapshots = broker_counts().snapshots - before;
    place_close(&h);
    printf("{\"keys\":%u,\"agents\":%u,\"watches\":%u,\"leases\":%u,"
           "\"value\":%u,\"snapshots\":%llu,",
           p.keys, p.agents, p.watches, p.leases, p.value,
           (unsigned long long)snapshots);
    print_costs("", c, rounds);
    printf("}\n");
}
