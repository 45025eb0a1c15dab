/* choir submit: put a task into a queue, and wait for it if asked to. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"
#include "submit.h"

static void number_add(const struct cli *cli, json_t *request,
                       const char *option, const char *field)
{
    if (cli_option(cli, option))
        json_object_set_new(
            request, field,
            json_integer((json_int_t)cli_number(cli, option, 0)));
}

static void duration_add(const struct cli *cli, json_t *request,
                         const char *option, const char *field)
{
    if (cli_option(cli, option))
        json_object_set_new(
            request, field,
            json_integer((json_int_t)cli_duration_ms(cli, option, 0)));
}

static void time_add(const struct cli *cli, json_t *request, const char *option,
                     const char *field)
{
    if (cli_option(cli, option))
        json_object_set_new(
            request, field,
            json_integer((json_int_t)cli_time_us(cli, option, 0)));
}

static void needs_add(const struct cli *cli, json_t *request)
{
    json_t *list = json_array();
    char piece[32];
    size_t at = 0;

    while (cli_option_piece(cli, "needs", &at, piece, sizeof piece)) {
        char *end;
        unsigned long long task = strtoull(piece, &end, 10);

        if (*end || piece[0] == '-')
            cli_wrong(cli, "--needs takes ids of tasks, not \"%s\"", piece);
        json_array_append_new(list,
                              json_pack("{s:I}", "task", (json_int_t)task));
    }
    if (json_array_size(list))
        json_object_set(request, "needs", list);
    json_decref(list);
}

json_t *submission_make(const struct cli *cli)
{
    const char *type = cli_option(cli, "type");
    const char *stale = cli_option(cli, "on-stale");
    json_t *request =
        json_pack("{s:s, s:s}", "op", "submit", "queue", cli->args[0]);

    if (stale && strcmp(stale, "reject") != 0 && strcmp(stale, "flag") != 0 &&
        strcmp(stale, "requeue") != 0)
        cli_wrong(cli, "--on-stale takes reject, flag or requeue");
    if (stale)
        json_object_set_new(request, "stale", json_string(stale));
    if (type)
        json_object_set_new(request, "type", json_string(type));
    number_add(cli, request, "priority", "priority");
    number_add(cli, request, "max-attempts", "max_attempts");
    number_add(cli, request, "parent", "parent");
    duration_add(cli, request, "lease", "lease_ms");
    duration_add(cli, request, "backoff", "backoff_ms");
    time_add(cli, request, "not-before", "not_before");
    time_add(cli, request, "deadline", "deadline");
    needs_add(cli, request);
    capabilities_add(cli, request);
    return request;
}

static json_t *request_make(const struct cli *cli)
{
    const char *id = cli_option(cli, "id");
    json_t *request = submission_make(cli);
    struct buf payload = {0};

    cli_value(cli, cli->args[1], &payload);
    bytes_to_json(request, "value", buf_bytes(&payload), NULL);
    buf_free(&payload);
    if (id)
        json_object_set_new(request, "operation_id", json_string(id));
    return request;
}

/* What comes before the end: pieces of the result, and questions. */
static void meanwhile_print(const struct cli *cli, const json_t *event)
{
    bool is_partial = strcmp(member_text(event, "event"), "partial_told") == 0;
    bool asks = strcmp(member_text(event, "state"), "input_required") == 0;
    struct buf value = {0};

    if (cli->json && (is_partial || asks))
        json_line(stdout, event);
    if (cli->json || (!is_partial && !asks))
        return;
    member_value(event, &value);
    if (asks)
        fprintf(stderr, "task %llu asks: ",
                (unsigned long long)member_uint(event, "task"));
    fwrite(value.p, 1, value.n, stderr);
    if (!value.n || value.p[value.n - 1] != '\n')
        fputc('\n', stderr);
    buf_free(&value);
}

static int result_print(struct cli *cli, const json_t *event)
{
    const char *state = member_text(event, "state");
    struct buf result = {0};

    if (cli->json)
        json_line(stdout, event);
    if (strcmp(state, "completed") != 0) {
        fprintf(stderr, "task %llu %s: ",
                (unsigned long long)member_uint(event, "task"), state);
        cli_print_text(stderr, member_text(event, "reason"));
        fputc('\n', stderr);
        return EXIT_TASK;
    }
    if (!cli->json) {
        member_value(event, &result);
        fwrite(result.p, 1, result.n, stdout);
        buf_free(&result);
    }
    return EXIT_DONE;
}

static bool is_final(const char *state)
{
    for (unsigned i = 0; i < 256; i++)
        if (choir_state_final(i) && strcmp(choir_state_name(i), state) == 0)
            return true;
    return false;
}

static int task_await(struct cli *cli, struct client *c, uint64_t task)
{
    json_t *event;
    int r = client_begin(c, json_pack("{s:s, s:I, s:i}", "op", "await", "task",
                                      (json_int_t)task, "count", 0));

    for (; !r; json_decref(event)) {
        r = client_next(c, -1, &event);
        if (!r && !event)
            return cli_failed(CHOIR_OUTCOME_UNKNOWN,
                              "OUTCOME_UNKNOWN: the broker stopped telling");
        if (!r && is_final(member_text(event, "state"))) {
            r = result_print(cli, event);
            json_decref(event);
            return r;
        }
        if (!r)
            meanwhile_print(cli, event);
    }
    return r;
}

static int submit_one(struct cli *cli)
{
    json_t *request = request_make(cli), *answer = NULL;
    bool waits = cli_option(cli, "wait") != NULL;
    struct client *c;
    uint64_t task;
    int r = client_open(cli, &c);

    if (r) {
        json_decref(request);
        return r;
    }
    r = client_ask(c, request, &answer);
    task = member_uint(answer, "revision");
    if (!r && cli->json && !waits)
        json_line(stdout, answer);
    else if (!r)
        fprintf(waits ? stderr : stdout, waits ? "task %llu\n" : "%llu\n",
                (unsigned long long)task);
    json_decref(answer);
    if (!r && waits)
        r = task_await(cli, c, task);
    client_close(&c);
    return r;
}

static int submit_run(struct cli *cli)
{
    const char *file = cli_option(cli, "bulk");

    if (cli_option(cli, "lines") && !file)
        cli_wrong(cli, "--lines belongs to --bulk");
    if (!file)
        return submit_one(cli);
    if (cli->count > 1 || cli_option(cli, "wait"))
        cli_wrong(cli, "--bulk takes its payloads from the file, and does not "
                       "--wait");
    return submit_bulk(cli, file);
}

static const struct cli_option options[] = {
    {"wait", NULL, "wait for the end; prints the result instead"},
    {"priority", "P", "0 to 9; 9 is served first"},
    {"max-attempts", "N", "then the task is dead"},
    {"lease", "TIME", "how long a worker may be silent"},
    {"backoff", "TIME", "wait before the second attempt; then it doubles"},
    {"on-stale", "DO",
     "if it rests on what has changed: reject, flag, requeue"},
    {"type", "T", "media type of the payload"},
    {"needs", "TASK,...", "tasks that must be completed before"},
    {"capability", "C,...", "only to workers that have all of these"},
    {"not-before", "TIME",
     "not handed out before: 15m from now, or a UTC time"},
    {"deadline", "TIME", "then it is dead: 2h from now, or a UTC time"},
    {"parent", "TASK", "cancelling that one cancels this one"},
    {"id", "OP", "operation id: said again, it is not done again"},
    {"bulk", "FILE", "a task for each line of FILE; - is standard input"},
    {"lines", "FORM", "text (a line is a payload; default) or json"},
    {NULL, NULL, NULL},
};
const struct command command_submit = {
    .name = "submit",
    .usage = "QUEUE [PAYLOAD|-]",
    .what = "put a task into a queue; prints its id",
    .more =
        "With --wait the id goes to standard error and the result to\n"
        "standard output; exit code 5 if the task failed, was cancelled\n"
        "or is dead. Partial results and questions go to standard error,\n"
        "with --json as events to standard output.\n\n"
        "A time is a duration from now, or like 2026-12-24T18:00:00Z.\n\n"
        "With --bulk the ids come out in the order of the lines, \"-\" for\n"
        "one that was refused, and why on standard error; then the exit\n"
        "code is 1, and all others stand. --lines json: a line is an\n"
        "object like those of `choir pipe`, whose members count before\n"
        "the options. --id OP: line N has the operation id OP-N, so the\n"
        "same file said again gives the same ids.",
    .options = options,
    .least = 1,
    .most = 2,
    .value_at = 1,
    .run = submit_run,
};
