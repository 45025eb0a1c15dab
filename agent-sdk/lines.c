/* Myers' algorithm ("An O(ND) Difference Algorithm", 1986): cheap where little
 * differs, which is what agents do to a text; bounded where all does. */
#include "lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "choir.h"

enum {
    DIFFERENCES_MAX = 500,
    CUT_MIN = 40, /* bytes: less of a line says nothing */
};

/* --- One line -------------------------------------------------------------- */

static void put_clean(struct buf *out, struct bytes line)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < line.n; i++) {
        uint8_t c = line.p[i];
        bool c1 = c == 0xc2 && i + 1 < line.n && line.p[i + 1] < 0xa0;
        char escape[4] = {'\\', 'x'};

        if (c != '\t' && (c < 0x20 || c == 0x7f || c1)) {
            c = c1 ? line.p[++i] : c;
            escape[2] = hex[c >> 4];
            escape[3] = hex[c & 15];
            buf_put(out, escape, sizeof escape);
        } else {
            buf_put(out, &c, 1);
        }
    }
}

/* As much of it as fits, not ending inside a character. */
static struct bytes cut(struct bytes line, size_t n)
{
    while (n && n < line.n && (line.p[n] & 0xc0) == 0x80)
        n--;
    return bytes_of(line.p, n < line.n ? n : line.n);
}

static void put_cut(struct lines *to, struct bytes line, size_t room)
{
    static const char more[] = " ...";
    bool whole = line.n <= room;

    if (!whole)
        line = cut(line, room - (sizeof more - 1));
    buf_put(to->out, line.p, line.n);
    if (whole)
        return;
    buf_put(to->out, more, sizeof more - 1);
    to->left_out++;
}

void line_put(struct lines *to, char sign, struct bytes line)
{
    size_t front = strlen(to->indent) + (sign != 0) + 1;
    size_t room = to->max > to->out->n ? to->max - to->out->n : 0;
    struct buf clean = {0};

    put_clean(&clean, line);
    to->out->failed = to->out->failed || clean.failed;
    if (to->left_out || room < front ||
        (clean.n > room - front && room - front < CUT_MIN)) {
        to->left_out++;
    } else {
        buf_put(to->out, to->indent, strlen(to->indent));
        if (sign)
            buf_put(to->out, &sign, 1);
        put_cut(to, buf_bytes(&clean), room - front);
        buf_put(to->out, "\n", 1);
    }
    buf_free(&clean);
}

/* --- Texts ----------------------------------------------------------------- */

static struct bytes line_next(struct bytes *text)
{
    const uint8_t *end = text->n ? memchr(text->p, '\n', text->n) : NULL;
    size_t n = end ? (size_t)(end - text->p) : text->n;
    struct bytes line = bytes_of(text->p, n);

    text->p = end ? end + 1 : text->p + n;
    text->n -= end ? n + 1 : n;
    return line;
}

void lines_put(struct lines *to, char sign, struct bytes text)
{
    while (text.n)
        line_put(to, sign, line_next(&text));
}

struct side {
    struct bytes *lines; /* owned */
    bool *changed;       /* owned; of each line */
    size_t n;
};

static int side_split(struct side *s, struct bytes text)
{
    struct bytes left = text;
    size_t n = 0;

    for (; left.n; n++)
        line_next(&left);
    *s = (struct side){calloc(n + 1, sizeof *s->lines),
                       calloc(n + 1, sizeof *s->changed), n};
    if (!s->lines || !s->changed)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        s->lines[i] = line_next(&text);
    return 0;
}

static void side_free(struct side *s)
{
    free(s->lines);
    free(s->changed);
}

/* --- What differs ---------------------------------------------------------- */

/* The middle of both sides, without what they have in common at the ends. */
struct middle {
    struct side *a, *b;
    size_t from;   /* the same on both sides */
    long a_n, b_n; /* lines from there on */
    int *trace;    /* owned; furthest x on each diagonal, for each d */
};

/* Before step d, diagonals -d..d stand in 2d+1 places. */
static int *furthest(const struct middle *m, long d)
{
    return m->trace + d * d + d;
}

static bool same(const struct middle *m, long x, long y)
{
    return bytes_equal(m->a->lines[m->from + (size_t)x],
                       m->b->lines[m->from + (size_t)y]);
}

/* Where diagonal k is reached from in step d: down (an insertion), or not. */
static bool goes_down(const int *v, long d, long k)
{
    return k == -d || (k != d && v[k - 1] < v[k + 1]);
}

static bool step(const struct middle *m, long d)
{
    const int *v = d ? furthest(m, d - 1) : NULL;
    int *next = furthest(m, d);

    for (long k = -d; k <= d; k += 2) {
        long x = !v ? 0 : goes_down(v, d, k) ? v[k + 1] : v[k - 1] + 1;

        while (x < m->a_n && x - k < m->b_n && same(m, x, x - k))
            x++;
        next[k] = (int)x;
        if (x >= m->a_n && x - k >= m->b_n)
            return true;
    }
    return false;
}

/* Back from the end along the way that was found. */
static void mark(const struct middle *m, long d)
{
    long k = m->a_n - m->b_n;

    for (; d > 0; d--) {
        const int *v = furthest(m, d - 1);
        bool down = goes_down(v, d, k);

        k = down ? k + 1 : k - 1;
        if (down)
            m->b->changed[m->from + (size_t)(v[k] - k)] = true;
        else
            m->a->changed[m->from + (size_t)v[k]] = true;
    }
}

static void mark_all(const struct middle *m)
{
    memset(m->a->changed + m->from, true, (size_t)m->a_n);
    memset(m->b->changed + m->from, true, (size_t)m->b_n);
}

static int sides_compare(struct side *a, struct side *b)
{
    struct middle m = {.a = a, .b = b};
    size_t a_n = a->n, b_n = b->n;
    long d = 0;

    while (m.from < a_n && m.from < b_n &&
           bytes_equal(a->lines[m.from], b->lines[m.from]))
        m.from++;
    while (a_n > m.from && b_n > m.from &&
           bytes_equal(a->lines[a_n - 1], b->lines[b_n - 1]))
        a_n--, b_n--;
    m.a_n = (long)(a_n - m.from);
    m.b_n = (long)(b_n - m.from);
    m.trace =
        calloc((DIFFERENCES_MAX + 1) * (DIFFERENCES_MAX + 1), sizeof *m.trace);
    if (!m.trace)
        return -ENOMEM;
    while (d <= DIFFERENCES_MAX && !step(&m, d))
        d++;
    if (d <= DIFFERENCES_MAX)
        mark(&m, d);
    else
        mark_all(&m);
    free(m.trace);
    return 0;
}

/* --- Hunks ----------------------------------------------------------------- */

/* Lines a..a_end of the one side stand against b..b_end of the other. */
struct hunk {
    size_t a, a_end, b, b_end;
};

/* Over what is the same on both sides; false: nothing changes any more. */
static bool to_change(const struct side *a, const struct side *b,
                      struct hunk *h)
{
    while (h->a_end < a->n && h->b_end < b->n && !a->changed[h->a_end] &&
           !b->changed[h->b_end])
        h->a_end++, h->b_end++;
    return h->a_end < a->n || h->b_end < b->n;
}

static void over_change(const struct side *a, const struct side *b,
                        struct hunk *h)
{
    while (h->a_end < a->n && a->changed[h->a_end])
        h->a_end++;
    while (h->b_end < b->n && b->changed[h->b_end])
        h->b_end++;
}

/* From where the last one ended to the end of the next: changes closer than
 * twice the context are one. */
static bool hunk_next(const struct side *a, const struct side *b,
                      unsigned context, struct hunk *h)
{
    struct hunk ahead = {h->a_end, h->a_end, h->b_end, h->b_end};
    size_t before;

    if (!to_change(a, b, &ahead))
        return false;
    before = ahead.a_end - ahead.a < context ? ahead.a_end - ahead.a : context;
    h->a = ahead.a_end - before;
    h->b = ahead.b_end - before;
    do {
        over_change(a, b, &ahead);
        h->a_end = ahead.a_end;
        h->b_end = ahead.b_end;
    } while (to_change(a, b, &ahead) &&
             ahead.a_end - h->a_end <= 2 * (size_t)context);
    for (unsigned i = 0; i < context && h->a_end < a->n && h->b_end < b->n; i++)
        h->a_end++, h->b_end++;
    return true;
}

static void hunk_put(struct lines *to, const struct side *a,
                     const struct side *b, const struct hunk *h)
{
    size_t i = h->a, j = h->b;
    char head[96];

    snprintf(head, sizeof head, "@@ -%zu,%zu +%zu,%zu @@",
             h->a + (h->a_end > h->a), h->a_end - h->a,
             h->b + (h->b_end > h->b), h->b_end - h->b);
    line_put(to, 0, bytes_text(head));
    while (i < h->a_end || j < h->b_end) {
        if (i < h->a_end && a->changed[i]) {
            line_put(to, '-', a->lines[i++]);
        } else if (j < h->b_end && b->changed[j]) {
            line_put(to, '+', b->lines[j++]);
        } else {
            line_put(to, ' ', a->lines[i++]);
            j++;
        }
    }
}

int lines_diff(struct lines *to, struct bytes before, struct bytes after,
               unsigned context)
{
    struct hunk h = {0};
    struct side a, b = {0};
    int r = side_split(&a, before);

    if (!r)
        r = side_split(&b, after);
    if (!r)
        r = sides_compare(&a, &b);
    if (!r) {
        while (hunk_next(&a, &b, context, &h))
            hunk_put(to, &a, &b, &h);
    }
    side_free(&a);
    side_free(&b);
    return r;
}

int choir_text_diff(const char *before, const char *after, unsigned context,
                    char **text)
{
    struct buf out = {0};
    struct lines to = {.out = &out, .max = SIZE_MAX, .indent = ""};
    int r = lines_diff(&to, bytes_text(before), bytes_text(after), context);

    return text_give(&out, r, text);
}
