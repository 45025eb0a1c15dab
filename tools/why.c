/* choir why: what a value rests on. */
#include "commands.h"
#include "story.h"

static int why_run(struct cli *cli)
{
    json_t *request = json_pack("{s:s}", "op", "why");
    struct client *c;
    int r = client_open(cli, &c);

    if (r) {
        json_decref(request);
        return r;
    }
    story_about(cli->args[0], request);
    r = story_run(cli, c, request);
    client_close(&c);
    return r;
}

const struct command command_why = {
    .name = "why",
    .usage = "KEY[@N]|N",
    .what = "what a value, or entry N, rests on, back to the beginning",
    .more =
        "One line an entry: index, time, what, who, and behind <- what it\n"
        "rests on: read and listed under its lease, base it was made or\n"
        "merged from, lease, claim of a task, need, parent, reply, again,\n"
        "input. [hidden]: not for you to see. [more], [depth]: not told to the\n"
        "end. [reads lost]: its read set is no longer kept.",
    .options = story_options,
    .least = 1,
    .most = 1,
    .run = why_run,
};
