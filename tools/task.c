/* choir task: look at tasks, end them, answer them; and what a task says of
 * itself inside `choir work`. */
#include <stdlib.h>
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

/* Kinds of the items behind the task itself, as proto/README.md has them. */
enum kind {
    RESULT = 1,
    PARTIAL = 2,
    NEED = 3,
    CHILD = 4,
    CAPABILITY = 5,
    QUESTION = 6,
    INPUT = 7,
};

static const json_t *item_of(const json_t *items, enum kind kind)
{
    json_t *item;
    size_t i;

    json_array_foreach(items, i, item) if (i > 0 && member_uint(item, "kind") ==
                                                        kind) return item;
    return NULL;
}

static void moment_print(const json_t *task, const char *name,
                         const char *label)
{
    char time[32];

    if (!json_object_get(task, name))
        return;
    cli_time_text(member_uint(task, name), time);
    printf("%-9s %s\n", label, time);
}

/* Tasks it hangs together with, and capabilities: a line each. */
static void links_print(const json_t *items)
{
    json_t *item;
    size_t i;

    json_array_foreach(items, i, item)
    {
        uint64_t kind = i ? member_uint(item, "kind") : 0;

        if (kind == NEED || kind == CHILD)
            printf("%-9s %llu %s\n", kind == NEED ? "needs" : "child",
                   (unsigned long long)member_uint(item, "task"),
                   member_text(item, "state"));
        if (kind != CAPABILITY)
            continue;
        printf("takes     ");
        text_print(member_text(item, "name"));
        putchar('\n');
    }
}

static void show_print(struct client *c, const json_t *answer)
{
    const json_t *items = json_object_get(answer, "items");
    const json_t *task = json_array_get(items, 0);
    const json_t *partial = item_of(items, PARTIAL);

    printf("task      %llu\nstate     %s\nqueue     ",
           (unsigned long long)member_uint(task, "task"),
           member_text(task, "state"));
    text_print(member_text(task, "queue"));
    printf("\nspace     ");
    text_print(member_text(task, "space"));
    putchar('\n');
    moment_print(task, "time", "submitted");
    agent_print(c, task, "agent", "by");
    agent_print(c, task, "holder", "holder");
    printf("attempt   %llu of %llu\npriority  %llu\nlease     %llu ms\n",
           (unsigned long long)member_uint(task, "attempt"),
           (unsigned long long)member_uint(task, "max_attempts"),
           (unsigned long long)member_uint(task, "priority"),
           (unsigned long long)member_uint(task, "lease_ms"));
    moment_print(task, "not_before", "not before");
    moment_print(task, "deadline", "deadline");
    if (json_object_get(task, "parent"))
        printf("parent    %llu\n",
               (unsigned long long)member_uint(task, "parent"));
    links_print(items);
    if (json_object_get(task, "reason")) {
        printf("reason    ");
        text_print(member_text(task, "reason"));
        putchar('\n');
    }
    bytes_print(task, "value", "payload");
    bytes_print(task, "progress", "progress");
    bytes_print(item_of(items, QUESTION), "value", "question");
    bytes_print(item_of(items, INPUT), "value", "input");
    if (partial)
        printf("partials  %llu\n",
               (unsigned long long)member_uint(partial, "count"));
    bytes_print(partial, "value", "partial");
    bytes_print(item_of(items, RESULT), "value", "result");
}

static void member_move(json_t *task, const char *name, const json_t *item)
{
    struct buf b = {0};
    char why[WHY_BYTES];
    bool is_msgpack;

    if (item && bytes_from_json(item, "value", &b, &is_msgpack, why) == 1)
        bytes_to_json(task, name, buf_bytes(&b), is_msgpack ? JSON_TYPE : NULL);
    buf_free(&b);
}

static void link_move(json_t *task, const char *list, json_t *item)
{
    if (!json_object_get(task, list))
        json_object_set_new(task, list, json_array());
    json_object_del(item, "kind");
    json_array_append(json_object_get(task, list), item);
}

/* One object: the task, its payload as "value", and what hangs on it by name. */
static void show_json(json_t *answer)
{
    json_t *items = json_object_get(answer, "items");
    json_t *task = json_array_get(items, 0), *item;
    const json_t *partial = item_of(items, PARTIAL);
    size_t i;

    member_move(task, "result", item_of(items, RESULT));
    member_move(task, "partial", partial);
    member_move(task, "question", item_of(items, QUESTION));
    member_move(task, "input", item_of(items, INPUT));
    if (partial)
        json_object_set_new(
            task, "partials",
            json_integer((json_int_t)member_uint(partial, "count")));
    json_array_foreach(items, i, item)
    {
        uint64_t kind = i ? member_uint(item, "kind") : 0;

        if (kind == NEED)
            link_move(task, "needs", item);
        else if (kind == CHILD)
            link_move(task, "children", item);
        else if (kind == CAPABILITY)
            link_move(task, "capabilities", item);
    }
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

static int revision_say(const struct cli *cli, struct client *c,
                        json_t *request)
{
    json_t *answer;
    int r = client_ask(c, request, &answer);

    if (!r && cli->json)
        json_line(stdout, answer);
    else if (!r)
        printf("%llu\n", (unsigned long long)member_uint(answer, "revision"));
    json_decref(answer);
    return r;
}

static int change(struct cli *cli, struct client *c, const char *verb,
                  uint64_t task)
{
    const char *reason = cli_option(cli, "reason"), *id = cli_option(cli, "id");
    json_t *request =
        json_pack("{s:s, s:I}", "op", verb, "task", (json_int_t)task);

    if (reason && strcmp(verb, "cancel") == 0)
        json_object_set_new(request, "reason", json_string(reason));
    if (id)
        json_object_set_new(request, "operation_id", json_string(id));
    return revision_say(cli, c, request);
}

/* --- input, partial, progress ---------------------------------------------- */

static json_t *with_value(const struct cli *cli, const char *verb, int arg)
{
    json_t *request = json_pack("{s:s}", "op", verb);
    const char *type = cli_option(cli, "type"), *id = cli_option(cli, "id");
    struct buf value = {0};

    cli_value(cli, cli->args[arg], &value);
    bytes_to_json(request, "value", buf_bytes(&value), NULL);
    buf_free(&value);
    if (type)
        json_object_set_new(request, "type", json_string(type));
    if (id)
        json_object_set_new(request, "operation_id", json_string(id));
    return request;
}

static int input(struct cli *cli, struct client *c)
{
    json_t *request = with_value(cli, "input", 2);

    json_object_set_new(
        request, "task",
        json_integer((json_int_t)cli_number_arg(cli, 1, "TASK")));
    if (cli_option(cli, "question"))
        json_object_set_new(
            request, "revision",
            json_integer((json_int_t)cli_number(cli, "question", 0)));
    return revision_say(cli, c, request);
}

/* --- ask ------------------------------------------------------------------- */

static int input_print(struct client *c, uint64_t task)
{
    json_t *answer;
    struct buf value = {0};
    int r = client_ask(
        c, json_pack("{s:s, s:I}", "op", "task_get", "task", (json_int_t)task),
        &answer);

    if (!r) {
        member_value(item_of(json_object_get(answer, "items"), INPUT), &value);
        fwrite(value.p, 1, value.n, stdout);
        buf_free(&value);
    }
    json_decref(answer);
    return r;
}

/* Is the task still as the question left it? An exit code if it is not ours. */
static int waits_look(const json_t *task, uint64_t question, bool *waits)
{
    const char *state = member_text(task, "state");

    *waits = member_uint(task, "revision") <= question ||
             strcmp(state, "input_required") == 0;
    return *waits || strcmp(state, "working") == 0
               ? 0
               : cli_failed(CHOIR_TERMINAL,
                            "TERMINAL: the task is not ours any more");
}

/* It may have been answered before we began to listen. */
static int answer_await(struct client *c, uint64_t task, uint64_t question)
{
    bool waits = true;
    json_t *said;
    int r = client_begin(
        c, json_pack("{s:s, s:I}", "op", "await", "task", (json_int_t)task));

    if (!r)
        r = client_ask(
            c,
            json_pack("{s:s, s:I}", "op", "task_get", "task", (json_int_t)task),
            &said);
    if (!r) {
        r = waits_look(json_array_get(json_object_get(said, "items"), 0),
                       question, &waits);
        json_decref(said);
    }
    while (!r && waits) {
        r = client_next(c, -1, &said);
        if (!r && !said)
            return cli_failed(CHOIR_OUTCOME_UNKNOWN,
                              "OUTCOME_UNKNOWN: the broker stopped telling");
        if (!r)
            r = waits_look(said, question, &waits);
        json_decref(said);
    }
    return r;
}

static int ask(struct cli *cli, struct client *c)
{
    const char *variable = getenv("CHOIR_TASK");
    uint64_t task = variable ? strtoull(variable, NULL, 10) : 0;
    json_t *answer;
    int r = client_ask(c, with_value(cli, "ask_input", 1), &answer);
    uint64_t question = member_uint(answer, "revision");

    json_decref(answer);
    if (!r)
        r = answer_await(c, task, question);
    return r ? r : input_print(c, task);
}

/* --- The command ----------------------------------------------------------- */

static int cancel(struct cli *cli, struct client *c)
{
    return change(cli, c, "cancel", cli_number_arg(cli, 1, "TASK"));
}

static int requeue(struct cli *cli, struct client *c)
{
    return change(cli, c, "requeue", cli_number_arg(cli, 1, "TASK"));
}

static int partial(struct cli *cli, struct client *c)
{
    return revision_say(cli, c, with_value(cli, "partial", 1));
}

static int progress(struct cli *cli, struct client *c)
{
    return revision_say(cli, c, with_value(cli, "progress", 1));
}

static int show_task(struct cli *cli, struct client *c)
{
    return show(cli, c, cli_number_arg(cli, 1, "TASK"));
}

/* A socket may lead nowhere: then there is no lease to speak of. */
static int lease_check(struct client *c)
{
    return client_handle(c)
               ? cli_failed(CHOIR_FENCED,
                            "FENCED: no lease: this is for a command that "
                            "`choir work --exec` runs")
               : 0;
}

static int moved(struct cli *cli, struct client *c)
{
    int r = lease_check(c);

    return r ? r : task_moved(cli, c);
}

static int heed(struct cli *cli, struct client *c)
{
    int r = lease_check(c);

    return r ? r : task_heed(cli, c, cli->args[1]);
}

static const struct verb {
    const char *name, *takes;
    int least, most; /* arguments behind it */
    bool inside;     /* only in a command of choir work */
    int (*run)(struct cli *cli, struct client *c);
} verbs[] = {
    {"ls", "no argument", 0, 0, false, list},
    {"show", "TASK", 1, 1, false, show_task},
    {"cancel", "TASK", 1, 1, false, cancel},
    {"requeue", "TASK", 1, 1, false, requeue},
    {"input", "TASK and an answer", 1, 2, false, input},
    {"ask", "a question", 0, 1, true, ask},
    {"partial", "a value", 0, 1, true, partial},
    {"progress", "a value", 0, 1, true, progress},
    {"moved", "no argument", 0, 0, false, moved},
    {"heed", "refresh, ignore or abandon", 1, 1, false, heed},
};

enum { VERBS = sizeof verbs / sizeof *verbs };

static bool is_heed(const char *word)
{
    return strcmp(word, "refresh") == 0 || strcmp(word, "ignore") == 0 ||
           strcmp(word, "abandon") == 0;
}

static const struct verb *verb_find(const struct cli *cli)
{
    int given = cli->count - 1;

    for (size_t i = 0; i < VERBS; i++) {
        const struct verb *v = &verbs[i];

        if (strcmp(cli->args[0], v->name) != 0)
            continue;
        if (given < v->least || given > v->most ||
            (v->run == heed && !is_heed(cli->args[1])))
            cli_wrong(cli, "task %s takes %s", v->name, v->takes);
        if (strncmp(v->takes, "TASK", 4) == 0)
            cli_number_arg(cli, 1, "TASK"); /* before anything is opened */
        if (v->inside && !getenv("CHOIR_SOCKET"))
            cli_wrong(cli, "task %s is for a command that choir work runs",
                      v->name);
        return v;
    }
    cli_wrong(cli,
              "task %s: there is ls, show, cancel, requeue and input, and "
              "inside choir work ask, partial, progress, moved and heed",
              cli->args[0]);
}

static int task_run(struct cli *cli)
{
    const struct verb *v = verb_find(cli);
    struct client *c;
    int r = client_open(cli, &c);

    if (r)
        return r;
    r = v->run(cli, c);
    client_close(&c);
    return r;
}

static const struct cli_option options[] = {
    {"state", "S",
     "ls: queued, working, input_required, completed, failed, cancelled, dead"},
    {"queue", "QUEUE", "ls: of that queue only"},
    {"count", "N", "ls: at most N"},
    {"reason", "TEXT", "cancel, heed: why"},
    {"wait", NULL, "moved: until something has"},
    {"revision", "N", "heed: up to there; default: all that was told"},
    {"question", "R", "input: only if that is the question still"},
    {"type", "T", "media type of what is said"},
    {"id", "OP", "operation id: said again, it is not done again"},
    {NULL, NULL, NULL},
};
const struct command command_task = {
    .name = "task",
    .usage = "ls | show TASK | cancel TASK | requeue TASK |\n"
             "           input TASK [VALUE|-] | ask [VALUE|-] |\n"
             "           partial [VALUE|-] | progress [VALUE|-] |\n"
             "           moved | heed refresh|ignore|abandon",
    .what = "look at tasks, cancel them, queue them again, answer them",
    .more = "ls prints a line per task: id, state, attempts, queue, who\n"
            "submitted it and who works on it. cancel prints the revision;\n"
            "requeue of a task that failed, was cancelled or is dead makes a\n"
            "new one with the same payload and prints its id. What has a\n"
            "cancelled task as parent is cancelled with it.\n\n"
            "input answers a task that is input_required.\n\n"
            "Inside a command that `choir work` runs, ask asks whoever\n"
            "submitted the task, waits and prints the answer; no lease runs\n"
            "out meanwhile. partial says a piece of the result, which those\n"
            "who wait for the task get at once; progress how far it is, which\n"
            "the next attempt gets, too. moved prints what it has read and\n"
            "others have changed since: the revision it read, where the key\n"
            "is now, who wrote it; exit code 1 if nothing has. heed answers\n"
            "(recorded): refresh, I read it again; ignore, the result may\n"
            "stand in spite of it; abandon, the task goes back.",
    .options = options,
    .least = 1,
    .most = 3,
    .value_at = 2,
    .run = task_run,
};
