/* choir diff: what changed between two revisions. */
#include "changed.h"
#include "commands.h"

static int diff_run(struct cli *cli)
{
    json_int_t from = (json_int_t)cli_number_arg(cli, 0, "N");
    json_int_t to = (json_int_t)cli_number_arg(cli, 1, "M");
    const char *prefix = cli->count > 2 ? cli->args[2] : "";
    uint64_t revision;
    struct client *c;
    int r;

    if (from > to)
        cli_wrong(cli, "N is the older one: %lld is larger than %lld",
                  (long long)from, (long long)to);
    r = client_open(cli, &c);
    if (r)
        return r;
    r = changed_print(cli, c,
                      json_pack("{s:s, s:s, s:I, s:I}", "op", "diff", "prefix",
                                prefix, "base", from, "revision", to),
                      &revision);
    client_close(&c);
    return r;
}

const struct command command_diff = {
    .name = "diff",
    .usage = "N M [PREFIX]",
    .what = "what changed between revisions N and M",
    .more = CHANGED_LINES,
    .options = changed_options,
    .least = 2,
    .most = 3,
    .run = diff_run,
};
