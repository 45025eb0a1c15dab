/* choir put, rm: one key at a time. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"

/* The new revision, or with --json the whole answer. */
static int write_say(struct cli *cli, json_t *request)
{
    struct client *c;
    json_t *answer = NULL;
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

static void condition_add(const struct cli *cli, json_t *request)
{
    if (cli_option(cli, "if-revision"))
        json_object_set_new(
            request, "if_revision",
            json_integer((json_int_t)cli_number(cli, "if-revision", 0)));
    if (cli_option(cli, "id"))
        json_object_set_new(request, "operation_id",
                            json_string(cli_option(cli, "id")));
}

static void value_add(const struct cli *cli, json_t *request,
                      const struct buf *value, const char *type)
{
    json_t *any;

    if (type && strcmp(type, "json") == 0)
        type = JSON_TYPE;
    if (type)
        json_object_set_new(request, "type", json_string(type));
    if (!type || strcmp(type, JSON_TYPE) != 0) {
        bytes_to_json(request, "value", buf_bytes(value), NULL);
        return;
    }
    any = json_loadb((const char *)value->p, value->n,
                     JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                     NULL);
    if (!any)
        cli_wrong(cli, "a value of type " JSON_TYPE " is given as JSON, and "
                       "this is not");
    json_object_set_new(request, "value_json", any);
}

static void ttl_add(const struct cli *cli, json_t *request)
{
    if (cli_option(cli, "ttl"))
        json_object_set_new(
            request, "ttl_ms",
            json_integer((json_int_t)cli_duration_ms(cli, "ttl", 0)));
}

static int put_run(struct cli *cli)
{
    json_t *request = json_pack("{s:s, s:s}", "op", "put", "key", cli->args[0]);
    struct buf value = {0};

    if (cli_option(cli, "if-revision") && cli_option(cli, "if-absent"))
        cli_wrong(cli, "--if-revision and --if-absent exclude each other");
    cli_value(cli, cli->args[1], &value);
    value_add(cli, request, &value, cli_option(cli, "type"));
    buf_free(&value);
    condition_add(cli, request);
    ttl_add(cli, request);
    if (cli_option(cli, "if-absent"))
        json_object_set_new(request, "if_revision", json_integer(0));
    return write_say(cli, request);
}

static int rm_run(struct cli *cli)
{
    json_t *request =
        json_pack("{s:s, s:s}", "op", "delete", "key", cli->args[0]);

    condition_add(cli, request);
    return write_say(cli, request);
}

static const struct cli_option put_options[] = {
    {"if-revision", "N", "only if the key is at revision N"},
    {"if-absent", NULL, "only if there is no such key"},
    {"ttl", "TIME", "delete it by itself after so long: 30s, 10m, 1h"},
    {"type", "T", "media type; json: VALUE is JSON, kept as " JSON_TYPE},
    {"id", "OP", "operation id: said again, it is not done again"},
    {NULL, NULL, NULL},
};
const struct command command_put = {
    .name = "put",
    .usage = "KEY [VALUE|-]",
    .what = "write a key; prints the new revision",
    .more = "The value is stored as given, byte for byte; - or none reads\n"
            "standard input. CONFLICT says where the key is and who wrote it.",
    .options = put_options,
    .least = 1,
    .most = 2,
    .value_at = 1,
    .run = put_run,
};

static const struct cli_option rm_options[] = {
    {"if-revision", "N", "only if the key is at revision N"},
    {"id", "OP", "operation id: said again, it is not done again"},
    {NULL, NULL, NULL},
};
const struct command command_rm = {
    .name = "rm",
    .usage = "KEY",
    .what = "delete a key; prints the revision of the deletion",
    .more = "Its versions stay: choir get KEY --at N still reads them.",
    .options = rm_options,
    .least = 1,
    .most = 1,
    .run = rm_run,
};
