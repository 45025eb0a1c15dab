/* Nobody waits for a broker that sleeps over what has come. All act at once,
 * and nobody goes on before all have been answered: another's next message
 * would wake it, and hide that one was slept over.
 * test-timeout: 120 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent-sdk/choir.h"
#include "tests/check.h"
#include "tests/support/daemon.h"

enum {
    ACTORS = 4,
    WAIT_MS = 4000, /* less than after what the SDK begins anew */
    PUT_ROUNDS = 500,
    OPEN_ROUNDS = 50,
    APART_US = 400, /* they begin so far apart at most: a put's time */
    LARGE = 1 << 20,
    LARGE_PUTS = 16, /* of each; all of them twice what may wait */
    LARGE_WAIT_MS = 15000,
};

static struct {
    pthread_barrier_t round;
    unsigned rounds;
    void (*act)(unsigned actor, unsigned round);
} * all;

static struct choir *own; /* an actor's */

/* Whoever fails ends, and the others never pass the barrier. */
static void must(int code, const char *what, unsigned round)
{
    if (!code)
        return;
    fprintf(stderr, "round %u: %s: %s\n", round, what, choir_error_text());
    exit(1);
}

static void own_open(unsigned actor, unsigned round)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    char name[16];

    snprintf(name, sizeof name, "actor-%u", actor);
    o.name = name;
    o.timeout_ms = WAIT_MS;
    must(choir_open(&o, &own), "opening", round);
}

/* A little before or after the others, another way each time. */
static void stagger(unsigned actor, unsigned round)
{
    uint64_t until =
        test_now_us() + (round * 2654435761u >> (8 * actor)) % APART_US;

    while (test_now_us() < until)
        ;
}

static int actor_run(void *number)
{
    unsigned actor = *(const unsigned *)number;

    own_open(actor, 0);
    for (unsigned i = 0; i < all->rounds; i++) {
        pthread_barrier_wait(&all->round);
        stagger(actor, i);
        all->act(actor, i);
    }
    choir_close(&own);
    return 0;
}

static void all_act(void (*act)(unsigned actor, unsigned round),
                    unsigned rounds)
{
    pthread_barrierattr_t shared;
    pid_t actors[ACTORS];
    bool done = true;

    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(all != MAP_FAILED);
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    CHECK_OK(pthread_barrier_init(&all->round, &shared, ACTORS));
    all->rounds = rounds;
    all->act = act;
    for (unsigned i = 0; i < ACTORS; i++)
        actors[i] = child_start(actor_run, &i);
    for (unsigned i = 0; i < ACTORS; i++)
        done &= child_wait(actors[i], done ? 100000 : 1000) == 0;
    CHECK(done);
    munmap(all, sizeof *all);
}

static void put_one(unsigned actor, unsigned round)
{
    char key[16];

    snprintf(key, sizeof key, "key-%u", actor);
    must(choir_put(own, key, &round, sizeof round, NULL), "a put", round);
}

TEST(frames_that_come_while_answers_leave_are_not_slept_over)
{
    struct daemon d;

    daemon_init(&d, "puts");
    CHECK_OK(daemon_start(&d, NULL));
    all_act(put_one, PUT_ROUNDS);
    CHECK_EQ(daemon_stop(&d), 0);
}

static void open_again(unsigned actor, unsigned round)
{
    choir_close(&own);
    own_open(actor, round);
}

TEST(whoever_connects_while_others_come_and_go_is_let_in)
{
    struct daemon d;

    daemon_init(&d, "connections");
    CHECK_OK(daemon_start(&d, NULL));
    all_act(open_again, OPEN_ROUNDS);
    CHECK_EQ(daemon_stop(&d), 0);
}

static uint64_t large_send(unsigned actor, unsigned i)
{
    static char value[LARGE];
    struct choir_request *r = choir_request_new(own, "put");
    uint64_t request = 0;
    char key[32];

    snprintf(key, sizeof key, "large-%u-%u", actor, i);
    choir_request_text(r, "key", key);
    choir_request_slot(r, value, sizeof value, NULL);
    must(choir_send(own, &r, LARGE_WAIT_MS, &request), "sending", i);
    return request;
}

/* As many at once as there are, and none that comes later. */
static void put_large(unsigned actor, unsigned round)
{
    uint64_t requests[LARGE_PUTS];
    struct choir_event *e = NULL;

    for (unsigned i = 0; i < LARGE_PUTS; i++)
        requests[i] = large_send(actor, i);
    for (unsigned i = 0; i < LARGE_PUTS; i++) {
        must(choir_wait(own, requests[i], LARGE_WAIT_MS, &e), "an answer",
             round);
        must(choir_event_code(e), "a large put", round);
        choir_event_free(&e);
    }
}

static void slow_disk(void)
{
    char path[DAEMON_PATH];

    snprintf(path, sizeof path, "%s/preload/slow_disk.so",
             getenv("CHOIR_BUILD"));
    setenv("LD_PRELOAD", path, 1);
}

TEST(frames_left_outside_while_a_sync_must_end_are_taken_after_it)
{
    struct daemon d;

    if (test_patience() > 1)
        skip(); /* a preload and a sanitizer do not go together */
    daemon_init(&d, "outside");
    d.prepare = slow_disk;
    CHECK_OK(daemon_start(&d, NULL));
    all_act(put_large, 1);
    CHECK_EQ(daemon_stop(&d), 0);
}

CHECK_MAIN
