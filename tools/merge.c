/* choir merge: a person settles what two have changed at the same place. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "json.h"
#include "proto/merge.h"

struct version {
    uint64_t revision;
    struct buf value;
    char *writer; /* owned; NULL: yours */
};

struct merging {
    struct cli *cli;
    struct client *c;
    struct version base, theirs, yours;
    struct buf result;
};

static void version_free(struct version *v)
{
    buf_free(&v->value);
    free(v->writer);
}

/* revision 0: as it is now. Exit code. */
static int version_get(struct merging *m, uint64_t revision, struct version *v)
{
    json_t *request =
        json_pack("{s:s, s:s}", "op", "get", "key", m->cli->args[0]);
    json_t *answer = NULL;
    int r;

    if (revision)
        json_object_set_new(request, "revision",
                            json_integer((json_int_t)revision));
    r = client_ask(m->c, request, &answer);
    if (!r && strcmp(member_text(answer, "type"), JSON_TYPE) != 0)
        r = cli_failed(CHOIR_INVALID,
                       "INVALID: only values put with --type json are merged");
    if (!r) {
        v->revision = member_uint(answer, "revision");
        member_value(answer, &v->value);
        v->writer =
            strdup(client_agent_name(m->c, member_text(answer, "agent")));
    }
    json_decref(answer);
    return r;
}

/* --- What is shown --------------------------------------------------------- */

static json_t *at_path(const struct version *v, const char *path)
{
    json_t *root = msgpack_to_json(buf_bytes(&v->value)), *at = root;

    while (at && *path == '/') {
        char step[MERGE_PATH_BYTES];
        size_t n = 0;

        for (path++; *path && *path != '/'; path++) {
            char b = *path;

            if (b == '~' && path[1])
                b = *++path == '0' ? '~' : '/';
            step[n++] = b;
        }
        step[n] = '\0';
        at = json_object_get(at, step);
    }
    json_incref(at);
    json_decref(root);
    return at;
}

static void side_print(const char *name, const struct version *v,
                       const char *path)
{
    json_t *value = at_path(v, path);
    char *text =
        value ? json_dumps(value, JSON_ENCODE_ANY | JSON_INDENT(2)) : NULL;

    fprintf(stderr, "  %-6s ", name);
    if (v->writer)
        fprintf(stderr, "(%llu, %s) ", (unsigned long long)v->revision,
                v->writer);
    cli_print_text(stderr, text ? text : "(nothing)");
    fputc('\n', stderr);
    free(text);
    json_decref(value);
}

static void clashes_print(const struct merging *m,
                          const struct merge_clashes *clashes)
{
    for (uint64_t i = 0; i < clashes->count && i < MERGE_PATHS_MAX; i++) {
        const char *path = clashes->paths[i];

        cli_print_text(stderr, path[0] ? path : "(the whole value)");
        fputc('\n', stderr);
        side_print("base", &m->base, path);
        side_print("theirs", &m->theirs, path);
        side_print("yours", &m->yours, path);
    }
    if (clashes->count > MERGE_PATHS_MAX)
        fprintf(stderr, "and %llu more\n",
                (unsigned long long)(clashes->count - MERGE_PATHS_MAX));
}

/* --- What is taken --------------------------------------------------------- */

static int combine(struct merging *m, enum merge_side side,
                   struct merge_clashes *clashes)
{
    struct merge_inputs in = {buf_bytes(&m->base.value),
                              buf_bytes(&m->theirs.value),
                              buf_bytes(&m->yours.value), side};

    buf_clear(&m->result);
    return merge_values(RULE_MERGE, &in, &m->result, clashes);
}

static int file_write(const struct merging *m, int fd)
{
    json_t *value = msgpack_to_json(buf_bytes(&m->result));
    int r =
        value ? json_dumpfd(value, fd, JSON_ENCODE_ANY | JSON_INDENT(2)) : -1;

    json_decref(value);
    return r || write(fd, "\n", 1) != 1 ? -1 : 0;
}

static int editor_run(const char *path)
{
    const char *editor = getenv("VISUAL");
    char *command;
    int r;

    if (!editor || !editor[0])
        editor = getenv("EDITOR");
    if (asprintf(&command, "%s '%s'", editor && editor[0] ? editor : "vi",
                 path) < 0)
        return -1;
    r = system(command); /* as git does: EDITOR may have arguments */
    free(command);
    return r;
}

static int file_read(struct merging *m, const char *path)
{
    json_error_t where;
    json_t *value = json_load_file(
        path, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
        &where);
    int r;

    if (!value)
        return cli_failed(CHOIR_INVALID, "INVALID: what was edited is no JSON; "
                                         "nothing was written");
    buf_clear(&m->result);
    r = msgpack_from_json(value, &m->result);
    json_decref(value);
    return r ? cli_failed(CHOIR_INVALID, "INVALID: nested too deep") : 0;
}

/* The result, with yours where both changed the same, as a person leaves it. */
static int edit(struct merging *m)
{
    char path[] = "/tmp/choir-merge-XXXXXX.json";
    struct merge_clashes clashes;
    int fd, r = combine(m, MERGE_YOURS, &clashes);

    if (r)
        return cli_failed(r, clashes.why);
    fd = mkstemps(path, 5);
    if (fd < 0)
        return cli_failed(-1, "cannot make a file to edit");
    r = file_write(m, fd);
    close(fd);
    if (!r)
        r = editor_run(path);
    r = r ? cli_failed(CHOIR_INVALID, "INVALID: the editor failed; "
                                      "nothing was written")
          : file_read(m, path);
    unlink(path);
    return r;
}

static int settle(struct merging *m)
{
    const char *take = cli_option(m->cli, "take");
    struct merge_clashes clashes;
    int r = combine(m, MERGE_NO_SIDE, &clashes);

    if (r == CHOIR_CONFLICT)
        clashes_print(m, &clashes);
    if (!r || (r == CHOIR_CONFLICT && !take))
        return r ? cli_failed(r, "CONFLICT: both changed the same; say --take "
                                 "theirs, yours or edit")
                 : 0;
    if (r != CHOIR_CONFLICT)
        return cli_failed(r, clashes.why);
    if (strcmp(take, "edit") == 0)
        return edit(m);
    r = combine(m, strcmp(take, "yours") ? MERGE_THEIRS : MERGE_YOURS,
                &clashes);
    return r ? cli_failed(r, clashes.why) : 0;
}

static int write_result(struct merging *m)
{
    json_t *answer = NULL,
           *request = json_pack("{s:s, s:s, s:s, s:I}", "op", "put", "key",
                                m->cli->args[0], "type", JSON_TYPE,
                                "if_revision", (json_int_t)m->theirs.revision);
    int r;

    bytes_to_json(request, "value", buf_bytes(&m->result), JSON_TYPE);
    r = client_ask(m->c, request, &answer);
    if (!r && m->cli->json)
        json_line(stdout, answer);
    else if (!r)
        printf("%llu\n", (unsigned long long)member_uint(answer, "revision"));
    json_decref(answer);
    return r;
}

/* --- The command ----------------------------------------------------------- */

static void yours_read(struct merging *m)
{
    struct buf text = {0};
    json_t *value;

    cli_value(m->cli, m->cli->args[1], &text);
    value = json_loadb(
        text.p ? (const char *)text.p : "", text.n,
        JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    buf_free(&text);
    if (!value || msgpack_from_json(value, &m->yours.value))
        cli_wrong(m->cli, "VALUE is JSON, and this is not");
    json_decref(value);
}

static void options_check(struct cli *cli)
{
    const char *take = cli_option(cli, "take");

    if (!cli_number(cli, "base", 0))
        cli_wrong(cli, "--base N names the revision that VALUE was made from");
    if (take && strcmp(take, "theirs") && strcmp(take, "yours") &&
        strcmp(take, "edit"))
        cli_wrong(cli, "\"%s\": --take theirs, yours or edit", take);
}

static int merge_run(struct cli *cli)
{
    struct merging m = {.cli = cli};
    int r;

    options_check(cli);
    yours_read(&m);
    r = client_open(cli, &m.c);
    if (!r)
        r = version_get(&m, cli_number(cli, "base", 0), &m.base);
    if (!r)
        r = version_get(&m, 0, &m.theirs);
    if (!r)
        r = settle(&m);
    if (!r)
        r = write_result(&m);
    client_close(&m.c);
    version_free(&m.base);
    version_free(&m.theirs);
    version_free(&m.yours);
    buf_free(&m.result);
    return r;
}

static const struct cli_option options[] = {
    {"base", "N", "the revision that VALUE was made from"},
    {"take", "SIDE", "where both changed the same: theirs, yours or edit"},
    {NULL, NULL, NULL},
};
const struct command command_merge = {
    .name = "merge",
    .usage = "KEY --base N [VALUE|-]",
    .what = "settle a clash: combine VALUE with what others wrote meanwhile",
    .more =
        "VALUE is JSON. What only one side changed since revision N is kept\n"
        "from both. Where both changed the same it shows base, theirs and\n"
        "yours and writes nothing, unless --take says whose is right; edit\n"
        "opens the result, with yours there, in $EDITOR. Prints the new\n"
        "revision.",
    .options = options,
    .least = 1,
    .most = 2,
    .value_at = 1,
    .run = merge_run,
};
