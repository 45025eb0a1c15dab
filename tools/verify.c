/* choir verify: a data directory or a copy of one, offline, no broker asked. */
#include "verify.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "commands.h"

static void hex_of(const uint8_t key[KEY_PUBLIC_BYTES], char out[HASH_HEX])
{
    struct hash h;

    memcpy(h.b, key, sizeof h.b);
    hash_hex(&h, out);
}

static json_t *counts_json(const struct verify_report *r)
{
    const struct verify_counts *c = &r->counts;

    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "segments",
        (json_int_t)c->segments, "bytes", (json_int_t)c->bytes, "groups",
        (json_int_t)c->groups, "entries", (json_int_t)c->entries, "bundles",
        (json_int_t)c->bundles, "payloads", (json_int_t)c->payloads,
        "payload_bytes", (json_int_t)c->payload_bytes, "agents",
        (json_int_t)c->agents, "sessions", (json_int_t)c->sessions,
        "checkpoints", (json_int_t)c->checkpoints);
}

static void report_json(const struct verify_report *r, int result)
{
    char ledger[HASH_HEX], root[HASH_HEX], key[HASH_HEX];
    json_t *o;

    hash_hex(&r->ledger, ledger);
    hash_hex(&r->root, root);
    hex_of(r->broker_key, key);
    o = json_pack("{s:b, s:b, s:s, s:s, s:s, s:I, s:b, s:I, s:o}", "ok",
                  result == 0, "pinned", r->pinned, "ledger", ledger, "root",
                  root, "broker_key", key, "epoch", (json_int_t)r->epoch,
                  "sealed", r->sealed, "tail_bytes", (json_int_t)r->tail_bytes,
                  "counts", counts_json(r));
    if (result)
        json_object_update_new(o, json_pack("{s:s, s:s, s:I, s:I}", "in", r->in,
                                            "why", r->why, "offset",
                                            (json_int_t)r->at.offset, "entry",
                                            (json_int_t)r->at.index));
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

static int verify_run(struct cli *cli)
{
    const char *given = cli_option(cli, "key"), *dir = cli->args[0];
    uint8_t key[KEY_PUBLIC_BYTES];
    struct verify_report report;
    struct stat st;
    int r = crypto_start();

    if (r)
        return cli_failed(r, "EIO: libsodium does not start");
    if (stat(dir, &st))
        cli_wrong(cli, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode) && !verify_is_paper(dir))
        cli_wrong(cli, "%s: neither a directory nor a receipt nor evidence",
                  dir);
    if (given && verify_key_read(given, key))
        cli_wrong(cli,
                  "--key %s: neither 64 hex digits nor a file with a key, an "
                  "identity or an invitation",
                  given);
    if (!S_ISDIR(st.st_mode) && !given)
        cli_wrong(cli, "a file says nothing without --key: the broker's");
    if (!S_ISDIR(st.st_mode))
        return verify_paper(dir, key, cli->json);
    r = verify_ledger(dir, given ? key : NULL, &report);
    if (cli->json)
        report_json(&report, r);
    if (r || !cli->json)
        verify_print(&report, r, r ? stderr : stdout);
    return r == 0 ? EXIT_DONE : r > 0 ? EXIT_PROOF : EXIT_REFUSED;
}

static const struct cli_option options[] = {
    {"key", "K", "pin the broker's key: 64 hex digits, or a file with it"},
    {NULL, NULL, NULL},
};
const struct command command_verify = {
    .name = "verify",
    .usage = "DIR|FILE",
    .what = "prove a data directory, a receipt or a fork, offline",
    .more =
        "Every signature, hash, tree and checkpoint; says what was checked\n"
        "or names the first thing that is wrong, and then ends with 4.\n"
        "Without --key a directory can only be called \"signed by unknown key\".",
    .options = options,
    .least = 1,
    .most = 1,
    .run = verify_run,
};
