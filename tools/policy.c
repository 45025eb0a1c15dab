/* choir policy: how writes under a prefix are merged. */
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"
#include "proto/schema.h"

static int policy_show(struct cli *cli, struct client *c)
{
    const char *prefix = cli->count ? cli->args[0] : "";
    json_t *answer = NULL, *item;
    size_t i;
    int r = client_ask(
        c, json_pack("{s:s, s:s}", "op", "policy_list", "prefix", prefix),
        &answer);

    if (!r && cli->json)
        json_line(stdout, answer);
    if (!r && !cli->json)
        json_array_foreach(json_object_get(answer, "items"), i, item)
        {
            printf("%-8s ", member_text(item, "rule"));
            cli_print_text(stdout, member_text(item, "prefix"));
            putchar('\n');
        }
    json_decref(answer);
    return r;
}

static int policy_set(struct cli *cli, struct client *c)
{
    json_t *answer = NULL;
    int r = client_ask(c,
                       json_pack("{s:s, s:s, s:s}", "op", "policy", "prefix",
                                 cli->args[0], "rule", cli->args[1]),
                       &answer);

    if (!r && cli->json)
        json_line(stdout, answer);
    else if (!r)
        printf("%llu\n", (unsigned long long)member_uint(answer, "revision"));
    json_decref(answer);
    return r;
}

static int policy_run(struct cli *cli)
{
    struct client *c;
    int r;

    if (cli->count == 2 &&
        merge_rule_number(bytes_text(cli->args[1])) == RULE_END)
        cli_wrong(cli,
                  "\"%s\": the policies are cas, merge, append, set, counter, "
                  "lww and none",
                  cli->args[1]);
    r = client_open(cli, &c);
    if (r)
        return r;
    r = cli->count == 2 ? policy_set(cli, c) : policy_show(cli, c);
    client_close(&c);
    return r;
}

const struct command command_policy = {
    .name = "policy",
    .usage = "[PREFIX [POLICY]]",
    .what = "say, or show, how writes under a prefix are merged",
    .more =
        "  cas      a write names the revision it replaces (--if-revision)\n"
        "  merge    the same, and changes at other paths of a map are kept\n"
        "  append   arrays: what it adds goes behind what is there\n"
        "  set      arrays: united, each element once\n"
        "  counter  whole numbers: added\n"
        "  lww      the last write wins, as without a policy\n"
        "  none     takes PREFIX's policy away\n\n"
        "The longest prefix of a key decides; '' is every key. Values that\n"
        "merge are put with --type json. Speaks as the broker's admin where\n"
        "its identity may be read.",
    .most = 2,
    .admin = true,
    .run = policy_run,
};
