/* choir append, incr: add to what is there, without reading it first. */
#include <errno.h>
#include <stdlib.h>

#include "client.h"
#include "commands.h"
#include "json.h"

static json_t *request_make(const struct cli *cli, const char *verb,
                            json_t *value)
{
    json_t *request = json_pack("{s:s, s:s, s:o}", "op", verb, "key",
                                cli->args[0], "value_json", value);

    if (cli_option(cli, "id"))
        json_object_set_new(request, "operation_id",
                            json_string(cli_option(cli, "id")));
    return request;
}

static int add_say(struct cli *cli, json_t *request)
{
    json_t *answer = NULL;
    struct client *c;
    int r = client_open(cli, &c);

    if (r) {
        json_decref(request);
        return r;
    }
    r = client_ask(c, request, &answer);
    if (!r && cli->json)
        json_line(stdout, answer);
    else if (!r)
        printf("%llu\n", (unsigned long long)member_uint(answer, "revision"));
    json_decref(answer);
    client_close(&c);
    return r;
}

static int append_run(struct cli *cli)
{
    struct buf value = {0};
    json_t *element;

    cli_value(cli, cli->args[1], &value);
    if (cli_option(cli, "json-value"))
        element = json_loadb(
            value.p ? (const char *)value.p : "", value.n,
            JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    else
        element = json_stringn(value.n ? (const char *)value.p : "", value.n);
    buf_free(&value);
    if (!element)
        cli_wrong(cli, cli_option(cli, "json-value")
                           ? "VALUE is not JSON"
                           : "VALUE is not text; an array holds text or JSON");
    return add_say(cli, request_make(cli, "append", element));
}

static int incr_run(struct cli *cli)
{
    const char *by = cli->args[1] ? cli->args[1] : "1";
    char *end;
    long long n;

    errno = 0;
    n = strtoll(by, &end, 10);
    if (errno || end == by || *end)
        cli_wrong(cli, "\"%s\": BY is a whole number of 64 bits", by);
    return add_say(cli, request_make(cli, "incr", json_integer(n)));
}

static const struct cli_option append_options[] = {
    {"json-value", NULL, "VALUE is JSON, not text"},
    {"id", "OP", "operation id: said again, it is not done again"},
    {NULL, NULL, NULL},
};
const struct command command_append = {
    .name = "append",
    .usage = "KEY [VALUE|-]",
    .what = "add an element to the array under a key; prints the revision",
    .more = "An absent key becomes an array of it. No append is ever lost,\n"
            "whoever else writes; under a policy `set` it is added once.",
    .options = append_options,
    .least = 1,
    .most = 2,
    .value_at = 1,
    .run = append_run,
};

static const struct cli_option incr_options[] = {
    {"id", "OP", "operation id: said again, it is not done again"},
    {NULL, NULL, NULL},
};
const struct command command_incr = {
    .name = "incr",
    .usage = "KEY [BY]",
    .what = "add to the number under a key; prints the revision",
    .more = "BY is 1 unless given, and may be negative: choir incr KEY -- -5.\n"
            "An absent key counts from 0; `choir get KEY` shows the sum.",
    .options = incr_options,
    .least = 1,
    .most = 2,
    .run = incr_run,
};
