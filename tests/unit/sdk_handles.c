/* Many handles of one process, which one thread serves: what they do to each
 * other because of it, and what a forked child has of them. */
#include "agent-sdk/choir.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-sdk/connection_context.h"
#include "agent-sdk/engine.h"
#include "agent-sdk/process.h"
#include "tests/check.h"
#include "tests/support/scene.h"

static unsigned threads_now(void)
{
    DIR *d = opendir("/proc/self/task");
    unsigned n = 0;

    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

enum { HANDLES = 20 };

TEST(many_handles_have_no_more_threads_than_one)
{
    struct choir *c[HANDLES];
    unsigned without, with_one;

    begin();
    choir_close(&(struct choir *){open_or_fail()}); /* enrol */
    without = threads_now();
    c[0] = open_or_fail();
    with_one = threads_now();
    CHECK(with_one > without);
    for (int i = 1; i < HANDLES; i++)
        c[i] = open_or_fail();
    CHECK_EQ(threads_now(), with_one);
    for (int i = 0; i < HANDLES; i++)
        CHECK_OK(choir_put(c[i], "k", "v", 1, NULL));
    for (int i = 0; i < HANDLES; i++)
        choir_close(&c[i]);
    CHECK_EQ(threads_now(), without);
    CHECK_EQ(standin_counts(broker).bad, 0);
    end();
}

/* All that is there; one more for each, up to `total`. */
static void answer(struct choir *c, unsigned *sent, unsigned *done,
                   unsigned total)
{
    struct choir_event *e;

    while (choir_next(c, 0, &e) == 0) {
        CHECK_OK(choir_event_code(e));
        choir_event_free(&e);
        ++*done;
        if (*sent < total) {
            send_one_put(c);
            ++*sent;
        }
    }
}

/* By their descriptors, from one thread of the program. */
static void serve_all(unsigned each, unsigned depth)
{
    unsigned sent[HANDLES], done[HANDLES] = {0}, left = HANDLES * each;
    struct pollfd fds[HANDLES];
    struct choir *c[HANDLES];

    begin();
    for (int i = 0; i < HANDLES; i++) {
        c[i] = open_or_fail();
        fds[i] = (struct pollfd){.fd = choir_fd(c[i]), .events = POLLIN};
        for (sent[i] = 0; sent[i] < depth; sent[i]++)
            send_one_put(c[i]);
    }
    while (left) {
        CHECK(poll(fds, HANDLES, 5000) > 0);
        left = 0;
        for (int i = 0; i < HANDLES; i++) {
            if (fds[i].revents)
                answer(c[i], &sent[i], &done[i], each);
            left += each - done[i];
        }
    }
    CHECK_EQ(standin_counts(broker).operations, HANDLES * each);
    for (int i = 0; i < HANDLES; i++)
        choir_close(&c[i]);
    end();
}

TEST(many_handles_are_served_together)
{
    serve_all(200, 8);
}

/* One of them at a time is told of its answer. */
TEST(many_handles_with_one_put_under_way_are_all_answered)
{
    serve_all(100, 1);
}

static void *wait_for_ever(void *handle)
{
    struct choir_event *e;
    int code = choir_next(handle, -1, &e);

    return (void *)(intptr_t)code;
}

TEST(a_handle_that_a_caller_turns_leaves_the_others_to_the_hub)
{
    struct choir *mine, *other;
    pthread_t t;
    void *code;

    begin();
    mine = open_or_fail();
    other = open_or_fail();
    CHECK_OK(pthread_create(&t, NULL, wait_for_ever, mine));
    for (int i = 0; i < 200; i++) {
        struct pollfd p = {.fd = choir_fd(other), .events = POLLIN};
        unsigned done = 0, sent = 1;

        hub_due(&mine->engine->seat); /* it passes by */
        send_one_put(other);
        while (!done) {
            CHECK_EQ(poll(&p, 1, 5000), 1);
            answer(other, &sent, &done, 1);
        }
        if (i % 10 == 0) /* and its caller is not in the way of others */
            CHECK_OK(choir_put(mine, "k", "v", 1, NULL));
    }
    choir_interrupt(mine);
    CHECK_OK(pthread_join(t, &code));
    CHECK_EQ((intptr_t)code, CHOIR_INTERRUPTED);
    choir_close(&other);
    CHECK_OK(choir_put(mine, "k", "v", 1, NULL));
    choir_close(&mine);
    end();
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* One nobody answers, one whose peer says nothing, beside one that works. */
TEST(a_dead_broker_keeps_no_other_waiting)
{
    struct choir_options silent, nobody;
    struct choir *c, *s, *n;
    struct standin *mute;
    char other[HOME_BYTES];
    int64_t before;

    begin();
    c = open_or_fail();
    home_make(other);
    mute = standin_start(other);
    silent = nobody = options;
    silent.data_dir = other;
    CHECK_OK(choir_open(&silent, &s));
    standin_mute(mute, true);
    send_one_put(s);
    nobody.flags = CHOIR_OPEN_NOWAIT;
    nobody.identity_path = choir_identity_path(c);
    nobody.url = "tcp://127.0.0.1:1";
    CHECK_OK(choir_open(&nobody, &n));
    send_one_put(n);
    for (int i = 0; i < 200; i++)
        CHECK_OK(choir_put(c, "k", "v", 1, NULL));
    before = now_ms();
    choir_close(&n);
    CHECK_OK(choir_put(c, "k", "v", 1, NULL));
    CHECK(now_ms() - before < 1500);
    choir_close(&s);
    CHECK_OK(choir_put(c, "k", "v", 1, NULL));
    choir_close(&c);
    standin_stop(&mute);
    home_remove(other);
    end();
}

static bool share(const char *url)
{
    struct context *a = context_take(url), *b = context_take(url);
    bool same = a == b;

    context_drop(a);
    context_drop(b);
    return same;
}

/* Its thread would look the name up, and wait for that. */
TEST(a_name_that_has_to_be_looked_up_keeps_one_connection_waiting)
{
    CHECK(share("tcp://127.0.0.1:7411"));
    CHECK(share("tcp://[::1]:7411"));
    CHECK_NOT(share("tcp://localhost:7411"));
    CHECK_NOT(share("tcp://10.example:7411"));
}

/* --- Coming and going ----------------------------------------------------- */

#ifdef __SANITIZE_THREAD__ /* forbids threads to the child of a process with */
enum { CHILD_HAS_THREADS = false };
#else
enum { CHILD_HAS_THREADS = true };
#endif

static void *open_put_close(void *failed)
{
    struct choir *c;

    for (int i = 0; i < 8; i++) {
        if (choir_open(&options, &c))
            return strdup(choir_error_text());
        if (choir_put(c, "k", "v", 1, NULL))
            return strdup(choir_error_text());
        choir_close(&c);
    }
    return failed;
}

static void crowd(pthread_t *threads, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_OK(pthread_create(&threads[i], NULL, open_put_close, NULL));
}

static void crowd_gone(const pthread_t *threads, int n)
{
    for (int i = 0; i < n; i++) {
        void *failed;

        CHECK_OK(pthread_join(threads[i], &failed));
        if (failed)
            fail_msg("%s", (char *)failed);
    }
}

TEST(handles_open_and_close_in_many_threads_at_once)
{
    enum { THREADS = 6 };
    pthread_t t[THREADS];
    unsigned before;

    begin();
    choir_close(&(struct choir *){open_or_fail()});
    before = threads_now();
    crowd(t, THREADS);
    crowd_gone(t, THREADS);
    CHECK_EQ(threads_now(), before);
    CHECK_EQ(standin_counts(broker).sessions, 1 + THREADS * 8);
    CHECK_EQ(standin_counts(broker).bad, 0);
    end();
}

static int child_of_one_with_handles(struct choir *parents)
{
    struct choir *c;

    if (choir_put(parents, "k", "v", 1, NULL) != CHOIR_CLOSED)
        return 1;
    if (!CHILD_HAS_THREADS)
        return 0;
    if (choir_open(&options, &c))
        return 2;
    if (choir_put(c, "k", "v", 1, NULL))
        return 3;
    choir_close(&parents);
    if (choir_put(c, "k", "v", 1, NULL))
        return 4;
    choir_close(&c);
    return 0;
}

static int forked(struct choir *parents)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(child_of_one_with_handles(parents));
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status;
}

TEST(a_forked_child_has_handles_of_its_own)
{
    struct choir *c, *other;

    begin();
    c = open_or_fail();
    other = open_or_fail();
    CHECK_EQ(forked(c), 0);
    CHECK_OK(choir_put(other, "k", "v", 1, NULL));
    choir_close(&c); /* what the child had of it is nobody's trouble */
    CHECK_EQ(forked(other), 0);
    CHECK_OK(choir_put(other, "k", "v", 1, NULL));
    choir_close(&other);
    end();
}

/* The fork comes while others hold the locks that all handles share. */
TEST(a_child_forked_in_the_middle_of_things_has_handles_of_its_own)
{
    enum { THREADS = 3, CHILDREN = 8 };
    pthread_t t[THREADS];
    struct choir *c;

    begin();
    c = open_or_fail();
    crowd(t, THREADS);
    for (int i = 0; i < CHILDREN; i++)
        CHECK_EQ(forked(c), 0);
    crowd_gone(t, THREADS);
    choir_close(&c);
    end();
}

/* Deterministically: the lock is held at the fork. */
TEST(a_child_has_none_of_what_its_parent_shared)
{
    struct process_shared *p = process_shared();
    int status;
    pid_t child;

    pthread_mutex_lock(&p->lock);
    child = fork();
    if (child == 0) {
        bool free = pthread_mutex_trylock(&process_shared()->lock) == 0;

        _exit(free && !process_shared()->hub && !process_shared()->contexts
                  ? 0
                  : 1);
    }
    pthread_mutex_unlock(&p->lock);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

CHECK_MAIN
