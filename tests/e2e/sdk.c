/* The library and the daemon together, while one of them is killed, replaced
 * or set back. */
#include <choir.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"

static char dir[256], data_dir[300];
static char url[128]; /* the port it got is kept over restarts */
static pid_t broker;

static bool ready(const char *path)
{
    char line[1024], *at;
    bool is = false;
    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof line, f)) {
        at = strstr(line, "url=tcp");
        if (at)
            sscanf(at, "url=%127s", url);
        is = is || strstr(line, "event=ready");
    }
    if (f)
        fclose(f);
    return is;
}

static void broker_start(void)
{
    char path[300];

    snprintf(path, sizeof path, "%s/choird.log", dir);
    unlink(path);
    broker = fork();
    if (broker == 0) {
        if (!freopen(path, "w", stderr))
            _exit(126);
        execlp("choird", "choird", "--data", data_dir, "--listen", url, NULL);
        _exit(127);
    }
    for (int i = 0; i < 5000 && !ready(path); i++)
        usleep(1000);
    if (!ready(path))
        fail_msg("choird did not start, see %s", path);
}

static void broker_end(int signal_number)
{
    kill(broker, signal_number);
    waitpid(broker, NULL, 0);
}

static void broker_bounce(void)
{
    broker_end(SIGKILL);
    broker_start();
}

static void begin(void)
{
    const char *tmp = getenv("CHOIR_TMP");
    char store[300];

    snprintf(dir, sizeof dir, "%s/e2e.XXXXXX", tmp ? tmp : "/tmp");
    CHECK(mkdtemp(dir) != NULL);
    snprintf(data_dir, sizeof data_dir, "%s/data", dir);
    snprintf(store, sizeof store, "%s/store", dir);
    setenv("CHOIR_CONFIG", store, 1);
    setenv("CHOIR_DATA", data_dir, 1);
    strcpy(url, "tcp://127.0.0.1:*");
    broker_start();
}

static void end(void)
{
    char command[300];

    broker_end(SIGTERM);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK_OK(system(command));
}

static void run(const char *format, ...)
{
    char command[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (system(command))
        fail_msg("%s", command);
}

static struct choir *agent(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c;

    o.name = name;
    o.timeout_ms = 15000;
    if (choir_open(&o, &c))
        fail_msg("%s: %s", name, choir_error_text());
    return c;
}

static int open_as(const char *name, unsigned flags)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c;
    int r;

    o.name = name;
    o.flags = flags;
    r = choir_open(&o, &c);
    choir_close(&c);
    return r;
}

static size_t versions_of(struct choir *c, const char *key)
{
    struct choir_event *e;
    uint64_t from = 0;
    size_t n = 0;

    do {
        if (choir_log(c, key, from, &e))
            fail_msg("%s", choir_error_text());
        n += choir_event_count(e, "items");
        from = choir_event_uint(e, "prev");
        choir_event_free(&e);
    } while (from);
    return n;
}

/* --- Adding ---------------------------------------------------------------- */

static void value_is(struct choir *c, const char *key, const char *want,
                     size_t bytes)
{
    struct choir_event *e;
    const void *value;
    size_t n;

    CHECK_OK(choir_get(c, key, 0, &e));
    value = choir_event_value(e, &n);
    CHECK_EQ(n, bytes);
    CHECK_MEM(value, want, n);
    choir_event_free(&e);
}

TEST(what_is_added_under_a_policy_is_all_there)
{
    struct choir *a, *b;

    begin();
    a = agent("a");
    b = agent("b");
    CHECK_REFUSED(choir_policy(a, "n", "sometimes", NULL), CHOIR_INVALID);
    CHECK_REFUSED(choir_policy(a, "n", "counter", NULL), CHOIR_DENIED);
    run("choir policy strict cas >/dev/null");
    CHECK_OK(choir_incr(a, "n", 300, NULL));
    CHECK_OK(choir_incr(b, "n", -301, NULL));
    value_is(a, "n", "\xff", 1);
    CHECK_OK(choir_append(a, "log", "\xa1x", 2, NULL));
    CHECK_OK(choir_append(b, "log", "\xa1y", 2, NULL));
    value_is(b, "log", "\x92\xa1x\xa1y", 5);
    CHECK_REFUSED(choir_incr(a, "log", 1, NULL), CHOIR_INVALID);
    CHECK(strstr(choir_error_text(), "what is there is not a whole number"));
    CHECK_OK(choir_put(a, "strict", "x", 1, NULL));
    CHECK_REFUSED(choir_put(b, "strict", "y", 1, NULL), CHOIR_CONFLICT);
    choir_close(&a);
    choir_close(&b);
    end();
}

/* Who of two added each of 300 elements: more than one page. */
TEST(blame_names_the_author_of_each_element)
{
    enum { ELEMENTS = 300 };
    static const unsigned char one[] = {1};
    struct choir *c[2];
    struct choir_event *page = NULL, *e;
    uint64_t revision[ELEMENTS], places = 0;
    bool more = true;

    begin();
    c[0] = agent("ada");
    c[1] = agent("bob");
    for (unsigned i = 0; i < ELEMENTS; i++)
        CHECK_OK(choir_append(c[i % 2], "log", one, 1, &revision[i]));
    while (more) {
        if (choir_blame(c[0], "log", 0, page, &e))
            fail_msg("%s", choir_error_text());
        choir_event_free(&page);
        for (size_t i = 0; i < choir_event_count(e, "items"); i++) {
            const struct choir_event *item = choir_event_item(e, "items", i);
            const char *name = choir_event_text(item, "text");

            if (choir_event_uint(item, "kind") != 1)
                continue;
            CHECK_EQ(choir_event_uint(item, "revision"),
                     revision[atoi(name + 1)]);
            places++;
        }
        more = choir_event_has(e, "prev") || choir_event_has(e, "after");
        page = e;
    }
    CHECK_EQ(places, ELEMENTS);
    choir_event_free(&page);
    CHECK_EQ(choir_blame(c[0], "none", 0, NULL, &e), CHOIR_NOT_FOUND);
    choir_close(&c[0]);
    choir_close(&c[1]);
    end();
}

/* --- Killed --------------------------------------------------------------- */

enum { WRITERS = 3, STEPS = 60, KILLS = 4 };

struct writer {
    pthread_t thread;
    struct choir *c;
    char key[16];
    _Atomic int steps;
    char trouble[512];
};

/* Only we write this key, so every conflict would be a double effect. */
static void *write_steps(void *arg)
{
    struct writer *w = arg;
    uint64_t revision = 0;

    for (int i = 0; i < STEPS; i++) {
        char value[16];
        int n = snprintf(value, sizeof value, "%d", i);

        if (choir_put_if(w->c, w->key, value, (size_t)n, revision, &revision)) {
            snprintf(w->trouble, sizeof w->trouble, "%s", choir_error_text());
            return NULL;
        }
        w->steps = i + 1;
    }
    return NULL;
}

TEST(a_broker_that_is_killed_or_stopped_loses_nothing_and_doubles_nothing)
{
    struct writer writers[WRITERS] = {{0}};

    begin();
    for (int i = 0; i < WRITERS; i++) {
        struct writer *w = &writers[i];

        snprintf(w->key, sizeof w->key, "writer-%d", i);
        w->c = agent(w->key);
        pthread_create(&w->thread, NULL, write_steps, w);
    }
    for (int i = 0; i < KILLS; i++) {
        int target = (i + 1) * STEPS / (KILLS + 1);

        while (writers[0].steps < target && !writers[0].trouble[0])
            usleep(500);
        broker_end(i % 2 ? SIGTERM : SIGKILL);
        broker_start();
    }
    for (int i = 0; i < WRITERS; i++) {
        struct writer *w = &writers[i];

        pthread_join(w->thread, NULL);
        CHECK_STR(w->trouble, "");
        CHECK_EQ(versions_of(w->c, w->key), STEPS);
        choir_close(&w->c);
    }
    end();
}

TEST(what_is_under_way_when_the_broker_dies_happens_once)
{
    enum { N = 1500 };
    uint64_t *requests = calloc(N, sizeof *requests);
    struct choir_event *e;
    struct choir *c;
    size_t listed = 0;
    char after[64] = "";

    begin();
    c = agent("ada");
    for (int i = 0; i < N; i++) {
        struct choir_request *r = choir_request_new(c, "put");
        char key[16];

        snprintf(key, sizeof key, "k%06d", i);
        choir_request_text(r, "key", key);
        choir_request_slot(r, "v", 1, NULL);
        CHECK_OK(choir_send(c, &r, 15000, &requests[i]));
        if (i % 500 == 250)
            broker_bounce();
    }
    for (int i = 0; i < N; i++) {
        CHECK_OK(choir_wait(c, requests[i], 15000, &e));
        CHECK_OK(choir_event_code(e));
        choir_event_free(&e);
    }
    for (bool more = true; more;) {
        CHECK_OK(choir_list(c, "k", after[0] ? after : NULL, 0, &e));
        for (size_t i = 0; i < choir_event_count(e, "items"); i++) {
            const struct choir_event *item = choir_event_item(e, "items", i);

            CHECK_EQ(choir_event_uint(item, "created"),
                     choir_event_uint(item, "revision"));
            listed++;
        }
        more = choir_event_has(e, "after");
        if (more)
            strcpy(after, choir_event_text(e, "after"));
        choir_event_free(&e);
    }
    CHECK_EQ(listed, N);
    choir_close(&c);
    free(requests);
    end();
}

TEST(a_watch_goes_on_through_kills_with_each_revision_once)
{
    enum { N = 400 };
    struct choir *ada, *bob;
    struct choir_event *e;
    uint64_t watch, last = 0;
    int seen = 0, caught_up = 0;

    begin();
    ada = agent("ada");
    bob = agent("bob");
    CHECK_OK(choir_watch(bob, "k", 1, &watch));
    for (int i = 0; i < N; i++) {
        CHECK_OK(choir_put(ada, "key", "v", 1, NULL));
        CHECK_OK(choir_put(ada, "other", "v", 1, NULL));
        if (i % 150 == 100)
            broker_bounce();
    }
    while (seen < N) {
        if (choir_wait(bob, watch, 10000, &e))
            fail_msg("%d of %d: %s", seen, N, choir_error_text());
        if (strcmp(choir_event_name(e), "change") == 0) {
            CHECK(choir_event_uint(e, "revision") > last);
            last = choir_event_uint(e, "revision");
            CHECK_EQ(choir_event_count(e, "items"), 1);
            seen++;
        } else {
            CHECK_STR(choir_event_name(e), "caught_up");
            caught_up++;
        }
        choir_event_free(&e);
    }
    CHECK_EQ(caught_up, 1);
    choir_close(&ada);
    choir_close(&bob);
    end();
}

/* --- Leases --------------------------------------------------------------- */

/* Long enough for a heartbeat to come in time on a machine that is busy. */
enum { SHORT_LEASE_MS = 400 };

static uint64_t submit_short(struct choir *c, const char *queue)
{
    struct choir_request *r = choir_request_new(c, "submit");
    struct choir_event *e;
    uint64_t task;

    choir_request_text(r, "queue", queue);
    choir_request_slot(r, "think", 5, NULL);
    choir_request_uint(r, "lease_ms", SHORT_LEASE_MS);
    choir_request_uint(r, "backoff_ms", 10);
    if (choir_call(c, &r, 5000, &e))
        fail_msg("%s", choir_error_text());
    task = choir_event_uint(e, "revision");
    choir_event_free(&e);
    return task;
}

TEST(a_lease_lives_while_its_holder_is_busy_and_the_broker_is_killed)
{
    struct choir_event *task, *e;
    struct choir *c;
    uint64_t id;

    begin();
    c = agent("ada");
    id = submit_short(c, "q");
    CHECK_OK(choir_work(c, "q", 5000, &task));
    usleep(2200 * SHORT_LEASE_MS); /* a model call: two leases long */
    CHECK(choir_task_held(c, task));
    broker_bounce();
    usleep(2200 * SHORT_LEASE_MS);
    CHECK(choir_task_held(c, task));
    CHECK_EQ(choir_event_uint(task, "attempt"), 1);
    CHECK_OK(choir_complete(c, task, "done", 4));
    CHECK_OK(choir_result(c, id, 5000, &e));
    CHECK_EQ(choir_event_uint(e, "state"), CHOIR_TASK_COMPLETED);
    CHECK_EQ(choir_event_uint(e, "attempt"), 1);
    choir_event_free(&e);
    choir_event_free(&task);
    choir_close(&c);
    end();
}

TEST(a_cancelled_task_is_told_to_its_worker_and_fenced)
{
    struct choir_request *r;
    struct choir_event *task;
    struct choir *ada, *bob;

    begin();
    ada = agent("ada");
    bob = agent("bob");
    uint64_t id = submit_short(ada, "q");
    CHECK_OK(choir_work(bob, "q", 5000, &task));
    r = choir_request_new(ada, "cancel");
    choir_request_uint(r, "task", id);
    CHECK_OK(choir_call(ada, &r, 5000, NULL));
    for (int i = 0; i < 2000 && choir_task_held(bob, task); i++)
        usleep(1000);
    CHECK_NOT(choir_task_held(bob, task));
    CHECK_REFUSED(choir_complete(bob, task, "x", 1), CHOIR_FENCED);
    choir_event_free(&task);
    choir_close(&ada);
    choir_close(&bob);
    end();
}

TEST(a_worker_has_as_many_tasks_in_hand_as_it_asked_for)
{
    struct choir_request *r;
    struct choir_event *e;
    struct choir *c;
    uint64_t work;
    unsigned tasks = 0;

    begin();
    c = agent("ada");
    for (int i = 0; i < 8; i++)
        CHECK_OK(choir_submit(c, "q", "t", 1, NULL));
    r = choir_request_new(c, "work");
    choir_request_text(r, "queue", "q");
    choir_request_uint(r, "credit", 2);
    CHECK_OK(choir_send(c, &r, 5000, &work));
    while (tasks < 8) {
        CHECK_OK(choir_wait(c, work, 5000, &e));
        if (strcmp(choir_event_name(e), "task") == 0) {
            tasks++;
            CHECK_OK(choir_complete(c, e, "", 0));
            CHECK_OK(choir_credit(c, work, 1));
        }
        choir_event_free(&e);
    }
    CHECK_OK(choir_cancel(c, work));
    CHECK_OK(choir_submit(c, "q", "t", 1, NULL));
    CHECK_REFUSED(choir_next(c, 50, &e), CHOIR_TIMEOUT);
    choir_close(&c);
    end();
}

TEST(tasks_that_were_not_asked_for_stay_with_the_broker)
{
    struct choir_request *r;
    struct choir_event *e;
    struct choir *c;
    uint64_t work;
    int tasks = 0;

    begin();
    c = agent("ada");
    for (int i = 0; i < 5; i++)
        CHECK_OK(choir_submit(c, "q", "t", 1, NULL));
    r = choir_request_new(c, "work");
    choir_request_text(r, "queue", "q");
    choir_request_uint(r, "credit", 1);
    CHECK_OK(choir_send(c, &r, 5000, &work));
    while (choir_wait(c, work, tasks ? 100 : 5000, &e) == 0) {
        tasks += strcmp(choir_event_name(e), "task") == 0;
        choir_event_free(&e);
    }
    CHECK_EQ(tasks, 1);
    broker_bounce(); /* it is asked for again, and told what is held */
    CHECK_REFUSED(choir_wait(c, work, 400, &e), CHOIR_TIMEOUT);
    CHECK_OK(choir_credit(c, work, 2));
    while (choir_wait(c, work, tasks < 3 ? 5000 : 100, &e) == 0) {
        tasks += strcmp(choir_event_name(e), "task") == 0;
        choir_event_free(&e);
    }
    CHECK_EQ(tasks, 3);
    choir_close(&c);
    end();
}

/* --- Identity ------------------------------------------------------------- */

TEST(processes_that_enrol_at_once_become_one_agent)
{
    enum { N = 5 };
    char ids[N][65];
    int fds[2];

    begin();
    CHECK_OK(pipe(fds));
    for (int i = 0; i < N; i++) {
        if (fork() == 0) {
            struct choir_options o = CHOIR_OPTIONS_INIT;
            struct choir *c;

            o.name = "ada";
            if (choir_open(&o, &c) ||
                write(fds[1], choir_agent_id(c), 64) != 64)
                _exit(1);
            choir_close(&c);
            _exit(0);
        }
    }
    for (int i = 0; i < N; i++) {
        int status;

        CHECK(waitpid(-1, &status, 0) > 0);
        CHECK_EQ(status, 0);
        CHECK_EQ(read(fds[0], ids[i], 64), 64);
        ids[i][64] = 0;
        CHECK_STR(ids[i], ids[0]);
    }
    close(fds[0]);
    close(fds[1]);
    end();
}

TEST(another_broker_at_the_same_address_is_refused)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    char identity[300];
    struct choir *c;

    begin();
    c = agent("ada");
    snprintf(identity, sizeof identity, "%s", choir_identity_path(c));
    choir_close(&c);
    broker_end(SIGTERM);
    snprintf(data_dir, sizeof data_dir, "%s/other", dir);
    broker_start();
    o.identity_path = identity;
    CHECK_REFUSED(choir_open(&o, &c), CHOIR_WRONG_BROKER);
    end();
}

TEST(a_ledger_set_back_is_refused_until_the_operator_accepts_it)
{
    struct choir *c;

    begin();
    c = agent("ada");
    CHECK_OK(choir_put(c, "k", "1", 1, NULL));
    choir_close(&c);
    broker_end(SIGTERM);
    run("cp -a %s %s/old", data_dir, dir);
    broker_start();
    c = agent("ada");
    CHECK_OK(choir_put(c, "k", "2", 1, NULL));
    CHECK_OK(choir_put(c, "k", "3", 1, NULL));
    choir_close(&c);
    broker_end(SIGTERM);
    run("rm -rf %s && mv %s/old %s", data_dir, dir, data_dir);
    broker_start();
    CHECK_REFUSED(open_as("ada", 0), CHOIR_LEDGER_BEHIND);
    CHECK_OK(open_as("ada", CHOIR_ACCEPT_EPOCH));
    CHECK_OK(open_as("ada", 0));
    end();
}

TEST(a_revoked_agent_is_told_so)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *ada, *admin;
    struct choir_request *r;
    char identity[320];

    begin();
    ada = agent("ada");
    snprintf(identity, sizeof identity, "%s/admin.identity", data_dir);
    o.identity_path = identity;
    o.url = url;
    CHECK_OK(choir_open(&o, &admin));
    r = choir_request_new(admin, "revoke");
    choir_request_text(r, "agent", choir_agent_id(ada));
    CHECK_OK(choir_call(admin, &r, 5000, NULL));
    CHECK_REFUSED(choir_put(ada, "k", "v", 1, NULL), CHOIR_UNKNOWN_AGENT);
    choir_close(&ada);
    CHECK_REFUSED(open_as("ada", 0), CHOIR_UNKNOWN_AGENT);
    choir_close(&admin);
    end();
}

TEST(an_erased_value_is_told_as_such_by_broker_and_replica)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir_replica_options q = CHOIR_REPLICA_INIT;
    struct choir_replica *before, *r;
    struct choir_view view = {0};
    struct choir_event *e = NULL;
    struct choir *ada, *admin;
    uint64_t at, erased;
    char identity[320];

    begin();
    ada = agent("ada");
    snprintf(identity, sizeof identity, "%s/admin.identity", data_dir);
    o.identity_path = identity;
    o.url = url;
    CHECK_OK(choir_open(&o, &admin));
    CHECK_OK(choir_put(ada, "plan", "secret", 6, &at));
    CHECK_OK(choir_put(ada, "plane", "fine", 4, NULL));
    CHECK_REFUSED(choir_erase(ada, "plan", at, NULL, NULL), CHOIR_DENIED);
    CHECK_REFUSED(choir_erase(admin, "none", 0, NULL, NULL), CHOIR_NOT_FOUND);
    q.check_ms = 50;
    CHECK_OK(choir_replica_open(ada, "plan", &q, &before));
    CHECK_OK(choir_replica_wait(before, at, 10000));
    CHECK_OK(choir_replica_get(before, "plan", &view));
    choir_view_release(&view);
    CHECK_OK(choir_erase(admin, "plan", 0, "it was a secret", &erased));
    CHECK(erased > at);
    CHECK_REFUSED(choir_get(ada, "plan", 0, &e), CHOIR_ERASED);
    choir_event_free(&e);
    CHECK_OK(choir_replica_open(ada, "plan", NULL, &r));
    CHECK_OK(choir_replica_wait(r, 0, 10000));
    CHECK_REFUSED(choir_replica_get(r, "plan", &view), CHOIR_ERASED);
    CHECK_OK(choir_replica_get(r, "plane", &view));
    choir_view_release(&view);
    choir_replica_close(&r);
    while (!choir_replica_get(before, "plan", &view)) { /* it finds out */
        choir_view_release(&view);
        usleep(1000);
    }
    CHECK_EQ(choir_error_code(), CHOIR_ERASED);
    choir_replica_close(&before);
    choir_close(&ada);
    choir_close(&admin);
    end();
}

/* --- Values and the tap --------------------------------------------------- */

TEST(a_value_may_be_as_large_as_the_broker_says)
{
    static char value[8 << 20];
    struct choir_event *e;
    struct choir *c;
    size_t n, limit;

    begin();
    c = agent("ada");
    limit = choir_limit(c, "value_bytes_max");
    CHECK(limit > 0 && limit < sizeof value);
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (char)(i * 7);
    CHECK_OK(choir_put(c, "large", value, limit, NULL));
    CHECK_OK(choir_get(c, "large", 0, &e));
    CHECK_MEM(choir_event_value(e, &n), value, limit);
    CHECK_EQ(n, limit);
    choir_event_free(&e);
    CHECK_REFUSED(choir_put(c, "large", value, limit + 1, NULL),
                  CHOIR_OVER_LIMIT);
    CHECK(strstr(choir_error_text(), "limit=1048576"));
    CHECK_REFUSED(choir_put(c, "large", value, sizeof value, NULL),
                  CHOIR_TOO_LARGE);
    CHECK(strstr(choir_error_text(), "limit="));
    choir_close(&c);
    end();
}

TEST(the_tap_shows_entries_whose_parts_can_be_read)
{
    struct choir_request *r;
    struct choir_event *e;
    const struct choir_event *head;
    struct choir *c;
    uint64_t tap, put;
    bool found = false;

    begin();
    c = agent("ada");
    CHECK_OK(choir_put(c, "plan", "v", 1, &put));
    r = choir_request_new(c, "tap");
    choir_request_uint(r, "revision", 1);
    CHECK_OK(choir_send(c, &r, 5000, &tap));
    while (!found) {
        if (choir_wait(c, tap, 5000, &e))
            fail_msg("%s", choir_error_text());
        head = choir_event_item(e, "head", 0);
        if (choir_event_uint(e, "revision") == put && head) {
            CHECK_STR(choir_event_name(e), "entry");
            CHECK_STR(choir_event_name(head), "put");
            CHECK_STR(choir_event_text(head, "key"), "plan");
            CHECK_STR(
                choir_event_text(choir_event_item(e, "header", 0), "agent"),
                choir_agent_id(c));
            found = true;
        }
        choir_event_free(&e);
    }
    choir_close(&c);
    end();
}

/* The first entry from `tap` on that tells what its author was shown. */
static struct choir_event *head_carried(struct choir *c, uint64_t tap)
{
    struct choir_event *e;

    for (;;) {
        const struct choir_event *header;

        if (choir_wait(c, tap, 5000, &e))
            fail_msg("%s", choir_error_text());
        header = choir_event_item(e, "header", 0);
        if (header && choir_event_has(header, "seen_root"))
            return e;
        choir_event_free(&e);
    }
}

TEST(what_an_agent_was_shown_is_held_against_what_another_is)
{
    const struct choir_event *header;
    struct choir_request *r;
    struct choir_event *e;
    struct choir *c, *other;
    uint64_t tap, put, seen;
    uint8_t root[32];
    size_t n;

    begin();
    c = agent("ada");
    other = agent("bob");
    CHECK_OK(choir_put(other, "plan", "v", 1, &put));
    CHECK_OK(choir_put(other, "plan", "w", 1, &put));
    r = choir_request_new(c, "tap");
    choir_request_uint(r, "revision", 1);
    CHECK_OK(choir_send(c, &r, 5000, &tap));
    e = head_carried(c, tap);
    header = choir_event_item(e, "header", 0);
    seen = choir_event_uint(header, "seen");
    memcpy(root, choir_event_bytes(header, "seen_root", &n), sizeof root);
    CHECK_EQ(n, 32);
    CHECK_OK(choir_root_check(c, seen + 1, root));
    CHECK_REFUSED(choir_root_check(c, seen, root), CHOIR_BROKEN);
    root[3] ^= 1;
    CHECK_REFUSED(choir_root_check(c, seen + 1, root), CHOIR_BROKEN);
    CHECK_REFUSED(choir_root_check(c, seen + 1000, root), CHOIR_BROKEN);
    choir_event_free(&e);
    choir_close(&c);
    choir_close(&other);
    end();
}

/* --- Examples ------------------------------------------------------------- */

TEST(the_examples_do_what_they_say)
{
    const char *build = getenv("CHOIR_BUILD");
    struct choir_event *e;
    struct choir *c;
    uint64_t task;
    size_t n;

    if (!build)
        build = "build";
    begin();
    run("cd %s && for i in 1 2 3; do %s/examples/counter count 20 >$i.out & "
        "done; wait; cat ?.out | sort -n | tail -n 1 | grep -q '^60 '",
        dir, build[0] == '/' ? build : "$OLDPWD/build");
    c = agent("ada");
    CHECK_EQ(versions_of(c, "count"), 60);
    CHECK_OK(choir_submit(c, "jobs", "hello", 5, &task));
    run("%s/examples/worker jobs 1 >/dev/null", build);
    CHECK_OK(choir_result(c, task, 5000, &e));
    CHECK_MEM(choir_event_value(e, &n), "HELLO", 5);
    choir_event_free(&e);
    run("%s/examples/watcher answers/ 1 1 | grep -q '= HELLO$'", build);
    choir_close(&c);
    end();
}

CHECK_MAIN
