/* put [clients=50] [depth=64] [keys=1000000] [value=256]
 *
 * Each client keeps `depth` durable puts of random keys in flight: one more is
 * handed over for each that is answered. The store is empty at first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/choir/works.h"

struct puts {
    unsigned clients, depth, keys, value;
};

static void put_send(struct choir *c, uint64_t key, char *value, size_t bytes)
{
    struct choir_request *r = choir_request_new(c, "put");
    char name[KEY_BYTES];
    uint64_t id;

    key_text(name, key);
    memcpy(value, &key, bytes < sizeof key ? bytes : sizeof key);
    choir_request_text(r, "key", name);
    choir_request_slot(r, value, bytes, NULL);
    must(choir_send(c, &r, -1, &id), "send");
}

static void put_done(struct choir *c)
{
    struct choir_event *e = event_next(c);

    choir_event_free(&e);
}

static void put_client(struct load_client *l, int number, void *argument)
{
    const struct puts *w = argument;
    uint64_t *start = calloc(w->depth, sizeof *start);
    uint64_t seed = load_now_us() * 64 + (uint64_t)number;
    uint64_t sent = 0, done = 0;
    char *value = calloc(1, w->value + 1), name[32];
    struct choir *c;

    snprintf(name, sizeof name, "bench-%d", number);
    c = broker_client(name);
    load_client_ready(l);
    while (load_client_runs(l)) {
        for (; sent - done < w->depth; sent++) {
            start[sent % w->depth] = load_now_us();
            put_send(c, load_random(&seed) % w->keys, value, w->value);
        }
        put_done(c);
        load_client_done(l, start[done++ % w->depth]);
    }
    while (done++ < sent)
        put_done(c);
    choir_close(&c);
}

void work_put(void)
{
    struct puts w = {
        .clients = load_number("clients", 50),
        .depth = load_number("depth", 64),
        .keys = load_number("keys", 1000000),
        .value = load_number("value", 256),
    };
    struct load_options options = load_timing();
    struct load *l;
    char what[160];

    broker_prepare();
    load_arguments_end();
    if (!w.clients || !w.depth || !w.keys)
        load_die("clients, depth and keys must not be 0");
    broker_start();
    l = load_new(&options);
    for (unsigned i = 0; i < w.clients; i++)
        load_spawn(l, put_client, &w);
    snprintf(what, sizeof what,
             "\"clients\":%u,\"depth\":%u,\"keys\":%u,\"value\":%u", w.clients,
             w.depth, w.keys, w.value);
    broker_run(l, what);
    load_free(&l);
}
