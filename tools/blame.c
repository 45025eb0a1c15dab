/* choir blame: who is responsible for a value, and for each place in it. */
#include <string.h>

#include "commands.h"
#include "json.h"
#include "story.h"

enum { LIMIT_DEFAULT = 1000, PAGE = 1000 };

struct blame {
    struct cli *cli;
    struct client *c;
    json_t *nodes, *places, *shares; /* arrays */
    json_t *known; /* revision -> its node; name of a place -> true */
    size_t limit;
    bool is_cut;
};

/* --- Gathering -------------------------------------------------------------- */

static json_t *node_of(const struct blame *b, uint64_t revision)
{
    char name[24];

    snprintf(name, sizeof name, "%llu", (unsigned long long)revision);
    return json_object_get(b->known, name);
}

static void entry_add(struct blame *b, json_t *item)
{
    uint64_t revision = member_uint(item, "revision");
    char name[24];

    if (node_of(b, revision))
        return;
    snprintf(name, sizeof name, "%llu", (unsigned long long)revision);
    json_array_append(b->nodes, item);
    json_object_set(b->known, name, item);
}

static void item_add(struct blame *b, json_t *item)
{
    const char *kind = member_text(item, "kind");
    const char *place = member_text(item, "text"); /* begins with a slash */
    bool is_share = strcmp(kind, "share") == 0;
    bool is_entry = strcmp(kind, "entry") == 0;

    json_object_del(item, "kind");
    if (is_entry) {
        entry_add(b, item);
    } else if (is_share) {
        json_array_append(b->shares, item);
    } else if (!json_object_get(b->known, place)) {
        json_array_append(b->places, item);
        json_object_set_new(b->known, place, json_true());
    }
}

/* Returns an exit code; request: where to go on, if *more. */
static int page_ask(struct blame *b, json_t *request, bool *more)
{
    json_t *answer = NULL, *item;
    size_t i;
    int r = client_ask(b->c, json_deep_copy(request), &answer);

    *more = false;
    json_array_foreach(json_object_get(answer, "items"), i, item)
        item_add(b, item);
    json_object_set(request, "revision", json_object_get(answer, "revision"));
    json_object_del(request, "prev");
    json_object_del(request, "after");
    if (json_object_get(answer, "prev")) {
        json_object_set(request, "prev", json_object_get(answer, "prev"));
        *more = true;
    }
    if (json_object_get(answer, "after")) {
        json_object_set(request, "after", json_object_get(answer, "after"));
        *more = true;
    }
    json_decref(answer);
    return r;
}

static int gather(struct blame *b, json_t *request)
{
    bool more = true;
    int r = 0;

    json_object_set_new(
        request, "count",
        json_integer((json_int_t)(b->limit < PAGE ? b->limit : PAGE)));
    while (!r && more && json_array_size(b->places) < b->limit)
        r = page_ask(b, request, &more);
    b->is_cut = more;
    json_decref(request);
    return r;
}

/* --- Telling ---------------------------------------------------------------- */

static void author_print(struct blame *b, const json_t *node)
{
    fputs("  ", stdout);
    story_author_print(b->c, node);
    if (member_uint(node, "task"))
        printf("  task %llu", (unsigned long long)member_uint(node, "task"));
    putchar('\n');
}

static void when_print(const json_t *item, const json_t *node)
{
    char time[32];

    cli_time_text(member_uint(node, "time"), time);
    printf("%8llu  %s  %-8s ",
           (unsigned long long)member_uint(item, "revision"), time,
           member_text(node, "operation"));
}

/* It was so in that revision, and what was before is not kept. */
static void older_print(const json_t *item)
{
    printf("%8llu  or before it: %s",
           (unsigned long long)member_uint(item, "revision"),
           member_text(item, "reason"));
}

static void version_print(struct blame *b, const json_t *node)
{
    const char *reason = member_text(node, "reason");

    when_print(node, node);
    cli_print_text(stdout, member_text(node, "key"));
    if (!json_object_get(node, "size"))
        fputs(" (deleted)", stdout);
    else if (reason[0] && strcmp(reason, "hidden") != 0)
        printf(" (%s)", reason);
    author_print(b, node);
}

static void place_print(struct blame *b, const json_t *place)
{
    const json_t *node = node_of(b, member_uint(place, "revision"));
    bool is_older = json_object_get(place, "reason");

    if (is_older) {
        older_print(place);
        fputs("  ", stdout);
    } else {
        when_print(place, node);
    }
    cli_print_text(stdout, member_text(place, "text"));
    if (is_older)
        putchar('\n');
    else
        author_print(b, node);
}

static void share_print(struct blame *b, const json_t *share)
{
    const json_t *node = node_of(b, member_uint(share, "revision"));
    json_int_t sum = json_integer_value(json_object_get(share, "value_json"));
    uint64_t count = member_uint(share, "count");

    if (json_object_get(share, "reason")) {
        older_print(share);
        printf("  %+lld\n", (long long)sum);
        return;
    }
    when_print(share, node);
    printf("%+lld", (long long)sum);
    if (count > 1)
        printf(" in %llu versions", (unsigned long long)count);
    author_print(b, node);
}

static void text_print(struct blame *b)
{
    json_t *item;
    size_t i;

    version_print(b, json_array_get(b->nodes, 0));
    json_array_foreach(b->places, i, item) place_print(b, item);
    json_array_foreach(b->shares, i, item) share_print(b, item);
}

/* The value, and an arrow for each part of it to the entry it is from. */
static void dot_print(struct blame *b)
{
    json_t *item;
    size_t i;

    printf("digraph choir {\n  rankdir=RL;\n  node [shape=box];\n"
           "  value [shape=ellipse, label=\"");
    story_dot_text(member_text(json_array_get(b->nodes, 0), "key"));
    printf("\"];\n");
    json_array_foreach(b->nodes, i, item) story_node_dot(b->c, item);
    printf("  value -> n%llu;\n", (unsigned long long)member_uint(
                                      json_array_get(b->nodes, 0), "revision"));
    json_array_foreach(b->places, i, item)
    {
        printf("  value -> n%llu [label=\"",
               (unsigned long long)member_uint(item, "revision"));
        story_dot_text(member_text(item, "text"));
        printf("\"%s];\n",
               json_object_get(item, "reason") ? ", style=dashed" : "");
    }
    json_array_foreach(b->shares, i, item) printf(
        "  value -> n%llu [label=\"%+lld\"%s];\n",
        (unsigned long long)member_uint(item, "revision"),
        (long long)json_integer_value(json_object_get(item, "value_json")),
        json_object_get(item, "reason") ? ", style=dashed" : "");
    printf("}\n");
}

static void print(struct blame *b)
{
    json_t *all;

    if (b->cli->json) {
        all = json_pack("{s:O, s:O, s:O, s:b}", "nodes", b->nodes, "places",
                        b->places, "shares", b->shares, "more", b->is_cut);
        json_line(stdout, all);
        json_decref(all);
    } else if (cli_option(b->cli, "dot")) {
        dot_print(b);
    } else {
        text_print(b);
    }
    if (b->is_cut)
        fprintf(stderr, "there is more: --limit %zu\n", 10 * b->limit);
}

static int blame_run(struct cli *cli)
{
    struct blame b = {
        .cli = cli,
        .limit = (size_t)cli_number(cli, "limit", LIMIT_DEFAULT),
    };
    json_t *request = json_pack("{s:s}", "op", "blame");
    int r = client_open(cli, &b.c);

    if (r) {
        json_decref(request);
        return r;
    }
    key_at_add(cli->args[0], request);
    b.nodes = json_array();
    b.places = json_array();
    b.shares = json_array();
    b.known = json_object();
    r = gather(&b, request);
    if (!r)
        print(&b);
    json_decref(b.nodes);
    json_decref(b.places);
    json_decref(b.shares);
    json_decref(b.known);
    client_close(&b.c);
    return r;
}

static const struct cli_option options[] = {
    {"limit", "N", "tell at most N places (default: 1000)"},
    {"dot", NULL, "for Graphviz: choir ... --dot | dot -Tsvg"},
    {NULL, NULL, NULL},
};

const struct command command_blame = {
    .name = "blame",
    .usage = "KEY[@N]",
    .what = "who is responsible for a value, and for each place in it",
    .more =
        "First the version itself: revision, time, what, who (the name is\n"
        "proven, model and label are as it reported them), task. Then, of a\n"
        "msgpack value (put --type json), a line for each path of a map or\n"
        "element of an array: the version that last changed it; of a counter,\n"
        "what each author added. `choir receipt REVISION` proves an entry.\n"
        "\"or before it\": what was before is compacted or erased.",
    .options = options,
    .least = 1,
    .most = 1,
    .run = blame_run,
};
