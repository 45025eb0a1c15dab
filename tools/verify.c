/* choir verify: a data directory, or a file that a broker or an agent gave
 * away, offline, no broker asked. */
#include "verify.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "commands.h"
#include "json.h"

void verify_key_hex(const uint8_t key[KEY_PUBLIC_BYTES], char out[HASH_HEX])
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
    verify_key_hex(r->broker_key, key);
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
    json_line(stdout, o);
    json_decref(o);
}

static int dir_verify(const char *dir, const uint8_t *key, bool json)
{
    struct verify_report report;
    int r = verify_ledger(dir, key, &report);

    if (json)
        report_json(&report, r);
    if (r || !json)
        verify_print(&report, r, r ? stderr : stdout);
    return r == 0 ? EXIT_DONE : r > 0 ? EXIT_PROOF : EXIT_REFUSED;
}

/* With whom one trusts, if a file says so. */
static int export_verify(struct cli *cli, const uint8_t *key)
{
    const char *agents = cli_option(cli, "agents");
    struct buf trusted = {0};
    struct verify_wish wish = {
        .key = key,
        .agents = agents,
        .trusted = agents ? &trusted : NULL,
        .json = cli->json,
        .show = cli_option(cli, "show") != NULL,
    };
    unsigned line = 0;
    int r = agents ? verify_agents_read(agents, &trusted, &line) : 0;

    if (r == -EINVAL)
        cli_wrong(cli,
                  "--agents %s: line %u does not begin with an agent's "
                  "id, 64 hex digits",
                  agents, line);
    if (r)
        cli_wrong(cli, "--agents %s: %s", agents, strerror(-r));
    if (agents && !trusted.n)
        cli_wrong(cli, "--agents %s: it names no agent", agents);
    r = verify_export(cli->args[0], &wish);
    buf_free(&trusted);
    return r;
}

static int verify_run(struct cli *cli)
{
    const char *given = cli_option(cli, "key"), *path = cli->args[0];
    bool piped = strcmp(path, "-") == 0;
    bool export = piped ? !verify_stdin_is_paper() : verify_is_export(path);
    uint8_t key[KEY_PUBLIC_BYTES];
    struct stat st = {0};
    int r = crypto_start();

    if (r)
        return cli_failed(r, "EIO: libsodium does not start");
    if (!export && !piped &&
        (stat(path, &st) || (!S_ISDIR(st.st_mode) && access(path, R_OK))))
        cli_wrong(cli, "%s: %s", path, strerror(errno));
    if (!export && !piped && !S_ISDIR(st.st_mode) && !verify_is_paper(path))
        cli_wrong(cli,
                  "%s: neither a directory nor an export, a receipt or "
                  "evidence",
                  path);
    if (given && verify_key_read(given, key))
        cli_wrong(cli,
                  "--key %s: neither 64 hex digits nor a file with a key, an "
                  "identity or an invitation",
                  given);
    if (export)
        return export_verify(cli, given ? key : NULL);
    if (cli_option(cli, "agents") || cli_option(cli, "show"))
        cli_wrong(cli, "--%s is for exports alone",
                  cli_option(cli, "agents") ? "agents" : "show");
    if (S_ISDIR(st.st_mode))
        return dir_verify(path, given ? key : NULL, cli->json);
    if (!given)
        cli_wrong(cli, "a file says nothing without --key: the broker's");
    return verify_paper(path, key, cli->json);
}

static const struct cli_option options[] = {
    {"key", "K", "pin the broker's key: 64 hex digits, or a file with it"},
    {"agents", "FILE",
     "of an export, take only what these agents said and exported: ids, 64 "
     "hex digits, one a line"},
    {"show", NULL, "of an export, its entries, too: who said what, and when"},
    {NULL, NULL, NULL},
};
const struct command command_verify = {
    .name = "verify",
    .usage = "DIR|FILE|-",
    .what = "prove a data directory, an export, a receipt or a fork, offline",
    .more =
        "Every signature, hash, tree and checkpoint; says what was checked\n"
        "or names the first thing that is wrong, and then ends with 4.\n"
        "Without --key a directory or an export can only be called \"signed by\n"
        "unknown key\". - is what comes on standard input. Ids of agents, for\n"
        "--agents, and the broker's key are in `choir agents --all --json`.",
    .options = options,
    .least = 1,
    .most = 1,
    .run = verify_run,
};
