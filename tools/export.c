/* choir export: one file that shows a part of the ledger, with all that it
 * takes to check it. The file appears when it is whole, or not at all; a
 * device or a pipe is written to, and stays what it is. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "json.h"

enum { ENTRIES_MAX = 1024, PATH_BYTES = 4096 };

/* --- What to export ------------------------------------------------------- */

/* "A..B", both of them included; "A.." and "..B" likewise. */
static void range_set(const struct cli *cli, const char *text,
                      struct choir_export_options *o)
{
    const char *dots = strstr(text, "..");
    const char *to = dots ? dots + 2 : "";
    uint64_t last;

    o->kind = CHOIR_EXPORT_RANGE;
    if (!dots ||
        (dots > text && !text_number(text, (size_t)(dots - text), &o->from)) ||
        (*to && !text_number(to, strlen(to), &last)) || (*to && last < o->from))
        cli_wrong(cli,
                  "--range takes A..B, from entry A to entry B, not \"%s\"",
                  text);
    if (*to)
        o->to = last + 1;
}

/* A key, or entries by their numbers. */
static void args_set(const struct cli *cli, struct choir_export_options *o)
{
    static uint64_t entries[ENTRIES_MAX];
    size_t n = 0;

    while (n < (size_t)cli->count &&
           text_number(cli->args[n], strlen(cli->args[n]), &entries[n]))
        n++;
    if (n < (size_t)cli->count && cli->count > 1)
        cli_wrong(cli, "one KEY, or numbers of entries");
    if (n) {
        o->kind = CHOIR_EXPORT_ENTRIES;
        o->entries = entries;
        o->count = n;
    } else {
        o->kind = CHOIR_EXPORT_KEY;
        o->key = cli->args[0];
    }
}

static void options_set(struct cli *cli, struct choir_export_options *o)
{
    const char *range = cli_option(cli, "range");
    const char *agent = cli_option(cli, "agent");
    bool task = cli_option(cli, "task");

    if (!!range + !!agent + task + (cli->count > 0) > 1)
        cli_wrong(cli, "only one of KEY, N, --task, --range and --agent");
    o->kind = CHOIR_EXPORT_SPACE;
    if (range)
        range_set(cli, range, o);
    if (agent) {
        o->kind = CHOIR_EXPORT_AGENT;
        o->agent = agent;
    }
    if (task) {
        o->kind = CHOIR_EXPORT_TASK;
        o->task = cli_number(cli, "task", 0);
    }
    if (cli->count)
        args_set(cli, o);
    o->without_payloads = cli_option(cli, "no-payloads");
}

/* --- Where to ------------------------------------------------------------- */

struct output {
    char *path; /* owned; a link is followed. NULL: nothing takes a name */
    char new[PATH_BYTES];
    int fd;
};

static int failed_at(const char *path, int error)
{
    char line[PATH_BYTES + 256];

    snprintf(line, sizeof line, "%s path=%s: %s", choir_code_name(-error), path,
             strerror(error));
    return cli_failed(error == EINTR ? CHOIR_INTERRUPTED : -error, line);
}

/* What is no file is never replaced: its name may be /dev/null. */
static int output_into(struct output *out, const char *path)
{
    out->fd = open(path, O_WRONLY | O_CLOEXEC);
    return out->fd < 0 ? failed_at(path, errno) : 0;
}

/* `old`: what it replaces, and is shown to no more people than; or NULL. */
static int output_beside(struct output *out, const char *path,
                         const struct stat *old)
{
    mode_t mode = old ? old->st_mode & 0777 : 0666;

    out->path = old ? realpath(path, NULL) : strdup(path);
    if (!out->path)
        return failed_at(path, errno);
    if (snprintf(out->new, sizeof out->new, "%s.new", out->path) >= PATH_BYTES)
        return failed_at(path, ENAMETOOLONG);
    out->fd = open(out->new,
                   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    if (out->fd < 0)
        return failed_at(out->new, errno);
    if (old && fchmod(out->fd, mode)) { /* one that a killed run has left */
        int error = errno;

        close(out->fd);
        return failed_at(out->new, error);
    }
    return 0;
}

static int output_open(struct cli *cli, struct output *out)
{
    const char *path = cli_option(cli, "output");
    struct stat st;
    bool is_there;

    *out = (struct output){.fd = STDOUT_FILENO};
    if (path && !strcmp(path, "-"))
        path = NULL;
    if (!path && isatty(STDOUT_FILENO))
        cli_wrong(cli, "an export is no text for a terminal; say where to with "
                       "--output FILE, or > FILE");
    if (!path)
        return 0;
    is_there = stat(path, &st) == 0;
    return is_there && !S_ISREG(st.st_mode)
               ? output_into(out, path)
               : output_beside(out, path, is_there ? &st : NULL);
}

/* Whole: it takes its name. Else it goes. */
static int output_name(struct output *out, bool whole)
{
    int error = 0;

    if (whole && fsync(out->fd))
        error = errno;
    if (close(out->fd) && !error)
        error = errno;
    if (whole && !error && rename(out->new, out->path))
        error = errno;
    if (!whole || error)
        unlink(out->new);
    return whole && error ? failed_at(out->path, error) : 0;
}

static int output_close(struct output *out, bool whole)
{
    int r = out->path ? output_name(out, whole) : 0;

    if (!out->path && out->fd != STDOUT_FILENO)
        close(out->fd);
    free(out->path);
    return r;
}

/* --- What came of it ------------------------------------------------------ */

static void count_say(FILE *out, const char *what, uint64_t n)
{
    if (n)
        fprintf(out, ", %llu %s", (unsigned long long)n, what);
}

static void facts_print(FILE *out, const struct choir_export_facts *f)
{
    fprintf(out,
            "exported: %llu entries of %llu, %llu that say whose the keys "
            "are, %llu values",
            (unsigned long long)f->entries, (unsigned long long)f->size,
            (unsigned long long)f->identities, (unsigned long long)f->payloads);
    count_say(out, "erased", f->erased);
    count_say(out, "compacted", f->compacted);
    count_say(out, "left out", f->left_out);
    fprintf(out, ": %llu bytes\n", (unsigned long long)f->bytes);
}

static void facts_json(FILE *out, const struct choir_export_facts *f)
{
    json_t *o = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "size", (json_int_t)f->size,
        "entries", (json_int_t)f->entries, "identities",
        (json_int_t)f->identities, "payloads", (json_int_t)f->payloads,
        "erased", (json_int_t)f->erased, "compacted", (json_int_t)f->compacted,
        "left_out", (json_int_t)f->left_out, "bytes", (json_int_t)f->bytes);

    json_line(out, o);
    json_decref(o);
}

/* Elsewhere a KEY may be followed by @N, or be the beginning of others. */
static void key_hint(const char *key)
{
    const char *at = strrchr(key, '@');
    size_t n = strlen(key);
    uint64_t revision;

    if (at && text_number(at + 1, strlen(at + 1), &revision))
        fprintf(stderr,
                "one version is an entry, and exported by its number: choir "
                "export %llu\n",
                (unsigned long long)revision);
    else if (n && key[n - 1] == '/')
        fputs("KEY is one key; without any, all of the space is exported\n",
              stderr);
}

static int export_run(struct cli *cli)
{
    struct choir_export_options o = CHOIR_EXPORT_INIT;
    struct choir_export_facts facts;
    struct output out;
    struct choir *c;
    bool is_file;
    int code, r;

    options_set(cli, &o);
    r = handle_open(cli, &c);
    if (r)
        return r;
    r = output_open(cli, &out);
    if (r) {
        free(out.path);
        choir_close(&c);
        return r;
    }
    is_file = out.path;
    code = choir_export(c, &o, out.fd, &facts);
    if (code)
        r = cli_failed(code, NULL);
    if (code == CHOIR_NOT_FOUND && o.kind == CHOIR_EXPORT_KEY)
        key_hint(o.key);
    choir_close(&c);
    if (output_close(&out, !code))
        return EXIT_REFUSED;
    if (!code && cli->json)
        facts_json(is_file ? stdout : stderr, &facts);
    else if (!code)
        facts_print(stderr, &facts);
    return r;
}

static const struct cli_option options[] = {
    {"task", "N", "a task, and all that names it"},
    {"range", "A..B", "entries A to B, both included; A.. up to the last"},
    {"agent", "A", "what an agent said, by its name or its id"},
    {"output", "FILE", "write to FILE; -, and without it: standard output"},
    {"no-payloads", NULL, "leave all values out"},
    {NULL, NULL, NULL},
};
const struct command command_export = {
    .name = "export",
    .usage = "[KEY|N...]",
    .what = "write a part of the ledger that anyone can check, to a file",
    .more =
        "All versions of a key, entries by their numbers, or what an option\n"
        "says; with none of them all of the space. In the file: the entries\n"
        "one may tap or read, or said oneself, values that one may read, and\n"
        "what says whose the keys of their authors are. Checked, offline, by\n"
        "`choir verify FILE --key K`. FILE appears when it is whole; a device\n"
        "or a pipe is written to as it is.",
    .options = options,
    .most = ENTRIES_MAX,
    .direct = true,
    .run = export_run,
};
