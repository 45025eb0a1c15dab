/* choir work QUEUE --exec CMD: any program becomes an agent. One loop over
 * the handle, the commands that run, and their sockets. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <utlist.h>

#include "commands.h"
#include "proto/limits.h"
#include "work.h"

int64_t work_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- Events ---------------------------------------------------------------- */

static void lease_lost(struct work *w, const struct choir_event *e)
{
    const char *reason = choir_event_text(e, "reason");

    piece_lose(w, choir_event_uint(e, "token"), "lost",
               reason ? reason : "its lease is over");
}

/* The command hears of it if it wants to: by a signal, or over its socket. */
static void moved(struct work *w, const struct choir_event *e)
{
    struct piece *p = piece_of_token(w, choir_event_uint(e, "token"));

    relay_moved(w->relay, choir_event_uint(e, "token"));
    if (p && p->stage == RUNNING)
        job_signal(p->job);
}

static struct piece *piece_of_request(struct work *w, uint64_t request)
{
    struct piece *p;

    LL_SEARCH_SCALAR(w->pieces, p, request, request);
    return p;
}

static void event_take(struct work *w, struct choir_event *e, int *code)
{
    const char *name = choir_event_name(e);
    struct piece *p = piece_of_request(w, choir_event_request(e));

    if (strcmp(name, "task") == 0)
        task_take(w, e);
    else if (strcmp(name, "lease_lost") == 0)
        lease_lost(w, e);
    else if (strcmp(name, "moved") == 0)
        moved(w, e);
    else if (p && strcmp(name, "done") == 0)
        piece_answered(w, p, e);
    else if (choir_event_request(e) == w->request && choir_event_code(e))
        *code = cli_failed(choir_event_code(e), choir_event_explain(e));
}

/* *code: an exit code, once the work cannot go on. A broker that is away does
 * not end it: the library brings it back, and our lease with it. */
static void events_take(struct work *w, int *code)
{
    struct choir_event *e;
    uint64_t token;
    int r = 0;

    while (!*code && !(r = choir_next(w->choir, 0, &e))) {
        if (!relay_event(w->relay, &e))
            event_take(w, e, code);
        choir_event_free(&e);
        while (relay_lease_over(w->relay, &token))
            piece_lose(w, token, "given back", "the command abandoned it");
    }
    if (r && r != CHOIR_TIMEOUT && r != CHOIR_UNREACHABLE)
        *code = cli_failed(r, NULL);
}

/* --- Signals --------------------------------------------------------------- */

static void drain(struct work *w)
{
    struct piece *p;

    if (w->asked_to_end == 1) {
        choir_credit(w->choir, w->request, -1);
        if (w->count)
            fprintf(stderr, "finishing %u in hand; once more gives back\n",
                    w->count);
        return;
    }
    LL_FOREACH (w->pieces, p) {
        if (p->stage == RUNNING)
            job_stop(p->job, work_now_ms(), GRACE_MS);
    }
}

static void children_reap(struct work *w)
{
    struct piece *p, *next;

    LL_FOREACH_SAFE (w->pieces, p, next) {
        if (p->stage == RUNNING && job_reap(p->job))
            piece_ended(w, p);
    }
}

static void signals_take(struct work *w)
{
    struct signalfd_siginfo info;

    while (read(w->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        w->asked_to_end++;
        drain(w);
    }
    children_reap(w);
}

/* --- The loop -------------------------------------------------------------- */

enum {
    FIXED = 2,
    PER_PIECE = JOB_FDS + 1,
    POLL_MAX = FIXED + JOBS_MAX * PER_PIECE + 2 * RELAY_LANES_MAX,
};

static int loop_poll(struct work *w, struct pollfd *fds, size_t *lanes)
{
    int64_t timeout = -1;
    struct piece *p;
    size_t n = 0;

    fds[n++] = (struct pollfd){.fd = choir_fd(w->choir), .events = POLLIN};
    fds[n++] = (struct pollfd){.fd = w->signals, .events = POLLIN};
    LL_FOREACH (w->pieces, p) {
        int64_t wait = -1;

        for (int i = 0; i < PER_PIECE; i++)
            fds[n + (size_t)i].fd = -1;
        fds[n] = (struct pollfd){.fd = p->listener, .events = POLLIN};
        if (p->stage == RUNNING) {
            job_poll(p->job, fds + n + 1);
            wait = job_wait_ms(p->job, work_now_ms());
        }
        if (wait >= 0 && (timeout < 0 || wait < timeout))
            timeout = wait;
        n += PER_PIECE;
    }
    *lanes = relay_poll(w->relay, fds + n);
    return poll(fds, n + *lanes, (int)timeout) < 0 && errno != EINTR ? -errno
                                                                     : 0;
}

static void listener_take(struct work *w, struct piece *p)
{
    int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0 && (p->lost || !lane_open(w->relay, fd, fd, p->task, p->token)))
        close(fd);
}

static void pieces_after(struct work *w, const struct pollfd *fds)
{
    struct piece *p;
    size_t n = FIXED;

    LL_FOREACH (w->pieces, p) {
        if (p->listener >= 0 && fds[n].revents)
            listener_take(w, p);
        if (p->stage == RUNNING) {
            job_after(p->job, fds + n + 1);
            job_tend(p->job, work_now_ms());
        }
        n += PER_PIECE;
    }
}

static bool is_over(const struct work *w)
{
    if (w->asked_to_end > 2)
        return true;
    return w->count == 0 && (w->asked_to_end || w->finished == w->max);
}

static int loop(struct work *w)
{
    struct pollfd fds[POLL_MAX];
    int code = 0;

    while (!code && !is_over(w)) {
        size_t lanes, pieces = w->count;

        code = loop_poll(w, fds, &lanes);
        if (code)
            return cli_failed(code, strerror(-code));
        pieces_after(w, fds);
        relay_after(w->relay, fds + FIXED + pieces * PER_PIECE, lanes);
        signals_take(w);
        events_take(w, &code);
    }
    if (code)
        return code;
    return w->asked_to_end > 1 ? EXIT_INTERRUPTED : EXIT_DONE;
}

/* --- The command ----------------------------------------------------------- */

static int dir_make(struct work *w)
{
    const char *run = getenv("XDG_RUNTIME_DIR");

    if (run && run[0] && strlen(run) < 32)
        snprintf(w->dir, sizeof w->dir, "%s/choir-work.XXXXXX", run);
    else
        snprintf(w->dir, sizeof w->dir, "/tmp/choir-work.XXXXXX");
    return mkdtemp(w->dir) ? 0 : -errno;
}

/* SIGCHLD and the two that end us come as bytes to read, between two turns of
 * the loop and never within one. */
static int signals_open(struct work *w)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return w->signals < 0 ? -errno : 0;
}

/* Of this worker. What is wrong with one choir_send says. */
static void capabilities_set(const struct cli *cli, struct choir_request *r)
{
    char name[LIMIT_NAME_BYTES + 1];
    size_t at = 0;

    while (cli_option_piece(cli, "capability", &at, name, sizeof name)) {
        choir_request_begin(r, "capabilities");
        choir_request_text(r, "name", name);
        choir_request_end(r);
    }
}

static int work_begin(struct work *w)
{
    struct choir_request *r;
    int code = dir_make(w);

    if (!code)
        code = signals_open(w);
    if (code)
        return cli_failed(code, strerror(-code));
    w->relay = relay_new(w->choir);
    r = w->relay ? choir_request_new(w->choir, "work") : NULL;
    if (!r)
        return cli_failed(-ENOMEM, "ENOMEM");
    choir_request_text(r, "queue", w->queue);
    choir_request_uint(r, "credit", w->granted);
    capabilities_set(w->cli, r);
    code = choir_send(w->choir, &r, -1, &w->request);
    choir_request_free(&r);
    return code ? cli_failed(code, NULL) : 0;
}

static void work_end(struct work *w)
{
    while (w->pieces)
        piece_free(w, w->pieces);
    relay_destroy(&w->relay);
    rmdir(w->dir);
    if (w->signals >= 0)
        close(w->signals);
    choir_close(&w->choir);
}

/* "USR1" or "SIGUSR1". What cannot be caught, and what the worker says by
 * itself, is refused. */
static int signal_of_name(const struct cli *cli, const char *name)
{
    const char *bare = strncmp(name, "SIG", 3) == 0 ? name + 3 : name;

    for (int i = 1; i < NSIG; i++) {
        const char *known = sigabbrev_np(i);

        if (known && strcmp(known, bare) == 0 && i != SIGKILL && i != SIGSTOP &&
            i != SIGTERM && i != SIGCHLD)
            return i;
    }
    cli_wrong(cli, "--signal takes one that is free, as USR1 or INT");
}

static void work_options(struct work *w)
{
    const struct cli *cli = w->cli;
    uint64_t jobs = cli_number(cli, "jobs", 1);

    w->queue = cli->args[0];
    w->command = cli_option(cli, "exec");
    if (!w->command)
        cli_wrong(cli, "work needs --exec CMD");
    if (jobs < 1 || jobs > JOBS_MAX)
        cli_wrong(cli, "--jobs takes 1 to %d", JOBS_MAX);
    if (cli_option(cli, "signal"))
        w->signal = signal_of_name(cli, cli_option(cli, "signal"));
    w->max = cli_number(cli, "count", UINT64_MAX);
    if (cli_option(cli, "once"))
        w->max = 1;
    if (w->max == 0)
        cli_wrong(cli, "--count takes 1 or more");
    w->granted = jobs < w->max ? jobs : w->max;
}

static int work_run(struct cli *cli)
{
    struct work w = {.cli = cli, .signals = -1};
    int code;

    work_options(&w);
    code = handle_open(cli, &w.choir);
    if (code)
        return code;
    code = work_begin(&w);
    if (!code)
        code = loop(&w);
    work_end(&w);
    return code;
}

static const struct cli_option options[] = {
    {"exec", "CMD", "what does the work, run by /bin/sh"},
    {"jobs", "N", "up to N at once; default 1"},
    {"capability", "C,...", "what this worker has; tasks may take some of it"},
    {"once", NULL, "end after one task"},
    {"count", "N", "end after N tasks"},
    {"signal", "NAME", "sent to CMD when something it has read changes"},
    {NULL, NULL, NULL},
};
const struct command command_work = {
    .name = "work",
    .usage = "QUEUE --exec CMD",
    .what = "take tasks from a queue and run a command for each",
    .more =
        "CMD reads the payload from standard input; what it prints is the\n"
        "result. Exit status 0 completes the task, 75 asks for another try,\n"
        "anything else fails it with the end of its standard error as the\n"
        "reason. Its environment has CHOIR_TASK, CHOIR_SPACE, CHOIR_QUEUE,\n"
        "CHOIR_REVISION, CHOIR_ATTEMPT, and CHOIR_SOCKET, by which `choir put`\n"
        "and the others inside it act under the task's lease. `choir task\n"
        "partial` and `choir task ask` there speak with who submitted it;\n"
        "CHOIR_INPUT is what an earlier attempt was answered.\n\n"
        "What they read there goes along with the completion. If it has\n"
        "changed by then, the task is given back (unless it was submitted\n"
        "otherwise), and CHOIR_STALE tells the next attempt what moved. While\n"
        "CMD runs, --signal NAME and `choir task moved` tell it, and `choir\n"
        "task heed` answers.\n\n"
        "The lease is kept alive while CMD runs. SIGTERM tells it that the\n"
        "task was cancelled or the lease lost, SIGKILL follows after 5 s.\n"
        "Ctrl-C finishes what is in hand and ends with 0; a second one stops\n"
        "CMD and gives the task back.",
    .options = options,
    .least = 1,
    .most = 1,
    .run = work_run,
};
