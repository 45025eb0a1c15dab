/* choird's options from a file.
 *
 * libconfuse stops at the first error, so every option is a string to it and is
 * checked here, in its validation callback, which never stops it. An unknown
 * key does stop it: then the key is declared as one to be refused, and the text
 * is parsed again. */
#include "broker/base/config_private.h"

#include "broker/base/file.h"
#include "broker/base/log.h"

#include <confuse.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_MAX 64

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
            config_report(reporter, "this comment does not end");
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
    if (loading->seen[option - config_options])
        option_refuse(&loading->reporter, option, opt->values[0]->string,
                      "the option was set before in this file");
    loading->seen[option - config_options] = true;
    loader_apply(option, opt->values[0]->string, false);
    return 0;
}

static void on_unknown(const char *name)
{
    char quoted[96];

    log_quote(quoted, sizeof(quoted), name, strlen(name));
    loading->reporter.quiet = false;
    config_report(&loading->reporter, "unknown option %s", quoted);
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
    config_report(&loading->reporter, "%s", text);
}

static cfg_opt_t *opts_fill(cfg_opt_t *opts, const struct loader *loader)
{
    cfg_opt_t *opt = opts;

    for (size_t i = 0; i < OPTIONS_N; i++) {
        cfg_opt_t one = CFG_STR(config_options[i].name, NULL, CFGF_NONE);
        cfg_opt_t list = CFG_STR_LIST(config_options[i].name, NULL, CFGF_NONE);

        *opt = config_options[i].kind == LIST ? list : one;
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
        const cfg_opt_t *opt = cfg_getopt(cfg, config_options[i].name);

        if (config_options[i].kind == LIST && (opt->flags & CFGF_MODIFIED) &&
            !opt->nvalues)
            config_list_clear(list_of(config, &config_options[i]));
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
        config_report(&loader->reporter, "a NUL byte: this is not a text file");
        return -EINVAL;
    }
    if (comments_blank(text, &loader->reporter))
        return -EINVAL;
    return loader_run(loader, text);
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
        config_report(&loader.reporter, "cannot be read: %s", strerror(-rc));
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
