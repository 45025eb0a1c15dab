/* One thread that gives turns: who gets one, who does not any more, and how it
 * ends with the last of them. */
#include "agent-sdk/hub.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/check.h"

/* A seat whose turn empties an eventfd. */
struct guest {
    struct seat seat;
    pthread_mutex_t lock;
    pthread_cond_t turned;
    unsigned turns, again;
    unsigned readable; /* turns of which it was said */
    unsigned looks;    /* likewise */
    bool expects;      /* an answer, and nothing else */
    bool is_answered;  /* which is here */
    bool is_told;      /* of it */
    bool stops;        /* its turn lasts until `goes_on` */
    bool goes_on;
    pthread_t thread; /* that turned it */
    int policy;       /* of it, meanwhile */
};

static bool guest_turn(void *of, enum turn_for why)
{
    struct guest *g = of;
    uint64_t count;
    bool again;

    if (read(g->seat.fd, &count, sizeof count) < 0)
        count = 0;
    pthread_mutex_lock(&g->lock);
    g->turns++;
    g->readable += why == TURN_READABLE;
    g->looks += why == TURN_LOOK;
    g->thread = pthread_self();
    g->policy = sched_getscheduler(0);
    pthread_cond_broadcast(&g->turned);
    while (g->stops && !g->goes_on)
        pthread_cond_wait(&g->turned, &g->lock);
    again = g->again > 0;
    g->again -= again;
    if (g->expects) {
        g->expects = !g->is_answered;
        g->is_told = !hub_expects(
            &g->seat, g->expects ? EXPECTS_ANSWER : EXPECTS_OTHERWISE,
            g->is_answered);
    }
    pthread_mutex_unlock(&g->lock);
    return again;
}

static void wait_for_turns(struct guest *g, unsigned n)
{
    pthread_mutex_lock(&g->lock);
    while (g->turns < n)
        pthread_cond_wait(&g->turned, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

/* The first turn is over when it returns. */
static void guest_come(struct guest *g)
{
    *g = (struct guest){.lock = PTHREAD_MUTEX_INITIALIZER,
                        .turned = PTHREAD_COND_INITIALIZER};
    g->seat.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->seat.turn = guest_turn;
    g->seat.of = g;
    CHECK_OK(hub_join(&g->seat));
    wait_for_turns(g, 1);
}

static void guest_go(struct guest *g)
{
    hub_leave(&g->seat);
    close(g->seat.fd);
}

static unsigned turns_of(struct guest *g)
{
    unsigned n;

    pthread_mutex_lock(&g->lock);
    n = g->turns;
    pthread_mutex_unlock(&g->lock);
    return n;
}

static void poke(struct guest *g)
{
    uint64_t one = 1;

    CHECK_EQ(write(g->seat.fd, &one, sizeof one), sizeof one);
}

/* As a turn of its own: whatever became due before has had its turn then. */
static void settle(struct guest *g)
{
    unsigned n = turns_of(g);

    hub_due(&g->seat);
    wait_for_turns(g, n + 1);
}

TEST(whoever_joins_is_turned_and_again_when_its_descriptor_says_so)
{
    struct guest g;

    guest_come(&g);
    CHECK_EQ(g.readable, 0);
    poke(&g);
    wait_for_turns(&g, 2);
    CHECK_EQ(g.readable, 1);
    hub_due(&g.seat);
    wait_for_turns(&g, 3);
    guest_go(&g);
    CHECK_EQ(turns_of(&g), 3);
    CHECK_EQ(g.readable, 1);
}

TEST(one_thread_turns_all_of_them)
{
    enum { GUESTS = 100 };
    static struct guest guests[GUESTS];

    for (int i = 0; i < GUESTS; i++)
        guest_come(&guests[i]);
    for (int i = 0; i < GUESTS; i++)
        poke(&guests[i]);
    for (int i = 0; i < GUESTS; i++) {
        wait_for_turns(&guests[i], 2);
        CHECK(pthread_equal(guests[i].thread, guests[0].thread));
        CHECK_NOT(pthread_equal(guests[i].thread, pthread_self()));
    }
    for (int i = 0; i < GUESTS; i++)
        guest_go(&guests[i]);
}

TEST(one_that_is_always_due_leaves_turns_to_the_others)
{
    struct guest busy, other;

    guest_come(&busy);
    guest_come(&other);
    pthread_mutex_lock(&busy.lock);
    busy.again = UINT32_MAX;
    pthread_mutex_unlock(&busy.lock);
    hub_due(&busy.seat);
    for (unsigned i = 2; i < 100; i++) {
        poke(&other);
        wait_for_turns(&other, i);
    }
    guest_go(&busy); /* though it wants another turn */
    guest_go(&other);
}

TEST(what_is_not_looked_at_gets_turns_only_when_told)
{
    struct guest away, other;

    guest_come(&away);
    guest_come(&other);
    hub_watch(&away.seat, false);
    poke(&away);
    poke(&other);
    wait_for_turns(&other, 2);
    settle(&other);
    CHECK_EQ(turns_of(&away), 1);
    hub_due(&away.seat);
    wait_for_turns(&away, 2);
    poke(&away);
    hub_watch(&away.seat, true); /* what came meanwhile is seen */
    wait_for_turns(&away, 3);
    guest_go(&away);
    guest_go(&other);
}

static void *go_on_soon(void *guest)
{
    struct guest *g = guest;

    usleep(20000); /* time for hub_leave to begin; none is too little */
    pthread_mutex_lock(&g->lock);
    g->goes_on = true;
    pthread_cond_broadcast(&g->turned);
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* It has asked for something. */
static void ask(struct guest *g)
{
    pthread_mutex_lock(&g->lock);
    g->expects = true;
    g->is_answered = false;
    pthread_mutex_unlock(&g->lock);
    settle(g);
}

/* As libzmq does: whoever did not look in vain is not told. */
static void answer(struct guest *g)
{
    pthread_mutex_lock(&g->lock);
    g->is_answered = true;
    if (g->is_told)
        poke(g);
    pthread_mutex_unlock(&g->lock);
}

static void wait_for_answer(struct guest *g)
{
    pthread_mutex_lock(&g->lock);
    while (g->expects)
        pthread_cond_wait(&g->turned, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

enum { ASKERS = 3 };

static void askers_come(struct guest *guests)
{
    for (int i = 0; i < ASKERS; i++) {
        guest_come(&guests[i]);
        ask(&guests[i]);
    }
    CHECK(guests[0].is_told);
}

static void answer_others(struct guest *guests)
{
    for (int i = 1; i < ASKERS; i++)
        answer(&guests[i]);
}

static void hear_others(struct guest *guests)
{
    for (int i = 1; i < ASKERS; i++)
        wait_for_answer(&guests[i]);
}

static void askers_go(struct guest *guests)
{
    for (int i = 0; i < ASKERS; i++)
        guest_go(&guests[i]);
}

TEST(all_hear_their_answers_though_one_is_told)
{
    static struct guest guests[ASKERS];

    askers_come(guests);
    answer_others(guests);
    answer(&guests[0]);
    wait_for_answer(&guests[0]);
    hear_others(guests);
    CHECK_EQ(guests[0].looks, 0);
    askers_go(guests);
}

TEST(answers_that_overtake_the_first_one_s_are_found_in_time)
{
    static struct guest guests[ASKERS];

    askers_come(guests);
    answer_others(guests);
    hear_others(guests);
    askers_go(guests);
}

TEST(others_hear_their_answers_when_the_first_one_goes)
{
    static struct guest guests[ASKERS];

    askers_come(guests);
    answer_others(guests);
    guest_go(&guests[0]);
    hear_others(guests);
    guest_come(&guests[0]);
    askers_go(guests);
}

TEST(whoever_leaves_in_a_turn_is_not_expected_any_more)
{
    struct guest g, other;
    pthread_t t;

    guest_come(&other);
    guest_come(&g);
    pthread_mutex_lock(&g.lock);
    g.stops = g.expects = true;
    pthread_mutex_unlock(&g.lock);
    poke(&g);
    wait_for_turns(&g, 2);
    CHECK_OK(pthread_create(&t, NULL, go_on_soon, &g));
    hub_leave(&g.seat);
    CHECK_OK(pthread_join(t, NULL));
    close(g.seat.fd);
    ask(&other);
    CHECK(other.is_told);
    guest_go(&other);
}

TEST(others_hear_their_answers_when_the_first_one_is_not_looked_at)
{
    static struct guest guests[ASKERS];

    askers_come(guests);
    answer_others(guests);
    hub_watch(&guests[0].seat, false);
    hear_others(guests);
    askers_go(guests);
}

static int policy_of(struct guest *g)
{
    int policy;

    pthread_mutex_lock(&g->lock);
    policy = g->policy;
    pthread_mutex_unlock(&g->lock);
    return policy;
}

static void poke_all(struct guest *guests, unsigned n)
{
    unsigned turns[16];

    for (unsigned i = 0; i < n; i++) {
        turns[i] = turns_of(&guests[i]);
        poke(&guests[i]);
    }
    for (unsigned i = 0; i < n; i++)
        wait_for_turns(&guests[i], turns[i] + 1);
}

TEST(while_many_are_due_together_it_interrupts_nobody)
{
    enum { GUESTS = 16 };
    static struct guest guests[GUESTS];

    for (int i = 0; i < GUESTS; i++)
        guest_come(&guests[i]);
    CHECK_EQ(policy_of(&guests[0]), SCHED_OTHER);
    while (policy_of(&guests[0]) != SCHED_BATCH)
        poke_all(guests, GUESTS);
    while (policy_of(&guests[0]) != SCHED_OTHER)
        settle(&guests[0]);
    for (int i = 0; i < GUESTS; i++)
        guest_go(&guests[i]);
}

TEST(whoever_leaves_waits_for_the_turn_under_way_and_gets_no_other)
{
    struct guest g, other; /* who keeps the hub */
    pthread_t t;

    guest_come(&other);
    guest_come(&g);
    pthread_mutex_lock(&g.lock);
    g.stops = true;
    g.again = 5;
    pthread_mutex_unlock(&g.lock);
    poke(&g);
    wait_for_turns(&g, 2);
    CHECK_OK(pthread_create(&t, NULL, go_on_soon, &g));
    hub_leave(&g.seat);
    pthread_mutex_lock(&g.lock);
    CHECK(g.goes_on);
    pthread_mutex_unlock(&g.lock);
    CHECK_OK(pthread_join(t, NULL));
    settle(&other);
    CHECK_EQ(turns_of(&g), 2);
    close(g.seat.fd);
    guest_go(&other);
}

static void *come_and_go(void *rounds)
{
    struct guest g;

    for (int i = *(const int *)rounds; i > 0; i--) {
        guest_come(&g);
        poke(&g);
        if (i % 2)
            wait_for_turns(&g, 2);
        guest_go(&g);
    }
    return NULL;
}

/* The last one goes while another comes, again and again. */
TEST(hubs_end_and_begin_while_many_come_and_go)
{
    enum { THREADS = 4 };
    int rounds = 300;
    pthread_t t[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_OK(pthread_create(&t[i], NULL, come_and_go, &rounds));
    for (int i = 0; i < THREADS; i++)
        CHECK_OK(pthread_join(t[i], NULL));
}

CHECK_MAIN
