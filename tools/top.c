/* choir top: what the broker does just now, again and again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "json.h"
#include "roster.h"
#include "status.h"

/* Counters of status that are shown as so many a second. */
static const char *const rated[] = {
    "entries", "bundles",         "syncs",       "changes_sent",
    "claims",  "tasks_delivered", "turned_away", "bad_signatures",
};
/* And those that are shown as they are. */
static const char *const plain[] = {
    "size",    "keys", "agents", "sessions", "connections",
    "watches", "taps", "leases", "tasks",    "ledger_bytes",
};
#define LENGTH(array) (sizeof(array) / sizeof *(array))

struct top {
    struct cli *cli;
    struct client *client;
    json_t *status, *before, *rates, *roster;
    uint64_t interval_ms, left;
    bool clears;
};

/* --- Taking ----------------------------------------------------------------- */

static double seconds_between(const struct top *t)
{
    uint64_t now = member_uint(t->status, "time");
    uint64_t then = member_uint(t->before, "time");

    return now > then ? (double)(now - then) / 1e6
                      : (double)t->interval_ms / 1e3;
}

static void rates_make(struct top *t)
{
    double seconds = seconds_between(t);

    json_decref(t->rates);
    t->rates = json_object();
    for (size_t i = 0; i < LENGTH(rated); i++) {
        uint64_t now = member_uint(t->status, rated[i]);
        uint64_t then = member_uint(t->before, rated[i]);

        /* less than before: the broker began anew */
        json_object_set_new(
            t->rates, rated[i],
            json_real(now > then ? (double)(now - then) / seconds : 0));
    }
}

static int sample(struct top *t)
{
    json_decref(t->before);
    t->before = t->status;
    t->status = NULL;
    return status_load(t->client, &t->status);
}

/* --- Showing ---------------------------------------------------------------- */

static void line_print(const char *name, const char *text, size_t column)
{
    printf("%-16s %14s%s", name, text, column % 2 ? "\n" : "    ");
}

static void numbers_print(const struct top *t)
{
    char text[32];

    for (size_t i = 0; i < LENGTH(plain); i++) {
        snprintf(text, sizeof text, "%llu",
                 (unsigned long long)member_uint(t->status, plain[i]));
        line_print(plain[i], text, i);
    }
    for (size_t i = 0; i < LENGTH(rated); i++) {
        snprintf(text, sizeof text, "%.1f/s",
                 json_real_value(json_object_get(t->rates, rated[i])));
        line_print(rated[i], text, i);
    }
}

static int by_silence(const void *a, const void *b)
{
    uint64_t x = member_uint(*(json_t *const *)a, "silent_ms");
    uint64_t y = member_uint(*(json_t *const *)b, "silent_ms");

    return x < y ? -1 : x > y;
}

/* Those that are here, heard of last first, as many as fit. */
static void agents_print(const struct top *t, size_t most)
{
    size_t n = 0, all = json_array_size(t->roster);
    const json_t **here = calloc(all + 1, sizeof *here);

    if (!here)
        return;
    for (size_t i = 0; i < all; i++) {
        const json_t *agent = json_array_get(t->roster, i);

        if (roster_is_here(agent))
            here[n++] = agent;
    }
    qsort(here, n, sizeof *here, by_silence);
    roster_head_print();
    for (size_t i = 0; i < n && i < most; i++)
        roster_line_print(here[i]);
    if (n > most)
        printf("and %zu more\n", n - most);
    free(here);
}

static size_t rows_of_terminal(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_row < 20)
        return 10;
    return size.ws_row - 14U;
}

static void show_json(const struct top *t)
{
    json_t *o = json_pack("{s:O, s:O, s:O}", "status", t->status, "rates",
                          t->rates, "agents", t->roster);

    json_line(stdout, o);
    json_decref(o);
}

static void show(const struct top *t)
{
    char time[32];

    if (t->cli->json) {
        show_json(t);
        return;
    }
    if (t->clears)
        fputs("\033[H\033[2J", stdout);
    cli_time_text(member_uint(t->status, "time"), time);
    printf("choir %s  %s  epoch %llu%s\n\n", member_text(t->status, "release"),
           time, (unsigned long long)member_uint(t->status, "epoch"),
           member_uint(t->status, "read_only") ? "  READ_ONLY" : "");
    numbers_print(t);
    putchar('\n');
    agents_print(t, t->clears ? rows_of_terminal() : SIZE_MAX);
    if (!t->clears && t->left > 1)
        putchar('\n');
    fflush(stdout);
}

/* --- The command ------------------------------------------------------------ */

static void pause_ms(uint64_t ms)
{
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    nanosleep(&left, NULL); /* a signal ends it, and the next call */
}

static int top_loop(struct top *t)
{
    int r = sample(t);

    for (; !r && t->left; t->left--) {
        pause_ms(t->interval_ms);
        r = sample(t);
        if (r)
            break;
        rates_make(t);
        json_decref(t->roster);
        r = roster_load(t->client, &t->roster);
        if (!r)
            show(t);
    }
    return r;
}

static int top_run(struct cli *cli)
{
    struct top t = {
        .cli = cli,
        .interval_ms = cli_duration_ms(cli, "interval", 1000),
        .left =
            cli_option(cli, "once") ? 1 : cli_number(cli, "count", UINT64_MAX),
        .clears =
            !cli->json && !cli_option(cli, "once") && isatty(STDOUT_FILENO),
    };
    int r;

    if (t.interval_ms < 50)
        cli_wrong(cli, "--interval is at least 50ms");
    r = client_open(cli, &t.client);
    if (r)
        return r;
    r = top_loop(&t);
    json_decref(t.status);
    json_decref(t.before);
    json_decref(t.rates);
    json_decref(t.roster);
    client_close(&t.client);
    return r;
}

static const struct cli_option options[] = {
    {"interval", "TIME", "between two looks; else 1s"},
    {"count", "N", "end after N looks"},
    {"once", NULL, "one look, without clearing the screen"},
    {NULL, NULL, NULL},
};
const struct command command_top = {
    .name = "top",
    .usage = "",
    .what = "what the broker and its agents do just now",
    .more = "Counters of choir status, as they are and as so many a second,\n"
            "then the agents that are here, as choir agents shows them. On a\n"
            "terminal it refreshes until Ctrl-C; otherwise each look follows\n"
            "the one before. --json: an object a look, with \"status\",\n"
            "\"rates\" (a second) and \"agents\".",
    .options = options,
    .run = top_run,
};
