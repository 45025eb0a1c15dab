/* tests/bench/load: a benchmark that goes wrong ends with a message, leaves
 * nothing behind, and says what was done and what it cost when it does not. */
#include "tests/check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/load.h"

/* What a body tells the test. */
static struct told {
    struct load_result result;
    char dir[256];
} * told;

static int nothing = -1;

/* Start body in a process of its own, quietly. */
static pid_t started(void (*body)(void))
{
    pid_t pid;

    if (!told)
        told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(told, 0, sizeof *told);
    if (nothing < 0)
        nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fflush(NULL);
    pid = fork();
    if (pid)
        return pid;
    dup2(nothing, 2);
    body();
    exit(0);
}

/* Its exit status; -1 if it did not exit. */
static int status_of(void (*body)(void))
{
    int status;

    CHECK(waitpid(started(body), &status, 0) > 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void arguments(int n, ...)
{
    static char *argv[8];
    va_list list;

    va_start(list, n);
    for (int i = 0; i < n; i++)
        argv[i] = va_arg(list, char *);
    va_end(list);
    load_arguments(n, argv);
}

/* --- Bodies --------------------------------------------------------------- */

static const struct load_options quick = {
    .warm_s = 0.02, .measure_s = 0.1, .setup_s = 10};

static void run(load_main client, int clients, const pid_t *server,
                const struct load_options *options)
{
    struct load *l = load_new(options);

    for (int i = 0; i < clients; i++)
        load_spawn(l, client, NULL);
    load_run(l, server, server ? 1 : 0, &told->result);
    load_free(&l);
}

static void work(struct load_client *c, int number, void *argument)
{
    (void)number;
    (void)argument;
    load_client_ready(c);
    while (load_client_runs(c)) {
        uint64_t start = load_now_us();

        usleep(1000);
        load_client_done(c, start);
    }
}

static void one_ends(struct load_client *c, int number, void *argument)
{
    if (number == 1)
        load_client_ready(c);
    else
        work(c, number, argument);
}

static void one_crashes(struct load_client *c, int number, void *argument)
{
    if (number == 1)
        raise(SIGKILL);
    work(c, number, argument);
}

static void one_is_not_ready(struct load_client *c, int number, void *argument)
{
    if (number == 1)
        pause();
    work(c, number, argument);
}

static void one_does_not_stop(struct load_client *c, int number, void *argument)
{
    work(c, number, argument);
    if (number == 1)
        pause();
}

static void idle(struct load_client *c, int number, void *argument)
{
    (void)number;
    (void)argument;
    load_client_ready(c);
    while (load_client_runs(c))
        usleep(1000);
}

static void two_work(void)
{
    run(work, 2, NULL, &quick);
}

static void a_client_ends(void)
{
    run(one_ends, 2, NULL, &quick);
}

static void a_client_crashes(void)
{
    run(one_crashes, 2, NULL, &quick);
}

static void a_client_is_not_ready(void)
{
    run(one_is_not_ready, 2, NULL,
        &(struct load_options){.warm_s = 1, .measure_s = 1, .setup_s = 0.05});
}

static void a_client_does_not_stop(void)
{
    run(one_does_not_stop, 2, NULL,
        &(struct load_options){
            .warm_s = 0.02, .measure_s = 0.05, .stop_s = 0.05});
}

static void nothing_is_done(void)
{
    run(idle, 1, NULL, &quick);
}

static void dir_told(void)
{
    snprintf(told->dir, sizeof told->dir, "%s", load_dir(NULL));
}

static void a_server_ends(void)
{
    const char *const argv[] = {"sh", "-c", "exit 3", NULL};
    pid_t pid;

    dir_told();
    pid = load_server(told->dir, argv);
    run(work, 1, &pid, &quick);
}

static void a_server_never_listens(void)
{
    const char *const argv[] = {"sh", "-c", "exit 3", NULL};

    dir_told();
    load_server_wait(load_server(told->dir, argv), load_port());
}

static void a_command_fails(void)
{
    const char *const argv[] = {"sh", "-c", "exit 3", NULL};

    dir_told();
    load_command(told->dir, argv);
}

/* Its child is busy, itself it waits. */
static void a_server_is_busy(void)
{
    const char *const argv[] = {
        "sh", "-c", "sh -c 'while [ -d /proc/$PPID ]; do :; done'; :", NULL};
    pid_t pid;

    dir_told();
    pid = load_server(told->dir, argv);
    run(work, 1, &pid, &quick);
    load_server_stop(&pid);
}

static void killed_with_a_server(void)
{
    const char *const argv[] = {"sleep", "1000", NULL};

    dir_told();
    load_server(told->dir, argv);
    raise(SIGKILL);
}

static void no_work(void)
{
    arguments(1, "program");
}

static void an_argument_is_unknown(void)
{
    arguments(3, "program", "put", "colour=2");
    load_number("depth", 1);
    load_arguments_end();
}

static void an_argument_is_no_number(void)
{
    arguments(3, "program", "put", "depth=2x");
    load_number("depth", 1);
}

static void an_argument_is_negative(void)
{
    arguments(3, "program", "put", "depth=-2");
    load_number("depth", 1);
}

/* --- What is said --------------------------------------------------------- */

TEST(load_counts_and_times_what_clients_do)
{
    struct load_result *r;

    CHECK_EQ(status_of(two_work), 0);
    r = &told->result;
    CHECK(r->seconds >= 0.1);
    CHECK(r->operations > 0);
    CHECK(r->rate > 0);
    CHECK(r->p50_us >= 1000);
    CHECK(r->p50_us <= r->p90_us && r->p90_us <= r->p99_us);
    CHECK(r->p99_us <= r->p999_us && r->p999_us <= r->max_us);
    CHECK(r->client_cpu_s > 0);
    CHECK(r->server_cpu_s == 0);
}

TEST(load_counts_what_a_servers_children_cost)
{
    CHECK_EQ(status_of(a_server_is_busy), 0);
    CHECK(told->result.server_cpu_s > 0.001);
    CHECK(told->result.server_rss_kib > 0);
}

TEST(arguments_are_found_by_name)
{
    arguments(5, "program", "put", "depth=64", "seconds=0.5", "dir=here");
    CHECK_STR(load_work(), "put");
    CHECK_EQ(load_number("depth", 1), 64);
    CHECK_EQ(load_number("clients", 50), 50);
    CHECK_STR(load_text("dir", "there"), "here");
    CHECK(load_timing().measure_s == 0.5);
    CHECK(load_timing().warm_s == 1);
    load_arguments_end();
}

/* --- What is refused ------------------------------------------------------ */

TEST(load_dies_when_a_client_ends_early)
{
    CHECK_EQ(status_of(a_client_ends), 1);
}

TEST(load_dies_when_a_client_crashes)
{
    CHECK_EQ(status_of(a_client_crashes), 1);
}

TEST(load_dies_when_a_client_is_not_ready_in_time)
{
    CHECK_EQ(status_of(a_client_is_not_ready), 1);
}

TEST(load_dies_when_a_client_does_not_stop)
{
    CHECK_EQ(status_of(a_client_does_not_stop), 1);
}

TEST(load_dies_when_nothing_was_done)
{
    CHECK_EQ(status_of(nothing_is_done), 1);
}

TEST(load_dies_when_a_server_ends)
{
    CHECK_EQ(status_of(a_server_ends), 1);
    CHECK_EQ(status_of(a_server_never_listens), 1);
}

TEST(load_dies_when_a_command_fails)
{
    CHECK_EQ(status_of(a_command_fails), 1);
}

TEST(arguments_are_refused_unless_understood)
{
    CHECK_EQ(status_of(no_work), 1);
    CHECK_EQ(status_of(an_argument_is_unknown), 1);
    CHECK_EQ(status_of(an_argument_is_no_number), 1);
    CHECK_EQ(status_of(an_argument_is_negative), 1);
}

/* --- What is left --------------------------------------------------------- */

TEST(load_removes_its_directory)
{
    status_of(a_server_is_busy);
    CHECK(told->dir[0]);
    CHECK_EQ(access(told->dir, F_OK), -1);
    status_of(a_command_fails);
    CHECK_EQ(access(told->dir, F_OK), -1);
}

/* All that body started holds the writing end; who waits for its end waits for
 * all of them. */
TEST(load_leaves_nothing_when_it_is_killed)
{
    int fds[2], status;
    char byte;
    pid_t pid;

    CHECK_OK(pipe(fds));
    pid = started(killed_with_a_server);
    close(fds[1]);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(read(fds[0], &byte, 1), 0);
    close(fds[0]);
    CHECK_EQ(access(told->dir, F_OK), -1);
}

CHECK_MAIN
