/* When the engine is woken, and what goes out together because of it. */
#include "agent-sdk/intake.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>
#include <utlist.h>

#include "agent-sdk/choir.h"
#include "tests/check.h"
#include "tests/support/scene.h"

/* --- The intake alone ----------------------------------------------------- */

static struct intake in;

/* However busy the machine, nobody is late who does not mean to be. */
enum { PATIENT_US = 500000, HASTY_US = 20000 };

static void intake_begin(void)
{
    in = (struct intake){.hold_us = PATIENT_US};
    CHECK_OK(intake_open(&in));
}

static void put_one(void)
{
    struct msg m;

    msg_init(&m, MSG_PING);
    if (intake_op(&in, op_new(1, &m), false))
        intake_wake(&in);
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

/* What the engine does when it wakes: how many operations it gets. */
static int engine_turn(void)
{
    bool now = intake_drain(&in, 3);
    struct control *controls, *control, *after;
    struct op *ops, *op, *next;
    int n = 0;

    intake_take(&in, now, &ops, &controls);
    DL_FOREACH_SAFE (ops, op, next) {
        op_free(op);
        n++;
    }
    DL_FOREACH_SAFE (controls, control, after)
        free(control);
    in.is_awake = intake_ready(&in);
    return n;
}

TEST(a_lone_operation_wakes_the_engine_at_once)
{
    intake_begin();
    put_one();
    CHECK(readable(in.wake_fd, 0));
    CHECK_EQ(engine_turn(), 1);
    CHECK_NOT(readable(in.wake_fd, 0));
    intake_told(&in, 1); /* and so does its successor */
    put_one();
    CHECK(readable(in.wake_fd, 0));
    CHECK_EQ(engine_turn(), 1);
    intake_close(&in);
}

TEST(the_engine_is_woken_once_for_all_that_come_before_it_looks)
{
    uint64_t count;

    intake_begin();
    for (int i = 0; i < 10; i++)
        put_one();
    CHECK_EQ(read(in.wake_fd, &count, sizeof count), sizeof count);
    CHECK_EQ(count, 1);
    CHECK_EQ(engine_turn(), 10);
    intake_close(&in);
}

TEST(answers_to_what_was_told_together_are_handed_over_together)
{
    intake_begin();
    intake_told(&in, 3);
    put_one();
    put_one();
    CHECK_NOT(readable(in.wake_fd, 0));
    CHECK_NOT(intake_ready(&in));
    put_one();
    CHECK(readable(in.wake_fd, 0));
    CHECK(intake_ready(&in));
    CHECK_EQ(engine_turn(), 3);
    intake_close(&in);
}

TEST(the_engine_leaves_what_is_held_when_something_else_wakes_it)
{
    intake_begin();
    intake_told(&in, 3);
    put_one();
    CHECK_EQ(in.held, 1);
    struct op *ops;
    struct control *controls;
    intake_take(&in, false, &ops, &controls);
    CHECK_NULL(ops);
    put_one();
    put_one();
    CHECK_EQ(engine_turn(), 3);
    intake_close(&in);
}

TEST(a_caller_who_finds_nothing_to_take_hands_over)
{
    intake_begin();
    intake_told(&in, 3);
    put_one();
    CHECK_NOT(readable(in.wake_fd, 0));
    intake_drawn(&in);
    CHECK(readable(in.wake_fd, 0));
    CHECK_EQ(engine_turn(), 1);
    put_one(); /* the other two answers are not awaited any more */
    CHECK(readable(in.wake_fd, 0));
    CHECK_EQ(engine_turn(), 1);
    intake_close(&in);
}

TEST(a_caller_who_goes_away_is_not_waited_for)
{
    intake_begin();
    in.hold_us = HASTY_US;
    intake_told(&in, 3);
    put_one();
    CHECK(readable(in.hold.fd, 5000));
    CHECK_EQ(engine_turn(), 1);
    put_one();
    CHECK(readable(in.wake_fd, 0));
    CHECK_EQ(engine_turn(), 1);
    intake_close(&in);
}

TEST(what_was_told_long_ago_holds_nothing_up)
{
    intake_begin();
    intake_told(&in, 3);
    in.since_us -= 1000000;
    put_one();
    CHECK(readable(in.wake_fd, 0));
    CHECK_EQ(engine_turn(), 1);
    intake_close(&in);
}

TEST(who_takes_late_is_waited_for_all_the_same)
{
    intake_begin();
    intake_told(&in, 3);
    in.since_us -= 1000000;
    intake_taken(&in);
    put_one();
    put_one();
    CHECK_NOT(readable(in.wake_fd, 0));
    put_one();
    CHECK(readable(in.wake_fd, 0));
    CHECK_EQ(engine_turn(), 3);
    intake_close(&in);
}

TEST(who_took_long_ago_is_not_waited_for)
{
    intake_begin();
    intake_told(&in, 3);
    intake_taken(&in);
    in.since_us -= 1000000;
    intake_taken(&in); /* the next one changes nothing */
    put_one();
    CHECK(readable(in.wake_fd, 0));
    CHECK_EQ(engine_turn(), 1);
    intake_close(&in);
}

TEST(what_the_engine_keeps_goes_when_the_answers_are_there)
{
    intake_begin();
    intake_told(&in, 2);
    CHECK(intake_keep(&in));
    put_one();
    CHECK_NOT(readable(in.wake_fd, 0));
    put_one();
    CHECK(readable(in.wake_fd, 0));
    CHECK_EQ(engine_turn(), 2);
    intake_close(&in);
}

TEST(what_the_engine_keeps_goes_without_answers_too)
{
    intake_begin();
    CHECK_NOT(intake_keep(&in)); /* nobody was told anything */
    in.hold_us = HASTY_US;
    intake_told(&in, 2);
    CHECK(intake_keep(&in));
    CHECK(readable(in.hold.fd, 5000));
    CHECK_EQ(engine_turn(), 0);
    intake_told(&in, 2);
    CHECK(intake_keep(&in));
    intake_drawn(&in);
    CHECK(readable(in.wake_fd, 0));
    CHECK_EQ(engine_turn(), 0);
    intake_close(&in);
}

TEST(a_bundle_that_is_complete_in_time_leaves_nothing_held)
{
    intake_begin();
    intake_told(&in, 2);
    put_one();
    CHECK(in.hold.due_us != 0);
    put_one();
    CHECK_EQ(engine_turn(), 2);
    CHECK_EQ(in.hold.due_us, 0);
    intake_close(&in);
}

TEST(a_full_bundle_is_not_held)
{
    int n = 0;

    intake_begin();
    intake_told(&in, 1000);
    while (n < 1000 && !readable(in.wake_fd, 0)) {
        put_one();
        n++;
    }
    CHECK(n <= 64);
    CHECK_EQ(engine_turn(), n);
    intake_close(&in);
}

TEST(credit_of_a_caller_who_waits_wakes_the_engine_only_if_he_is_not_it)
{
    intake_begin();
    intake_credit(&in, 7, 1, CREDIT_WAITS);
    intake_hand(&in);
    CHECK(intake_ready(&in));
    CHECK_NOT(readable(in.wake_fd, 0));
    engine_turn();
    intake_credit(&in, 7, 1, CREDIT_WAITS);
    intake_drawn(&in);
    CHECK(readable(in.wake_fd, 0));
    engine_turn();
    intake_close(&in);
}

TEST(credit_given_again_and_again_is_one_control)
{
    static const struct {
        uint64_t id;
        int64_t more;
    } wanted[] = {{7, 3}, {8, 1}, {8, -1}, {8, 1}};
    struct control *controls;
    struct op *ops;

    intake_begin();
    intake_credit(&in, 7, 1, CREDIT_ANSWERS);
    intake_credit(&in, 7, 2, CREDIT_ANSWERS);
    intake_credit(&in, 8, 1, CREDIT_ANSWERS);
    intake_credit(&in, 8, -1,
                  CREDIT_ANSWERS); /* all of it back: another thing */
    intake_credit(&in, 8, 1, CREDIT_ANSWERS);
    intake_take(&in, true, &ops, &controls);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct control *first = controls;

        CHECK(first != NULL);
        CHECK_EQ(first->id, wanted[i].id);
        CHECK_EQ(first->more, wanted[i].more);
        DL_DELETE(controls, first);
        free(first);
    }
    CHECK_NULL(controls);
    intake_close(&in);
}

TEST(a_closed_intake_frees_what_is_in_it)
{
    intake_begin();
    intake_told(&in, 3);
    put_one();
    intake_cancel(&in, 1);
    intake_close(&in);
}

/* --- What becomes of it at a broker --------------------------------------- */

static void take(struct choir *c)
{
    struct choir_event *e;

    CHECK_OK(choir_next(c, 5000, &e));
    CHECK_OK(choir_event_code(e));
    choir_event_free(&e);
}

/* Without a call to the library, which could hand something over. */
static void wait_for_operations(unsigned n)
{
    while (standin_counts(broker).operations < n)
        usleep(1000);
    CHECK_EQ(standin_counts(broker).operations, n);
}

TEST(operations_of_one_who_computes_after_sending_arrive)
{
    struct choir *c = begin_one();

    send_one_put(c);
    wait_for_operations(1);
    for (int i = 0; i < 9; i++)
        send_one_put(c);
    wait_for_operations(10);
    for (int i = 0; i < 10; i++)
        take(c);
    send_one_put(c);
    wait_for_operations(11);
    send_one_put(c);
    wait_for_operations(12);
    end_one(c);
}

/* --- Who waits is the engine ---------------------------------------------- */

struct waiter {
    struct choir *c;
    uint64_t request;
    pthread_t thread;
    int code;
};

static void *wait_for_ever(void *argument)
{
    struct waiter *w = argument;
    struct choir_event *e;

    w->code = choir_wait(w->c, w->request, -1, &e);
    choir_event_free(&e);
    return NULL;
}

/* A worker for whom there is no work, and a thread that waits for some. */
static void waiter_start(struct waiter *w, struct choir *c)
{
    struct choir_request *r = choir_request_new(c, "work");
    struct choir_event *e;

    w->c = c;
    choir_request_text(r, "queue", "none");
    CHECK_OK(choir_send(c, &r, -1, &w->request));
    CHECK_OK(choir_wait(c, w->request, 5000, &e));
    CHECK_EQ(strcmp(choir_event_name(e), "reply"), 0);
    choir_event_free(&e);
    CHECK_OK(pthread_create(&w->thread, NULL, wait_for_ever, w));
}

TEST(others_are_served_while_one_waits_for_ever)
{
    struct choir *c = begin_one();
    struct waiter w;

    waiter_start(&w, c);
    for (int i = 0; i < 100; i++)
        CHECK_OK(choir_put(c, "k", "v", 1, NULL));
    for (int i = 0; i < 100; i++)
        send_one_put(c);
    wait_for_operations(200);
    for (int i = 0; i < 100; i++)
        take(c);
    CHECK_OK(choir_cancel(c, w.request));
    CHECK_OK(pthread_join(w.thread, NULL));
    CHECK_EQ(w.code, CHOIR_NOT_FOUND);
    end_one(c);
}

enum { CROWD = 6, CROWD_OPERATIONS = 200 };

static void *one_of_the_crowd(void *argument)
{
    struct choir *c = argument;
    int failed = 0;

    for (int i = 0; i < CROWD_OPERATIONS; i++)
        failed += choir_put(c, "k", "v", 1, NULL) != 0;
    return failed ? c : NULL;
}

/* Turns change hands all the time, and nothing may be left lying. */
TEST(many_who_wait_in_turn_are_all_served)
{
    struct choir *c = begin_one();
    pthread_t threads[CROWD];

    for (int i = 0; i < CROWD; i++)
        CHECK_OK(pthread_create(&threads[i], NULL, one_of_the_crowd, c));
    for (int i = 0; i < CROWD_OPERATIONS; i++)
        send_one_put(c);
    for (int i = 0; i < CROWD_OPERATIONS; i++)
        take(c);
    for (int i = 0; i < CROWD; i++) {
        void *failed;

        CHECK_OK(pthread_join(threads[i], &failed));
        CHECK_NULL(failed);
    }
    CHECK_EQ(standin_counts(broker).operations, (CROWD + 1) * CROWD_OPERATIONS);
    end_one(c);
}

TEST(one_who_waits_for_ever_can_be_interrupted_again_and_again)
{
    struct choir *c = begin_one();
    struct waiter w;

    waiter_start(&w, c);
    for (int i = 0; i < 20; i++) {
        choir_interrupt(c);
        CHECK_OK(pthread_join(w.thread, NULL));
        CHECK_EQ(w.code, CHOIR_INTERRUPTED);
        CHECK_OK(pthread_create(&w.thread, NULL, wait_for_ever, &w));
    }
    CHECK_OK(choir_cancel(c, w.request));
    CHECK_OK(pthread_join(w.thread, NULL));
    end_one(c);
}

enum { CLOSE_ONES = 300 };

struct interrupter {
    struct choir *c;
    sem_t go;
};

static void *interrupt_when_told(void *argument)
{
    struct interrupter *i = argument;

    for (int n = 0; n < CLOSE_ONES; n++) {
        while (sem_wait(&i->go))
            ;
        usleep((useconds_t)n % 100 * 5); /* somewhere in a round trip */
        choir_interrupt(i->c);
    }
    return NULL;
}

/* The answer and the interruption come together: whoever returned for the one
 * returns for the other the next time. */
TEST(an_interruption_is_not_lost_to_who_finds_his_event)
{
    struct interrupter i = {.c = begin_one()};
    pthread_t thread;

    CHECK_EQ(sem_init(&i.go, 0, 0), 0);
    CHECK_OK(pthread_create(&thread, NULL, interrupt_when_told, &i));
    for (int n = 0; n < CLOSE_ONES; n++) {
        struct choir_event *e;
        int r;

        CHECK_EQ(sem_post(&i.go), 0);
        r = choir_put(i.c, "k", "v", 1, NULL);
        for (; r == 0; choir_event_free(&e))
            r = choir_next(i.c, 5000, &e);
        CHECK_EQ(r, CHOIR_INTERRUPTED);
    }
    CHECK_OK(pthread_join(thread, NULL));
    sem_destroy(&i.go);
    end_one(i.c);
}

TEST(a_restart_is_noticed_whether_somebody_waits_or_not)
{
    struct choir *c = begin_one();
    unsigned hellos;

    for (int i = 0; i < 5; i++) {
        hellos = standin_counts(broker).hellos;
        CHECK_OK(choir_put(c, "k", "v", 1, NULL));
        standin_restart(broker, 1);
        if (i % 2) /* nobody waits: the engine's own thread connects */
            while (standin_counts(broker).hellos == hellos)
                usleep(1000);
        CHECK_OK(choir_put(c, "k", "v", 1, NULL));
    }
    CHECK_EQ(standin_counts(broker).operations, 10);
    end_one(c);
}

TEST(a_call_that_succeeds_leaves_the_last_error_as_it_was)
{
    struct choir *c = begin_one();
    struct choir_event *e;
    char text[256];

    CHECK_REFUSED(choir_get(c, "nothing", 0, &e), CHOIR_NOT_FOUND);
    snprintf(text, sizeof text, "%s", choir_error_text());
    for (int i = 0; i < 10; i++)
        CHECK_OK(choir_put(c, "k", "v", 1, NULL));
    CHECK_EQ(strcmp(choir_error_text(), text), 0);
    CHECK_EQ(choir_error_code(), CHOIR_NOT_FOUND);
    end_one(c);
}

TEST(what_is_sent_in_one_go_needs_few_bundles)
{
    struct choir *c = begin_one();
    unsigned before = standin_counts(broker).bundles;

    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 64; i++)
            send_one_put(c);
        for (int i = 0; i < 64; i++)
            take(c);
    }
    /* one or two a round; more when this machine has no time for us */
    CHECK(standin_counts(broker).bundles - before <= 20 * 4);
    end_one(c);
}

TEST(one_sent_for_each_that_comes_back_keeps_bundles_whole)
{
    struct choir *c = begin_one();
    unsigned before;

    for (int i = 0; i < 64; i++)
        send_one_put(c);
    before = standin_counts(broker).bundles;
    for (int i = 0; i < 64 * 20; i++) {
        take(c);
        send_one_put(c);
    }
    for (int i = 0; i < 64; i++)
        take(c);
    CHECK(standin_counts(broker).bundles - before <= 20 * 4);
    end_one(c);
}

CHECK_MAIN
