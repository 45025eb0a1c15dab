/* choir doctor: where broker and identity are found, and whether all is well
 * between here and there. Every check is one line. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "client.h"
#include "commands.h"
#include "json.h"

enum { SKEW_MAX_MS = 5000 };

struct doctor {
    struct cli *cli;
    bool ill;
};

__attribute__((format(printf, 4, 5))) static void finding(
    struct doctor *d, bool well, const char *what, const char *format, ...)
{
    char text[1024];
    va_list args;
    json_t *o;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    d->ill |= !well;
    if (d->cli->json) {
        o = json_pack("{s:s, s:b, s:s}", "check", what, "ok", well, "text",
                      text);
        json_line(stdout, o);
        json_decref(o);
        return;
    }
    printf("%-4s %-10s ", well ? "ok" : "BAD", what);
    cli_print_text(stdout, text);
    putchar('\n');
}

static void step_print(const struct doctor *d, const char *line)
{
    json_t *o;

    if (!d->cli->json) {
        fputs("     ", stdout);
        cli_print_text(stdout, line);
        putchar('\n');
        return;
    }
    o = json_pack("{s:s}", "step", line);
    json_line(stdout, o);
    json_decref(o);
}

/* The rule, as the library walks it. */
static int steps_print(struct doctor *d)
{
    struct choir_options o;
    char *text = NULL, *rest, *line;
    int r;

    handle_options(d->cli, &o);
    r = choir_discover(&o, &text);
    rest = text;
    while ((line = strsep(&rest, "\n")) != NULL)
        if (line[0])
            step_print(d, line);
    choir_free(text);
    if (r)
        finding(d, false, "discovery", "%s", choir_error_text());
    return r;
}

static void file_check(struct doctor *d, const char *path)
{
    struct stat st;

    if (!path || stat(path, &st))
        finding(d, false, "identity", "%s: cannot be looked at",
                path ? path : "-");
    else if (st.st_mode & (S_IRWXG | S_IRWXO))
        finding(d, false, "identity", "%s: others may read it; chmod 600",
                path);
    else
        finding(d, true, "identity", "%s", path);
}

static int64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const json_t *status_item(const json_t *answer, const char *name)
{
    json_t *item;
    size_t i;

    json_array_foreach(json_object_get(answer, "items"), i, item)
    {
        if (strcmp(member_text(item, "name"), name) == 0)
            return item;
    }
    return NULL;
}

/* The broker's clock was read somewhere between asking and hearing. */
static void clock_check(struct doctor *d, const json_t *answer, int64_t asked,
                        int64_t heard)
{
    const json_t *item = status_item(answer, "time");
    int64_t there = (int64_t)(member_uint(item, "size") / 1000);
    int64_t skew = there < asked   ? there - asked
                   : there > heard ? there - heard
                                   : 0;

    if (!item)
        return;
    finding(d, llabs(skew) <= SKEW_MAX_MS, "clock",
            "the broker's is %+lld ms from ours", (long long)skew);
}

static void broker_check(struct doctor *d, struct client *c)
{
    int64_t asked = wall_ms(), heard;
    json_t *answer;
    char *line;
    int r = client_try(c, json_pack("{s:s}", "op", "status"), &answer, &line);

    heard = wall_ms();
    if (r) {
        finding(d, false, "status", "%s", line ? line : choir_code_name(r));
    } else {
        finding(d, true, "answer", "in %lld ms, release %s",
                (long long)(heard - asked),
                member_text(status_item(answer, "release"), "text"));
        clock_check(d, answer, asked, heard);
        if (member_uint(status_item(answer, "read_only"), "size"))
            finding(d, false, "disk", "READ_ONLY: %s",
                    choir_code_sentence(CHOIR_READ_ONLY));
        else
            finding(d, true, "disk", "the broker has room to write");
    }
    free(line);
    json_decref(answer);
}

static void facts_print(struct doctor *d, struct choir *c)
{
    uint64_t epoch, size;

    choir_checkpoint(c, &epoch, &size, NULL);
    finding(d, true, "broker", "%s", choir_url(c));
    finding(d, true, "ledger", "%.16s epoch %llu, %llu entries",
            choir_ledger_id(c), (unsigned long long)epoch,
            (unsigned long long)size);
    finding(d, true, "agent", "%s %.16s in space %s", choir_name(c),
            choir_agent_id(c), choir_space(c));
    file_check(d, choir_identity_path(c));
}

static int doctor_run(struct cli *cli)
{
    struct doctor d = {.cli = cli};
    struct client *c;
    int r;

    if (getenv("CHOIR_SOCKET"))
        finding(&d, true, "socket",
                "CHOIR_SOCKET=%s: inside choir work --exec other commands "
                "speak under the task's lease; this one does not",
                getenv("CHOIR_SOCKET"));
    if (steps_print(&d))
        return EXIT_REFUSED;
    r = client_open(cli, &c);
    if (r) {
        finding(&d, false, "connection", "%s", choir_error_text());
        return r;
    }
    facts_print(&d, client_handle(c));
    broker_check(&d, c);
    client_close(&c);
    return d.ill ? EXIT_REFUSED : EXIT_DONE;
}

const struct command command_doctor = {
    .name = "doctor",
    .usage = "",
    .what = "how broker and identity are found, and whether all is well",
    .direct = true,
    .run = doctor_run,
};
