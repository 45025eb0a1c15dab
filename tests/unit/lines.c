/* Values as text, and the lines in which two differ. */
#include "agent-sdk/lines.h"

#include <stdlib.h>

#include "tests/check.h"

static struct buf out;

static const char *text(void)
{
    static struct buf copy;

    buf_clear(&copy);
    buf_put(&copy, out.p, out.n);
    buf_put(&copy, "", 1);
    buf_clear(&out);
    return (const char *)copy.p;
}

static const char *diff(const char *before, const char *after, unsigned context)
{
    struct lines to = {.out = &out, .max = SIZE_MAX, .indent = ""};

    CHECK_OK(lines_diff(&to, bytes_text(before), bytes_text(after), context));
    CHECK_EQ(to.left_out, 0);
    return text();
}

static const char *shown(const char *value, const char *type)
{
    value_text(bytes_text(value), bytes_text(type), &out);
    return text();
}

TEST(diff_of_equal_texts_is_empty)
{
    CHECK_STR(diff("", "", 3), "");
    CHECK_STR(diff("a\nb\n", "a\nb\n", 3), "");
    CHECK_STR(diff("a\nb", "a\nb\n", 3), ""); /* lines, not their ends */
}

TEST(diff_shows_what_changed_with_what_stands_around_it)
{
    CHECK_STR(diff("a\nb\nc\nd\ne\nf\ng", "a\nb\nc\nX\ne\nf\ng", 1),
              "@@ -3,3 +3,3 @@\n c\n-d\n+X\n e\n");
    CHECK_STR(diff("", "a\nb", 3), "@@ -0,0 +1,2 @@\n+a\n+b\n");
    CHECK_STR(diff("a\nb", "", 3), "@@ -1,2 +0,0 @@\n-a\n-b\n");
}

TEST(diff_joins_changes_that_lie_close_together)
{
    const char *before = "1\n2\n3\n4\n5\n6\n7\n8\n9";

    CHECK_STR(diff(before, "1\nX\n3\n4\n5\nY\n7\n8\n9", 1),
              "@@ -1,3 +1,3 @@\n 1\n-2\n+X\n 3\n"
              "@@ -5,3 +5,3 @@\n 5\n-6\n+Y\n 7\n");
    CHECK_STR(diff(before, "1\nX\n3\n4\nY\n6\n7\n8\n9", 1),
              "@@ -1,6 +1,6 @@\n 1\n-2\n+X\n 3\n 4\n-5\n+Y\n 6\n");
}

/* Both texts can be had from a difference that shows everything. */
static void rebuild(const char *all, char sign, char *to)
{
    *to = 0;
    while (*all) {
        const char *end = strchr(all, '\n');

        if (*all == ' ' || *all == sign)
            strncat(to, all + 1, (size_t)(end - all));
        all = end + 1;
    }
}

TEST(diff_rebuilds_both_texts_whatever_they_are)
{
    char before[4096], after[4096], again[8192];

    srandom(7);
    for (int round = 0; round < 2000; round++) {
        char *texts[] = {before, after};

        for (int side = 0; side < 2; side++) {
            long n = random() % 24;
            char *at = texts[side];

            *at = 0;
            while (n--)
                at += sprintf(at, "%c\n", (char)('a' + random() % 4));
        }
        const char *all = diff(before, after, 100);

        if (strcmp(before, after) == 0)
            continue;
        rebuild(all, '-', again);
        CHECK_STR(again, before);
        rebuild(all, '+', again);
        CHECK_STR(again, after);
    }
}

TEST(diff_with_too_many_differences_is_told_as_a_whole)
{
    static char before[20000], after[20000];
    char *a = before, *b = after;
    const char *all;

    for (int i = 0; i < 600; i++) {
        a += sprintf(a, "a%d\nsame\n", i);
        b += sprintf(b, "b%d\nsame\n", i);
    }
    all = diff(before, after, 0);
    CHECK_NULL(strstr(all, "\n same"));
    CHECK(strstr(all, "-same\n") != NULL);
    CHECK(strstr(all, "+b599\n") != NULL);
}

TEST(lines_stop_at_the_budget_and_count_the_rest)
{
    struct lines to = {.out = &out, .max = 60, .indent = "  "};

    lines_put(&to, 0, bytes_text("one\ntwo\n"));
    lines_put(&to, '+',
              bytes_text("a line that is much too long to fit into what is "
                         "left of it\nand another\n"));
    CHECK(out.n <= 60);
    CHECK_EQ(to.left_out, 2);
    CHECK_STR(text(), "  one\n  two\n  +a line that is much too long to fit"
                      " into ...\n");
}

TEST(lines_are_cut_between_characters)
{
    struct lines to = {.out = &out, .max = 50, .indent = ""};

    for (size_t max = 45; max < 50; max++) {
        to.max = max;
        to.left_out = 0;
        line_put(&to, 0,
                 bytes_text("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
                            "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
                            "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
                            "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
                            "\xc3\xa9\xc3\xa9\xc3\xa9"));
        CHECK_EQ(to.left_out, 1);
        CHECK(bytes_utf8(buf_bytes(&out)));
        text();
    }
}

TEST(lines_hold_no_control_characters)
{
    struct lines to = {.out = &out, .max = SIZE_MAX, .indent = ""};

    lines_put(&to, 0, bytes_text("a\x1b[31m\r\tb\x7f\xc2\x9b"));
    CHECK_STR(text(), "a\\x1b[31m\\x0d\tb\\x7f\\x9b\n");
    to.max = 45;
    line_put(&to, 0, bytes_text("\1\1\1\1\1\1\1\1\1\1\1\1\1"));
    CHECK(out.n <= 45); /* as written, not as it was */
    CHECK_EQ(to.left_out, 1);
    text();
}

TEST(value_text_is_the_text_itself)
{
    CHECK_STR(shown("", NULL), "");
    CHECK_STR(shown("# plan\n", "text/markdown"), "# plan\n");
    CHECK_STR(shown("{\"a\": 1}", NULL), "{\"a\": 1}"); /* short */
    CHECK_STR(shown("\xff\xfe", NULL), "(2 bytes)");
}

TEST(value_text_lays_long_json_out)
{
    CHECK_STR(shown("{\"aaaaaaaaaaaaaaaaaaaaaaaa\":[1,2,{}],"
                    "\"bbbbbbbbbbbbbbbbbbbbbbbb\":\"x\\\",{[\",\"c\":[ ]}",
                    NULL),
              "{\n  \"aaaaaaaaaaaaaaaaaaaaaaaa\": [\n    1,\n    2,\n    {}\n"
              "  ],\n  \"bbbbbbbbbbbbbbbbbbbbbbbb\": \"x\\\",{[\",\n"
              "  \"c\": []\n}");
}

TEST(value_text_leaves_what_only_looks_like_json)
{
    static const char *const texts[] = {
        "[x] this is a list of things to do, which is no JSON at all, [ ] nor "
        "that]",
        "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
        "[",
        "1,                                                                    "
        "  {}",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK_STR(shown(texts[i], NULL), texts[i]);
}

TEST(value_text_writes_msgpack_as_json)
{
    static const uint8_t map[] = {
        0x85, 0xa1, 'a',  0xff, 0xa1, 'b',  0xc4, 2,    1,   2,    0xa1,
        'c',  0xc0, 0xa1, 'd',  0xc3, 0xa1, 'e',  0xa3, '"', '\n', 'x'};
    static const uint8_t number[] = {0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0};
    struct bytes type = bytes_text("application/msgpack");

    value_text(bytes_of(map, sizeof map), type, &out);
    CHECK_STR(text(), "{\"a\": -1, \"b\": \"(2 bytes)\", \"c\": null, "
                      "\"d\": true, \"e\": \"\\\"\\nx\"}");
    value_text(bytes_of(number, sizeof number), type, &out);
    CHECK_STR(text(), "1.5");
    value_text(bytes_of(map, 3), type, &out); /* not whole */
    CHECK_STR(text(), "(3 bytes)");
}

CHECK_MAIN
