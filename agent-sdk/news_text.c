/* A text for a prompt, of limited length. First a line for every key that
 * changed, if they fit, else for those that changed last; what is left is shared
 * out among what was written by others: who needs little gets it, the rest get
 * equal parts. What is not there is said. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "lines.h"
#include "news.h"
#include "proto/refusal.h"

enum {
    END_BYTES = 120,  /* the line that says what was left out */
    EXCERPT_MIN = 80, /* less of a value says nothing */
    MORE_BYTES = 36,  /* "    (... more lines)\n" */
    AT_A_TIME = 16,   /* keys whose values are under way */
    CONTEXT_LINES = 1,
};

static void put(struct buf *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct buf *out, const char *format, ...)
{
    char text[1024];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_put(out, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* --- Lines ----------------------------------------------------------------- */

static void time_text(uint64_t us, char out[32])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static const char *what_happened(const struct choir_change *c)
{
    if (c->deleted)
        return c->is_known && !c->prev ? "came and went" : "deleted";
    return c->is_known && !c->prev ? "new" : "changed";
}

static int line_make(struct news_item *item)
{
    const struct choir_change *c = &item->change;
    struct lines to = {.out = &item->line, .max = SIZE_MAX, .indent = ""};
    struct buf text = {0};
    char time[32];

    time_text(c->time, time);
    put(&text, "%s: %s by %s%s%s at %s, revision %" PRIu64, c->key,
        what_happened(c), c->own ? "you (" : "", c->name, c->own ? ")" : "",
        time, c->revision);
    if (c->prev)
        put(&text, ", was %" PRIu64, c->prev);
    if (c->versions > 1)
        put(&text, ", %" PRIu64 " versions", c->versions);
    if (c->task)
        put(&text, ", task %" PRIu64, c->task);
    item->line.failed = item->line.failed || text.failed;
    line_put(&to, 0, buf_bytes(&text));
    buf_free(&text);
    return item->line.failed ? error_set(-ENOMEM, 0, NULL) : 0;
}

static int by_age(const void *a, const void *b)
{
    const struct news_item *x = *(struct news_item *const *)a;
    const struct news_item *y = *(struct news_item *const *)b;

    return x->change.revision > y->change.revision
               ? -1
               : x->change.revision < y->change.revision;
}

/* Those that are shown; what is left of `room` comes back. */
static size_t lines_choose(struct choir_news *n, struct news_item **by_time,
                           size_t room)
{
    for (size_t i = 0; i < n->count; i++) {
        if (by_time[i]->line.n > room)
            break;
        by_time[i]->is_shown = true;
        room -= by_time[i]->line.n;
    }
    return room;
}

/* --- Excerpts -------------------------------------------------------------- */

static int get_send(struct choir_news *n, const char *key, uint64_t revision,
                    uint64_t *request)
{
    struct choir_request *r;
    int code;

    *request = 0;
    if (!revision)
        return 0;
    r = choir_request_new(n->c, "get");
    if (!r)
        return choir_error_code();
    choir_request_text(r, "key", key);
    choir_request_uint(r, "revision", revision);
    code = choir_send(n->c, &r, n->c->timeout_ms, request);
    choir_request_free(&r);
    return code;
}

/* The value as text; gone: it was erased, or is no longer kept. */
static int get_take(struct choir_news *n, uint64_t request, struct buf *text,
                    bool *gone)
{
    struct choir_event *e;
    const void *value;
    size_t bytes;
    int r = request ? choir_wait(n->c, request, n->c->timeout_ms, &e) : 0;

    if (r)
        handle_forget(n->c, request);
    if (r || !request)
        return r;
    *gone = choir_event_code(e) != 0;
    if (!*gone) {
        value = choir_event_value(e, &bytes);
        value_text(bytes_of(value, bytes),
                   bytes_text(choir_event_text(e, "type")), text);
    }
    choir_event_free(&e);
    return text->failed ? error_set(-ENOMEM, 0, NULL) : 0;
}

/* The newest version is kept for ever, but may have to be asked for by a
 * revision at which all is kept. */
static uint64_t kept_at(const struct choir_news *n,
                        const struct choir_change *c)
{
    return c->revision > n->revision ? c->revision : n->revision;
}

/* For as long as something is under way there is somebody to wait for it. */
struct pair {
    struct news_item *item;
    uint64_t before, after; /* requests; 0: there is nothing */
};

static int excerpt_make(struct choir_news *n, const struct pair *p, size_t most)
{
    struct lines to = {.out = &p->item->excerpt, .max = most, .indent = "    "};
    bool was_gone = false, is_gone = false;
    struct buf before = {0}, after = {0};
    int r = get_take(n, p->before, &before, &was_gone), also;

    also = get_take(n, p->after, &after, &is_gone);
    r = r ? r : also;
    if (was_gone || is_gone)
        line_put(&to, 0,
                 bytes_text(is_gone ? "(it is no longer kept)"
                                    : "(what it was is no longer kept)"));
    if (!r && p->before && !was_gone && !is_gone)
        r = lines_diff(&to, buf_bytes(&before), buf_bytes(&after),
                       CONTEXT_LINES);
    else if (!r)
        lines_put(&to, 0, buf_bytes(&after));
    p->item->left_out = to.left_out;
    buf_free(&before);
    buf_free(&after);
    if (!r && to.out->failed)
        r = -ENOMEM;
    return r < 0 ? error_set(r, 0, NULL) : r;
}

static int excerpts_make(struct choir_news *n, struct news_item **items,
                         size_t count, size_t most)
{
    struct pair pairs[AT_A_TIME];
    int r = 0, also;

    for (size_t at = 0; !r && at < count; at += AT_A_TIME) {
        size_t sent = 0;

        for (; !r && sent < AT_A_TIME && at + sent < count; sent++) {
            struct pair *p = &pairs[sent];
            const struct choir_change *c = &items[at + sent]->change;

            *p = (struct pair){.item = items[at + sent]};
            r = get_send(n, c->key, c->prev, &p->before);
            if (!r)
                r = get_send(n, c->key, kept_at(n, c), &p->after);
        }
        for (size_t i = 0; i < sent; i++) {
            also = excerpt_make(n, &pairs[i], most);
            r = r ? r : also;
        }
    }
    return r;
}

/* With the line that says how much is missing. */
static size_t excerpt_needs(const struct news_item *item)
{
    return item->excerpt.n + (item->left_out ? MORE_BYTES : 0);
}

/* Whole lines, or the beginning of the first one. */
static void excerpt_cut(struct news_item *item, size_t most)
{
    struct bytes all = buf_bytes(&item->excerpt), line;
    size_t kept = 0, room = most > MORE_BYTES ? most - MORE_BYTES : 0;
    struct buf out = {0};
    struct lines to = {.out = &out, .max = room, .indent = ""};

    if (excerpt_needs(item) <= most)
        return;
    while (kept < all.n) {
        const uint8_t *end = memchr(all.p + kept, '\n', all.n - kept);

        line = bytes_of(all.p + kept, (size_t)(end - all.p) - kept);
        line_put(&to, 0, line);
        kept += line.n + 1;
    }
    item->left_out += to.left_out;
    buf_free(&item->excerpt);
    item->excerpt = out;
}

static int by_length(const void *a, const void *b)
{
    const struct news_item *x = *(struct news_item *const *)a;
    const struct news_item *y = *(struct news_item *const *)b;

    size_t n = excerpt_needs(x), m = excerpt_needs(y);

    return n < m ? -1 : n > m;
}

static void excerpts_share(struct news_item **items, size_t count, size_t room)
{
    qsort(items, count, sizeof *items, by_length);
    for (size_t i = 0; i < count; i++) {
        excerpt_cut(items[i], room / (count - i));
        room -= excerpt_needs(items[i]);
        if (items[i]->left_out)
            put(&items[i]->excerpt, "    (%" PRIu64 " more lines)\n",
                items[i]->left_out);
    }
}

/* Of what others wrote, the latest first, as many as can have something. */
static int excerpts_add(struct choir_news *n, struct news_item **by_time,
                        size_t room)
{
    size_t count = 0, most = room / EXCERPT_MIN;
    int r;

    for (size_t i = 0; i < n->count && count < most; i++) {
        const struct choir_change *c = &by_time[i]->change;

        if (by_time[i]->is_shown && !c->own && !c->deleted)
            by_time[count++] = by_time[i];
    }
    r = excerpts_make(n, by_time, count, room);
    if (!r)
        excerpts_share(by_time, count, room);
    return r;
}

/* --- The whole ------------------------------------------------------------- */

static void head_put(struct choir_news *n)
{
    char where[80] = "";

    if (strlen(n->prefix) > 60)
        strcpy(where, " there");
    else if (n->prefix[0])
        snprintf(where, sizeof where, " under %s", n->prefix);
    if (!n->since)
        put(&n->text, "You were not here before. Up to revision %" PRIu64,
            n->revision);
    else
        put(&n->text,
            "Since you were here, revision %" PRIu64 " up to %" PRIu64,
            n->since, n->revision);
    if (n->count)
        put(&n->text, ", %s%zu key%s changed%s.\n",
            n->is_cut ? "more than " : "", n->count, n->count == 1 ? "" : "s",
            where);
    else
        put(&n->text, ", nothing changed%s.\n", where);
}

static void end_put(struct choir_news *n, size_t left_out)
{
    if (left_out)
        put(&n->text,
            "%zu more keys changed; `choir since %" PRIu64 "` tells all.\n",
            left_out, n->since);
}

static int body_put(struct choir_news *n, struct news_item **by_time)
{
    size_t room = n->budget - n->text.n - END_BYTES, left_out = 0;
    int r = 0;

    for (size_t i = 0; !r && i < n->count; i++) {
        by_time[i] = &n->items[i];
        r = line_make(by_time[i]);
    }
    if (r)
        return r;
    qsort(by_time, n->count, sizeof *by_time, by_age);
    room = lines_choose(n, by_time, room);
    r = excerpts_add(n, by_time, room);
    for (size_t i = 0; !r && i < n->count; i++) {
        const struct news_item *item = &n->items[i];

        left_out += !item->is_shown;
        if (!item->is_shown)
            continue;
        buf_put(&n->text, item->line.p, item->line.n);
        buf_put(&n->text, item->excerpt.p, item->excerpt.n);
        n->text.failed = n->text.failed || item->excerpt.failed;
    }
    end_put(n, left_out);
    return r;
}

int news_write(struct choir_news *n)
{
    struct news_item **by_time = calloc(n->count + 1, sizeof *by_time);
    int r = by_time ? 0 : error_set(-ENOMEM, 0, NULL);

    if (!r) {
        head_put(n);
        r = body_put(n, by_time);
    }
    buf_put(&n->text, "", 1);
    if (!r && n->text.failed)
        r = error_set(-ENOMEM, 0, NULL);
    free(by_time);
    return r;
}
