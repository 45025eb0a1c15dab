/* The history checker, proven on the whole chain: a real broker with one
 * mistake in it, real agents, the real record. And a sound history with one
 * line of it changed.
 * test-timeout: 240 */
#include "tests/support/campaign.h"

#include <unistd.h>

#include "tests/check.h"
#include "tests/mutants/broker.h"

enum { OPERATIONS = 500, TRIES = 8, LEASE_MS = 150 };

/* Many who compare: they are refused often, and one of so many refusals is what
 * the mistakes that are hardest to meet wait for. */
static const enum client_role roles[] = {
    CLIENT_PUTS,     CLIENT_COMPARES, CLIENT_COMPARES, CLIENT_COMPARES,
    CLIENT_COMPARES, CLIENT_TXNS,     CLIENT_SUBMITS,  CLIENT_WORKS,
    CLIENT_WORKS,    CLIENT_WATCHES,
};

enum { AGENTS = sizeof roles / sizeof *roles };

static struct campaign campaign_with(const char *mistake)
{
    static unsigned number;
    static char name[32];
    struct campaign c = {
        .name = name,
        .program = "mutant/choird",
        .roles = roles,
        .agents = AGENTS,
        .lease_ms = LEASE_MS,
        .operations = OPERATIONS,
        .seed = ++number,
        .rest_ms = 100,
    };

    snprintf(name, sizeof name, "history-%u", number);
    setenv("CHOIR_MUTANT", mistake, 1);
    return c;
}

/* What a broker with that mistake is found guilty of, if the agents happen to
 * meet it. */
static bool is_caught(const char *mistake, enum finding wanted)
{
    struct campaign c = campaign_with(mistake);
    struct history *h = history_new();
    unsigned found[FINDINGS];
    bool caught;

    campaign_run(&c); /* its agents may end badly: that is not asked here */
    daemon_kill(&c.d);
    campaign_read(&c, h);
    history_check(h, found, NULL);
    caught = found[wanted] > 0;
    fprintf(stderr, "%s: %u of its kind\n", mistake, found[wanted]);
    history_free(&h);
    return caught;
}

static const struct {
    enum mutant mutant;
    enum finding found;
} mistakes[] = {
    {MUTANT_STALE_WRITE, FOUND_STALE_WRITE},
    {MUTANT_FALSE_REFUSAL, FOUND_FALSE_REFUSAL},
    {MUTANT_LOST_WRITE, FOUND_WRONG_READ},
    {MUTANT_LOST_CHANGE, FOUND_WATCH_GAP},
    {MUTANT_OTHER_VALUE, FOUND_WRONG_READ},
};

/* Run once for all that ask. */
static const struct campaign *sound_campaign(void)
{
    static struct campaign c;

    if (!c.name) {
        c = campaign_with("none");
        CHECK(campaign_run(&c));
    }
    return &c;
}

TEST(a_broker_without_a_mistake_is_found_sound)
{
    struct history *h = history_new();
    unsigned found[FINDINGS];

    campaign_read(sound_campaign(), h);
    CHECK_EQ(history_check(h, found, stderr), 0);
    history_free(&h);
}

TEST(each_mistake_of_a_broker_is_found_in_the_history)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const char *name = mutant_name(mistakes[i].mutant);
        bool caught = false;

        for (int n = 0; n < TRIES && !caught; n++)
            caught = is_caught(name, mistakes[i].found);
        if (!caught)
            fail_msg("nobody notices: %s", name);
    }
}

/* --- One line changed ---------------------------------------------------- */

struct lines {
    struct {
        unsigned client;
        char *text; /* owned */
    } * at;
    size_t n;
};

static void lines_add(struct lines *l, unsigned client, const char *text)
{
    l->at = realloc(l->at, (l->n + 1) * sizeof *l->at);
    assert_non_null(l->at);
    l->at[l->n].client = client;
    l->at[l->n++].text = strdup(text);
}

static void lines_read(struct lines *l, unsigned client, FILE *f)
{
    char line[16384];

    assert_non_null(f);
    rewind(f);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        lines_add(l, client, line);
    }
    fclose(f);
}

static void record_a_history(struct lines *l)
{
    const struct campaign *c = sound_campaign();
    FILE *record = tmpfile();

    for (unsigned i = 0; i <= AGENTS; i++)
        lines_read(l, i, fopen(c->logs[i], "re"));
    CHECK_OK(history_write_record(c->d.data, record));
    lines_read(l, 0, record);
}

static unsigned check_lines(const struct lines *l, unsigned found[FINDINGS])
{
    struct history *h = history_new();
    unsigned sum;

    for (size_t i = 0; i < l->n; i++)
        if (l->at[i].text)
            history_line(h, l->at[i].client, l->at[i].text);
    sum = history_check(h, found, NULL);
    history_free(&h);
    return sum;
}

/* The n-th line of that kind that holds the words. */
static size_t line_with(const struct lines *l, char kind, const char *words,
                        unsigned n)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->at[i].text[0] == kind && strstr(l->at[i].text, words) && !n--)
            return i;
    fail_msg("no line %c with %s", kind, words);
    return 0;
}

/* The same line with one of its words exchanged, from 0 on. */
static char *with_word(const char *text, unsigned number, const char *word)
{
    char *out, *from = strdup(text), *rest = from, *w;
    size_t bytes;
    FILE *f = open_memstream(&out, &bytes);

    for (unsigned i = 0; (w = strsep(&rest, " ")); i++)
        fprintf(f, "%s%s", i ? " " : "", i == number ? word : w);
    fclose(f);
    free(from);
    return out;
}

static uint64_t word_of(const char *text, unsigned number)
{
    while (number--)
        text = strchr(text, ' ') + 1;
    return strtoull(text, NULL, 10);
}

/* Each changes one thing and gives the line it was in, or n: none but added.
 * Words of R: 1 index, 2 agent, 3 session, 4 seq, 5 verb, 6 outcome, 7 task,
 * 8 token, 9 attempt, 10 told, then lists. */
static const char *changed(struct lines *l, unsigned which, char **kept,
                           size_t *at)
{
    char number[32], *text;

#define CHANGE(kind, words, n, word, value)              \
    do {                                                 \
        *at = line_with(l, kind, words, n);              \
        *kept = l->at[*at].text;                         \
        l->at[*at].text = with_word(*kept, word, value); \
    } while (0)

    switch (which) {
    case 0:
        CHANGE('R', " put 0 ", 40, 5, "rules");
        return "an acknowledged write is gone";
    case 1:
        *at = line_with(l, 'R', " put 0 ", 30);
        *kept = NULL;
        snprintf(number, sizeof number, "%lu",
                 word_of(l->at[l->n - 1].text, 1) + 1);
        text = with_word(l->at[*at].text, 1, number);
        *at = l->n;
        lines_add(l, 0, text);
        free(text);
        return "a write was done twice";
    case 2:
        *at = line_with(l, 'E', " 0 ", 25);
        snprintf(number, sizeof number, "%lu", word_of(l->at[*at].text, 4) + 1);
        CHANGE('E', " 0 ", 25, 4, number);
        return "another revision was told";
    case 3:
        CHANGE('R', " complete 0 ", 3, 8, "1");
        return "an old token completed a task";
    case 4:
        *at = line_with(l, 'C', "C ", 50);
        *kept = l->at[*at].text;
        l->at[*at].text = NULL;
        return "a watch left out a change";
    case 5:
        *at = line_with(l, 'C', "C ", 60);
        *kept = l->at[*at].text;
        l->at[*at].text = strdup(l->at[*at + 1].text);
        return "a watch told one change twice";
    case 6:
        CHANGE('G', " shared/", 20, 6, "never-written");
        return "a read gave what nobody wrote";
    case 7:
        CHANGE('G', " shared/", 20, 5, "3");
        return "a read went back behind what was known";
    case 8:
        CHANGE('R', " put 0 ", 50, 6, "1");
        return "a refusal without a reason";
    case 9: CHANGE('T', "T ", 5, 2, "1"); return "a task came that nobody gave";
    default: return NULL;
    }
}

TEST(each_change_of_a_sound_history_is_found)
{
    struct lines l = {0};
    unsigned found[FINDINGS];
    const char *what;
    char *kept;
    size_t at;

    record_a_history(&l);
    CHECK_EQ(check_lines(&l, found), 0);
    for (unsigned i = 0; (what = changed(&l, i, &kept, &at)) != NULL; i++) {
        if (!check_lines(&l, found))
            fail_msg("nobody notices: %s", what);
        free(l.at[at].text);
        l.at[at].text = kept;
        if (!kept)
            l.n--;
    }
    for (size_t i = 0; i < l.n; i++)
        free(l.at[i].text);
    free(l.at);
}

CHECK_MAIN
