/* choir get: the bytes, and nothing but the bytes. */
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "json.h"

/* msgpack is of no use to a person: on a terminal it becomes JSON. */
static void value_show(const json_t *answer)
{
    json_t *any = json_object_get(answer, "value_json");
    bool terminal = isatty(STDOUT_FILENO);
    struct buf value = {0};

    if (any && terminal) {
        json_dumpf(any, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    } else {
        member_value(answer, &value);
        fwrite(value.p, 1, value.n, stdout);
    }
    if (terminal && (!value.n || value.p[value.n - 1] != '\n'))
        putchar('\n');
    buf_free(&value);
}

static int get_run(struct cli *cli)
{
    json_t *request = json_pack("{s:s, s:s}", "op", "get", "key", cli->args[0]);
    uint64_t at = cli_number(cli, "at", 0);
    json_t *answer = NULL;
    struct client *c;
    int r;

    if (cli_option(cli, "at"))
        json_object_set_new(request, "revision", json_integer((json_int_t)at));
    r = client_open(cli, &c);
    if (r) {
        json_decref(request);
        return r;
    }
    r = client_ask(c, request, &answer);
    if (!r && cli->json)
        json_line(stdout, answer);
    else if (!r)
        value_show(answer);
    json_decref(answer);
    client_close(&c);
    return r;
}

static const struct cli_option options[] = {
    {"at", "N", "as it was at revision N"},
    {NULL, NULL, NULL},
};
const struct command command_get = {
    .name = "get",
    .usage = "KEY",
    .what = "print a key's value, byte for byte",
    .more = "--json adds revision, writer, time, task and type.",
    .options = options,
    .least = 1,
    .most = 1,
    .run = get_run,
};
