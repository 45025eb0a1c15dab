/* As much of protobuf as etcd's calls need: fields of type bytes are written;
 * those and numbers are read. Reading dies of what is cut off. */
#ifndef CHOIR_TESTS_BENCH_PEERS_PROTOBUF_H
#define CHOIR_TESTS_BENCH_PEERS_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/load.h"

/* Returns the bytes written, at most 10. */
static inline size_t varint_put(uint8_t *at, uint64_t n)
{
    size_t i = 0;

    for (; n > 127; n >>= 7)
        at[i++] = (uint8_t)(n | 128);
    at[i++] = (uint8_t)n;
    return i;
}

/* Field `number`, of type bytes, number < 16; the content is the caller's to
 * write. Returns the bytes written, at most 11. */
static inline size_t field_put(uint8_t *at, unsigned number, size_t size)
{
    at[0] = (uint8_t)(number << 3 | 2);
    return 1 + varint_put(at + 1, size);
}

static inline uint64_t varint_get(const uint8_t **at, const uint8_t *end)
{
    uint64_t n = 0;

    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;

        n |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return n;
    }
    load_die("the peer sent a protobuf that is cut off");
}

struct field {
    unsigned number;
    uint64_t n;          /* a number's value; the size of bytes */
    const uint8_t *from; /* bytes, or NULL */
};

/* The field at *at, which is moved past it; false at the end. */
static inline bool field_next(const uint8_t **at, const uint8_t *end,
                              struct field *out)
{
    uint64_t tag;

    if (*at >= end)
        return false;
    tag = varint_get(at, end);
    *out = (struct field){.number = (unsigned)(tag >> 3)};
    if ((tag & 7) != 0 && (tag & 7) != 2)
        load_die("the peer sent a protobuf of wire type %u",
                 (unsigned)(tag & 7));
    out->n = varint_get(at, end);
    if ((tag & 7) == 0)
        return true;
    if (out->n > (uint64_t)(end - *at))
        load_die("the peer sent a protobuf that is cut off");
    out->from = *at;
    *at += out->n;
    return true;
}

#endif
