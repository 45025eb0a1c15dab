/* How many may be connected: the option, and what the system allows. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <choir.h>

#include "tests/check.h"
#include "tests/support/daemon.h"

enum { WAIT_MS = 10000, CONNECTIONS_MAX = 8, FILES_MAX = 200 };
enum { TIMER_KEEPALIVE = 2 }; /* of /proc/net/tcp */

static int connect_to(const struct daemon *d)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_port = htons((uint16_t)atoi(strrchr(d->url, ':') + 1));
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    CHECK_OK(connect(fd, (struct sockaddr *)&to, sizeof to));
    return fd;
}

static bool is_cut(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char junk[256];

    while (poll(&p, 1, ms) == 1) {
        if (read(fd, junk, sizeof junk) <= 0)
            return true;
    }
    return false;
}

static int open_as(const char *name, struct choir **c)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;

    o.name = name;
    o.timeout_ms = WAIT_MS;
    return choir_open(&o, c);
}

TEST(connections_over_connections_max_are_cut_and_the_others_served)
{
    int fds[CONNECTIONS_MAX];
    struct daemon d;
    struct choir *c;

    daemon_init(&d, "max");
    daemon_set(&d, "connections_max = 8");
    CHECK_OK(daemon_start(&d, NULL));
    CHECK_OK(open_as("ada", &c));
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        fds[i] = connect_to(&d);
    CHECK(is_cut(fds[CONNECTIONS_MAX - 1], WAIT_MS));
    CHECK_OK(choir_put(c, "still", "here", 4, NULL));
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        close(fds[i]);
    choir_close(&c);
    CHECK_OK(open_as("bob", &c)); /* there is room again */
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

/* What the kernel says of the connections to a port, both ends of them. */
static unsigned kept_alive(unsigned port)
{
    unsigned local, remote, state, timer, n = 0;
    FILE *f = fopen("/proc/net/tcp", "r");
    char line[512];

    CHECK(f != NULL);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%*d: %*x:%x %*x:%x %x %*x:%*x %x:", &local, &remote,
                   &state, &timer) != 4)
            continue;
        n += (local == port || remote == port) && state == TCP_ESTABLISHED &&
             timer == TIMER_KEEPALIVE;
    }
    fclose(f);
    return n;
}

/* A host that vanishes says nothing: the other's kernel has to ask. */
TEST(both_ends_ask_whether_the_other_is_there)
{
    uint64_t end = test_now_us() + WAIT_MS * 1000;
    struct daemon d;
    struct choir *c;
    unsigned port, kept;

    daemon_init(&d, "alive");
    CHECK_OK(daemon_start(&d, NULL));
    port = (unsigned)atoi(strrchr(d.url, ':') + 1);
    CHECK_OK(open_as("ada", &c));
    while ((kept = kept_alive(port)) < 2 && test_now_us() < end)
        usleep(1000);  /* until the last bytes were acknowledged */
    CHECK_EQ(kept, 2); /* looked at again, more may be on their way */
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

static void few_files(void)
{
    const struct rlimit few = {64, FILES_MAX};

    setrlimit(RLIMIT_NOFILE, &few);
}

TEST(limit_of_open_files_is_raised_as_far_as_may_be_and_said)
{
    struct daemon d;
    struct choir *c;
    int fds[FILES_MAX];

    daemon_init(&d, "files");
    d.prepare = few_files;
    CHECK_OK(daemon_start(&d, NULL));
    CHECK(daemon_said(&d, "event=connections_max"));
    CHECK(daemon_said(&d, "raise it with ulimit -n"));
    CHECK_OK(open_as("ada", &c));
    for (int i = 0; i < 100; i++) /* more than the soft limit */
        fds[i] = connect_to(&d);
    for (int i = 0; i < 100; i++)
        CHECK_NOT(is_cut(fds[i], 0));
    for (int i = 100; i < FILES_MAX; i++)
        fds[i] = connect_to(&d);
    CHECK(is_cut(fds[FILES_MAX - 1], WAIT_MS));
    CHECK_OK(choir_put(c, "still", "here", 4, NULL));
    for (int i = 0; i < FILES_MAX; i++)
        close(fds[i]);
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

CHECK_MAIN
