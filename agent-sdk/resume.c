/* What changed since this agent was last here: from its mark, which the broker
 * keeps, through `since`, page by page, to names of authors. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "news.h"
#include "proto/refusal.h"

/* --- Asking ---------------------------------------------------------------- */

/* 0, and the reply in *e; or a code, set. */
static int call(struct choir *c, struct choir_request **r,
                struct choir_event **e)
{
    int code;

    *e = NULL;
    if (!*r)
        return choir_error_code();
    code = choir_call(c, r, c->timeout_ms, e);
    if (code)
        choir_event_free(e);
    return code;
}

static int ask_since(struct choir_news *n, const char *after,
                     struct choir_event **e)
{
    struct choir_request *r = choir_request_new(n->c, "since");

    if (r) {
        choir_request_text(r, "prefix", n->prefix);
        choir_request_uint(r, "revision", n->since);
        if (after)
            choir_request_text(r, "after", after);
        choir_request_uint(r, "count", 1000);
    }
    return call(n->c, &r, e);
}

/* --- Gathering ------------------------------------------------------------- */

static struct news_item *item_new(struct choir_news *n)
{
    if (n->count == n->cap) {
        size_t cap = n->cap ? 2 * n->cap : 64;
        struct news_item *items = realloc(n->items, cap * sizeof *items);

        if (!items)
            return NULL;
        n->items = items;
        n->cap = cap;
    }
    n->items[n->count] = (struct news_item){0};
    return &n->items[n->count];
}

static int item_take(struct choir_news *n, const struct choir_event *e)
{
    struct news_item *item = item_new(n);
    struct choir_change *change;
    const void *agent;
    size_t bytes;

    if (!item || !(item->key = strdup(choir_event_text(e, "key"))))
        return error_set(-ENOMEM, 0, NULL);
    agent = choir_event_bytes(e, "agent", &bytes);
    if (agent && bytes == HASH_BYTES)
        memcpy(item->agent, agent, HASH_BYTES);
    change = &item->change;
    change->deleted = choir_event_uint(e, "kind") == 1;
    change->revision = choir_event_uint(e, "revision");
    change->is_known = choir_event_has(e, "prev");
    change->prev = change->is_known ? choir_event_uint(e, "prev") : 0;
    change->versions = change->is_known ? choir_event_uint(e, "count") : 0;
    change->time = choir_event_uint(e, "time");
    change->task = choir_event_uint(e, "task");
    change->own = memcmp(item->agent, n->c->id.agent.b, HASH_BYTES) == 0;
    n->count++;
    return 0;
}

static int page_take(struct choir_news *n, const struct choir_event *e)
{
    size_t count = choir_event_count(e, "items");
    int r = 0;

    for (size_t i = 0; !r && i < count; i++) {
        if (n->count == NEWS_CHANGES_MAX) {
            n->is_cut = true;
            break;
        }
        r = item_take(n, choir_event_item(e, "items", i));
    }
    return r;
}

/* Of several pages the first one's revision holds for all. */
static int gather(struct choir_news *n)
{
    char *after = NULL;
    int r = 0;

    do {
        struct choir_event *e;
        const char *next;

        r = ask_since(n, after, &e);
        free(after);
        after = NULL;
        if (r)
            break;
        if (!n->revision)
            n->revision = choir_event_uint(e, "revision");
        r = page_take(n, e);
        next = choir_event_text(e, "after");
        if (!r && next && !n->is_cut && !(after = strdup(next)))
            r = error_set(-ENOMEM, 0, NULL);
        choir_event_free(&e);
    } while (!r && after);
    return r;
}

/* --- Authors --------------------------------------------------------------- */

static int author_ask(struct choir_news *n, struct news_author *a)
{
    struct choir_request *r = choir_request_new(n->c, "agent_list");
    struct choir_event *e;
    int code;

    if (r)
        choir_request_bytes(r, "agent", a->agent, HASH_BYTES);
    code = call(n->c, &r, &e);
    if (!code && choir_event_count(e, "items"))
        snprintf(a->name, sizeof a->name, "%s",
                 choir_event_text(choir_event_item(e, "items", 0), "name"));
    else
        snprintf(a->name, sizeof a->name, "somebody");
    choir_event_free(&e);
    return code == CHOIR_NOT_FOUND ? 0 : code;
}

static const struct news_author *author_of(const struct choir_news *n,
                                           const uint8_t *agent)
{
    for (size_t i = 0; i < n->author_count; i++)
        if (memcmp(n->authors[i].agent, agent, HASH_BYTES) == 0)
            return &n->authors[i];
    return NULL;
}

/* Those who wrote, each asked for once. */
static int authors_take(struct choir_news *n)
{
    int r = 0;

    for (size_t i = 0; !r && i < n->count; i++) {
        struct news_author *more;

        if (author_of(n, n->items[i].agent))
            continue;
        more = realloc(n->authors, (n->author_count + 1) * sizeof *more);
        if (!more)
            return error_set(-ENOMEM, 0, NULL);
        n->authors = more;
        more += n->author_count++;
        memcpy(more->agent, n->items[i].agent, HASH_BYTES);
        r = author_ask(n, more);
    }
    return r;
}

/* Now nothing moves any more. */
static void pointers_set(struct choir_news *n)
{
    for (size_t i = 0; i < n->count; i++) {
        struct news_item *item = &n->items[i];
        const struct news_author *a = author_of(n, item->agent);

        item->change.key = item->key;
        item->change.agent = item->agent;
        item->change.name = a ? a->name : "somebody";
    }
}

/* --- The mark -------------------------------------------------------------- */

_Static_assert(NAME_BYTES == 65, "choir_resume_mark");

/* "here", and for a part of the space one of its own: who looks at notes/ has
 * not seen the rest. */
void choir_resume_mark(const char *prefix, char out[65])
{
    struct hash h;
    char hex[HASH_HEX];

    if (snprintf(out, NAME_BYTES, "here%s%s", *prefix ? ":" : "", prefix) <
        NAME_BYTES)
        return;
    h = hash_of(HASH_AGENT, bytes_text(prefix));
    hash_hex(&h, hex);
    snprintf(out, NAME_BYTES, "here#%.56s", hex);
}

/* --- The calls ------------------------------------------------------------- */

void choir_news_free(struct choir_news **news)
{
    struct choir_news *n = news ? *news : NULL;

    if (!n)
        return;
    for (size_t i = 0; i < n->count; i++) {
        free(n->items[i].key);
        buf_free(&n->items[i].line);
        buf_free(&n->items[i].excerpt);
    }
    free(n->items);
    free(n->authors);
    free(n->prefix);
    buf_free(&n->text);
    free(n);
    *news = NULL;
}

static int options_take(struct choir_news *n,
                        const struct choir_resume_options *given)
{
    struct choir_resume_options o = CHOIR_RESUME_INIT;
    size_t known = sizeof o;

    if (given && given->struct_bytes < known)
        known = given->struct_bytes;
    if (given)
        memcpy(&o, given, known);
    n->budget = o.budget_bytes ? o.budget_bytes : NEWS_BUDGET;
    if (n->budget < NEWS_BUDGET_MIN)
        return error_set(CHOIR_INVALID, 0, "budget_bytes=%zu: at least %d",
                         n->budget, (int)NEWS_BUDGET_MIN);
    if (o.mark && snprintf(n->mark, NAME_BYTES, "%s", o.mark) >= NAME_BYTES)
        return error_set(CHOIR_OVER_LIMIT, 0, "field=mark size=%zu limit=%d",
                         strlen(o.mark), NAME_BYTES - 1);
    if (!o.mark)
        choir_resume_mark(n->prefix, n->mark);
    n->since = o.since;
    return 0;
}

int choir_resume(struct choir *c, const char *prefix,
                 const struct choir_resume_options *options,
                 struct choir_news **news)
{
    struct choir_news *n;
    int r = handle_check(c);

    *news = NULL;
    if (r)
        return r;
    n = calloc(1, sizeof *n);
    if (!n || !(n->prefix = strdup(prefix ? prefix : ""))) {
        free(n);
        return error_set(-ENOMEM, 0, NULL);
    }
    n->c = c;
    r = options_take(n, options);
    if (!r && !n->since)
        r = choir_marked(c, n->mark, &n->since);
    if (!r)
        r = gather(n);
    if (!r)
        r = authors_take(n);
    if (!r) {
        pointers_set(n);
        r = news_write(n);
    }
    if (r)
        choir_news_free(&n);
    *news = n;
    return r;
}

int choir_resume_done(const struct choir_news *news)
{
    return choir_mark(news->c, news->mark, news->revision);
}

const char *choir_news_text(const struct choir_news *news)
{
    return (const char *)news->text.p;
}

uint64_t choir_news_since(const struct choir_news *news)
{
    return news->since;
}

uint64_t choir_news_revision(const struct choir_news *news)
{
    return news->revision;
}

size_t choir_news_count(const struct choir_news *news)
{
    return news->count;
}

bool choir_news_item(const struct choir_news *news, size_t i,
                     struct choir_change *change)
{
    if (i >= news->count)
        return false;
    *change = news->items[i].change;
    return true;
}
