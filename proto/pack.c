/* The strict reader, and msgpack-c's packer writing into our buffer; but the
 * forms whose head is a byte or two, which are nearly all, are put there
 * directly: msgpack-c hands over each head and each body by a call. */
#include "pack.h"

#include <msgpack.h>

#include "limits.h"
#include "refusal.h"

/* Of 1, 2, 4 or 8 bytes. */
static uint64_t big_endian(struct cursor *c, unsigned bytes)
{
    const uint8_t *p = cursor_take(c, bytes).p;
    uint16_t two;
    uint32_t four;
    uint64_t eight;

    if (c->failed)
        return 0;
    switch (bytes) {
    case 1: return *p;
    case 2: memcpy(&two, p, sizeof two); return be16toh(two);
    case 4: memcpy(&four, p, sizeof four); return be32toh(four);
    default: memcpy(&eight, p, sizeof eight); return be64toh(eight);
    }
}

/* An unsigned number of 1, 2, 4 or 8 bytes that would not have fitted into
 * the next shorter form. */
static int shortest(struct cursor *c, unsigned bytes, uint64_t least,
                    uint64_t *v)
{
    *v = big_endian(c, bytes);
    return c->failed || *v < least ? CHOIR_MALFORMED : 0;
}

static int take(struct cursor *c, struct pack_item *item, enum pack_kind kind,
                uint64_t n)
{
    item->kind = kind;
    if (n > cursor_left(c))
        return CHOIR_MALFORMED;
    item->bytes = cursor_take(c, (size_t)n);
    return 0;
}

static int take_long(struct cursor *c, struct pack_item *item,
                     enum pack_kind kind, unsigned bytes, uint64_t least)
{
    uint64_t n;

    return shortest(c, bytes, least, &n) ? CHOIR_MALFORMED
                                         : take(c, item, kind, n);
}

static int counted(struct cursor *c, struct pack_item *item,
                   enum pack_kind kind, uint64_t n)
{
    item->kind = kind;
    item->u = n;
    /* every element takes a byte at least, every pair two */
    if (n > cursor_left(c) / (kind == PACK_MAP ? 2 : 1))
        return CHOIR_MALFORMED;
    return 0;
}

static int counted_long(struct cursor *c, struct pack_item *item,
                        enum pack_kind kind, unsigned bytes, uint64_t least)
{
    uint64_t n;

    return shortest(c, bytes, least, &n) ? CHOIR_MALFORMED
                                         : counted(c, item, kind, n);
}

static int uint_long(struct cursor *c, struct pack_item *item, unsigned bytes,
                     uint64_t least)
{
    item->kind = PACK_UINT;
    return shortest(c, bytes, least, &item->u);
}

/* Negative numbers: `highest` is the largest that needs this many bytes. */
static int int_long(struct cursor *c, struct pack_item *item, unsigned bytes,
                    int64_t highest)
{
    uint64_t v = big_endian(c, bytes);
    unsigned shift = 64 - 8 * bytes;
    int64_t s = (int64_t)(v << shift) >> shift;

    item->kind = PACK_INT;
    item->u = (uint64_t)s;
    return c->failed || s > highest ? CHOIR_MALFORMED : 0;
}

static int float_of(struct cursor *c, struct pack_item *item, unsigned bytes)
{
    uint64_t v = big_endian(c, bytes);

    item->kind = PACK_FLOAT;
    if (bytes == 4) {
        uint32_t bits = (uint32_t)v;
        float f;
        double d;

        memcpy(&f, &bits, sizeof f);
        d = (double)f;
        memcpy(&v, &d, sizeof v);
    }
    item->u = v;
    return c->failed ? CHOIR_MALFORMED : 0;
}

static int ext(struct cursor *c, struct pack_item *item, uint64_t n)
{
    cursor_u8(c); /* its type; Choir gives it no meaning */
    return c->failed ? CHOIR_MALFORMED : take(c, item, PACK_EXT, n);
}

static int ext_long(struct cursor *c, struct pack_item *item, unsigned bytes,
                    uint64_t least)
{
    uint64_t n;

    if (shortest(c, bytes, least, &n))
        return CHOIR_MALFORMED;
    if (n == 1 || n == 2 || n == 4 || n == 8 || n == 16)
        return CHOIR_MALFORMED; /* those have fixed forms */
    return ext(c, item, n);
}

int pack_next(struct cursor *c, struct pack_item *item)
{
    uint8_t t = cursor_u8(c);

    *item = (struct pack_item){0};
    if (c->failed)
        return CHOIR_MALFORMED;
    if (t <= 0x7f) {
        item->kind = PACK_UINT;
        item->u = t;
        return 0;
    }
    if (t >= 0xe0) {
        item->kind = PACK_INT;
        item->u = (uint64_t)(int64_t)(int8_t)t;
        return 0;
    }
    if (t <= 0x8f)
        return counted(c, item, PACK_MAP, t & 0x0f);
    if (t <= 0x9f)
        return counted(c, item, PACK_ARRAY, t & 0x0f);
    if (t <= 0xbf)
        return take(c, item, PACK_TEXT, t & 0x1f);
    switch (t) {
    case 0xc0: return 0;
    case 0xc2:
    case 0xc3:
        item->kind = PACK_BOOL;
        item->u = t & 1;
        return 0;
    case 0xc4: return take_long(c, item, PACK_BYTES, 1, 0);
    case 0xc5: return take_long(c, item, PACK_BYTES, 2, 0x100);
    case 0xc6: return take_long(c, item, PACK_BYTES, 4, 0x10000);
    case 0xc7: return ext_long(c, item, 1, 0);
    case 0xc8: return ext_long(c, item, 2, 0x100);
    case 0xc9: return ext_long(c, item, 4, 0x10000);
    case 0xca: return float_of(c, item, 4);
    case 0xcb: return float_of(c, item, 8);
    case 0xcc: return uint_long(c, item, 1, 0x80);
    case 0xcd: return uint_long(c, item, 2, 0x100);
    case 0xce: return uint_long(c, item, 4, 0x10000);
    case 0xcf: return uint_long(c, item, 8, 0x100000000);
    case 0xd0: return int_long(c, item, 1, -33);
    case 0xd1: return int_long(c, item, 2, -129);
    case 0xd2: return int_long(c, item, 4, -32769);
    case 0xd3: return int_long(c, item, 8, -2147483649LL);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8: return ext(c, item, 1ULL << (t - 0xd4));
    case 0xd9: return take_long(c, item, PACK_TEXT, 1, 32);
    case 0xda: return take_long(c, item, PACK_TEXT, 2, 0x100);
    case 0xdb: return take_long(c, item, PACK_TEXT, 4, 0x10000);
    case 0xdc: return counted_long(c, item, PACK_ARRAY, 2, 16);
    case 0xdd: return counted_long(c, item, PACK_ARRAY, 4, 0x10000);
    case 0xde: return counted_long(c, item, PACK_MAP, 2, 16);
    case 0xdf: return counted_long(c, item, PACK_MAP, 4, 0x10000);
    default: return CHOIR_MALFORMED; /* 0xc1 */
    }
}

static uint64_t items_in(const struct pack_item *item)
{
    return item->kind == PACK_MAP ? 2 * item->u : item->u;
}

static bool holds_items(const struct pack_item *item)
{
    return item->kind == PACK_ARRAY || item->kind == PACK_MAP;
}

/* Skips what stands in an array or a map. */
static int skip_items(struct cursor *c, uint64_t n)
{
    uint64_t left[LIMIT_DEPTH] = {0, n};
    int depth = 1;

    while (depth >= 0) {
        struct pack_item item;

        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        if (pack_next(c, &item))
            return CHOIR_MALFORMED;
        if (!holds_items(&item))
            continue;
        if (++depth == LIMIT_DEPTH)
            return CHOIR_MALFORMED;
        left[depth] = items_in(&item);
    }
    return 0;
}

int pack_skip(struct cursor *c)
{
    struct pack_item item;

    if (pack_next(c, &item))
        return CHOIR_MALFORMED;
    return holds_items(&item) ? skip_items(c, items_in(&item)) : 0;
}

bool pack_valid(struct bytes b)
{
    struct cursor c = cursor_of(b);

    return pack_skip(&c) == 0 && cursor_left(&c) == 0;
}

static int write_to_buf(void *data, const char *p, size_t n)
{
    struct buf *b = data;

    buf_put(b, p, n);
    return b->failed ? -1 : 0;
}

static msgpack_packer packer(struct buf *b)
{
    msgpack_packer k;

    msgpack_packer_init(&k, b, write_to_buf);
    return k;
}

static void put_byte(struct buf *b, size_t byte)
{
    uint8_t *to = buf_grow(b, 1);

    if (to)
        *to = (uint8_t)byte;
}

void pack_uint(struct buf *b, uint64_t v)
{
    msgpack_packer k;

    if (v <= 0x7f) {
        put_byte(b, v);
        return;
    }
    k = packer(b);
    msgpack_pack_uint64(&k, v);
}

void pack_int(struct buf *b, int64_t v)
{
    msgpack_packer k = packer(b);

    msgpack_pack_int64(&k, v);
}

void pack_text(struct buf *b, struct bytes v)
{
    if (v.n <= 0x1f) {
        put_byte(b, 0xa0 | v.n);
    } else {
        msgpack_packer k = packer(b);

        msgpack_pack_str(&k, v.n);
    }
    buf_put(b, v.p, v.n);
}

void pack_bytes(struct buf *b, struct bytes v)
{
    if (v.n <= 0xff) {
        put_byte(b, 0xc4);
        put_byte(b, v.n);
    } else {
        msgpack_packer k = packer(b);

        msgpack_pack_bin(&k, v.n);
    }
    buf_put(b, v.p, v.n);
}

void pack_array(struct buf *b, size_t n)
{
    msgpack_packer k;

    if (n <= 0x0f) {
        put_byte(b, 0x90 | n);
        return;
    }
    k = packer(b);
    msgpack_pack_array(&k, n);
}

void pack_map(struct buf *b, size_t n)
{
    msgpack_packer k;

    if (n <= 0x0f) {
        put_byte(b, 0x80 | n);
        return;
    }
    k = packer(b);
    msgpack_pack_map(&k, n);
}
