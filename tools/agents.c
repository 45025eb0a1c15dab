/* choir agents: who is there. */
#include "commands.h"
#include "json.h"
#include "roster.h"

static bool is_wanted(const struct cli *cli, const json_t *agent)
{
    if (cli_option(cli, "here"))
        return roster_is_here(agent);
    return cli_option(cli, "all") || !member_uint(agent, "revision");
}

static int agents_run(struct cli *cli)
{
    json_t *roster = NULL, *agent;
    struct client *c;
    size_t i;
    int r = client_open(cli, &c);

    if (r)
        return r;
    r = roster_load(c, &roster);
    if (!r && !cli->json)
        roster_head_print();
    json_array_foreach(roster, i, agent)
    {
        if (r || !is_wanted(cli, agent))
            continue;
        if (cli->json)
            json_line(stdout, agent);
        else
            roster_line_print(agent);
    }
    json_decref(roster);
    client_close(&c);
    return r;
}

static const struct cli_option options[] = {
    {"here", NULL, "only those heard of lately"},
    {"all", NULL, "also those whose key was revoked"},
    {NULL, NULL, NULL},
};
const struct command command_agents = {
    .name = "agents",
    .usage = "",
    .what = "who is there, how far behind, with which tasks",
    .more =
        "Each line: name; here, or away (not connected, or silent for the\n"
        "broker's presence_ms); model and other labels, as it reports them;\n"
        "open sessions; how many revisions, and for how long, the broker has\n"
        "been ahead of what it has seen; when it was heard of last; of what it\n"
        "read for its tasks, how much has moved since and was not answered;\n"
        "these tasks, as far as you may see them. - where the broker has not\n"
        "heard of it since it started. --json tells session by session.",
    .options = options,
    .run = agents_run,
};
