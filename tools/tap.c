/* choir tap: the stream of entries, each verified before it is shown. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "client.h"
#include "commands.h"
#include "json.h"
#include "proto/evidence.h"
#include "tap_filter.h"
#include "values.h"
#include "witness.h"

struct tap {
    struct cli *cli;
    struct client *client;
    struct choir *choir;
    struct witness *witness; /* NULL: it is none */
    time_t witnessed;
    struct check *check;
    struct tap_filters filters;
    uint64_t left;
    bool values, color, told;
};

/* --- What is shown --------------------------------------------------------- */

static const char *paint(const struct tap *t, const char *code)
{
    return t->color ? code : "";
}

/* Key, queue, task, agent: whatever the operation is about. */
static void subject_print(struct tap *t, const struct choir_event *head)
{
    size_t writes = choir_event_count(head, "writes");
    const struct choir_event *first = choir_event_item(head, "writes", 0);

    if (choir_event_has(head, "task"))
        printf("task %llu ",
               (unsigned long long)choir_event_uint(head, "task"));
    if (choir_event_has(head, "key"))
        cli_print_text(stdout, choir_event_text(head, "key"));
    else if (choir_event_has(head, "queue"))
        cli_print_text(stdout, choir_event_text(head, "queue"));
    else if (choir_event_has(head, "name"))
        cli_print_text(stdout, choir_event_text(head, "name"));
    else if (choir_event_has(head, "agent"))
        cli_print_text(stdout, client_agent_name(
                                   t->client, choir_event_text(head, "agent")));
    if (first)
        cli_print_text(stdout, choir_event_text(first, "key"));
    if (writes > 1)
        printf(" and %zu more", writes - 1);
}

static uint64_t payload_size(const struct choir_event *e)
{
    struct bytes head, rows;
    uint64_t bytes = 0;

    head.p = choir_event_bytes(e, "head", &head.n);
    if (head_slots(head, &rows))
        return 0;
    for (size_t at = 0; at + SLOT_ROW_BYTES <= rows.n; at += SLOT_ROW_BYTES)
        bytes += get_u32(rows.p + at);
    return bytes;
}

/* From its author's clock to the broker's: a claim, like the first of them. */
static void latency_text(const struct choir_event *e, char out[24])
{
    const struct choir_event *header = choir_event_item(e, "header", 0);
    uint64_t from = choir_event_uint(header, "time");
    uint64_t to = choir_event_uint(e, "time");

    if (!from || to < from) /* who enrols tells no time */
        strcpy(out, "-");
    else
        snprintf(out, 24, "%.1fms", (double)(to - from) / 1000);
}

static void entry_print(struct tap *t, const struct choir_event *e, int result)
{
    const struct choir_event *head = choir_event_item(e, "head", 0);
    const struct choir_event *header = choir_event_item(e, "header", 0);
    int outcome = (int)choir_event_uint(e, "outcome");
    char time[32], latency[24];

    cli_time_text(choir_event_uint(e, "time"), time);
    printf("%s%-3s%s %8llu  %s  ", paint(t, result ? "\033[31m" : "\033[32m"),
           result ? "BAD" : "ok", paint(t, "\033[0m"),
           (unsigned long long)choir_event_uint(e, "revision"), time + 11);
    cli_print_text(stdout, client_agent_name(
                               t->client, choir_event_text(header, "agent")));
    printf("  %s%s%s  ", paint(t, "\033[1m"),
           head ? choir_event_name(head) : "?", paint(t, "\033[0m"));
    if (head)
        subject_print(t, head);
    latency_text(e, latency);
    printf("  %llu  %s%s%s  %s\n", (unsigned long long)payload_size(e),
           paint(t, outcome ? "\033[33m" : ""), choir_code_name(outcome),
           paint(t, "\033[0m"), latency);
}

/* What it takes to look at its values. False: it carries none. */
static bool values_of(const struct choir_event *event, struct entry *e)
{
    *e = (struct entry){0};
    e->payload.p = choir_event_bytes(event, "payload", &e->payload.n);
    e->head.p = choir_event_bytes(event, "head", &e->head.n);
    e->effect.p = choir_event_bytes(event, "effect", &e->effect.n);
    e->marks.p = choir_event_bytes(event, "marks", &e->marks.n);
    return e->payload.n + e->marks.n && !entry_split_payload(e);
}

static void values_show(const struct choir_event *event)
{
    struct entry e;

    if (values_of(event, &e))
        values_print(stdout, &e);
}

/* Proofs are for the checker; a program wants to know that they held. */
static void entry_json(const struct tap *t, const struct choir_event *e,
                       int result)
{
    static const char *const proofs[] = {"signature", "signature_base64",
                                         "path",      "path_base64",
                                         "payload",   "payload_base64"};
    json_t *o = event_to_json(e), *head;
    struct entry whole;

    for (size_t i = 0; i < sizeof proofs / sizeof *proofs; i++)
        json_object_del(o, proofs[i]);
    head = json_object_get(o, "head");
    json_object_del(o, "marks");
    json_object_del(o, "marks_base64");
    json_object_del(head, "slots");
    json_object_del(head, "slots_base64");
    json_object_set_new(o, "verified", json_boolean(result == 0));
    if (t->values)
        json_object_set_new(o, "values",
                            values_of(e, &whole) ? values_json(&whole)
                                                 : json_array());
    json_line(stdout, o);
    json_decref(o);
}

/* --- Checking -------------------------------------------------------------- */

static int key_ask(void *arg, const struct hash *agent,
                   uint8_t key[KEY_PUBLIC_BYTES])
{
    struct tap *t = arg;
    char hex[HASH_HEX];
    const char *text;
    struct hash h;

    hash_hex(agent, hex);
    text = member_text(client_agent(t->client, hex), "public_key");
    if (hash_parse_hex(&h, bytes_text(text)))
        return CHOIR_NOT_FOUND;
    memcpy(key, h.b, KEY_PUBLIC_BYTES);
    return 0;
}

static int broken(const char *why, uint64_t revision)
{
    char line[256];

    snprintf(line, sizeof line, "BROKEN entry=%llu: %s",
             (unsigned long long)revision, why);
    return cli_failed(CHOIR_BROKEN, line);
}

/* What the broker has signed last, against what we have seen. */
static int head_check(struct tap *t)
{
    struct hash root;
    char hex[65];
    uint64_t size;

    choir_checkpoint(t->choir, NULL, &size, hex);
    if (!size || hash_parse_hex(&root, bytes_text(hex)))
        return 0;
    if (check_head(t->check, size, &root))
        return broken("the entries do not give the tree the broker signed",
                      size - 1);
    if (!t->told && check_agreed(t->check)) {
        t->told = true;
        fprintf(stderr,
                "verified: all %llu entries from 0 on give the tree the "
                "broker signed\n",
                (unsigned long long)check_agreed(t->check));
    }
    return 0;
}

static void entry_show(struct tap *t, const struct choir_event *e, int result)
{
    if (t->cli->json)
        entry_json(t, e, result);
    else
        entry_print(t, e, result);
    if (t->values && !t->cli->json)
        values_show(e);
    fflush(stdout);
    t->left--;
}

/* What is false is shown whatever the filters say. */
static int entry_take(struct tap *t, const struct choir_event *e)
{
    const char *why = "";
    int r = check_entry(t->check, e, &why);

    if (r || tap_filters_pass(&t->filters, t->client, e))
        entry_show(t, e, r);
    return r ? broken(why, choir_event_uint(e, "revision")) : head_check(t);
}

static void notice_take(struct tap *t, const struct choir_event *e)
{
    char time[32];
    json_t *o;

    if (!tap_filters_pass(&t->filters, t->client, e))
        return;
    if (t->cli->json) {
        o = event_to_json(e);
        json_line(stdout, o);
        json_decref(o);
        return;
    }
    cli_time_text(choir_event_uint(e, "time"), time);
    printf("-          -  %s  ", time + 11);
    cli_print_text(stdout,
                   client_agent_name(t->client, choir_event_text(e, "agent")));
    fputs("  ", stdout);
    cli_print_text(stdout, choir_event_text(e, "text"));
    if (choir_event_has(e, "count"))
        printf("  %llu", (unsigned long long)choir_event_uint(e, "count"));
    putchar('\n');
    fflush(stdout);
}

/* --- The command ----------------------------------------------------------- */

static int tap_begin(struct tap *t, uint64_t *request)
{
    struct choir_request *r = choir_request_new(t->choir, "tap");
    int code;

    if (!r)
        return cli_failed(choir_error_code(), NULL);
    if (cli_option(t->cli, "since"))
        choir_request_uint(r, "revision", cli_number(t->cli, "since", 0));
    if (t->values)
        choir_request_uint(r, "kind", 1);
    code = choir_send(t->choir, &r, -1, request);
    choir_request_free(&r);
    return code ? cli_failed(code, NULL) : 0;
}

static int event_take(struct tap *t, const struct choir_event *e)
{
    const char *name = choir_event_name(e);

    if (choir_event_code(e))
        return cli_failed(choir_event_code(e), choir_event_explain(e));
    if (strcmp(name, "entry") == 0)
        return entry_take(t, e);
    if (strcmp(name, "notice") == 0)
        notice_take(t, e);
    return strcmp(name, "caught_up") == 0 ? head_check(t) : 0;
}

/* At most once a second: a proof costs the broker something. */
static int witness_turn(struct tap *t)
{
    struct timespec now;
    uint64_t size;

    if (!t->witness)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec == t->witnessed)
        return 0;
    t->witnessed = now.tv_sec;
    return witness_look(t->witness, &size);
}

/* What its author was shown before he said that must be what we are shown. */
static int witness_compare(struct tap *t, const struct choir_event *e)
{
    const struct choir_event *header = choir_event_item(e, "header", 0);
    const void *root;
    size_t n;
    int code;

    if (!t->witness || !header || choir_event_uint(e, "position") != 0)
        return 0;
    root = choir_event_bytes(header, "seen_root", &n);
    if (n != HASH_BYTES)
        return 0;
    code =
        choir_root_check(t->choir, choir_event_uint(header, "seen") + 1, root);
    if (!code || code == CHOIR_BUSY)
        return 0;
    fprintf(stderr, "choir: entry %llu, by agent %s\n",
            (unsigned long long)choir_event_uint(e, "revision"),
            choir_event_text(header, "agent"));
    return cli_failed(code, NULL);
}

static int tap_loop(struct tap *t)
{
    uint64_t request;
    int code = tap_begin(t, &request);

    while (!code && t->left) {
        struct choir_event *e;
        bool last;

        code = choir_wait(t->choir, request, t->witness ? 1000 : -1, &e);
        if (code == CHOIR_TIMEOUT && t->witness) {
            code = witness_turn(t);
            continue;
        }
        if (code)
            return cli_failed(code, NULL);
        last = choir_event_last(e) && strcmp(choir_event_name(e), "reply") != 0;
        code = event_take(t, e);
        if (!code)
            code = witness_compare(t, e);
        if (!code)
            code = witness_turn(t);
        choir_event_free(&e);
        if (last)
            break;
    }
    return code;
}

static int tap_run(struct cli *cli)
{
    struct tap t = {
        .cli = cli,
        .left = cli_number(cli, "count", UINT64_MAX),
        .values = cli_option(cli, "values") != NULL,
        .color = cli_color(stdout),
    };
    struct hash ledger;
    int code = crypto_start();

    cli_number(cli, "since", 0); /* wrong usage is said before connecting */
    tap_filters_take(cli, &t.filters);
    if (!code)
        code = client_open(cli, &t.client);
    if (code)
        return code;
    t.choir = client_handle(t.client);
    hash_parse_hex(&ledger, bytes_text(choir_ledger_id(t.choir)));
    t.check = check_new(&ledger, key_ask, &t);
    code = t.check ? 0 : cli_failed(-ENOMEM, "ENOMEM");
    if (!code && cli_option(cli, "witness"))
        code = witness_open(&t.witness, cli_option(cli, "witness"), t.choir,
                            cli->accepts_epoch);
    if (!code)
        code = tap_loop(&t);
    witness_close(&t.witness);
    check_destroy(&t.check);
    client_close(&t.client);
    return code;
}

static const struct cli_option options[] = {
    {"witness", "DIR", "be a witness besides: see choir help witness"},
    {"since", "N", "from entry N on; 0 is the first; else only new ones"},
    {"values", NULL, "what was written, too"},
    {"filter", "F=VALUE", "only these; several: those that pass all"},
    {"count", "N", "end after N entries that are shown"},
    {NULL, NULL, NULL},
};
const struct command command_tap = {
    .name = "tap",
    .usage = "",
    .what = "print what happens, entry by entry, verified",
    .more =
        "Each line: ok, revision, time, author, verb, key or queue, bytes,\n"
        "outcome, latency (from the author's clock to the broker's). \"ok\": the\n"
        "author's signature, the operation's place under it and the values\n"
        "shown hold. From entry 0 on the whole tree is compared with what the\n"
        "broker signs, too. The first that fails is shown as BAD and ends the\n"
        "tap with exit code 4. Lines with - are not in the record: strangers\n"
        "refused, agents come and gone.\n\n"
        "Filters: " TAP_FILTER_FIELDS ". agent: name, or the\n"
        "beginning of its id; key: what it begins with; the others: as they\n"
        "are. What is not shown is verified all the same.",
    .options = options,
    .direct = true,
    .run = tap_run,
};
