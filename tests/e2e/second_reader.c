/* A record made by a real choird and real agents, killed and stopped, is read
 * whole by the second reader (tests/reader), which shares no code with it. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <choir.h>

#include "tests/check.h"

static char data_dir[300];
static char url[300] = "tcp://127.0.0.1:*"; /* then the one it got */

static pid_t broker_start(void)
{
    char text[4096] = "";
    int fds[2];
    pid_t pid;
    FILE *log;

    CHECK_OK(pipe(fds));
    pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
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
    CHECK(strstr(text, "event=ready") != NULL);
    return pid; /* its log stays open, read by nobody, and small */
}

static void broker_stop(pid_t pid, int signal_number)
{
    int status;

    kill(pid, signal_number);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    if (signal_number == SIGTERM)
        CHECK_EQ(status, 0);
}

static struct choir *agent(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c = NULL;

    o.name = name;
    o.data_dir = data_dir;
    o.timeout_ms = 5000;
    if (choir_open(&o, &c))
        fail_msg("%s: %s", name, choir_error_text());
    return c;
}

/* Writes, a conflict, a delete, a task completed with a write. */
static void work(void)
{
    struct choir *ada = agent("ada"), *bob = agent("bob");
    struct choir_event *task, *e;
    struct choir_request *r;
    uint64_t id, revision;
    char key[32];

    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "notes/%d", i % 7);
        CHECK_OK(choir_put(i % 2 ? ada : bob, key, key, 5, &revision));
    }
    CHECK_REFUSED(choir_put_if(bob, key, "late", 4, 1, &revision),
                  CHOIR_CONFLICT);
    CHECK_OK(choir_delete(bob, key, 0, NULL));
    CHECK_OK(choir_submit(ada, "jobs", "do it", 5, &id));
    CHECK_OK(choir_work(bob, "jobs", 5000, &task));
    r = choir_complete_new(bob, task, "done", 4);
    choir_txn_put(r, "result", "value", 5);
    CHECK_OK(choir_commit(bob, &r, &revision));
    CHECK_OK(choir_result(ada, id, 5000, &e));
    choir_event_free(&e);
    choir_event_free(&task);
    choir_close(&ada);
    choir_close(&bob);
}

/* Does the reader accept the directory, and say this of it? */
static void reader_says(const char *word)
{
    char command[700], said[2048];
    size_t n;
    FILE *f;

    snprintf(command, sizeof command, "node tests/reader/verify.mjs '%s' 2>&1",
             data_dir);
    f = popen(command, "r");
    n = fread(said, 1, sizeof said - 1, f);
    said[n] = 0;
    if (pclose(f) != 0 || !strstr(said, word))
        fail_msg("%s", said);
}

TEST(second_reader_reads_what_choird_wrote_killed_or_stopped)
{
    pid_t broker;

    snprintf(data_dir, sizeof data_dir, "%s/data", getenv("CHOIR_TMP"));
    broker = broker_start();
    work();
    broker_stop(broker, SIGKILL);
    reader_says("\nnot sealed");
    broker = broker_start();
    work();
    broker_stop(broker, SIGTERM);
    reader_says("\nsealed");
}

CHECK_MAIN
