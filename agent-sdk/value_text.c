/* A value as text. msgpack is written as JSON writes it; JSON that is long gets
 * a line for each element, so that differences are small. Nothing is parsed
 * but brackets, commas and quotes: it is for the eye. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "choir.h"
#include "error.h"
#include "lines.h"
#include "proto/limits.h"
#include "proto/pack.h"

enum { ONE_LINE = 72 };

static void put_text(struct buf *out, const char *s)
{
    buf_put(out, s, strlen(s));
}

/* --- msgpack --------------------------------------------------------------- */

static void put_quoted(struct buf *out, struct bytes s)
{
    char escape[8];

    put_text(out, "\"");
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];

        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c == '\n')
            snprintf(escape, sizeof escape, "\\n");
        else if (c < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        else
            snprintf(escape, sizeof escape, "%c", c);
        put_text(out, escape);
    }
    put_text(out, "\"");
}

static void put_number(struct buf *out, const struct pack_item *item)
{
    char text[40];
    double f;

    memcpy(&f, &item->u, sizeof f);
    if (item->kind == PACK_FLOAT)
        snprintf(text, sizeof text, "%.17g", f);
    else if (item->kind == PACK_INT)
        snprintf(text, sizeof text, "%" PRId64, (int64_t)item->u);
    else
        snprintf(text, sizeof text, "%" PRIu64, item->u);
    put_text(out, text);
}

static void put_item(struct buf *out, struct cursor *c, unsigned depth);

static void put_elements(struct buf *out, struct cursor *c, unsigned depth,
                         const struct pack_item *item)
{
    bool is_map = item->kind == PACK_MAP;

    put_text(out, is_map ? "{" : "[");
    for (uint64_t i = 0; i < item->u && !out->failed; i++) {
        put_text(out, i ? ", " : "");
        put_item(out, c, depth + 1);
        if (is_map) {
            put_text(out, ": ");
            put_item(out, c, depth + 1);
        }
    }
    put_text(out, is_map ? "}" : "]");
}

/* It was found valid before, so that its depth is bounded, too. */
static void put_item(struct buf *out, struct cursor *c, unsigned depth)
{
    struct pack_item item;
    char text[40];

    if (depth > LIMIT_DEPTH || pack_next(c, &item))
        return;
    switch (item.kind) {
    case PACK_NIL: put_text(out, "null"); break;
    case PACK_BOOL: put_text(out, item.u ? "true" : "false"); break;
    case PACK_UINT:
    case PACK_INT:
    case PACK_FLOAT: put_number(out, &item); break;
    case PACK_TEXT: put_quoted(out, item.bytes); break;
    case PACK_ARRAY:
    case PACK_MAP: put_elements(out, c, depth, &item); break;
    case PACK_BYTES:
    case PACK_EXT:
        snprintf(text, sizeof text, "\"(%zu bytes)\"", item.bytes.n);
        put_text(out, text);
        break;
    }
}

/* --- JSON ------------------------------------------------------------------ */

/* The end of the string that begins at i, or s.n. */
static size_t string_end(struct bytes s, size_t i)
{
    for (i++; i < s.n && s.p[i] != '"'; i++)
        i += s.p[i] == '\\';
    return i;
}

/* Something with brackets that JSON can be: then it may be laid out anew
 * without changing what it says. */
static bool is_json(struct bytes s)
{
    size_t depth = 0;
    bool seen = false;

    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];

        if (c == '"' && depth)
            i = string_end(s, i);
        else if (c == '{' || c == '[')
            seen = true, depth++;
        else if (c == '}' || c == ']')
            depth -= depth ? 1 : s.n; /* a lone one: never 0 again */
        else if (c == ' ' || c == '\n' || c == '\t' || c == '\r')
            continue;
        else if (!depth || !strchr(",:+-.0123456789eEtrufalsn", c))
            return false;
        if (i >= s.n)
            return false;
    }
    return seen && depth == 0;
}

static void new_line(struct buf *out, size_t depth)
{
    put_text(out, "\n");
    while (depth--)
        put_text(out, "  ");
}

static size_t over_blanks(struct bytes s, size_t i)
{
    while (i < s.n && strchr(" \n\t\r", s.p[i]) && s.p[i])
        i++;
    return i;
}

static void json_lay_out(struct bytes s, struct buf *out)
{
    size_t depth = 0, end;

    for (size_t i = 0; (i = over_blanks(s, i)) < s.n; i++) {
        uint8_t c = s.p[i];

        end = i;
        if (c == '"')
            end = string_end(s, i);
        if (c == '}' || c == ']')
            new_line(out, --depth);
        buf_put(out, s.p + i, end - i + 1);
        i = end;
        if (c == ':')
            put_text(out, " ");
        else if (c == ',')
            new_line(out, depth);
        else if (c == '{' || c == '[') {
            end = over_blanks(s, i + 1);
            if (end < s.n && (s.p[end] == '}' || s.p[end] == ']')) {
                buf_put(out, s.p + end, 1); /* an empty one */
                i = end;
            } else {
                new_line(out, ++depth);
            }
        }
    }
}

/* --- A value --------------------------------------------------------------- */

static void text_put(struct bytes text, struct buf *out)
{
    if (text.n > ONE_LINE && is_json(text))
        json_lay_out(text, out);
    else
        buf_put(out, text.p, text.n);
}

static void msgpack_put(struct bytes value, struct buf *out)
{
    struct cursor c = cursor_of(value);
    struct buf text = {0};

    put_item(&text, &c, 0);
    text_put(buf_bytes(&text), out);
    out->failed = out->failed || text.failed;
    buf_free(&text);
}

void value_text(struct bytes value, struct bytes type, struct buf *out)
{
    char line[40];

    if (bytes_equal(type, bytes_text("application/msgpack")) &&
        pack_valid(value)) {
        msgpack_put(value, out);
    } else if (bytes_utf8(value)) {
        text_put(value, out);
    } else {
        snprintf(line, sizeof line, "(%zu bytes)", value.n);
        put_text(out, line);
    }
}

int text_give(struct buf *out, int r, char **text)
{
    *text = NULL;
    buf_put(out, "", 1);
    if (r || out->failed) {
        buf_free(out);
        return error_set(r ? r : -ENOMEM, 0, NULL);
    }
    *text = (char *)out->p;
    return 0;
}

int choir_value_text(const void *value, size_t bytes, const char *type,
                     char **text)
{
    struct buf out = {0};

    value_text(bytes_of(value, bytes), bytes_text(type), &out);
    return text_give(&out, 0, text);
}
