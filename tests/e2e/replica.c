/* A replica of a real broker's context, while agents write to it, while the
 * daemon is killed, and when it may no longer be read. */
#include <choir.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/support/daemon.h"

enum { KEYS = 300 };

static struct daemon d;

static struct choir *agent(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c;

    o.name = name;
    o.timeout_ms = 20000 * test_patience();
    if (choir_open(&o, &c))
        fail_msg("%s: %s", name, choir_error_text());
    return c;
}

static struct choir *administrator(void)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    char path[DAEMON_PATH + 32];
    struct choir *c;

    snprintf(path, sizeof path, "%s/admin.identity", d.data);
    o.identity_path = path;
    if (choir_open(&o, &c))
        fail_msg("%s", choir_error_text());
    return c;
}

static struct choir_replica *replica(struct choir *c, const char *prefix)
{
    struct choir_replica *r;

    if (choir_replica_open(c, prefix, NULL, &r))
        fail_msg("%s", choir_error_text());
    return r;
}

static void wait_for(struct choir_replica *r, uint64_t revision)
{
    if (choir_replica_wait(r, revision, 20000 * test_patience()))
        fail_msg("%s", choir_error_text());
}

/* --- Somebody who writes -------------------------------------------------- */

struct writer {
    pthread_t thread;
    struct choir *c;
    unsigned seed;
    int stop;              /* atomic */
    int failed;            /* a code */
    uint64_t last, writes; /* atomic: the last revision it got */
};

/* Two keys that say the same at every revision; or any key, or none. */
static int write_once(struct writer *w, uint64_t *revision)
{
    char key[32], value[32];
    struct choir_request *r;
    int code;

    snprintf(key, sizeof key, "k/%03d", rand_r(&w->seed) % KEYS);
    snprintf(value, sizeof value, "%u", rand_r(&w->seed));
    switch (rand_r(&w->seed) % 6) {
    case 0:
        r = choir_txn_new(w->c);
        choir_txn_put(r, "k/twin/a", value, strlen(value));
        choir_txn_put(r, "k/twin/b", value, strlen(value));
        return choir_commit(w->c, &r, revision);
    case 1:
        code = choir_delete(w->c, key, 0, revision);
        return code == CHOIR_NOT_FOUND ? 0 : code;
    case 2: return choir_put(w->c, "elsewhere", value, 1, revision);
    case 3: return choir_incr(w->c, "k/count", -3, revision);
    case 4: return choir_append(w->c, "k/list", "\x01", 1, revision);
    default: return choir_put(w->c, key, value, strlen(value), revision);
    }
}

static void *write_on(void *arg)
{
    struct writer *w = arg;

    while (!w->failed && !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
        uint64_t revision = 0;

        w->failed = write_once(w, &revision);
        if (revision)
            __atomic_store_n(&w->last, revision, __ATOMIC_RELEASE);
        __atomic_add_fetch(&w->writes, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void writer_start(struct writer *w, const char *name, unsigned seed)
{
    *w = (struct writer){.c = agent(name), .seed = seed};
    CHECK_OK(pthread_create(&w->thread, NULL, write_on, w));
}

static void writes_wait(struct writer *w, uint64_t more)
{
    uint64_t from = __atomic_load_n(&w->writes, __ATOMIC_ACQUIRE);

    while (__atomic_load_n(&w->writes, __ATOMIC_ACQUIRE) < from + more)
        usleep(1000);
}

static uint64_t writer_stop(struct writer *w)
{
    __atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
    pthread_join(w->thread, NULL);
    CHECK_EQ(w->failed, 0);
    choir_close(&w->c);
    return w->last;
}

/* --- What the broker says ------------------------------------------------- */

static void check_key(struct choir *c, const struct choir_view *v)
{
    struct choir_event *e;
    const void *value;
    size_t n;

    if (choir_get(c, v->key, 0, &e))
        fail_msg("%s: %s", v->key, choir_error_text());
    value = choir_event_value(e, &n);
    CHECK_EQ(v->bytes, n);
    CHECK_MEM(v->value, value, n);
    CHECK_EQ(v->revision, choir_event_uint(e, "revision"));
    CHECK_EQ(v->time, choir_event_uint(e, "time"));
    CHECK_MEM(v->agent, choir_event_bytes(e, "agent", &n), 32);
    choir_event_free(&e);
}

/* Replica and broker hold the same, key for key, in the same order. */
static void check_same(struct choir *c, struct choir_replica *r,
                       const char *prefix)
{
    struct choir_event *page = NULL;
    struct choir_cut *cut;
    struct choir_view v;
    char after[600] = "";
    size_t at = 0;

    CHECK_OK(choir_replica_cut(r, prefix, &cut));
    do {
        choir_event_free(&page);
        CHECK_OK(choir_list(c, prefix, after[0] ? after : NULL, 0, &page));
        for (size_t i = 0; i < choir_event_count(page, "items"); i++, at++) {
            const struct choir_event *item = choir_event_item(page, "items", i);

            CHECK(choir_cut_item(cut, at, &v));
            CHECK_STR(v.key, choir_event_text(item, "key"));
            CHECK_EQ(v.revision, choir_event_uint(item, "revision"));
            check_key(c, &v);
        }
        snprintf(after, sizeof after, "%s",
                 choir_event_has(page, "after")
                     ? choir_event_text(page, "after")
                     : "");
    } while (after[0]);
    CHECK_EQ(at, choir_cut_count(cut));
    choir_event_free(&page);
    choir_cut_free(&cut);
}

/* --- Tests ---------------------------------------------------------------- */

TEST(a_replica_that_is_loaded_while_agents_write_holds_what_the_broker_holds)
{
    struct choir_replica *r, *all;
    struct writer one, two;
    struct choir *c;
    uint64_t last, other;

    daemon_init(&d, "load");
    CHECK_OK(daemon_start(&d, NULL));
    c = agent("reader");
    writer_start(&one, "one", 1);
    writer_start(&two, "two", 2);
    writes_wait(&one, 300);
    r = replica(c, "k/");
    all = replica(c, "");
    wait_for(r, 0);
    writes_wait(&two, 300);
    last = writer_stop(&one);
    other = writer_stop(&two);
    wait_for(r, last > other ? last : other);
    wait_for(all, last > other ? last : other);
    check_same(c, r, "k/");
    check_same(c, all, "");
    check_same(c, all, "k/1");
    choir_replica_close(&r);
    choir_replica_close(&all);
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

TEST(a_transaction_is_seen_whole_or_not_at_all)
{
    struct choir_replica *r;
    struct choir_view a, b;
    struct writer w;
    struct choir *c;

    daemon_init(&d, "whole");
    CHECK_OK(daemon_start(&d, NULL));
    c = agent("reader");
    CHECK_OK(choir_put(c, "k/twin/a", "0", 1, NULL));
    CHECK_OK(choir_put(c, "k/twin/b", "0", 1, NULL));
    r = replica(c, "k/");
    wait_for(r, 0);
    writer_start(&w, "writer", 3);
    while (__atomic_load_n(&w.writes, __ATOMIC_ACQUIRE) < 500) {
        struct choir_cut *cut;

        CHECK_OK(choir_replica_cut(r, "k/twin/", &cut));
        CHECK_EQ(choir_cut_count(cut), 2);
        choir_cut_item(cut, 0, &a);
        choir_cut_item(cut, 1, &b);
        CHECK_STR((const char *)a.value, (const char *)b.value);
        CHECK(a.revision <= choir_cut_revision(cut));
        choir_cut_free(&cut);
    }
    writer_stop(&w);
    choir_replica_close(&r);
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

TEST(a_replica_goes_on_by_itself_when_the_broker_is_killed_and_comes_back)
{
    struct choir_replica_facts f = {.struct_bytes = sizeof f};
    struct choir_replica *r;
    struct writer w;
    struct choir *c;

    daemon_init(&d, "killed");
    CHECK_OK(daemon_start(&d, NULL));
    c = agent("reader");
    writer_start(&w, "writer", 4);
    writes_wait(&w, 100);
    r = replica(c, "k/");
    wait_for(r, 0);
    for (int i = 0; i < 3; i++) {
        daemon_kill(&d);
        CHECK_OK(choir_replica_facts(r, &f));
        CHECK_EQ(f.code, 0); /* it can still be read */
        CHECK_OK(daemon_start(&d, NULL));
        writes_wait(&w, 50);
    }
    wait_for(r, writer_stop(&w));
    check_same(c, r, "k/");
    CHECK_OK(choir_replica_facts(r, &f));
    CHECK_EQ(f.loads, 1);
    choir_replica_close(&r);
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

/* Of keys under prefix; NULL: everywhere. */
static void grant(struct choir *c, const char *agent_id, const char *prefix,
                  uint64_t rights)
{
    struct choir_request *q = choir_request_new(c, "grant");

    CHECK_OK(choir_request_text(q, "agent", agent_id));
    CHECK_OK(choir_request_begin(q, "grants"));
    choir_request_text(q, "space", "*");
    choir_request_uint(q, "rights", rights);
    if (prefix)
        choir_request_text(q, "prefix", prefix);
    CHECK_OK(choir_request_end(q));
    if (choir_call(c, &q, 20000, NULL))
        fail_msg("%s", choir_error_text());
}

static void withdraw(struct choir *c, const char *agent_id)
{
    grant(c, agent_id, NULL, 0);
}

static struct choir_replica *checked(struct choir *c, const char *prefix)
{
    struct choir_replica_options o = CHOIR_REPLICA_INIT;
    struct choir_replica *r;

    o.check_ms = 20;
    if (choir_replica_open(c, prefix, &o, &r))
        fail_msg("%s", choir_error_text());
    wait_for(r, 0);
    return r;
}

/* Keys come and go all the while: what moves on is never called different. */
TEST(a_replica_that_follows_is_never_found_to_differ)
{
    struct choir_replica_facts f = {.struct_bytes = sizeof f};
    struct choir *c, *reader;
    struct choir_replica *r;
    uint64_t revision;
    char key[32];

    daemon_init(&d, "compared");
    CHECK_OK(daemon_start(&d, NULL));
    c = administrator();
    reader = agent("reader");
    r = checked(reader, "k/");
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k/%d", i % 50);
        if (i % 7 != 6)
            CHECK_OK(choir_put(c, key, "v", 1, &revision));
        else if (choir_delete(c, key, 0, &revision))
            CHECK_EQ(choir_error_code(), CHOIR_NOT_FOUND);
    }
    wait_for(r, revision);
    usleep(200000); /* some comparisons while nothing moves */
    CHECK_OK(choir_replica_facts(r, &f));
    CHECK_EQ(f.loads, 1);
    choir_replica_close(&r);
    choir_close(&reader);
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

TEST(keys_that_a_narrower_grant_takes_away_go_when_it_is_compared)
{
    struct choir *c, *reader;
    struct choir_replica *r;
    struct choir_view v;
    int code;

    daemon_init(&d, "narrowed");
    CHECK_OK(daemon_start(&d, NULL));
    c = administrator();
    reader = agent("reader");
    CHECK_OK(choir_put(c, "k/a", "1", 1, NULL));
    CHECK_OK(choir_put(c, "k/b", "1", 1, NULL));
    grant(c, choir_agent_id(reader), "k/a", CHOIR_RIGHT_READ);
    r = checked(reader, "k/");
    CHECK_OK(choir_replica_get(r, "k/b", &v));
    choir_view_release(&v);
    withdraw(c, choir_agent_id(reader));
    do {
        usleep(1000);
        code = choir_replica_get(r, "k/b", &v);
        if (!code)
            choir_view_release(&v);
    } while (!code);
    CHECK_REFUSED(code, CHOIR_NOT_FOUND);
    CHECK_OK(choir_replica_get(r, "k/a", &v));
    choir_view_release(&v);
    choir_replica_close(&r);
    choir_close(&reader);
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

TEST(when_the_right_to_read_is_withdrawn_the_replica_says_so_and_is_empty)
{
    struct choir_replica_facts f = {.struct_bytes = sizeof f};
    struct choir *c, *reader;
    struct choir_replica *r;
    struct choir_view v;

    daemon_init(&d, "withdrawn");
    CHECK_OK(daemon_start(&d, NULL));
    c = administrator();
    reader = agent("reader");
    CHECK_OK(choir_put(c, "k/a", "1", 1, NULL));
    r = replica(reader, "k/");
    wait_for(r, 0);
    CHECK_OK(choir_replica_get(r, "k/a", &v));
    choir_view_release(&v);
    withdraw(c, choir_agent_id(reader));
    CHECK_REFUSED(choir_replica_wait(r, 1000000, 20000), CHOIR_DENIED);
    CHECK_REFUSED(choir_replica_get(r, "k/a", &v), CHOIR_DENIED);
    CHECK_OK(choir_replica_facts(r, &f));
    CHECK_EQ(f.code, CHOIR_DENIED);
    choir_replica_close(&r);
    CHECK_REFUSED(choir_replica_open(reader, "k/", NULL, &r), CHOIR_DENIED);
    choir_close(&reader);
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

CHECK_MAIN
