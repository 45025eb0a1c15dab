/* choir receipt: the proof that an entry is in the ledger, to keep or to show. */
#include <string.h>

#include "client.h"
#include "commands.h"

static int receipt_run(struct cli *cli)
{
    uint64_t revision = cli_number_arg(cli, 0, "REVISION");
    struct choir *c;
    char *text;
    int r = handle_open(cli, &c);

    if (r)
        return r;
    r = choir_receipt(c, revision, &text);
    choir_close(&c);
    if (r)
        return cli_failed(r, NULL);
    fwrite(text, 1, strlen(text), stdout);
    choir_free(text);
    return EXIT_DONE;
}

const struct command command_receipt = {
    .name = "receipt",
    .usage = "REVISION",
    .what = "print the proof that an entry is in the ledger",
    .more =
        "A text of the form c2sp.org/tlog-proof: what was said and by whom,\n"
        "its place in the ledger's tree, and the tree head signed by the\n"
        "broker. `choir verify FILE --key K` checks it, offline.",
    .least = 1,
    .most = 1,
    .direct = true,
    .run = receipt_run,
};
