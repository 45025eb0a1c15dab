/* Buffers and bounded reading; nothing here knows what the bytes mean. */
#include "bytes.h"

#include <endian.h>
#include <stdlib.h>

bool bytes_utf8(struct bytes b)
{
    size_t i = 0;

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

uint8_t *buf_grow(struct buf *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (!b->p || b->cap - b->n < n) {
        size_t cap = b->cap ? b->cap : 256;
        uint8_t *p;

        while (cap - b->n < n && cap < SIZE_MAX / 2)
            cap *= 2;
        p = cap - b->n < n ? NULL : realloc(b->p, cap);
        if (!p) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    b->n += n;
    return b->p + b->n - n;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    uint8_t *to = buf_grow(b, n);

    if (to && n)
        memcpy(to, p, n);
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

struct bytes cursor_take(struct cursor *c, size_t n)
{
    struct bytes out = {c->p, n};

    if (c->failed || cursor_left(c) < n) {
        c->failed = true;
        return (struct bytes){0};
    }
    c->p += n;
    return out;
}

uint8_t cursor_u8(struct cursor *c)
{
    struct bytes b = cursor_take(c, 1);

    return c->failed ? 0 : b.p[0];
}

uint32_t cursor_u32(struct cursor *c)
{
    struct bytes b = cursor_take(c, 4);

    return c->failed ? 0 : get_u32(b.p);
}

uint64_t cursor_u64(struct cursor *c)
{
    struct bytes b = cursor_take(c, 8);

    return c->failed ? 0 : get_u64(b.p);
}

void put_u32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, 4);
}

void put_u64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, 8);
}

uint32_t get_u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return le32toh(v);
}

uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return le64toh(v);
}
