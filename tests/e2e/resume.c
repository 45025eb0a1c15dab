/* Coming back: another process with the same identity is told what changed
 * since the agent was last here, within the length it asks for. */
#include <choir.h>

#include <inttypes.h>
#include <stdio.h>

#include "tests/check.h"
#include "tests/support/daemon.h"

static struct daemon d;
static struct choir *ada, *bob;

static struct choir *agent(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir *c;

    o.name = name;
    o.timeout_ms = 20000 * test_patience();
    if (choir_open(&o, &c))
        fail_msg("%s: %s", name, choir_error_text());
    return c;
}

static void begin(void)
{
    daemon_init(&d, "resume");
    CHECK_OK(daemon_start(&d, NULL));
    ada = agent("ada");
    bob = agent("bob");
}

static void end(void)
{
    choir_close(&ada);
    choir_close(&bob);
    CHECK_EQ(daemon_stop(&d), 0);
    dir_remove(d.dir);
}

static uint64_t put(struct choir *c, const char *key, const char *value)
{
    uint64_t revision;

    if (choir_put(c, key, value, strlen(value), &revision))
        fail_msg("%s", choir_error_text());
    return revision;
}

static struct choir_news *resume(struct choir *c, const char *prefix,
                                 size_t budget)
{
    struct choir_resume_options o = CHOIR_RESUME_INIT;
    struct choir_news *news;

    o.budget_bytes = budget;
    if (choir_resume(c, prefix, &o, &news))
        fail_msg("%s", choir_error_text());
    CHECK(strlen(choir_news_text(news)) <= (budget ? budget : 8000));
    return news;
}

static bool says(const struct choir_news *news, const char *text)
{
    return strstr(choir_news_text(news), text) != NULL;
}

static void was_here(struct choir_news **news)
{
    if (choir_resume_done(*news))
        fail_msg("%s", choir_error_text());
    choir_news_free(news);
}

TEST(resume_tells_another_process_what_changed_by_whom)
{
    struct choir_change change;
    struct choir_news *news;
    uint64_t was, plan;

    begin();
    was = put(bob, "plan", "one\ntwo\nthree\nfour\n");
    put(bob, "old", "x");
    news = resume(ada, "", 0);
    CHECK(says(news, "You were not here before."));
    CHECK_EQ(choir_news_since(news), 0);
    was_here(&news);
    choir_close(&ada);

    put(bob, "plan", "one\n2\nthree\nfour\n");
    plan = put(bob, "plan", "one\nTWO\nthree\nfour\n");
    put(bob, "new", "words of bob\n\x1b[31m");
    CHECK_OK(choir_delete(bob, "old", 0, NULL));

    ada = agent("ada"); /* as another process would */
    put(ada, "mine", "words of ada");
    news = resume(ada, "", 0);
    CHECK_EQ(choir_news_count(news), 4);
    CHECK(choir_news_item(news, 3, &change));
    CHECK_STR(change.key, "plan");
    CHECK_STR(change.name, "bob");
    CHECK_EQ(change.revision, plan);
    CHECK_EQ(change.prev, was);
    CHECK_EQ(change.versions, 2);
    CHECK(change.is_known && !change.own && !change.deleted);
    CHECK_NOT(choir_news_item(news, 4, &change));
    CHECK(says(news, "4 keys changed.\nmine: new by you (ada) at "));
    CHECK(says(news, "\n    words of bob\n    \\x1b[31m\n"));
    CHECK(says(news, "\n    @@ -1,3 +1,3 @@\n     one\n    -two\n    +TWO\n"
                     "     three\n"));
    CHECK(says(news, "\nold: deleted by bob at "));
    CHECK_NOT(says(news, "words of ada"));
    CHECK_NOT(says(news, "four"));
    was_here(&news);
    news = resume(ada, "", 0);
    CHECK(says(news, ", nothing changed."));
    choir_news_free(&news);
    end();
}

TEST(resume_moves_nothing_before_it_was_read_and_each_prefix_on_its_own)
{
    struct choir_resume_options o = CHOIR_RESUME_INIT;
    struct choir_news *news;
    uint64_t first;
    char mark[65];

    begin();
    first = put(bob, "a/1", "x");
    put(bob, "b/1", "x");
    news = resume(ada, "", 0);
    choir_news_free(&news); /* not read */
    news = resume(ada, "a/", 0);
    CHECK_EQ(choir_news_count(news), 1);
    CHECK(says(news, "1 key changed under a/.\n"));
    was_here(&news);
    news = resume(ada, "a/", 0);
    CHECK_EQ(choir_news_count(news), 0);
    choir_news_free(&news);
    news = resume(ada, "", 0);
    CHECK_EQ(choir_news_count(news), 2);
    choir_news_free(&news);

    o.since = first;
    CHECK_OK(choir_resume(ada, "", &o, &news));
    CHECK_EQ(choir_news_count(news), 1);
    choir_news_free(&news);

    choir_resume_mark("", mark);
    CHECK_STR(mark, "here");
    choir_resume_mark("a/", mark);
    CHECK_STR(mark, "here:a/");
    choir_resume_mark("a/very/long/prefix/that/does/not/fit/into/the/name/of/a/"
                      "mark/",
                      mark);
    CHECK_EQ(strlen(mark), 61);
    CHECK(strncmp(mark, "here#", 5) == 0);
    end();
}

TEST(resume_keeps_to_its_budget_and_says_what_is_left_out)
{
    struct choir_resume_options o = CHOIR_RESUME_INIT;
    struct choir_news *news;
    char key[32], *value = malloc(20001);
    unsigned shown = 0;

    begin();
    memset(value, 'v', 20000);
    for (int i = 99; i < 20000; i += 100)
        value[i] = '\n';
    value[20000] = 0;
    put(bob, "large", value);
    put(bob, "small", "a few words");
    put(bob, "wide",
        "no line ends in this one, not at all, it goes on and on "
        "and on and on and on and on and on and on and on and on "
        "and on and on and on and on and on and on and on and on "
        "and on and on and on and on and on and on and on and on "
        "and on and on and on and on and on and on and on and on "
        "and on and on and on and on and on and on and on and on");
    for (size_t budget = 600; budget < 4000; budget += 97) {
        news = resume(ada, "", budget);
        CHECK(says(news, "\nlarge: new by bob"));
        CHECK(says(news, "\n    a few words\n"));
        if (budget > 800)
            CHECK(says(news, "\n    no line ends"));
        CHECK(says(news, " more lines)\n"));
        CHECK(strlen(choir_news_text(news)) > budget / 2);
        choir_news_free(&news);
    }
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "many/%02d", i);
        put(bob, key, "x");
    }
    news = resume(ada, "", 2000);
    CHECK_EQ(choir_news_count(news), 103);
    CHECK(says(news, "many/99: new")); /* the latest */
    CHECK_NOT(says(news, "\nlarge: "));
    for (const char *at = choir_news_text(news); (at = strstr(at, ": new"));
         at++)
        shown++;
    snprintf(key, sizeof key, "%u more keys changed", 103 - shown);
    CHECK(says(news, key));
    choir_news_free(&news);
    o.budget_bytes = 511;
    CHECK_REFUSED(choir_resume(ada, "", &o, &news), CHOIR_INVALID);
    CHECK_NULL(news);
    free(value);
    end();
}

CHECK_MAIN
