/* The processes of a load: how they are started, watched and ended, where they
 * keep their files, and what they cost. */
#include "tests/bench/load_process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/load.h"

enum { SERVER_STOP_US = 20 * 1000000, LISTEN_US = 60 * 1000000 };
enum { TICK_US = 10000, PROCESSES_MAX = 4096 };

static pid_t servers[LOAD_SERVERS_MAX]; /* that run, of this process */
static const char *log_dir;             /* of the last server */
static int janitor_pipe = -1;
static pid_t janitor_pid;
static bool child; /* this process is one */

void process_log_tail(void)
{
    char text[2048], path[512];
    ssize_t n;
    int fd;

    if (!log_dir)
        return;
    snprintf(path, sizeof path, "%s/log", log_dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    lseek(fd, -(off_t)sizeof text, SEEK_END); /* fails if shorter: from 0 */
    n = read(fd, text, sizeof text);
    if (n > 0)
        fprintf(stderr, "its log ends:\n%.*s\n", (int)n, text);
    close(fd);
}

void process_pause(uint64_t us)
{
    struct timespec t = {.tv_sec = (time_t)(us / 1000000),
                         .tv_nsec = (long)(us % 1000000) * 1000};

    nanosleep(&t, NULL);
}

/* --- Processes ------------------------------------------------------------ */

static void stop_servers(void)
{
    for (int i = 0; i < LOAD_SERVERS_MAX; i++)
        load_server_stop(&servers[i]);
}

pid_t process_fork(void)
{
    static bool registered;
    pid_t parent = getpid(), pid;

    if (!registered)
        atexit(stop_servers);
    registered = true;
    fflush(NULL);
    pid = fork();
    if (pid < 0)
        load_die("fork: %s", strerror(errno));
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    close(janitor_pipe);
    child = true;
    return 0;
}

bool process_is_child(void)
{
    return child;
}

static void exec_logged(const char *dir, const char *const argv[])
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/log", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || chdir(dir))
        _exit(126);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static pid_t server_keep(pid_t pid)
{
    for (int i = 0; i < LOAD_SERVERS_MAX; i++) {
        if (!servers[i])
            return servers[i] = pid;
    }
    kill(pid, SIGKILL);
    load_die("more than %d servers", LOAD_SERVERS_MAX);
}

pid_t load_server(const char *dir, const char *const argv[])
{
    pid_t pid = process_fork();

    if (!pid)
        exec_logged(dir, argv);
    log_dir = dir;
    return server_keep(pid);
}

pid_t load_server_fork(void (*run)(void *argument), void *argument)
{
    pid_t pid = process_fork();

    if (pid)
        return server_keep(pid);
    run(argument);
    _exit(0);
}

static void forget(pid_t pid)
{
    for (int i = 0; i < LOAD_SERVERS_MAX; i++) {
        if (servers[i] == pid)
            servers[i] = 0;
    }
}

void process_was_server(pid_t pid, int status)
{
    for (int i = 0; i < LOAD_SERVERS_MAX; i++) {
        if (servers[i] != pid)
            continue;
        servers[i] = 0;
        load_die("the server has ended (status %#x)", (unsigned)status);
    }
}

void load_server_stop(pid_t *pid)
{
    uint64_t end = load_now_us() + SERVER_STOP_US;
    pid_t wanted = *pid, got;

    if (wanted <= 0)
        return;
    kill(wanted, SIGTERM);
    while (!(got = waitpid(wanted, NULL, WNOHANG)) && load_now_us() < end)
        process_pause(TICK_US);
    if (!got) {
        kill(wanted, SIGKILL);
        waitpid(wanted, NULL, 0);
    }
    forget(wanted);
    *pid = 0;
}

static void wait_success(pid_t pid, const char *what)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || status)
        load_die("%s failed", what);
}

void load_command(const char *dir, const char *const argv[])
{
    pid_t pid = process_fork();

    if (!pid)
        exec_logged(dir, argv);
    log_dir = dir;
    wait_success(pid, argv[0]);
}

void load_apart(void (*run)(void *argument), void *argument)
{
    pid_t pid = process_fork();

    if (!pid) {
        run(argument);
        _exit(0);
    }
    wait_success(pid, "setting up");
}

/* --- Ports and directories ------------------------------------------------ */

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

int load_port(void)
{
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) ||
        getsockname(fd, (struct sockaddr *)&a, &n))
        load_die("no free port: %s", strerror(errno));
    close(fd);
    return ntohs(a.sin_port);
}

void load_server_wait(pid_t pid, int port)
{
    uint64_t end = load_now_us() + LISTEN_US;
    struct sockaddr_in a = loopback(port);

    for (bool open = false; !open; process_pause(TICK_US)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (waitpid(pid, NULL, WNOHANG) == pid) {
            forget(pid);
            load_die("the server has ended before it listened");
        }
        if (load_now_us() > end)
            load_die("the server does not listen on port %d", port);
        open = fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof a);
        close(fd);
    }
}

/* Removes the directory once the parent, which alone holds the other end of the
 * pipe, has ended, however it did. Then its servers and clients die too, but
 * may still write: so it tries again. */
static void janitor(int pipe_fd, const char *dir)
{
    char command[512], nothing;

    setsid();
    while (read(pipe_fd, &nothing, 1) < 0 && errno == EINTR)
        ;
    snprintf(command, sizeof command,
             "for i in 1 2 3 4 5; do rm -rf '%s' 2>/dev/null && exit;"
             " sleep 1; done",
             dir);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(1);
}

static void janitor_wait(void)
{
    close(janitor_pipe);
    waitpid(janitor_pid, NULL, 0);
}

const char *load_dir(const char *parent)
{
    static char path[256];
    int fds[2];

    if (!parent)
        parent = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    if (janitor_pid || strchr(parent, '\'') ||
        snprintf(path, sizeof path, "%s/choir-bench-XXXXXX", parent) >=
            (int)sizeof path ||
        !mkdtemp(path) || pipe2(fds, O_CLOEXEC))
        load_die("no directory in %s: %s", parent, strerror(errno));
    fflush(NULL);
    janitor_pid = fork();
    if (!janitor_pid) {
        close(fds[1]);
        janitor(fds[0], path);
    }
    close(fds[0]);
    janitor_pipe = fds[1];
    atexit(janitor_wait);
    return path;
}

/* --- What servers cost ---------------------------------------------------- */

struct process {
    pid_t pid, parent;
    double reaped_s; /* processor time of children that have ended */
};

/* The fields after the name, which may hold anything: ") S ppid ...". */
static bool process_read(pid_t pid, struct process *out)
{
    char path[64], text[1024], *rest;
    unsigned long user, system;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    rest = fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;
    fclose(f);
    out->pid = pid;
    if (!rest || sscanf(rest,
                        ") %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u"
                        " %lu %lu",
                        &out->parent, &user, &system) != 3)
        return false;
    out->reaped_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    return true;
}

double process_cpu_s(pid_t pid)
{
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
        return 0;
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double rss_kib(pid_t pid)
{
    char path[64], line[256];
    double kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "Pss: %lf", &kib) == 1)
            break;
    }
    if (f)
        fclose(f);
    return kib;
}

/* All processes of the machine; how many. */
static int processes_read(struct process *all)
{
    DIR *proc = opendir("/proc");
    struct dirent *e;
    int n = 0;

    while (proc && n < PROCESSES_MAX && (e = readdir(proc))) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

        if (pid > 0 && process_read(pid, &all[n]))
            n++;
    }
    if (proc)
        closedir(proc);
    return n;
}

/* Of process i and all below it. */
static void add_family(const struct process *all, int n, int i, double *cpu,
                       double *kib)
{
    *cpu += process_cpu_s(all[i].pid) + all[i].reaped_s;
    if (kib)
        *kib += rss_kib(all[i].pid);
    for (int k = 0; k < n; k++) {
        if (all[k].parent == all[i].pid)
            add_family(all, n, k, cpu, kib);
    }
}

double process_families_cpu_s(const pid_t *pids, int count, double *kib)
{
    static struct process all[PROCESSES_MAX];
    int n = processes_read(all);
    double cpu = 0;

    for (int i = 0; i < n; i++) {
        for (int k = 0; k < count; k++) {
            if (all[i].pid == pids[k])
                add_family(all, n, i, &cpu, kib);
        }
    }
    return cpu;
}
