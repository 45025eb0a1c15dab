/* Entries in the order they were told, each with what it rests on. */
#include "story.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

enum { LIMIT_DEFAULT = 1000, PAGE = 1000 };

struct story {
    struct cli *cli;
    struct client *c;
    const char *op;
    json_t *nodes, *links; /* arrays */
    json_t *known;         /* revision -> its node; link -> true */
    size_t limit, next;    /* next: node that may have more */
    bool is_cut;
};

/* --- What it is about --------------------------------------------------------- */

void story_about(const char *arg, json_t *request)
{
    uint64_t revision;

    if (text_number(arg, strlen(arg), &revision))
        json_object_set_new(request, "revision",
                            json_integer((json_int_t)revision));
    else
        key_at_add(arg, request);
}

/* --- Gathering -------------------------------------------------------------- */

static json_t *node_of(const struct story *s, uint64_t revision)
{
    char name[24];

    snprintf(name, sizeof name, "%llu", (unsigned long long)revision);
    return json_object_get(s->known, name);
}

static void node_add(struct story *s, json_t *item)
{
    uint64_t revision = member_uint(item, "revision");
    json_t *known = node_of(s, revision);
    char name[24];

    if (!known) {
        snprintf(name, sizeof name, "%llu", (unsigned long long)revision);
        json_object_del(item, "kind");
        json_array_append(s->nodes, item);
        json_object_set(s->known, name, item);
        return;
    }
    /* told once more, maybe to the end now */
    json_object_del(known, "reason");
    json_object_del(known, "prev");
    if (json_object_get(item, "reason"))
        json_object_set(known, "reason", json_object_get(item, "reason"));
    if (json_object_get(item, "prev"))
        json_object_set(known, "prev", json_object_get(item, "prev"));
}

static void link_add(struct story *s, json_t *item)
{
    char name[80];

    snprintf(name, sizeof name, "%llu %s %llu",
             (unsigned long long)member_uint(item, "revision"),
             member_text(item, "kind"),
             (unsigned long long)member_uint(item, "prev"));
    if (json_object_get(s->known, name))
        return;
    json_array_append(s->links, item);
    json_object_set_new(s->known, name, json_true());
}

/* Returns an exit code; *prev: where an agent's entries go on, or 0. */
static int page_ask(struct story *s, json_t *request, uint64_t *prev)
{
    json_t *answer = NULL, *item;
    size_t i;
    int r = client_ask(s->c, request, &answer);

    *prev = r ? 0 : member_uint(answer, "prev");
    json_array_foreach(json_object_get(answer, "items"), i, item)
    {
        if (strcmp(member_text(item, "kind"), "entry") == 0)
            node_add(s, item);
        else
            link_add(s, item);
    }
    json_decref(answer);
    return r;
}

/* Where it goes on behind `node`; NULL: that is all of it. */
static json_t *node_more(const struct story *s, const json_t *node)
{
    uint64_t prev = member_uint(node, "prev");
    json_t *request;

    if (strcmp(member_text(node, "reason"), "more") != 0)
        return NULL;
    request =
        json_pack("{s:s, s:I, s:i}", "op", s->op, "revision",
                  (json_int_t)member_uint(node, "revision"), "count", PAGE);
    if (prev)
        json_object_set_new(request, "prev", json_integer((json_int_t)prev));
    if (cli_option(s->cli, "depth"))
        json_object_set_new(request, "limit", json_integer(1));
    return request;
}

static int nodes_follow(struct story *s)
{
    int r = 0;

    while (!r && s->next < json_array_size(s->nodes)) {
        json_t *node = json_array_get(s->nodes, s->next);
        json_t *request = node_more(s, node);
        uint64_t prev = member_uint(node, "prev"), unused;

        if (request && json_array_size(s->nodes) >= s->limit) {
            s->is_cut = true;
            json_decref(request);
            return 0;
        }
        if (request)
            r = page_ask(s, request, &unused);
        if (!request || member_uint(node, "prev") == prev)
            s->next++; /* there is no more, or no way to it */
    }
    return r;
}

static int gather(struct story *s, json_t *request)
{
    uint64_t prev = 0;
    int r;

    json_object_set_new(
        request, "count",
        json_integer((json_int_t)(s->limit < PAGE ? s->limit : PAGE)));
    if (cli_option(s->cli, "depth"))
        json_object_set_new(
            request, "limit",
            json_integer((json_int_t)cli_number(s->cli, "depth", 0)));
    do {
        r = page_ask(s, json_incref(request), &prev);
        if (!r)
            r = nodes_follow(s);
        json_object_set_new(request, "revision",
                            json_integer((json_int_t)prev));
    } while (!r && prev && json_array_size(s->nodes) < s->limit);
    s->is_cut |= prev != 0;
    json_decref(request);
    return r;
}

/* --- Telling ---------------------------------------------------------------- */

/* What it is about: a key, a task, a queue. */
static void subject_print(FILE *out, const json_t *node)
{
    const char *key = member_text(node, "key");
    uint64_t task = member_uint(node, "task");
    const char *queue = member_text(node, "queue");

    if (key[0]) {
        fputc(' ', out);
        cli_print_text(out, key);
    }
    if (member_uint(node, "count") > 1)
        fprintf(out, " and %llu more",
                (unsigned long long)member_uint(node, "count") - 1);
    if (task)
        fprintf(out, " task %llu", (unsigned long long)task);
    if (queue[0] && !key[0]) {
        fputs(" in ", out);
        cli_print_text(out, queue);
    }
}

void story_author_print(struct client *c, const json_t *item)
{
    json_t *labels = json_object_get(item, "labels"), *text;
    const char *name;
    bool first = true;

    cli_print_text(stdout, client_agent_name(c, member_text(item, "agent")));
    json_object_foreach(labels, name, text)
    {
        fputs(first ? " (" : ", ", stdout);
        cli_print_text(stdout, name);
        putchar('=');
        cli_print_text(stdout, json_string_value(text));
        first = false;
    }
    if (!first)
        putchar(')');
    if (json_object_get(item, "seen"))
        printf("  SUSPECT since %llu",
               (unsigned long long)member_uint(item, "seen"));
}

static void node_print(struct story *s, const json_t *node)
{
    uint64_t revision = member_uint(node, "revision");
    const char *sign = "  <-", *reason = member_text(node, "reason");
    json_t *link;
    char time[32];
    size_t i;

    printf("%8llu  ", (unsigned long long)revision);
    if (strcmp(reason, "hidden") != 0) {
        cli_time_text(member_uint(node, "time"), time);
        printf("%s  %-8s", time, member_text(node, "operation"));
        subject_print(stdout, node);
        fputs("  ", stdout);
        story_author_print(s->c, node);
    }
    json_array_foreach(s->links, i, link)
    {
        if (member_uint(link, "revision") != revision)
            continue;
        printf("%s %s %llu", sign, member_text(link, "kind"),
               (unsigned long long)member_uint(link, "prev"));
        sign = ",";
    }
    if (reason[0])
        printf("  [%s]", reason);
    putchar('\n');
}

void story_dot_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar((unsigned char)*text < ' ' ? ' ' : *text);
    }
}

void story_node_dot(struct client *c, const json_t *node)
{
    uint64_t revision = member_uint(node, "revision");
    const char *key = member_text(node, "key");

    printf("  n%llu [label=\"%llu %s ", (unsigned long long)revision,
           (unsigned long long)revision, member_text(node, "operation"));
    story_dot_text(key[0] ? key : member_text(node, "queue"));
    if (json_object_get(node, "agent")) {
        fputs("\\n", stdout);
        story_dot_text(client_agent_name(c, member_text(node, "agent")));
    }
    printf("\"%s];\n", json_object_get(node, "seen")    ? ", color=red"
                       : member_text(node, "reason")[0] ? ", style=dashed"
                                                        : "");
}

static void dot_print(struct story *s)
{
    json_t *item;
    size_t i;

    printf("digraph choir {\n  rankdir=RL;\n  node [shape=box];\n");
    json_array_foreach(s->nodes, i, item) story_node_dot(s->c, item);
    json_array_foreach(s->links, i, item)
    {
        printf("  n%llu -> n%llu [label=\"%s\"];\n",
               (unsigned long long)member_uint(item, "revision"),
               (unsigned long long)member_uint(item, "prev"),
               member_text(item, "kind"));
    }
    printf("}\n");
}

static void print(struct story *s)
{
    json_t *item;
    size_t i;

    if (s->cli->json) {
        item = json_pack("{s:O, s:O, s:b}", "nodes", s->nodes, "links",
                         s->links, "more", s->is_cut);
        json_line(stdout, item);
        json_decref(item);
    } else if (cli_option(s->cli, "dot")) {
        dot_print(s);
    } else {
        json_array_foreach(s->nodes, i, item) node_print(s, item);
    }
    if (s->is_cut)
        fprintf(stderr, "there is more: --limit %zu\n", 10 * s->limit);
}

int story_run(struct cli *cli, struct client *c, json_t *request)
{
    struct story s = {
        .cli = cli,
        .c = c,
        .op = json_string_value(json_object_get(request, "op")),
        .nodes = json_array(),
        .links = json_array(),
        .known = json_object(),
        .limit = (size_t)cli_number(cli, "limit", LIMIT_DEFAULT),
    };
    char op[16];
    int r;

    snprintf(op, sizeof op, "%s", s.op); /* the request goes first */
    s.op = op;
    r = gather(&s, request);
    if (!r)
        print(&s);
    json_decref(s.nodes);
    json_decref(s.links);
    json_decref(s.known);
    return r;
}

const struct cli_option story_options[] = {
    STORY_OPTIONS,
    {NULL, NULL, NULL},
};
