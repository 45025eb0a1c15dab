/* choir resume: what changed since this agent was last here, for a prompt. */
#include <errno.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"
#include "proto/hash.h"

static void change_json(const struct choir_change *c)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:s, s:I, s:b}", "key", c->key,
                          "kind", c->deleted ? "delete" : "put", "revision",
                          (json_int_t)c->revision, "name", c->name, "time",
                          (json_int_t)c->time, "own", c->own);
    struct hash agent;
    char hex[HASH_HEX];

    memcpy(agent.b, c->agent, sizeof agent.b);
    hash_hex(&agent, hex);
    json_object_set_new(o, "agent", json_string(hex));

    if (c->is_known) {
        json_object_set_new(o, "prev", json_integer((json_int_t)c->prev));
        json_object_set_new(o, "count", json_integer((json_int_t)c->versions));
    }
    if (c->task)
        json_object_set_new(o, "task", json_integer((json_int_t)c->task));
    json_line(stdout, o);
    json_decref(o);
}

static void news_json(const struct choir_news *news)
{
    struct choir_change change;
    json_t *o;

    for (size_t i = 0; choir_news_item(news, i, &change); i++)
        change_json(&change);
    o = json_pack("{s:s, s:I, s:I, s:s}", "event", "caught_up", "base",
                  (json_int_t)choir_news_since(news), "revision",
                  (json_int_t)choir_news_revision(news), "text",
                  choir_news_text(news));
    json_line(stdout, o);
    json_decref(o);
}

/* Shown first: what was not read does not count as read. */
static int news_show(struct cli *cli, const struct choir_news *news)
{
    if (cli->json)
        news_json(news);
    else
        fputs(choir_news_text(news), stdout);
    if (fflush(stdout) || ferror(stdout))
        return cli_failed(-EIO, "EIO: standard output; the mark stays");
    if (cli_option(cli, "peek"))
        return 0;
    return choir_resume_done(news) ? cli_failed(choir_error_code(), NULL) : 0;
}

static int resume_run(struct cli *cli)
{
    struct choir_resume_options o = CHOIR_RESUME_INIT;
    struct choir_news *news;
    struct choir *c;
    int r;

    o.budget_bytes = cli_number(cli, "budget", 0);
    o.since = cli_number(cli, "since", 0);
    o.mark = cli_option(cli, "mark");
    r = handle_open(cli, &c);
    if (r)
        return r;
    r = choir_resume(c, cli->count ? cli->args[0] : "", &o, &news);
    r = r ? cli_failed(r, NULL) : news_show(cli, news);
    choir_news_free(&news);
    choir_close(&c);
    return r;
}

static const struct cli_option options[] = {
    {"budget", "BYTES", "at most so many; else 8000"},
    {"peek", NULL, "do not move the mark"},
    {"since", "N", "from revision N on, whatever the mark says"},
    {"mark", "NAME", "the mark; else one for each PREFIX"},
    {NULL, NULL, NULL},
};
const struct command command_resume = {
    .name = "resume",
    .usage = "[PREFIX]",
    .what = "what changed since this agent was last here, for a prompt",
    .more =
        "A line a key: what happened to it, by whom, when; behind it the lines\n"
        "that others changed, as far as they fit, and how much was left out.\n"
        "Then the mark moves, which the broker keeps for the agent: whoever\n"
        "comes next under this name, elsewhere or on another model, goes on\n"
        "from here.",
    .options = options,
    .most = 1,
    .direct = true,
    .run = resume_run,
};
