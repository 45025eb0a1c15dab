/* msgpack, both ways.
 *
 * Reading is ours: strict and bounded, because what a stranger sent is read
 * here first. Integers, lengths and headers must have their shortest form,
 * nothing is allocated, nesting is capped, and a count larger than the bytes
 * that are left is refused at once. Writing is msgpack-c's, which always
 * chooses the shortest form. See docs/adr/0003. */
#ifndef CHOIR_PROTO_PACK_H
#define CHOIR_PROTO_PACK_H

#include "bytes.h"

enum pack_kind {
    PACK_NIL,
    PACK_BOOL,
    PACK_UINT,
    PACK_INT, /* below zero */
    PACK_FLOAT,
    PACK_TEXT,
    PACK_BYTES,
    PACK_ARRAY,
    PACK_MAP,
    PACK_EXT,
};

struct pack_item {
    enum pack_kind kind;
    uint64_t u;         /* PACK_UINT, PACK_BOOL; elements or pairs; PACK_INT:
                           two's complement; PACK_FLOAT: the bits of a double */
    struct bytes bytes; /* PACK_TEXT, PACK_BYTES, PACK_EXT; borrowed */
};

/* The next item's head; the elements of an array or map follow as items of
 * their own. 0 or CHOIR_MALFORMED. */
int pack_next(struct cursor *c, struct pack_item *item);

/* Pass over one whole item, however deep (up to LIMIT_DEPTH). */
int pack_skip(struct cursor *c);

/* One whole, well-formed msgpack value and nothing after it? Keys of maps may
 * be of any kind and are not compared: values are the application's. */
bool pack_valid(struct bytes b);

void pack_uint(struct buf *b, uint64_t v);
void pack_int(struct buf *b, int64_t v);
void pack_text(struct buf *b, struct bytes v);
void pack_bytes(struct buf *b, struct bytes v);
void pack_array(struct buf *b, size_t n);
void pack_map(struct buf *b, size_t n);

#endif
