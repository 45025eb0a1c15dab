/* choir: the command line of Choir. One subcommand, one file. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"

#define X(name) &command_##name,
static const struct command *const commands[] = {COMMANDS(X) NULL};
#undef X

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static const char *next_name(int i, void *arg)
{
    (void)arg;
    return commands[i] ? commands[i]->name : NULL;
}

_Noreturn static void unknown_command(const struct cli *cli, const char *name)
{
    const char *near = cli_nearest(name, next_name, NULL);

    if (near)
        cli_wrong(cli, "unknown command \"%s\"; did you mean %s?", name, near);
    cli_wrong(cli, "unknown command \"%s\"", name);
}

static int overview(FILE *out)
{
    fputs("choir [OPTIONS] COMMAND ...: speak with a Choir broker\n\n", out);
    for (size_t i = 0; commands[i]; i++)
        fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->what);
    fputs("  help      this text, or that of a command\n"
          "  version   which choir this is\n\nOptions:\n",
          out);
    for (const struct cli_option *o = cli_global_options; o->name; o++) {
        char left[64];

        snprintf(left, sizeof left, "--%s%s%s", o->name, o->arg ? " " : "",
                 o->arg ? o->arg : "");
        fprintf(out, "  %-16s  %s\n", left, o->what);
    }
    fputs("\nExit codes: 0 done, 1 refused, 2 wrong usage, 3 broker not "
          "reached,\n4 a proof failed, 5 the awaited task failed, 130 "
          "interrupted.\n",
          out);
    return EXIT_DONE;
}

static int version(void)
{
    puts("choir " CHOIR_RELEASE);
    return EXIT_DONE;
}

static int help(const struct cli *cli, int argc, char **argv)
{
    const struct command *command;

    if (argc == 0 || strcmp(argv[0], "help") == 0)
        return overview(stdout);
    if (strcmp(argv[0], "version") == 0)
        return version();
    command = command_find(argv[0]);
    if (!command)
        unknown_command(cli, argv[0]);
    cli_help(command, stdout);
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    static struct cli cli; /* what it owns lives as long as the program */
    int i = cli_parse_global(&cli, argc, argv);
    const struct command *command;

    if (i == argc) {
        overview(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[i], "help") == 0 || strcmp(argv[i], "--help") == 0 ||
        strcmp(argv[i], "-h") == 0)
        return help(&cli, argc - i - 1, argv + i + 1);
    if (strcmp(argv[i], "version") == 0 || strcmp(argv[i], "--version") == 0)
        return version();
    command = command_find(argv[i]);
    if (!command)
        unknown_command(&cli, argv[i]);
    cli_parse(&cli, command, argc - i - 1, argv + i + 1);
    return command->run(&cli);
}
