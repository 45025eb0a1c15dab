/* choir work QUEUE --exec CMD: any program becomes an agent. One loop over
 * the handle, the commands that run, and their sockets. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <utlist.h>

#include "client.h"
#include "commands.h"
#include "job.h"
#include "json.h"
#include "proto/limits.h"
#include "relay.h"

enum {
    JOBS_MAX = 64,
    GRACE_MS = 5000,
    RETRY_STATUS = 75, /* EX_TEMPFAIL of sysexits.h */
    VALUE_BYTES_DEFAULT = 1 << 20,
};

enum stage { RUNNING, ANSWERING };

/* A task in hand. */
struct piece {
    uint64_t task, token;
    struct job *job;
    int listener; /* of its socket */
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    bool lost; /* the lease: nobody wants to hear how it ends */
    enum stage stage;
    uint64_t request; /* that ends the task */
    const char *verb;
    struct piece *next;
};

struct work {
    struct cli *cli;
    struct choir *choir;
    struct relay *relay;
    const char *queue, *command;
    int signal;                      /* that tells CMD of what moved; or 0 */
    uint64_t request;                /* the standing one */
    uint64_t granted, finished, max; /* tasks: let come, ended, wanted */
    struct piece *pieces;
    unsigned count;
    int signals;
    unsigned asked_to_end; /* how often */
    char dir[64];          /* of the sockets, ours alone */
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- Beginning a task ------------------------------------------------------ */

static int listener_open(struct piece *p)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strcpy(at.sun_path, p->path);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
        listen(fd, 16) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

struct variables {
    char text[8][LIMIT_TEXT_BYTES];
    char *stale; /* owned */
    char *list[10];
};

__attribute__((format(printf, 2, 3))) static void variable(struct variables *v,
                                                           const char *format,
                                                           ...)
{
    size_t i = 0;
    va_list args;

    while (v->list[i])
        i++;
    va_start(args, format);
    vsnprintf(v->text[i], sizeof v->text[i], format, args);
    va_end(args);
    v->list[i] = v->text[i];
}

/* Why an earlier attempt was too late: its items, as JSON. Owned; NULL: it was
 * not. */
static char *stale_variable(const struct choir_event *e)
{
    json_t *o = choir_event_count(e, "items") ? event_to_json(e) : NULL;
    char *items = json_dumps(json_object_get(o, "items"), JSON_COMPACT);
    char *out = NULL;

    if (items && asprintf(&out, "CHOIR_STALE=%s", items) < 0)
        out = NULL;
    free(items);
    json_decref(o);
    return out;
}

/* What was given to an earlier attempt, if it is a text that fits. */
static void input_fill(struct variables *v, const struct choir_event *e)
{
    struct bytes input;

    input.p = choir_event_bytes(e, "input", &input.n);
    if (input.p && input.n <= LIMIT_TEXT_BYTES - 24 && bytes_utf8(input))
        variable(v, "CHOIR_INPUT=%.*s", (int)input.n, (const char *)input.p);
}

static void variables_fill(struct variables *v, const struct piece *p,
                           const struct choir_event *e)
{
    memset(v->list, 0, sizeof v->list);
    variable(v, "CHOIR_TASK=%llu", (unsigned long long)p->task);
    variable(v, "CHOIR_SPACE=%s", choir_event_text(e, "space"));
    variable(v, "CHOIR_QUEUE=%s", choir_event_text(e, "queue"));
    variable(v, "CHOIR_REVISION=%llu",
             (unsigned long long)choir_event_uint(e, "revision"));
    variable(v, "CHOIR_ATTEMPT=%llu",
             (unsigned long long)choir_event_uint(e, "attempt"));
    if (p->listener >= 0)
        variable(v, "CHOIR_SOCKET=%s", p->path);
    input_fill(v, e);
    v->stale = stale_variable(e);
    for (size_t i = 0; v->stale; i++) {
        if (v->list[i])
            continue;
        v->list[i] = v->stale;
        break;
    }
}

static int piece_run(struct work *w, struct piece *p,
                     const struct choir_event *e)
{
    uint64_t limit = choir_limit(w->choir, "value_bytes_max");
    struct variables v;
    int r;
    struct job_order order = {
        .command = w->command,
        .signal = w->signal,
        .environment = v.list,
        .output_max = limit ? limit : VALUE_BYTES_DEFAULT,
    };

    order.input.p = choir_event_value(e, &order.input.n);
    variables_fill(&v, p, e);
    r = job_start(&order, &p->job);
    free(v.stale);
    return r;
}

/* --- Ending a task --------------------------------------------------------- */

static void say(struct work *w, const struct piece *p, const char *what,
                const char *why)
{
    json_t *o;

    if (w->cli->json) {
        o = json_pack("{s:s, s:I, s:s}", "event", "task_end", "task",
                      (json_int_t)p->task, "outcome", what);
        if (why)
            json_object_set_new(o, "reason", json_string(why));
        json_line(stdout, o);
        json_decref(o);
        return;
    }
    fprintf(stderr, "task %llu %s%s", (unsigned long long)p->task, what,
            why ? ": " : "\n");
    if (why) {
        cli_print_text(stderr, why);
        fputc('\n', stderr);
    }
}

static void piece_free(struct work *w, struct piece *p)
{
    relay_close_lease(w->relay, p->token);
    job_destroy(&p->job);
    if (p->listener >= 0) {
        close(p->listener);
        unlink(p->path);
    }
    LL_DELETE(w->pieces, p);
    w->count--;
    free(p);
}

/* One less in hand, so one more may come. */
static void piece_done(struct work *w, struct piece *p)
{
    piece_free(w, p);
    w->finished++;
    if (w->asked_to_end || w->granted == w->max)
        return;
    w->granted++;
    choir_credit(w->choir, w->request, 1);
}

static struct choir_request *ending_new(struct work *w, const struct piece *p,
                                        const char *verb)
{
    struct choir_request *r = choir_request_new(w->choir, verb);

    if (r) {
        choir_request_uint(r, "task", p->task);
        choir_request_uint(r, "token", p->token);
    }
    return r;
}

static void piece_answer(struct work *w, struct piece *p, const char *verb,
                         const char *reason)
{
    struct choir_request *r = ending_new(w, p, verb);
    struct bytes result = p->job ? job_output(p->job) : (struct bytes){0};
    int code = r ? 0 : choir_error_code();

    if (r && reason)
        choir_request_text(r, "reason", reason);
    else if (r)
        choir_request_slot(r, result.n ? (const void *)result.p : "", result.n,
                           NULL);
    p->verb = verb;
    p->stage = ANSWERING;
    if (r)
        code = choir_send(w->choir, &r, -1, &p->request);
    if (!code)
        return;
    choir_request_free(&r);
    say(w, p, "left to expire", choir_error_text());
    piece_done(w, p);
}

/* The command has ended: its status says how the task does. */
static void piece_ended(struct work *w, struct piece *p)
{
    char reason[JOB_REASON_BYTES + 1];
    int status = job_status(p->job);

    job_reason(p->job, reason);
    if (p->lost) {
        piece_done(w, p);
    } else if (w->asked_to_end > 1) {
        piece_answer(w, p, "nak", "the worker was stopped");
    } else if (status == 0 && !job_overflowed(p->job)) {
        piece_answer(w, p, "complete", NULL);
    } else if (status == RETRY_STATUS) {
        piece_answer(w, p, "nak", reason);
    } else {
        piece_answer(w, p, "fail", reason);
    }
}

static const char *past_of(const char *verb)
{
    return strcmp(verb, "complete") == 0 ? "completed"
           : strcmp(verb, "fail") == 0   ? "failed"
                                         : "given back";
}

/* Has the broker ended the attempt by itself? */
static bool outcome_has_state(const struct choir_event *e)
{
    const struct choir_event *effect = choir_event_item(e, "effect", 0);

    return effect && choir_event_has(effect, "state");
}

static void piece_answered(struct work *w, struct piece *p,
                           const struct choir_event *e)
{
    char reason[JOB_REASON_BYTES + 1] = "";
    int code = choir_event_code(e);

    if (p->job)
        job_reason(p->job, reason);
    /* What cannot be stored as a result is a failure of the task, not ours. */
    if (code == CHOIR_OVER_LIMIT && strcmp(p->verb, "complete") == 0) {
        piece_answer(w, p, "fail", choir_event_explain(e));
        return;
    }
    /* Too late: the next attempt is told what moved. */
    if (code == CHOIR_STALE && !outcome_has_state(e)) {
        say(w, p, "stale", choir_event_explain(e));
        piece_answer(w, p, "nak", choir_event_explain(e));
        return;
    }
    if (code)
        say(w, p, code == CHOIR_STALE ? "stale" : "refused",
            choir_event_explain(e));
    else
        say(w, p, past_of(p->verb),
            strcmp(p->verb, "complete") == 0 ? NULL : reason);
    piece_done(w, p);
}

/* --- Events ---------------------------------------------------------------- */

static void give_back(struct work *w, const struct piece *p)
{
    struct choir_request *r = ending_new(w, p, "nak");
    uint64_t request;

    if (!r)
        return;
    choir_request_text(r, "reason", "the worker is ending");
    if (choir_send(w->choir, &r, -1, &request))
        choir_request_free(&r);
}

static void task_take(struct work *w, const struct choir_event *e)
{
    struct piece *p = calloc(1, sizeof *p);
    int r;

    if (!p)
        return; /* its lease runs out */
    p->task = choir_event_uint(e, "task");
    p->token = choir_event_uint(e, "token");
    p->listener = -1;
    if (w->asked_to_end || w->count == JOBS_MAX) {
        give_back(w, p);
        free(p);
        return;
    }
    LL_PREPEND(w->pieces, p);
    w->count++;
    snprintf(p->path, sizeof p->path, "%s/%llu", w->dir,
             (unsigned long long)p->token);
    p->listener = listener_open(p);
    r = piece_run(w, p, e);
    if (r)
        piece_answer(w, p, "nak", strerror(-r));
}

static struct piece *piece_of_token(struct work *w, uint64_t token)
{
    struct piece *p;

    LL_SEARCH_SCALAR(w->pieces, p, token, token);
    return p;
}

/* Nobody wants to hear any more how it ends. */
static void piece_lose(struct work *w, uint64_t token, const char *what,
                       const char *why)
{
    struct piece *p = piece_of_token(w, token);

    if (!p || p->lost || p->stage == ANSWERING)
        return;
    p->lost = true;
    say(w, p, what, why);
    relay_close_lease(w->relay, p->token);
    if (p->job)
        job_stop(p->job, now_ms(), GRACE_MS);
}

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
            job_stop(p->job, now_ms(), GRACE_MS);
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
            wait = job_wait_ms(p->job, now_ms());
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
            job_tend(p->job, now_ms());
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
