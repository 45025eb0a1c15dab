/* What every subcommand has in common: options from a table, help made of the
 * same table, results on stdout, everything else on stderr, exit codes. One
 * `struct cli` is one run; it lives until the process ends. */
#ifndef CHOIR_TOOLS_CLI_H
#define CHOIR_TOOLS_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agent-sdk/choir.h"
#include "proto/bytes.h"

enum cli_exit {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1,     /* by the broker, NOT_FOUND and DENIED included */
    EXIT_USAGE = 2,       /* wrong usage */
    EXIT_UNREACHABLE = 3, /* no answer in time */
    EXIT_PROOF = 4,       /* a proof or a check failed */
    EXIT_TASK = 5,        /* the awaited task failed, was cancelled, is dead */
    EXIT_INTERRUPTED = 130,
};

/* arg: what the help calls its value; NULL: it takes none. */
struct cli_option {
    const char *name, *arg, *what;
};

struct cli;

struct command {
    const char *name;
    const char *usage; /* of the arguments: "KEY [VALUE|-]" */
    const char *what;  /* one line */
    const char *more;  /* further lines for `choir help NAME`, or NULL */
    const struct cli_option *options; /* ends with a name of NULL; or NULL */
    int least, most;                  /* arguments */
    int value_at; /* argument that may be any bytes; 0: none, all are UTF-8 */
    bool direct;  /* never by way of the worker's socket */
    bool admin; /* speaks with the broker's admin identity if it may read it */
    int (*run)(struct cli *cli); /* returns the exit code */
};

enum { CLI_OPTIONS_MAX = 64 };

struct cli {
    const struct command *command;
    const char **args; /* what is left besides options */
    int count;
    bool json, accepts_epoch;
    const char *url, *space, *name, *identity; /* as given, or NULL */
    int timeout_ms;                            /* 0: the library's default */
    struct {
        const char *name, *value;
    } given[CLI_OPTIONS_MAX];
    int given_count;
};

/* Parse behind the command's name. Ends the process: with 2 for wrong usage,
 * with 0 after --help. */
void cli_parse(struct cli *cli, const struct command *command, int argc,
               char **argv);
/* Global options in front of the command; returns where it stands. */
int cli_parse_global(struct cli *cli, int argc, char **argv);
extern const struct cli_option cli_global_options[];

/* The option's value ("" if it takes none), or NULL. */
const char *cli_option(const struct cli *cli, const char *name);
/* As a number; fallback if it is not given. Wrong ones end the process. */
uint64_t cli_number(const struct cli *cli, const char *name, uint64_t fallback);
/* "90", "90s", "15m", "2h", "7d", "250ms"; likewise. */
uint64_t cli_duration_ms(const struct cli *cli, const char *name,
                         uint64_t fallback);
/* A moment, in microseconds since 1970: "90s", "15m", ... from now, or
 * "2026-12-24T18:00:00Z"; likewise. */
uint64_t cli_time_us(const struct cli *cli, const char *name,
                     uint64_t fallback);
/* What an option that may come several times, or with commas, says: its next
 * piece behind *at (0: begin), copied into out; false: no more. */
bool cli_option_piece(const struct cli *cli, const char *name, size_t *at,
                      char *out, size_t bytes);
/* Argument i as a number. what: "TASK". */
uint64_t cli_number_arg(const struct cli *cli, int i, const char *what);

/* Say it on stderr, with how to use the command, and end with 2. */
_Noreturn void cli_wrong(const struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The known word that `word` may have been meant for, or NULL.
 * next: gives the known words by number, NULL at the end. */
const char *cli_nearest(const char *word, const char *(*next)(int i, void *arg),
                        void *arg);
void cli_help(const struct command *command, FILE *out);

/* Exit code for a CHOIR_* code or negative errno. */
int cli_exit_code(int code);
/* Print the line of a failure on stderr and return its exit code. line: NULL
 * for what the library said last. */
int cli_failed(int code, const char *line);

/* The value an argument stands for: itself, or standard input for "-" and
 * NULL. Ends the process when standard input cannot be read. */
void cli_value(const struct cli *cli, const char *arg, struct buf *out);
/* All of a file; "-": standard input. 0 or -errno. */
int cli_read_file(const char *path, struct buf *out);

/* Text of strangers on a terminal: control characters become \xNN. */
void cli_print_text(FILE *out, const char *s);
/* "2026-11-22T19:42:24.123Z" of microseconds since 1970. */
void cli_time_text(uint64_t us, char out[32]);
/* Is colour wanted there? A terminal, and no NO_COLOR. */
bool cli_color(FILE *out);

#endif
