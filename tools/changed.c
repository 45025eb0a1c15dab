/* One line a key: where it is now, and where it was. */
#include "changed.h"

#include "json.h"

static void line_print(struct client *c, const json_t *item)
{
    const json_t *prev = json_object_get(item, "prev");
    char time[32];

    cli_time_text(member_uint(item, "time"), time);
    printf("%8llu  %s  %-6s ",
           (unsigned long long)member_uint(item, "revision"), time,
           member_text(item, "kind"));
    if (prev)
        printf("%8llu %4llu  ", (unsigned long long)member_uint(item, "prev"),
               (unsigned long long)member_uint(item, "count"));
    else
        printf("%8s %4s  ", "?", "?");
    cli_print_text(stdout, client_agent_name(c, member_text(item, "agent")));
    fputs("  ", stdout);
    cli_print_text(stdout, member_text(item, "key"));
    if (member_uint(item, "task"))
        printf("  task %llu", (unsigned long long)member_uint(item, "task"));
    putchar('\n');
}

static void page_print(struct cli *cli, struct client *c, const json_t *page)
{
    json_t *item;
    size_t i;

    json_array_foreach(json_object_get(page, "items"), i, item)
    {
        if (cli->json)
            json_line(stdout, item);
        else
            line_print(c, item);
    }
}

/* Only the first page's revision holds for all of them. */
int changed_print(struct cli *cli, struct client *c, json_t *request,
                  uint64_t *revision)
{
    bool first = true, more = true;
    int r = 0;

    while (more && !r) {
        json_t *page = NULL;

        r = client_ask(c, json_incref(request), &page);
        if (!r) {
            const char *after = member_text(page, "after");

            page_print(cli, c, page);
            if (first)
                *revision = member_uint(page, "revision");
            first = false;
            more = after[0] != '\0';
            json_object_set_new(request, "after", json_string(after));
        }
        json_decref(page);
    }
    json_decref(request);
    return r;
}
