/* choir submit: put a task into a queue, and wait for it if asked to. */
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"

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

static json_t *request_make(const struct cli *cli)
{
    const char *type = cli_option(cli, "type"), *id = cli_option(cli, "id");
    json_t *request =
        json_pack("{s:s, s:s}", "op", "submit", "queue", cli->args[0]);
    const char *stale = cli_option(cli, "on-stale");
    struct buf payload = {0};

    if (stale && strcmp(stale, "reject") != 0 && strcmp(stale, "flag") != 0 &&
        strcmp(stale, "requeue") != 0)
        cli_wrong(cli, "--on-stale takes reject, flag or requeue");
    cli_value(cli, cli->args[1], &payload);
    bytes_to_json(request, "value", buf_bytes(&payload), NULL);
    buf_free(&payload);
    if (type)
        json_object_set_new(request, "type", json_string(type));
    if (id)
        json_object_set_new(request, "operation_id", json_string(id));
    if (stale)
        json_object_set_new(request, "stale", json_string(stale));
    number_add(cli, request, "priority", "priority");
    number_add(cli, request, "max-attempts", "max_attempts");
    duration_add(cli, request, "lease", "lease_ms");
    duration_add(cli, request, "backoff", "backoff_ms");
    return request;
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
    int r = client_begin(
        c, json_pack("{s:s, s:I}", "op", "await", "task", (json_int_t)task));

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
    }
    return r;
}

static int submit_run(struct cli *cli)
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

static const struct cli_option options[] = {
    {"wait", NULL, "wait for the end; prints the result instead"},
    {"priority", "P", "0 to 9; 9 is served first"},
    {"max-attempts", "N", "then the task is dead"},
    {"lease", "TIME", "how long a worker may be silent"},
    {"backoff", "TIME", "wait before the second attempt; then it doubles"},
    {"on-stale", "DO",
     "if it rests on what has changed: reject, flag, requeue"},
    {"type", "T", "media type of the payload"},
    {"id", "OP", "operation id: said again, it is not done again"},
    {NULL, NULL, NULL},
};
const struct command command_submit = {
    .name = "submit",
    .usage = "QUEUE [PAYLOAD|-]",
    .what = "put a task into a queue; prints its id",
    .more = "With --wait the id goes to standard error and the result to\n"
            "standard output; exit code 5 if the task failed, was cancelled\n"
            "or is dead.",
    .options = options,
    .least = 1,
    .most = 2,
    .value_at = 1,
    .run = submit_run,
};
