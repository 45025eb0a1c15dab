/* The command's own descendants keep no pipe of ours open for long: when the
 * shell has ended, what stands in the pipes is read and they are closed. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    IN,
    OUT,
    ERR,
    PIECE = 65536,
    ERROR_TAIL = 4096,
    ORPHAN_TRIES = 100,
    ORPHAN_WAIT_US = 50000,
};

struct job {
    pid_t pid;
    int signal;
    int fds[JOB_FDS]; /* our ends; -1: closed */
    struct buf input, output, errors;
    size_t input_at, output_max;
    bool ended, overflowed;
    int status;
    int64_t kill_at_ms; /* 0: not asked to stop */
};

/* --- Starting -------------------------------------------------------------- */

/* Ours, but for the names that are given anew. Owned array, borrowed texts. */
static char **environment_join(char *const *more)
{
    size_t ours = 0, n = 0;
    char **out;

    while (environ[ours])
        ours++;
    while (more[n])
        n++;
    out = calloc(ours + n + 1, sizeof *out);
    if (!out)
        return NULL;
    memcpy(out, more, n * sizeof *out);
    for (size_t i = 0; i < ours; i++) {
        size_t length = strcspn(environ[i], "=") + 1;
        size_t k = 0;

        while (more[k] && strncmp(more[k], environ[i], length) != 0)
            k++;
        if (!more[k])
            out[n++] = environ[i];
    }
    return out;
}

/* Between fork and exec only what is safe in a signal handler, too: the worker
 * has threads. */

/* These alone, or none. */
static void signals_block(const sigset_t *set)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, set ? set : &none, NULL);
}

/* Its end, as it was. */
_Noreturn static void end_like(int status)
{
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        signals_block(NULL);
        kill(getpid(), WTERMSIG(status));
    }
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

/* The worker is gone, the lease is lost and nobody takes the result: then the
 * whole group goes, not the shell alone. */
_Noreturn static void group_end(pid_t pid)
{
    kill(0, SIGTERM);
    for (int i = 0; i < ORPHAN_TRIES; i++) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            break;
        usleep(ORPHAN_WAIT_US);
    }
    kill(0, SIGKILL);
    _exit(127);
}

/* The group's leader only waits, for what it was told to, all of it blocked so
 * that nothing comes too early: the command's end, the worker's (SIGHUP), or
 * what the worker has to say, which is for the command and not for those that
 * the command runs. */
_Noreturn static void keep(pid_t pid, const sigset_t *told)
{
    int status = 0, number;

    close_range(0, ~0U, 0); /* the worker's, too: the command's input ends */
    for (;;) {
        if (sigwait(told, &number))
            continue;
        if (number == SIGHUP)
            group_end(pid);
        if (number != SIGCHLD)
            kill(pid, number);
        else if (waitpid(pid, &status, WNOHANG) == pid)
            end_like(status);
    }
}

_Noreturn static void command_exec(const struct job_order *order,
                                   char **environment)
{
    char *const argv[] = {(char *)"sh", (char *)"-c",
                          (char *)(uintptr_t)order->command, NULL};

    signal(SIGTERM, SIG_DFL);
    signals_block(NULL);
    execve("/bin/sh", argv, environment);
    _exit(127);
}

_Noreturn static void child(const struct job_order *order, char **environment,
                            const int ends[JOB_FDS], pid_t worker)
{
    static const int ours[] = {SIGHUP, SIGINT, SIGPIPE, SIGCHLD};
    sigset_t told;
    pid_t pid;

    setpgid(0, 0);
    sigemptyset(&told);
    sigaddset(&told, SIGHUP);
    sigaddset(&told, SIGCHLD);
    if (order->signal) {
        sigaddset(&told, order->signal);
        signal(order->signal, SIG_DFL);
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        signal(ours[i], SIG_DFL);
    signals_block(&told);
    prctl(PR_SET_PDEATHSIG, SIGHUP);
    if (getppid() != worker)
        _exit(127);
    for (int i = 0; i < JOB_FDS; i++)
        dup2(ends[i], i);
    signal(SIGTERM, SIG_IGN); /* the group's, not its leader's */
    pid = fork();
    if (pid == 0)
        command_exec(order, environment);
    if (pid < 0)
        _exit(127);
    keep(pid, &told);
}

static void close_pair(int fds[2])
{
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int process_start(struct job *j, const struct job_order *order,
                         char **environment)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, r = 0;
    pid_t worker = getpid();

    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        r = -errno;
    if (!r) {
        j->pid = fork();
        if (j->pid == 0)
            child(order, environment, (int[]){in[0], out[1], err[1]}, worker);
        if (j->pid < 0)
            r = -errno;
    }
    if (r) {
        close_pair(in);
        close_pair(out);
        close_pair(err);
        return r;
    }
    setpgid(j->pid, j->pid); /* whoever is first */
    close(in[0]);
    close(out[1]);
    close(err[1]);
    j->fds[IN] = in[1];
    j->fds[OUT] = out[0];
    j->fds[ERR] = err[0];
    for (int i = 0; i < JOB_FDS; i++)
        fcntl(j->fds[i], F_SETFL, O_NONBLOCK);
    return 0;
}

int job_start(const struct job_order *order, struct job **out)
{
    struct job *j = calloc(1, sizeof *j);
    char **environment = environment_join(order->environment);
    int r = -ENOMEM;

    if (j) {
        for (int i = 0; i < JOB_FDS; i++)
            j->fds[i] = -1;
        j->output_max = order->output_max;
        j->signal = order->signal;
        buf_put(&j->input, order->input.p, order->input.n);
    }
    if (j && environment && !j->input.failed)
        r = process_start(j, order, environment);
    free(environment);
    if (r)
        job_destroy(&j);
    *out = j;
    return r;
}

static void fd_close(struct job *j, int i)
{
    if (j->fds[i] >= 0)
        close(j->fds[i]);
    j->fds[i] = -1;
}

void job_destroy(struct job **self_p)
{
    struct job *j = self_p ? *self_p : NULL;

    if (!j)
        return;
    if (j->pid > 0 && !j->ended) {
        kill(-j->pid, SIGKILL);
        waitpid(j->pid, NULL, 0);
    }
    for (int i = 0; i < JOB_FDS; i++)
        fd_close(j, i);
    buf_free(&j->input);
    buf_free(&j->output);
    buf_free(&j->errors);
    free(j);
    *self_p = NULL;
}

/* --- Its pipes ------------------------------------------------------------- */

static void input_feed(struct job *j)
{
    ssize_t n =
        write(j->fds[IN], j->input.p + j->input_at, j->input.n - j->input_at);

    if (n > 0)
        j->input_at += (size_t)n;
    /* A command need not read what it is given. */
    if (j->input_at == j->input.n ||
        (n < 0 && errno != EAGAIN && errno != EINTR))
        fd_close(j, IN);
}

static void output_keep(struct job *j, const char *p, size_t n)
{
    if (j->output.n + n > j->output_max) {
        if (!j->overflowed)
            kill(-j->pid, SIGTERM);
        j->overflowed = true;
        return;
    }
    buf_put(&j->output, p, n);
}

/* The end of it becomes the reason, so only that is kept; a person sees all. */
static void errors_keep(struct job *j, const char *p, size_t n)
{
    size_t more;

    fwrite(p, 1, n, stderr);
    if (n > ERROR_TAIL) {
        p += n - ERROR_TAIL;
        n = ERROR_TAIL;
    }
    if (j->errors.n + n > ERROR_TAIL) {
        more = j->errors.n + n - ERROR_TAIL;
        memmove(j->errors.p, j->errors.p + more, j->errors.n - more);
        j->errors.n -= more;
    }
    buf_put(&j->errors, p, n);
}

/* False: nothing more for now. */
static bool pipe_read(struct job *j, int i)
{
    char piece[PIECE];
    ssize_t n = j->fds[i] < 0 ? 0 : read(j->fds[i], piece, sizeof piece);

    if (n > 0 && i == OUT)
        output_keep(j, piece, (size_t)n);
    else if (n > 0)
        errors_keep(j, piece, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        fd_close(j, i);
    return n > 0;
}

void job_poll(const struct job *j, struct pollfd fds[JOB_FDS])
{
    for (int i = 0; i < JOB_FDS; i++)
        fds[i] = (struct pollfd){
            .fd = j->fds[i],
            .events = i == IN ? POLLOUT : POLLIN,
        };
}

void job_after(struct job *j, const struct pollfd fds[JOB_FDS])
{
    if (fds[IN].revents && j->fds[IN] >= 0)
        input_feed(j);
    if (fds[OUT].revents)
        pipe_read(j, OUT);
    if (fds[ERR].revents)
        pipe_read(j, ERR);
}

bool job_reap(struct job *j)
{
    int status;

    if (j->ended)
        return true;
    if (waitpid(j->pid, &status, WNOHANG) != j->pid)
        return false;
    while (pipe_read(j, OUT))
        ;
    while (pipe_read(j, ERR))
        ;
    for (int i = 0; i < JOB_FDS; i++)
        fd_close(j, i);
    j->status =
        WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    j->ended = true;
    return true;
}

/* --- Its end --------------------------------------------------------------- */

void job_stop(struct job *j, int64_t now_ms, int64_t grace_ms)
{
    if (j->ended || j->kill_at_ms)
        return;
    kill(-j->pid, SIGTERM);
    j->kill_at_ms = now_ms + grace_ms;
}

int64_t job_wait_ms(const struct job *j, int64_t now_ms)
{
    if (j->ended || !j->kill_at_ms)
        return -1;
    return j->kill_at_ms > now_ms ? j->kill_at_ms - now_ms : 0;
}

void job_tend(struct job *j, int64_t now_ms)
{
    if (!j->ended && j->kill_at_ms && now_ms >= j->kill_at_ms) {
        kill(-j->pid, SIGKILL);
        j->kill_at_ms = INT64_MAX;
    }
}

void job_signal(const struct job *j)
{
    if (!j->ended && j->signal)
        kill(j->pid, j->signal);
}

int job_status(const struct job *j)
{
    return j->status;
}

bool job_overflowed(const struct job *j)
{
    return j->overflowed;
}

struct bytes job_output(const struct job *j)
{
    return buf_bytes(&j->output);
}

/* The longest tail that fits, is whole characters, and has no control
 * characters but newlines turned to spaces. */
static void tail_text(const struct job *j, char out[JOB_REASON_BYTES + 1])
{
    const uint8_t *p = j->errors.p;
    size_t from, to = j->errors.n, n = 0;

    while (to && (p[to - 1] == '\n' || p[to - 1] == ' '))
        to--;
    from = to > JOB_REASON_BYTES ? to - JOB_REASON_BYTES : 0;
    while (from < to && (p[from] & 0xc0) == 0x80)
        from++;
    for (size_t i = from; i < to; i++)
        out[n++] = p[i] < 0x20 || p[i] == 0x7f ? ' ' : (char)p[i];
    out[n] = '\0';
    for (size_t i = 0; !bytes_utf8(bytes_text(out)) && i < n; i++)
        if ((unsigned char)out[i] >= 0x80)
            out[i] = '?';
}

void job_reason(const struct job *j, char out[JOB_REASON_BYTES + 1])
{
    tail_text(j, out);
    if (j->overflowed)
        snprintf(out, JOB_REASON_BYTES + 1,
                 "OVER_LIMIT field=result limit=%zu: the command said more "
                 "than a value may hold",
                 j->output_max);
    else if (!out[0] && j->status > 128)
        snprintf(out, JOB_REASON_BYTES + 1, "killed by signal %d",
                 j->status - 128);
    else if (!out[0])
        snprintf(out, JOB_REASON_BYTES + 1, "exit status %d", j->status);
}
