/* choir key: the keys of this agent, or of another. */
#include <errno.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"

/* --- Of the identity we speak as ------------------------------------------- */

typedef int (*file_call)(struct choir *c, const char *path);

static int with_handle(struct cli *cli, file_call call, const char *path)
{
    struct choir *c;
    int r = handle_open(cli, &c);

    if (r)
        return r;
    r = path ? call(c, path) : choir_key_rotate(c);
    r = r ? cli_failed(r, NULL) : EXIT_DONE;
    if (!r && !path)
        puts(choir_identity_path(c));
    else if (!r)
        puts(path);
    choir_close(&c);
    return r;
}

static int recover(struct cli *cli)
{
    struct choir_options o;
    char *path;
    int r;

    handle_options(cli, &o);
    r = choir_recover(cli->args[1], cli->args[2], &o, &path);
    if (r)
        return cli_failed(r, NULL);
    puts(path);
    choir_free(path);
    return EXIT_DONE;
}

/* --- Of any agent ---------------------------------------------------------- */

static void key_print(const json_t *k)
{
    printf("%s  from %llu", member_text(k, "public_key"),
           (unsigned long long)member_uint(k, "created"));
    if (json_object_get(k, "revision"))
        printf("  until %llu", (unsigned long long)member_uint(k, "revision"));
    if (json_object_get(k, "seen"))
        printf("  suspect since %llu",
               (unsigned long long)member_uint(k, "seen"));
    putchar('\n');
}

static int list(struct cli *cli, struct client *c, json_t *agent)
{
    json_t *answer, *k;
    size_t i;
    int r = client_ask(c, json_pack("{s:s, s:O}", "op", "keys", "agent", agent),
                       &answer);

    json_array_foreach(json_object_get(answer, "items"), i, k)
    {
        if (cli->json)
            json_line(stdout, k);
        else
            key_print(k);
    }
    json_decref(answer);
    return r;
}

static int list_of(struct cli *cli)
{
    json_t *agent = NULL;
    struct client *c;
    int r = client_open(cli, &c);

    if (r)
        return r;
    if (cli->count > 1)
        r = client_agent_find(c, cli->args[1], &agent);
    else
        agent = json_string(choir_agent_id(client_handle(c)));
    if (!r)
        r = list(cli, c, agent);
    json_decref(agent);
    client_close(&c);
    return r;
}

/* A key of our own, as of a machine that was lost. */
static int revoke(struct cli *cli)
{
    json_t *answer = NULL;
    struct client *c;
    int r = client_open(cli, &c);

    if (r)
        return r;
    r = client_ask(c,
                   json_pack("{s:s, s:s, s:s}", "op", "revoke", "agent",
                             choir_agent_id(client_handle(c)), "public_key",
                             cli->args[1]),
                   &answer);
    if (!r)
        printf("%llu\n", (unsigned long long)member_uint(answer, "revision"));
    json_decref(answer);
    client_close(&c);
    return r;
}

/* --- The command ----------------------------------------------------------- */

static const struct {
    const char *name;
    int least, most; /* arguments, itself included */
    file_call call;  /* of the identity we speak as; or NULL */
} actions[] = {
    {"ls", 1, 2, NULL},           {"rotate", 1, 1, NULL},
    {"add", 2, 2, choir_key_add}, {"recovery", 2, 2, choir_key_recovery},
    {"recover", 3, 3, NULL},      {"revoke", 2, 2, NULL},
};

static int key_run(struct cli *cli)
{
    const char *what = cli->args[0];

    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(what, actions[i].name) != 0)
            continue;
        if (cli->count < actions[i].least || cli->count > actions[i].most)
            cli_wrong(cli, "key %s: too %s arguments", what,
                      cli->count < actions[i].least ? "few" : "many");
        if (actions[i].call || strcmp(what, "rotate") == 0)
            return with_handle(cli, actions[i].call,
                               actions[i].call ? cli->args[1] : NULL);
        if (strcmp(what, "recover") == 0)
            return recover(cli);
        return strcmp(what, "ls") == 0 ? list_of(cli) : revoke(cli);
    }
    cli_wrong(cli,
              "key %s: there is ls, rotate, add, recovery, recover and "
              "revoke",
              what);
}

const struct command command_key = {
    .name = "key",
    .usage = "ls [AGENT] | rotate | add FILE | recovery FILE |\n"
             "       recover FILE INVITATION | revoke KEY",
    .what = "change this agent's keys",
    .more =
        "An agent stays who it is while its keys change.\n"
        "rotate: a new key takes the place of the one in the identity file.\n"
        "add: a second one, for another machine, to FILE; use it with\n"
        "--identity FILE there. recovery: one to keep away from this machine.\n"
        "recover: with that one and an invitation, all others end. revoke: one\n"
        "of them ends, from this entry on. An administrator ends others' with\n"
        "`choir revoke` and doubts them with `choir suspect`.",
    .least = 1,
    .most = 3,
    .direct = true,
    .run = key_run,
};
