/* Borrowed bytes, a growing buffer, and the one bounded cursor through which
 * everything a stranger or a file sent is read. */
#ifndef CHOIR_PROTO_BYTES_H
#define CHOIR_PROTO_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed: valid as long as what it points into. */
struct bytes {
    const uint8_t *p;
    size_t n;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){p, n};
}

static inline struct bytes bytes_text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool bytes_start_with(struct bytes a, struct bytes prefix)
{
    return a.n >= prefix.n &&
           (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}

static inline bool bytes_zero(struct bytes b)
{
    return b.n == 0 || (b.p[0] == 0 && memcmp(b.p, b.p + 1, b.n - 1) == 0);
}

/* Well-formed UTF-8 without NUL. */
bool bytes_utf8(struct bytes b);

/* A growing buffer. Zero-initialised is empty and valid. Growth that fails
 * sets `failed` and drops everything after it, so that a writer checks once,
 * at the end. */
struct buf {
    uint8_t *p;
    size_t n, cap;
    bool failed;
};

/* When there is no room yet. */
uint8_t *buf_grow_more(struct buf *b, size_t n);

/* Room for n more bytes, or NULL (and b->failed). The bytes are counted as
 * written; their content is whatever the caller puts there. Borrowed until
 * the next call. */
static inline uint8_t *buf_grow(struct buf *b, size_t n)
{
    if (b->failed || !b->p || b->cap - b->n < n)
        return buf_grow_more(b, n);
    b->n += n;
    return b->p + b->n - n;
}

static inline void buf_put(struct buf *b, const void *p, size_t n)
{
    uint8_t *to = buf_grow(b, n);

    if (to && n)
        memcpy(to, p, n);
}

void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
static inline void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}
void buf_free(struct buf *b);
static inline struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){b->p, b->n};
}

/* A cursor never reads beyond its end: a read that does not fit sets `failed`
 * and gives zeros, and so does every later one. */
struct cursor {
    const uint8_t *p, *end;
    bool failed;
};

/* p is never NULL in a cursor, so that arithmetic on it is always defined. */
static inline struct cursor cursor_of(struct bytes b)
{
    const uint8_t *p = b.p ? b.p : (const uint8_t *)"";

    return (struct cursor){p, p + b.n, false};
}

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

static inline struct bytes cursor_take(struct cursor *c, size_t n)
{
    struct bytes out = {c->p, n};

    if (c->failed || cursor_left(c) < n) {
        c->failed = true;
        return (struct bytes){0};
    }
    c->p += n;
    return out;
}

/* Little-endian, for fixed layouts. */
static inline void put_u32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, 4);
}

static inline void put_u64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, 8);
}

static inline uint32_t get_u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return le32toh(v);
}

static inline uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return le64toh(v);
}

static inline uint8_t cursor_u8(struct cursor *c)
{
    struct bytes b = cursor_take(c, 1);

    return c->failed ? 0 : b.p[0];
}

static inline uint32_t cursor_u32(struct cursor *c)
{
    struct bytes b = cursor_take(c, 4);

    return c->failed ? 0 : get_u32(b.p);
}

static inline uint64_t cursor_u64(struct cursor *c)
{
    struct bytes b = cursor_take(c, 8);

    return c->failed ? 0 : get_u64(b.p);
}

/* Text that others read too. A line without its end, which there must be: 0 or
 * CHOIR_MALFORMED. */
int cursor_line(struct cursor *c, struct bytes *line);
/* Digits alone, without leading zeros, up to 2^53-1. 0 or CHOIR_MALFORMED. */
int bytes_decimal(struct bytes text, uint64_t *v);

#endif
