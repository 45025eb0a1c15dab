/* choir watch: changes as they happen. */
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"

static void change_print(struct client *c, const json_t *change)
{
    char time[32];
    json_t *item;
    size_t i;

    cli_time_text(member_uint(change, "time"), time);
    json_array_foreach(json_object_get(change, "items"), i, item)
    {
        struct buf value = {0};

        member_value(item, &value);
        printf("%8llu  %s  %-6s %8zu  ",
               (unsigned long long)member_uint(change, "revision"), time,
               member_text(item, "kind"), value.n);
        cli_print_text(stdout,
                       client_agent_name(c, member_text(change, "agent")));
        fputs("  ", stdout);
        cli_print_text(stdout, member_text(item, "key"));
        putchar('\n');
        buf_free(&value);
    }
}

/* Prints it; tells whether it counts. */
static bool event_print(struct cli *cli, struct client *c, const json_t *event)
{
    bool is_change = strcmp(member_text(event, "event"), "change") == 0;

    if (cli->json && json_object_get(event, "event"))
        json_line(stdout, event);
    else if (is_change)
        change_print(c, event);
    fflush(stdout);
    return is_change;
}

/* From the change we were told of on: 0 is "now" for the broker. */
static int watch_run(struct cli *cli)
{
    const char *prefix = cli->count ? cli->args[0] : "";
    uint64_t left = cli_number(cli, "count", UINT64_MAX);
    json_t *request =
        json_pack("{s:s, s:s, s:I}", "op", "watch", "prefix", prefix,
                  "revision", (json_int_t)cli_number(cli, "since", 0));
    struct client *c;
    int r;

    r = client_open(cli, &c);
    if (r) {
        json_decref(request);
        return r;
    }
    r = client_begin(c, request);
    while (!r && left > 0) {
        json_t *event;

        r = client_next(c, -1, &event);
        if (!r && !event)
            break;
        if (event && event_print(cli, c, event))
            left--;
        json_decref(event);
    }
    client_close(&c);
    return r;
}

static const struct cli_option options[] = {
    {"since", "N", "from revision N on; else only what comes now"},
    {"count", "N", "end after N changes"},
    {NULL, NULL, NULL},
};
const struct command command_watch = {
    .name = "watch",
    .usage = "[PREFIX]",
    .what = "print changes of keys as they happen",
    .more = "Each revision exactly once and in order, across restarts of the\n"
            "broker. Each line: revision, time, put or delete, size, writer,\n"
            "key. --json adds the values.",
    .options = options,
    .most = 1,
    .run = watch_run,
};
