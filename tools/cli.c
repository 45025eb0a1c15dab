/* Long options only, anywhere on the line, `--name value` or `--name=value`;
 * `--` ends them. A lone `-` is an argument: standard input. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const struct cli_option cli_global_options[] = {
    {"url", "URL", "the broker; else CHOIR_URL, else the local one"},
    {"space", "SPACE", "the space; else CHOIR_SPACE, else \"main\""},
    {"as", "NAME", "the agent's name; else CHOIR_AS, else \"choir\""},
    {"identity", "FILE", "the identity; else CHOIR_IDENTITY, else by name"},
    {"timeout", "TIME", "how long to wait for the broker; else 10s"},
    {"accept-epoch", NULL, "go on with a restored broker that lost entries"},
    {"json", NULL, "one JSON object a line"},
    {"help", NULL, "this text"},
    {NULL, NULL, NULL},
};

/* --- Wrong usage ----------------------------------------------------------- */

_Noreturn void cli_wrong(const struct cli *cli, const char *format, ...)
{
    const struct command *command = cli->command;
    va_list args;

    fputs("choir: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (command)
        fprintf(stderr, "\nusage: choir %s%s%s; see choir help %s\n",
                command->name, command->usage[0] ? " " : "", command->usage,
                command->name);
    else
        fputs("\nsee choir help\n", stderr);
    exit(EXIT_USAGE);
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Levenshtein, for words of up to 31 characters. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32], n = (unsigned)strlen(b);

    if (n > 31)
        return UINT_MAX;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 0; a[i]; i++) {
        unsigned corner = row[0]++;

        for (unsigned j = 1; j <= n; j++) {
            unsigned above = row[j];

            row[j] = least(least(above, row[j - 1]) + 1,
                           corner + (a[i] != b[j - 1]));
            corner = above;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *word, const char *(*next)(int i, void *arg),
                        void *arg)
{
    const char *known, *best = NULL;
    unsigned nearest = (unsigned)strlen(word) / 2 + 1;

    for (int i = 0; (known = next(i, arg)); i++) {
        unsigned d = distance(word, known);

        if (d < nearest) {
            nearest = d;
            best = known;
        }
    }
    return best;
}

static const char *next_option(int i, void *arg)
{
    const struct cli_option *own = arg;

    while (own && own->name && i > 0)
        own++, i--;
    return own && own->name ? own->name : cli_global_options[i].name;
}

_Noreturn static void unknown_option(const struct cli *cli, const char *name)
{
    const struct cli_option *own = cli->command ? cli->command->options : NULL;
    const char *near = cli_nearest(name, next_option, (void *)(uintptr_t)own);

    if (near)
        cli_wrong(cli, "unknown option --%s; did you mean --%s?", name, near);
    cli_wrong(cli, "unknown option --%s", name);
}

/* --- Options --------------------------------------------------------------- */

static const struct cli_option *row_find(const struct cli_option *rows,
                                         const char *name)
{
    for (; rows && rows->name; rows++)
        if (strcmp(rows->name, name) == 0)
            return rows;
    return NULL;
}

static uint64_t duration_parse(const struct cli *cli, const char *name,
                               const char *text)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1e3},   {"s", 1e3},    {"ms", 1},
                 {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}};
    char *end;
    double n = strtod(text, &end);

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end != text && n >= 0 && n < 1e9 && strcmp(end, units[i].unit) == 0)
            return (uint64_t)(n * units[i].ms);
    cli_wrong(cli, "--%s takes a time like 30s, 15m, 2h or 250ms, not \"%s\"",
              name, text);
}

static void global_take(struct cli *cli, const char *name, const char *value)
{
    if (strcmp(name, "url") == 0)
        cli->url = value;
    else if (strcmp(name, "space") == 0)
        cli->space = value;
    else if (strcmp(name, "as") == 0)
        cli->name = value;
    else if (strcmp(name, "identity") == 0)
        cli->identity = value;
    else if (strcmp(name, "json") == 0)
        cli->json = true;
    else if (strcmp(name, "accept-epoch") == 0)
        cli->accepts_epoch = true;
    else if (strcmp(name, "timeout") == 0)
        cli->timeout_ms =
            (int)least(INT_MAX, (unsigned)duration_parse(cli, name, value) + 1);
}

static void option_take(struct cli *cli, const struct cli_option *row,
                        const char *value)
{
    if (!bytes_utf8(bytes_text(value)))
        cli_wrong(cli, "--%s is not UTF-8", row->name);
    if (row_find(cli_global_options, row->name) == row) {
        global_take(cli, row->name, value);
        return;
    }
    if (cli->given_count == CLI_OPTIONS_MAX)
        cli_wrong(cli, "more than %d options", CLI_OPTIONS_MAX);
    cli->given[cli->given_count].name = row->name;
    cli->given[cli->given_count++].value = value;
}

/* The option at argv[i]; returns the index of its last word. */
static int option_parse(struct cli *cli, int argc, char **argv, int i)
{
    const char *word = argv[i] + 2, *equals = strchr(word, '=');
    const struct cli_option *own = cli->command ? cli->command->options : NULL;
    const struct cli_option *row;
    char name[64];

    snprintf(name, sizeof name, "%.*s",
             (int)(equals ? equals - word : (long)strlen(word)), word);
    row = row_find(own, name);
    if (!row)
        row = row_find(cli_global_options, name);
    if (!row)
        unknown_option(cli, name);
    if (!row->arg && equals)
        cli_wrong(cli, "--%s takes no value", name);
    if (!row->arg)
        option_take(cli, row, "");
    else if (equals)
        option_take(cli, row, equals + 1);
    else if (i + 1 == argc)
        cli_wrong(cli, "--%s needs a value: %s", name, row->arg);
    else
        option_take(cli, row, argv[++i]);
    return i;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

int cli_parse_global(struct cli *cli, int argc, char **argv)
{
    int i = 1;

    for (; i < argc && is_option(argv[i]); i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 ||
            strcmp(argv[i], "--version") == 0)
            return i;
        if (argv[i][1] != '-')
            cli_wrong(cli, "unknown option %s", argv[i]);
        i = option_parse(cli, argc, argv, i);
    }
    return i;
}

/* -3 and the like are numbers, so that `incr KEY -3` may come. */
static bool is_negative_number(const char *word)
{
    return word[0] == '-' && word[1] >= '0' && word[1] <= '9';
}

void cli_parse(struct cli *cli, const struct command *command, int argc,
               char **argv)
{
    bool ended = false;

    cli->command = command;
    cli->args = calloc((size_t)argc + 1, sizeof *cli->args);
    if (!cli->args)
        exit(EXIT_REFUSED);
    for (int i = 0; i < argc; i++) {
        if (ended || !is_option(argv[i]) || is_negative_number(argv[i])) {
            cli->args[cli->count++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            ended = true;
        } else if (strcmp(argv[i], "--help") == 0 ||
                   strcmp(argv[i], "-h") == 0) {
            cli_help(command, stdout);
            exit(EXIT_DONE);
        } else if (argv[i][1] != '-') {
            cli_wrong(cli, "unknown option %s", argv[i]);
        } else {
            i = option_parse(cli, argc, argv, i);
        }
    }
    if (cli->count < command->least)
        cli_wrong(cli, "%s needs %s", command->name, command->usage);
    if (cli->count > command->most)
        cli_wrong(cli, "%s: \"%s\" is one argument too many", command->name,
                  cli->args[command->most]);
    for (int i = 0; i < command->least; i++)
        if (!cli->args[i][0])
            cli_wrong(cli, "%s needs %s; argument %d is empty", command->name,
                      command->usage, i + 1);
    for (int i = 0; i < cli->count; i++)
        if ((i == 0 || i != command->value_at) &&
            !bytes_utf8(bytes_text(cli->args[i])))
            cli_wrong(cli, "argument %d is not UTF-8", i + 1);
}

const char *cli_option(const struct cli *cli, const char *name)
{
    for (int i = cli->given_count - 1; i >= 0; i--)
        if (strcmp(cli->given[i].name, name) == 0)
            return cli->given[i].value;
    return NULL;
}

static bool number_parse(const char *text, uint64_t *n)
{
    char *end;

    errno = 0;
    *n = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && !*end && !errno;
}

uint64_t cli_number(const struct cli *cli, const char *name, uint64_t fallback)
{
    const char *text = cli_option(cli, name);
    uint64_t n;

    if (!text)
        return fallback;
    if (!number_parse(text, &n))
        cli_wrong(cli, "--%s takes a whole number, not \"%s\"", name, text);
    return n;
}

uint64_t cli_number_arg(const struct cli *cli, int i, const char *what)
{
    uint64_t n;

    if (!number_parse(cli->args[i], &n))
        cli_wrong(cli, "%s is a whole number, not \"%s\"", what, cli->args[i]);
    return n;
}

uint64_t cli_duration_ms(const struct cli *cli, const char *name,
                         uint64_t fallback)
{
    const char *text = cli_option(cli, name);

    return text ? duration_parse(cli, name, text) : fallback;
}

uint64_t cli_time_us(const struct cli *cli, const char *name, uint64_t fallback)
{
    const char *text = cli_option(cli, name), *end;
    struct timespec now;
    struct tm tm = {0};

    if (!text)
        return fallback;
    end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end && !*end)
        return (uint64_t)timegm(&tm) * 1000000;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 +
           duration_parse(cli, name, text) * 1000;
}

bool cli_option_piece(const struct cli *cli, const char *name, size_t *at,
                      char *out, size_t bytes)
{
    size_t before = 0;

    for (int i = 0; i < cli->given_count; i++) {
        const char *text = cli->given[i].value;
        size_t all = strlen(text) + 1, n;

        if (strcmp(cli->given[i].name, name) != 0)
            continue;
        if (*at < before + all) {
            text += *at - before;
            n = strcspn(text, ",");
            if (n == 0 || n >= bytes)
                cli_wrong(cli,
                          "--%s takes names or numbers with commas, "
                          "not \"%s\"",
                          name, cli->given[i].value);
            memcpy(out, text, n);
            out[n] = '\0';
            *at += n + 1;
            return true;
        }
        before += all;
    }
    return false;
}

/* --- Help ------------------------------------------------------------------ */

static void options_print(const struct cli_option *rows, FILE *out)
{
    for (; rows && rows->name; rows++) {
        char left[64];

        snprintf(left, sizeof left, "--%s%s%s", rows->name,
                 rows->arg ? " " : "", rows->arg ? rows->arg : "");
        fprintf(out, "  %-20s  %s\n", left, rows->what);
    }
}

void cli_help(const struct command *command, FILE *out)
{
    fprintf(out, "choir %s%s%s\n\n%s\n", command->name,
            command->usage[0] ? " " : "", command->usage, command->what);
    if (command->more)
        fprintf(out, "\n%s\n", command->more);
    if (command->options && command->options->name) {
        fputs("\nOptions:\n", out);
        options_print(command->options, out);
    }
    fputs("\nOptions of every command:\n", out);
    options_print(cli_global_options, out);
}

/* --- Failures -------------------------------------------------------------- */

int cli_exit_code(int code)
{
    switch (code) {
    case 0: return EXIT_DONE;
    case CHOIR_TIMEOUT:
    case CHOIR_UNREACHABLE:
    case CHOIR_OUTCOME_UNKNOWN: return EXIT_UNREACHABLE;
    case CHOIR_WRONG_BROKER:
    case CHOIR_LEDGER_BEHIND:
    case CHOIR_BROKEN: return EXIT_PROOF;
    case CHOIR_INTERRUPTED: return EXIT_INTERRUPTED;
    default: return EXIT_REFUSED;
    }
}

int cli_failed(int code, const char *line)
{
    if (code == CHOIR_INTERRUPTED)
        return cli_exit_code(code); /* who pressed Ctrl-C knows */
    cli_print_text(stderr, line ? line : choir_error_text());
    fputc('\n', stderr);
    if (code == CHOIR_LEDGER_BEHIND)
        fputs("to accept it as it is, say so once with --accept-epoch\n",
              stderr);
    return cli_exit_code(code);
}

/* --- Values ---------------------------------------------------------------- */

/* Far above any limit of a broker, so that its refusal is the one heard. */
#define INPUT_BYTES_MAX ((size_t)64 << 20)

static int fd_read(int fd, struct buf *out)
{
    for (;;) {
        uint8_t *p = buf_grow(out, 65536);
        ssize_t n;

        if (!p)
            return -ENOMEM;
        n = read(fd, p, 65536);
        out->n -= n < 0 ? 65536 : (size_t)(65536 - n);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (out->n > INPUT_BYTES_MAX)
            return -EFBIG;
    }
}

int cli_read_file(const char *path, struct buf *out)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO
                                    : open(path, O_RDONLY | O_CLOEXEC);
    int r;

    if (fd < 0)
        return -errno;
    r = fd_read(fd, out);
    if (fd != STDIN_FILENO)
        close(fd);
    return r;
}

void cli_value(const struct cli *cli, const char *arg, struct buf *out)
{
    int r;

    if (arg && strcmp(arg, "-") != 0) {
        buf_put(out, arg, strlen(arg));
        return;
    }
    if (!arg && isatty(STDIN_FILENO))
        cli_wrong(cli, "no value: give one, or - for standard input");
    r = cli_read_file("-", out);
    if (r)
        cli_wrong(cli, "standard input: %s", strerror(-r));
}

void cli_print_text(FILE *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else if (c == 0xc2 && (unsigned char)s[1] >= 0x80 &&
                 (unsigned char)s[1] < 0xa0)
            fprintf(out, "\\x%02x", (unsigned char)*++s);
        else
            fputc(c, out);
    }
}

void cli_time_text(uint64_t us, char out[32])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    char date[24];

    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, 32, "%s.%03uZ", date, (unsigned)(us / 1000 % 1000));
}

bool cli_color(FILE *out)
{
    const char *no = getenv("NO_COLOR");

    return isatty(fileno(out)) && !(no && no[0]);
}
