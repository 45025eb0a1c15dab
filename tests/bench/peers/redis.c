/* Redis as a peer: `put` and `get` of random keys, pipelined, every write
 * synced before it is answered (appendfsync always). Nothing is signed and
 * nobody is authenticated.
 *
 *   redis put|get [clients=50] [depth=64] [keys=1000000] [value=256]
 *                 [processes=4] [rewrite=0] [seconds=3] [warm=1] [dir=PATH]
 *
 * Does what redis-benchmark -P does, which is Redis at its best: a connection
 * sends `depth` commands at once and waits for all their answers; a few
 * processes (processes=) serve all connections. Background rewriting of the
 * log, which would only slow it down, is off unless rewrite=1.
 *
 * Needs: redis-server, libhiredis-dev (-lhiredis). */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/load.h"

enum { KEY_DIGITS = 12, FILL_DEPTH = 1000, EVENTS = 64 };

struct work {
    bool get, rewrite;
    unsigned clients, depth, keys, value, processes;
    int port;
};

struct connection {
    redisContext *redis;
    char *batch; /* `depth` commands, their keys to be overwritten */
    size_t sent, size;
    unsigned awaited; /* answers */
    uint64_t start_us;
};

static size_t key_offset; /* of the digits, in a command */
static size_t command_size;

/* One command, of which only the key's digits vary. Owned. */
static char *command_new(const struct work *w)
{
    char *value = malloc(w->value + 1), *command;
    int n;

    memset(value, 'x', w->value);
    value[w->value] = 0;
    n = w->get ? redisFormatCommand(&command, "GET key:%s", "000000000000")
               : redisFormatCommand(&command, "SET key:%s %s", "000000000000",
                                    value);
    if (n < 0)
        load_die("a command of %u bytes cannot be written", w->value);
    command_size = (size_t)n;
    key_offset = (size_t)(strstr(command, "key:") + 4 - command);
    free(value);
    return command;
}

static void key_write(char *command, uint64_t key)
{
    for (char *at = command + key_offset + KEY_DIGITS; key; key /= 10)
        *--at = (char)('0' + key % 10);
}

static redisContext *connected(const struct work *w, bool blocking)
{
    redisContext *r = blocking ? redisConnect("127.0.0.1", w->port)
                               : redisConnectNonBlock("127.0.0.1", w->port);

    if (!r || r->err)
        load_die("cannot connect to redis: %s", r ? r->errstr : "no memory");
    redisEnableKeepAlive(r);
    return r;
}

/* --- Connections ---------------------------------------------------------- */

static void connection_open(struct connection *c, const struct work *w)
{
    char *command = command_new(w);

    c->redis = connected(w, false);
    c->size = w->depth * command_size;
    c->batch = malloc(c->size);
    for (unsigned i = 0; i < w->depth; i++)
        memcpy(c->batch + i * command_size, command, command_size);
    free(command);
}

/* The digits are overwritten in full, whatever was there. */
static void batch_fill(struct connection *c, const struct work *w,
                       uint64_t *seed)
{
    for (unsigned i = 0; i < w->depth; i++) {
        char *at = c->batch + i * command_size;

        memset(at + key_offset, '0', KEY_DIGITS);
        key_write(at, load_random(seed) % w->keys);
    }
    c->sent = 0;
    c->awaited = w->depth;
    c->start_us = load_now_us();
}

/* As much as the socket takes; the rest when it is writable again. */
static void batch_send(struct connection *c, int poll)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    bool waited = c->sent > 0;
    ssize_t n;

    n = write(c->redis->fd, c->batch + c->sent, c->size - c->sent);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        load_die("write: %s", strerror(errno));
    c->sent += n > 0 ? (size_t)n : 0;
    if (c->sent < c->size)
        e.events |= EPOLLOUT;
    else if (!waited)
        return;
    epoll_ctl(poll, EPOLL_CTL_MOD, c->redis->fd, &e);
}

static unsigned answers_read(struct connection *c, const struct work *w)
{
    unsigned n = 0;
    redisReply *reply;

    if (redisBufferRead(c->redis) != REDIS_OK)
        load_die("redis: %s", c->redis->errstr);
    for (;; n++) {
        if (redisGetReplyFromReader(c->redis, (void **)&reply) != REDIS_OK)
            load_die("redis: %s", c->redis->errstr);
        if (!reply)
            return n;
        if (reply->type != (w->get ? REDIS_REPLY_STRING : REDIS_REPLY_STATUS))
            load_die("redis answered: %s",
                     reply->str ? reply->str : "that there is no such key");
        freeReplyObject(reply);
    }
}

/* Read what is there; then the next batch, if all is answered. False once
 * there is no next. */
static bool connection_advance(struct connection *at, const struct work *w,
                               struct load_client *c, uint64_t *seed, int poll)
{
    unsigned answers = answers_read(at, w);
    uint64_t us = load_now_us() - at->start_us;

    at->awaited -= answers;
    load_client_count(c, answers);
    for (; answers; answers--)
        load_client_timed(c, us);
    if (at->awaited)
        return true;
    if (!load_client_runs(c))
        return false;
    batch_fill(at, w, seed);
    batch_send(at, poll);
    return true;
}

static void serve(struct load_client *c, const struct work *w, unsigned busy,
                  int poll, uint64_t *seed)
{
    struct epoll_event events[EVENTS];

    while (busy) {
        int n = epoll_wait(poll, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            struct connection *at = events[i].data.ptr;

            if (events[i].events & EPOLLOUT)
                batch_send(at, poll);
            if ((events[i].events & ~(unsigned)EPOLLOUT) &&
                !connection_advance(at, w, c, seed, poll))
                busy--;
        }
    }
}

static void client(struct load_client *c, int number, void *argument)
{
    const struct work *w = argument;
    unsigned mine =
        (w->clients + w->processes - 1 - (unsigned)number) / w->processes;
    struct connection *all = calloc(mine, sizeof *all);
    uint64_t seed = load_now_us() * LOAD_CLIENTS_MAX + (uint64_t)number;
    int poll = epoll_create1(EPOLL_CLOEXEC);

    for (unsigned i = 0; i < mine; i++)
        connection_open(&all[i], w);
    load_client_ready(c);
    for (unsigned i = 0; i < mine; i++) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT,
                                .data.ptr = &all[i]};

        batch_fill(&all[i], w, &seed);
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].redis->fd, &e);
    }
    serve(c, w, mine, poll, &seed);
}

/* --- The server ----------------------------------------------------------- */

static pid_t server(const struct work *w, const char *dir)
{
    char port[16];
    const char *const argv[] = {"redis-server",
                                "--bind",
                                "127.0.0.1",
                                "--port",
                                port,
                                "--dir",
                                dir,
                                "--appendonly",
                                "yes",
                                "--appendfsync",
                                "always",
                                "--save",
                                "",
                                "--auto-aof-rewrite-percentage",
                                w->rewrite ? "100" : "0",
                                NULL};
    pid_t pid;

    snprintf(port, sizeof port, "%d", w->port);
    pid = load_server(dir, argv);
    load_server_wait(pid, w->port);
    return pid;
}

static void expect_ok(redisContext *r)
{
    redisReply *reply;

    if (redisGetReply(r, (void **)&reply) != REDIS_OK ||
        reply->type == REDIS_REPLY_ERROR)
        load_die("redis cannot be filled: %s", r->errstr);
    freeReplyObject(reply);
}

/* So that every GET finds its key. Not synced while it lasts. */
static void fill(const struct work *w)
{
    struct work put = *w;
    redisContext *r = connected(w, true);
    char *command;

    put.get = false;
    command = command_new(&put);
    redisAppendCommand(r, "CONFIG SET appendfsync no");
    expect_ok(r);
    for (unsigned i = 0; i < w->keys; i += FILL_DEPTH) {
        unsigned n = w->keys - i < FILL_DEPTH ? w->keys - i : FILL_DEPTH;

        for (unsigned k = 0; k < n; k++) {
            key_write(command, i + k);
            redisAppendFormattedCommand(r, command, command_size);
        }
        for (unsigned k = 0; k < n; k++)
            expect_ok(r);
    }
    redisAppendCommand(r, "CONFIG SET appendfsync always");
    expect_ok(r);
    redisFree(r);
    free(command);
}

static void version(void)
{
    char client[64];

    snprintf(client, sizeof client, "hiredis %d.%d.%d", HIREDIS_MAJOR,
             HIREDIS_MINOR, HIREDIS_PATCH);
    load_version("redis-server --version", client);
}

static struct work work_read(void)
{
    struct work w = {
        .get = !strcmp(load_work(), "get"),
        .clients = load_number("clients", 50),
        .depth = load_number("depth", 64),
        .keys = load_number("keys", 1000000),
        .value = load_number("value", 256),
        .processes = load_number("processes", 4),
        .rewrite = load_number("rewrite", 0),
    };

    if (!w.get && strcmp(load_work(), "put"))
        load_die("redis can put and get, not %s", load_work());
    if (!w.clients || !w.depth || !w.keys || !w.processes)
        load_die("clients, depth, keys and processes must not be 0");
    if (w.processes > w.clients)
        w.processes = w.clients;
    w.port = load_port();
    return w;
}

static void print(const struct work *w, const struct load_result *result)
{
    char what[200];

    snprintf(what, sizeof what,
             "\"clients\":%u,\"depth\":%u,\"keys\":%u,\"value\":%u,"
             "\"processes\":%u%s",
             w->clients, w->depth, w->keys, w->value, w->processes,
             w->get ? "" : ",\"synced\":true");
    load_print(result, what);
}

int main(int argc, char **argv)
{
    struct load_options options;
    struct load_result result;
    struct load *load;
    const char *dir;
    struct work w;
    pid_t pid;

    load_arguments(argc, argv);
    if (!strcmp(load_work(), "version"))
        return version(), 0;
    w = work_read();
    options = load_timing();
    dir = load_dir(load_text("dir", NULL));
    load_arguments_end();
    pid = server(&w, dir);
    if (w.get)
        fill(&w);
    load = load_new(&options);
    for (unsigned i = 0; i < w.processes; i++)
        load_spawn(load, client, &w);
    load_run(load, &pid, 1, &result);
    load_free(&load);
    load_server_stop(&pid);
    print(&w, &result);
    return 0;
}
