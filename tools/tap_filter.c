/* One row a field: how its value is read, and what it is compared with. */
#include "tap_filter.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "proto/schema.h"

/* Of an entry; head is NULL where it cannot be read, and in a notice. */
struct shown {
    struct client *client;
    const struct choir_event *e, *head;
    const char *agent; /* 64 hex digits; or NULL */
};

/* --- Reading values --------------------------------------------------------- */

static bool verb_read(const char *value, uint64_t *number)
{
    const struct message_row *row;

    *number = message_verb(bytes_text(value));
    row = message_row((unsigned)*number);
    return row && row->class & (CLASS_OPERATION | CLASS_BROKER);
}

static bool outcome_read(const char *value, uint64_t *number)
{
    int code = code_of_name(value);

    *number = (uint64_t)code;
    return code >= 0;
}

static bool task_read(const char *value, uint64_t *number)
{
    char *end;

    *number = strtoull(value, &end, 10);
    return value[0] >= '0' && value[0] <= '9' && !*end;
}

/* --- Comparing -------------------------------------------------------------- */

/* By name, or by the beginning of its id. */
static bool agent_is(const struct tap_filter *f, const struct shown *s)
{
    size_t n = strlen(f->value);

    if (!s->agent)
        return false;
    return strcmp(client_agent_name(s->client, s->agent), f->value) == 0 ||
           (n >= 8 && strncmp(s->agent, f->value, n) == 0);
}

static bool verb_is(const struct tap_filter *f, const struct shown *s)
{
    const struct message_row *row = message_row((unsigned)f->number);

    return s->head && strcmp(choir_event_name(s->head), row->name) == 0;
}

static bool begins(const struct choir_event *e, const char *prefix)
{
    const char *key = choir_event_text(e, "key");

    return key && strncmp(key, prefix, strlen(prefix)) == 0;
}

static bool key_is(const struct tap_filter *f, const struct shown *s)
{
    if (!s->head)
        return false;
    for (size_t i = 0; i < choir_event_count(s->head, "writes"); i++)
        if (begins(choir_event_item(s->head, "writes", i), f->value))
            return true;
    return begins(s->head, f->value);
}

static bool text_is(const struct choir_event *head, const char *field,
                    const char *value)
{
    const char *text = head ? choir_event_text(head, field) : NULL;

    return text && strcmp(text, value) == 0;
}

static bool queue_is(const struct tap_filter *f, const struct shown *s)
{
    return text_is(s->head, "queue", f->value);
}

static bool space_is(const struct tap_filter *f, const struct shown *s)
{
    return text_is(s->head, "space", f->value);
}

static bool outcome_is(const struct tap_filter *f, const struct shown *s)
{
    return choir_event_has(s->e, "outcome") &&
           choir_event_uint(s->e, "outcome") == f->number;
}

/* The submit of a task is about that task, too. */
static bool task_is(const struct tap_filter *f, const struct shown *s)
{
    if (!s->head)
        return false;
    return choir_event_uint(s->head, "task") == f->number ||
           (strcmp(choir_event_name(s->head), "submit") == 0 &&
            choir_event_uint(s->e, "revision") == f->number);
}

static const struct {
    const char *name, *takes;
    bool (*read)(const char *value, uint64_t *number); /* NULL: any text */
    bool (*is)(const struct tap_filter *f, const struct shown *s);
} fields[] = {
    {"agent", NULL, NULL, agent_is},
    {"verb", "an operation, like put", verb_read, verb_is},
    {"key", NULL, NULL, key_is},
    {"queue", NULL, NULL, queue_is},
    {"outcome", "OK, CONFLICT, DENIED or the like", outcome_read, outcome_is},
    {"space", NULL, NULL, space_is},
    {"task", "a task's number", task_read, task_is},
};
#define FIELDS_COUNT ((int)(sizeof fields / sizeof *fields))

/* --- All of them ------------------------------------------------------------ */

static void filter_take(const struct cli *cli, const char *given,
                        struct tap_filter *f)
{
    const char *equals = strchr(given, '=');
    size_t n = equals ? (size_t)(equals - given) : strlen(given);

    for (f->field = 0; f->field < FIELDS_COUNT; f->field++)
        if (strlen(fields[f->field].name) == n &&
            strncmp(fields[f->field].name, given, n) == 0)
            break;
    if (f->field == FIELDS_COUNT)
        cli_wrong(cli, "--filter: no field \"%.*s\"; there are %s", (int)n,
                  given, TAP_FILTER_FIELDS);
    if (!equals || !equals[1])
        cli_wrong(cli, "--filter takes FIELD=VALUE, not \"%s\"", given);
    f->value = equals + 1;
    if (fields[f->field].read && !fields[f->field].read(f->value, &f->number))
        cli_wrong(cli, "--filter %.*s takes %s, not \"%s\"", (int)n, given,
                  fields[f->field].takes, f->value);
}

void tap_filters_take(const struct cli *cli, struct tap_filters *f)
{
    f->count = 0;
    for (int i = 0; i < cli->given_count; i++) {
        if (strcmp(cli->given[i].name, "filter") != 0)
            continue;
        if (f->count == TAP_FILTERS_MAX)
            cli_wrong(cli, "more than %d filters", TAP_FILTERS_MAX);
        filter_take(cli, cli->given[i].value, &f->list[f->count++]);
    }
}

bool tap_filters_pass(const struct tap_filters *f, struct client *c,
                      const struct choir_event *e)
{
    const struct choir_event *header = choir_event_item(e, "header", 0);
    struct shown s = {
        .client = c,
        .e = e,
        .head = choir_event_item(e, "head", 0),
        .agent = choir_event_text(header ? header : e, "agent"),
    };

    for (int i = 0; i < f->count; i++)
        if (!fields[f->list[i].field].is(&f->list[i], &s))
            return false;
    return true;
}
