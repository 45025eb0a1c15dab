/* The clients of the crash tests; see crash_client.h. */
#include "tests/support/crash_client.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-sdk/choir.h"
#include "tests/support/daemon.h"

enum {
    KEYS = 5,           /* shared ones of each kind */
    LINE_BYTES = 16384, /* of a log; written by one write, so never mixed */
    VALUE_BYTES = 3200,
    IN_FLIGHT = 16,
    IN_FLIGHT_BRISK = 128,
    PATIENCE_MS = 60000,
    WORK_MS = 50,
    PAUSE_US = 3000,
};

struct client {
    const struct client_task *task;
    struct choir *c;
    int log;
    uint64_t n; /* operations so far, over all lives of this client */
    unsigned seed;
    bool failed;
};

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

static unsigned draw(struct client *cl, unsigned below)
{
    return (unsigned)rand_r(&cl->seed) % below;
}

/* So that eight of them do not fill the record with more than is looked at;
 * nothing waits on it. */
static void pause_a_little(struct client *cl)
{
    if (!cl->task->brisk)
        usleep(draw(cl, PAUSE_US));
}

__attribute__((format(printf, 2, 3))) static void say(struct client *cl,
                                                      const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (n < 0 || n >= LINE_BYTES - 1)
        abort();
    line[n++] = '\n';
    if (write(cl->log, line, (size_t)n) != n)
        abort();
}

/* Something went wrong that no crash of the broker excuses. */
static void complain(struct client *cl, const char *what)
{
    fprintf(stderr, "client %u: %s: %s\n", cl->task->number, what,
            choir_error_text());
    cl->failed = true;
}

/* A text that nobody else ever writes; mostly short, now and then long. */
static const char *value_new(struct client *cl, char value[VALUE_BYTES])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    static unsigned part;
    size_t n = (size_t)snprintf(value, VALUE_BYTES, "c%u.%u.%u.",
                                cl->task->number, cl->task->life, part++);
    size_t more = cl->task->brisk ? draw(cl, 12)
                  : draw(cl, 16)  ? draw(cl, 80)
                                  : draw(cl, 3000);

    while (more--)
        value[n++] = letters[draw(cl, 26)];
    value[n] = '\0';
    return value;
}

/* --- Operations in the log ------------------------------------------------- */

static uint64_t begin(struct client *cl, const char *verb, uint64_t task,
                      uint64_t token, const char *compares, const char *writes,
                      const char *value)
{
    uint64_t n = ++cl->n + UINT64_C(1000000000) * cl->task->life;

    if (cl->task->count)
        ++*cl->task->count;
    say(cl, "B %" PRIu64 " %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %s %s %s", n,
        verb, test_now_us(), task, token, compares, writes, value);
    return n;
}

static void end(struct client *cl, uint64_t n, int code, uint64_t revision)
{
    if (code < 0)
        complain(cl, "operation");
    say(cl, "E %" PRIu64 " %" PRIu64 " %d %" PRIu64, n, test_now_us(),
        code < 0 ? CHOIR_OUTCOME_UNKNOWN : code,
        code ? choir_error_revision() : revision);
}

/* Reads a key and writes down what it saw: its revision, 0 if absent. */
static uint64_t look(struct client *cl, const char *key)
{
    uint64_t start = test_now_us(), revision;
    struct choir_event *e = NULL;
    int r = choir_get(cl->c, key, 0, &e);
    size_t bytes;
    const char *value;

    if (r == CHOIR_NOT_FOUND)
        return 0;
    if (r) {
        complain(cl, "get");
        return 0;
    }
    revision = choir_event_uint(e, "revision");
    value = choir_event_value(e, &bytes);
    say(cl, "G %" PRIu64 " %" PRIu64 " %s %" PRIu64 " %" PRIu64 " %.*s", start,
        test_now_us(), key, revision, choir_event_uint(e, "seen"), (int)bytes,
        value);
    choir_event_free(&e);
    return revision;
}

/* --- Roles ------------------------------------------------------------------ */

static void put(struct client *cl, const char *key)
{
    char value[VALUE_BYTES], writes[LINE_BYTES / 2];
    uint64_t n, revision = 0;
    int code;

    value_new(cl, value);
    snprintf(writes, sizeof writes, "1 %s %s", key, value);
    n = begin(cl, "put", 0, 0, "0", writes, "-");
    code = choir_put(cl->c, key, value, strlen(value), &revision);
    end(cl, n, code, revision);
}

static void put_and_read(struct client *cl)
{
    char key[64];

    snprintf(key, sizeof key, "shared/k%u", draw(cl, KEYS));
    put(cl, key);
    if (!draw(cl, 3))
        look(cl, key);
    pause_a_little(cl);
}

static void compare_and_set(struct client *cl)
{
    char key[64], value[VALUE_BYTES], writes[LINE_BYTES / 2], compares[128];
    uint64_t n, revision = 0, base;
    int code;

    snprintf(key, sizeof key, "shared/c%u", draw(cl, 2));
    base = look(cl, key);
    value_new(cl, value);
    snprintf(compares, sizeof compares, "1 %s %" PRIu64, key, base);
    snprintf(writes, sizeof writes, "1 %s %s", key, value);
    n = begin(cl, "put", 0, 0, compares, writes, "-");
    code = choir_put_if(cl->c, key, value, strlen(value), base, &revision);
    end(cl, n, code, revision);
    pause_a_little(cl);
}

/* Two keys at once. All transactions write t3, so its revision is the newest
 * below the prefix. */
static void transact(struct client *cl)
{
    char a[64], value[2][VALUE_BYTES], writes[LINE_BYTES / 2], compares[192];
    uint64_t n, revision = 0, newest = look(cl, "shared/t3"), base;
    struct choir_request *r = choir_txn_new(cl->c);
    int code;

    snprintf(a, sizeof a, "shared/t%u", draw(cl, 3));
    base = look(cl, a);
    value_new(cl, value[0]);
    value_new(cl, value[1]);
    snprintf(compares, sizeof compares, "2 %s %" PRIu64 " shared/t* %" PRIu64,
             a, base, newest);
    snprintf(writes, sizeof writes, "2 %s %s shared/t3 %s", a, value[0],
             value[1]);
    n = begin(cl, "txn", 0, 0, compares, writes, "-");
    choir_txn_compare(r, a, base);
    choir_txn_unchanged(r, "shared/t", newest);
    choir_txn_put(r, a, value[0], strlen(value[0]));
    choir_txn_put(r, "shared/t3", value[1], strlen(value[1]));
    code = choir_commit(cl->c, &r, &revision);
    end(cl, n, code, revision);
    pause_a_little(cl);
}

struct flight {
    uint64_t request, n;
};

static void launch(struct client *cl, struct flight *f)
{
    char key[64], value[VALUE_BYTES], writes[LINE_BYTES / 2];
    struct choir_request *r = choir_request_new(cl->c, "put");

    snprintf(key, sizeof key, "stream/k%u", draw(cl, KEYS));
    value_new(cl, value);
    snprintf(writes, sizeof writes, "1 %s %s", key, value);
    choir_request_text(r, "key", key);
    choir_request_slot(r, value, strlen(value), NULL);
    f->n = begin(cl, "put", 0, 0, "0", writes, "-");
    if (choir_send(cl->c, &r, PATIENCE_MS, &f->request)) {
        complain(cl, "send");
        choir_request_free(&r);
    }
}

static void land(struct client *cl, const struct flight *f)
{
    struct choir_event *e = NULL;
    int r = choir_wait(cl->c, f->request, PATIENCE_MS, &e);

    if (r)
        end(cl, f->n, r, 0);
    else
        end(cl, f->n, choir_event_code(e), choir_event_uint(e, "revision"));
    choir_event_free(&e);
}

static void stream(struct client *cl)
{
    unsigned most = cl->task->brisk ? IN_FLIGHT_BRISK : IN_FLIGHT;
    struct flight flights[IN_FLIGHT_BRISK];
    uint64_t launched = 0, landed = 0;

    while (!stopping || landed < launched) {
        if (!stopping && launched - landed < most) {
            launch(cl, &flights[launched++ % most]);
            if (!draw(cl, most))
                pause_a_little(cl);
        } else {
            land(cl, &flights[landed++ % most]);
        }
    }
}

static void submit(struct client *cl)
{
    char value[VALUE_BYTES];
    uint64_t n, task = 0;
    int code;

    value_new(cl, value);
    n = begin(cl, "submit", 0, 0, "0", "0", value);
    code = choir_submit(cl->c, "jobs", value, strlen(value), &task);
    end(cl, n, code, task);
    pause_a_little(cl);
}

static void complete(struct client *cl, const struct choir_event *task)
{
    char key[64], value[2][VALUE_BYTES], writes[LINE_BYTES / 2];
    uint64_t id = choir_event_uint(task, "task"), n, revision = 0;
    struct choir_request *r;
    int code;

    snprintf(key, sizeof key, "shared/done/%" PRIu64, id);
    value_new(cl, value[0]);
    value_new(cl, value[1]);
    snprintf(writes, sizeof writes, "1 %s %s", key, value[1]);
    n = begin(cl, "complete", id, choir_event_uint(task, "token"), "0", writes,
              value[0]);
    r = choir_complete_new(cl->c, task, value[0], strlen(value[0]));
    choir_txn_put(r, key, value[1], strlen(value[1]));
    code = choir_commit(cl->c, &r, &revision);
    end(cl, n, code, revision);
}

static void progress_or_nak(struct client *cl, const struct choir_event *task,
                            const char *verb)
{
    char value[VALUE_BYTES];
    uint64_t id = choir_event_uint(task, "task"), n;
    bool nak = !strcmp(verb, "nak");
    int code;

    value_new(cl, value);
    value[64] = '\0'; /* a reason is short */
    n = begin(cl, verb, id, choir_event_uint(task, "token"), "0", "0", value);
    code = nak ? choir_nak(cl->c, task, value)
               : choir_progress(cl->c, task, value, strlen(value));
    /* These two do not tell their revision. */
    end(cl, n, code, 0);
}

static void work(struct client *cl)
{
    struct choir_event *task = NULL;
    int r = choir_work(cl->c, "jobs", WORK_MS, &task);
    const char *payload;
    size_t bytes;

    if (r == CHOIR_TIMEOUT || r == CHOIR_UNREACHABLE)
        return;
    if (r) {
        complain(cl, "work");
        return;
    }
    payload = choir_event_value(task, &bytes);
    say(cl, "T %" PRIu64 " %" PRIu64 " %" PRIu64 " %.*s",
        choir_event_uint(task, "task"), choir_event_uint(task, "token"),
        choir_event_uint(task, "attempt"), (int)bytes, payload);
    pause_a_little(cl);
    if (!draw(cl, 4))
        progress_or_nak(cl, task, "progress");
    if (draw(cl, 10))
        complete(cl, task);
    else
        progress_or_nak(cl, task, "nak");
    choir_event_free(&task);
}

/* true: the end has been seen. */
static bool watched(struct client *cl, uint64_t watch,
                    const struct choir_event *e)
{
    char line[LINE_BYTES];
    size_t items = choir_event_count(e, "items"), bytes, n;
    bool last = false;

    n = (size_t)snprintf(line, sizeof line, "C %" PRIu64 " %" PRIu64 " %zu",
                         watch, choir_event_uint(e, "revision"), items);
    for (size_t i = 0; i < items; i++) {
        const struct choir_event *item = choir_event_item(e, "items", i);
        const char *key = choir_event_text(item, "key");
        const char *value = choir_event_value(item, &bytes);

        n += (size_t)snprintf(line + n, sizeof line - n, " %s %.*s", key,
                              value ? (int)bytes : 1, value ? value : "-");
        last |= !strcmp(key, CLIENT_END_KEY);
    }
    say(cl, "%s", line);
    if (last)
        say(cl, "D %" PRIu64, watch);
    return last;
}

/* Two watches on one connection, one of them of a part. */
static void watch(struct client *cl)
{
    static const char *const prefixes[2] = {"", "shared/"};
    struct choir_event *e = NULL;
    uint64_t watches[2];
    unsigned left = 2;
    int r = 0;

    for (unsigned i = 0; i < 2 && !r; i++) {
        r = choir_watch(cl->c, prefixes[i], 1, &watches[i]);
        if (!r)
            say(cl, "W %" PRIu64 " 1 %s", watches[i], i ? prefixes[i] : "*");
    }
    while (!r && left) {
        r = choir_next(cl->c, -1, &e);
        if (r)
            break;
        if (!strcmp(choir_event_name(e), "change"))
            left -= watched(cl, choir_event_request(e), e);
        else if (!strcmp(choir_event_name(e), "watch_over"))
            r = choir_event_code(e);
        choir_event_free(&e);
    }
    if (r)
        complain(cl, "watch");
}

/* --- A life ------------------------------------------------------------------ */

static void live(struct client *cl)
{
    switch (cl->task->role) {
    case CLIENT_STREAM: stream(cl); return;
    case CLIENT_WATCHES: watch(cl); return;
    case CLIENT_ENDS: put(cl, CLIENT_END_KEY); return;
    default: break;
    }
    while (!stopping && !cl->failed) {
        switch (cl->task->role) {
        case CLIENT_PUTS: put_and_read(cl); break;
        case CLIENT_COMPARES: compare_and_set(cl); break;
        case CLIENT_TXNS: transact(cl); break;
        case CLIENT_SUBMITS: submit(cl); break;
        case CLIENT_WORKS: work(cl); break;
        default: abort();
        }
    }
}

int client_run(void *arg)
{
    struct client cl = {.task = arg};
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct sigaction on_stop = {.sa_handler = stop};
    char name[32];

    sigaction(SIGTERM, &on_stop, NULL);
    cl.seed = cl.task->seed;
    cl.log =
        open(cl.task->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    snprintf(name, sizeof name, "crash-%u", cl.task->number);
    o.name = name;
    o.timeout_ms = PATIENCE_MS;
    if (choir_open(&o, &cl.c)) {
        complain(&cl, "open");
        return 1;
    }
    say(&cl, "A %s", choir_agent_id(cl.c));
    live(&cl);
    if (choir_flush(cl.c, PATIENCE_MS))
        complain(&cl, "flush");
    choir_close(&cl.c);
    close(cl.log);
    return cl.failed;
}
