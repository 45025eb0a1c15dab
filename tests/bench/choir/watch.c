/* watch [value=256]
 *     One process puts, another watches: from the moment a put is handed over
 *     to its event there. One put at a time.
 *
 * fanout [watchers=1000] [processes=8] [depth=16] [value=256]
 *     One process puts; `watchers` watches of that key, spread over so many
 *     processes with one handle each, hear of every change. Up to `depth` puts
 *     are under way beyond what the slowest has heard. Counted: events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/choir/works.h"

#define KEY "watched"
enum { HEARD = 1, POLL_MS = 50, PAUSE_US = 100 };

struct watches {
    unsigned watchers, processes, depth, value;
};

static unsigned watches_of(const struct watches *w, unsigned process)
{
    return (w->watchers + w->processes - 1 - process) / w->processes;
}

/* When the put was handed over that a change tells of. */
static uint64_t sent_us(const struct choir_event *change)
{
    uint64_t us;
    size_t n;
    const void *value =
        choir_event_value(choir_event_item(change, "items", 0), &n);

    if (!value || n < sizeof us)
        load_die("a change without a value");
    memcpy(&us, value, sizeof us);
    return us;
}

static void watcher(struct load_client *l, int number, void *argument)
{
    const struct watches *w = argument;
    unsigned mine = watches_of(w, (unsigned)number);
    struct choir_event *e;
    struct choir *c;
    char name[32];
    uint64_t id;

    snprintf(name, sizeof name, "bench-watch-%d", number);
    c = broker_client(name);
    for (unsigned i = 0; i < mine; i++)
        must(choir_watch(c, KEY, 0, &id), "watch");
    for (unsigned caught_up = 0; caught_up < mine; choir_event_free(&e)) {
        e = event_next(c);
        caught_up += strcmp(choir_event_name(e), "caught_up") == 0;
    }
    load_client_ready(l);
    while (load_client_runs(l)) {
        if (choir_next(c, POLL_MS, &e))
            continue;
        if (choir_event_code(e))
            load_die("watch: %s", choir_event_explain(e));
        if (strcmp(choir_event_name(e), "change") == 0) {
            load_client_done(l, sent_us(e));
            ++*load_client_word(l, HEARD + (unsigned)number);
        }
        choir_event_free(&e);
    }
    choir_close(&c);
}

/* Puts of which every watch has heard. */
static uint64_t heard_by_all(struct load_client *l, const struct watches *w)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < w->processes; i++) {
        uint64_t n = *load_client_word(l, HEARD + i) / watches_of(w, i);

        least = n < least ? n : least;
    }
    return least;
}

static void put_send(struct choir *c, char *value, size_t bytes)
{
    struct choir_request *r = choir_request_new(c, "put");
    uint64_t now = load_now_us(), id;

    memcpy(value, &now, sizeof now);
    choir_request_text(r, "key", KEY);
    choir_request_slot(r, value, bytes, NULL);
    must(choir_send(c, &r, -1, &id), "put");
}

static void writer(struct load_client *l, int number, void *argument)
{
    const struct watches *w = argument;
    struct choir *c = broker_client("bench-write");
    char *value = calloc(1, w->value);
    uint64_t sent = 0, answered = 0;
    struct choir_event *e;

    (void)number;
    load_client_ready(l);
    while (load_client_runs(l)) {
        for (; sent < heard_by_all(l, w) + w->depth; sent++)
            put_send(c, value, w->value);
        if (sent == answered) {
            usleep(PAUSE_US);
            continue;
        }
        e = event_next(c);
        choir_event_free(&e);
        answered++;
    }
    choir_close(&c);
}

static void watches_run(struct watches w)
{
    struct load_options options = load_timing();
    struct load *l;
    char what[160];

    broker_prepare();
    load_arguments_end();
    if (!w.watchers || !w.processes || w.processes > LOAD_WORDS - HEARD ||
        w.watchers < w.processes || !w.depth || w.value < sizeof(uint64_t))
        load_die("1 to %d processes, each with a watch at least; depth from 1,"
                 " value from 8",
                 LOAD_WORDS - HEARD);
    broker_set("watches_per_agent_max = 1000000");
    broker_start();
    l = load_new(&options);
    for (unsigned i = 0; i < w.processes; i++)
        load_spawn(l, watcher, &w);
    load_spawn(l, writer, &w);
    snprintf(what, sizeof what,
             "\"watchers\":%u,\"processes\":%u,\"depth\":%u,\"value\":%u",
             w.watchers, w.processes, w.depth, w.value);
    broker_run(l, what);
    load_free(&l);
}

void work_watch(void)
{
    watches_run((struct watches){
        .watchers = 1,
        .processes = 1,
        .depth = 1,
        .value = load_number("value", 256),
    });
}

void work_fanout(void)
{
    watches_run((struct watches){
        .watchers = load_number("watchers", 1000),
        .processes = load_number("processes", 8),
        .depth = load_number("depth", 16),
        .value = load_number("value", 256),
    });
}
