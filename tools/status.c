/* choir status: the broker's own counters. */
#include "status.h"

#include "commands.h"
#include "json.h"

/* [{"name": n, "size": v}, ...] as {n: v, ...}. */
static json_t *status_flat(const json_t *answer)
{
    json_t *out = json_object(), *item, *v;
    size_t i;

    json_array_foreach(json_object_get(answer, "items"), i, item)
    {
        v = json_object_get(item, "size");
        if (!v)
            v = json_object_get(item, "text");
        json_object_set(out, member_text(item, "name"), v);
    }
    return out;
}

int status_load(struct client *c, json_t **status)
{
    json_t *answer;
    int r = client_ask(c, json_pack("{s:s}", "op", "status"), &answer);

    *status = r ? NULL : status_flat(answer);
    json_decref(answer);
    return r;
}

static int status_run(struct cli *cli)
{
    json_t *flat, *v;
    struct client *c;
    const char *name;
    int r = client_open(cli, &c);

    if (r)
        return r;
    r = status_load(c, &flat);
    if (!r && cli->json) {
        json_line(stdout, flat);
    } else if (!r) {
        json_object_foreach(flat, name, v)
        {
            printf("%-20s ", name);
            if (json_is_integer(v))
                printf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
            else if (json_is_string(v))
                cli_print_text(stdout, json_string_value(v));
            putchar('\n');
        }
    }
    json_decref(flat);
    client_close(&c);
    return r;
}

const struct command command_status = {
    .name = "status",
    .usage = "",
    .what = "what the broker holds and has done",
    .run = status_run,
};
