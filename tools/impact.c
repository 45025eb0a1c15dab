/* choir impact: what was built on a value, or on all that an agent said. */
#include "commands.h"
#include "story.h"

static const struct cli_option options[] = {
    STORY_OPTIONS,
    {"agent", "AGENT", "of all that AGENT said"},
    {"since", "N", "with --agent: from entry N on"},
    {NULL, NULL, NULL},
};

static int agent_set(struct cli *cli, struct client *c, json_t *request)
{
    json_t *id;
    int r = client_agent_find(c, cli_option(cli, "agent"), &id);

    if (r)
        return r;
    json_object_set_new(request, "agent", id);
    json_object_set_new(request, "revision",
                        json_integer((json_int_t)cli_number(cli, "since", 0)));
    return 0;
}

static int impact_run(struct cli *cli)
{
    json_t *request;
    struct client *c;
    int r;

    if (!cli_option(cli, "agent") != (cli->count == 1))
        cli_wrong(cli, "either KEY[@N], or N, or --agent");
    if (cli_option(cli, "since") && !cli_option(cli, "agent"))
        cli_wrong(cli, "--since goes with --agent");
    r = client_open(cli, &c);
    if (r)
        return r;
    request = json_pack("{s:s}", "op", "impact");
    if (cli->count)
        story_about(cli->args[0], request);
    else
        r = agent_set(cli, c, request);
    if (!r)
        r = story_run(cli, c, request);
    else
        json_decref(request);
    client_close(&c);
    return r;
}

const struct command command_impact = {
    .name = "impact",
    .usage = "[KEY[@N]|N]",
    .what = "what was built on a value, on entry N, or on what an agent said",
    .more =
        "As choir why, the other way: each line says behind <- on what it\n"
        "rests. What was read outside of a lease is not known to the broker,\n"
        "and so are thoughts.",
    .options = options,
    .most = 1,
    .run = impact_run,
};
