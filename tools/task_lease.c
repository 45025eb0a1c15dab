#include "task_lease.h"

#include <string.h>

#include "json.h"

static void row_print(struct client *c, const json_t *row)
{
    bool is_gone = strcmp(member_text(row, "kind"), "delete") == 0;

    printf("%8llu -> %-8llu ", (unsigned long long)member_uint(row, "prev"),
           (unsigned long long)member_uint(row, "revision"));
    cli_print_text(stdout, member_text(row, "key"));
    fputs("  ", stdout);
    cli_print_text(stdout, client_agent_name(c, member_text(row, "agent")));
    puts(is_gone ? "  deleted" : "");
}

int task_moved(struct cli *cli, struct client *c)
{
    json_t *request = json_pack("{s:s}", "op", "moved"), *answer, *row;
    bool waits = cli_option(cli, "wait") != NULL;
    bool is_there;
    size_t i;
    int r;

    if (waits)
        json_object_set_new(request, "wait", json_true());
    r = client_ask(c, request, &answer);
    is_there = !r && json_object_get(answer, "revision");
    if (is_there && cli->json)
        json_line(stdout, answer);
    json_array_foreach(json_object_get(answer, "items"), i, row) if (!cli->json)
        row_print(c, row);
    json_decref(answer);
    return r ? r : is_there ? EXIT_DONE : EXIT_REFUSED;
}

int task_heed(struct cli *cli, struct client *c, const char *answer)
{
    json_t *request = json_pack("{s:s, s:s}", "op", "heed", "kind", answer);
    const char *reason = cli_option(cli, "reason");
    json_t *said;
    int r;

    if (cli_option(cli, "revision"))
        json_object_set_new(
            request, "revision",
            json_integer((json_int_t)cli_number(cli, "revision", 0)));
    if (reason)
        json_object_set_new(request, "reason", json_string(reason));
    r = client_ask(c, request, &said);
    if (!r && cli->json)
        json_line(stdout, said);
    else if (!r)
        printf("%llu\n", (unsigned long long)member_uint(said, "revision"));
    json_decref(said);
    return r;
}
