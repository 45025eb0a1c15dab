/* The library's calls about messages, with a daemon and readers that are
 * killed in between. */
#include <choir.h>

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/support/daemon.h"

static struct daemon daemon_;
static struct choir *ada, *bob;

static int patience(void)
{
    return 20000 * test_patience();
}

static struct choir *agent(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c;

    o.name = name;
    o.url = daemon_.url;
    o.timeout_ms = patience();
    if (choir_open(&o, &c))
        fail_msg("%s: %s", name, choir_error_text());
    return c;
}

static void begin(void)
{
    daemon_init(&daemon_, "sdk_mail");
    CHECK_OK(daemon_start(&daemon_, NULL));
    ada = agent("ada");
    bob = agent("bob");
}

static void end(void)
{
    choir_close(&ada);
    choir_close(&bob);
    CHECK_EQ(daemon_stop(&daemon_), 0);
    dir_remove(daemon_.dir);
}

static uint64_t say(struct choir *c, const char *to, const char *body)
{
    uint64_t revision;

    if (choir_message(c, to, body, strlen(body), CHOIR_MESSAGE, &revision))
        fail_msg("%s", choir_error_text());
    return revision;
}

static uint64_t open_inbox(struct choir *c, const char *topic)
{
    uint64_t inbox;

    if (choir_inbox(c, topic, &inbox))
        fail_msg("%s", choir_error_text());
    return inbox;
}

/* The next message, which must be this one. */
static struct choir_event *hear(struct choir *c, uint64_t inbox,
                                const char *body)
{
    struct choir_event *e;
    const void *value;
    size_t n;

    if (choir_inbox_next(c, inbox, patience(), &e))
        fail_msg("%s", choir_error_text());
    value = choir_event_value(e, &n);
    CHECK_EQ(n, strlen(body));
    CHECK(memcmp(value, body, n) == 0);
    return e;
}

static void hear_and_ack(struct choir *c, uint64_t inbox, const char *body)
{
    struct choir_event *e = hear(c, inbox, body);

    CHECK_OK(choir_ack(c, e));
    choir_event_free(&e);
}

static void nothing(struct choir *c, uint64_t inbox)
{
    struct choir_event *e;

    CHECK_REFUSED(choir_inbox_next(c, inbox, 100, &e), CHOIR_TIMEOUT);
}

TEST(message_waits_for_a_reader_who_is_not_there)
{
    begin();
    choir_close(&bob);
    say(ada, "bob", "first");
    daemon_kill(&daemon_);
    CHECK_OK(daemon_start(&daemon_, NULL));
    say(ada, "bob", "second");
    bob = agent("bob");
    hear_and_ack(bob, open_inbox(bob, NULL), "first");
    end();
}

/* Reads one and dies before it is acknowledged. */
static int reader(void *arg)
{
    struct choir *c = agent("bob");
    struct choir_event *e = hear(c, open_inbox(c, NULL), "work");

    (void)arg;
    CHECK(choir_event_uint(e, "revision") > 0);
    raise(SIGKILL);
    return 0;
}

TEST(what_a_killed_reader_did_not_acknowledge_comes_again)
{
    uint64_t sent, inbox;
    struct choir_event *e;

    begin();
    choir_close(&bob);
    sent = say(ada, "bob", "work");
    CHECK_EQ(child_wait(child_start(reader, NULL), patience()), 128 + SIGKILL);
    bob = agent("bob");
    inbox = open_inbox(bob, NULL);
    e = hear(bob, inbox, "work");
    CHECK_EQ(choir_event_uint(e, "revision"), sent);
    CHECK_OK(choir_ack(bob, e));
    choir_event_free(&e);
    choir_close(&bob);
    bob = agent("bob");
    nothing(bob, open_inbox(bob, NULL));
    end();
}

TEST(request_is_answered_in_parts_and_for_good)
{
    static const enum choir_message_kind kinds[] = {CHOIR_PARTIAL, CHOIR_FINAL};
    uint64_t asked, inbox;
    struct choir_event *e;

    begin();
    CHECK_OK(choir_message(ada, "bob", "what?", 5, CHOIR_REQUEST, &asked));
    e = hear(bob, open_inbox(bob, NULL), "what?");
    CHECK_EQ(choir_event_uint(e, "kind"), CHOIR_REQUEST);
    CHECK_OK(choir_reply(bob, e, "some", 4, CHOIR_PARTIAL, NULL));
    CHECK_OK(choir_reply(bob, e, "all", 3, CHOIR_FINAL, NULL));
    CHECK_OK(choir_ack(bob, e));
    choir_event_free(&e);
    inbox = open_inbox(ada, NULL);
    for (unsigned i = 0; i < 2; i++) {
        e = hear(ada, inbox, i ? "all" : "some");
        CHECK_EQ(choir_event_uint(e, "kind"), kinds[i]);
        CHECK_EQ(choir_event_uint(e, "reply_to"), asked);
        CHECK_OK(choir_ack(ada, e));
        choir_event_free(&e);
    }
    end();
}

TEST(topic_has_three_readers_each_with_a_place_of_its_own)
{
    struct choir *readers[3];
    uint64_t inboxes[3];

    begin();
    say(ada, "topic:news", "one");
    for (unsigned i = 0; i < 3; i++) {
        readers[i] = agent(i == 0 ? "r0" : i == 1 ? "r1" : "r2");
        inboxes[i] = open_inbox(readers[i], "news");
        hear_and_ack(readers[i], inboxes[i], "one");
    }
    choir_close(&readers[1]);
    say(ada, "topic:news", "two");
    daemon_kill(&daemon_);
    CHECK_OK(daemon_start(&daemon_, NULL));
    readers[1] = agent("r1");
    inboxes[1] = open_inbox(readers[1], "news");
    for (unsigned i = 0; i < 3; i++) {
        hear_and_ack(readers[i], inboxes[i], "two");
        nothing(readers[i], inboxes[i]);
        choir_close(&readers[i]);
    }
    end();
}

static int complete_saying(struct choir *worker, const struct choir_event *task,
                           uint64_t plan)
{
    struct choir_request *r = choir_complete_new(worker, task, "done", 4);

    choir_txn_compare(r, "plan", plan);
    CHECK_OK(choir_complete_message(worker, r, "ada", "it is done", 10));
    CHECK_OK(choir_complete_message(worker, r, "topic:news", "done", 4));
    return choir_commit(worker, &r, NULL);
}

TEST(completion_sends_its_messages_or_nothing)
{
    uint64_t plan, news, inbox;
    struct choir_event *task;

    begin();
    CHECK_OK(choir_put(ada, "plan", "x", 1, &plan));
    CHECK_OK(choir_submit(ada, "q", "x", 1, NULL));
    inbox = open_inbox(ada, NULL);
    news = open_inbox(ada, "news");
    CHECK_OK(choir_work(bob, "q", patience(), &task));
    CHECK_REFUSED(complete_saying(bob, task, plan + 1000), CHOIR_CONFLICT);
    nothing(ada, inbox);
    nothing(ada, news);
    CHECK_OK(complete_saying(bob, task, plan));
    choir_event_free(&task);
    hear_and_ack(ada, inbox, "it is done");
    hear_and_ack(ada, news, "done");
    end();
}

TEST(receivers_that_are_none_are_refused)
{
    struct choir_event *task;
    struct choir_request *r;

    begin();
    CHECK_REFUSED(choir_message(ada, "nobody", "x", 1, CHOIR_MESSAGE, NULL),
                  CHOIR_NOT_FOUND);
    CHECK_REFUSED(choir_message(ada, "topic:", "x", 1, CHOIR_MESSAGE, NULL),
                  CHOIR_INVALID);
    CHECK_REFUSED(choir_message(ada, "bob", "x", 1, CHOIR_FINAL, NULL),
                  CHOIR_INVALID);
    CHECK_OK(choir_submit(ada, "q", "x", 1, NULL));
    CHECK_OK(choir_work(bob, "q", patience(), &task));
    r = choir_complete_new(bob, task, "x", 1);
    CHECK_REFUSED(choir_complete_message(bob, r, "nobody", "x", 1),
                  CHOIR_NOT_FOUND);
    CHECK_REFUSED(choir_reply(bob, task, "x", 1, CHOIR_FINAL, NULL),
                  CHOIR_INVALID);
    CHECK_REFUSED(choir_ack(bob, task), CHOIR_INVALID);
    choir_request_free(&r);
    choir_event_free(&task);
    end();
}

CHECK_MAIN
