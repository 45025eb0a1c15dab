/* One line a key: where it is now, and where it was; and behind it the lines in
 * which what was written differs. */
#include "changed.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

/* --- Where it stands -------------------------------------------------------- */

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

/* --- What was written ------------------------------------------------------- */

struct value {
    struct buf bytes;
    char *type; /* owned; or NULL */
    bool gone;  /* erased, or compacted */
};

static void value_free(struct value *v)
{
    buf_free(&v->bytes);
    free(v->type);
    *v = (struct value){0};
}

/* As it was at that revision; 0: never. Returns an exit code. */
static int value_get(struct client *c, const char *key, uint64_t revision,
                     struct value *v)
{
    json_t *answer = NULL;
    char *line = NULL;
    int r;

    *v = (struct value){0};
    if (!revision)
        return 0;
    r = client_try(c,
                   json_pack("{s:s, s:s, s:I}", "op", "get", "key", key,
                             "revision", (json_int_t)revision),
                   &answer, &line);
    if (!r) {
        member_value(answer, &v->bytes);
        if (json_object_get(answer, "type"))
            v->type = strdup(member_text(answer, "type"));
    } else if (r == CHOIR_NOT_FOUND || r == CHOIR_COMPACTED) {
        v->gone = true;
        r = 0;
    } else {
        r = cli_failed(r, line);
    }
    json_decref(answer);
    free(line);
    return r;
}

static void lines_print(const char *text)
{
    bool color = cli_color(stdout);

    while (*text) {
        size_t n = strcspn(text, "\n");
        const char *paint = *text == '+'   ? "\033[32m"
                            : *text == '-' ? "\033[31m"
                                           : "";

        printf("          %s%.*s%s\n", color ? paint : "", (int)n, text,
               color && *paint ? "\033[0m" : "");
        text += n + (text[n] == '\n');
    }
}

static int difference_print(const struct value *before,
                            const struct value *after)
{
    static const char gone[] = "(no longer kept)";
    char *texts[2] = {NULL, NULL}, *diff = NULL;
    int r = choir_value_text(before->bytes.p, before->bytes.n, before->type,
                             &texts[0]);

    if (!r)
        r = choir_value_text(after->bytes.p, after->bytes.n, after->type,
                             &texts[1]);
    if (!r)
        r = choir_text_diff(before->gone ? gone : texts[0],
                            after->gone ? gone : texts[1], 3, &diff);
    if (!r)
        lines_print(diff);
    choir_free(texts[0]);
    choir_free(texts[1]);
    choir_free(diff);
    return r ? cli_failed(r, NULL) : 0;
}

/* --- One key ---------------------------------------------------------------- */

static void json_print(json_t *item, const struct value *before,
                       const struct value *after)
{
    if (member_uint(item, "prev") && !before->gone)
        bytes_to_json(item, "prev_value", buf_bytes(&before->bytes),
                      before->type);
    if (strcmp(member_text(item, "kind"), "put") == 0 && !after->gone)
        bytes_to_json(item, "value", buf_bytes(&after->bytes), after->type);
    json_line(stdout, item);
}

/* upto: at that revision the newest version can be had, whatever was compacted
 * meanwhile. */
static int values_print(struct cli *cli, struct client *c, json_t *item,
                        uint64_t upto)
{
    uint64_t revision = member_uint(item, "revision");
    const char *key = member_text(item, "key");
    bool deleted = strcmp(member_text(item, "kind"), "delete") == 0;
    struct value before, after = {0};
    int r = value_get(c, key, member_uint(item, "prev"), &before);

    if (!r && !deleted)
        r = value_get(c, key, revision > upto ? revision : upto, &after);
    if (!r && cli->json) {
        json_print(item, &before, &after);
    } else if (!r) {
        line_print(c, item);
        r = difference_print(&before, &after);
    }
    value_free(&before);
    value_free(&after);
    return r;
}

static int item_print(struct cli *cli, struct client *c, json_t *item,
                      uint64_t upto)
{
    if (!cli_option(cli, "keys-only"))
        return values_print(cli, c, item, upto);
    if (cli->json)
        json_line(stdout, item);
    else
        line_print(c, item);
    return 0;
}

static int page_print(struct cli *cli, struct client *c, const json_t *page,
                      uint64_t upto)
{
    json_t *item;
    size_t i;
    int r = 0;

    json_array_foreach(json_object_get(page, "items"), i, item)
    {
        r = item_print(cli, c, item, upto);
        if (r)
            break;
    }
    return r;
}

const struct cli_option changed_options[] = {
    {"keys-only", NULL, "without what was written"},
    {NULL, NULL, NULL},
};

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

            if (first)
                *revision = member_uint(page, "revision");
            r = page_print(cli, c, page, *revision);
            first = false;
            more = after[0] != '\0';
            json_object_set_new(request, "after", json_string(after));
        }
        json_decref(page);
    }
    json_decref(request);
    return r;
}
