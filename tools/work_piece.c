/* A task in hand: the command that runs for it, its socket, and what the broker
 * is told in the end. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utlist.h>

#include "json.h"
#include "proto/limits.h"
#include "work.h"

enum {
    RETRY_STATUS = 75, /* EX_TEMPFAIL of sysexits.h */
    VALUE_BYTES_DEFAULT = 1 << 20,
};

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

void piece_free(struct work *w, struct piece *p)
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

void piece_ended(struct work *w, struct piece *p)
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

void piece_answered(struct work *w, struct piece *p,
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

/* --- Coming and going ----------------------------------------------------- */

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

void task_take(struct work *w, const struct choir_event *e)
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

struct piece *piece_of_token(struct work *w, uint64_t token)
{
    struct piece *p;

    LL_SEARCH_SCALAR(w->pieces, p, token, token);
    return p;
}

void piece_lose(struct work *w, uint64_t token, const char *what,
                const char *why)
{
    struct piece *p = piece_of_token(w, token);

    if (!p || p->lost || p->stage == ANSWERING)
        return;
    p->lost = true;
    say(w, p, what, why);
    relay_close_lease(w->relay, p->token);
    if (p->job)
        job_stop(p->job, work_now_ms(), GRACE_MS);
}
