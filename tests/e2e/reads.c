/* What a task was made from, with the real daemon: each way in which it may
 * have changed, with and without the mechanism, and what survives. */
#include <choir.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/support/daemon.h"

static struct daemon broker;
static struct choir *ada, *bob;
static struct choir_event *task;
static uint64_t token;

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

static void begin(const char *name)
{
    daemon_init(&broker, name);
    CHECK_OK(daemon_start(&broker, NULL));
    ada = agent("ada");
    bob = agent("bob");
}

static void end(void)
{
    choir_event_free(&task);
    choir_close(&ada);
    choir_close(&bob);
    CHECK_EQ(daemon_stop(&broker), 0);
}

static uint64_t submit(uint64_t policy)
{
    struct choir_request *r = choir_request_new(ada, "submit");
    struct choir_event *e;
    uint64_t id;

    choir_request_text(r, "queue", "q");
    choir_request_slot(r, "think", 5, NULL);
    choir_request_uint(r, "backoff_ms", 1);
    if (policy)
        choir_request_uint(r, "stale", policy);
    if (choir_call(ada, &r, 15000, &e))
        fail_msg("%s", choir_error_text());
    id = choir_event_uint(e, "revision");
    choir_event_free(&e);
    return id;
}

static void take(struct choir *worker)
{
    choir_event_free(&task);
    if (choir_work(worker, "q", 15000, &task))
        fail_msg("%s", choir_error_text());
    token = choir_event_uint(task, "token");
}

static uint64_t put(struct choir *c, const char *key, const char *value)
{
    uint64_t revision = 0;

    if (choir_put(c, key, value, strlen(value), &revision))
        fail_msg("%s", choir_error_text());
    return revision;
}

static uint64_t get(struct choir *c, const char *key)
{
    struct choir_event *e;
    uint64_t revision;

    if (choir_get(c, key, 0, &e)) {
        CHECK_EQ(choir_error_code(), CHOIR_NOT_FOUND);
        return 0;
    }
    revision = choir_event_uint(e, "revision");
    choir_event_free(&e);
    return revision;
}

static void list(struct choir *c, const char *prefix)
{
    struct choir_event *e;

    CHECK_OK(choir_list(c, prefix, NULL, 0, &e));
    choir_event_free(&e);
}

static void complete_stale(struct choir *c)
{
    CHECK_REFUSED(choir_complete(c, task, "r", 1), CHOIR_STALE);
    CHECK(strncmp(choir_error_text(), "STALE ", 6) == 0);
}

static void row_check(const struct choir_event *of, const char *key,
                      uint64_t prev, uint64_t revision)
{
    const struct choir_event *row = choir_event_item(of, "items", 0);

    CHECK_EQ(choir_event_count(of, "items"), 1);
    CHECK_STR(choir_event_text(row, "key"), key);
    CHECK_EQ(choir_event_uint(row, "prev"), prev);
    CHECK_EQ(choir_event_uint(row, "revision"), revision);
    CHECK_STR(choir_event_text(row, "agent"), choir_agent_id(ada));
}

/* --- Each way to be stale, and the same without a lease in use ------------- */

TEST(a_key_that_was_read_and_changed_makes_the_result_stale)
{
    begin("key");
    put(ada, "plan", "one");
    submit(0);
    take(bob);
    get(bob, "plan");
    put(ada, "plan", "two");
    complete_stale(bob);
    CHECK(strstr(choir_error_text(), "key=plan"));
    CHECK(choir_task_held(bob, task));
    get(bob, "plan");
    CHECK_OK(choir_complete(bob, task, "r", 1));
    /* without it nobody notices */
    submit(0);
    take(bob);
    CHECK_OK(choir_lease_use(bob, 0));
    get(bob, "plan");
    put(ada, "plan", "three");
    CHECK_OK(choir_complete(bob, task, "r", 1));
    end();
}

TEST(a_key_that_was_looked_for_and_appeared_makes_the_result_stale)
{
    begin("miss");
    submit(0);
    take(bob);
    CHECK_EQ(get(bob, "plan"), 0);
    put(ada, "plan", "one");
    complete_stale(bob);
    end();
}

TEST(a_key_that_was_read_and_deleted_makes_the_result_stale)
{
    begin("gone");
    put(ada, "plan", "one");
    submit(0);
    take(bob);
    get(bob, "plan");
    CHECK_OK(choir_delete(ada, "plan", 0, NULL));
    complete_stale(bob);
    CHECK_OK(choir_heed(bob, token, CHOIR_IGNORE, 0, NULL));
    CHECK_OK(choir_complete(bob, task, "r", 1));
    end();
}

TEST(a_phantom_in_a_listing_makes_the_result_stale)
{
    begin("phantom");
    put(ada, "docs/a", "one");
    submit(0);
    take(bob);
    list(bob, "docs/");
    put(ada, "elsewhere", "x");
    put(ada, "docs/b", "two");
    complete_stale(bob);
    list(bob, "docs/");
    CHECK_OK(choir_complete(bob, task, "r", 1));
    end();
}

TEST(write_skew_is_found_though_both_wrote_different_keys)
{
    struct choir_request *r;

    begin("skew");
    put(ada, "on-call/ada", "yes");
    put(ada, "on-call/bob", "yes");
    submit(0);
    take(bob);
    list(bob, "on-call/"); /* there are two, so one may leave */
    put(ada, "on-call/ada", "no");
    r = choir_complete_new(bob, task, "r", 1);
    choir_txn_put(r, "on-call/bob", "no", 2);
    CHECK_REFUSED(choir_commit(bob, &r, NULL), CHOIR_STALE);
    CHECK_OK(choir_lease_use(bob, 0));
    CHECK(get(bob, "on-call/bob") < get(bob, "on-call/ada"));
    end();
}

TEST(own_writes_do_not_make_a_result_stale)
{
    begin("own");
    put(ada, "docs/a", "one");
    submit(0);
    take(bob);
    list(bob, "docs/");
    get(bob, "docs/a");
    put(bob, "docs/a", "mine");
    put(bob, "docs/new", "mine");
    CHECK_OK(choir_delete(bob, "docs/a", 0, NULL));
    CHECK_OK(choir_complete(bob, task, "r", 1));
    end();
}

TEST(a_blind_write_over_an_unread_change_is_stale)
{
    begin("blind");
    put(ada, "plan", "one");
    submit(0);
    take(bob);
    get(bob, "plan");
    put(ada, "plan", "two");
    put(bob, "plan", "mine");
    complete_stale(bob);
    end();
}

/* --- What the submitter chose ---------------------------------------------- */

TEST(a_flagged_result_is_accepted_and_marked)
{
    struct choir_event *e;
    uint64_t id;

    begin("flag");
    put(ada, "plan", "one");
    id = submit(CHOIR_STALE_FLAG);
    take(bob);
    get(bob, "plan");
    put(ada, "plan", "two");
    CHECK_OK(choir_complete(bob, task, "r", 1));
    CHECK_OK(choir_result(ada, id, 15000, &e));
    CHECK_EQ(choir_event_uint(e, "state"), CHOIR_TASK_COMPLETED);
    CHECK_EQ(choir_event_uint(e, "stale"), CHOIR_STALE_FLAG);
    choir_event_free(&e);
    end();
}

TEST(a_requeued_task_brings_the_difference)
{
    uint64_t one, two;

    begin("requeue");
    one = put(ada, "plan", "one");
    submit(CHOIR_STALE_REQUEUE);
    take(bob);
    get(bob, "plan");
    two = put(ada, "plan", "two");
    complete_stale(bob);
    CHECK_NOT(choir_task_held(bob, task));
    take(bob);
    CHECK_EQ(choir_event_uint(task, "attempt"), 2);
    row_check(task, "plan", one, two);
    end();
}

TEST(a_task_given_back_after_it_was_stale_brings_the_difference)
{
    uint64_t one, two;

    begin("given");
    one = put(ada, "plan", "one");
    submit(CHOIR_STALE_REJECT);
    take(bob);
    get(bob, "plan");
    two = put(ada, "plan", "two");
    complete_stale(bob);
    CHECK_OK(choir_nak(bob, task, NULL));
    take(bob);
    row_check(task, "plan", one, two);
    end();
}

static int nak_for(uint64_t entry)
{
    struct choir_request *r = choir_request_new(bob, "nak");

    choir_request_uint(r, "task", choir_event_uint(task, "task"));
    choir_request_uint(r, "token", token);
    choir_request_uint(r, "revision", entry);
    return choir_call(bob, &r, 15000, NULL);
}

TEST(a_nak_names_an_entry_that_is_there_and_its_own_or_none)
{
    struct choir_request *r;
    struct choir_event *e;
    uint64_t stale;

    begin("named");
    put(ada, "plan", "one");
    submit(CHOIR_STALE_REJECT);
    take(bob);
    get(bob, "plan");
    put(ada, "plan", "two");
    r = choir_complete_new(bob, task, "r", 1);
    CHECK_REFUSED(choir_call(bob, &r, 15000, &e), CHOIR_STALE);
    stale = choir_event_uint(e, "revision");
    choir_event_free(&e);
    CHECK_REFUSED(nak_for(UINT64_C(1) << 40), CHOIR_INVALID);
    CHECK_OK(choir_fail(bob, task, "no"));
    submit(CHOIR_STALE_REJECT);
    take(bob);
    CHECK_OK(nak_for(stale)); /* of another task */
    take(bob);
    CHECK_EQ(choir_event_uint(task, "attempt"), 2);
    CHECK_EQ(choir_event_count(task, "items"), 0);
    end();
}

/* --- While it still works -------------------------------------------------- */

TEST(what_moves_is_told_while_the_task_is_in_hand)
{
    struct choir_event *moved;
    uint64_t one, two;

    begin("moved");
    one = put(ada, "plan", "one");
    submit(0);
    take(bob);
    get(bob, "plan");
    put(ada, "other", "x");
    CHECK_REFUSED(choir_moved(bob, token, 0, &moved), CHOIR_TIMEOUT);
    two = put(ada, "plan", "two");
    CHECK_OK(choir_moved(bob, token, 15000, &moved));
    row_check(moved, "plan", one, two);
    choir_event_free(&moved);
    CHECK_OK(choir_heed(bob, token, CHOIR_REFRESH, 0, "reading it again"));
    CHECK_REFUSED(choir_moved(bob, token, 0, &moved), CHOIR_TIMEOUT);
    get(bob, "plan");
    CHECK_OK(choir_complete(bob, task, "r", 1));
    end();
}

static size_t moves(struct choir *c)
{
    struct choir_event *moved;
    size_t n;

    CHECK_OK(choir_moved(c, token, 15000, &moved));
    n = choir_event_count(moved, "items");
    choir_event_free(&moved);
    return n;
}

TEST(what_is_ignored_does_not_make_the_result_stale_and_the_next_change_does)
{
    begin("ignore");
    put(ada, "plan", "one");
    submit(0);
    take(bob);
    get(bob, "plan");
    list(bob, "docs/");
    put(ada, "plan", "two");
    put(ada, "docs/new", "one");
    while (moves(bob) < 2)
        usleep(1000);
    CHECK_OK(choir_heed(bob, token, CHOIR_IGNORE, 0, "only the date"));
    put(ada, "plan", "three");
    complete_stale(bob);
    CHECK_OK(choir_heed(bob, token, CHOIR_IGNORE, 0, "again"));
    CHECK_OK(choir_complete(bob, task, "r", 1));
    end();
}

TEST(an_abandoned_task_goes_to_the_next)
{
    begin("abandon");
    put(ada, "plan", "one");
    submit(0);
    take(bob);
    get(bob, "plan");
    CHECK_OK(choir_heed(bob, token, CHOIR_ABANDON, 0, "too late"));
    CHECK_NOT(choir_task_held(bob, task));
    CHECK_REFUSED(choir_complete(bob, task, "r", 1), CHOIR_FENCED);
    take(ada);
    CHECK_EQ(choir_event_uint(task, "attempt"), 2);
    end();
}

/* --- What survives --------------------------------------------------------- */

static void bounce(int signal_number)
{
    if (signal_number == SIGKILL)
        daemon_kill(&broker);
    else
        CHECK_EQ(daemon_stop(&broker), 0);
    CHECK_OK(daemon_start(&broker, NULL));
}

TEST(a_read_set_survives_a_restart_of_the_broker_and_what_moved_is_told)
{
    struct choir_event *moved;
    uint64_t one, two;

    begin("restart");
    one = put(ada, "plan", "one");
    submit(0);
    take(bob);
    get(bob, "plan");
    list(bob, "docs/");
    bounce(SIGKILL);
    two = put(ada, "plan", "two");
    CHECK_OK(choir_moved(bob, token, 15000, &moved));
    row_check(moved, "plan", one, two);
    choir_event_free(&moved);
    complete_stale(bob);
    get(bob, "plan");
    CHECK_OK(choir_complete(bob, task, "r", 1));
    end();
}

TEST(what_was_erased_was_looked_at_and_may_move)
{
    struct choir_event *e;

    begin("erased");
    put(ada, "plan", "one");
    CHECK_EQ(system("choir erase plan >/dev/null"), 0);
    submit(0);
    take(bob);
    CHECK_REFUSED(choir_get(bob, "plan", 0, &e), CHOIR_ERASED);
    bounce(SIGKILL); /* from here on only bob knows */
    put(ada, "plan", "two");
    complete_stale(bob);
    end();
}

TEST(what_moved_before_a_restart_is_told_again_after_it)
{
    struct choir_event *moved;

    begin("again");
    put(ada, "plan", "one");
    submit(0);
    take(bob);
    get(bob, "plan");
    put(ada, "plan", "two");
    bounce(SIGTERM);
    CHECK_OK(choir_moved(bob, token, 15000, &moved));
    choir_event_free(&moved);
    complete_stale(bob);
    end();
}

/* --- Replicas -------------------------------------------------------------- */

TEST(what_is_read_of_a_replica_moves_and_makes_stale_too)
{
    struct choir_replica *replica;
    struct choir_event *moved;
    struct choir_view view;
    uint64_t one, two;

    begin("replica");
    one = put(ada, "docs/plan", "one");
    CHECK_OK(choir_replica_open(bob, "docs/", NULL, &replica));
    submit(0);
    take(bob); /* and so it knows of the plan */
    CHECK_OK(choir_replica_get(replica, "docs/plan", &view));
    CHECK_EQ(view.revision, one);
    choir_view_release(&view);
    CHECK_OK(choir_flush(bob, 15000));
    two = put(ada, "docs/plan", "two");
    CHECK_OK(choir_moved(bob, token, 15000, &moved));
    row_check(moved, "docs/plan", one, two);
    choir_event_free(&moved);
    complete_stale(bob);
    CHECK_OK(choir_replica_wait(replica, two, 15000));
    CHECK_OK(choir_replica_get(replica, "docs/plan", &view));
    choir_view_release(&view);
    CHECK_OK(choir_complete(bob, task, "r", 1));
    choir_replica_close(&replica);
    end();
}

/* A task is never ahead of the replica it is worked with. */
TEST(a_task_finds_in_the_replica_what_it_was_written_from)
{
    struct choir_replica *replica;
    struct choir_view view;
    char value[32];

    begin("ahead");
    CHECK_OK(choir_replica_open(bob, "docs/", NULL, &replica));
    for (int i = 0; i < 50; i++) {
        uint64_t revision;

        snprintf(value, sizeof value, "draft %d", i);
        revision = put(ada, "docs/plan", value);
        submit(0);
        take(bob);
        CHECK_OK(choir_replica_get(replica, "docs/plan", &view));
        CHECK_EQ(view.revision, revision);
        choir_view_release(&view);
        CHECK_OK(choir_complete(bob, task, "r", 1));
    }
    choir_replica_close(&replica);
    end();
}

/* --- Many ------------------------------------------------------------------ */

TEST(a_set_too_large_for_a_completion_is_widened_and_still_finds_changes)
{
    enum { KEYS = 5000 };
    struct choir_request *r;
    uint64_t request;
    char key[32];

    begin("many");
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "docs/%d", i);
        r = choir_request_new(ada, "put");
        choir_request_text(r, "key", key);
        choir_request_slot(r, "v", 1, NULL);
        CHECK_OK(choir_send(ada, &r, -1, &request));
        choir_cancel(ada, request);
    }
    CHECK_OK(choir_flush(ada, 60000));
    submit(0);
    take(bob);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "docs/%d", i);
        r = choir_request_new(bob, "get");
        choir_request_text(r, "key", key);
        CHECK_OK(choir_send(bob, &r, -1, &request));
        choir_cancel(bob, request);
    }
    CHECK_OK(choir_flush(bob, 60000));
    put(ada, "docs/17", "new");
    complete_stale(bob);
    CHECK_OK(choir_heed(bob, token, CHOIR_IGNORE, 0, NULL));
    CHECK_OK(choir_complete(bob, task, "r", 1));
    end();
}

CHECK_MAIN
