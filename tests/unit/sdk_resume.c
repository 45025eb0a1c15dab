/* Coming back, against a broker that can be told to misbehave. */
#include "agent-sdk/choir.h"

#include <stdio.h>

#include "tests/check.h"
#include "tests/support/home.h"
#include "tests/support/standin.h"

static struct standin *broker;
static struct choir *c;
static char dir[HOME_BYTES];

static void begin(void)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;

    home_make(dir);
    broker = standin_start(dir);
    o.data_dir = dir;
    o.name = "ada";
    o.timeout_ms = 20000;
    if (choir_open(&o, &c))
        fail_msg("%s", choir_error_text());
}

static void end(void)
{
    choir_close(&c);
    standin_stop(&broker);
    home_remove(dir);
}

static uint64_t put(const char *key, const char *value)
{
    uint64_t revision = 0;

    CHECK_OK(choir_put(c, key, value, strlen(value), &revision));
    return revision;
}

static struct choir_news *resume(void)
{
    struct choir_news *news;

    if (choir_resume(c, "", NULL, &news))
        fail_msg("%s", choir_error_text());
    return news;
}

static bool says(const struct choir_news *news, const char *text)
{
    return strstr(choir_news_text(news), text) != NULL;
}

TEST(resume_puts_pages_together_and_stands_where_the_first_one_did)
{
    struct choir_change change;
    struct choir_news *news;
    char key[20];

    begin();
    for (int i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "k/%02d", i);
        put(key, "x");
    }
    news = resume();
    CHECK_EQ(choir_news_count(news), 30);
    for (size_t i = 0; choir_news_item(news, i, &change); i++) {
        snprintf(key, sizeof key, "k/%02zu", i);
        CHECK_STR(change.key, key);
        CHECK_NOT(change.is_known); /* it said nothing of what was before */
        CHECK_STR(change.name, "somebody");
    }
    CHECK_OK(choir_resume_done(news));
    choir_news_free(&news);
    put("k/05", "y");
    news = resume();
    CHECK_EQ(choir_news_count(news), 1);
    CHECK(says(news, "\nk/05: changed by somebody at "));
    CHECK(says(news, "\n    y\n"));
    choir_news_free(&news);
    end();
}

TEST(resume_after_compaction_shows_what_is_there_and_says_what_is_not)
{
    struct choir_news *news;
    uint64_t line;

    begin();
    put("a", "x");
    news = resume();
    CHECK_OK(choir_resume_done(news));
    choir_news_free(&news);
    put("a", "y");
    line = put("b", "z");
    standin_compact(broker, line); /* a is kept, at the line */
    news = resume();
    CHECK(says(news, "\n    (what it was is no longer kept)\n    y\n"));
    CHECK(says(news, "\n    (what it was is no longer kept)\n    z\n"));
    choir_news_free(&news);
    standin_compact(broker, line + 100);
    news = resume();
    CHECK(says(news, "\n    (it is no longer kept)\n"));
    choir_news_free(&news);
    end();
}

TEST(resume_that_cannot_ask_says_why_and_gives_nothing)
{
    struct choir_news *news;

    begin();
    put("a", "x");
    standin_turn_asks_away(broker, 65 /* BUSY */, 1); /* it is asked again */
    news = resume();
    choir_news_free(&news);
    standin_turn_asks_away(broker, CHOIR_TOO_LARGE, -1);
    CHECK_REFUSED(choir_resume(c, "", NULL, &news), CHOIR_TOO_LARGE);
    CHECK_NULL(news);
    standin_turn_asks_away(broker, 0, 0);
    end();
}

CHECK_MAIN
