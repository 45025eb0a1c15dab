/* Which version each place of a value is from, versions given newest first. */
#include "proto/places.h"

#include <stdio.h>
#include <string.h>

#include "proto/pack.h"
#include "proto/refusal.h"
#include "tests/check.h"

static struct buf bufs[16];
static unsigned used;

static struct places *places;
static bool more;

/* The shortest notation: {a1b2} a map from letters to numbers, [12] an array of
 * numbers, both nested as they come. */
static const char *put(struct buf *b, const char *s)
{
    char close = *s == '{' ? '}' : ']';
    struct buf inner = {0};
    size_t n = 0;

    if (*s >= '0' && *s <= '9') {
        pack_uint(b, (uint64_t)(*s - '0'));
        return s + 1;
    }
    for (s++; *s != close; n++) {
        if (close == '}')
            pack_text(&inner, bytes_of(s++, 1));
        s = put(&inner, s);
    }
    if (close == '}')
        pack_map(b, n);
    else
        pack_array(b, n);
    buf_put(b, inner.p, inner.n);
    buf_free(&inner);
    return s + 1;
}

static struct bytes value(const char *s)
{
    struct buf *b = &bufs[used++ % 16];

    buf_clear(b);
    put(b, s);
    return buf_bytes(b);
}

static void done(void)
{
    places_free(&places);
    for (unsigned i = 0; i < 16; i++)
        buf_free(&bufs[i]);
}

/* "/a=3 /b/c=0" and so on. */
static const char *told(void)
{
    static char text[4096];
    struct bytes name;
    uint64_t revision;
    size_t at = 0, n = 0;

    text[0] = '\0';
    while (places_next(places, &at, &name, &revision))
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s=%llu",
                              n ? " " : "", (int)name.n, (const char *)name.p,
                              (unsigned long long)revision);
    return text;
}

static int make(enum merge_rule rule, const char *s, const char *after,
                size_t most)
{
    places_free(&places);
    return places_make(&places, rule, value(s), bytes_text(after), most, &more);
}

static void settle(const char *earlier, uint64_t revision)
{
    CHECK_OK(places_settle(places, earlier ? value(earlier) : (struct bytes){0},
                           revision));
}

TEST(places_are_of_the_version_that_last_changed_them)
{
    CHECK_OK(make(RULE_MERGE, "{a1b{c2d3}e4}", "", 100));
    CHECK_EQ(places_open(places), 4);
    settle("{a1b{c2d9}e4}", 9);
    CHECK_STR(told(), "/a=0 /b/c=0 /b/d=9 /e=0");
    settle("{a7b{c2d3}e4}", 8); /* that d was 3 once more tells nothing */
    CHECK_STR(told(), "/a=8 /b/c=0 /b/d=9 /e=0");
    settle("{e4b5a1}", 7); /* whatever order; what was no map */
    CHECK_STR(told(), "/a=8 /b/c=7 /b/d=9 /e=0");
    CHECK_EQ(places_open(places), 1);
    settle("{a1}", 6);
    CHECK_STR(told(), "/a=8 /b/c=7 /b/d=9 /e=6");
    CHECK_EQ(places_open(places), 0);
    done();
}

TEST(places_that_were_nowhere_before_are_of_the_first)
{
    CHECK_OK(make(RULE_MERGE, "{a1b{c2}}", "", 100));
    settle("{a1b{c2}}", 5);
    CHECK_EQ(places_open(places), 2);
    settle(NULL, 4);
    CHECK_STR(told(), "/a=4 /b/c=4");
    CHECK_OK(make(RULE_MERGE, "{a1b{c2}}", "", 100));
    settle("[1]", 4);
    CHECK_STR(told(), "/a=4 /b/c=4");
    CHECK_OK(make(RULE_MERGE, "{a1}", "", 100));
    CHECK_OK(places_settle(places, bytes_text("\xc1"), 3));
    CHECK_STR(told(), "/a=3");
    done();
}

TEST(places_come_in_pages)
{
    CHECK_OK(make(RULE_MERGE, "{a1b{c2d3}e4}", "", 2));
    CHECK(more);
    CHECK_STR(told(), "/a=0 /b/c=0");
    CHECK_OK(make(RULE_MERGE, "{a1b{c2d3}e4}", "/b/c", 2));
    CHECK_NOT(more);
    CHECK_STR(told(), "/b/d=0 /e=0");
    settle("{a2b{c3d3}e5}", 9);
    CHECK_STR(told(), "/b/d=0 /e=9");
    CHECK_OK(make(RULE_MERGE, "{a1b{c2d3}e4}", "/e", 2));
    CHECK_STR(told(), "");
    CHECK_EQ(places_open(places), 0);
    CHECK_EQ(make(RULE_MERGE, "{a1}", "/b", 2), CHOIR_INVALID);
    CHECK_OK(make(RULE_APPEND, "[123]", "/0", 1));
    CHECK_STR(told(), "/1=0");
    CHECK(more);
    done();
}

TEST(places_elements_of_a_line_are_the_same_from_its_beginning_on)
{
    CHECK_OK(make(RULE_APPEND, "[1234]", "", 100));
    settle("[123]", 9);
    CHECK_STR(told(), "/0=0 /1=0 /2=0 /3=9");
    settle("[193]", 8);
    CHECK_STR(told(), "/0=0 /1=8 /2=8 /3=9");
    settle("{a1}", 7);
    CHECK_STR(told(), "/0=7 /1=8 /2=8 /3=9");
    CHECK_OK(make(RULE_APPEND, "[{a1}{b2}]", "", 100));
    settle("[{a1}{b3}]", 9); /* alike up to the middle of one */
    CHECK_STR(told(), "/0=0 /1=9");
    done();
}

TEST(places_elements_of_a_set_are_the_same_wherever_they_stand)
{
    CHECK_OK(make(RULE_SET, "[123]", "", 100));
    settle("[32]", 9);
    CHECK_STR(told(), "/0=9 /1=0 /2=0");
    settle("[12]", 8);
    CHECK_STR(told(), "/0=9 /1=0 /2=8");
    settle("[]", 7);
    CHECK_STR(told(), "/0=9 /1=7 /2=8");
    done();
}

TEST(places_of_a_map_with_keys_that_have_no_names_are_one)
{
    struct buf b = {0};

    CHECK_EQ(make(RULE_MERGE, "1", "", 9), CHOIR_NOT_FOUND);
    CHECK_EQ(make(RULE_MERGE, "{}", "", 9), CHOIR_NOT_FOUND);
    CHECK_EQ(make(RULE_MERGE, "[]", "", 9), CHOIR_NOT_FOUND);
    CHECK_EQ(places_make(&places, RULE_MERGE, bytes_text("\xc1"),
                         (struct bytes){0}, 9, &more),
             CHOIR_NOT_FOUND);
    CHECK_EQ(make(RULE_MERGE, "{a1a2}", "", 9), CHOIR_NOT_FOUND);
    CHECK_OK(make(RULE_MERGE, "{x{a1a2}y{}}", "", 9));
    CHECK_STR(told(), "/x=0 /y=0");
    settle("{x{a1a3}y{}}", 2);
    CHECK_STR(told(), "/x=2 /y=0");
    pack_map(&b, 3); /* a text and a number may have the same name */
    pack_text(&b, bytes_text("1"));
    pack_uint(&b, 1);
    pack_uint(&b, 1);
    pack_uint(&b, 1);
    pack_uint(&b, 2);
    pack_uint(&b, 1);
    CHECK_EQ(places_make(&places, RULE_MERGE, buf_bytes(&b), (struct bytes){0},
                         9, &more),
             CHOIR_NOT_FOUND);
    buf_clear(&b);
    pack_map(&b, 2);
    pack_int(&b, -1);
    pack_uint(&b, 1);
    pack_uint(&b, 7);
    pack_uint(&b, 1);
    places_free(&places);
    CHECK_OK(places_make(&places, RULE_MERGE, buf_bytes(&b), (struct bytes){0},
                         9, &more));
    CHECK_STR(told(), "/7=0 /-1=0");
    buf_free(&b);
    done();
}

TEST(places_with_names_longer_than_a_key_are_told_above)
{
    char key[LIMIT_KEY_BYTES];
    struct buf b = {0};

    memset(key, 'x', sizeof key);
    pack_map(&b, 1);
    pack_text(&b, bytes_text("a"));
    pack_map(&b, 1);
    pack_text(&b, bytes_of(key, sizeof key - 3));
    pack_uint(&b, 1);
    CHECK_OK(places_make(&places, RULE_MERGE, buf_bytes(&b), (struct bytes){0},
                         9, &more));
    CHECK_EQ(strlen(told()), LIMIT_KEY_BYTES + 2);
    places_free(&places);
    buf_clear(&b);
    pack_map(&b, 1);
    pack_text(&b, bytes_text("a"));
    pack_map(&b, 1);
    pack_text(&b, bytes_of(key, sizeof key - 2));
    pack_uint(&b, 1);
    CHECK_OK(places_make(&places, RULE_MERGE, buf_bytes(&b), (struct bytes){0},
                         9, &more));
    CHECK_STR(told(), "/a=0");
    buf_free(&b);
    done();
}

CHECK_MAIN
