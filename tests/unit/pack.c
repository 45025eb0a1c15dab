/* Strict msgpack; the vectors hold one case a form, these hold the rules. */
#include "tests/check.h"

#include "proto/limits.h"
#include "proto/pack.h"
#include "proto/refusal.h"

static void reads_back(const struct buf *b, enum pack_kind kind, uint64_t u)
{
    struct cursor c = cursor_of(buf_bytes(b));
    struct pack_item item;

    CHECK_OK(pack_next(&c, &item));
    CHECK_EQ(item.kind, kind);
    CHECK(item.u == u);
}

TEST(pack_reads_every_integer_it_writes)
{
    struct buf b = {0};

    for (unsigned bit = 0; bit < 64; bit++) {
        for (int off = -1; off <= 1; off++) {
            uint64_t v = (1ULL << bit) + (uint64_t)off;

            buf_clear(&b);
            pack_uint(&b, v);
            reads_back(&b, PACK_UINT, v);
        }
    }
    buf_free(&b);
}

TEST(pack_reads_every_length_it_writes)
{
    static const size_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
    static uint8_t zeros[65536];
    struct buf b = {0};

    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        buf_clear(&b);
        pack_bytes(&b, bytes_of(zeros, sizes[i]));
        CHECK(pack_valid(buf_bytes(&b)));
        buf_clear(&b);
        pack_text(&b, bytes_of(zeros, sizes[i]));
        CHECK(pack_valid(buf_bytes(&b)));
        buf_clear(&b);
        pack_array(&b, sizes[i]);
        buf_put(&b, zeros, sizes[i]);
        CHECK(pack_valid(buf_bytes(&b)));
        reads_back(&b, PACK_ARRAY, sizes[i]);
        buf_clear(&b);
        pack_map(&b, sizes[i] / 2);
        buf_put(&b, zeros, sizes[i] / 2 * 2);
        CHECK(pack_valid(buf_bytes(&b)));
    }
    buf_free(&b);
}

TEST(pack_refuses_every_head_without_what_it_announces)
{
    for (unsigned head = 0; head < 256; head++) {
        uint8_t t = (uint8_t)head;
        struct cursor c = cursor_of(bytes_of(&t, 1));
        struct pack_item item;
        /* complete in one byte: small numbers, nil, booleans, empties */
        bool whole = head <= 0x7f || head >= 0xe0 || head == 0x80 ||
                     head == 0x90 || head == 0xa0 || head == 0xc0 ||
                     head == 0xc2 || head == 0xc3;

        CHECK_EQ(pack_next(&c, &item), whole ? 0 : CHOIR_MALFORMED);
    }
}

TEST(pack_refuses_a_count_larger_than_the_bytes_left)
{
    static const uint8_t array[] = {0xdd, 0xff, 0, 0, 0};
    static const uint8_t map[] = {0x83, 1, 1, 2, 2, 3};
    struct pack_item item;
    struct cursor c = cursor_of(bytes_of(array, sizeof array));

    CHECK_REFUSED(pack_next(&c, &item), CHOIR_MALFORMED);
    c = cursor_of(bytes_of(map, sizeof map));
    CHECK_REFUSED(pack_next(&c, &item), CHOIR_MALFORMED);
}

TEST(pack_refuses_what_is_nested_deeper_than_the_limit)
{
    uint8_t bomb[4096];

    memset(bomb, 0x91, sizeof bomb);
    bomb[LIMIT_DEPTH - 1] = 0;
    CHECK(pack_valid(bytes_of(bomb, LIMIT_DEPTH)));
    bomb[LIMIT_DEPTH - 1] = 0x91, bomb[LIMIT_DEPTH] = 0;
    CHECK_NOT(pack_valid(bytes_of(bomb, LIMIT_DEPTH + 1)));
    bomb[LIMIT_DEPTH] = 0x91, bomb[4095] = 0;
    CHECK_NOT(pack_valid(bytes_of(bomb, sizeof bomb)));
}

TEST(pack_sees_negative_numbers_and_floats_as_what_they_are)
{
    static const uint8_t minus[] = {0xd1, 0xff, 0x7f};
    static const uint8_t half[] = {0xca, 0x3f, 0, 0, 0};
    struct cursor c = cursor_of(bytes_of(minus, sizeof minus));
    struct pack_item item;
    double d;

    CHECK_OK(pack_next(&c, &item));
    CHECK_EQ(item.kind, PACK_INT);
    CHECK_EQ((int64_t)item.u, -129);
    c = cursor_of(bytes_of(half, sizeof half));
    CHECK_OK(pack_next(&c, &item));
    memcpy(&d, &item.u, sizeof d);
    CHECK(d == 0.5);
}

CHECK_MAIN
