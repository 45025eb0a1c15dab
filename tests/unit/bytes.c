/* The bounded cursor and the growing buffer. */
#include "tests/check.h"

#include "proto/bytes.h"

TEST(cursor_never_reads_beyond_its_end)
{
    uint8_t three[3] = {1, 2, 3};
    struct cursor c = cursor_of(bytes_of(three, 3));

    CHECK_EQ(cursor_u8(&c), 1);
    CHECK_EQ(cursor_u32(&c), 0);
    CHECK(c.failed);
    CHECK_EQ(cursor_u8(&c), 0); /* failed once, failed for good */
    CHECK_EQ(cursor_u64(&c), 0);
    CHECK_NULL(cursor_take(&c, 1).p);
}

TEST(cursor_refuses_a_length_that_would_wrap)
{
    uint8_t one = 1;
    struct cursor c = cursor_of(bytes_of(&one, 1));

    CHECK_EQ(cursor_take(&c, SIZE_MAX).n, 0);
    CHECK(c.failed);
}

TEST(cursor_over_nothing_is_empty_and_takes_nothing)
{
    struct cursor c = cursor_of((struct bytes){0});

    CHECK_EQ(cursor_left(&c), 0);
    CHECK_EQ(cursor_take(&c, 0).n, 0);
    CHECK_NOT(c.failed);
    cursor_u8(&c);
    CHECK(c.failed);
}

TEST(cursor_reads_little_endian)
{
    static const uint8_t b[] = {1, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0x80};
    struct cursor c = cursor_of(bytes_of(b, sizeof b));

    CHECK_EQ(cursor_u32(&c), 0x0201);
    CHECK(cursor_u64(&c) == 0x8000000000000003);
    CHECK_EQ(cursor_left(&c), 0);
}

TEST(buf_grows_and_keeps_what_it_holds)
{
    struct buf b = {0};

    for (uint32_t i = 0; i < 1000; i++)
        buf_put_u32(&b, i);
    buf_put_u64(&b, 7);
    CHECK_EQ(b.n, 4008);
    for (uint32_t i = 0; i < 1000; i++)
        CHECK_EQ(get_u32(b.p + 4 * i), i);
    buf_clear(&b);
    CHECK_EQ(b.n, 0);
    buf_free(&b);
}

TEST(buf_that_could_not_grow_stays_failed_until_cleared)
{
    struct buf b = {0};

    buf_put(&b, "abc", 3);
    CHECK_NULL(buf_grow(&b, SIZE_MAX / 2 + 1));
    CHECK(b.failed);
    buf_put(&b, "d", 1);
    CHECK_EQ(b.n, 3);
    buf_clear(&b);
    buf_put(&b, "d", 1);
    CHECK_EQ(b.n, 1);
    CHECK_NOT(b.failed);
    buf_free(&b);
}

TEST(buf_takes_nothing_from_nowhere)
{
    struct buf b = {0};

    buf_put(&b, NULL, 0);
    CHECK_EQ(b.n, 0);
    CHECK_NOT(b.failed);
    CHECK(buf_grow(&b, 0) != NULL);
    buf_free(&b);
}

static bool utf8(const char *s)
{
    return bytes_utf8(bytes_text(s));
}

TEST(utf8_accepts_every_length_of_character)
{
    CHECK(utf8(""));
    CHECK(utf8("plain"));
    CHECK(utf8("\xc2\x80 \xdf\xbf"));
    CHECK(utf8("\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"));
    CHECK(utf8("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
}

TEST(utf8_refuses_nul_overlong_surrogates_and_cut_characters)
{
    CHECK_NOT(bytes_utf8(bytes_of("a\0b", 3)));
    CHECK_NOT(utf8("\x80"));
    CHECK_NOT(utf8("\xc0\x80"));
    CHECK_NOT(utf8("\xc1\xbf"));
    CHECK_NOT(utf8("\xe0\x9f\xbf"));
    CHECK_NOT(utf8("\xed\xa0\x80"));
    CHECK_NOT(utf8("\xed\xbf\xbf"));
    CHECK_NOT(utf8("\xf0\x8f\xbf\xbf"));
    CHECK_NOT(utf8("\xf4\x90\x80\x80"));
    CHECK_NOT(utf8("\xf8\x88\x80\x80\x80"));
    CHECK_NOT(utf8("\xff"));
    CHECK_NOT(utf8("\xc2"));
    CHECK_NOT(utf8("\xe2\x82"));
    CHECK_NOT(utf8("\xf0\x9f\x92"));
    CHECK_NOT(utf8("\xc2"
                   "a"));
}

TEST(bytes_compare_by_content)
{
    CHECK(bytes_equal(bytes_text("ab"), bytes_text("ab")));
    CHECK_NOT(bytes_equal(bytes_text("ab"), bytes_text("abc")));
    CHECK(bytes_equal((struct bytes){0}, bytes_text("")));
    CHECK(bytes_start_with(bytes_text("abc"), bytes_text("ab")));
    CHECK(bytes_start_with(bytes_text("abc"), (struct bytes){0}));
    CHECK_NOT(bytes_start_with(bytes_text("a"), bytes_text("ab")));
}

CHECK_MAIN
