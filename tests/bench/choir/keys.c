/* put [clients=50] [processes=clients] [depth=64] [keys=1000000] [value=256]
 * get [clients=50] [processes=clients] [depth=64] [keys=1000000] [value=256]
 *
 * Each client keeps `depth` durable puts, or gets, of random keys in flight:
 * one more is handed over for each that is answered; with one in flight by the
 * call that waits. For put the store is
 * empty at first, for get it holds all keys. */
#include <poll.h>
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

static void begin(struct client *c, const struct puts *w, unsigned number)
{
    char name[32];

    *c = (struct client){
        .work = w,
        .seed = load_now_us() * LOAD_CLIENTS_MAX + number,
        .start_us = calloc(w->depth, sizeof *c->start_us),
        .value = calloc(1, w->value),
    };
    snprintf(name, sizeof name, "bench-%u", number);
    c->handle = broker_client(name);
}

static void end(struct client *c)
{
    while (c->done < c->sent)
        taken(c, event_next(c->handle));
    choir_close(&c->handle);
}

/* A client that is a process: it waits for its own. */
static void alone(struct load_client *l, struct client *c)
{
    while (load_client_runs(l)) {
        uint64_t one = c->done % c->work->depth;

        if (c->work->depth == 1) {
            call_one(c);
        } else {
            while (c->sent - c->done < c->work->depth)
                send_one(c);
            taken(c, event_next(c->handle));
        }
        load_client_done(l, c->start_us[one]);
    }
}

/* All that is there; as many again. */
static void answer(struct load_client *l, struct client *c)
{
    struct choir_event *e;

    while (c->sent - c->done < c->work->depth)
        send_one(c);
    while (choir_next(c->handle, 0, &e) == 0) {
        uint64_t one = c->done % c->work->depth;

        if (choir_event_code(e))
            load_die("%s", choir_event_explain(e));
        taken(c, e);
        load_client_done(l, c->start_us[one]);
        send_one(c);
    }
}

/* Several clients in a process: each has its own connection and identity. */
static void together(struct load_client *l, struct client *all, unsigned n)
{
    struct pollfd fds[LOAD_CLIENTS_MAX];

    for (unsigned i = 0; i < n; i++)
        fds[i] = (struct pollfd){choir_fd(all[i].handle), POLLIN, POLLIN};
    while (load_client_runs(l)) {
        for (unsigned i = 0; i < n; i++) {
            if (fds[i].revents)
                answer(l, &all[i]);
        }
        poll(fds, n, 100);
    }
}

static void client(struct load_client *l, int number, void *argument)
{
    const struct puts *w = argument;
    unsigned first = w->clients * (unsigned)number / w->processes;
    unsigned n = w->clients * ((unsigned)number + 1) / w->processes - first;
    struct client all[LOAD_CLIENTS_MAX];

    for (unsigned i = 0; i < n; i++)
        begin(&all[i], w, first + i);
    load_client_ready(l);
    if (n == 1)
        alone(l, &all[0]);
    else
        together(l, all, n);
    for (unsigned i = 0; i < n; i++)
        end(&all[i]);
}

void puts_spawn(struct load *l, struct puts *w)
{
    if (!w->clients || !w->depth || !w->keys || w->value < sizeof(uint64_t))
        load_die("clients, depth and keys must not be 0, nor value below 8");
    if (!w->processes || w->processes > w->clients)
        w->processes = w->clients;
    if (w->clients > LOAD_CLIENTS_MAX)
        load_die("clients: %u at most", LOAD_CLIENTS_MAX);
    for (unsigned i = 0; i < w->processes; i++)
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
        .processes = load_number("processes", 0),
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
    if (get)
        broker_catch_up(); /* a record that a broker wrote has all of that */
    l = load_new(&options);
    puts_spawn(l, &w);
    snprintf(what, sizeof what,
             "\"clients\":%u,\"processes\":%u,\"depth\":%u,\"keys\":%u,"
             "\"value\":%u",
             w.clients, w.processes, w.depth, w.keys, w.value);
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
