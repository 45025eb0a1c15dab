/* The straight path: a real choird, real sockets, agents that join, write,
 * read, watch, submit, work and complete. */
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <choir.h>

#include "tests/check.h"

static char data_dir[300];
static char url[300] = "tcp://127.0.0.1:*"; /* then the one it got */
static pid_t broker;

static pid_t broker_start(void)
{
    int fds[2];
    pid_t pid;
    char text[4096] = "";
    FILE *log;

    if (pipe(fds))
        abort();
    pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        execlp("choird", "choird", "--data", data_dir, "--listen", url, NULL);
        _exit(127);
    }
    close(fds[1]);
    log = fdopen(fds[0], "r");
    while (!strstr(text, "event=ready") && fgets(text, sizeof text, log)) {
        char *at = strstr(text, "url=");

        if (at)
            sscanf(at, "url=%299s", url);
    }
    if (!strstr(text, "event=ready")) {
        fprintf(stderr, "choird did not start: %s\n", text);
        abort();
    }
    return pid; /* its log is read by nobody, and small */
}

static int broker_stop(pid_t pid, int signal_number)
{
    int status;

    kill(pid, signal_number);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static struct choir *agent(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c = NULL;
    int r;

    o.name = name;
    o.data_dir = data_dir;
    o.timeout_ms = 5000;
    r = choir_open(&o, &c);
    if (r) {
        fprintf(stderr, "choir_open as %s: %d %s\n", name, r,
                choir_error_text());
        abort();
    }
    return c;
}

static void check_value(const struct choir_event *e, const char *wanted)
{
    size_t n;
    const void *p = choir_event_value(e, &n);

    assert_non_null(p);
    CHECK_EQ(n, strlen(wanted));
    CHECK_MEM(p, wanted, n);
}

TEST(agent_writes_and_another_reads)
{
    struct choir *ada = agent("ada"), *bob = agent("bob");
    struct choir_event *e;
    uint64_t first, second;

    CHECK_OK(choir_put(ada, "plan", "one", 3, &first));
    CHECK_OK(choir_get(bob, "plan", 0, &e));
    check_value(e, "one");
    CHECK_EQ(choir_event_uint(e, "revision"), first);
    CHECK_STR(choir_event_text(e, "agent"), choir_agent_id(ada));
    choir_event_free(&e);
    CHECK_OK(choir_put_if(bob, "plan", "two", 3, first, &second));
    CHECK_REFUSED(choir_put_if(ada, "plan", "three", 5, first, &second),
                  CHOIR_CONFLICT);
    CHECK_OK(choir_get(ada, "plan", first, &e));
    check_value(e, "one");
    choir_event_free(&e);
    CHECK_OK(choir_list(ada, "", NULL, 0, &e));
    CHECK_EQ(choir_event_count(e, "items"), 1);
    choir_event_free(&e);
    CHECK_OK(choir_log(ada, "plan", 0, &e));
    CHECK_EQ(choir_event_count(e, "items"), 2);
    choir_event_free(&e);
    CHECK_OK(choir_delete(bob, "plan", 0, NULL));
    CHECK_REFUSED(choir_get(ada, "plan", 0, &e), CHOIR_NOT_FOUND);
    choir_close(&ada);
    choir_close(&bob);
}

TEST(task_goes_from_submitter_to_worker_and_back)
{
    struct choir *ada = agent("ada"), *bob = agent("bob");
    struct choir_event *task, *e;
    struct choir_request *r;
    uint64_t id, revision;

    CHECK_OK(choir_submit(ada, "jobs", "do it", 5, &id));
    CHECK_OK(choir_work(bob, "jobs", 5000, &task));
    check_value(task, "do it");
    CHECK_EQ(choir_event_uint(task, "task"), id);
    CHECK_OK(choir_progress(bob, task, "half", 4));
    r = choir_complete_new(bob, task, "done", 4);
    choir_txn_put(r, "result/1", "value", 5);
    CHECK_OK(choir_commit(bob, &r, &revision));
    CHECK_OK(choir_result(ada, id, 5000, &e));
    CHECK_EQ(choir_event_uint(e, "state"), CHOIR_TASK_COMPLETED);
    check_value(e, "done");
    choir_event_free(&e);
    CHECK_OK(choir_get(ada, "result/1", 0, &e));
    CHECK_EQ(choir_event_uint(e, "revision"), revision);
    CHECK_EQ(choir_event_uint(e, "task"), id);
    choir_event_free(&e);
    choir_event_free(&task);
    choir_close(&ada);
    choir_close(&bob);
}

TEST(watch_sees_every_change_once_across_a_broker_restart)
{
    struct choir *ada = agent("ada"), *bob = agent("bob");
    struct choir_event *e;
    uint64_t watch, revision;
    char key[32];
    unsigned seen = 0;

    CHECK_OK(choir_watch(bob, "w/", 0, &watch));
    for (int i = 0; i < 20; i++) {
        if (i == 10) {
            CHECK_EQ(broker_stop(broker, SIGKILL), 128 + SIGKILL);
            broker = broker_start();
        }
        snprintf(key, sizeof key, "w/%d", i);
        CHECK_OK(choir_put(ada, key, key, strlen(key), &revision));
    }
    while (seen < 10 && choir_wait(bob, watch, 3000, &e) == 0) {
        if (strcmp(choir_event_name(e), "change") == 0)
            seen++;
        choir_event_free(&e);
    }
    CHECK_EQ(seen, 10);
    choir_close(&ada);
    choir_close(&bob);
}

/* Enrolling takes other ways than a session does, and hung here once. */
TEST(agent_that_comes_before_the_broker_waits_for_it)
{
    int status;
    pid_t early;

    broker_stop(broker, SIGKILL);
    early = fork();
    if (early == 0) {
        struct choir *c = agent("early");

        choir_close(&c);
        _exit(0);
    }
    poll(NULL, 0, 1000); /* let it be refused a few times */
    CHECK_EQ(waitpid(early, &status, WNOHANG), 0);
    broker = broker_start();
    CHECK_EQ(waitpid(early, &status, 0), early);
    CHECK_EQ(status, 0);
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("CHOIR_TMP");
    int r;

    (void)argc;
    (void)argv;
    snprintf(data_dir, sizeof data_dir, "%s/data", tmp ? tmp : ".");
    broker = broker_start();
    r = _cmocka_run_group_tests("straight_path", check_tests, check_count, NULL,
                                NULL);
    if (broker_stop(broker, SIGTERM) != 0) {
        fprintf(stderr, "choird did not stop cleanly\n");
        r++;
    }
    return r != 0;
}
