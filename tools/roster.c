/* The pages of agent_list, put together agent by agent. */
#include "roster.h"

#include <string.h>

#include "json.h"
#include "proto/schema.h"

/* --- Loading ---------------------------------------------------------------- */

static void facts_add(json_t *item, uint64_t head, uint64_t now)
{
    uint64_t seen = member_uint(item, "seen"), time = member_uint(item, "time");

    if (!json_object_get(item, "state"))
        return;
    json_object_set_new(
        item, "behind",
        json_integer((json_int_t)(head > seen ? head - seen : 0)));
    json_object_set_new(
        item, "silent_ms",
        json_integer((json_int_t)(now > time ? (now - time) / 1000 : 0)));
}

/* Sessions and leases stand behind the agent they belong to. */
static void item_take(json_t *roster, json_t *item)
{
    static const char *const lists[] = {NULL, "sessions", "leases"};
    uint64_t kind = member_uint(item, "kind");
    json_t *agent;

    if (kind > 2)
        return; /* of a later broker */
    json_object_del(item, "kind");
    if (kind == 0) {
        json_object_set_new(item, "sessions", json_array());
        json_object_set_new(item, "leases", json_array());
        json_object_set_new(item, "stale", json_integer(0));
        json_array_append(roster, item);
        return;
    }
    agent = json_array_get(roster, json_array_size(roster) - 1);
    if (kind == 2)
        json_object_set_new(
            agent, "stale",
            json_integer((json_int_t)(member_uint(agent, "stale") +
                                      member_uint(item, "count"))));
    json_object_del(item, "agent");
    json_array_append(json_object_get(agent, lists[kind]), item);
}

static void page_take(json_t *roster, const json_t *page)
{
    json_t *item;
    size_t i;

    json_array_foreach(json_object_get(page, "items"), i, item)
    {
        facts_add(item, member_uint(page, "seen"), member_uint(page, "time"));
        item_take(roster, item);
    }
}

int roster_load(struct client *c, json_t **roster)
{
    char after[LIMIT_NAME_BYTES + 1] = "";
    int r = 0;

    *roster = json_array();
    do {
        json_t *request =
            json_pack("{s:s, s:i}", "op", "agent_list", "kind", 1);
        json_t *page;

        if (after[0])
            json_object_set_new(request, "after", json_string(after));
        r = client_ask(c, request, &page);
        if (!r)
            page_take(*roster, page);
        snprintf(after, sizeof after, "%s",
                 r ? "" : member_text(page, "after"));
        json_decref(page);
    } while (after[0]);
    return r;
}

bool roster_is_here(const json_t *agent)
{
    return strcmp(member_text(agent, "state"), "here") == 0;
}

/* --- Printing --------------------------------------------------------------- */

static const char *duration_text(uint64_t ms, char out[16])
{
    if (ms < 10000)
        snprintf(out, 16, "%.1fs", (double)ms / 1000);
    else if (ms < 120000)
        snprintf(out, 16, "%us", (unsigned)(ms / 1000));
    else if (ms < 7200000)
        snprintf(out, 16, "%um", (unsigned)(ms / 60000));
    else if (ms < 172800000)
        snprintf(out, 16, "%uh", (unsigned)(ms / 3600000));
    else
        snprintf(out, 16, "%ud", (unsigned)(ms / 86400000));
    return out;
}

/* A cell of that width, whatever the text is, and a blank. */
static void cell_print(const char *text, int width)
{
    char safe[256];
    FILE *f = fmemopen(safe, sizeof safe, "w");
    int shown = 0;

    if (f) {
        cli_print_text(f, text);
        fclose(f);
        safe[sizeof safe - 1] = '\0';
        for (const char *s = safe; *s; s++)
            shown += (*s & 0xc0) != 0x80;
        fputs(safe, stdout);
    }
    printf("%*s ", shown < width ? width - shown : 0, "");
}

/* "model" first; what else it says of itself behind it. */
static void labels_text(const json_t *agent, char *out, size_t room)
{
    json_t *labels = json_object_get(agent, "labels"), *v;
    const char *model = member_text(labels, "model"), *name;
    size_t n = (size_t)snprintf(out, room, "%s", model);

    json_object_foreach(labels, name, v)
    {
        if (strcmp(name, "model") != 0 && n < room)
            n += (size_t)snprintf(out + n, room - n, "%s%s=%s", n ? " " : "",
                                  name, json_string_value(v));
    }
    if (!out[0])
        snprintf(out, room, "-");
}

static void tasks_print(const json_t *agent)
{
    json_t *leases = json_object_get(agent, "leases"), *lease;
    size_t i, shown = 8, n = json_array_size(leases);

    json_array_foreach(leases, i, lease)
    {
        if (i == shown)
            break;
        printf("%s%llu", i ? " " : "",
               (unsigned long long)member_uint(lease, "task"));
    }
    if (n > shown)
        printf(" and %zu more", n - shown);
    fputs(n ? "\n" : "-\n", stdout);
}

void roster_head_print(void)
{
    printf("%-16s %-7s %-24s %8s %9s %8s %8s %5s  %s\n", "AGENT", "STATE",
           "MODEL", "SESSIONS", "BEHIND", "LAG", "HEARD", "STALE", "TASKS");
}

void roster_line_print(const json_t *agent)
{
    bool known = json_object_get(agent, "state");
    char labels[256], lag[16], silent[16], behind[24];

    labels_text(agent, labels, sizeof labels);
    snprintf(behind, sizeof behind, "%llu",
             (unsigned long long)member_uint(agent, "behind"));
    duration_text(member_uint(agent, "lag_ms"), lag);
    duration_text(member_uint(agent, "silent_ms"), silent);
    cell_print(member_text(agent, "name"), 16);
    printf("%-7s ", member_uint(agent, "revision") ? "revoked"
                    : known                        ? member_text(agent, "state")
                                                   : "-");
    cell_print(labels, 24);
    printf("%8llu %9s %8s %8s %5llu  ",
           (unsigned long long)member_uint(agent, "count"),
           known ? behind : "-", known ? lag : "-", known ? silent : "-",
           (unsigned long long)member_uint(agent, "stale"));
    tasks_print(agent);
}
