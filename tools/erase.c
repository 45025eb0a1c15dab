/* choir erase: have a value forgotten, or all that someone wrote. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "commands.h"
#include "json.h"
#include "proto/refusal.h"
#include "proto/schema.h"

enum { LOOK_MS = 50 };

/* --- What is asked for ---------------------------------------------------- */

static void names_check(struct cli *cli)
{
    const char *history = cli_option(cli, "history");
    const char *agent = cli_option(cli, "agent");
    const char *entry = cli_option(cli, "entry");
    int n = (cli->count != 0) + !!history + !!agent + !!entry;

    if (n != 1)
        cli_wrong(cli, "one of KEY, --history KEY, --agent A, --entry N");
}

/* An exit code. */
static int request_fill(struct cli *cli, struct client *c, json_t *q)
{
    const char *history = cli_option(cli, "history");
    const char *agent = cli_option(cli, "agent");
    json_t *id;
    int r;

    if (cli->count)
        key_at_add(cli->args[0], q);
    if (history)
        key_at_add(history, q);
    if (cli_option(cli, "entry"))
        json_object_set_new(
            q, "revision",
            json_integer((json_int_t)cli_number(cli, "entry", 0)));
    if (!cli->count)
        json_object_set_new(q, "kind",
                            json_integer(history ? ERASE_HISTORY
                                         : agent ? ERASE_AGENT
                                                 : ERASE_ENTRY));
    if (cli_option(cli, "only"))
        json_object_set_new(q, "derived", json_integer(0));
    if (cli_option(cli, "reason"))
        json_object_set_new(q, "reason",
                            json_string(cli_option(cli, "reason")));
    if (!agent)
        return 0;
    r = client_agent_find(c, agent, &id);
    if (!r)
        json_object_set_new(q, "agent", id);
    return r;
}

/* --- What is told --------------------------------------------------------- */

static void version_show(const char *key, uint64_t revision, bool derived)
{
    cli_print_text(stdout, key);
    printf("@%llu%s\n", (unsigned long long)revision,
           derived ? " derived" : "");
}

/* One line a version; what was merged into it goes without saying. */
static void erased_show(const json_t *answer, const char *key)
{
    const json_t *item;
    uint64_t last = 0;
    size_t i;

    json_array_foreach(
        json_object_get(json_object_get(answer, "effect"), "items"), i, item)
    {
        uint64_t revision = member_uint(item, "revision");

        if (revision != last)
            version_show(key, revision, json_object_get(item, "key") != NULL);
        last = revision;
    }
}

static int erasure_ask(struct client *c, uint64_t order, uint64_t slice,
                       json_t **answer)
{
    json_t *q =
        json_pack("{s:s, s:I}", "op", "erasure", "revision", (json_int_t)order);

    if (slice)
        json_object_set_new(q, "prev", json_integer((json_int_t)slice));
    return client_ask(c, q, answer);
}

/* Until the broker has gone through the record. *answer: owned. */
static int erasure_await(struct client *c, uint64_t order, json_t **answer)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000};
    int r;

    while (!(r = erasure_ask(c, order, 0, answer)) &&
           !member_uint(*answer, "revision")) {
        json_decref(*answer);
        *answer = NULL;
        nanosleep(&look, NULL);
    }
    return r;
}

static void derived_show(const json_t *answer)
{
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(answer, "items"), i, item) version_show(
        member_text(item, "key"), member_uint(item, "revision"), true);
}

/* The versions of a history, newest first; owned. Who may not list them is
 * told how many they are all the same. */
static json_t *versions_of(struct client *c, const char *key, uint64_t last)
{
    json_t *all = json_array(), *page, *item;
    size_t i;

    while (last) {
        page = NULL;
        if (client_try(c,
                       json_pack("{s:s, s:s, s:I}", "op", "log", "key", key,
                                 "revision", (json_int_t)last),
                       &page, NULL))
            last = 0;
        json_array_foreach(json_object_get(page, "items"), i, item)
        {
            if (strcmp(member_text(item, "kind"), "delete") != 0)
                json_array_append(all, json_object_get(item, "revision"));
        }
        last = last ? member_uint(page, "prev") : 0;
        json_decref(page);
    }
    return all;
}

/* Oldest first, as all that was made of them is told. */
static json_t *turned_round(json_t *all)
{
    json_t *out = json_array();

    for (size_t i = json_array_size(all); i-- > 0;)
        json_array_append(out, json_array_get(all, i));
    json_decref(all);
    return out;
}

/* What no slice names: the history's own versions. */
static void history_show(struct cli *cli, struct client *c,
                         const json_t *request, uint64_t order, json_t *answer)
{
    const char *key = member_text(request, "key");
    uint64_t last = member_uint(request, "revision");
    json_t *versions = turned_round(versions_of(c, key, last ? last : order));
    const json_t *revision;
    size_t i;

    if (cli->json) {
        json_object_set_new(answer, "versions", versions);
        return;
    }
    json_array_foreach(versions, i, revision)
        version_show(key, (uint64_t)json_integer_value(revision), false);
    json_decref(versions);
}

/* Slice by slice, from the last one back. */
static int rule_show(struct cli *cli, struct client *c, uint64_t order,
                     const json_t *request)
{
    json_t *answer = NULL;
    int r = erasure_await(c, order, &answer);
    uint64_t slice = 1;

    if (!r && !cli->json)
        printf("%llu payloads\n",
               (unsigned long long)member_uint(answer, "count"));
    if (!r && cli_option(cli, "history"))
        history_show(cli, c, request, order, answer);
    while (!r && slice) {
        if (cli->json)
            json_line(stdout, answer);
        else
            derived_show(answer);
        slice = member_uint(answer, "prev");
        json_decref(answer);
        answer = NULL;
        if (slice)
            r = erasure_ask(c, order, slice, &answer);
    }
    json_decref(answer);
    return r;
}

static int answer_show(struct cli *cli, struct client *c, const json_t *answer,
                       const json_t *request)
{
    if (!cli->count)
        return rule_show(cli, c, member_uint(answer, "revision"), request);
    if (cli->json)
        json_line(stdout, answer);
    else
        erased_show(answer, member_text(request, "key"));
    return 0;
}

/* The record knows no FUTURE: an order by rule that names what comes after it
 * is INVALID there, which says nothing to a person. */
static int ask(struct cli *cli, struct client *c, const json_t *request,
               json_t **answer)
{
    uint64_t named = member_uint(request, "revision");
    char *line = NULL, *future = NULL;
    int r = client_try(c, json_deep_copy(request), answer, &line);

    if (!r) {
        free(line);
        return 0;
    }
    if (r != CHOIR_INVALID || cli->count ||
        named < member_uint(*answer, "revision"))
        return client_failed(c, r, *answer, line);
    free(line);
    if (asprintf(&future, "FUTURE revision=%llu: %s", (unsigned long long)named,
                 refusal_sentence(CHOIR_FUTURE)) < 0)
        future = NULL;
    return client_failed(c, CHOIR_FUTURE, *answer, future);
}

static int erase_run(struct cli *cli)
{
    json_t *request, *answer = NULL;
    struct client *c;
    int r;

    names_check(cli);
    r = client_open(cli, &c);
    if (r)
        return r;
    request = json_pack("{s:s}", "op", "erase");
    r = request_fill(cli, c, request);
    if (!r)
        r = ask(cli, c, request, &answer);
    if (!r)
        r = answer_show(cli, c, answer, request);
    json_decref(request);
    json_decref(answer);
    client_close(&c);
    return r;
}

static const struct cli_option options[] = {
    {"history", "KEY[@N]", "every version of the key, up to revision N"},
    {"agent", "AGENT", "all that the agent wrote, tasks and messages too"},
    {"entry", "N", "whatever entry N carries"},
    {"only", NULL, "not what was merged from it later"},
    {"reason", "TEXT", "why; it stays in the record"},
    {NULL, NULL, NULL},
};
const struct command command_erase = {
    .name = "erase",
    .usage = "KEY[@N] | --history KEY | --agent AGENT | --entry N",
    .what = "have values forgotten, on the disk, too",
    .more =
        "KEY without @N is its newest value. Prints the versions that are\n"
        "gone, those that were merged from them marked `derived`; by rule\n"
        "how many payloads, the versions of a history, and what was derived,\n"
        "once all is gone through.\n"
        "Who wrote it and when stays, and so do all proofs; whoever asks\n"
        "for it is told ERASED. This cannot be taken back.\n"
        "--space '*' with --agent is every space.\n"
        "Speaks as the broker's admin where its identity may be read.",
    .options = options,
    .most = 1,
    .admin = true,
    .run = erase_run,
};
