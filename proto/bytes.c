/* Buffers and bounded reading; nothing here knows what the bytes mean. */
#include "bytes.h"

#include <stdlib.h>

#include "limits.h"
#include "refusal.h"

/* Of the first n bytes, how many are in whole words of ASCII without NUL? */
static size_t ascii_words(const uint8_t *p, size_t n)
{
    const uint64_t ones = 0x0101010101010101, high = 0x8080808080808080;
    size_t i = 0;
    uint64_t word;

    for (; n - i >= 8; i += 8) {
        memcpy(&word, p + i, 8);
        /* the lowest byte that is 0 borrows, which sets its highest bit */
        if ((word | (word - ones)) & high)
            break;
    }
    return i;
}

bool bytes_utf8(struct bytes b)
{
    size_t i = ascii_words(b.p, b.n);

    while (i < b.n) {
        uint8_t c = b.p[i];
        size_t more;
        uint32_t point, least;

        if (c == 0)
            return false;
        if (c < 0x80) {
            i++;
            continue;
        }
        if ((c & 0xe0) == 0xc0) {
            more = 1, point = c & 0x1f, least = 0x80;
        } else if ((c & 0xf0) == 0xe0) {
            more = 2, point = c & 0x0f, least = 0x800;
        } else if ((c & 0xf8) == 0xf0) {
            more = 3, point = c & 0x07, least = 0x10000;
        } else {
            return false;
        }
        if (b.n - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++) {
            if ((b.p[i + k] & 0xc0) != 0x80)
                return false;
            point = point << 6 | (b.p[i + k] & 0x3f);
        }
        if (point < least || point > 0x10ffff ||
            (point >= 0xd800 && point <= 0xdfff))
            return false;
        i += more + 1;
    }
    return true;
}

uint8_t *buf_grow_more(struct buf *b, size_t n)
{
    size_t cap = b->cap ? b->cap : 256;
    uint8_t *p;

    if (b->failed)
        return NULL;
    while (cap - b->n < n && cap < SIZE_MAX / 2)
        cap *= 2;
    p = cap - b->n < n ? NULL : realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    b->n += n;
    return b->p + b->n - n;
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    uint8_t *to = buf_grow(b, 4);

    if (to)
        put_u32(to, v);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    uint8_t *to = buf_grow(b, 8);

    if (to)
        put_u64(to, v);
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}

int cursor_line(struct cursor *c, struct bytes *line)
{
    size_t n = cursor_left(c);
    const uint8_t *end = n ? memchr(c->p, '\n', n) : NULL;

    if (!end)
        return CHOIR_MALFORMED;
    *line = cursor_take(c, (size_t)(end - c->p));
    cursor_take(c, 1);
    return 0;
}

int bytes_decimal(struct bytes text, uint64_t *v)
{
    *v = 0;
    if (text.n == 0 || text.n > 16 || (text.p[0] == '0' && text.n > 1))
        return CHOIR_MALFORMED;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return CHOIR_MALFORMED;
        *v = 10 * *v + (text.p[i] - '0');
    }
    return *v > LIMIT_UINT_MAX_WIRE ? CHOIR_MALFORMED : 0;
}
