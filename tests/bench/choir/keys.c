/* put [clients=50] [depth=64] [keys=1000000] [value=256]
 * get [clients=50] [depth=64] [keys=1000000] [value=256]
 *
 * Each client keeps `depth` durable puts, or gets, of random keys in flight:
 * one more is handed over for each that is answered; with one in flight by the
 * call that waits. For put the store is
 * empty at first, for get it holds all keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/choir/works.h"

struct client {
    const struct puts *work;
    struct choir *handle;
    uint64_t seed, sent, done;
    uint64_t *start_us; /* a ring of `depth` */
    char *value;
};

static struct choir_request *request(struct client *c)
{
    struct choir_request *r =
        choir_request_new(c->handle, c->work->get ? "get" : "put");
    uint64_t number = load_random(&c->seed) % c->work->keys;
    char key[KEY_BYTES];

    c->start_us[c->sent++ % c->work->depth] = load_now_us();
    key_text(key, number);
    choir_request_text(r, "key", key);
    if (!c->work->get) {
        memcpy(c->value, &number, sizeof number);
        choir_request_slot(r, c->value, c->work->value, NULL);
    }
    return r;
}

static void send_one(struct client *c)
{
    struct choir_request *r = request(c);
    uint64_t id;

    must(choir_send(c->handle, &r, -1, &id), "send");
}

static void taken(struct client *c, struct choir_event *e)
{
    size_t n = 0;

    if (c->work->get && (!choir_event_value(e, &n) || n != c->work->value))
        load_die("a value of %zu bytes, not %u", n, c->work->value);
    choir_event_free(&e);
    c->done++;
}

/* One at a time is what the calls that wait are for. */
static void call_one(struct client *c)
{
    struct choir_request *r = request(c);
    struct choir_event *e;

    must(choir_call(c->handle, &r, -1, &e), "call");
    taken(c, e);
}

static void work_on(struct client *c)
{
    if (c->work->depth == 1) {
        call_one(c);
        return;
    }
    while (c->sent - c->done < c->work->depth)
        send_one(c);
    taken(c, event_next(c->handle));
}

static void client(struct load_client *l, int number, void *argument)
{
    const struct puts *w = argument;
    struct client c = {
        .work = w,
        .seed = load_now_us() * LOAD_CLIENTS_MAX + (uint64_t)number,
        .start_us = calloc(w->depth, sizeof *c.start_us),
        .value = calloc(1, w->value),
    };
    char name[32];

    snprintf(name, sizeof name, "bench-%d", number);
    c.handle = broker_client(name);
    load_client_ready(l);
    while (load_client_runs(l)) {
        uint64_t one = c.done % w->depth;

        work_on(&c);
        load_client_done(l, c.start_us[one]);
    }
    while (c.done < c.sent)
        taken(&c, event_next(c.handle));
    choir_close(&c.handle);
}

void puts_spawn(struct load *l, struct puts *w)
{
    if (!w->clients || !w->depth || !w->keys || w->value < sizeof(uint64_t))
        load_die("clients, depth and keys must not be 0, nor value below 8");
    for (unsigned i = 0; i < w->clients; i++)
        load_spawn(l, client, w);
}

static void fill(const struct broker *b, const struct puts *w)
{
    struct record_plan plan = {
        .keys = w->keys,
        .value = w->value,
        .bundle = 64,
    };
    struct record *r = record_new(b, &plan);

    record_extend(r, w->keys);
    record_free(&r);
}

static void keys_run(bool get)
{
    struct puts w = {
        .get = get,
        .clients = load_number("clients", 50),
        .depth = load_number("depth", 64),
        .keys = load_number("keys", 1000000),
        .value = load_number("value", 256),
    };
    struct load_options options = load_timing();
    struct broker *b = broker_prepare();
    struct load *l;
    char what[160];

    load_arguments_end();
    if (get)
        fill(b, &w);
    broker_start();
    l = load_new(&options);
    puts_spawn(l, &w);
    snprintf(what, sizeof what,
             "\"clients\":%u,\"depth\":%u,\"keys\":%u,\"value\":%u", w.clients,
             w.depth, w.keys, w.value);
    broker_run(l, !get, what);
    load_free(&l);
}

void work_put(void)
{
    keys_run(false);
}

void work_get(void)
{
    keys_run(true);
}
