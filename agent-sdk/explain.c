/* One line for a person: the code, what was asked, value and limit, and what
 * the code means. Made when it is asked for. */
#include <stdarg.h>
#include <stdio.h>

#include "event.h"
#include "proto/refusal.h"

enum { MOVES_SAID = 4 };

struct line {
    char s[1024];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l,
                                                      const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(l->s + l->n, sizeof l->s - l->n, format, args);
    va_end(args);
    if (n > 0)
        l->n =
            l->n + (size_t)n < sizeof l->s ? l->n + (size_t)n : sizeof l->s - 1;
}

static void add_text(struct line *l, const char *name, const struct msg *m,
                     enum field f)
{
    if (msg_has(m, f))
        add(l, " %s=%.*s", name, (int)msg_b(m, f).n,
            (const char *)msg_b(m, f).p);
}

static void add_uint(struct line *l, const char *name, const struct msg *m,
                     enum field f)
{
    if (msg_has(m, f))
        add(l, " %s=%llu", name, (unsigned long long)msg_u(m, f));
}

/* What was asked: enough to find it again. */
static void add_subject(struct line *l, const struct choir_event *e,
                        bool key_follows)
{
    unsigned field;
    struct msg m;

    if (!e->subject.n || msg_decode(buf_bytes(&e->subject),
                                    CLASS_OPERATION | CLASS_ASK, &m, &field))
        return;
    if (!key_follows)
        add_text(l, "key", &m, FIELD_KEY);
    add_text(l, "prefix", &m, FIELD_PREFIX);
    add_text(l, "queue", &m, FIELD_QUEUE);
    add_uint(l, "task", &m, FIELD_TASK);
    add_text(l, "id", &m, FIELD_ID);
    add_uint(l, "base", &m, FIELD_IF_REVISION);
}

/* Where both changed the same. */
static void add_clashes(struct line *l, const struct msg *m)
{
    struct list items = msg_list(m, FIELD_ITEMS);
    struct msg item;

    while (list_next(&items, &item))
        add_text(l, "path", &item, FIELD_TEXT);
}

static void add_details(struct line *l, const struct msg *m, int code)
{
    add_text(l, "field", m, FIELD_FIELD);
    add_uint(l, "size", m, FIELD_SIZE);
    add_uint(l, "limit", m, FIELD_LIMIT);
    add_uint(l, "task", m, FIELD_TASK);
    add_uint(l, "state", m, FIELD_STATE);
    add_text(l, "reason", m, FIELD_REASON);
    if (code == CHOIR_CONFLICT)
        add_uint(l, "current", m, FIELD_REVISION);
    if (code == CHOIR_CONFLICT)
        add_clashes(l, m);
    if (code == CHOIR_REPEATED)
        add_uint(l, "first", m, FIELD_REVISION);
    if (code == CHOIR_CONFLICT && msg_has(m, FIELD_AGENT)) {
        struct hash h = msg_hash(m, FIELD_AGENT);
        char hex[HASH_HEX];

        hash_hex(&h, hex);
        add(l, " writer=%.16s", hex);
    }
}

/* What moved, as much as a line takes. */
static void add_moves(struct line *l, const struct msg *m)
{
    struct list at = msg_list(m, FIELD_ITEMS);
    struct msg row;
    char hex[HASH_HEX];

    add_uint(l, "moved", m, FIELD_COUNT);
    for (int n = 0; n < MOVES_SAID && list_next(&at, &row); n++) {
        struct hash writer = msg_hash(&row, FIELD_AGENT);

        add_text(l, "key", &row, FIELD_KEY);
        add_text(l, "prefix", &row, FIELD_PREFIX);
        add_uint(l, "read", &row, FIELD_PREV);
        add_uint(l, "now", &row, FIELD_REVISION);
        hash_hex(&writer, hex);
        if (msg_has(&row, FIELD_AGENT))
            add(l, " writer=%.16s", hex);
    }
}

const char *choir_event_explain(const struct choir_event *e)
{
    const struct choir_event *effect = choir_event_item(e, "effect", 0);
    const struct msg *m = effect ? event_message(effect) : event_message(e);
    struct line l = {.n = 0};

    if (e->line || !m)
        return e->line ? e->line : choir_code_name(e->code);
    add(&l, "%s", choir_code_name(e->code));
    if (effect)
        add_text(&l, "key", m, FIELD_KEY);
    add_subject(&l, e, effect && msg_has(m, FIELD_KEY));
    add_details(&l, m, e->code);
    if (e->code == CHOIR_STALE && effect)
        add_moves(&l, m);
    add(&l, ": %s", choir_code_sentence(e->code));
    if (msg_has(m, FIELD_TEXT))
        add(&l, " (%.*s)", (int)msg_b(m, FIELD_TEXT).n,
            (const char *)msg_b(m, FIELD_TEXT).p);
    event_line((struct choir_event *)(uintptr_t)e, l.s);
    return e->line ? e->line : choir_code_name(e->code);
}
