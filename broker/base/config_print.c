/* choird's options written down: what is printed is accepted again. */
#include "broker/base/config_private.h"

#include "broker/base/log.h"

#include <inttypes.h>
#include <string.h>

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

void config_print(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < OPTIONS_N; i++)
        option_print(config, &config_options[i], out);
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
        option_explain(&config_options[i], out);
        putc('#', out);
        option_print(config, &config_options[i], out);
    }
    config_destroy(&config);
}
