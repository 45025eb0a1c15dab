/* choir task ls | show | cancel | requeue | moved | heed. */
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"
#include "task_lease.h"

static void text_print(const char *s)
{
    cli_print_text(stdout, s);
}

static void row_print(struct client *c, const json_t *task)
{
    printf("%8llu  %-9s  %llu/%-3llu ",
           (unsigned long long)member_uint(task, "task"),
           member_text(task, "state"),
           (unsigned long long)member_uint(task, "attempt"),
           (unsigned long long)member_uint(task, "max_attempts"));
    text_print(member_text(task, "queue"));
    fputs("  ", stdout);
    text_print(client_agent_name(c, member_text(task, "agent")));
    if (json_object_get(task, "holder")) {
        fputs(" -> ", stdout);
        text_print(client_agent_name(c, member_text(task, "holder")));
    }
    putchar('\n');
}

static int list(struct cli *cli, struct client *c)
{
    uint64_t left = cli_number(cli, "count", UINT64_MAX), after = 0;
    int r = 0;

    do {
        json_t *request = json_pack("{s:s}", "op", "task_list"), *page, *item;
        size_t i;

        if (cli_option(cli, "state"))
            json_object_set_new(request, "state",
                                json_string(cli_option(cli, "state")));
        if (cli_option(cli, "queue"))
            json_object_set_new(request, "queue",
                                json_string(cli_option(cli, "queue")));
        if (after)
            json_object_set_new(request, "task",
                                json_integer((json_int_t)after));
        r = client_ask(c, request, &page);
        json_array_foreach(json_object_get(page, "items"), i, item)
        {
            if (r || left == 0)
                break;
            left--;
            if (cli->json)
                json_line(stdout, item);
            else
                row_print(c, item);
        }
        after = member_uint(page, "task");
        json_decref(page);
    } while (!r && after && left);
    return r;
}

/* --- show ------------------------------------------------------------------ */

static void bytes_print(const json_t *o, const char *name, const char *label)
{
    struct buf b = {0};
    char why[WHY_BYTES];
    bool is_msgpack;
    json_t *any;

    if (bytes_from_json(o, name, &b, &is_msgpack, why) == 1) {
        any = is_msgpack ? msgpack_to_json(buf_bytes(&b)) : NULL;
        printf("%-9s ", label);
        if (any) {
            json_dumpf(any, stdout, JSON_ENCODE_ANY);
            json_decref(any);
        } else if (b.n && bytes_utf8(buf_bytes(&b))) {
            buf_put(&b, "", 1);
            text_print((const char *)b.p);
        } else {
            printf("%zu bytes", b.n);
        }
        putchar('\n');
    }
    buf_free(&b);
}

static void agent_print(struct client *c, const json_t *o, const char *name,
                        const char *label)
{
    if (!json_object_get(o, name))
        return;
    printf("%-9s ", label);
    text_print(client_agent_name(c, member_text(o, name)));
    putchar('\n');
}

static void show_print(struct client *c, const json_t *answer)
{
    const json_t *items = json_object_get(answer, "items");
    const json_t *task = json_array_get(items, 0);
    char time[32];

    cli_time_text(member_uint(task, "time"), time);
    printf("task      %llu\nstate     %s\nqueue     ",
           (unsigned long long)member_uint(task, "task"),
           member_text(task, "state"));
    text_print(member_text(task, "queue"));
    printf("\nspace     ");
    text_print(member_text(task, "space"));
    printf("\nsubmitted %s\n", time);
    agent_print(c, task, "agent", "by");
    agent_print(c, task, "holder", "holder");
    printf("attempt   %llu of %llu\npriority  %llu\nlease     %llu ms\n",
           (unsigned long long)member_uint(task, "attempt"),
           (unsigned long long)member_uint(task, "max_attempts"),
           (unsigned long long)member_uint(task, "priority"),
           (unsigned long long)member_uint(task, "lease_ms"));
    if (json_object_get(task, "reason")) {
        printf("reason    ");
        text_print(member_text(task, "reason"));
        putchar('\n');
    }
    bytes_print(task, "value", "payload");
    bytes_print(task, "progress", "progress");
    bytes_print(json_array_get(items, 1), "value", "result");
}

/* One object: the task, its payload as "value", its result as "result". */
static void show_json(json_t *answer)
{
    json_t *items = json_object_get(answer, "items");
    json_t *task = json_array_get(items, 0);
    struct buf b = {0};
    char why[WHY_BYTES];
    bool is_msgpack;

    if (bytes_from_json(json_array_get(items, 1), "value", &b, &is_msgpack,
                        why) == 1)
        bytes_to_json(task, "result", buf_bytes(&b),
                      is_msgpack ? JSON_TYPE : NULL);
    buf_free(&b);
    json_line(stdout, task);
}

static int show(struct cli *cli, struct client *c, uint64_t task)
{
    json_t *answer;
    int r = client_ask(
        c, json_pack("{s:s, s:I}", "op", "task_get", "task", (json_int_t)task),
        &answer);

    if (!r && cli->json)
        show_json(answer);
    else if (!r)
        show_print(c, answer);
    json_decref(answer);
    return r;
}

/* --- cancel, requeue ------------------------------------------------------- */

static int change(struct cli *cli, struct client *c, const char *verb,
                  uint64_t task)
{
    json_t *request =
        json_pack("{s:s, s:I}", "op", verb, "task", (json_int_t)task);
    const char *reason = cli_option(cli, "reason");
    json_t *answer;
    int r;

    if (reason && strcmp(verb, "cancel") == 0)
        json_object_set_new(request, "reason", json_string(reason));
    r = client_ask(c, request, &answer);
    if (!r && cli->json)
        json_line(stdout, answer);
    else if (!r)
        printf("%llu\n", (unsigned long long)member_uint(answer, "revision"));
    json_decref(answer);
    return r;
}

static const char *const answers[] = {"refresh", "ignore", "abandon", NULL};

static bool is_one_of(const char *const *words, const char *word)
{
    for (; *words; words++)
        if (strcmp(*words, word) == 0)
            return true;
    return false;
}

static void words_check(const struct cli *cli)
{
    static const char *const alone[] = {"ls", "moved", NULL};
    static const char *const with_task[] = {"show", "cancel", "requeue", NULL};
    const char *what = cli->args[0];

    if (strcmp(what, "heed") == 0) {
        if (cli->count != 2 || !is_one_of(answers, cli->args[1]))
            cli_wrong(cli, "task heed needs refresh, ignore or abandon");
    } else if (is_one_of(alone, what)) {
        if (cli->count != 1)
            cli_wrong(cli, "task %s takes no argument", what);
    } else if (!is_one_of(with_task, what)) {
        cli_wrong(cli,
                  "task %s: there is ls, show, cancel, requeue, moved and heed",
                  what);
    } else if (cli->count != 2) {
        cli_wrong(cli, "task show, cancel and requeue need TASK");
    } else {
        (void)cli_number_arg(cli, 1, "TASK");
    }
}

/* What only a command of `choir work` can ask. */
static int lease_run(struct cli *cli, struct client *c, const char *what)
{
    if (client_handle(c))
        return cli_failed(CHOIR_FENCED,
                          "FENCED: no lease: this is for a command that `choir "
                          "work --exec` runs");
    return strcmp(what, "moved") == 0 ? task_moved(cli, c)
                                      : task_heed(cli, c, cli->args[1]);
}

static int command_run(struct cli *cli, struct client *c)
{
    const char *what = cli->args[0];

    if (strcmp(what, "ls") == 0)
        return list(cli, c);
    if (strcmp(what, "moved") == 0 || strcmp(what, "heed") == 0)
        return lease_run(cli, c, what);
    if (strcmp(what, "show") == 0)
        return show(cli, c, cli_number_arg(cli, 1, "TASK"));
    return change(cli, c, what, cli_number_arg(cli, 1, "TASK"));
}

static int task_run(struct cli *cli)
{
    struct client *c;
    int r;

    words_check(cli);
    r = client_open(cli, &c);
    if (!r)
        r = command_run(cli, c);
    client_close(&c);
    return r;
}

static const struct cli_option options[] = {
    {"state", "S", "ls: queued, working, completed, failed, cancelled, dead"},
    {"queue", "QUEUE", "ls: of that queue only"},
    {"count", "N", "ls: at most N"},
    {"reason", "TEXT", "cancel, heed: why"},
    {"wait", NULL, "moved: until something has"},
    {"revision", "N", "heed: up to there; default: all that was told"},
    {NULL, NULL, NULL},
};
const struct command command_task = {
    .name = "task",
    .usage = "ls | show TASK | cancel TASK | requeue TASK |\n"
             "                  moved | heed refresh|ignore|abandon",
    .what = "look at tasks, cancel them, queue them again",
    .more =
        "ls prints a line per task: id, state, attempts, queue, who\n"
        "submitted it and who works on it. cancel prints the revision;\n"
        "requeue of a task that failed, was cancelled or is dead makes a\n"
        "new one with the same payload and prints its id.\n\n"
        "Inside a command of `choir work`: moved prints what it has read\n"
        "and others have changed since: the revision it read, where the\n"
        "key is now, who wrote it; exit code 1 if nothing has. heed answers\n"
        "(recorded): refresh, I read it again; ignore, the result may\n"
        "stand in spite of it; abandon, the task goes back.",
    .options = options,
    .least = 1,
    .most = 2,
    .run = task_run,
};
