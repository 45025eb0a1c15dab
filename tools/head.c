/* choir head: what the broker has signed for us, to be compared with what it
 * signs for others. */
#include <errno.h>
#include <string.h>

#include "client.h"
#include "commands.h"

/* Evidence goes to standard output: it is the result. */
static int head_compare(struct cli *cli, struct choir *c, const char *file)
{
    struct buf text = {0};
    char *evidence = NULL;
    int r = cli_read_file(file, &text);

    if (r)
        cli_wrong(cli, "--check %s: %s", file, strerror(-r));
    buf_put(&text, "", 1);
    r = text.failed ? -ENOMEM
                    : choir_head_check(c, (const char *)text.p, &evidence);
    if (evidence)
        fputs(evidence, stdout);
    if (r)
        r = cli_failed(r, NULL);
    else
        puts("the same ledger");
    choir_free(evidence);
    buf_free(&text);
    return r;
}

static int head_show(struct choir *c)
{
    char *text;
    int r = choir_head(c, &text);

    if (r)
        return cli_failed(r, NULL);
    fputs(text, stdout);
    choir_free(text);
    return EXIT_DONE;
}

static int head_run(struct cli *cli)
{
    const char *file = cli_option(cli, "check");
    struct choir *c;
    int r = handle_open(cli, &c);

    if (r)
        return r;
    r = file ? head_compare(cli, c, file) : head_show(c);
    choir_close(&c);
    return r;
}

static const struct cli_option options[] = {
    {"check", "FILE", "is that head, another agent's, of the ledger we see?"},
    {NULL, NULL, NULL},
};
const struct command command_head = {
    .name = "head",
    .usage = "",
    .what = "print the signed tree head, or compare another agent's with it",
    .more = "Two agents that compare heads find out a broker that shows them\n"
            "different ledgers: then --check prints the evidence, two heads\n"
            "of one size signed by the broker, and ends with 4. `choir verify\n"
            "FILE --key K` convinces anyone of it.",
    .options = options,
    .direct = true,
    .run = head_run,
};
