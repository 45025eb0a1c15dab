/* Reads under a lease, what moves meanwhile, and the answer to it, against the
 * stand-in. */
#include "agent-sdk/choir.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "agent-sdk/handle.h"
#include "tests/check.h"
#include "tests/support/home.h"
#include "tests/support/standin.h"

static struct standin *broker;
static struct choir *c;
static struct choir_event *task;
static uint64_t token;
static char dir[HOME_BYTES];

static void handle_begin(void)
{
    struct choir_options options = CHOIR_OPTIONS_INIT;

    options.data_dir = dir;
    options.name = "ada";
    options.timeout_ms = 5000;
    if (choir_open(&options, &c))
        fail_msg("%s", choir_error_text());
}

static void task_begin(void)
{
    standin_task(broker, "q");
    if (choir_work(c, "q", 5000, &task))
        fail_msg("%s", choir_error_text());
    token = choir_event_uint(task, "token");
}

static void begin(void)
{
    home_make(dir);
    broker = standin_start(dir);
    handle_begin();
}

static void end(void)
{
    choir_event_free(&task);
    choir_close(&c);
    CHECK_EQ(standin_counts(broker).bad, 0);
    standin_stop(&broker);
    home_remove(dir);
}

static uint64_t put(const char *key)
{
    uint64_t revision = 0;

    if (choir_put(c, key, "v", 1, &revision))
        fail_msg("%s", choir_error_text());
    return revision;
}

static uint64_t get(const char *key)
{
    struct choir_event *e;
    uint64_t revision;

    if (choir_get(c, key, 0, &e))
        return 0;
    revision = choir_event_uint(e, "revision");
    choir_event_free(&e);
    return revision;
}

static void list(const char *prefix)
{
    struct choir_event *e;

    CHECK_OK(choir_list(c, prefix, NULL, 0, &e));
    choir_event_free(&e);
}

static const char *said(const char *format, unsigned long long a,
                        unsigned long long b)
{
    static char text[256];

    snprintf(text, sizeof text, format, a, b);
    return text;
}

/* At most ten seconds. */
#define UNTIL(condition)                                  \
    do {                                                  \
        for (int i_ = 0; !(condition) && i_ < 5000; i_++) \
            usleep(2000);                                 \
        CHECK(condition);                                 \
    } while (0)

/* --- Joining -------------------------------------------------------------- */

TEST(what_is_read_under_a_lease_goes_along_with_its_completion)
{
    uint64_t plan;

    begin();
    plan = put("plan");
    get("before");
    task_begin();
    CHECK_EQ(get("plan"), plan);
    get("nothing");
    list("docs/");
    CHECK_EQ(standin_counts(broker).leased, 3);
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_STR(standin_read_set(broker),
              said("docs/*@%llu nothing@0 plan@%llu",
                   standin_counts(broker).size - 2, plan));
    get("after");
    CHECK_EQ(standin_counts(broker).leased, 3);
    end();
}

TEST(a_completion_without_reads_carries_none)
{
    begin();
    task_begin();
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_STR(standin_read_set(broker), "");
    CHECK_EQ(standin_counts(broker).completes, 1);
    end();
}

TEST(own_writes_under_a_lease_raise_what_was_read)
{
    uint64_t revision;

    begin();
    put("plan");
    task_begin();
    get("plan");
    revision = put("plan");
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_STR(standin_read_set(broker), said("plan@%llu", revision, 0));
    end();
}

static void *elsewhere(void *revision)
{
    get("other");
    if (choir_lease_use(c, token))
        return NULL;
    *(uint64_t *)revision = get("plan");
    return revision;
}

TEST(a_lease_belongs_to_the_thread_that_uses_it)
{
    uint64_t revision = 0;
    pthread_t thread;

    begin();
    put("plan");
    task_begin();
    CHECK_OK(pthread_create(&thread, NULL, elsewhere, &revision));
    CHECK_OK(pthread_join(thread, NULL));
    CHECK_OK(choir_lease_use(c, 0));
    get("third");
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_STR(standin_read_set(broker), said("plan@%llu", revision, 0));
    CHECK_REFUSED(choir_lease_use(c, token), CHOIR_FENCED);
    CHECK_REFUSED(choir_lease_use(c, 4711), CHOIR_FENCED);
    end();
}

TEST(a_request_may_name_the_lease_itself)
{
    struct choir_request *r;

    begin();
    task_begin();
    CHECK_OK(choir_lease_use(c, 0));
    r = choir_request_new(c, "get");
    choir_request_text(r, "key", "plan");
    choir_request_uint(r, "task", choir_event_uint(task, "task"));
    choir_request_uint(r, "token", token);
    CHECK_REFUSED(choir_call(c, &r, 5000, NULL), CHOIR_NOT_FOUND);
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_STR(standin_read_set(broker), "plan@0");
    end();
}

TEST(what_is_read_of_a_replica_joins_and_the_broker_is_told)
{
    struct choir_replica *replica;
    struct choir_cut *cut;
    struct choir_view view;
    uint64_t plan, at;

    begin();
    plan = put("docs/plan");
    CHECK_OK(choir_replica_open(c, "docs/", NULL, &replica));
    CHECK_OK(choir_replica_wait(replica, plan, 5000));
    task_begin();
    CHECK_OK(choir_replica_get(replica, "docs/plan", &view));
    choir_view_release(&view);
    CHECK_REFUSED(choir_replica_get(replica, "docs/no", &view),
                  CHOIR_NOT_FOUND);
    CHECK_REFUSED(choir_replica_get(replica, "plan", &view), CHOIR_NOT_FOUND);
    UNTIL(strstr(standin_told_reads(broker), "docs/no@0"));
    CHECK(strstr(standin_told_reads(broker), said("docs/plan@%llu", plan, 0)));
    CHECK_OK(choir_replica_cut(replica, "docs/", &cut));
    at = choir_cut_revision(cut);
    choir_cut_free(&cut);
    UNTIL(strstr(standin_told_reads(broker), said("docs/*@%llu", at, 0)));
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_STR(standin_read_set(broker),
              said("docs/*@%llu docs/no@0 docs/plan@%llu", at, plan));
    choir_replica_close(&replica);
    end();
}

TEST(a_restarted_broker_is_told_the_read_set_anew)
{
    uint64_t plan;

    begin();
    plan = put("plan");
    task_begin();
    get("plan");
    get("nothing");
    CHECK_STR(standin_told_reads(broker), "");
    standin_restart(broker, 20);
    UNTIL(strcmp(standin_told_reads(broker),
                 said("nothing@0 plan@%llu", plan, 0)) == 0);
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_STR(standin_read_set(broker), said("nothing@0 plan@%llu", plan, 0));
    end();
}

/* Whether a lease is lost is for the heartbeat to say, which is an event. */
TEST(a_read_set_that_is_refused_does_not_end_the_lease)
{
    begin();
    task_begin();
    get("plan");
    standin_fence_reads(broker);
    standin_restart(broker, 20);
    UNTIL(strcmp(standin_told_reads(broker), "plan@0") == 0);
    get("plan"); /* the answer to that has come, too */
    CHECK(choir_task_held(c, task));
    end();
}

/* --- What moves ----------------------------------------------------------- */

TEST(what_moves_is_told_until_it_is_answered)
{
    struct choir_event *moved;
    const struct choir_event *row;

    begin();
    task_begin();
    get("plan");
    CHECK_REFUSED(choir_moved(c, token, 0, &moved), CHOIR_TIMEOUT);
    CHECK_NULL(moved);
    standin_move(broker, choir_event_uint(task, "task"), "plan", 0, 900);
    CHECK_OK(choir_moved(c, token, 5000, &moved));
    CHECK_STR(choir_event_name(moved), "moved");
    CHECK_EQ(choir_event_uint(moved, "revision"), 900);
    CHECK_EQ(choir_event_count(moved, "items"), 1);
    row = choir_event_item(moved, "items", 0);
    CHECK_STR(choir_event_text(row, "key"), "plan");
    CHECK_EQ(choir_event_uint(row, "revision"), 900);
    choir_event_free(&moved);
    CHECK_OK(choir_moved(c, token, 0, &moved)); /* still */
    choir_event_free(&moved);
    CHECK_OK(choir_heed(c, token, CHOIR_IGNORE, 0, "it is only the date"));
    CHECK_STR(standin_heed(broker), "2 900");
    CHECK_REFUSED(choir_moved(c, token, 0, &moved), CHOIR_TIMEOUT);
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_STR(standin_read_set(broker), "plan@0~900");
    CHECK_REFUSED(choir_moved(c, token, 0, &moved), CHOIR_FENCED);
    end();
}

TEST(what_is_to_be_read_again_stays_as_it_was_read)
{
    struct choir_event *moved;

    begin();
    task_begin();
    get("plan");
    standin_move(broker, choir_event_uint(task, "task"), "plan", 0, 900);
    CHECK_OK(choir_moved(c, token, 5000, &moved));
    choir_event_free(&moved);
    CHECK_OK(choir_heed(c, token, CHOIR_REFRESH, 0, NULL));
    CHECK_STR(standin_heed(broker), "1 900");
    CHECK_REFUSED(choir_moved(c, token, 0, &moved), CHOIR_TIMEOUT);
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_STR(standin_read_set(broker), "plan@0");
    end();
}

/* Hours of work beside a busy key must not fill the memory. */
TEST(what_moves_is_not_kept_as_events_for_who_does_not_fetch_any)
{
    struct choir_event *moved = NULL;

    begin();
    task_begin();
    get("plan");
    for (uint64_t revision = 900; revision < 910; revision++)
        standin_move(broker, choir_event_uint(task, "task"), "plan", 0,
                     revision);
    do {
        choir_event_free(&moved);
        CHECK_OK(choir_moved(c, token, 5000, &moved));
    } while (choir_event_uint(moved, "revision") < 909);
    choir_event_free(&moved);
    pthread_mutex_lock(&c->lock);
    CHECK_NULL(handle_entry(c, c->workers->request)->events);
    pthread_mutex_unlock(&c->lock);
    end();
}

TEST(an_abandoned_task_is_not_held_any_more)
{
    begin();
    task_begin();
    get("plan");
    CHECK_OK(choir_heed(c, token, CHOIR_ABANDON, 0, NULL));
    CHECK_STR(standin_heed(broker), "3 0");
    CHECK_NOT(choir_task_held(c, task));
    get("plan");
    CHECK_EQ(standin_counts(broker).leased, 1);
    CHECK_REFUSED(choir_heed(c, token, CHOIR_REFRESH, 0, NULL), CHOIR_FENCED);
    end();
}

TEST(what_moves_is_an_event_of_the_work_once_for_each_news)
{
    struct choir_request *r;
    struct choir_event *e;
    uint64_t id, work;

    begin();
    r = choir_request_new(c, "work");
    choir_request_text(r, "queue", "q");
    CHECK_OK(choir_send(c, &r, 1000, &work));
    id = standin_task(broker, "q");
    CHECK_OK(choir_next(c, 5000, &e));
    choir_event_free(&e); /* the reply */
    CHECK_OK(choir_next(c, 5000, &task));
    CHECK_STR(choir_event_name(task), "task");
    standin_move(broker, id, "plan", 0, 900);
    standin_move(broker, id, "plan", 0, 900); /* the broker reminds */
    standin_move(broker, id, "plan", 0, 901);
    for (uint64_t revision = 900; revision < 902; revision++) {
        CHECK_OK(choir_next(c, 5000, &e));
        CHECK_STR(choir_event_name(e), "moved");
        CHECK_EQ(choir_event_request(e), work);
        CHECK_EQ(choir_event_uint(e, "revision"), revision);
        choir_event_free(&e);
    }
    CHECK_REFUSED(choir_next(c, 50, &e), CHOIR_TIMEOUT);
    end();
}

/* --- Stale ---------------------------------------------------------------- */

TEST(a_stale_completion_says_what_moved_and_leaves_the_task)
{
    struct choir_event *moved;

    begin();
    task_begin();
    get("plan");
    standin_stale(broker, 1);
    CHECK_REFUSED(choir_complete(c, task, "r", 1), CHOIR_STALE);
    CHECK(strstr(choir_error_text(), "key=plan read=5 now=900 writer=ab00"));
    CHECK(choir_task_held(c, task));
    CHECK_OK(choir_moved(c, token, 0, &moved));
    choir_event_free(&moved);
    CHECK_OK(choir_heed(c, token, CHOIR_IGNORE, 0, NULL));
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_NOT(choir_task_held(c, task));
    end();
}

CHECK_MAIN
