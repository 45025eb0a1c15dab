/* choir queue ls | pause | resume | drain | limit. */
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"

static const char *const kinds[] = {"", "open", "paused", "draining"};

static const char *kind_name(uint64_t kind)
{
    return kind < sizeof kinds / sizeof *kinds ? kinds[kind] : "";
}

static void row_print(const json_t *queue)
{
    uint64_t open = member_uint(queue, "count");
    uint64_t waiting = member_uint(queue, "size");

    printf("%-9s  %8llu  %8llu  ", kind_name(member_uint(queue, "kind")),
           (unsigned long long)waiting, (unsigned long long)(open - waiting));
    if (member_uint(queue, "limit"))
        printf("%8llu  ", (unsigned long long)member_uint(queue, "limit"));
    else
        fputs("       -  ", stdout);
    cli_print_text(stdout, member_text(queue, "queue"));
    putchar('\n');
}

static void row_say(const struct cli *cli, json_t *queue)
{
    if (!cli->json) {
        row_print(queue);
        return;
    }
    json_object_set_new(queue, "state",
                        json_string(kind_name(member_uint(queue, "kind"))));
    json_line(stdout, queue);
}

static int list(struct cli *cli, struct client *c)
{
    json_t *after = NULL;
    int r;

    do {
        json_t *request = json_pack("{s:s}", "op", "queue_list"), *page, *item;
        size_t i;

        if (after)
            json_object_set_new(request, "after", after);
        r = client_ask(c, request, &page);
        json_array_foreach(json_object_get(page, "items"), i, item)
            row_say(cli, item);
        after = json_incref(json_object_get(page, "after"));
        json_decref(page);
    } while (!r && after);
    json_decref(after);
    return r;
}

static int set(struct cli *cli, struct client *c, json_t *request)
{
    json_t *answer = NULL;
    int r;

    json_object_set_new(request, "op", json_string("queue_set"));
    json_object_set_new(request, "queue", json_string(cli->args[1]));
    r = client_ask(c, request, &answer);
    if (!r && cli->json)
        json_line(stdout, answer);
    else if (!r)
        printf("%llu\n", (unsigned long long)member_uint(answer, "revision"));
    json_decref(answer);
    return r;
}

enum verb { LS, PAUSE, RESUME, DRAIN, LIMIT, NO_VERB };

static enum verb verb_of(const struct cli *cli)
{
    static const char *const names[] = {"ls", "pause", "resume", "drain",
                                        "limit"};
    static const int counts[] = {1, 2, 2, 2, 3};
    unsigned v = 0;

    while (v < NO_VERB && strcmp(cli->args[0], names[v]) != 0)
        v++;
    if (v == NO_VERB)
        cli_wrong(cli, "queue %s: there is ls, pause, resume, drain and limit",
                  cli->args[0]);
    if (cli->count != counts[v])
        cli_wrong(cli, "queue %s takes %s", names[v],
                  v == LS      ? "no argument"
                  : v == LIMIT ? "QUEUE and N"
                               : "QUEUE");
    return (enum verb)v;
}

static int queue_run(struct cli *cli)
{
    enum verb verb = verb_of(cli);
    uint64_t limit = verb == LIMIT ? cli_number_arg(cli, 2, "N") : 0;
    struct client *c;
    int r = client_open(cli, &c);

    if (r)
        return r;
    switch (verb) {
    case LS: r = list(cli, c); break;
    case LIMIT:
        r = set(cli, c, json_pack("{s:I}", "limit", (json_int_t)limit));
        break;
    default:
        r = set(cli, c,
                json_pack("{s:i}", "kind",
                          verb == PAUSE    ? 2
                          : verb == RESUME ? 1
                                           : 3));
    }
    client_close(&c);
    return r;
}

const struct command command_queue = {
    .name = "queue",
    .usage = "ls | pause QUEUE | resume QUEUE | drain QUEUE | limit QUEUE N",
    .what = "look at queues, stop and start them",
    .more =
        "ls prints a line per queue: open, paused or draining; tasks that\n"
        "wait; tasks that are in work; its own limit of open tasks; its name.\n"
        "A paused queue hands out nothing. A draining one takes no task and\n"
        "hands out what it has. resume opens either. limit N lets it have N\n"
        "open tasks at most, 0 as many as the broker allows. All but ls need\n"
        "the right admin on the queue.",
    .least = 1,
    .most = 3,
    .run = queue_run,
};
