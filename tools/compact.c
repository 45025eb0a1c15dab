/* choir compact: say how much of the past has to be kept. */
#include <time.h>

#include "client.h"
#include "commands.h"
#include "json.h"
#include "proto/schema.h"

static uint64_t wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* When an entry was made, from its receipt. An exit code. */
static int time_of(struct client *c, uint64_t revision, uint64_t *time)
{
    json_t *answer = NULL;
    struct buf value = {0};
    unsigned field;
    struct msg m;
    int r = client_ask(c,
                       json_pack("{s:s, s:I}", "op", "prove", "revision",
                                 (json_int_t)revision),
                       &answer);

    if (r)
        return r;
    member_value(answer, &value);
    r = part_decode(MSG_EVIDENCE, buf_bytes(&value), &m, &field);
    *time = r ? 0 : msg_u(&m, FIELD_TIME);
    buf_free(&value);
    json_decref(answer);
    return r ? cli_failed(r, NULL) : 0;
}

static int newest(struct client *c, uint64_t *revision)
{
    json_t *answer = NULL;
    int r = client_ask(c, json_pack("{s:s}", "op", "ping"), &answer);

    *revision = r ? 0 : member_uint(answer, "seen");
    json_decref(answer);
    return r;
}

/* The first entry that is not older. */
static int revision_since(struct client *c, uint64_t since, uint64_t *revision)
{
    uint64_t low = 0, high = 0, time;
    int r = newest(c, &high);

    while (!r && low < high) {
        uint64_t mid = low + (high - low) / 2;

        r = time_of(c, mid, &time);
        if (time < since)
            low = mid + 1;
        else
            high = mid;
    }
    *revision = low;
    return r;
}

static json_t *request_of(const struct cli *cli, uint64_t revision)
{
    json_t *q = json_pack("{s:s, s:I}", "op", "compact", "revision",
                          (json_int_t)revision);

    if (cli_option(cli, "reason"))
        json_object_set_new(q, "reason",
                            json_string(cli_option(cli, "reason")));
    return q;
}

static int compact_run(struct cli *cli)
{
    uint64_t at = cli_number(cli, "at", 0);
    uint64_t age_ms = cli_duration_ms(cli, "keep-age", 0);
    json_t *answer = NULL;
    struct client *c;
    int r;

    if (!cli_option(cli, "at") == !cli_option(cli, "keep-age"))
        cli_wrong(cli, "either --at N or --keep-age TIME");
    r = client_open(cli, &c);
    if (r)
        return r;
    if (!cli_option(cli, "at"))
        r = revision_since(c, wall_us() - age_ms * 1000, &at);
    if (!r)
        r = client_ask(c, request_of(cli, at), &answer);
    if (!r && cli->json)
        json_line(stdout, answer);
    else if (!r)
        printf("%llu\n", (unsigned long long)at);
    json_decref(answer);
    client_close(&c);
    return r;
}

static const struct cli_option options[] = {
    {"at", "N", "what was before revision N need not be kept"},
    {"keep-age", "TIME", "what is older than 30d, 12h, ... need not be kept"},
    {"reason", "TEXT", "why; it stays in the record"},
    {NULL, NULL, NULL},
};
const struct command command_compact = {
    .name = "compact",
    .usage = "--at N | --keep-age TIME",
    .what = "let go of past versions",
    .more = "Prints the revision from which on everything is kept. What is\n"
            "read at that revision or a later one is as it was; whoever asks\n"
            "for an earlier one is told COMPACTED. This cannot be taken back.\n"
            "--space '*' is every space.\n"
            "Speaks as the broker's admin where its identity may be read.",
    .options = options,
    .admin = true,
    .run = compact_run,
};
