/* Where the other side of a connection runs, and when that is said. */
#include "agent-sdk/connection_exchange.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/check.h"

enum { ENOUGH = 8 }; /* exchanges, until it is believed */

static struct {
    int ours, its;
} line;

static void line_open(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_OK(bind(listener, (struct sockaddr *)&a, n));
    CHECK_OK(listen(listener, 1));
    CHECK_OK(getsockname(listener, (struct sockaddr *)&a, &n));
    line.ours = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_OK(connect(line.ours, (struct sockaddr *)&a, n));
    line.its = accept(listener, NULL, NULL);
    close(listener);
}

static void line_close(void)
{
    close(line.ours);
    close(line.its);
}

static void bind_to(int core)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET((size_t)core, &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
}

/* An answer that is sent from the core this thread is on. */
static void hear(struct exchange *x)
{
    char c;

    CHECK_EQ(write(line.its, "a", 1), 1);
    CHECK_EQ(read(line.ours, &c, 1), 1);
    exchange_heard(x);
}

static void exchange_often(struct exchange *x)
{
    for (unsigned i = 0; i < ENOUGH; i++) {
        exchange_sent(x);
        hear(x);
    }
}

/* The first core this process may use, or the last one. */
static int core_at(bool last)
{
    cpu_set_t set;
    int found = -1;

    CHECK_OK(sched_getaffinity(0, sizeof set, &set));
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET((size_t)i, &set) && (last || found < 0))
            found = i;
    return found;
}

TEST(a_core_is_told_once_several_answers_came_from_it)
{
    struct exchange x;
    cpu_set_t all;
    int first = core_at(false), last = core_at(true);

    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    line_open();
    exchange_begin(&x, line.ours);
    CHECK_EQ(exchange_core(&x), -1);
    bind_to(first);
    exchange_sent(&x);
    hear(&x);
    exchange_sent(&x);
    CHECK_EQ(exchange_core(&x), -1);
    hear(&x);
    exchange_often(&x);
    CHECK_EQ(exchange_core(&x), -1); /* there is nothing to wait for */
    exchange_sent(&x);
    CHECK_EQ(exchange_core(&x), first);
    bind_to(last);
    hear(&x);
    exchange_sent(&x);
    CHECK_EQ(exchange_core(&x), first == last ? first : -1);
    hear(&x);
    exchange_often(&x);
    exchange_sent(&x);
    CHECK_EQ(exchange_core(&x), last);
    CHECK_OK(sched_setaffinity(0, sizeof all, &all));
    line_close();
}

/* On one core, from which so many answers came; returns where it was free to
 * be. */
static cpu_set_t alone_for_long(struct exchange *x)
{
    cpu_set_t all;

    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    line_open();
    bind_to(core_at(false));
    exchange_begin(x, line.ours);
    exchange_often(x);
    return all;
}

TEST(no_core_is_told_while_more_than_one_frame_is_under_way)
{
    struct exchange x;
    cpu_set_t all = alone_for_long(&x);

    hear(&x); /* a second answer to one frame, or an event, changes nothing */
    CHECK_EQ(exchange_core(&x), -1);
    exchange_sent(&x);
    CHECK(exchange_core(&x) >= 0);
    exchange_sent(&x);
    CHECK_EQ(exchange_core(&x), -1);
    hear(&x);
    exchange_sent(&x);
    CHECK_EQ(exchange_core(&x), -1);
    CHECK_OK(sched_setaffinity(0, sizeof all, &all));
    line_close();
}

TEST(no_core_is_told_right_after_answers_among_those_of_others)
{
    struct exchange x;
    cpu_set_t all = alone_for_long(&x);

    exchange_sent(&x);
    exchange_among(&x);
    exchange_sent(&x);
    CHECK_EQ(exchange_core(&x), -1);
    hear(&x);
    exchange_often(&x); /* alone again */
    exchange_sent(&x);
    CHECK(exchange_core(&x) >= 0);
    CHECK_OK(sched_setaffinity(0, sizeof all, &all));
    line_close();
}

TEST(no_core_is_told_of_what_is_no_line_to_this_host)
{
    struct exchange x;
    int pair[2];

    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    line_open();
    exchange_begin(&x, pair[0]);
    exchange_often(&x);
    exchange_sent(&x);
    CHECK_EQ(exchange_core(&x), -1);
    exchange_begin(&x, -1);
    exchange_often(&x);
    exchange_sent(&x);
    CHECK_EQ(exchange_core(&x), -1);
    exchange_begin(&x, line.ours);
    close(line.ours); /* libzmq has closed it, and it is not told yet */
    for (unsigned i = 0; i < ENOUGH; i++) {
        exchange_sent(&x);
        exchange_heard(&x);
    }
    exchange_sent(&x);
    CHECK_EQ(exchange_core(&x), -1);
    close(line.its);
    close(pair[0]);
    close(pair[1]);
}

CHECK_MAIN
