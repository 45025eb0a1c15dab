/* watch [value=256]
 *     One process puts, another watches: from the moment a put is handed over
 *     to its event there. One put at a time, with a pause of a millisecond.
 *
 * fanout [watchers=1000] [processes=8] [handles=watchers] [depth=256]
 *        [value=256]
 *     One process puts; `watchers` watches of that key hear of every change.
 *     They are in so many processes, on so many handles, each a connection of
 *     its own. Up to `depth` puts are under way beyond what the slowest process
 *     has heard. Counted: events. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/choir/works.h"

#define KEY "watched"
enum { HEARD = 1, POLL_MS = 50, PAUSE_US = 100, EVENTS = 64 };

struct watches {
    unsigned watchers, processes, handles, depth, value, pause_us;
};

/* Of `all`, the part of i of n. */
static unsigned part(unsigned all, unsigned i, unsigned n)
{
    return (all + n - 1 - i) / n;
}

static unsigned watches_of(const struct watches *w, unsigned process)
{
    return part(w->watchers, process, w->processes);
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

static struct choir *watching(int process, unsigned handle, unsigned watches)
{
    struct choir_event *e;
    struct choir *c;
    char name[48];
    uint64_t id;

    snprintf(name, sizeof name, "bench-watch-%d-%u", process, handle);
    c = broker_client(name);
    for (unsigned i = 0; i < watches; i++)
        must(choir_watch(c, KEY, 0, &id), "watch");
    for (unsigned caught_up = 0; caught_up < watches; choir_event_free(&e)) {
        e = event_next(c);
        caught_up += strcmp(choir_event_name(e), "caught_up") == 0;
    }
    return c;
}

/* All that has arrived on that handle. */
static void hear(struct load_client *l, int process, struct choir *c)
{
    struct choir_event *e;

    while (choir_next(c, 0, &e) == 0) {
        if (choir_event_code(e))
            load_die("watch: %s", choir_event_explain(e));
        if (strcmp(choir_event_name(e), "change") == 0) {
            load_client_done(l, sent_us(e));
            ++*load_client_word(l, HEARD + (unsigned)process);
        }
        choir_event_free(&e);
    }
}

static void watcher(struct load_client *l, int number, void *argument)
{
    const struct watches *w = argument;
    unsigned process = (unsigned)number, mine = watches_of(w, process);
    unsigned handles = part(w->handles, process, w->processes);
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(EPOLL_CLOEXEC);

    for (unsigned i = 0; i < handles; i++) {
        struct choir *c = watching(number, i, part(mine, i, handles));
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

        if (epoll_ctl(poll, EPOLL_CTL_ADD, choir_fd(c), &e))
            load_die("epoll: %s", strerror(errno));
    }
    load_client_ready(l);
    while (load_client_runs(l)) {
        int n = epoll_wait(poll, events, EVENTS, POLL_MS);

        for (int i = 0; i < n; i++)
            hear(l, number, events[i].data.ptr);
    }
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
        if (w->pause_us)
            usleep(w->pause_us);
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
        w.handles < w.processes || w.watchers < w.handles || !w.depth ||
        w.value < sizeof(uint64_t))
        load_die("1 to %d processes, each with a handle at least, and each of"
                 " these with a watch; depth from 1, value from 8",
                 LOAD_WORDS - HEARD);
    broker_set("watches_per_agent_max = 1000000");
    broker_start();
    l = load_new(&options);
    for (unsigned i = 0; i < w.processes; i++)
        load_spawn(l, watcher, &w);
    load_spawn(l, writer, &w);
    snprintf(what, sizeof what,
             "\"watchers\":%u,\"processes\":%u,\"handles\":%u,\"depth\":%u,"
             "\"value\":%u",
             w.watchers, w.processes, w.handles, w.depth, w.value);
    broker_run(l, true, what);
    load_free(&l);
}

void work_watch(void)
{
    watches_run((struct watches){
        .watchers = 1,
        .processes = 1,
        .handles = 1,
        .depth = 1,
        .value = load_number("value", 256),
        .pause_us = 1000,
    });
}

void work_fanout(void)
{
    unsigned watchers = load_number("watchers", 1000);

    watches_run((struct watches){
        .watchers = watchers,
        .processes = load_number("processes", 8),
        .handles = load_number("handles", watchers),
        .depth = load_number("depth", 256),
        .value = load_number("value", 256),
    });
}
