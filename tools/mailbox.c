/* choir send, inbox: messages to agents and topics. */
#include <errno.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "json.h"

static const char topic_mark[] = "topic:";

static bool is_id(const char *to)
{
    return strlen(to) == 64 && strspn(to, "0123456789abcdef") == 64;
}

/* An agent is named by its id; a name is looked up. */
static int agent_add(struct client *c, json_t *request, const char *to)
{
    json_t *answer = NULL;
    int r;

    if (is_id(to)) {
        json_object_set_new(request, "agent", json_string(to));
        return 0;
    }
    r = client_ask(c, json_pack("{s:s, s:s}", "op", "agent_list", "name", to),
                   &answer);
    if (!r)
        json_object_set(
            request, "agent",
            json_object_get(json_array_get(json_object_get(answer, "items"), 0),
                            "agent"));
    json_decref(answer);
    return r;
}

static int to_add(struct client *c, json_t *request, const char *to)
{
    size_t n = sizeof topic_mark - 1;

    if (strncmp(to, topic_mark, n) != 0)
        return agent_add(c, request, to);
    json_object_set_new(request, "topic", json_string(to + n));
    return 0;
}

static void options_add(const struct cli *cli, json_t *request)
{
    const char *kind = cli_option(cli, "kind");
    const char *id = cli_option(cli, "id"), *type = cli_option(cli, "type");

    if (kind)
        json_object_set_new(request, "kind", json_string(kind));
    if (id)
        json_object_set_new(request, "operation_id", json_string(id));
    if (type)
        json_object_set_new(request, "type", json_string(type));
    if (cli_option(cli, "reply-to"))
        json_object_set_new(
            request, "reply_to",
            json_integer((json_int_t)cli_number(cli, "reply-to", 0)));
}

static int send_run(struct cli *cli)
{
    json_t *request = json_pack("{s:s}", "op", "send"), *answer = NULL;
    struct buf body = {0};
    struct client *c;
    int r;

    cli_value(cli, cli->args[1], &body);
    bytes_to_json(request, "value", buf_bytes(&body), NULL);
    buf_free(&body);
    options_add(cli, request);
    r = client_open(cli, &c);
    if (!r)
        r = to_add(c, request, cli->args[0]);
    if (!r)
        r = client_ask(c, json_incref(request), &answer);
    if (!r && cli->json)
        json_line(stdout, answer);
    else if (!r)
        printf("%llu\n", (unsigned long long)member_uint(answer, "revision"));
    json_decref(request);
    json_decref(answer);
    client_close(&c);
    return r;
}

static const struct cli_option send_options[] = {
    {"kind", "K", "message, request, partial or final"},
    {"reply-to", "N", "the message that this one answers"},
    {"type", "T", "media type"},
    {"id", "OP", "operation id: said again, it is not done again"},
    {NULL, NULL, NULL},
};
const struct command command_send = {
    .name = "send",
    .usage = "TO [BODY|-]",
    .what = "send a message; prints its revision",
    .more = "TO is an agent's name or id, or topic:NAME. An agent finds it in\n"
            "its mailbox whenever it looks (choir inbox).",
    .options = send_options,
    .least = 1,
    .most = 2,
    .value_at = 1,
    .run = send_run,
};

/* --- Inbox ---------------------------------------------------------------- */

static void message_print(struct client *c, const json_t *message)
{
    struct buf body = {0};
    char time[32];

    member_value(message, &body);
    buf_put(&body, "", 1);
    cli_time_text(member_uint(message, "time"), time);
    printf("%8llu  %s  %-7s  ",
           (unsigned long long)member_uint(message, "revision"), time,
           member_text(message, "kind"));
    cli_print_text(stdout, client_agent_name(c, member_text(message, "agent")));
    fputs("  ", stdout);
    cli_print_text(stdout, body.failed ? "" : (const char *)body.p);
    putchar('\n');
    buf_free(&body);
}

/* A topic is marked up to there, a message of the mailbox taken out alone. */
static int acknowledge(struct cli *cli, struct client *c, const json_t *message)
{
    const char *topic = cli_option(cli, "topic");
    json_t *request = json_pack("{s:s, s:I}", "op", "mark", "revision",
                                (json_int_t)member_uint(message, "revision"));

    if (topic)
        json_object_set_new(request, "topic", json_string(topic));
    else
        json_object_set_new(request, "kind", json_integer(1));
    return client_ask(c, request, NULL);
}

/* Printed first, then acknowledged: it may come twice, never not at all. */
static int message_take(struct cli *cli, struct client *c,
                        const json_t *message)
{
    if (cli->json)
        json_line(stdout, message);
    else
        message_print(c, message);
    if (fflush(stdout))
        return cli_failed(-EIO, "EIO: standard output takes nothing more");
    return cli_option(cli, "keep") ? 0 : acknowledge(cli, c, message);
}

static int inbox_read(struct cli *cli, struct client *c)
{
    uint64_t left = cli_number(cli, "count", UINT64_MAX);
    bool follows = cli_option(cli, "follow") != NULL, ended = false;
    int r = 0;

    while (!r && left && !ended) {
        const char *what;
        json_t *event;

        r = client_next(c, -1, &event);
        what = event ? member_text(event, "event") : "";
        if (!r && strcmp(what, "message") == 0) {
            r = message_take(cli, c, event);
            left--;
        }
        ended = !event || (!follows && strcmp(what, "caught_up") == 0);
        json_decref(event);
    }
    return r;
}

static int inbox_run(struct cli *cli)
{
    json_t *request = json_pack("{s:s}", "op", "inbox");
    const char *topic = cli_option(cli, "topic");
    struct client *c;
    int r;

    if (topic)
        json_object_set_new(request, "topic", json_string(topic));
    r = client_open(cli, &c);
    if (r) {
        json_decref(request);
        return r;
    }
    r = client_begin(c, request);
    if (!r)
        r = inbox_read(cli, c);
    client_close(&c);
    return r;
}

static const struct cli_option inbox_options[] = {
    {"follow", NULL, "go on with what comes"},
    {"topic", "T", "read that topic, from where you were last"},
    {"keep", NULL, "do not acknowledge: it comes again next time"},
    {"count", "N", "end after N messages"},
    {NULL, NULL, NULL},
};
const struct command command_inbox = {
    .name = "inbox",
    .usage = "",
    .what = "print your messages, and acknowledge them",
    .more = "Each line: revision, time, kind, sender, body. A message is\n"
            "acknowledged after it is printed; until then it comes again.",
    .options = inbox_options,
    .run = inbox_run,
};
