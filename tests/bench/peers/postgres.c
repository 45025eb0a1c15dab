/* PostgreSQL as a peer, by libpq in pipeline mode; a commit is synced before it
 * is answered (fsync and synchronous_commit are on).
 *
 *   postgres put [clients=4] [batch=1000] [batches=2] [keys=1000000]
 *                [value=256] [array=1] [seconds=3] [warm=1] [dir=PATH]
 *
 * `insert ... on conflict do update` of random keys, `batch` rows a commit,
 * `batches` of them under way on each client's connection; each client has keys
 * of its own, so that none waits for another's locks. A commit is one statement
 * with two arrays, or, with array=0, as many statements as there are rows, sent
 * ahead of their results. The times are those of whole commits. PostgreSQL has more memory and fewer checkpoints than by
 * default, which favours it.
 *
 * It refuses to run as root: then it runs as postgres, or nobody.
 *
 * Needs: postgresql, libpq-dev (-lpq), util-linux (setpriv). */
#include <arpa/inet.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/load.h"

enum { KEY = 16, ARGUMENTS = 32, ARRAY_HEAD = 20 };
enum { BYTEA_TYPE = 17, TEXT_TYPE = 25 }; /* pg_type.dat */

static const char put_row[] = "prepare put (text, bytea) as insert into kv"
                              " values ($1, $2) on conflict (key)"
                              " do update set value = excluded.value";
static const char put_array[] =
    "prepare put (text[], bytea[]) as insert into kv"
    " select * from unnest($1, $2) on conflict (key)"
    " do update set value = excluded.value";

struct work {
    bool array;
    unsigned clients, batch, batches, keys, value;
    int port;
};

/* --- The server ----------------------------------------------------------- */

/* Debian keeps them out of PATH, by version; the newest. Owned. */
static char *program_path(const char *name)
{
    char pattern[128], *path;
    glob_t found;

    snprintf(pattern, sizeof pattern, "/usr/lib/postgresql/*/bin/%s", name);
    if (glob(pattern, 0, NULL, &found))
        load_die("there is no %s", pattern);
    path = strdup(found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return path;
}

/* Of whom it is to be; NULL if we are not root. Borrowed. */
static const struct passwd *owner(void)
{
    const struct passwd *who = NULL;

    if (geteuid())
        return NULL;
    who = getpwnam("postgres");
    if (!who)
        who = getpwnam("nobody");
    if (!who)
        load_die("neither postgres nor nobody is known");
    return who;
}

/* argv, in front of it what makes it another's process. setpriv, which becomes
 * the program itself, asks again to die with its parent, since the change of
 * user has revoked that, and lets it pass the directories above its own, which
 * may be closed to others. */
static void as_owner(const char *to[ARGUMENTS], const char *const argv[])
{
    static const char *const become[] = {
        "setpriv",    "--clear-groups",   "--pdeathsig",    "KILL",
        "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"};
    static char user[32], group[32];
    const struct passwd *who = owner();
    size_t n = 0;

    if (who) {
        snprintf(user, sizeof user, "--reuid=%u", who->pw_uid);
        snprintf(group, sizeof group, "--regid=%u", who->pw_gid);
        for (; n < sizeof become / sizeof *become; n++)
            to[n] = become[n];
        to[n++] = user;
        to[n++] = group;
    }
    for (; *argv; argv++) {
        if (n + 1 == ARGUMENTS)
            load_die("more than %d arguments", ARGUMENTS);
        to[n++] = *argv;
    }
    to[n] = NULL;
}

static void data_create(const char *dir, const char *data)
{
    const char *const argv[] = {program_path("initdb"),
                                "--no-sync",
                                "--auth=trust",
                                "--username=bench",
                                "--encoding=UTF8",
                                "--locale=C",
                                "--pgdata",
                                data,
                                NULL};
    const char *full[ARGUMENTS];
    const struct passwd *who = owner();

    if (mkdir(data, 0700) || chmod(dir, 0711) ||
        (who && chown(data, who->pw_uid, who->pw_gid)))
        load_die("%s: %s", data, strerror(errno));
    as_owner(full, argv);
    load_command(dir, full);
}

static pid_t server(const struct work *w, const char *dir)
{
    char data[300], port[16];
    const char *const argv[] = {program_path("postgres"),
                                "-D",
                                data,
                                "-h",
                                "127.0.0.1",
                                "-p",
                                port,
                                "-k",
                                "",
                                "-c",
                                "fsync=on",
                                "-c",
                                "synchronous_commit=on",
                                "-c",
                                "shared_buffers=512MB",
                                "-c",
                                "max_wal_size=8GB",
                                NULL};
    const char *full[ARGUMENTS];
    pid_t pid;

    snprintf(data, sizeof data, "%s/data", dir);
    snprintf(port, sizeof port, "%d", w->port);
    data_create(dir, data);
    as_owner(full, argv);
    pid = load_server(dir, full);
    load_server_wait(pid, w->port);
    return pid;
}

/* --- Connections ---------------------------------------------------------- */

static PGconn *connected(const struct work *w)
{
    uint64_t end = load_now_us() + 30 * 1000000;
    char text[128];
    PGconn *c;

    snprintf(text, sizeof text,
             "host=127.0.0.1 port=%d user=bench dbname=postgres", w->port);
    /* It listens before it is ready. */
    while (c = PQconnectdb(text), PQstatus(c) != CONNECTION_OK) {
        if (load_now_us() > end)
            load_die("%s", PQerrorMessage(c));
        PQfinish(c);
        usleep(20000);
    }
    return c;
}

static void run(PGconn *c, const char *text)
{
    PGresult *r = PQexec(c, text);

    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        load_die("%s: %s", text, PQerrorMessage(c));
    PQclear(r);
}

static void table_create(const struct work *w)
{
    PGconn *c = connected(w);

    run(c, "create table kv (key text primary key, value bytea not null)");
    PQfinish(c);
}

/* --- The clients ---------------------------------------------------------- */

struct client {
    const struct work *work;
    struct load_client *load;
    PGconn *connection;
    unsigned number, under_way; /* batches */
    uint64_t seed, *started_us; /* [batch sent % batches] */
    uint64_t sent, done;
    uint64_t *drawn_in; /* [key / clients]: batch that last had it, from 1 */
    char *value;
    struct array {
        char *bytes; /* of PostgreSQL's binary format */
        size_t size;
    } keys, values;
};

/* A key of this client's, not yet in this batch: one statement must not
 * change a row twice. */
static void key_draw(struct client *me, char key[KEY])
{
    const struct work *w = me->work;
    char text[64];
    uint64_t n;

    do
        n = load_random(&me->seed) % (w->keys / w->clients);
    while (me->drawn_in[n] == me->sent);
    me->drawn_in[n] = me->sent;
    snprintf(text, sizeof text, "key:%012" PRIu64, n * w->clients + me->number);
    memcpy(key, text, KEY);
}

static char *number_put(char *at, unsigned n)
{
    uint32_t be = htonl(n);

    memcpy(at, &be, sizeof be);
    return at + sizeof be;
}

/* One dimension, no nulls, the elements' type, their number, counted from 1;
 * then each with its size. */
static struct array array_new(unsigned type, unsigned n, unsigned size)
{
    struct array a = {.size = ARRAY_HEAD + n * (4 + size)};
    const unsigned head[] = {1, 0, type, n, 1};
    char *at = a.bytes = malloc(a.size);

    for (unsigned i = 0; i < sizeof head / sizeof *head; i++)
        at = number_put(at, head[i]);
    for (unsigned i = 0; i < n; i++) {
        at = number_put(at, size);
        memset(at, 'x', size);
        at += size;
    }
    return a;
}

static void statement_send(struct client *me, const char *key, size_t key_size,
                           const char *value, size_t value_size)
{
    const char *values[] = {key, value};
    const int sizes[] = {(int)key_size, (int)value_size}, binary[] = {1, 1};

    if (!PQsendQueryPrepared(me->connection, "put", 2, values, sizes, binary,
                             1))
        load_die("put: %s", PQerrorMessage(me->connection));
}

/* Without begin, all up to the synchronisation is one transaction. */
static void batch_send(struct client *me)
{
    const struct work *w = me->work;
    char key[KEY];

    me->started_us[me->sent++ % w->batches] = load_now_us();
    for (unsigned i = 0; i < w->batch; i++) {
        char *to = me->keys.bytes + ARRAY_HEAD + i * (4 + KEY) + 4;

        key_draw(me, w->array ? to : key);
        if (!w->array)
            statement_send(me, key, KEY, me->value, w->value);
    }
    if (w->array)
        statement_send(me, me->keys.bytes, me->keys.size, me->values.bytes,
                       me->values.size);
    if (!PQpipelineSync(me->connection))
        load_die("put: %s", PQerrorMessage(me->connection));
    me->under_way++;
}

static void result_read(struct client *me, PGresult *r)
{
    uint64_t start;

    switch (PQresultStatus(r)) {
    case PGRES_COMMAND_OK: break;
    case PGRES_PIPELINE_SYNC:
        start = me->started_us[me->done++ % me->work->batches];
        load_client_count(me->load, me->work->batch);
        load_client_timed(me->load, load_now_us() - start);
        me->under_way--;
        break;
    default: load_die("put: %s", PQresultErrorMessage(r));
    }
    PQclear(r);
}

/* A NULL ends each command's results; only at the end is it followed by
 * nothing. */
static void results_read(struct client *me)
{
    PGresult *r;

    if (!PQconsumeInput(me->connection))
        load_die("put: %s", PQerrorMessage(me->connection));
    while (me->under_way && !PQisBusy(me->connection)) {
        r = PQgetResult(me->connection);
        if (r)
            result_read(me, r);
    }
}

static void client_turn(struct client *me)
{
    struct pollfd p = {.fd = PQsocket(me->connection), .events = POLLIN};
    int left = PQflush(me->connection);

    if (left < 0)
        load_die("put: %s", PQerrorMessage(me->connection));
    if (left)
        p.events |= POLLOUT;
    if (poll(&p, 1, -1) < 0)
        load_die("poll: %s", strerror(errno));
    if (p.revents & ~POLLOUT)
        results_read(me);
}

static struct client client_new(struct load_client *load, int number,
                                const struct work *w)
{
    struct client me = {
        .work = w,
        .load = load,
        .connection = connected(w),
        .number = (unsigned)number,
        .seed = load_now_us() * LOAD_CLIENTS_MAX + (uint64_t)number,
        .started_us = calloc(w->batches, sizeof(uint64_t)),
        .drawn_in = calloc(w->keys / w->clients, sizeof(uint64_t)),
        .value = malloc(w->value),
        .keys = array_new(TEXT_TYPE, w->batch, KEY),
        .values = array_new(BYTEA_TYPE, w->batch, w->value),
    };

    memset(me.value, 'x', w->value);
    run(me.connection, w->array ? put_array : put_row);
    PQsetnonblocking(me.connection, 1);
    PQenterPipelineMode(me.connection);
    return me;
}

static void put(struct load_client *c, int number, void *argument)
{
    const struct work *w = argument;
    struct client me = client_new(c, number, w);

    load_client_ready(c);
    while (load_client_runs(c) || me.under_way) {
        while (load_client_runs(c) && me.under_way < w->batches)
            batch_send(&me);
        client_turn(&me);
    }
    PQfinish(me.connection);
}

/* --- The whole ------------------------------------------------------------ */

static struct work work_read(void)
{
    struct work w = {.array = load_number("array", 1),
                     .clients = load_number("clients", 4),
                     .batch = load_number("batch", 1000),
                     .batches = load_number("batches", 2),
                     .keys = load_number("keys", 1000000),
                     .value = load_number("value", 256)};

    if (strcmp(load_work(), "put"))
        load_die("postgres can put, not %s", load_work());
    if (!w.clients || !w.batch || !w.batches || w.keys / w.clients < w.batch)
        load_die("clients, batch and batches must not be 0,"
                 " keys >= clients * batch");
    w.port = load_port();
    return w;
}

static void version(void)
{
    char client[64], command[300];

    snprintf(client, sizeof client, "libpq %d.%d", PQlibVersion() / 10000,
             PQlibVersion() % 10000);
    snprintf(command, sizeof command, "%s --version", program_path("postgres"));
    load_version(command, client);
}

int main(int argc, char **argv)
{
    struct load_options options;
    struct load_result result;
    struct load *load;
    const char *dir;
    char what[200];
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
    table_create(&w);
    load = load_new(&options);
    for (unsigned i = 0; i < w.clients; i++)
        load_spawn(load, put, &w);
    load_run(load, &pid, 1, &result);
    load_free(&load);
    load_server_stop(&pid);
    snprintf(
        what, sizeof what,
        "\"array\":%s,\"clients\":%u,\"batch\":%u,\"batches\":%u,\"keys\":%u,"
        "\"value\":%u,\"synced\":true",
        w.array ? "true" : "false", w.clients, w.batch, w.batches, w.keys,
        w.value);
    load_print(&result, what);
    return 0;
}
