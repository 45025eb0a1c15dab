/* choir grant, revoke: who may do what. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"

static int agent_change(struct cli *cli, json_t *request)
{
    json_t *id = NULL, *answer = NULL;
    struct client *c;
    int r = client_open(cli, &c);

    if (!r)
        r = client_agent_find(c, cli->args[0], &id);
    if (r) {
        json_decref(request);
    } else {
        json_object_set_new(request, "agent", id);
        r = client_ask(c, request, &answer);
    }
    if (!r && cli->json)
        json_line(stdout, answer);
    else if (!r)
        printf("%llu\n", (unsigned long long)member_uint(answer, "revision"));
    json_decref(answer);
    client_close(&c);
    return r;
}

static int grant_run(struct cli *cli)
{
    int rights = rights_of_names(cli->args[1]);
    const char *where = cli->count > 2 ? cli->args[2] : NULL;
    const char *space = cli->space;
    json_t *row;

    if (rights < 0)
        cli_wrong(cli,
                  "\"%s\": the verbs are read, write, submit, work, send, "
                  "tap, admin, all and none, with commas",
                  cli->args[1]);
    if (!space)
        space = getenv("CHOIR_SPACE");
    row = json_pack("{s:s, s:i}", "space", space && space[0] ? space : "main",
                    "rights", rights);
    if (where && strncmp(where, "queue:", 6) == 0)
        json_object_set_new(row, "queue", json_string(where + 6));
    else if (where)
        json_object_set_new(row, "prefix", json_string(where));
    return agent_change(
        cli, json_pack("{s:s, s:[o]}", "op", "grant", "grants", row));
}

static json_t *about_agent(struct cli *cli, const char *op)
{
    json_t *request = json_pack("{s:s}", "op", op);

    if (cli_option(cli, "reason"))
        json_object_set_new(request, "reason",
                            json_string(cli_option(cli, "reason")));
    if (cli_option(cli, "key"))
        json_object_set_new(request, "public_key",
                            json_string(cli_option(cli, "key")));
    return request;
}

static int revoke_run(struct cli *cli)
{
    return agent_change(cli, about_agent(cli, "revoke"));
}

static int suspect_run(struct cli *cli)
{
    uint64_t since = cli_number_arg(cli, 1, "N");
    json_t *request = about_agent(cli, "suspect");

    json_object_set_new(request, "revision", json_integer((json_int_t)since));
    return agent_change(cli, request);
}

const struct command command_grant = {
    .name = "grant",
    .usage = "AGENT VERB[,VERB] [PREFIX|queue:NAME]",
    .what = "say what an agent may do",
    .more =
        "Sets its rights there, in place of what it had there: read,\n"
        "write, submit, work, send, tap, admin, all or none; on keys that\n"
        "begin with PREFIX, on a queue, or in the whole space. --space '*'\n"
        "is every space: rights there count in each, and who enrolled by\n"
        "himself has his there. AGENT is a name or an id of 64 hex digits.\n"
        "Speaks as the broker's admin where its identity may be read.",
    .least = 2,
    .most = 3,
    .admin = true,
    .run = grant_run,
};

static const struct cli_option revoke_options[] = {
    {"reason", "TEXT", "why; it stays in the record"},
    {"key", "K", "one of its keys alone, 64 hex digits; see choir key ls"},
    {NULL, NULL, NULL},
};
const struct command command_revoke = {
    .name = "revoke",
    .usage = "AGENT",
    .what = "take an agent, or one of its keys, out of use",
    .more = "From the printed revision on nothing it signs is accepted, and\n"
            "nothing more is delivered to it. This cannot be taken back.",
    .options = revoke_options,
    .least = 1,
    .most = 1,
    .admin = true,
    .run = revoke_run,
};

const struct command command_suspect = {
    .name = "suspect",
    .usage = "AGENT N",
    .what = "doubt what an agent said from entry N on",
    .more = "Nothing is taken back and nothing ends: it is an entry, by which\n"
            "blame and impact show what the doubt reaches.",
    .options = revoke_options,
    .least = 2,
    .most = 2,
    .admin = true,
    .run = suspect_run,
};
