/* What blame, why and impact cost on a ledger of many tasks, over the wire.
 *
 *   tests/run --bench story                1,000,000 entries, 100,000 tasks
 *   build/tests/bench/story [ENTRIES [MS [ASKS]]]
 *
 * A tenth of the entries are tasks. Each is made from the plan (the first
 * 900), from what the task 128 before it wrote, and from what its group shares;
 * it changes one path of a map that is merged, writes a key of its own and a few
 * others, all under its lease. So every task leads back to the beginning, and on
 * to the end.
 *
 * Exits with 1 if the 99th percentile of one kind of ask is above MS (50). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-sdk/choir.h"
#include "proto/pack.h"
#include "proto/schema.h"
#include "tests/support/daemon.h"

enum {
    OF_TASK = 10, /* entries: submit, claim, completion and puts */
    BACK = 128,   /* tasks to the one that it goes on from */
    WINDOW = 64,  /* tasks under way */
    PLAN = 900,
    GROUP = 500,
    MAPS = 100,
    PATHS = 20,
    ASKS_MAX = 1000, /* of each kind */
    RING = 65536,
};

enum kind { OTHER, PUT_OWN, PUT_MAP };

static struct daemon broker;
static struct choir *c;
static uint64_t tasks, seed = 1;
static unsigned asks = ASKS_MAX;

static uint64_t *own; /* revision of what each task wrote; 0: not known yet */
static uint64_t plan, *shared;
/* Of each map its last two versions that are known, and what is in them. */
static struct map {
    uint64_t revision[2], count, known;
} maps[MAPS];
static struct {
    enum kind kind;
    uint64_t number;
} ring[RING];

static void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, choir_error_text());
    daemon_kill(&broker);
    exit(1);
}

static uint64_t some(uint64_t n)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (seed >> 33) % n;
}

/* --- The ledger ------------------------------------------------------------- */

static void send(struct choir_request **r, enum kind kind, uint64_t number)
{
    uint64_t id;

    if (choir_send(c, r, -1, &id))
        die("send");
    ring[id % RING].kind = kind;
    ring[id % RING].number = number;
}

static struct choir_request *put(const struct choir_event *task,
                                 const char *key, struct bytes value)
{
    struct choir_request *r = choir_request_new(c, "put");

    choir_request_text(r, "key", key);
    choir_request_slot(r, value.p, value.n, NULL);
    if (task) {
        choir_request_uint(r, "task", choir_event_uint(task, "task"));
        choir_request_uint(r, "token", choir_event_uint(task, "token"));
    }
    return r;
}

/* {"p0": ..., "p19": ...}: path n % 19 as of change n; the last one is as old
 * as the map. */
static void map_value(struct buf *b, uint64_t upto, uint64_t and)
{
    char name[8];

    pack_map(b, PATHS);
    for (uint64_t p = 0; p < PATHS; p++) {
        uint64_t last = upto < p ? 0 : upto - (upto - p) % (PATHS - 1);

        if (and&&and % (PATHS - 1) == p)
            last = and;
        snprintf(name, sizeof name, "p%02" PRIu64, p);
        pack_text(b, bytes_text(name));
        pack_uint(b, p == PATHS - 1 ? 0 : last);
    }
}

static void take(void);

/* Made from the version before the last one, so that it is merged. */
static void put_map(const struct choir_event *task, uint64_t i)
{
    struct map *m = &maps[i % MAPS];
    struct buf value = {0};
    struct choir_request *r;
    uint64_t n = ++m->count;
    char key[32];

    while (m->known + 2 < n)
        take();
    map_value(&value, n > 1 ? n - 2 : 0, n > 1 ? n : 0);
    snprintf(key, sizeof key, "conf/%03" PRIu64, i % MAPS);
    r = put(task, key, buf_bytes(&value));
    choir_request_text(r, "type", "application/msgpack");
    if (n > 2)
        choir_request_uint(r, "if_revision", m->revision[n % 2]);
    else if (n == 2)
        choir_request_uint(r, "if_revision", m->revision[1]);
    send(&r, PUT_MAP, i % MAPS);
    buf_free(&value);
    while (n == 1 && !m->known)
        take();
}

static void row_add(struct buf *rows, uint64_t *n, const char *form, uint64_t i,
                    uint64_t revision)
{
    char key[32];
    struct msg m;

    if (!revision)
        return;
    snprintf(key, sizeof key, form, i);
    msg_init(&m, MSG_COMPARE);
    msg_set_text(&m, FIELD_KEY, key);
    msg_set_u(&m, FIELD_REVISION, revision);
    msg_encode(&m, rows);
    ++*n;
}

static void complete(const struct choir_event *task, uint64_t i)
{
    struct choir_request *r = choir_request_new(c, "complete");
    struct buf rows = {0}, part = {0};
    struct msg set;
    uint64_t n = 0;
    unsigned slot;

    if (i < PLAN)
        row_add(&rows, &n, "plan", 0, plan);
    if (i >= BACK)
        row_add(&rows, &n, "own/%07" PRIu64, i - BACK, own[i - BACK]);
    row_add(&rows, &n, "shared/%05" PRIu64, i / GROUP, shared[i / GROUP]);
    msg_init(&set, MSG_READ_SET);
    msg_set_list(&set, FIELD_COMPARES, n, buf_bytes(&rows));
    msg_encode(&set, &part);
    choir_request_uint(r, "task", choir_event_uint(task, "task"));
    choir_request_uint(r, "token", choir_event_uint(task, "token"));
    choir_request_slot(r, "done", 4, NULL);
    choir_request_slot(r, part.p, part.n, &slot);
    choir_request_uint(r, "reads", slot);
    send(&r, OTHER, 0);
    buf_free(&rows);
    buf_free(&part);
}

static uint64_t worked;

static void work(const struct choir_event *task)
{
    static const char value[64] = "what it made of it";
    uint64_t i = worked++;
    struct choir_request *r;
    char key[32];

    put_map(task, i);
    for (unsigned k = 0; k + 5 < OF_TASK; k++) {
        snprintf(key, sizeof key, "notes/%04" PRIu64, some(5000));
        r = put(task, key, bytes_of(value, sizeof value));
        send(&r, OTHER, 0);
    }
    snprintf(key, sizeof key, "own/%07" PRIu64, i);
    r = put(task, key, bytes_of(value, sizeof value));
    send(&r, PUT_OWN, i);
    complete(task, i);
}

static uint64_t under_way, completed;

/* One event. Tasks wait in a list: work may take events itself. */
static struct choir_event *waiting[2 * WINDOW];
static unsigned waiting_count;

static void take(void)
{
    struct choir_event *e;
    const char *verb;
    uint64_t id;
    struct map *m;

    if (choir_next(c, 60000, &e))
        die("next");
    if (choir_event_code(e))
        die(choir_event_explain(e));
    if (strcmp(choir_event_name(e), "task") == 0) {
        waiting[waiting_count++] = e;
        return;
    }
    verb = choir_event_verb(e);
    id = choir_event_request(e);
    if (strcmp(verb, "complete") == 0) {
        completed++;
        under_way--;
    } else if (strcmp(verb, "put") == 0 && ring[id % RING].kind == PUT_OWN) {
        own[ring[id % RING].number] = choir_event_uint(e, "revision");
    } else if (strcmp(verb, "put") == 0 && ring[id % RING].kind == PUT_MAP) {
        m = &maps[ring[id % RING].number];
        m->revision[++m->known % 2] = choir_event_uint(e, "revision");
    }
    choir_event_free(&e);
}

/* Policies are the administrator's. */
static void policy_set(void)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    char path[2 * DAEMON_PATH];
    struct choir *admin;

    snprintf(path, sizeof path, "%s/admin.identity", broker.data);
    o.url = broker.url;
    o.identity_path = path;
    if (choir_open(&o, &admin) || choir_policy(admin, "conf/", "merge", NULL))
        die("policy");
    choir_close(&admin);
}

static void begin(void)
{
    struct choir_request *r;
    char key[32];

    policy_set();
    if (choir_put(c, "plan", "all of it", 9, &plan))
        die("put");
    for (uint64_t i = 0; i <= tasks / GROUP; i++) {
        snprintf(key, sizeof key, "shared/%05" PRIu64, i);
        if (choir_put(c, key, "for all", 7, &shared[i]))
            die("put");
    }
    r = choir_request_new(c, "work");
    choir_request_text(r, "queue", "q");
    choir_request_uint(r, "credit", tasks);
    send(&r, OTHER, 0);
}

static void build(void)
{
    struct choir_request *r;
    uint64_t submitted = 0;

    begin();
    while (completed < tasks) {
        for (; submitted < tasks && under_way < WINDOW; under_way++) {
            r = choir_request_new(c, "submit");
            choir_request_text(r, "queue", "q");
            choir_request_slot(r, "do it", 5, NULL);
            send(&r, OTHER, 0);
            submitted++;
        }
        while (waiting_count) {
            struct choir_event *task = waiting[--waiting_count];

            work(task);
            choir_event_free(&task);
        }
        take();
    }
}

/* --- Asking ----------------------------------------------------------------- */

static double now_ms(void)
{
    return (double)test_now_us() / 1000;
}

/* What the ask told of: entries and places. */
static size_t ask(struct choir_request **r)
{
    struct choir_event *e;
    size_t n = 0;

    if (choir_call(c, r, 60000, &e))
        die("ask");
    for (size_t i = 0; i < choir_event_count(e, "items"); i++)
        n += choir_event_uint(choir_event_item(e, "items", i), "kind") == 0;
    choir_event_free(&e);
    return n;
}

static struct choir_request *of_key(const char *verb, const char *form,
                                    uint64_t i)
{
    struct choir_request *r = choir_request_new(c, verb);
    char key[32];

    snprintf(key, sizeof key, form, i);
    choir_request_text(r, "key", key);
    choir_request_uint(r, "count", 1000);
    return r;
}

static struct choir_request *blame_map(void)
{
    return of_key("blame", "conf/%03" PRIu64, some(MAPS));
}
static struct choir_request *blame_own(void)
{
    return of_key("blame", "own/%07" PRIu64, some(tasks));
}
static struct choir_request *why_own(void)
{
    return of_key("why", "own/%07" PRIu64, some(tasks));
}
static struct choir_request *why_map(void)
{
    return of_key("why", "conf/%03" PRIu64, some(MAPS));
}
static struct choir_request *impact_own(void)
{
    return of_key("impact", "own/%07" PRIu64, some(tasks));
}
static struct choir_request *impact_shared(void)
{
    return of_key("impact", "shared/%05" PRIu64, some(tasks / GROUP + 1));
}
static struct choir_request *impact_plan(void)
{
    return of_key("impact", "plan", 0);
}
static struct choir_request *impact_agent(void)
{
    struct choir_request *r = choir_request_new(c, "impact");

    choir_request_text(r, "agent", choir_agent_id(c));
    choir_request_uint(r, "revision", some(tasks * OF_TASK));
    choir_request_uint(r, "count", 1000);
    return r;
}

static const struct row {
    const char *name;
    struct choir_request *(*make)(void);
} rows[] = {
    {"blame of a merged map", blame_map},
    {"blame of a key", blame_own},
    {"why of a key", why_own},
    {"why of a merged map", why_map},
    {"impact of a key", impact_own},
    {"impact of what a group shares", impact_shared},
    {"impact of the plan", impact_plan},
    {"impact of an agent", impact_agent},
};

static int less(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of all its threads; a busy machine does not change it much. */
static double broker_cpu_ms(void)
{
    unsigned long user = 0, system = 0;
    char path[64];
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)broker.pid);
    f = fopen(path, "r");
    if (!f || fscanf(f,
                     "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
                     "%lu %lu",
                     &user, &system) != 2)
        die("no figures of the broker");
    fclose(f);
    return (double)(user + system) * 1000 / (double)sysconf(_SC_CLK_TCK);
}

/* The 99th percentile. */
static double measure(const struct row *row)
{
    static double ms[ASKS_MAX];
    double cpu = broker_cpu_ms();
    size_t nodes = 0, most = 0;

    for (unsigned i = 0; i < asks; i++) {
        struct choir_request *r = row->make();
        size_t n;

        ms[i] = now_ms();
        n = ask(&r);
        ms[i] = now_ms() - ms[i];
        nodes += n;
        most = n > most ? n : most;
    }
    qsort(ms, asks, sizeof *ms, less);
    printf("%-30s p50 %7.2f ms  p99 %7.2f ms  (broker: %.2f ms of processor "
           "time)  entries: %zu, at most %zu\n",
           row->name, ms[asks / 2], ms[asks * 99 / 100],
           (broker_cpu_ms() - cpu) / asks, nodes / asks, most);
    fflush(stdout);
    return ms[asks * 99 / 100];
}

int main(int argc, char **argv)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir_request *r;
    uint64_t entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    double worst = 0, limit = argc > 2 ? atof(argv[2]) : 50, began;

    if (argc > 3 && atoi(argv[3]) > 0 && atoi(argv[3]) < ASKS_MAX)
        asks = (unsigned)atoi(argv[3]);
    tasks = entries / OF_TASK;
    own = calloc(tasks + 1, sizeof *own);
    shared = calloc(tasks / GROUP + 2, sizeof *shared);
    daemon_init(&broker, "story");
    if (!tasks || !own || !shared || daemon_start(&broker, NULL))
        die("start");
    o.url = broker.url;
    o.name = "story";
    o.data_dir = broker.data;
    o.timeout_ms = 60000;
    if (choir_open(&o, &c))
        die("open");
    began = now_ms();
    build();
    printf("%" PRIu64 " tasks: ledger built in %.1f s\n", tasks,
           (now_ms() - began) / 1000);
    /* Behind what is still under way of building it. */
    r = blame_own();
    ask(&r);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double p99 = measure(&rows[i]);

        worst = p99 > worst ? p99 : worst;
    }
    choir_close(&c);
    free(own);
    free(shared);
    if (daemon_stop(&broker))
        return 1;
    if (worst > limit)
        fprintf(stderr, "bench: %.2f ms is more than %.2f\n", worst, limit);
    return worst > limit;
}
