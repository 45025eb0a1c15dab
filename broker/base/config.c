/* choird's options as values: the table, what each may be, and what they
 * demand of each other; see config.h. */
#include "broker/base/config_private.h"

#include "broker/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES 768
/* A bundle that carries one value has headers too. */
#define BUNDLE_BESIDE_VALUE (4 * CONFIG_KIB)

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

const struct option config_options[OPTIONS_N] = {CONFIG_OPTIONS(
    OPTION_TEXT, OPTION_LIST, OPTION_LEVEL, OPTION_BOOL, OPTION_NUMBER)};

void config_report(struct reporter *reporter, const char *format, ...)
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

const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < OPTIONS_N; i++)
        if (!strcmp(config_options[i].name, name))
            return &config_options[i];
    return NULL;
}

int option_refuse(struct reporter *reporter, const struct option *option,
                  const char *value, const char *why)
{
    char quoted[160];

    config_report(reporter, "%s = %s: %s", option->name,
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
        return option_refuse(reporter, option, value, why);
    }
    if (number < option->min || number > option->max) {
        snprintf(why, sizeof(why), "%s the limit of %" PRIu64 " %s",
                 number < option->min ? "below" : "above",
                 number < option->min ? option->min : option->max,
                 option->unit);
        return option_refuse(reporter, option, value, why);
    }
    *number_of(config, option) = number;
    return 0;
}

static int level_apply(struct config *config, const struct option *option,
                       const char *value, struct reporter *reporter)
{
    enum log_level level;

    if (log_level_parse(value, &level))
        return option_refuse(reporter, option, value,
                             "must be error, warn, info or debug");
    *number_of(config, option) = level;
    return 0;
}

static int bool_apply(struct config *config, const struct option *option,
                      const char *value, struct reporter *reporter)
{
    bool is_true = !strcmp(value, "true");

    if (!is_true && strcmp(value, "false"))
        return option_refuse(reporter, option, value, "must be true or false");
    *bool_of(config, option) = is_true;
    return 0;
}

static int text_apply(struct config *config, const struct option *option,
                      const char *value, struct reporter *reporter)
{
    char *copy;

    if (has_control_bytes(value))
        return option_refuse(reporter, option, value, "has control characters");
    copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*text_of(config, option));
    *text_of(config, option) = copy;
    return 0;
}

void config_list_clear(struct config_list *list)
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
        return option_refuse(reporter, option, value,
                             "must be tcp://ADDRESS:PORT, in quotes");
    if (!add)
        config_list_clear(list);
    if (list->n == CONFIG_LISTEN_MAX)
        return option_refuse(reporter, option, value, "more than 16 endpoints");
    copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    list->items[list->n++] = copy;
    return 0;
}
_Static_assert(CONFIG_LISTEN_MAX == 16, "the refusal says 16");

int option_apply(struct config *config, const struct option *option,
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

static void require(struct reporter *reporter, bool holds, const char *format,
                    uint64_t value, uint64_t limit)
{
    char text[160];

    if (holds)
        return;
    snprintf(text, sizeof(text), format, value, limit);
    config_report(reporter, "%s", text);
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

struct config *config_default(void)
{
    struct config *config = calloc(1, sizeof(*config));

    if (!config)
        return NULL;
    for (size_t i = 0; i < OPTIONS_N; i++)
        if (option_default(config, &config_options[i])) {
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
        if (config_options[i].kind == TEXT)
            free(*text_of(*self_p, &config_options[i]));
        if (config_options[i].kind == LIST)
            config_list_clear(list_of(*self_p, &config_options[i]));
    }
    free(*self_p);
    *self_p = NULL;
}

int config_set(struct config *config, const char *name, const char *value,
               bool add, const char *origin, config_error_fn *error, void *arg)
{
    struct reporter reporter = {.error = error, .arg = arg, .origin = origin};
    const struct option *option = option_find(name);

    if (!option) {
        config_report(&reporter, "unknown option");
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
        config_report(&reporter,
                      "listen = {}: at least one endpoint is needed");
    return reporter.errors ? -EINVAL : 0;
}

size_t config_needs_restart(const struct config *now,
                            const struct config *wanted, config_error_fn *named,
                            void *arg)
{
    size_t n = 0;

    for (size_t i = 0; i < OPTIONS_N; i++) {
        if (config_options[i].change == RELOAD ||
            option_is_same(now, wanted, &config_options[i]))
            continue;
        n++;
        if (named)
            named(arg, config_options[i].name);
    }
    return n;
}
