/* choir ls, log: what there is, and what there was. Long answers come in
 * pages; all of them rest on the revision of the first. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"

typedef void (*item_print)(struct client *c, const json_t *item);

static void items_print(struct cli *cli, struct client *c, const json_t *page,
                        item_print print)
{
    json_t *item;
    size_t i;

    json_array_foreach(json_object_get(page, "items"), i, item)
    {
        if (cli->json)
            json_line(stdout, item);
        else
            print(c, item);
    }
}

static void key_print(struct client *c, const json_t *item)
{
    (void)c;
    cli_print_text(stdout, member_text(item, "key"));
    putchar('\n');
}

static void key_print_long(struct client *c, const json_t *item)
{
    const char *type = member_text(item, "type");

    printf("%8llu %8llu  %-16s %-12s ",
           (unsigned long long)member_uint(item, "revision"),
           (unsigned long long)member_uint(item, "size"),
           client_agent_name(c, member_text(item, "agent")),
           type[0] ? type : "-");
    key_print(c, item);
}

/* What came before is gone: the end, unless it is all that was asked for. */
static int page_get(struct client *c, const json_t *request, bool is_first,
                    json_t **page)
{
    json_t *again = json_deep_copy(request);
    char *line = NULL;
    int r;

    if (is_first)
        return client_ask(c, again, page);
    r = client_try(c, again, page, &line);
    if (r == CHOIR_COMPACTED) {
        fprintf(stderr, "older versions were compacted\n");
        json_decref(*page);
        *page = NULL;
        r = 0;
    } else if (r) {
        r = cli_failed(r, line);
    }
    free(line);
    return r;
}

/* Ask for page after page; `next` copies the place to go on from an answer
 * into the request and tells whether there is one. */
static int pages(struct cli *cli, json_t *request, item_print print,
                 bool (*next)(json_t *request, const json_t *page))
{
    uint64_t left = cli_number(cli, "count", UINT64_MAX);
    struct client *c;
    json_t *page = NULL;
    int r = client_open(cli, &c);
    bool more = !r && left > 0, is_first = true;

    while (more && !r) {
        if (left < 1000)
            json_object_set_new(request, "count",
                                json_integer((json_int_t)left));
        r = page_get(c, request, is_first, &page);
        if (!r) {
            items_print(cli, c, page, print);
            left -= json_array_size(json_object_get(page, "items"));
            more = page && left > 0 && next(request, page);
        }
        json_decref(page);
        is_first = false;
    }
    json_decref(request);
    client_close(&c);
    return r;
}

static bool ls_next(json_t *request, const json_t *page)
{
    const char *after = member_text(page, "after");

    if (!json_object_get(request, "revision"))
        json_object_set(request, "revision", json_object_get(page, "seen"));
    json_object_set_new(request, "after", json_string(after));
    return after[0] != '\0';
}

static int ls_run(struct cli *cli)
{
    json_t *request = json_pack("{s:s, s:s}", "op", "list", "prefix",
                                cli->count ? cli->args[0] : "");
    uint64_t at = cli_number(cli, "at", 0);

    if (cli_option(cli, "at"))
        json_object_set_new(request, "revision", json_integer((json_int_t)at));
    return pages(cli, request,
                 cli_option(cli, "long") ? key_print_long : key_print, ls_next);
}

static void version_print(struct client *c, const json_t *item)
{
    char time[32];

    cli_time_text(member_uint(item, "time"), time);
    printf("%8llu  %s  %-6s %8llu  ",
           (unsigned long long)member_uint(item, "revision"), time,
           member_text(item, "kind"),
           (unsigned long long)member_uint(item, "size"));
    cli_print_text(stdout, client_agent_name(c, member_text(item, "agent")));
    if (member_uint(item, "task"))
        printf("  task %llu", (unsigned long long)member_uint(item, "task"));
    putchar('\n');
}

static bool log_next(json_t *request, const json_t *page)
{
    uint64_t prev = member_uint(page, "prev");

    json_object_set_new(request, "revision", json_integer((json_int_t)prev));
    return prev != 0;
}

static int log_run(struct cli *cli)
{
    json_t *request = json_pack("{s:s, s:s}", "op", "log", "key", cli->args[0]);
    uint64_t from = cli_number(cli, "from", 0);

    if (cli_option(cli, "from"))
        json_object_set_new(request, "revision",
                            json_integer((json_int_t)from));
    return pages(cli, request, version_print, log_next);
}

static const struct cli_option ls_options[] = {
    {"at", "N", "as it was at revision N"},
    {"long", NULL, "with revision, size, writer and type"},
    {"count", "N", "at most N"},
    {NULL, NULL, NULL},
};
const struct command command_ls = {
    .name = "ls",
    .usage = "[PREFIX]",
    .what = "list the keys, or those that begin with PREFIX",
    .options = ls_options,
    .most = 1,
    .run = ls_run,
};

static const struct cli_option log_options[] = {
    {"from", "N", "from revision N on downwards"},
    {"count", "N", "at most N"},
    {NULL, NULL, NULL},
};
const struct command command_log = {
    .name = "log",
    .usage = "KEY",
    .what = "the versions of a key, newest first",
    .more = "Each line: revision, time, put or delete, size, writer, task.",
    .options = log_options,
    .least = 1,
    .most = 1,
    .run = log_run,
};
