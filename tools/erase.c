/* choir erase: have a value forgotten. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"

static json_t *request_of(const struct cli *cli)
{
    json_t *q = json_pack("{s:s}", "op", "erase");

    key_at_add(cli->args[0], q);
    if (cli_option(cli, "only"))
        json_object_set_new(q, "derived", json_integer(0));
    if (cli_option(cli, "reason"))
        json_object_set_new(q, "reason",
                            json_string(cli_option(cli, "reason")));
    return q;
}

/* One line a version; what was merged into it goes without saying. */
static void erased_show(const json_t *answer, const char *key)
{
    const json_t *item;
    uint64_t last = 0;
    size_t i;

    json_array_foreach(
        json_object_get(json_object_get(answer, "effect"), "items"), i, item)
    {
        bool derived = json_object_get(item, "key") != NULL;
        uint64_t revision = member_uint(item, "revision");

        if (revision != last)
            printf("%s@%llu%s\n", key, (unsigned long long)revision,
                   derived ? " derived" : "");
        last = revision;
    }
}

static int erase_run(struct cli *cli)
{
    json_t *request = request_of(cli), *answer = NULL;
    char *key = strdup(json_string_value(json_object_get(request, "key")));
    struct client *c;
    int r = client_open(cli, &c);

    if (r) {
        json_decref(request);
        free(key);
        return r;
    }
    r = client_ask(c, request, &answer);
    if (!r && cli->json)
        json_line(stdout, answer);
    else if (!r)
        erased_show(answer, key);
    json_decref(answer);
    client_close(&c);
    free(key);
    return r;
}

static const struct cli_option options[] = {
    {"only", NULL, "not what was merged from it later"},
    {"reason", "TEXT", "why; it stays in the record"},
    {NULL, NULL, NULL},
};
const struct command command_erase = {
    .name = "erase",
    .usage = "KEY[@N]",
    .what = "have a value forgotten, on the disk, too",
    .more =
        "Without @N the newest one. Prints what is gone: that version, and\n"
        "those that were merged from it. Who wrote it and when stays, and\n"
        "so do all proofs; whoever asks for it is told ERASED. This cannot\n"
        "be taken back.\n"
        "Speaks as the broker's admin where its identity may be read.",
    .options = options,
    .least = 1,
    .most = 1,
    .admin = true,
    .run = erase_run,
};
