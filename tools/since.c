/* choir since: what changed after a revision. */
#include "changed.h"
#include "commands.h"
#include "json.h"

/* Where the next one goes on. */
static void end_print(const struct cli *cli, uint64_t revision)
{
    json_t *o;

    if (!cli->json) {
        fprintf(stderr, "complete up to revision %llu\n",
                (unsigned long long)revision);
        return;
    }
    o = json_pack("{s:s, s:I}", "event", "caught_up", "revision",
                  (json_int_t)revision);
    json_line(stdout, o);
    json_decref(o);
}

static int since_run(struct cli *cli)
{
    json_int_t from = (json_int_t)cli_number_arg(cli, 0, "N");
    const char *prefix = cli->count > 1 ? cli->args[1] : "";
    uint64_t revision = 0;
    struct client *c;
    int r = client_open(cli, &c);

    if (r)
        return r;
    r = changed_print(cli, c,
                      json_pack("{s:s, s:s, s:I}", "op", "since", "prefix",
                                prefix, "revision", from),
                      &revision);
    if (!r)
        end_print(cli, revision);
    client_close(&c);
    return r;
}

const struct command command_since = {
    .name = "since",
    .usage = "N [PREFIX]",
    .what = "what changed after revision N",
    .more = CHANGED_LINES,
    .options = changed_options,
    .least = 1,
    .most = 2,
    .run = since_run,
};
