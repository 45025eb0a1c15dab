/* A full disk stops writing and nothing else; a disk that fails stops the
 * daemon; neither costs anything that was acknowledged. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-sdk/choir.h"
#include "tests/check.h"
#include "tests/support/daemon.h"

enum { VALUE_BYTES = 8000, WAIT_MS = 20000, WRITES_MAX = 4000 };

static struct daemon d;
static struct choir *c;

static void begin(const char *name)
{
    daemon_init(&d, name);
    daemon_set(&d, "value_bytes_max = 16KiB");
    daemon_set(&d, "bundle_bytes_max = 64KiB");
    daemon_set(&d, "segment_bytes = 256KiB");
    daemon_set(&d, "checkpoint_entries = 1000");
    CHECK_OK(mkdir(d.data, 0700));
}

static void join(void)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;

    o.name = "filler";
    o.timeout_ms = WAIT_MS;
    if (choir_open(&o, &c)) {
        fprintf(stderr, "open: %s\n", choir_error_text());
        exit(1);
    }
}

static int write_one(uint64_t i)
{
    char key[32], value[VALUE_BYTES];

    snprintf(key, sizeof key, "k%" PRIu64, i);
    memset(value, 'a' + (int)(i % 26), sizeof value);
    return choir_put(c, key, value, sizeof value, NULL);
}

static void check_one(uint64_t i)
{
    struct choir_event *e = NULL;
    char key[32];
    const char *value;
    size_t bytes;

    snprintf(key, sizeof key, "k%" PRIu64, i);
    if (choir_get(c, key, 0, &e))
        fail_msg("%s was acknowledged: %s", key, choir_error_text());
    value = choir_event_value(e, &bytes);
    CHECK_EQ(bytes, VALUE_BYTES);
    CHECK_EQ(value[VALUE_BYTES - 1], 'a' + (int)(i % 26));
    choir_event_free(&e);
}

/* How many were taken until the first refusal, which *code becomes. */
static uint64_t fill(int *code)
{
    for (uint64_t i = 0; i < WRITES_MAX; i++) {
        *code = write_one(i);
        if (*code)
            return i;
    }
    *code = 0;
    return WRITES_MAX;
}

static void ballast(const char *path, off_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_OK(posix_fallocate(fd, 0, bytes));
    close(fd);
}

/* A mount of our own namespace: gone with this process. */
static bool small_disk(const char *at)
{
    return !unshare(CLONE_NEWNS) &&
           !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
           !mount("tmpfs", at, "tmpfs", 0, "size=12m,mode=0700");
}

TEST(a_full_disk_stops_writing_only_and_only_while_it_is_full)
{
    char path[DAEMON_PATH + 16];
    uint64_t n;
    int code;

    begin("full");
    if (!small_disk(d.data)) {
        printf("skipped: mounting a small disk takes root\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/ballast", d.data);
    ballast(path, 8 << 20);
    CHECK_OK(daemon_start(&d, NULL));
    join();
    n = fill(&code);
    printf("%" PRIu64 " writes, then: %s\n", n, choir_error_text());
    CHECK_EQ(code, CHOIR_READ_ONLY);
    CHECK(n > 0);
    for (uint64_t i = 0; i < n; i++)
        check_one(i);
    CHECK_EQ(write_one(n), CHOIR_READ_ONLY);
    CHECK_OK(unlink(path));
    for (int tries = 0; (code = write_one(n)) == CHOIR_READ_ONLY; tries++) {
        CHECK(tries < 1000);
        usleep(10000);
    }
    CHECK_EQ(code, 0);
    daemon_kill(&d);
    CHECK_OK(daemon_start(&d, NULL));
    for (uint64_t i = 0; i <= n; i++)
        check_one(i);
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

/* Writes until it is told to stop. Tells when the first one was acknowledged,
 * and at the end how many were. */
static int write_on(void *arg)
{
    const int *told = arg;
    struct sigaction on_stop = {.sa_handler = stop};
    uint64_t n = 0;

    sigaction(SIGTERM, &on_stop, NULL);
    join();
    for (; !stopping && n < WRITES_MAX; n++)
        if (write_one(n)) {
            fprintf(stderr, "write %" PRIu64 ": %s\n", n, choir_error_text());
            return 1;
        } else if (n == 0 && write(told[1], &n, sizeof n) != sizeof n) {
            return 1;
        }
    choir_close(&c);
    return write(told[1], &n, sizeof n) == sizeof n ? 0 : 1;
}

/* Kept by what is executed. */
static void take_no_signal(void)
{
    signal(SIGXFSZ, SIG_IGN);
}

/* From now on its writes beyond that fail. What it writes to is longer and
 * allocated already, so it is writing, and not making room, that fails. */
static void let_writes_fail(void)
{
    struct rlimit limit = {4 << 10, 4 << 10};

    CHECK_OK(prlimit(d.pid, RLIMIT_FSIZE, &limit, NULL));
}

/* A write that fails is not a full disk: nobody knows what is on it now. The
 * daemon ends with an error and goes on from what it finds. */
TEST(a_disk_that_fails_stops_the_daemon_and_costs_nothing)
{
    int status = 0, told[2];
    uint64_t n = 0;
    pid_t child;

    begin("failing");
    CHECK_OK(pipe(told));
    d.prepare = take_no_signal;
    CHECK_OK(daemon_start(&d, NULL));
    child = child_start(write_on, told);
    CHECK_EQ(read(told[0], &n, sizeof n), sizeof n); /* it has begun */
    let_writes_fail();
    CHECK(daemon_ended(&d, WAIT_MS * test_patience(), &status));
    CHECK(WIFEXITED(status));
    CHECK_NE(WEXITSTATUS(status), 0);
    CHECK_OK(daemon_start(&d, NULL));
    CHECK_OK(kill(child, SIGTERM));
    CHECK_EQ(child_wait(child, WAIT_MS), 0);
    CHECK_EQ(read(told[0], &n, sizeof n), sizeof n);
    printf("%" PRIu64 " writes\n", n);
    join();
    for (uint64_t i = 0; i < n; i++)
        check_one(i);
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

CHECK_MAIN
