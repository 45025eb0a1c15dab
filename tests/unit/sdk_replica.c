/* Replicas, against a broker that can be told to misbehave. */
#include "agent-sdk/choir.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/support/home.h"
#include "tests/support/standin.h"

static struct standin *broker;
static struct choir_options options;
static struct choir *c;
static char dir[HOME_BYTES];

static struct choir *handle(const char *name)
{
    struct choir *h;

    options.name = name;
    if (choir_open(&options, &h))
        fail_msg("%s", choir_error_text());
    return h;
}

static void begin(void)
{
    home_make(dir);
    broker = standin_start(dir);
    options = (struct choir_options)CHOIR_OPTIONS_INIT;
    options.data_dir = dir;
    options.timeout_ms = 20000;
    c = handle("ada");
}

static void end(void)
{
    choir_close(&c);
    standin_stop(&broker);
    home_remove(dir);
}

static uint64_t put(const char *key, const char *value)
{
    uint64_t revision = 0;

    if (choir_put(c, key, value, strlen(value), &revision))
        fail_msg("%s", choir_error_text());
    return revision;
}

static void put_many(unsigned n)
{
    char key[32];

    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "k/%u", i);
        put(key, key);
    }
}

static struct choir_replica *open_with(const char *prefix,
                                       const struct choir_replica_options *o)
{
    struct choir_replica *r;

    if (choir_replica_open(c, prefix, o, &r))
        fail_msg("%s", choir_error_text());
    return r;
}

static void wait_for(struct choir_replica *r, uint64_t revision)
{
    if (choir_replica_wait(r, revision, 20000))
        fail_msg("%s", choir_error_text());
}

static struct choir_replica *loaded(const char *prefix)
{
    struct choir_replica *r = open_with(prefix, NULL);

    wait_for(r, 0);
    return r;
}

static void check_value(struct choir_replica *r, const char *key,
                        const char *value)
{
    struct choir_view v;

    if (choir_replica_get(r, key, &v))
        fail_msg("%s", choir_error_text());
    CHECK_STR(v.key, key);
    CHECK_STR((const char *)v.value, value);
    CHECK_EQ(v.bytes, strlen(value));
    choir_view_release(&v);
    CHECK_NULL(v.value);
}

static void check_refused(struct choir_replica *r, const char *key, int code)
{
    struct choir_view v;

    CHECK_REFUSED(choir_replica_get(r, key, &v), code);
    CHECK_EQ(choir_error_code(), code);
}

static struct choir_replica_facts facts_of(struct choir_replica *r)
{
    struct choir_replica_facts f = {.struct_bytes = sizeof f};

    CHECK_OK(choir_replica_facts(r, &f));
    return f;
}

/* --- Reading -------------------------------------------------------------- */

TEST(a_replica_holds_what_was_there_when_it_was_opened)
{
    struct choir_replica *r;

    begin();
    put_many(10);
    put("other", "x");
    r = loaded("k/");
    check_value(r, "k/0", "k/0");
    check_value(r, "k/9", "k/9");
    check_refused(r, "other", CHOIR_NOT_FOUND);
    CHECK_EQ(facts_of(r).keys, 10);
    CHECK_EQ(facts_of(r).loads, 1);
    CHECK_EQ(facts_of(r).code, 0);
    choir_replica_close(&r);
    CHECK_NULL(r);
    end();
}

/* Nobody but the replica's own thread waits for anything here: it must be
 * woken all the same. */
TEST(a_replica_loads_and_follows_while_nobody_waits)
{
    struct choir_replica *r;
    struct choir_view v;
    char key[32];

    begin();
    for (int i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "k/%d", i);
        r = open_with("k/", NULL);
        while (facts_of(r).loads == 0)
            usleep(1000);
        put(key, "x");
        while (choir_replica_get(r, key, &v))
            usleep(1000);
        choir_view_release(&v);
        choir_replica_close(&r);
    }
    end();
}

TEST(a_replica_follows_puts_and_deletions)
{
    struct choir_replica *r;
    uint64_t revision;

    begin();
    put("k/a", "1");
    r = loaded("k/");
    put("k/a", "2");
    wait_for(r, put("k/b", "3"));
    check_value(r, "k/a", "2");
    check_value(r, "k/b", "3");
    CHECK_OK(choir_delete(c, "k/a", 0, &revision));
    wait_for(r, revision);
    check_refused(r, "k/a", CHOIR_NOT_FOUND);
    CHECK_EQ(facts_of(r).keys, 1);
    choir_replica_close(&r);
    end();
}

TEST(what_was_written_is_read_after_waiting_for_its_revision)
{
    struct choir_replica *r;
    char text[32];

    begin();
    r = loaded("");
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "%d", i);
        wait_for(r, put("plan", text));
        check_value(r, "plan", text);
    }
    choir_replica_close(&r);
    end();
}

TEST(waiting_for_a_revision_that_touches_nothing_of_it_ends)
{
    struct choir_replica_options o = CHOIR_REPLICA_INIT;
    struct choir_replica *r;

    begin();
    o.mark_ms = -1;
    r = open_with("k/", &o);
    wait_for(r, 0);
    for (int i = 0; i < 20; i++) {
        uint64_t revision = put("elsewhere", "x");

        wait_for(r, revision);
        CHECK(facts_of(r).revision >= revision);
    }
    choir_replica_close(&r);
    end();
}

TEST(a_view_stays_as_it_was_even_after_the_replica_is_closed)
{
    struct choir_replica *r;
    struct choir_view old;
    uint64_t revision;

    begin();
    revision = put("k/a", "old");
    r = loaded("k/");
    CHECK_OK(choir_replica_get(r, "k/a", &old));
    wait_for(r, put("k/a", "new"));
    check_value(r, "k/a", "new");
    choir_replica_close(&r);
    CHECK_STR((const char *)old.value, "old");
    CHECK_EQ(old.revision, revision);
    choir_view_release(&old);
    choir_view_release(&old);
    end();
}

TEST(a_cut_is_in_order_and_stays_while_the_replica_moves_on)
{
    struct choir_replica *r;
    struct choir_cut *cut;
    struct choir_view v;
    uint64_t revision;

    begin();
    put("k/b", "2");
    put("k/a", "1");
    put("l", "x");
    r = loaded("");
    CHECK_OK(choir_replica_cut(r, "k/", &cut));
    revision = put("k/a", "changed");
    wait_for(r, revision);
    CHECK_EQ(choir_cut_count(cut), 2);
    CHECK(choir_cut_revision(cut) < revision);
    CHECK(choir_cut_item(cut, 0, &v));
    CHECK_STR(v.key, "k/a");
    CHECK_STR((const char *)v.value, "1");
    choir_view_release(&v);
    CHECK(choir_cut_item(cut, 1, &v));
    CHECK_STR(v.key, "k/b");
    CHECK_NOT(choir_cut_item(cut, 2, &v));
    choir_replica_close(&r);
    CHECK(choir_cut_item(cut, 0, &v));
    CHECK_STR((const char *)v.value, "1");
    choir_cut_free(&cut);
    choir_cut_free(&cut);
    end();
}

TEST(a_cut_of_nothing_is_empty)
{
    struct choir_replica *r;
    struct choir_cut *cut;

    begin();
    r = loaded("k/");
    CHECK_OK(choir_replica_cut(r, "", &cut));
    CHECK_EQ(choir_cut_count(cut), 0);
    choir_cut_free(&cut);
    choir_replica_close(&r);
    end();
}

/* --- Freshness ------------------------------------------------------------ */

TEST(before_it_is_loaded_it_says_so_and_refuses_to_be_read)
{
    struct choir_replica *r;
    struct choir_cut *cut;

    begin();
    put("k/a", "1");
    standin_hold_lists(broker, true);
    r = open_with("k/", NULL);
    check_refused(r, "k/a", -EAGAIN);
    CHECK_REFUSED(choir_replica_cut(r, "", &cut), -EAGAIN);
    CHECK_NULL(cut);
    CHECK_EQ(facts_of(r).code, -EAGAIN);
    CHECK_EQ(facts_of(r).heard_ms, -1);
    CHECK_REFUSED(choir_replica_wait(r, 0, 20), CHOIR_TIMEOUT);
    standin_hold_lists(broker, false);
    standin_restart(broker, 0); /* it asks again */
    wait_for(r, 0);
    check_value(r, "k/a", "1");
    choir_replica_close(&r);
    end();
}

TEST(a_replica_that_is_still_loading_can_be_closed)
{
    struct choir_replica *r;

    begin();
    put("k/a", "1");
    standin_hold_lists(broker, true);
    r = open_with("k/", NULL);
    choir_replica_close(&r);
    end();
}

TEST(waiting_for_the_future_times_out_and_says_how_far_it_is)
{
    struct choir_replica *r;
    uint64_t revision;

    begin();
    r = loaded("");
    revision = put("k", "1");
    wait_for(r, revision);
    CHECK_REFUSED(choir_replica_wait(r, revision + 1000, 30), CHOIR_TIMEOUT);
    CHECK(choir_error_revision() >= revision);
    CHECK(strstr(choir_error_text(), "complete="));
    CHECK_REFUSED(choir_replica_wait(r, revision + 1000, 0), CHOIR_TIMEOUT);
    choir_replica_close(&r);
    end();
}

/* Marks come every few ms: until one has, and then none for a while. */
TEST(it_says_how_long_ago_the_broker_confirmed_it)
{
    struct choir_replica_options o = CHOIR_REPLICA_INIT;
    struct choir_replica *r;
    uint64_t revision;

    begin();
    o.mark_ms = 5;
    r = open_with("k/", &o);
    revision = put("elsewhere", "x");
    while (facts_of(r).revision < revision || facts_of(r).heard_ms < 0)
        usleep(1000);
    standin_mute(broker, true);
    while (facts_of(r).heard_ms < 100)
        usleep(1000);
    check_refused(r, "k/a", CHOIR_NOT_FOUND); /* it goes on with what it has */
    standin_mute(broker, false);
    choir_replica_close(&r);
    end();
}

TEST(an_interruption_reaches_who_waits_for_a_replica)
{
    struct choir_replica *r;

    begin();
    r = loaded("");
    choir_interrupt(c);
    CHECK_REFUSED(choir_replica_wait(r, 1000000, 20000), CHOIR_INTERRUPTED);
    choir_replica_close(&r);
    end();
}

TEST(an_interruption_is_not_used_up_by_the_replica_itself)
{
    struct choir_request *q;
    struct choir_replica *r;
    struct pollfd answered;
    struct choir_event *e;
    struct choir_view v;
    uint64_t id;

    begin();
    r = loaded("");
    answered = (struct pollfd){.fd = choir_fd(c), .events = POLLIN};
    choir_interrupt(c);
    q = choir_request_new(c, "put");
    choir_request_text(q, "key", "k");
    choir_request_slot(q, "1", 1, NULL);
    CHECK_OK(choir_send(c, &q, 0, &id));
    while (choir_replica_get(r, "k", &v))
        usleep(1000); /* by then the library has seen it */
    choir_view_release(&v);
    /* Whoever waits before the answer has come is the one interrupted. */
    CHECK_EQ(poll(&answered, 1, 20000), 1);
    CHECK_OK(choir_wait(c, id, 20000, &e));
    choir_event_free(&e);
    CHECK_REFUSED(choir_next(c, 20000, &e), CHOIR_INTERRUPTED);
    choir_replica_close(&r);
    end();
}

/* --- Trouble -------------------------------------------------------------- */

TEST(it_goes_on_after_a_reconnect)
{
    struct choir_replica *r;

    begin();
    put("k/a", "1");
    r = loaded("k/");
    standin_restart(broker, 20);
    wait_for(r, put("k/a", "2"));
    check_value(r, "k/a", "2");
    standin_end_sessions(broker);
    wait_for(r, put("k/a", "3"));
    check_value(r, "k/a", "3");
    CHECK_EQ(facts_of(r).loads, 1);
    choir_replica_close(&r);
    end();
}

TEST(after_a_reconnect_the_broker_need_not_read_again_what_was_no_concern_of_it)
{
    struct choir_replica *r;
    uint64_t revision = 0;

    begin();
    put("k/a", "1");
    r = loaded("k/");
    for (int i = 0; i < 10; i++)
        revision = put("elsewhere", "x");
    wait_for(r, revision);
    standin_restart(broker, 0);
    wait_for(r, put("k/a", "2"));
    CHECK(standin_counts(broker).watch_from > revision);
    choir_replica_close(&r);
    end();
}

TEST(a_watch_hears_caught_up_once_however_much_credit_it_gives)
{
    unsigned marks = 0, changes = 0;
    struct choir_replica *r;
    struct choir_event *e;
    uint64_t watch;

    begin();
    r = loaded("k/");
    CHECK_OK(choir_watch(c, "k/", 0, &watch));
    while (changes < 200) {
        if (marks) /* then what is put is a change */
            wait_for(r, put("k/a", "x"));
        CHECK_OK(choir_wait(c, watch, 20000, &e));
        marks += strcmp(choir_event_name(e), "caught_up") == 0;
        changes += strcmp(choir_event_name(e), "change") == 0;
        choir_event_free(&e);
    }
    CHECK_EQ(marks, 1);
    choir_replica_close(&r);
    end();
}

enum { STEADY = 30 };

struct reader {
    struct choir_replica *r;
    int stop; /* atomic */
    uint64_t wrong, reads;
};

/* Every key is there, whatever happens. */
static void *read_steadily(void *arg)
{
    struct reader *reader = arg;

    while (!__atomic_load_n(&reader->stop, __ATOMIC_ACQUIRE)) {
        struct choir_cut *cut;
        struct choir_view v;

        if (choir_replica_cut(reader->r, "k/", &cut) == 0)
            reader->wrong += choir_cut_count(cut) != STEADY;
        else
            reader->wrong++;
        choir_cut_free(&cut);
        if (choir_replica_get(reader->r, "k/7", &v) == 0)
            choir_view_release(&v);
        else
            reader->wrong++;
        reader->reads++;
    }
    return NULL;
}

TEST(while_it_is_loaded_anew_after_compaction_nobody_sees_half)
{
    struct reader reader = {0};
    pthread_t thread;

    begin();
    put_many(STEADY);
    reader.r = loaded("k/");
    CHECK_OK(pthread_create(&thread, NULL, read_steadily, &reader));
    for (uint64_t i = 2; i < 6; i++) {
        standin_end_watches(broker, CHOIR_COMPACTED);
        while (facts_of(reader.r).loads < i)
            usleep(1000);
        wait_for(reader.r, put("k/7", "after"));
        check_value(reader.r, "k/7", "after");
    }
    __atomic_store_n(&reader.stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    CHECK_EQ(reader.wrong, 0);
    CHECK(reader.reads > 0);
    choir_replica_close(&reader.r);
    end();
}

TEST(what_was_deleted_while_nobody_watched_is_gone_after_loading_anew)
{
    struct choir_replica *r;

    begin();
    put_many(6);
    r = loaded("k/");
    standin_hold_lists(broker, true);
    standin_end_watches(broker, CHOIR_COMPACTED);
    CHECK_OK(choir_delete(c, "k/3", 0, NULL));
    put("k/4", "4");
    standin_hold_lists(broker, false);
    standin_restart(broker, 0);
    while (facts_of(r).loads < 2)
        usleep(1000);
    check_refused(r, "k/3", CHOIR_NOT_FOUND);
    check_value(r, "k/4", "4");
    CHECK_EQ(facts_of(r).keys, 5);
    choir_replica_close(&r);
    end();
}

static uint64_t loads_of(struct choir_replica *r)
{
    struct choir_replica_facts facts = {.struct_bytes = sizeof facts};

    CHECK_OK(choir_replica_facts(r, &facts));
    return facts.loads;
}

TEST(it_is_compared_with_the_broker_and_loaded_anew_when_they_differ)
{
    struct choir_replica_options o = CHOIR_REPLICA_INIT;
    struct choir_replica *r;
    unsigned asked;

    begin();
    put("docs/a", "v");
    o.check_ms = 10;
    CHECK_OK(choir_replica_open(c, "docs/", &o, &r));
    CHECK_OK(choir_replica_wait(r, 0, 20000));
    asked = standin_counts(broker).digests;
    while (standin_counts(broker).digests < asked + 3)
        usleep(1000);
    CHECK_EQ(loads_of(r), 1);
    standin_diverge(broker, 2);
    while (loads_of(r) < 3)
        usleep(1000);
    choir_replica_close(&r);
    end();
}

TEST(it_is_not_compared_if_nobody_wants_it)
{
    struct choir_replica_options o = CHOIR_REPLICA_INIT;
    struct choir_replica *r;

    begin();
    o.check_ms = -1;
    o.mark_ms = 5;
    CHECK_OK(choir_replica_open(c, "docs/", &o, &r));
    CHECK_OK(choir_replica_wait(r, put("docs/a", "v"), 20000));
    usleep(50000);
    CHECK_EQ(standin_counts(broker).digests, 0);
    choir_replica_close(&r);
    end();
}

TEST(a_restored_ledger_that_kept_what_was_seen_is_loaded_anew)
{
    struct choir_replica *r;

    begin();
    put_many(3);
    r = loaded("k/");
    standin_restore(broker, 500);
    standin_restart(broker, 0);
    while (facts_of(r).loads < 2)
        usleep(1000);
    wait_for(r, put("k/1", "since"));
    check_value(r, "k/1", "since");
    choir_replica_close(&r);
    end();
}

/* --- Ends ----------------------------------------------------------------- */

static void check_ended(struct choir_replica *r, int code)
{
    struct choir_cut *cut;

    while (!facts_of(r).code)
        usleep(1000);
    CHECK_EQ(facts_of(r).code, code);
    CHECK_EQ(facts_of(r).keys, 0);
    check_refused(r, "k/1", code);
    CHECK_REFUSED(choir_replica_cut(r, "", &cut), code);
    CHECK_REFUSED(choir_replica_wait(r, 0, -1), code);
    CHECK_EQ(choir_error_code(), code);
}

TEST(when_the_grant_is_withdrawn_it_says_denied_instead_of_what_it_had)
{
    struct choir_replica *r;

    begin();
    put_many(3);
    r = loaded("k/");
    standin_end_watches(broker, CHOIR_DENIED);
    check_ended(r, CHOIR_DENIED);
    choir_replica_close(&r);
    end();
}

TEST(who_waits_is_told_when_it_ends)
{
    struct choir_replica *r;

    begin();
    standin_hold_lists(broker, true);
    r = open_with("k/", NULL);
    while (!standin_counts(broker).watches)
        usleep(1000); /* until there is one to be ended */
    standin_end_watches(broker, CHOIR_DENIED);
    standin_hold_lists(broker, false);
    standin_restart(broker, 0);
    CHECK_REFUSED(choir_replica_wait(r, 0, 20000), CHOIR_DENIED);
    choir_replica_close(&r);
    end();
}

TEST(a_broker_that_cannot_be_trusted_ends_it)
{
    struct choir_replica *r;

    begin();
    put_many(3);
    r = loaded("k/");
    standin_trick(broker, TRICK_BAD_SIGNATURE);
    CHECK_REFUSED(choir_put(c, "x", "y", 1, NULL), CHOIR_BROKEN);
    check_ended(r, CHOIR_BROKEN);
    choir_replica_close(&r);
    end();
}

TEST(a_ledger_that_has_lost_what_was_seen_ends_it)
{
    struct choir_replica *r;

    begin();
    put_many(3);
    r = loaded("k/");
    standin_restore(broker, 4);
    standin_restart(broker, 0);
    check_ended(r, CHOIR_LEDGER_BEHIND);
    choir_replica_close(&r);
    end();
}

TEST(more_than_it_may_hold_ends_it_while_loading)
{
    struct choir_replica_options o = CHOIR_REPLICA_INIT;
    struct choir_replica *r;

    begin();
    put_many(10);
    o.bytes_max = 1000;
    r = open_with("k/", &o);
    CHECK_REFUSED(choir_replica_wait(r, 0, 20000), CHOIR_OVER_LIMIT);
    CHECK(strstr(choir_error_text(), "limit=1000"));
    check_ended(r, CHOIR_OVER_LIMIT);
    choir_replica_close(&r);
    end();
}

TEST(more_than_it_may_hold_ends_it_while_following)
{
    struct choir_replica_options o = CHOIR_REPLICA_INIT;
    struct choir_replica *r;

    begin();
    put_many(2);
    o.bytes_max = 1000;
    r = open_with("k/", &o);
    wait_for(r, 0);
    put_many(10);
    check_ended(r, CHOIR_OVER_LIMIT);
    choir_replica_close(&r);
    end();
}

/* --- Refusals ------------------------------------------------------------- */

TEST(a_replica_of_what_may_not_be_read_is_refused)
{
    struct choir_replica *r;

    begin();
    standin_turn_asks_away(broker, CHOIR_DENIED, 1);
    CHECK_REFUSED(choir_replica_open(c, "k/", NULL, &r), CHOIR_DENIED);
    CHECK_NULL(r);
    end();
}

TEST(options_of_a_replica_that_cannot_be_are_refused)
{
    struct choir_replica_options o = CHOIR_REPLICA_INIT;
    struct choir_replica *r;

    begin();
    o.mark_ms = -2;
    CHECK_REFUSED(choir_replica_open(c, "k/", &o, &r), CHOIR_INVALID);
    o.struct_bytes = 0;
    CHECK_REFUSED(choir_replica_open(c, "k/", &o, &r), CHOIR_INVALID);
    CHECK_REFUSED(choir_replica_open(c, "\xff", NULL, &r), CHOIR_INVALID);
    CHECK_NULL(r);
    end();
}

TEST(without_a_broker_opening_says_unreachable)
{
    struct choir_replica *r;

    begin();
    choir_close(&c);
    options.timeout_ms = 200;
    options.flags = CHOIR_OPEN_NOWAIT;
    standin_mute(broker, true);
    c = handle("ada");
    CHECK_REFUSED(choir_replica_open(c, "k/", NULL, &r), CHOIR_UNREACHABLE);
    CHECK_NULL(r);
    standin_mute(broker, false);
    end();
}

TEST(a_replica_does_not_survive_a_fork)
{
    struct choir_replica *r;
    int status;
    pid_t pid;

    begin();
    put_many(3);
    r = loaded("k/");
    pid = fork();
    if (pid == 0) {
        struct choir_replica_facts f = {.struct_bytes = sizeof f};
        struct choir_cut *cut;
        struct choir_view v;
        int bad = choir_replica_get(r, "k/1", &v) != CHOIR_CLOSED ||
                  choir_replica_wait(r, 0, 0) != CHOIR_CLOSED ||
                  choir_replica_facts(r, &f) != CHOIR_CLOSED ||
                  choir_replica_cut(r, "", &cut) != CHOIR_CLOSED;

        choir_replica_close(&r);
        _exit(bad);
    }
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    check_value(r, "k/1", "k/1");
    choir_replica_close(&r);
    end();
}

TEST(no_replica_at_all_is_closed)
{
    struct choir_replica *none = NULL;
    struct choir_view v;

    CHECK_REFUSED(choir_replica_get(NULL, "k", &v), CHOIR_CLOSED);
    choir_replica_close(&none);
    choir_replica_close(NULL);
}

CHECK_MAIN
