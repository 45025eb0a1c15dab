/* choird's options; see config.h.
 *
 * libconfuse stops at the first error, so every option is a string to it and is
 * checked here, in its validation callback, which never stops it. An unknown
 * key does stop it: then the key is declared as one to be refused, and the text
 * is parsed again. */
#include "broker/base/config.h"

#include "broker/base/file.h"
#include "broker/base/log.h"

#include <confuse.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_MAX 64
#define MESSAGE_BYTES 768
/* A bundle that carries one value has headers too. */
#define BUNDLE_BESIDE_VALUE (4 * CONFIG_KIB)

enum change { RELOAD, RESTART };

enum kind { TEXT, LIST, LEVEL, BOOL, NUMBER };

struct option {
    const char *name;
    enum kind kind;
    enum change change;
    size_t offset;
    const char *unit;
    const char *text; /* the default of TEXT and LIST */
    uint64_t number;  /* the default of the others */
    uint64_t min;
    uint64_t max;
    const char *doc;
};

#define AT(name) offsetof(struct config, name)
#define OPTION_TEXT(name, text, change, doc) \
    {#name, TEXT, change, AT(name), "", text, 0, 0, 0, doc},
#define OPTION_LIST(name, text, change, doc) \
    {#name, LIST, change, AT(name), "", text, 0, 0, 0, doc},
#define OPTION_LEVEL(name, number, change, doc) \
    {#name, LEVEL, change, AT(name), "", NULL, number, 0, 0, doc},
#define OPTION_BOOL(name, number, change, doc) \
    {#name, BOOL, change, AT(name), "", NULL, number, 0, 1, doc},
#define OPTION_NUMBER(name, unit, number, min, max, change, doc) \
    {#name, NUMBER, change, AT(name), unit, NULL, number, min, max, doc},

static const struct option options[] = {CONFIG_OPTIONS(
    OPTION_TEXT, OPTION_LIST, OPTION_LEVEL, OPTION_BOOL, OPTION_NUMBER)};

#define OPTIONS_N (sizeof(options) / sizeof(*options))

struct reporter {
    config_error_fn *error;
    void *arg;
    const char *origin; /* file, or option of the command line */
    int line;           /* 0: none */
    bool quiet;         /* count, say nothing */
    size_t errors;
};

static void report(struct reporter *reporter, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void report(struct reporter *reporter, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    int n = reporter->line
                ? snprintf(text, sizeof(text), "%s:%d: ", reporter->origin,
                           reporter->line)
                : snprintf(text, sizeof(text), "%s: ", reporter->origin);
    va_list args;

    reporter->errors++;
    if (!reporter->error || reporter->quiet)
        return;
    if (n > 0 && (size_t)n < sizeof(text)) {
        va_start(args, format);
        vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
        va_end(args);
    }
    reporter->error(reporter->arg, text);
}

static const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < OPTIONS_N; i++)
        if (!strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

static char **text_of(const struct config *config, const struct option *option)
{
    return (char **)((uintptr_t)config + option->offset);
}

static struct config_list *list_of(const struct config *config,
                                   const struct option *option)
{
    return (struct config_list *)((uintptr_t)config + option->offset);
}

static bool *bool_of(const struct config *config, const struct option *option)
{
    return (bool *)((uintptr_t)config + option->offset);
}

/* LEVEL and NUMBER. */
static uint64_t *number_of(const struct config *config,
                           const struct option *option)
{
    return (uint64_t *)((uintptr_t)config + option->offset);
}

/* Says what is wrong with a value, its key and itself always named. */
static int refuse(struct reporter *reporter, const struct option *option,
                  const char *value, const char *why)
{
    char quoted[160];

    report(reporter, "%s = %s: %s", option->name,
           log_quote(quoted, sizeof(quoted), value, strlen(value)), why);
    return -EINVAL;
}

static bool has_control_bytes(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return true;
    return false;
}

/* Digits, then for bytes KiB, MiB or GiB. False: not of that form, or beyond
 * 64 bits. */
static bool number_read(const char *value, bool is_bytes, uint64_t *number)
{
    static const char *const suffixes[] = {"", "KiB", "MiB", "GiB"};
    char *end;

    if (*value < '0' || *value > '9')
        return false;
    errno = 0;
    *number = strtoull(value, &end, 10);
    if (errno)
        return false;
    for (uint64_t i = 0; i < (is_bytes ? 4u : 1u); i++) {
        if (strcmp(end, suffixes[i]))
            continue;
        return !__builtin_mul_overflow(*number, UINT64_C(1) << (10 * i),
                                       number);
    }
    return false;
}

static int number_apply(struct config *config, const struct option *option,
                        const char *value, struct reporter *reporter)
{
    bool is_bytes = !strncmp(option->unit, "bytes", 5);
    uint64_t number;
    char why[96];

    if (!number_read(value, is_bytes, &number)) {
        snprintf(why, sizeof(why), "must be a whole number of %s%s",
                 option->unit,
                 is_bytes ? ", as it is or with KiB, MiB, GiB"
                          : " without a suffix");
        return refuse(reporter, option, value, why);
    }
    if (number < option->min || number > option->max) {
        snprintf(why, sizeof(why), "%s the limit of %" PRIu64 " %s",
                 number < option->min ? "below" : "above",
                 number < option->min ? option->min : option->max,
                 option->unit);
        return refuse(reporter, option, value, why);
    }
    *number_of(config, option) = number;
    return 0;
}

static int level_apply(struct config *config, const struct option *option,
                       const char *value, struct reporter *reporter)
{
    enum log_level level;

    if (log_level_parse(value, &level))
        return refuse(reporter, option, value,
                      "must be error, warn, info or debug");
    *number_of(config, option) = level;
    return 0;
}

static int bool_apply(struct config *config, const struct option *option,
                      const char *value, struct reporter *reporter)
{
    bool is_true = !strcmp(value, "true");

    if (!is_true && strcmp(value, "false"))
        return refuse(reporter, option, value, "must be true or false");
    *bool_of(config, option) = is_true;
    return 0;
}

static int text_apply(struct config *config, const struct option *option,
                      const char *value, struct reporter *reporter)
{
    char *copy;

    if (has_control_bytes(value))
        return refuse(reporter, option, value, "has control characters");
    copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*text_of(config, option));
    *text_of(config, option) = copy;
    return 0;
}

static void list_clear(struct config_list *list)
{
    while (list->n)
        free(list->items[--list->n]);
}

/* libzmq takes 99999 for 34463. */
static bool is_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    return !strcmp(text, "*") ||
           (*text >= '0' && *text <= '9' && !*end && port <= 65535);
}

static bool is_endpoint(const char *value)
{
    const char *colon = strrchr(value, ':');
    size_t scheme = strlen("tcp://");

    if (has_control_bytes(value) || strlen(value) <= scheme)
        return false;
    return !strncmp(value, "tcp://", scheme) && colon >= value + scheme &&
           is_port(colon + 1);
}

static int list_apply(struct config *config, const struct option *option,
                      const char *value, bool add, struct reporter *reporter)
{
    struct config_list *list = list_of(config, option);
    char *copy;

    if (!is_endpoint(value))
        return refuse(reporter, option, value,
                      "must be tcp://ADDRESS:PORT, in quotes");
    if (!add)
        list_clear(list);
    if (list->n == CONFIG_LISTEN_MAX)
        return refuse(reporter, option, value, "more than 16 endpoints");
    copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    list->items[list->n++] = copy;
    return 0;
}
_Static_assert(CONFIG_LISTEN_MAX == 16, "the refusal says 16");

static int option_apply(struct config *config, const struct option *option,
                        const char *value, bool add, struct reporter *reporter)
{
    switch (option->kind) {
    case TEXT: return text_apply(config, option, value, reporter);
    case LIST: return list_apply(config, option, value, add, reporter);
    case LEVEL: return level_apply(config, option, value, reporter);
    case BOOL: return bool_apply(config, option, value, reporter);
    case NUMBER: return number_apply(config, option, value, reporter);
    }
    return -EINVAL;
}

static int option_default(struct config *config, const struct option *option)
{
    struct reporter silent = {.quiet = true};

    switch (option->kind) {
    case TEXT:
    case LIST:
        return option_apply(config, option, option->text, false, &silent);
    case BOOL: *bool_of(config, option) = option->number != 0; return 0;
    case LEVEL:
    case NUMBER: *number_of(config, option) = option->number; return 0;
    }
    return -EINVAL;
}

/* libconfuse 3.3 counts the line of each comment three times, and the lines in
 * its errors are all that makes them useful: comments are blanked before it
 * sees them. A '#' begins one anywhere outside quotes, the others only where a
 * word could begin, so that tcp://host stays whole. */
struct scan {
    char *at;
    char quote;      /* 0: outside */
    bool word_start; /* what comes next could begin a word */
};

static void blank_until(struct scan *scan, const char *end)
{
    for (; scan->at < end; scan->at++)
        if (*scan->at != '\n')
            *scan->at = ' ';
}

static void quoted_pass(struct scan *scan)
{
    if (*scan->at == '\\' && scan->at[1])
        scan->at++;
    else if (*scan->at == scan->quote)
        scan->quote = 0;
    scan->at++;
}

/* 0, or -EINVAL for a comment that does not end. */
static int plain_pass(struct scan *scan)
{
    char *at = scan->at;
    char *end;

    if (*at == '#' || (scan->word_start && !strncmp(at, "//", 2))) {
        blank_until(scan, at + strcspn(at, "\n"));
        return 0;
    }
    if (scan->word_start && !strncmp(at, "/*", 2)) {
        end = strstr(at + 2, "*/");
        if (!end)
            return -EINVAL;
        blank_until(scan, end + 2);
        return 0;
    }
    if (*at == '"' || *at == '\'')
        scan->quote = *at;
    scan->word_start = strchr(" \t\r\n={},+", *at) != NULL;
    scan->at++;
    return 0;
}

static int line_of(const char *text, const char *at)
{
    int line = 1;

    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static int comments_blank(char *text, struct reporter *reporter)
{
    struct scan scan = {.at = text, .word_start = true};

    while (*scan.at) {
        if (scan.quote) {
            quoted_pass(&scan);
        } else if (plain_pass(&scan)) {
            reporter->line = line_of(text, scan.at);
            report(reporter, "this comment does not end");
            return -EINVAL;
        }
    }
    return 0;
}

struct loader {
    struct reporter reporter;
    struct config *config; /* owned */
    bool seen[OPTIONS_N];
    char *list_newest; /* owned: the last value checked, and its place */
    unsigned int list_n;
    char *unknown[UNKNOWN_MAX]; /* owned */
    size_t unknown_n;
    int rc; /* ours: out of memory */
};

/* libconfuse's callbacks carry nothing of ours. */
static __thread struct loader *loading;

static void loader_apply(const struct option *option, const char *value,
                         bool add)
{
    int rc =
        option_apply(loading->config, option, value, add, &loading->reporter);

    if (rc == -ENOMEM)
        loading->rc = rc;
}

/* It is called after each value and once more after a closing brace. */
static void loader_list(const struct option *option, const cfg_opt_t *opt)
{
    const char *newest = opt->values[opt->nvalues - 1]->string;

    if (loading->list_n == opt->nvalues && loading->list_newest &&
        !strcmp(loading->list_newest, newest))
        return;
    free(loading->list_newest);
    loading->list_newest = strdup(newest);
    loading->list_n = opt->nvalues;
    loader_apply(option, newest, opt->nvalues > 1);
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
    const struct option *option = option_find(opt->name);

    if (!option)
        return 0;
    loading->reporter.line = cfg->line;
    if (option->kind == LIST) {
        loader_list(option, opt);
        return 0;
    }
    if (loading->seen[option - options])
        refuse(&loading->reporter, option, opt->values[0]->string,
               "the option was set before in this file");
    loading->seen[option - options] = true;
    loader_apply(option, opt->values[0]->string, false);
    return 0;
}

static void on_unknown(const char *name)
{
    char quoted[96];

    log_quote(quoted, sizeof(quoted), name, strlen(name));
    loading->reporter.quiet = false;
    report(&loading->reporter, "unknown option %s", quoted);
    loading->reporter.quiet = true;
    loading->unknown[loading->unknown_n] = strdup(name);
    if (!loading->unknown[loading->unknown_n])
        loading->rc = -ENOMEM;
    else
        loading->unknown_n++;
}

static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    char text[256];
    va_list again;

    loading->reporter.line = cfg->line;
    /* Its text for an unknown key; with any other wording (a translation) the
     * key is still refused, only what follows it is not looked at. */
    if (loading->unknown_n < UNKNOWN_MAX && loading->reporter.quiet &&
        !strcmp(format, "no such option '%s'")) {
        va_copy(again, args);
        on_unknown(va_arg(again, const char *));
        va_end(again);
        return;
    }
    vsnprintf(text, sizeof(text), format, args);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
            *c = '?';
    report(&loading->reporter, "%s", text);
}

static cfg_opt_t *opts_fill(cfg_opt_t *opts, const struct loader *loader)
{
    cfg_opt_t *opt = opts;

    for (size_t i = 0; i < OPTIONS_N; i++) {
        cfg_opt_t one = CFG_STR(options[i].name, NULL, CFGF_NONE);
        cfg_opt_t list = CFG_STR_LIST(options[i].name, NULL, CFGF_NONE);

        *opt = options[i].kind == LIST ? list : one;
        opt++->validcb = on_value;
    }
    for (size_t i = 0; i < loader->unknown_n; i++) {
        /* A list, because that takes a value in braces and one without. */
        cfg_opt_t unknown = CFG_STR_LIST(loader->unknown[i], NULL, CFGF_NONE);

        *opt++ = unknown;
    }
    *opt = (cfg_opt_t)CFG_END();
    return opts;
}

/* Nothing is called for `name = {}`; the default must not stand for it. */
static void lists_take_empty(struct config *config, cfg_t *cfg)
{
    for (size_t i = 0; i < OPTIONS_N; i++) {
        const cfg_opt_t *opt = cfg_getopt(cfg, options[i].name);

        if (options[i].kind == LIST && (opt->flags & CFGF_MODIFIED) &&
            !opt->nvalues)
            list_clear(list_of(config, &options[i]));
    }
}

/* One pass over the text from fresh defaults. */
static int loader_pass(struct loader *loader, const char *text, bool quiet)
{
    cfg_opt_t opts[OPTIONS_N + UNKNOWN_MAX + 1];
    cfg_t *cfg = cfg_init(opts_fill(opts, loader), CFGF_NONE);

    config_destroy(&loader->config);
    loader->config = config_default();
    free(loader->list_newest);
    loader->list_newest = NULL;
    memset(loader->seen, 0, sizeof(loader->seen));
    if (!cfg || !loader->config) {
        cfg_free(cfg);
        return -ENOMEM;
    }
    cfg_set_error_function(cfg, on_error);
    loader->reporter.quiet = quiet;
    loading = loader;
    cfg_parse_buf(cfg, text); /* what it finds is counted by on_error */
    loading = NULL;
    lists_take_empty(loader->config, cfg);
    cfg_free(cfg);
    return loader->rc;
}

/* Quiet passes until no new unknown key turns up, then the one that speaks. */
static int loader_run(struct loader *loader, const char *text)
{
    size_t unknown;
    int rc;

    do {
        unknown = loader->unknown_n;
        rc = loader_pass(loader, text, true);
    } while (!rc && loader->unknown_n > unknown);
    loader->reporter.errors = loader->unknown_n;
    if (!rc)
        rc = loader_pass(loader, text, false);
    loader->reporter.line = 0;
    if (!rc && config_check(loader->config, loader->reporter.origin,
                            loader->reporter.error, loader->reporter.arg))
        loader->reporter.errors++;
    if (!rc && loader->reporter.errors)
        rc = -EINVAL;
    return rc;
}

static int text_load(struct loader *loader, char *text, size_t len)
{
    if (memchr(text, '\0', len)) {
        loader->reporter.line = line_of(text, text + strlen(text));
        report(&loader->reporter, "a NUL byte: this is not a text file");
        return -EINVAL;
    }
    if (comments_blank(text, &loader->reporter))
        return -EINVAL;
    return loader_run(loader, text);
}

static void require(struct reporter *reporter, bool holds, const char *format,
                    uint64_t value, uint64_t limit)
{
    char text[160];

    if (holds)
        return;
    snprintf(text, sizeof(text), format, value, limit);
    report(reporter, "%s", text);
}

static bool option_is_same(const struct config *a, const struct config *b,
                           const struct option *option)
{
    const struct config_list *list_a;
    const struct config_list *list_b;

    switch (option->kind) {
    case TEXT: return !strcmp(*text_of(a, option), *text_of(b, option));
    case BOOL: return *bool_of(a, option) == *bool_of(b, option);
    case LEVEL:
    case NUMBER: return *number_of(a, option) == *number_of(b, option);
    case LIST: break;
    }
    list_a = list_of(a, option);
    list_b = list_of(b, option);
    if (list_a->n != list_b->n)
        return false;
    for (size_t i = 0; i < list_a->n; i++)
        if (strcmp(list_a->items[i], list_b->items[i]))
            return false;
    return true;
}

/* '$' too: libconfuse puts ${NAME} of the environment into double quotes. */
static void text_print(const char *text, FILE *out)
{
    putc('"', out);
    for (; *text; text++) {
        if (strchr("\"\\$", *text))
            putc('\\', out);
        putc(*text, out);
    }
    putc('"', out);
}

static void list_print(const struct config_list *list, FILE *out)
{
    putc('{', out);
    for (size_t i = 0; i < list->n; i++) {
        fputs(i ? ", " : "", out);
        text_print(list->items[i], out);
    }
    putc('}', out);
}

static void number_print(uint64_t number, const char *unit, FILE *out)
{
    static const char *const suffixes[] = {"", "KiB", "MiB", "GiB"};
    size_t i = 0;

    while (!strncmp(unit, "bytes", 5) && number && number % 1024 == 0 &&
           i < 3) {
        number /= 1024;
        i++;
    }
    fprintf(out, "%" PRIu64 "%s", number, suffixes[i]);
}

static void option_print(const struct config *config,
                         const struct option *option, FILE *out)
{
    fprintf(out, "%s = ", option->name);
    switch (option->kind) {
    case TEXT: text_print(*text_of(config, option), out); break;
    case LIST: list_print(list_of(config, option), out); break;
    case LEVEL:
        fputs(log_level_name((enum log_level) * number_of(config, option)),
              out);
        break;
    case BOOL: fputs(*bool_of(config, option) ? "true" : "false", out); break;
    case NUMBER:
        number_print(*number_of(config, option), option->unit, out);
        break;
    }
    putc('\n', out);
}

static void option_explain(const struct option *option, FILE *out)
{
    fprintf(out, "\n# %s\n# ", option->doc);
    if (option->kind == NUMBER) {
        fprintf(out, "In %s, from ", option->unit);
        number_print(option->min, option->unit, out);
        fputs(" to ", out);
        number_print(option->max, option->unit, out);
        fputs(". ", out);
    }
    fputs(option->change == RELOAD ? "A reload takes it.\n"
                                   : "A change takes a restart.\n",
          out);
}

struct config *config_default(void)
{
    struct config *config = calloc(1, sizeof(*config));

    if (!config)
        return NULL;
    for (size_t i = 0; i < OPTIONS_N; i++)
        if (option_default(config, &options[i])) {
            config_destroy(&config);
            return NULL;
        }
    return config;
}

void config_destroy(struct config **self_p)
{
    if (!self_p || !*self_p)
        return;
    for (size_t i = 0; i < OPTIONS_N; i++) {
        if (options[i].kind == TEXT)
            free(*text_of(*self_p, &options[i]));
        if (options[i].kind == LIST)
            list_clear(list_of(*self_p, &options[i]));
    }
    free(*self_p);
    *self_p = NULL;
}

int config_load(const char *path, struct config **out, config_error_fn *error,
                void *arg)
{
    struct loader loader = {
        .reporter = {.error = error, .arg = arg, .origin = path}};
    char *text = NULL;
    size_t len = 0;
    int rc = file_read_whole(path, CONFIG_FILE_BYTES_MAX, &text, &len);

    if (rc) {
        report(&loader.reporter, "cannot be read: %s", strerror(-rc));
        return rc;
    }
    rc = text_load(&loader, text, len);
    if (!rc) {
        *out = loader.config;
        loader.config = NULL;
    }
    config_destroy(&loader.config);
    while (loader.unknown_n)
        free(loader.unknown[--loader.unknown_n]);
    free(loader.list_newest);
    free(text);
    return rc;
}

int config_set(struct config *config, const char *name, const char *value,
               bool add, const char *origin, config_error_fn *error, void *arg)
{
    struct reporter reporter = {.error = error, .arg = arg, .origin = origin};
    const struct option *option = option_find(name);

    if (!option) {
        report(&reporter, "unknown option");
        return -EINVAL;
    }
    return option_apply(config, option, value, add, &reporter);
}

int config_check(const struct config *config, const char *origin,
                 config_error_fn *error, void *arg)
{
    struct reporter reporter = {.error = error, .arg = arg, .origin = origin};
    const struct config *c = config;

    require(&reporter,
            c->bundle_bytes_max >= c->value_bytes_max + BUNDLE_BESIDE_VALUE,
            "bundle_bytes_max = %" PRIu64 ": must hold a value and 4 KiB "
            "beside it; value_bytes_max is %" PRIu64 " bytes",
            c->bundle_bytes_max, c->value_bytes_max);
    require(&reporter, c->segment_bytes >= 2 * c->bundle_bytes_max,
            "segment_bytes = %" PRIu64 ": must be twice bundle_bytes_max, "
            "which is %" PRIu64 " bytes",
            c->segment_bytes, c->bundle_bytes_max);
    require(&reporter, c->peer_bytes_in_flight_max >= c->bundle_bytes_max,
            "peer_bytes_in_flight_max = %" PRIu64 ": must hold a bundle; "
            "bundle_bytes_max is %" PRIu64 " bytes",
            c->peer_bytes_in_flight_max, c->bundle_bytes_max);
    require(&reporter, c->lease_ms_default <= c->lease_ms_max,
            "lease_ms_default = %" PRIu64 ": above lease_ms_max, "
            "which is %" PRIu64 " ms",
            c->lease_ms_default, c->lease_ms_max);
    if (!c->listen.n)
        report(&reporter, "listen = {}: at least one endpoint is needed");
    return reporter.errors ? -EINVAL : 0;
}

size_t config_needs_restart(const struct config *now,
                            const struct config *wanted, config_error_fn *named,
                            void *arg)
{
    size_t n = 0;

    for (size_t i = 0; i < OPTIONS_N; i++) {
        if (options[i].change == RELOAD ||
            option_is_same(now, wanted, &options[i]))
            continue;
        n++;
        if (named)
            named(arg, options[i].name);
    }
    return n;
}

void config_print(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < OPTIONS_N; i++)
        option_print(config, &options[i], out);
}

void config_print_example(FILE *out)
{
    struct config *config = config_default();

    if (!config)
        return;
    fputs("# choird.conf: every option, with its default.\n"
          "# `choird --check-config -c FILE` says what is wrong with a file, "
          "and prints\n"
          "# what it comes to. SIGHUP reloads it. Bytes may be written 64KiB, "
          "8MiB, 1GiB.\n",
          out);
    for (size_t i = 0; i < OPTIONS_N; i++) {
        option_explain(&options[i], out);
        putc('#', out);
        option_print(config, &options[i], out);
    }
    config_destroy(&config);
}
