/* Processes of end-to-end tests; see daemon.h. */
#include "tests/support/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_MS = 20000, STOP_MS = 20000, LOG_BYTES = 1 << 20 };

static void must(bool done, const char *what)
{
    if (done)
        return;
    fprintf(stderr, "test set-up: %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((format(printf, 2, 3))) static void path_set(
    char path[DAEMON_PATH], const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(path, DAEMON_PATH, format, args);
    va_end(args);
    must(n > 0 && n < DAEMON_PATH, "path too long");
}

const char *test_dir(void)
{
    static char made[] = "/tmp/choir-test-XXXXXX";
    const char *given = getenv("CHOIR_TMP");

    if (given)
        return given;
    must(mkdtemp(made), "mkdtemp");
    fprintf(stderr, "files of this test: %s\n", made);
    must(!setenv("CHOIR_TMP", made, 1), "setenv");
    return made;
}

int test_patience(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 6;
#else
    return 1;
#endif
}

uint64_t test_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static const char *build_dir(void)
{
    const char *given = getenv("CHOIR_BUILD");

    return given ? given : "build";
}

/* --- Any process ---------------------------------------------------------- */

/* What was started belongs to the test: it ends when the test does. */
static void belong_to(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
}

pid_t child_start(int (*fn)(void *arg), void *arg)
{
    pid_t parent = getpid(), pid = fork();

    must(pid >= 0, "fork");
    if (pid)
        return pid;
    belong_to(parent);
    exit(fn(arg));
}

/* Has it ended within that time? It is then reaped. */
static bool ended(pid_t pid, int timeout_ms, int *status)
{
    struct pollfd p = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    bool yes;

    must(p.fd >= 0, "pidfd_open");
    while (poll(&p, 1, timeout_ms) < 0 && errno == EINTR)
        ;
    yes = waitpid(pid, status, WNOHANG) == pid;
    close(p.fd);
    return yes;
}

static int exit_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_wait(pid_t pid, int timeout_ms)
{
    int status;

    return ended(pid, timeout_ms * test_patience(), &status) ? exit_code(status)
                                                             : -1;
}

bool program_exists(const char *program)
{
    char path[DAEMON_PATH];

    path_set(path, "%s/%s", build_dir(), program);
    return access(path, X_OK) == 0;
}

int program_run(const char *program, const char *const args[])
{
    char path[DAEMON_PATH];
    pid_t parent = getpid(), pid;
    int status;

    path_set(path, "%s/%s", build_dir(), program);
    if (access(path, X_OK))
        return -1;
    pid = fork();
    must(pid >= 0, "fork");
    if (!pid) {
        int null = open("/dev/null", O_RDWR);

        belong_to(parent);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execv(path, (char *const *)(uintptr_t)args);
        _exit(127);
    }
    if (!ended(pid, STOP_MS * test_patience(), &status)) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    return exit_code(status);
}

/* --- choird --------------------------------------------------------------- */

/* Below the ports that the kernel gives to connections, so that it stays free
 * while the daemon is down; different ones for tests that run together. */
static unsigned port_free(void)
{
    static unsigned next;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    for (next = next ? next + 1 : (unsigned)getpid() * 31;; next++) {
        unsigned port = 10000 + next % 20000;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        a.sin_port = htons((uint16_t)port);
        r = bind(fd, (struct sockaddr *)&a, sizeof a);
        close(fd);
        if (!r)
            return port;
        must(errno == EADDRINUSE, "bind");
    }
}

void daemon_init(struct daemon *d, const char *name)
{
    char line[DAEMON_PATH + 32], config[DAEMON_PATH];

    *d = (struct daemon){.program = "choird"};
    path_set(d->dir, "%s/%s", test_dir(), name);
    path_set(d->data, "%s/data", d->dir);
    path_set(d->conf, "%s/choird.conf", d->dir);
    path_set(d->log, "%s/log", d->dir);
    path_set(d->url, "tcp://127.0.0.1:%u", port_free());
    path_set(config, "%s/identities", test_dir());
    must(!mkdir(d->dir, 0700), d->dir);
    must(!setenv("CHOIR_CONFIG", config, 1), "setenv");
    must(!setenv("CHOIR_URL", d->url, 1), "setenv");
    must(!setenv("CHOIR_DATA", d->data, 1), "setenv");
    snprintf(line, sizeof line, "data = \"%s\"", d->data);
    daemon_set(d, line);
    snprintf(line, sizeof line, "run_dir = \"%s\"", d->dir);
    daemon_set(d, line);
    snprintf(line, sizeof line, "listen = \"%s\"", d->url);
    daemon_set(d, line);
}

void daemon_set(struct daemon *d, const char *line)
{
    FILE *f = fopen(d->conf, "ae");

    must(f, d->conf);
    fprintf(f, "%s\n", line);
    must(!fclose(f), d->conf);
}

static void run(const struct daemon *d, const char *failpoint, pid_t parent)
{
    char path[DAEMON_PATH];
    int log = open(d->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);

    belong_to(parent);
    path_set(path, "%s/%s", build_dir(), d->program);
    if (failpoint)
        setenv("CHOIR_FAILPOINT", failpoint, 1);
    else
        unsetenv("CHOIR_FAILPOINT");
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    if (d->prepare)
        d->prepare();
    execl(path, path, "-c", d->conf, (char *)NULL);
    fprintf(stderr, "cannot run %s: %s\n", path, strerror(errno));
    _exit(127);
}

bool daemon_said(const struct daemon *d, const char *text)
{
    char *log = calloc(1, LOG_BYTES);
    int fd = open(d->log, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 && log ? read(fd, log, LOG_BYTES - 1) : -1;
    bool said = n > 0 && strstr(log, text);

    if (fd >= 0)
        close(fd);
    free(log);
    return said;
}

/* What it said before it ended, for whoever reads the test's log. */
static void log_show(const struct daemon *d)
{
    FILE *f = fopen(d->log, "re");
    char line[1024];

    while (f && fgets(line, sizeof line, f))
        fprintf(stderr, "choird: %s", line);
    if (f)
        fclose(f);
}

/* Either the log grows or the process ends; nothing else happens here. */
static int wait_ready(struct daemon *d, int log)
{
    struct pollfd p[2] = {{.fd = log, .events = POLLIN},
                          {.fd = pidfd_open(d->pid, 0), .events = POLLIN}};
    uint64_t end =
        test_now_us() + 1000 * (uint64_t)START_MS * (uint64_t)test_patience();
    char events[4096];
    int status = -ETIMEDOUT;

    must(p[1].fd >= 0, "pidfd_open");
    while (test_now_us() < end) {
        if (daemon_said(d, "event=ready")) {
            status = 0;
            break;
        }
        if (daemon_ended(d, 0, &status)) {
            log_show(d);
            break;
        }
        poll(p, 2, 100);
        while (read(log, events, sizeof events) > 0)
            ;
    }
    close(p[1].fd);
    return status;
}

int daemon_start(struct daemon *d, const char *failpoint)
{
    pid_t parent = getpid();
    int log = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), status;
    int made = open(d->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    must(made >= 0 && !close(made), d->log);
    must(log >= 0 && inotify_add_watch(log, d->log, IN_MODIFY) >= 0, "inotify");
    d->pid = fork();
    must(d->pid >= 0, "fork");
    if (!d->pid)
        run(d, failpoint, parent);
    status = wait_ready(d, log);
    close(log);
    return status;
}

bool daemon_ended(struct daemon *d, int timeout_ms, int *status)
{
    if (!ended(d->pid, timeout_ms, status))
        return false;
    d->pid = 0;
    return true;
}

void daemon_kill(struct daemon *d)
{
    int status;

    if (!d->pid)
        return;
    kill(d->pid, SIGKILL);
    waitpid(d->pid, &status, 0);
    d->pid = 0;
}

int daemon_stop(struct daemon *d)
{
    int status;

    kill(d->pid, SIGTERM);
    if (daemon_ended(d, STOP_MS * test_patience(), &status))
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    daemon_kill(d);
    return -1;
}

/* --- Directories ---------------------------------------------------------- */

static void shell(const char *format, const char *a, const char *b)
{
    char command[3 * DAEMON_PATH];

    snprintf(command, sizeof command, format, a, b);
    must(!system(command), command);
}

void dir_copy(const char *from, const char *to)
{
    shell("cp -a '%s' '%s'", from, to);
}

void dir_remove(const char *path)
{
    shell("rm -rf '%s' '%s'", path, path);
}
