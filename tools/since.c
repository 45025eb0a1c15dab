/* choir since: what changed after a revision. */
#include <stdlib.h>
#include <string.h>

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

/* Where `choir resume` left the agent; 0: nowhere yet. Returns an exit code. */
static int mark_load(struct client *c, const char *prefix, uint64_t *revision)
{
    char name[65], *line;
    json_t *answer;
    int r;

    choir_resume_mark(prefix, name);
    r = client_try(c, json_pack("{s:s, s:s}", "op", "mark_list", "name", name),
                   &answer, &line);
    *revision = r ? 0 : member_uint(answer, "revision");
    if (r == CHOIR_NOT_FOUND)
        r = 0;
    else if (r)
        r = cli_failed(r, line);
    json_decref(answer);
    free(line);
    return r;
}

static bool is_number(const char *text)
{
    return text[0] && text[strspn(text, "0123456789")] == '\0';
}

static int since_run(struct cli *cli)
{
    bool given = cli->count == 2 || (cli->count && is_number(cli->args[0]));
    uint64_t from = given ? cli_number_arg(cli, 0, "N") : 0, revision = 0;
    const char *prefix = cli->count > given ? cli->args[given] : "";
    struct client *c;
    int r = client_open(cli, &c);

    if (r)
        return r;
    if (!given)
        r = mark_load(c, prefix, &from);
    if (!r)
        r = changed_print(cli, c,
                          json_pack("{s:s, s:s, s:I}", "op", "since", "prefix",
                                    prefix, "revision", (json_int_t)from),
                          &revision);
    if (!r)
        end_print(cli, revision);
    client_close(&c);
    return r;
}

const struct command command_since = {
    .name = "since",
    .usage = "[N] [PREFIX]",
    .what = "what changed after revision N, or since you were here",
    .more = CHANGED_LINES
    "\n\n"
    "Without N: since choir resume last said so; the mark stays where\n"
    "it is.",
    .options = changed_options,
    .most = 2,
    .run = since_run,
};
