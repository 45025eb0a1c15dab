/* The library's calls about tasks, with a daemon that is killed in between. */
#include <choir.h>

#include <pthread.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/support/daemon.h"

static struct daemon daemon_;
static struct choir *asker, *worker;

static struct choir *agent(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c;

    o.name = name;
    o.url = daemon_.url;
    o.timeout_ms = 15000 * test_patience();
    if (choir_open(&o, &c))
        fail_msg("%s: %s", name, choir_error_text());
    return c;
}

static void begin(void)
{
    daemon_init(&daemon_, "sdk_tasks");
    CHECK_OK(daemon_start(&daemon_, NULL));
    asker = agent("asker");
    worker = agent("worker");
}

static void end(void)
{
    choir_close(&asker);
    choir_close(&worker);
    CHECK_EQ(daemon_stop(&daemon_), 0);
    dir_remove(daemon_.dir);
}

static void bounce(void)
{
    daemon_kill(&daemon_);
    CHECK_OK(daemon_start(&daemon_, NULL));
}

static struct choir_event *take(const char *queue)
{
    struct choir_event *task;

    if (choir_work(worker, queue, 20000 * test_patience(), &task))
        fail_msg("%s", choir_error_text());
    return task;
}

static void done(struct choir_event **task, const char *result)
{
    CHECK_OK(choir_complete(worker, *task, result, strlen(result)));
    choir_event_free(task);
}

TEST(submission_says_all_it_may)
{
    const char *gpu[] = {"gpu"};
    const char *has[] = {"web", "gpu"};
    struct choir_submit_options o = {.id = "first",
                                     .type = "text/plain",
                                     .priority = 3,
                                     .capabilities = gpu,
                                     .capability_count = 1};
    struct choir_event *task;
    uint64_t first, second, again;

    begin();
    CHECK_OK(choir_submit_with(asker, "q", "x", 1, &o, &first));
    CHECK_REFUSED(choir_submit_with(asker, "q", "x", 1, &o, &again),
                  CHOIR_REPEATED);
    o = (struct choir_submit_options){
        .needs = &first, .need_count = 1, .parent = first};
    CHECK_OK(choir_submit_with(asker, "q", "y", 1, &o, &second));
    CHECK_REFUSED(choir_work(worker, "q", 300, &task), CHOIR_TIMEOUT);
    choir_close(&worker);
    worker = agent("worker");
    CHECK_OK(choir_capabilities(worker, has, 2));
    task = take("q");
    CHECK_EQ(choir_event_uint(task, "task"), first);
    CHECK_STR(choir_event_text(task, "type"), "text/plain");
    done(&task, "z");
    task = take("q");
    CHECK_EQ(choir_event_uint(task, "task"), second);
    done(&task, "z");
    o = (struct choir_submit_options){.deadline = 1};
    CHECK_REFUSED(choir_submit_with(asker, "q", "y", 1, &o, NULL),
                  CHOIR_INVALID);
    end();
}

/* Await with partial results, from those after `had` on. */
static uint64_t follow(uint64_t task, uint64_t had)
{
    struct choir_request *r = choir_request_new(asker, "await");
    uint64_t id;

    CHECK_OK(choir_request_uint(r, "task", task));
    CHECK_OK(choir_request_uint(r, "count", had));
    CHECK_OK(choir_send(asker, &r, -1, &id));
    return id;
}

/* The number of the next partial result; 0: the task has ended. */
static uint64_t next_partial(uint64_t request)
{
    struct choir_event *e;
    uint64_t n = 0;

    for (bool waits = true; waits; choir_event_free(&e)) {
        if (choir_wait(asker, request, 20000 * test_patience(), &e))
            fail_msg("%s", choir_error_text());
        if (strcmp(choir_event_name(e), "partial_told") == 0)
            n = choir_event_uint(e, "count");
        waits = !n && !choir_event_last(e);
    }
    return n;
}

TEST(partials_come_once_each_and_in_order_through_restarts)
{
    struct choir_event *task;
    uint64_t id, request, late;

    begin();
    CHECK_OK(choir_submit(asker, "q", "x", 1, &id));
    task = take("q");
    request = follow(id, 0);
    for (uint64_t i = 1; i <= 12; i++) {
        CHECK_OK(choir_partial(worker, task, &i, sizeof i));
        if (i % 4 == 0)
            bounce();
        CHECK_EQ(next_partial(request), i);
    }
    late = follow(id, 9); /* another reader, who has some */
    CHECK_EQ(next_partial(late), 10);
    done(&task, "end");
    CHECK_EQ(next_partial(late), 11);
    CHECK_EQ(next_partial(late), 12);
    CHECK_EQ(next_partial(late), 0);
    CHECK_EQ(next_partial(request), 0);
    end();
}

/* Of a task that asks: the revision of its question. */
static uint64_t question_of(uint64_t task)
{
    uint64_t request = follow(task, 0), question = 0;
    struct choir_event *e;

    while (!question) {
        if (choir_wait(asker, request, 20000 * test_patience(), &e))
            fail_msg("%s", choir_error_text());
        if (choir_event_uint(e, "state") == CHOIR_TASK_INPUT_REQUIRED)
            question = choir_event_uint(e, "revision");
        choir_event_free(&e);
    }
    CHECK_OK(choir_cancel(asker, request));
    return question;
}

struct asking {
    struct choir_event *task, *answer;
    char trouble[256];
};

/* The daemon is a child of the other thread and would end with this one. */
static void *ask(void *arg)
{
    struct asking *a = arg;

    if (choir_ask_input(worker, a->task, "which?", 6, 20000 * test_patience(),
                        &a->answer))
        snprintf(a->trouble, sizeof a->trouble, "%s", choir_error_text());
    return NULL;
}

TEST(question_waits_for_its_answer_through_a_restart)
{
    begin();
    for (int i = 0; i < 2; i++) {
        struct asking a = {0};
        uint64_t id, question;
        pthread_t thread;
        size_t bytes;

        CHECK_OK(choir_submit(asker, "q", "x", 1, &id));
        a.task = take("q");
        CHECK_REFUSED(choir_input(asker, id, 0, "early", 5), CHOIR_INVALID);
        CHECK_OK(pthread_create(&thread, NULL, ask, &a));
        question = question_of(id);
        if (i)
            bounce();
        CHECK_REFUSED(choir_input(asker, id, question + 1, "no", 2),
                      CHOIR_CONFLICT);
        CHECK_OK(choir_input(asker, id, question, "this", 4));
        CHECK_OK(pthread_join(thread, NULL));
        CHECK_STR(a.trouble, "");
        CHECK_MEM(choir_event_value(a.answer, &bytes), "this", 4);
        CHECK_EQ(bytes, 4);
        choir_event_free(&a.answer);
        done(&a.task, "done");
    }
    end();
}

TEST(question_of_a_task_that_is_cancelled_ends)
{
    struct choir_event *task, *e;
    struct choir_request *r;
    uint64_t id;

    begin();
    CHECK_OK(choir_submit(asker, "q", "x", 1, &id));
    task = take("q");
    CHECK_REFUSED(choir_ask_input(worker, task, "which?", 6, 50, &e),
                  CHOIR_TIMEOUT);
    CHECK_NULL(e);
    CHECK_REFUSED(choir_ask_input(worker, task, "which?", 6, 50, &e),
                  CHOIR_INVALID); /* it asks already */
    r = choir_request_new(asker, "cancel");
    CHECK_OK(choir_request_uint(r, "task", id));
    CHECK_OK(choir_call(asker, &r, 15000 * test_patience(), NULL));
    CHECK_REFUSED(choir_partial(worker, task, "x", 1), CHOIR_FENCED);
    choir_event_free(&task);
    end();
}

CHECK_MAIN
