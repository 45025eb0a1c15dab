/* Who is the engine while nobody waits: the hub, or for a moment who sends. */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "agent-sdk/choir.h"
#include "agent-sdk/engine.h"
#include "tests/check.h"
#include "tests/support/scene.h"

static void wait_for_the_hub(struct choir *c)
{
    while (!hub_sleeps(&c->engine->seat))
        sched_yield();
}

/* Nothing is under way, and nothing will be soon. */
static struct choir *begin_and_rest(void)
{
    struct choir *c = begin_one();

    CHECK_OK(choir_put(c, "k", "v", 1, NULL));
    wait_for_the_hub(c);
    return c;
}

static void send_get(struct choir *c)
{
    struct choir_request *r = choir_request_new(c, "get");
    uint64_t id;

    choir_request_text(r, "key", "k");
    CHECK_OK(choir_send(c, &r, -1, &id));
}

/* Without a wait in the library, which would be the engine. */
static void event_wait(struct choir *c)
{
    struct pollfd ready = {.fd = choir_fd(c), .events = POLLIN};
    struct choir_event *e;

    CHECK_EQ(poll(&ready, 1, 5000), 1);
    CHECK_OK(choir_next(c, 0, &e));
    choir_event_free(&e);
}

enum { SENDERS = 3, SENDER_ROUNDS = 400 };

static struct choir *shared;
static sem_t answered;

static void *send_for_each_answer(void *unused)
{
    (void)unused;
    for (int i = 0; i < SENDER_ROUNDS; i++) {
        send_one_put(shared);
        while (sem_wait(&answered))
            ;
    }
    return NULL;
}

/* Nobody waits in the library, so nobody but senders and hub is the engine. */
TEST(what_several_send_at_one_moment_all_leaves)
{
    pthread_t threads[SENDERS];

    shared = begin_one();
    CHECK_OK(sem_init(&answered, 0, 0));
    for (int i = 0; i < SENDERS; i++)
        CHECK_OK(pthread_create(&threads[i], NULL, send_for_each_answer, NULL));
    for (int taken = 0; taken < SENDERS * SENDER_ROUNDS; taken++) {
        event_wait(shared);
        CHECK_OK(sem_post(&answered));
    }
    for (int i = 0; i < SENDERS; i++)
        CHECK_OK(pthread_join(threads[i], NULL));
    CHECK_EQ(standin_counts(broker).operations, SENDERS * SENDER_ROUNDS);
    CHECK_OK(sem_destroy(&answered));
    end_one(shared);
}

/* Of this thread: how often it has signed, and what it does when it looks at
 * the clock the next time after that. Both functions are found here first. */
static __thread unsigned signatures;
static __thread void (*then)(void);

int crypto_sign_detached(unsigned char *signature, unsigned long long *bytes,
                         const unsigned char *message, unsigned long long n,
                         const unsigned char *key)
{
    int (*sodium)(unsigned char *, unsigned long long *, const unsigned char *,
                  unsigned long long, const unsigned char *);

    *(void **)&sodium = dlsym(RTLD_NEXT, "crypto_sign_detached");
    signatures++;
    return sodium(signature, bytes, message, n, key);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    void (*now)(void) = signatures ? then : NULL;

    if (now) {
        then = NULL;
        now();
    }
    return (int)syscall(SYS_clock_gettime, clock, t);
}

TEST(who_sends_while_nothing_is_under_way_signs_it_himself)
{
    struct choir *c = begin_and_rest();

    signatures = 0;
    send_one_put(c);
    CHECK_EQ(signatures, 1);
    event_wait(c);
    end_one(c);
}

/* Then there may be more to do than to sign. */
TEST(who_sends_while_something_is_under_way_signs_nothing)
{
    struct choir *c = begin_one();

    standin_swallow(broker, 1);
    send_one_put(c);
    signatures = 0;
    for (int i = 0; i < 10; i++) {
        wait_for_the_hub(c);
        send_get(c);
        event_wait(c);
    }
    CHECK_EQ(signatures, 0);
    end_one(c);
}

static void *get_send(void *unused)
{
    (void)unused;
    send_get(shared);
    return NULL;
}

static void get_from_another_thread(void)
{
    pthread_t thread;

    CHECK_OK(pthread_create(&thread, NULL, get_send, NULL));
    CHECK_OK(pthread_join(thread, NULL));
    wait_for_the_hub(shared);
}

/* The hub found the turn taken and has gone to sleep again, and no answer to
 * the put will come. */
TEST(what_is_put_in_when_a_senders_turn_ends_is_not_left_lying)
{
    shared = begin_and_rest();
    standin_swallow(broker, 1);
    signatures = 0;
    then = get_from_another_thread;
    send_one_put(shared);
    CHECK_EQ(signatures, 1);
    CHECK(!then);
    event_wait(shared);
    end_one(shared);
}

static _Atomic unsigned looks; /* of the hub: nobody else asks for so many */

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout_ms)
{
    int (*wait)(int, struct epoll_event *, int, int);

    *(void **)&wait = dlsym(RTLD_NEXT, "epoll_wait");
    if (most == 64)
        atomic_fetch_add(&looks, 1);
    return wait(fd, events, most, timeout_ms);
}

enum { LOOKS_FEW = 4, LONG_NS = 20000000 };

static bool is_passed(struct choir *c)
{
    bool is;

    pthread_mutex_lock(&c->lock);
    is = c->is_passed;
    pthread_mutex_unlock(&c->lock);
    return is;
}

static void readable_for_long(void)
{
    struct timespec t = {.tv_nsec = LONG_NS};
    unsigned before;

    choir_interrupt(shared);
    while (!is_passed(shared))
        sched_yield();
    before = atomic_load(&looks);
    nanosleep(&t, NULL);
    CHECK(atomic_load(&looks) - before < LOOKS_FEW);
}

/* As one has it who is interrupted in it and waits for a core. It is looked at
 * again afterwards. */
TEST(a_senders_long_turn_does_not_keep_the_hub_awake)
{
    shared = begin_and_rest();
    signatures = 0;
    then = readable_for_long;
    send_one_put(shared);
    CHECK_EQ(signatures, 1);
    CHECK(!then);
    event_wait(shared);
    end_one(shared);
}

static void *event_next(void *unused)
{
    struct choir_event *e;

    (void)unused;
    CHECK_OK(choir_next(shared, -1, &e));
    choir_event_free(&e);
    return NULL;
}

static bool is_so(struct choir *c, unsigned waiting, bool is_driven)
{
    bool is;

    pthread_mutex_lock(&c->lock);
    is = c->waiting == waiting && c->is_driven == is_driven;
    pthread_mutex_unlock(&c->lock);
    return is;
}

/* Else a program that answers at once would never be the engine again. */
TEST(who_began_to_wait_in_a_turn_of_the_hub_gets_the_next)
{
    pthread_t thread;
    int64_t deadline;

    shared = begin_and_rest();
    CHECK_OK(pthread_mutex_lock(&shared->turn));
    CHECK_OK(pthread_create(&thread, NULL, event_next, NULL));
    while (!is_so(shared, 1, false))
        sched_yield();
    CHECK_OK(pthread_mutex_unlock(&shared->turn));
    hub_due(&shared->engine->seat);
    deadline = deadline_after(5000);
    while (!is_so(shared, 1, true) && sdk_clock_ms() < deadline)
        sched_yield();
    CHECK(is_so(shared, 1, true));
    send_one_put(shared);
    CHECK_OK(pthread_join(thread, NULL));
    end_one(shared);
}

/* What makes it readable is emptied, though no frame is heard any more. */
TEST(a_handle_that_has_ended_keeps_nobody_awake)
{
    struct choir *c = begin_and_rest();
    struct pollfd fd = {.fd = connection_fd(c->engine->connection),
                        .events = POLLIN};
    int64_t deadline = deadline_after(5000);

    standin_trick(broker, TRICK_BAD_SIGNATURE);
    send_one_put(c);
    event_wait(c);
    choir_interrupt(c);
    while (poll(&fd, 1, 0) == 1 && sdk_clock_ms() < deadline)
        sched_yield();
    CHECK_EQ(poll(&fd, 1, 0), 0);
    end_one(c);
}

/* Receives of this thread that a signal is to break off once a frame has come:
 * libzmq has read its thread's command by then, so its descriptor is silent. */
static __thread unsigned to_break_off;

int zmq_msg_recv(zmq_msg_t *frame, void *socket, int flags)
{
    int (*receive)(zmq_msg_t *, void *, int), events = 0;
    size_t n = sizeof events;

    if (to_break_off && !zmq_getsockopt(socket, ZMQ_EVENTS, &events, &n) &&
        (events & ZMQ_POLLIN)) {
        to_break_off--;
        errno = EINTR;
        return -1;
    }
    *(void **)&receive = dlsym(RTLD_NEXT, "zmq_msg_recv");
    return receive(frame, socket, flags);
}

TEST(a_receive_that_a_signal_broke_off_is_tried_again)
{
    struct choir *c = begin_and_rest();

    to_break_off = 2;
    CHECK_OK(choir_put(c, "k", "v", 1, NULL));
    CHECK_EQ(to_break_off, 0);
    end_one(c);
}

CHECK_MAIN
