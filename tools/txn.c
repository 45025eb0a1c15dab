/* choir txn: compares, then writes, all or nothing. */
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"

static json_t *txn_read(const struct cli *cli)
{
    const char *path = cli->count ? cli->args[0] : "-";
    struct buf text = {0};
    json_error_t where;
    json_t *request;
    int r = cli_read_file(path, &text);

    if (r)
        cli_wrong(cli, "%s: %s", path, strerror(-r));
    request = json_loadb(text.p ? (const char *)text.p : "", text.n,
                         JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    buf_free(&text);
    if (!request)
        cli_wrong(cli, "%s:%d: %s", path, where.line, where.text);
    if (!json_is_object(request))
        cli_wrong(cli, "%s: a transaction is a JSON object", path);
    return request;
}

static int txn_run(struct cli *cli)
{
    json_t *request = txn_read(cli), *answer = NULL;
    struct client *c;
    int r;

    json_object_set_new(request, "op", json_string("txn"));
    if (cli_option(cli, "id"))
        json_object_set_new(request, "operation_id",
                            json_string(cli_option(cli, "id")));
    r = client_open(cli, &c);
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

static const struct cli_option options[] = {
    {"id", "OP", "operation id: said again, it is not done again"},
    {NULL, NULL, NULL},
};
const struct command command_txn = {
    .name = "txn",
    .usage = "[FILE|-]",
    .what = "write several keys together, if all compares hold",
    .more =
        "Reads one JSON object; prints the one revision of all its writes.\n\n"
        "  {\"compares\": [{\"key\": \"plan\", \"revision\": 40},\n"
        "                {\"key\": \"new\", \"revision\": 0},\n"
        "                {\"prefix\": \"src/\", \"revision\": 52}],\n"
        "   \"writes\": [{\"key\": \"plan\", \"value\": \"two\"},\n"
        "              {\"key\": \"list\", \"value_json\": [1, 2]},\n"
        "              {\"key\": \"old\"}]}\n\n"
        "A compare with a key holds if it is at that revision (0: absent),\n"
        "one with a prefix if nothing below it changed after it. A write\n"
        "without a value deletes.",
    .options = options,
    .most = 1,
    .run = txn_run,
};
