/* NATS JetStream as a peer, by libnats: one stream on file storage. The server
 * acknowledges before it syncs: what it promises is less than what Redis,
 * etcd, PostgreSQL and Choir promise here.
 *
 *   nats put  [depth=1000] [value=256] [clients=1]
 *   nats task [depth=256] [value=256] [workers=1]
 *             [seconds=3] [warm=1] [dir=PATH]
 *
 * put: asynchronous publishes, `depth` of them unacknowledged at most. task: a
 * work queue: a process publishes as in put, `workers` others fetch up to
 * `depth` at a time and acknowledge them, without waiting for that to be
 * confirmed; with depth=1, one process publishes a message, fetches it and has
 * its acknowledgement confirmed, one at a time and timed, sending as soon as
 * possible (libnats otherwise gathers for a millisecond).
 *
 * Needs: nats-server, libnats-dev (-lnats). */
#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/load.h"

enum { BACKLOG = 8192, WAIT_MS = 10000, LOOK_MS = 100, VALUE_MAX = 65536 };
enum { PULLS = 2 }; /* that a worker has under way */
enum { FETCHED };   /* a shared word */

static const long long EXPIRES_NS = 600000000000;

struct work {
    bool task;
    unsigned clients, depth, value, workers;
    int port;
};

struct link {
    natsConnection *connection;
    jsCtx *stream;
};

/* Publishes that are under way, of this process. */
struct flight {
    struct load_client *client; /* to count the acknowledged, or NULL */
    pthread_mutex_t lock;
    pthread_cond_t half_empty;
    unsigned n, limit;
};

static char value[VALUE_MAX];

static void check(natsStatus s, const char *what)
{
    if (s != NATS_OK)
        load_die("%s: %s: %s", what, natsStatus_GetText(s),
                 nats_GetLastError(NULL));
}

/* --- Publishing ----------------------------------------------------------- */

static void acknowledged(jsCtx *stream, natsMsg *message, jsPubAck *ack,
                         jsPubAckErr *error, void *closure)
{
    struct flight *f = closure;

    (void)stream;
    (void)ack;
    if (error)
        load_die("publish: %s", error->ErrText);
    natsMsg_Destroy(message);
    if (f->client)
        load_client_count(f->client, 1);
    pthread_mutex_lock(&f->lock);
    if (--f->n == f->limit / 2)
        pthread_cond_signal(&f->half_empty);
    pthread_mutex_unlock(&f->lock);
}

/* Hands over one; once the limit is reached, half of them must come back
 * first: waking up for each would cost more than it gains. */
static void publish(struct flight *f, const struct link *l,
                    const struct work *w)
{
    pthread_mutex_lock(&f->lock);
    if (f->n == f->limit) {
        while (f->n > f->limit / 2)
            pthread_cond_wait(&f->half_empty, &f->lock);
    }
    f->n++;
    pthread_mutex_unlock(&f->lock);
    check(js_PublishAsync(l->stream, "work", value, (int)w->value, NULL),
          "publish");
}

/* --- Connecting ----------------------------------------------------------- */

/* f: of its asynchronous publishes; NULL: there are none, and what is sent is
 * sent at once. */
static struct link link_open(const struct work *w, struct flight *f)
{
    natsOptions *options;
    struct link l = {0};
    char url[64];
    jsOptions js;

    snprintf(url, sizeof url, "nats://127.0.0.1:%d", w->port);
    check(natsOptions_Create(&options), "options");
    check(natsOptions_SetURL(options, url), "options");
    check(natsOptions_SetSendAsap(options, !f), "options");
    check(natsConnection_Connect(&l.connection, options), "connect");
    natsOptions_Destroy(options);
    jsOptions_Init(&js);
    if (f) {
        js.PublishAsync.MaxPending = 2 * (int64_t)f->limit;
        js.PublishAsync.StallWait = WAIT_MS;
        js.PublishAsync.AckHandler = acknowledged;
        js.PublishAsync.AckHandlerClosure = f;
    }
    check(natsConnection_JetStream(&l.stream, l.connection, &js), "jetstream");
    return l;
}

/* The workers' consumer too, lest they meet while each would make it. */
static void stream_create(void *argument)
{
    const struct work *w = argument;
    struct link l = link_open(w, NULL);
    const char *subjects[] = {"work"};
    jsStreamConfig config;
    jsConsumerConfig consumer;
    jsStreamInfo *info = NULL;
    jsConsumerInfo *consumer_info = NULL;

    jsStreamConfig_Init(&config);
    config.Name = "WORK";
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    config.Retention = w->task ? js_WorkQueuePolicy : js_LimitsPolicy;
    check(js_AddStream(&info, l.stream, &config, NULL, NULL), "stream");
    jsStreamInfo_Destroy(info);
    jsConsumerConfig_Init(&consumer);
    consumer.Durable = "workers";
    consumer.AckPolicy = js_AckExplicit;
    consumer.MaxAckPending = 4 * BACKLOG;
    check(
        js_AddConsumer(&consumer_info, l.stream, "WORK", &consumer, NULL, NULL),
        "consumer");
    jsConsumerInfo_Destroy(consumer_info);
    jsCtx_Destroy(l.stream);
    natsConnection_Destroy(l.connection);
}

static natsSubscription *consumer_open(const struct link *l)
{
    natsSubscription *out = NULL;
    jsSubOptions options;

    jsSubOptions_Init(&options);
    options.Stream = "WORK";
    options.Consumer = "workers";
    check(js_PullSubscribe(&out, l->stream, "work", "workers", NULL, &options,
                           NULL),
          "consumer");
    return out;
}

/* --- The clients ---------------------------------------------------------- */

static void put(struct load_client *c, int number, void *argument)
{
    const struct work *w = argument;
    struct flight f = {c, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                       0, w->depth};
    struct link l = link_open(w, &f);

    (void)number;
    load_client_ready(c);
    while (load_client_runs(c))
        publish(&f, &l, w);
    check(js_PublishAsyncComplete(l.stream, NULL), "last publishes");
}

/* So many ahead of the workers that these never wait. */
static void submit(struct load_client *c, int number, void *argument)
{
    const struct work *w = argument;
    struct flight f = {NULL, PTHREAD_MUTEX_INITIALIZER,
                       PTHREAD_COND_INITIALIZER, 0, BACKLOG / 2};
    struct link l = link_open(w, &f);
    _Atomic uint64_t *fetched = load_client_word(c, FETCHED);
    uint64_t submitted = 0;

    (void)number;
    load_client_ready(c);
    while (load_client_runs(c)) {
        if (submitted - atomic_load(fetched) >= BACKLOG) {
            nats_Sleep(1);
            continue;
        }
        publish(&f, &l, w);
        submitted++;
    }
    check(js_PublishAsyncComplete(l.stream, NULL), "last publishes");
}

/* Ask for `depth` tasks, whenever they come; they go to the queue's subject. */
static void pull(const struct link *l, const struct work *w, const char *inbox)
{
    char request[64];

    snprintf(request, sizeof request, "{\"batch\":%u,\"expires\":%lld}",
             w->depth, EXPIRES_NS);
    check(natsConnection_PublishRequestString(
              l->connection, "$JS.API.CONSUMER.MSG.NEXT.WORK.workers", inbox,
              request),
          "pull");
}

static void acknowledge(const struct link *l, natsMsg *task)
{
    const char *reply = natsMsg_GetReply(task);

    if (!reply)
        load_die("fetch: a status instead of a task");
    check(natsConnection_PublishString(l->connection, reply, "+ACK"),
          "acknowledge");
    natsMsg_Destroy(task);
}

/* libnats 3.4's Fetch writes beyond its list once it has timed out with a part
 * of it, and asks for nothing while it hands tasks out; so this does what it
 * does, with the next tasks on their way while these are acknowledged. */
static void work(struct load_client *c, int number, void *argument)
{
    const struct work *w = argument;
    struct flight none = {.limit = 1};
    struct link l = link_open(w, &none);
    _Atomic uint64_t *fetched = load_client_word(c, FETCHED);
    natsSubscription *queue;
    natsInbox *inbox;

    (void)number;
    check(natsInbox_Create(&inbox), "inbox");
    check(natsConnection_SubscribeSync(&queue, l.connection, inbox), "inbox");
    load_client_ready(c);
    for (unsigned i = 0; i < PULLS; i++)
        pull(&l, w, inbox);
    for (unsigned n = 0; load_client_runs(c);) {
        natsMsg *task = NULL;
        natsStatus got = natsSubscription_NextMsg(&task, queue, LOOK_MS);

        if (got == NATS_TIMEOUT)
            continue;
        check(got, "fetch");
        acknowledge(&l, task);
        atomic_fetch_add_explicit(fetched, 1, memory_order_relaxed);
        load_client_count(c, 1);
        if (++n % w->depth == 0)
            pull(&l, w, inbox);
    }
    check(natsConnection_FlushTimeout(l.connection, WAIT_MS), "last acks");
}

static void cycle(struct load_client *c, int number, void *argument)
{
    const struct work *w = argument;
    struct link l = link_open(w, NULL);
    natsSubscription *queue = consumer_open(&l);

    (void)number;
    load_client_ready(c);
    while (load_client_runs(c)) {
        uint64_t start = load_now_us();
        natsMsgList list = {0};

        check(js_Publish(NULL, l.stream, "work", value, (int)w->value, NULL,
                         NULL),
              "publish");
        check(natsSubscription_Fetch(&list, queue, 1, WAIT_MS, NULL), "fetch");
        check(natsMsg_AckSync(list.Msgs[0], NULL, NULL), "acknowledge");
        natsMsgList_Destroy(&list);
        load_client_done(c, start);
    }
}

/* --- The whole ------------------------------------------------------------ */

static pid_t server(const struct work *w, const char *dir)
{
    char port[16];
    const char *const argv[] = {"/usr/sbin/nats-server",
                                "-a",
                                "127.0.0.1",
                                "-p",
                                port,
                                "-js",
                                "-sd",
                                dir,
                                NULL};
    pid_t pid;

    snprintf(port, sizeof port, "%d", w->port);
    pid = load_server(dir, argv);
    load_server_wait(pid, w->port);
    return pid;
}

static struct work work_read(void)
{
    bool task = !strcmp(load_work(), "task");
    struct work w = {
        .task = task,
        .clients = task ? 1 : load_number("clients", 1),
        .depth = load_number("depth", task ? 256 : 1000),
        .value = load_number("value", 256),
        .workers = task ? load_number("workers", 1) : 0,
    };

    if (!task && strcmp(load_work(), "put"))
        load_die("nats can put and task, not %s", load_work());
    if (!w.depth || !w.clients || w.value > VALUE_MAX || (task && !w.workers))
        load_die("depth, clients and workers must not be 0, value <= %d",
                 VALUE_MAX);
    w.port = load_port();
    return w;
}

static void spawn(struct load *load, struct work *w)
{
    if (w->task && w->depth == 1)
        load_spawn(load, cycle, w);
    else if (w->task)
        load_spawn(load, submit, w);
    for (unsigned i = 0; w->task && w->depth > 1 && i < w->workers; i++)
        load_spawn(load, work, w);
    for (unsigned i = 0; !w->task && i < w->clients; i++)
        load_spawn(load, put, w);
}

static void version(void)
{
    char client[64];

    snprintf(client, sizeof client, "libnats %s", nats_GetVersion());
    load_version("/usr/sbin/nats-server --version", client);
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
    memset(value, 'x', sizeof value);
    pid = server(&w, dir);
    load_apart(stream_create, &w);
    load = load_new(&options);
    spawn(load, &w);
    load_run(load, &pid, 1, &result);
    load_free(&load);
    load_server_stop(&pid);
    snprintf(what, sizeof what,
             "\"clients\":%u,\"depth\":%u,\"value\":%u,\"workers\":%u,"
             "\"synced\":false",
             w.clients, w.depth, w.value, w.workers);
    load_print(&result, what);
    return 0;
}
