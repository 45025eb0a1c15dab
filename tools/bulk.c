/* choir submit --bulk: as many submissions under way as the handle takes, and
 * what became of each said in the order of the lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "client.h"
#include "json.h"
#include "submit.h"

struct line {
    uint64_t request; /* until it is answered */
    size_t number;    /* from 1 */
    uint64_t task;
    char *refused; /* owned: why; NULL: it was not */
    int code;
    bool known; /* what became of it */
    struct line *next;
    UT_hash_handle hh; /* by request */
};

struct bulk {
    struct cli *cli;
    struct choir *choir;
    json_t *common; /* what the options say */
    bool is_json;
    const char *id;
    struct line *under_way;
    struct line *first, *last; /* not said yet, in order */
    size_t refused;
    int failed; /* code that ends everything; 0: none */
};

/* --- What became of them --------------------------------------------------- */

static void line_say(struct bulk *b, const struct line *l)
{
    json_t *o;

    if (l->refused)
        b->refused++;
    if (b->cli->json) {
        o = json_pack("{s:I, s:s}", "line", (json_int_t)l->number, "outcome",
                      choir_code_name(l->code));
        if (l->refused)
            json_object_set_new(o, "explain", json_string(l->refused));
        else
            json_object_set_new(o, "task", json_integer((json_int_t)l->task));
        json_line(stdout, o);
        json_decref(o);
        return;
    }
    if (!l->refused) {
        printf("%llu\n", (unsigned long long)l->task);
        return;
    }
    puts("-");
    fprintf(stderr, "line %zu: ", l->number);
    cli_print_text(stderr, l->refused);
    fputc('\n', stderr);
}

static void lines_say(struct bulk *b)
{
    while (b->first && b->first->known) {
        struct line *l = b->first;

        b->first = l->next;
        if (!b->first)
            b->last = NULL;
        line_say(b, l);
        free(l->refused);
        free(l);
    }
}

static void line_refuse(struct line *l, int code, const char *why)
{
    l->known = true;
    l->code = code;
    l->refused = strdup(why ? why : choir_code_name(code));
}

/* An operation id that was used before has its task already. */
static void line_done(struct line *l, const struct choir_event *e)
{
    const struct choir_event *effect = choir_event_item(e, "effect", 0);
    int code = choir_event_code(e);

    l->known = true;
    l->code = code;
    l->task = choir_event_uint(e, "revision");
    if (code == CHOIR_REPEATED && effect &&
        choir_event_uint(effect, "outcome") == 0)
        l->task = choir_event_uint(effect, "revision");
    else if (code)
        line_refuse(l, code, choir_event_explain(e));
}

/* Take one event, waiting for it if asked to. */
static void event_take(struct bulk *b, int timeout_ms)
{
    struct choir_event *e;
    struct line *l;
    uint64_t request;
    int r = choir_next(b->choir, timeout_ms, &e);

    if (r == CHOIR_TIMEOUT && timeout_ms == 0)
        return;
    if (r) {
        b->failed = r;
        return;
    }
    request = choir_event_request(e);
    HASH_FIND(hh, b->under_way, &request, sizeof request, l);
    if (l) {
        HASH_DEL(b->under_way, l);
        line_done(l, e);
    }
    choir_event_free(&e);
    lines_say(b);
}

/* --- Saying them ----------------------------------------------------------- */

static struct line *line_new(struct bulk *b, size_t number)
{
    struct line *l = calloc(1, sizeof *l);

    if (!l) {
        b->failed = -ENOMEM;
        return NULL;
    }
    l->number = number;
    if (b->last)
        b->last->next = l;
    else
        b->first = l;
    b->last = l;
    return l;
}

/* The line as a request; NULL: it is none, and *why says so. Owned. */
static json_t *line_request(struct bulk *b, struct bytes text, size_t number,
                            char why[WHY_BYTES])
{
    json_t *o = json_deep_copy(b->common), *own = NULL;
    json_error_t where;
    char id[128];

    if (b->id) {
        snprintf(id, sizeof id, "%s-%zu", b->id, number);
        json_object_set_new(o, "operation_id", json_string(id));
    }
    if (!b->is_json) {
        bytes_to_json(o, "value", text, NULL);
        return o;
    }
    own = json_loadb((const char *)text.p, text.n,
                     JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (json_is_object(own)) {
        json_object_del(own, "op");
        json_object_update(o, own);
    } else {
        snprintf(why, WHY_BYTES,
                 "MALFORMED column=%d: a line is one JSON object%s%s",
                 own ? 1 : where.column, own ? "" : ": ",
                 own ? "" : where.text);
        json_decref(o);
        o = NULL;
    }
    json_decref(own);
    return o;
}

static void request_send(struct bulk *b, struct line *l,
                         struct choir_request **r)
{
    int code;

    while (!b->failed &&
           (code = choir_send(b->choir, r, 0, &l->request)) == CHOIR_BUSY)
        event_take(b, -1); /* makes room */
    if (b->failed)
        return;
    if (code)
        line_refuse(l, code, choir_error_text());
    else
        HASH_ADD(hh, b->under_way, request, sizeof l->request, l);
}

static void line_take(struct bulk *b, struct bytes text, size_t number)
{
    struct choir_request *r = NULL;
    struct line *l = line_new(b, number);
    char why[WHY_BYTES];
    json_t *o = l ? line_request(b, text, number, why) : NULL;
    int code = o ? request_from_json(b->choir, o, &r, why) : CHOIR_MALFORMED;

    json_decref(o);
    if (!l)
        return;
    if (code)
        line_refuse(l, code, why);
    else
        request_send(b, l, &r);
    choir_request_free(&r);
    event_take(b, 0);
    lines_say(b);
}

static void file_take(struct bulk *b, FILE *f)
{
    char *text = NULL;
    size_t cap = 0, number = 0;
    ssize_t n;

    while (!b->failed && (n = getline(&text, &cap, f)) >= 0) {
        if (n && text[n - 1] == '\n')
            n--;
        number++;
        if (n || !b->is_json) /* an empty line is an empty payload */
            line_take(b, bytes_of(text, (size_t)n), number);
    }
    free(text);
    while (!b->failed && b->under_way)
        event_take(b, -1);
    lines_say(b);
}

/* What was sent and not answered may have happened. */
static void bulk_end(struct bulk *b)
{
    while (b->first) {
        struct line *l = b->first;

        if (!l->known)
            HASH_DEL(b->under_way, l);
        b->first = l->next;
        free(l->refused);
        free(l);
    }
    json_decref(b->common);
    choir_close(&b->choir);
}

static int bulk_code(const struct bulk *b)
{
    char text[128];

    if (b->failed && b->first) {
        snprintf(text, sizeof text,
                 "%s: what became of line %zu and those behind it is not "
                 "known",
                 choir_code_name(b->failed), b->first->number);
        return cli_failed(b->failed, text);
    }
    if (b->failed)
        return cli_failed(b->failed, NULL);
    return b->refused ? EXIT_REFUSED : EXIT_DONE;
}

int submit_bulk(struct cli *cli, const char *file)
{
    const char *lines = cli_option(cli, "lines");
    struct bulk b = {.cli = cli, .id = cli_option(cli, "id")};
    FILE *f = strcmp(file, "-") == 0 ? stdin : fopen(file, "r");
    int code;

    if (!f)
        cli_wrong(cli, "--bulk %s: %s", file, strerror(errno));
    if (lines && strcmp(lines, "text") != 0 && strcmp(lines, "json") != 0)
        cli_wrong(cli, "--lines takes text or json, not \"%s\"", lines);
    b.is_json = lines && strcmp(lines, "json") == 0;
    code = handle_open(cli, &b.choir);
    if (!code) {
        b.common = submission_make(cli);
        file_take(&b, f);
        code = bulk_code(&b);
        bulk_end(&b);
    }
    if (f != stdin)
        fclose(f);
    return code;
}
