#include "rows.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROW_TEXT = 700 };

static int order(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void row_text(const struct msg *m, char out[ROW_TEXT])
{
    bool is_prefix = msg_has(m, FIELD_PREFIX);
    struct bytes space = msg_b(m, FIELD_SPACE);
    struct bytes text = msg_b(m, is_prefix ? FIELD_PREFIX : FIELD_KEY);
    int n = snprintf(out, ROW_TEXT, "%.*s%s%.*s%s@%llu", (int)space.n,
                     (const char *)space.p, space.n ? ":" : "", (int)text.n,
                     (const char *)text.p, is_prefix ? "*" : "",
                     (unsigned long long)msg_u(m, FIELD_REVISION));

    if (msg_has(m, FIELD_SEEN))
        snprintf(out + n, ROW_TEXT - (size_t)n, "~%llu",
                 (unsigned long long)msg_u(m, FIELD_SEEN));
}

void rows_text(struct list rows, char *out, size_t n)
{
    char(*texts)[ROW_TEXT] = calloc(rows.left + 1, ROW_TEXT);
    size_t count = 0, at = 0;
    struct msg m;

    out[0] = '\0';
    while (texts && list_next(&rows, &m))
        row_text(&m, texts[count++]);
    qsort(texts, count, ROW_TEXT, order);
    for (size_t i = 0; i < count && at < n; i++)
        at +=
            (size_t)snprintf(out + at, n - at, "%s%s", i ? " " : "", texts[i]);
    free(texts);
}
