/* Reads the lines of a history into memory; history_check.c compares. */
#include "tests/support/history.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/history_private.h"

enum { SHOWN_MAX = 8 };

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

void *history_room(void *at, size_t *room, size_t n, size_t size)
{
    if (n == *room) {
        *room = n ? 2 * n : 16;
        at = must(realloc(at, *room * size));
    }
    memset((char *)at + n * size, 0, size);
    return at;
}

const char *said_tag(const struct said *s)
{
    if (strcmp(s->value, "-"))
        return s->value;
    return s->writes.n ? s->writes.at[0].value : NULL;
}

struct history *history_new(void)
{
    return must(calloc(1, sizeof(struct history)));
}

static void pairs_free(pairs *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->at[i].key);
        free(p->at[i].value);
    }
    free(p->at);
}

static void said_free(struct said *s)
{
    free(s->verb);
    free(s->value);
    pairs_free(&s->compares);
    pairs_free(&s->writes);
}

static void watch_free(struct h_watch *w)
{
    for (size_t i = 0; i < w->changes.n; i++)
        pairs_free(&w->changes.at[i].items);
    free(w->changes.at);
    free(w->prefix);
}

void history_free(struct history **h_p)
{
    struct history *h = *h_p;

    if (!h)
        return;
    for (size_t i = 0; i < h->ops.n; i++)
        said_free(&h->ops.at[i].said);
    for (size_t i = 0; i < h->entries.n; i++) {
        said_free(&h->entries.at[i].said);
        free(h->entries.at[i].agent);
    }
    for (size_t i = 0; i < h->reads.n; i++) {
        free(h->reads.at[i].key);
        free(h->reads.at[i].value);
    }
    for (size_t i = 0; i < h->leases.n; i++)
        free(h->leases.at[i].payload);
    for (size_t i = 0; i < h->watches.n; i++)
        watch_free(&h->watches.at[i]);
    for (size_t i = 0; i < h->agents.n; i++)
        free(h->agents.at[i]);
    free(h->ops.at);
    free(h->entries.at);
    free(h->reads.at);
    free(h->leases.at);
    free(h->watches.at);
    free(h->agents.at);
    free(h);
    *h_p = NULL;
}

/* --- Words of a line ------------------------------------------------------ */

struct words {
    char *rest;
    bool bad;
};

static const char *word(struct words *w)
{
    char *got = w->bad ? NULL : strsep(&w->rest, " ");

    if (!got || !*got)
        w->bad = true;
    return w->bad ? "" : got;
}

static char *word_kept(struct words *w)
{
    return must(strdup(word(w)));
}

static uint64_t number(struct words *w)
{
    const char *text = word(w);
    char *end;
    uint64_t got = strtoull(text, &end, 10);

    if (*end)
        w->bad = true;
    return got;
}

static void pairs_parse(struct words *w, pairs *out, bool compares)
{
    for (uint64_t n = number(w); n && !w->bad; n--) {
        struct pair *p = LIST_ADD(out);

        p->key = word_kept(w);
        if (compares)
            p->revision = number(w);
        else
            p->value = word_kept(w);
    }
}

static void said_lists(struct words *w, struct said *s)
{
    pairs_parse(w, &s->compares, true);
    pairs_parse(w, &s->writes, false);
    s->value = word_kept(w);
}

/* --- Lines ---------------------------------------------------------------- */

static void line_agent(struct history *h, unsigned client, struct words *w)
{
    while (h->agents.n <= client)
        *LIST_ADD(&h->agents) = NULL;
    free(h->agents.at[client]);
    h->agents.at[client] = word_kept(w);
}

static void line_begin(struct history *h, unsigned client, struct words *w)
{
    struct h_op *op = LIST_ADD(&h->ops);

    op->client = client;
    op->n = number(w);
    op->said.verb = word_kept(w);
    op->start = number(w);
    op->said.task = number(w);
    op->said.token = number(w);
    said_lists(w, &op->said);
}

static void line_end(struct history *h, unsigned client, struct words *w)
{
    uint64_t n = number(w);

    for (size_t i = h->ops.n; i-- > 0;) {
        struct h_op *op = &h->ops.at[i];

        if (op->client != client || op->n != n)
            continue;
        op->end = number(w);
        op->code = (int)number(w);
        op->revision = number(w);
        op->ended = !w->bad;
        return;
    }
    w->bad = true;
}

static void line_read(struct history *h, unsigned client, struct words *w)
{
    struct h_read *r = LIST_ADD(&h->reads);

    r->client = client;
    r->start = number(w);
    r->end = number(w);
    r->key = word_kept(w);
    r->revision = number(w);
    r->seen = number(w);
    r->value = word_kept(w);
}

static void line_task(struct history *h, unsigned client, struct words *w)
{
    struct h_lease *l = LIST_ADD(&h->leases);

    l->client = client;
    l->task = number(w);
    l->token = number(w);
    l->attempt = number(w);
    l->payload = word_kept(w);
}

static struct h_watch *watch_of(struct history *h, unsigned client,
                                struct words *w)
{
    uint64_t wanted = number(w);

    for (size_t i = 0; i < h->watches.n; i++)
        if (h->watches.at[i].client == client &&
            h->watches.at[i].number == wanted)
            return &h->watches.at[i];
    w->bad = true;
    return NULL;
}

static void line_watch(struct history *h, unsigned client, struct words *w)
{
    struct h_watch *watch = LIST_ADD(&h->watches);

    watch->client = client;
    watch->number = number(w);
    watch->from = number(w);
    watch->prefix = word_kept(w);
}

static void line_change(struct history *h, unsigned client, struct words *w)
{
    struct h_watch *watch = watch_of(h, client, w);
    struct h_change *change;

    if (!watch)
        return;
    change = LIST_ADD(&watch->changes);
    change->revision = number(w);
    pairs_parse(w, &change->items, false);
}

static void line_complete(struct history *h, unsigned client, struct words *w)
{
    struct h_watch *watch = watch_of(h, client, w);

    if (watch)
        watch->complete = true;
}

static void line_entry(struct history *h, struct words *w)
{
    struct h_entry *e = LIST_ADD(&h->entries);

    e->index = number(w);
    e->agent = word_kept(w);
    e->session = number(w);
    e->seq = number(w);
    e->said.verb = word_kept(w);
    e->outcome = (int)number(w);
    e->said.task = number(w);
    e->said.token = number(w);
    e->attempt = number(w);
    e->told = number(w);
    said_lists(w, &e->said);
}

void history_line(struct history *h, unsigned client, const char *line)
{
    char *copy = must(strdup(line));
    struct words w = {.rest = copy};
    const char *kind = word(&w);

    switch (*kind) {
    case 'A': line_agent(h, client, &w); break;
    case 'B': line_begin(h, client, &w); break;
    case 'E': line_end(h, client, &w); break;
    case 'G': line_read(h, client, &w); break;
    case 'T': line_task(h, client, &w); break;
    case 'W': line_watch(h, client, &w); break;
    case 'C': line_change(h, client, &w); break;
    case 'D': line_complete(h, client, &w); break;
    case 'R': line_entry(h, &w); break;
    default: w.bad = true;
    }
    if (w.bad || w.rest) {
        h->unreadable++;
        fprintf(stderr, "history: client %u: cannot read: %.200s\n", client,
                line);
    }
    free(copy);
}

void history_read_lines(struct history *h, unsigned client, FILE *f)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    while ((n = getline(&line, &room, f)) > 0) {
        if (line[n - 1] != '\n')
            break;
        line[n - 1] = '\0';
        history_line(h, client, line);
    }
    free(line);
}

int history_read(struct history *h, unsigned client, const char *path)
{
    FILE *f = fopen(path, "re");

    if (!f)
        return -errno;
    history_read_lines(h, client, f);
    fclose(f);
    return 0;
}

/* --- Saying what was found ------------------------------------------------ */

void history_found(struct history *h, enum finding f, const char *format, ...)
{
    static const char *const texts[] = {
#define X(name, text) text,
        HISTORY_FINDINGS(X)
#undef X
    };
    va_list args;

    if (h->found[f]++ >= SHOWN_MAX || !h->out)
        return;
    fprintf(h->out, "%s: ", texts[f]);
    va_start(args, format);
    vfprintf(h->out, format, args);
    va_end(args);
    fputc('\n', h->out);
}

void history_summary(const struct history *h, FILE *out)
{
    size_t ended = 0, changes = 0, claims = 0;

    for (size_t i = 0; i < h->ops.n; i++)
        ended += h->ops.at[i].ended;
    for (size_t i = 0; i < h->watches.n; i++)
        changes += h->watches.at[i].changes.n;
    for (size_t i = 0; i < h->entries.n; i++)
        claims += !strcmp(h->entries.at[i].said.verb, "claim");
    fprintf(out,
            "compared: %zu operations (%zu with an outcome), %zu reads, "
            "%zu tasks delivered, %zu changes watched, %zu entries, "
            "%zu claims\n",
            h->ops.n, ended, h->reads.n, h->leases.n, changes, h->entries.n,
            claims);
}
